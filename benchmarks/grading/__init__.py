"""Time and memory of grading a class, against stock nbgrader on the same notebooks."""
