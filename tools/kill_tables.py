"""Keep each assignment's kill table in build/kill-table, for the page of the book that shows it.

    python -m tools.kill_tables              the tables, where solution, spec or grader changed
    python -m tools.kill_tables --mutants    the same with automatic mutants, which take minutes

A table is made by `course kill-table` and kept with the hash of what it depends on. One with mutants stands in
the place of one without.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "kill-table"
JUDGING = ["kill_table", "draw", "mutants", "solution", "spec", "specs/_cases"]


def slugs() -> list[str]:
    """The assignments that there are."""
    return sorted(path.parent.name for path in ROOT.glob("solutions/*/*.py"))


def key_of(slug: str) -> str:
    """Hash of everything that decides an assignment's kill table."""
    library = ROOT / "course_lib"
    stem = slug.partition("-")[2].replace("-", "_")
    files = [path for name in ("check", "models", "data") for path in (library / name).rglob("*.py")]
    files += [library / "grading" / f"{name}.py" for name in JUDGING]
    files += [*(library / "grading" / "specs").glob(f"*{stem}*.py"), *(ROOT / "solutions" / slug).glob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def read(slug: str) -> dict[str, Any] | None:
    """The kept table of an assignment, with its key; None where there is none."""
    path = FOLDER / f"{slug}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def refresh(*, mutants: bool = False) -> list[str]:
    """Bring the kept tables up to date; returns the assignments whose table was made anew.

    Raises:
        RuntimeError: a table cannot be made, with the end of what the command said.
    """
    stale = []
    for slug in slugs():
        kept = read(slug)
        if kept is None or kept["key"] != key_of(slug) or (mutants and not kept["mutants"]):
            stale.append(slug)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process of its own
        list(pool.map(partial(_make, mutants=mutants), stale))
    return stale


def _make(slug: str, *, mutants: bool) -> None:
    key = key_of(slug)
    command = [str(Path(sys.executable).with_name("course")), "kill-table", slug, "--json"]
    done = subprocess.run([*command, *(["--mutants"] if mutants else [])], cwd=ROOT, capture_output=True, text=True)
    if not done.stdout.strip():
        raise RuntimeError(f"The kill table of {slug} cannot be made: {done.stderr.strip()[-500:]}")
    (table,) = json.loads(done.stdout)
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"key": key, "mutants": mutants, "table": table}, indent=1, ensure_ascii=False)
    part = FOLDER / f"{slug}.part"
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(FOLDER / f"{slug}.json")


def main(mutants: Annotated[bool, typer.Option("--mutants", help="With automatic mutants.")] = False) -> None:
    """Bring the kept tables up to date."""
    made = refresh(mutants=mutants)
    print(f"made anew: {', '.join(made) or 'none'}; they are in {FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    typer.run(main)
