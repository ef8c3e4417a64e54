"""Models that run in the page: a cell hands trained weights to its page, and the reader's browser computes with them.

    publish("language", model.state_dict(), about={"num_heads": 4}, still=to_svg(figure, alt="..."))

The weights travel in the cell's output, as a number that `course_lib.page.record` keeps does, so they are cached with
the page and need no file beside it. The page shows nothing of them: the build writes them to a file of their own, which
is loaded when the reader starts the model (`{live}`, book/_ext/course_live.py).

Weights are rounded to float16, which halves what a reader loads. `rounded` gives the same numbers to PyTorch; the
browser computes with them in float32.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from IPython.display import display

if TYPE_CHECKING:  # the build of the pages imports this module too, and has no use for PyTorch
    from torch import Tensor

_RECORD = "application/papermill.record/"
PREFIX = "live "
"""What the names of published weights begin with, among the records of a page."""
MIME = "application/x-course-live"


def rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The numbers that the browser computes with: each rounded to float16, as float32 again.

    Args:
        tensors: such as a model's `state_dict()`.

    Returns:
        Tensors of the same shapes under the same names.
    """
    return {name: tensor.detach().half().float() for name, tensor in tensors.items()}


def publish(
    name: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any] | None = None, *, still: str = ""
) -> None:
    """Hand weights to the page's `{live}`; the notebook shows nothing.

    Args:
        name: of the model: small letters, digits and hyphens; one of its kind in the book.
        tensors: floating-point tensors of any shapes by their names, such as a model's `state_dict()`.
        about: what the script must know beside the weights, as JSON has it: sizes, words, examples.
        still: the picture that stands in the page until the model is started, from `course_lib.figures.to_svg`.

    Raises:
        ValueError: if the name has other characters, or a tensor is not of floats or not finite once rounded.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"A model is published under small letters, digits and hyphens, not {name!r}.")
    places: dict[str, dict[str, Any]] = {}
    parts: list[np.ndarray[Any, Any]] = []
    offset = 0
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(
                f"Weights are floating-point numbers, but {key} of {name} holds {tensor.dtype}: leave it out."
            )
        half = tensor.detach().cpu().half()
        if not half.isfinite().all():
            raise ValueError(f"{key} of {name} holds a number that is not finite in float16, whose largest is 65504.")
        places[key] = {"shape": list(half.shape), "offset": offset}
        parts.append(half.numpy().ravel().astype("<f2"))
        offset += half.numel()
    content = {
        "about": dict(about or {}),
        "tensors": places,
        "data": base64.b64encode(b"".join(part.tobytes() for part in parts)).decode("ascii"),
        "still": still,
    }
    display(
        {f"{_RECORD}{MIME}": json.dumps(content, ensure_ascii=False)},
        raw=True,
        metadata={"scrapbook": {"name": f"{PREFIX}{name}", "mime_prefix": _RECORD}},
    )
