"""Reference implementations: the models the book explains and the answers the grader compares with."""
