"""What a chapter's cell hands to a figure that a reader changes: its numbers as they are, and a text."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from course_lib import interactive

TABLE = torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.1, 0.9]])
LABELS = {"row_title": "written", "column_title": "read"}


def test_an_element_holds_its_values_and_its_text_whatever_letters_they_have() -> None:
    words = ["<start>", 'a "b" & c’s', "è"]
    found = ElementTree.fromstring(interactive.element("weights", {"rows": words}, alt="Words:\n  a < b & c."))
    assert found.attrib["data-figure"] == "weights"
    assert json.loads(found.attrib["data-values"]) == {"rows": words}
    assert found.text == "Words: a < b & c."


def test_weights_arrive_under_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(interactive, "display", lambda data, raw: shown.append(data))
    interactive.show_weights({"head 1": TABLE}, ["x", "y", "z"], ["a", "b"], alt="Three look at two.", **LABELS)
    [data] = shown
    assert data["text/plain"] == "Three look at two."
    values = json.loads(ElementTree.fromstring(data["text/html"]).attrib["data-values"])
    [table] = values["tables"]
    assert table["title"] == "head 1"
    torch.testing.assert_close(torch.tensor(table["weights"]), TABLE)
    assert (values["rows"], values["columns"]) == (["x", "y", "z"], ["a", "b"])
    assert (values["row_title"], values["column_title"], values["beside"]) == ("written", "read", False)


@pytest.mark.parametrize(
    ("rows", "alt", "message"), [(2, "a", "shape .3, 2. for .2, 2. labels"), (3, " ", "alternative")]
)
def test_weights_that_do_not_fit_their_labels_or_have_no_text_are_refused(rows: int, alt: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        interactive.show_weights({"t": TABLE}, "xyz"[:rows], ["a", "b"], alt=alt, **LABELS)
