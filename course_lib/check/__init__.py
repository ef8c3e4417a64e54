"""What runs in a student's notebook: ``check`` compares an answer with the recorded public cases."""

from course_lib.check.student import check

__all__ = ["check"]
