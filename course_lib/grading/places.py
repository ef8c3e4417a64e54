"""Where the course and its class stand on this machine."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository's root."""


def default_class() -> Path:
    """The folder that COURSE_CLASS names, or ``class/`` beside the course."""
    return Path(os.environ.get("COURSE_CLASS") or ROOT / "class").resolve()
