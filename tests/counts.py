"""How much `make test` does of what `make soak` does whole."""

import os
from typing import TypeVar

SOAK = bool(os.environ.get("COURSE_SOAK"))


T = TypeVar("T")


def count(few: T, *, soak: T) -> T:
    """The first in `make test`, the second in `make soak`."""
    return soak if SOAK else few
