"""1. Edited metadata: what counts is the text of the answer cells, found by their ids."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.grading.hostile.conftest import WRONG, Attack, Edit


def _graded(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [c for c in value["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "check-double"]


def _skip_execution(value: dict[str, Any]) -> None:
    for cell in value["cells"]:
        cell["metadata"]["tags"] = ["skip-execution"]


def _delete_grade_cell(value: dict[str, Any]) -> None:
    value["cells"].remove(_graded(value)[0])


def _duplicate_grade_cell(value: dict[str, Any]) -> None:
    extra = copy.deepcopy(_graded(value)[0])
    extra["source"] = "2.0"
    value["cells"].append(extra)


def _markdown(value: dict[str, Any]) -> None:
    for cell in value["cells"]:
        cell["cell_type"] = "markdown"


def _hundred_points(value: dict[str, Any]) -> None:
    for cell in value["cells"]:
        cell["metadata"].get("nbgrader", {})["points"] = 100


def _other_id(value: dict[str, Any]) -> None:
    _graded(value)[0]["metadata"]["nbgrader"]["grade_id"] = "nothing"


def _graded_by_hand(value: dict[str, Any]) -> None:
    for cell in value["cells"]:
        cell["metadata"].get("nbgrader", {}).update(grade=True, solution=True, task=True)


def _number_in_the_grade_cell(value: dict[str, Any]) -> None:
    _graded(value)[0].update(source="2.0", metadata={"nbgrader": {"grade_id": "check-double", "grade": True}})


def _finished_outputs(value: dict[str, Any]) -> None:
    for cell in value["cells"]:
        cell["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": "2.0"}, "execution_count": 1}]


def _checksums(value: dict[str, Any]) -> None:
    for cell in value["cells"]:
        cell["metadata"].get("nbgrader", {}).update(checksum="0" * 32, schema_version=99)


@pytest.mark.parametrize(
    "edit",
    [
        _skip_execution,
        _delete_grade_cell,
        _duplicate_grade_cell,
        _markdown,
        _hundred_points,
        _other_id,
        _graded_by_hand,
        _number_in_the_grade_cell,
        _finished_outputs,
        _checksums,
    ],
)
def test_no_edit_of_the_metadata_earns_anything(attack: Attack, edit: Edit) -> None:
    result = attack(WRONG, edit=edit)
    assert (result.earned, result.points) == (4, 6)
