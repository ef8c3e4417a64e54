"""Keep the outcome of each hostile test in build/hostile.json, for the page of the book that shows them."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

RECORD = Path(__file__).resolve().parents[2] / "build" / "hostile.json"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note whether a test held; a failure of its fixtures counts as a failure."""
    report = yield
    if report.when == "call" or report.outcome != "passed":
        note(RECORD, module=item.path.name, test=item.name, outcome=report.outcome)
    return report


def note(record: Path, *, module: str, test: str, outcome: str) -> None:
    """Write one outcome into the record, which is left alone where it says so already."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(record.with_suffix(".lock")):
        known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        if known.get(module, {}).get(test) != outcome:
            known.setdefault(module, {})[test] = outcome
            part = record.with_suffix(".part")
            part.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            part.replace(record)
