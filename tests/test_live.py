"""Weights that a cell publishes arrive as they were, rounded to float16, and nothing unusable is published."""

import base64
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib import live


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
    calls: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr(live, "display", lambda data, raw, metadata: calls.append((data, metadata)))
    return calls


def read(content: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The weights of published content, by the description of the format alone."""
    numbers = np.frombuffer(base64.b64decode(content["data"]), dtype="<f2").astype(np.float32)
    found = {}
    for name, place in content["tensors"].items():
        count = int(np.prod(place["shape"]))
        found[name] = numbers[place["offset"] : place["offset"] + count].reshape(place["shape"])
    return found


def test_published_weights_are_the_rounded_ones(shown: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    model = torch.nn.Linear(3, 2)
    tensors = model.state_dict() | {"scalar": torch.tensor(0.1), "none": torch.empty(0, 4)}
    live.publish("a-model", tensors, {"words": ["è"]}, still="<svg/>")
    [(data, metadata)] = shown
    assert metadata == {"scrapbook": {"name": "live a-model", "mime_prefix": "application/papermill.record/"}}
    [(mime, text)] = data.items()
    assert mime == f"application/papermill.record/{live.MIME}"
    content = json.loads(text)
    assert (content["about"], content["still"]) == ({"words": ["è"]}, "<svg/>")
    found = read(content)
    assert found.keys() == tensors.keys()
    for name, tensor in live.rounded(tensors).items():
        assert np.array_equal(found[name], tensor.numpy())


@given(st.floats(-60000, 60000, width=32))
def test_rounding_changes_a_number_by_half_a_step_of_float16_at_most(value: float) -> None:
    [found] = live.rounded({"x": torch.tensor(value)}).values()
    assert found.dtype == torch.float32
    assert abs(found.item() - value) <= max(abs(value) * 2**-11, 2**-25)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("A model", torch.ones(1), "not 'A model'"),
        ("counts", torch.ones(1, dtype=torch.long), "floating-point numbers, but weight of counts"),
        ("large", torch.full((1,), 1e6), "not finite in float16"),
        ("lost", torch.full((1,), torch.nan), "not finite in float16"),
    ],
)
def test_what_a_page_could_not_use_is_refused(name: str, tensor: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        live.publish(name, {"weight": tensor})
