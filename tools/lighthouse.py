"""Lighthouse's scores of every page, on a telephone, served compressed: performance, accessibility, best practices.

    python -m tools.lighthouse                      every page of build/book
    python -m tools.lighthouse book/index --runs 3  this page, the run with the median performance of three

Lighthouse is no dependency of the course: it is taken where the machine has it. The table goes to build/lighthouse.json
too. A busy machine measures its own load: run it when nothing else does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from sphinx_external_toc.parsing import parse_toc_yaml

from tests.browser import find_chromium
from tools import book
from tools.server import serve

RESULT = book.BUILD / "lighthouse.json"
WANTED = {"performance": 0.95, "accessibility": 1.0, "best-practices": 1.0}
FIGURES = {
    "first paint, ms": "first-contentful-paint",
    "largest paint, ms": "largest-contentful-paint",
    "blocked, ms": "total-blocking-time",
    "shift": "cumulative-layout-shift",
    "elements": "dom-size",
}
CHROMIUM = "--headless=new --no-sandbox --disable-dev-shm-usage"
SECONDS = 600

console = Console(highlight=False, width=160)


def find_lighthouse() -> list[str]:
    """The command that starts Lighthouse; one sentence on how to get it where there is none."""
    found = os.environ.get("LIGHTHOUSE") or shutil.which("lighthouse")
    if found:
        return [found]
    local = ["npx", "--no-install", "lighthouse"]
    if shutil.which("npx") and subprocess.run([*local, "--version"], capture_output=True, check=False).returncode == 0:
        return local
    console.print("Lighthouse is not here: `npm install -g lighthouse`, or name a copy of it in $LIGHTHOUSE.")
    raise typer.Exit(1)


def measure(command: list[str], address: str) -> dict[str, Any]:
    """Run Lighthouse once: its scores and what they rest on.

    Args:
        command: what `find_lighthouse` gave.
        address: of the page.

    Raises:
        RuntimeError: if Lighthouse has no score for the page.
    """
    with tempfile.TemporaryDirectory(prefix="course-lighthouse-") as folder:
        report = Path(folder, "report.json")
        options = ["--quiet", "--output=json", f"--output-path={report}", f"--only-categories={','.join(WANTED)}"]
        done = subprocess.run(
            [*command, address, *options, "--throttling-method=simulate", f"--chrome-flags={CHROMIUM}"],
            env=os.environ | {"CHROME_PATH": find_chromium()},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        found = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {"runtimeError": done.stderr}
    if "runtimeError" in found:
        raise RuntimeError(f"Lighthouse could not measure {address}: {found['runtimeError']}")
    audits = found["audits"]
    return {
        "scores": {name: found["categories"][name]["score"] for name in WANTED},
        "figures": {name: round(audits[audit].get("numericValue", 0), 3) for name, audit in FIGURES.items()},
        "failed": sorted(
            reference["id"]
            for name in ("accessibility", "best-practices")
            for reference in found["categories"][name]["auditRefs"]
            if reference["weight"] and audits[reference["id"]]["score"] == 0
        ),
    }


def main(
    pages: Annotated[list[str] | None, typer.Argument(help="such as book/index; every page, if none is named.")] = None,
    runs: Annotated[int, typer.Option(help="of which the one with the median performance counts.")] = 1,
) -> None:
    """Measure pages of build/book; ends with 1 where one is below what is wanted."""
    command = find_lighthouse()
    rows: dict[str, dict[str, Any]] = {}
    console.print(f"{'page':44}" + "".join(f"{name:>18}" for name in (*WANTED, *FIGURES)))
    with serve(book.BOOK) as address:
        for name in pages or [*parse_toc_yaml(book.ROOT / "_toc.yml"), "search"]:
            found = [measure(command, f"{address}/{name}.html") for _ in range(runs)]
            row = sorted(found, key=lambda run: run["scores"]["performance"])[runs // 2] | {"load": os.getloadavg()[0]}
            rows[name] = row
            console.print(
                f"{name:44}" + "".join(f"{v:>18g}" for v in (*row["scores"].values(), *row["figures"].values()))
            )
            RESULT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    below = [name for name, row in rows.items() if any(row["scores"][kind] < least for kind, least in WANTED.items())]
    console.print(
        f"{len(rows) - len(below)} of {len(rows)} pages have what is wanted; below: {', '.join(below) or 'none'}"
    )
    sys.exit(bool(below))


if __name__ == "__main__":
    typer.run(main)
