"""What each `course` command does; ``course_lib.cli`` describes them."""

from __future__ import annotations

from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

DONE, ATTENTION, USAGE, ENVIRONMENT, FAULT, INTERRUPTED = 0, 1, 2, 3, 4, 130


class CommandError(Exception):
    """A command that cannot do what was asked: one sentence, with a remedy, and the exit code."""

    def __init__(self, message: str, *, code: int = ATTENTION) -> None:
        super().__init__(message)
        self.code = code


def counted(number: int, what: str) -> str:
    """So many of something, in words: one file, two files."""
    return f"{number} {what}{'' if number == 1 else 's'}"
