"""Programs that nbgrader starts by name."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def put_on_path() -> None:
    """Let nbgrader find `alembic`, with which it makes a database.

    It stands beside this Python, and is not on the path where the environment has not been activated.
    """
    if shutil.which("alembic") is None:
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
