"""The side of grading that runs a student's code. It holds no reference, no spec and no expected value.

``python -m course_lib.runner FD`` is a server that has imported everything a notebook needs. For each
request on the socket FD it forks a *slot*: a process of its own, confined, that runs the cells of one
submission and then answers probes about what they defined.
"""
