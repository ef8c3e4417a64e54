"""Values that cross between the course and a student's code, as bytes.

A value is ``None``, a bool, int, float or string, a dense CPU tensor, or a list, tuple or
string-keyed dict of values. Nothing else is sent and nothing else is accepted: no pickle, no
object arrays, no tensor subclasses. Two more kinds exist for what the course hands *to* the
student's code: :class:`Code` (a small function given as an argument) and :class:`Seed`
(a ``torch.Generator``).

The bytes are one safetensors blob: the tensors by index, and the tree that refers to them as
JSON in the blob's metadata. The same bytes are a recorded case on disk and a message on a pipe.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import TensorSpec, serialize

DTYPES = (
    torch.bool,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
)
MAX_ELEMENTS = 8_000_000
MAX_BYTES = 128 * 1024 * 1024
MAX_DEPTH = 12
MAX_ITEMS = 20_000
MAX_TEXT = 200_000
MAX_TREE_BYTES = 4 * 1024 * 1024


class ValueRefused(ValueError):
    """A value that cannot be sent or that should not have arrived. The message is for the student."""


@dataclass(frozen=True)
class Code:
    """A function handed to the student's code, as the source that defines ``name``."""

    source: str
    name: str


@dataclass(frozen=True)
class Seed:
    """A ``torch.Generator`` seeded with ``value``, handed to the student's code."""

    value: int


def pack(value: Any, *, trusted: bool = False) -> bytes:
    """Encode a value as bytes.

    Args:
        value: what to encode.
        trusted: the value is the course's own and may have any number of items.

    Raises:
        ValueRefused: the value holds something that may not cross; the message says what and where.
    """
    tensors: dict[str, torch.Tensor] = {}
    budget = [_max_items(trusted), MAX_ELEMENTS]
    try:
        tree = json.dumps(_encode(value, tensors, budget, "the value", 0), separators=(",", ":"))
        if len(tree) > MAX_TREE_BYTES and not trusted:
            raise ValueRefused(f"the value holds {len(tree)} bytes of text and names, more than can be returned")
        return bytes(serialize({name: _spec(tensor) for name, tensor in tensors.items()}, {"tree": tree}))
    except ValueRefused:
        raise
    except Exception as error:
        raise ValueRefused(f"the value cannot be read ({type(error).__name__})") from error


def unpack(blob: bytes, *, trusted: bool = False) -> Any:
    """Decode what :func:`pack` wrote. Hostile bytes raise :class:`ValueRefused`, and allocate nothing large.

    Args:
        blob: the bytes.
        trusted: they are a file of the course's own, of any number of items.

    Raises:
        ValueRefused: the bytes are not a value of ours.
    """
    if len(blob) > MAX_BYTES:
        raise ValueRefused(f"a message of {len(blob)} bytes is larger than the {MAX_BYTES} allowed")
    try:
        size = int.from_bytes(blob[:8], "little")
        if size > 2 * MAX_TREE_BYTES and not trusted:  # twice: it is JSON within JSON, with its quotes escaped
            raise ValueRefused(f"a message whose header claims {size} bytes")
        tensors = safetensors.torch.load(bytes(blob))
        tree = json.loads(json.loads(blob[8 : 8 + size])["__metadata__"]["tree"])
        return _decode(tree, tensors, [_max_items(trusted)], 0)
    except ValueRefused:
        raise
    except Exception as error:
        raise ValueRefused(f"a message that is not a value ({type(error).__name__})") from error


def _max_items(trusted: bool) -> int:
    return 10_000_000 if trusted else MAX_ITEMS


def type_name(kind: type) -> str:
    """Name of a class, asked past any metaclass of the student's."""
    return str(type.__dict__["__name__"].__get__(kind))


def _encode(value: Any, tensors: dict[str, torch.Tensor], budget: list[int], where: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueRefused(f"{where} is nested more than {MAX_DEPTH} levels deep")
    budget[0] -= 1
    if budget[0] < 0:
        raise ValueRefused(f"{where} has more than {MAX_ITEMS} items")
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        if abs(value) >= 2**63:
            raise ValueRefused(f"{where} is an integer beyond 64 bits")
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is str:
        if len(value) > MAX_TEXT:
            raise ValueRefused(f"{where} is a string of {len(value)} characters; at most {MAX_TEXT} may be returned")
        return value
    if kind in (list, tuple):
        items = [
            _encode(item, tensors, budget, f"{where}[{i}]", depth + 1)
            for i, item in enumerate(list(value)[: budget[0] + 1])
        ]
        return {"list" if kind is list else "tuple": items}
    if kind in (dict, OrderedDict):  # a state_dict is an OrderedDict; it arrives as a dict
        if not all(type(key) is str and len(key) <= MAX_TEXT for key in value):
            raise ValueRefused(f"{where} is a dict whose keys are not all short strings")
        return {
            "dict": {key: _encode(item, tensors, budget, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
        }
    if kind is Code:
        return {"code": [value.source, value.name]}
    if kind is Seed:
        return {"seed": value.value}
    if issubclass(kind, np.generic):
        item = np.generic.item(value)
        if type(item) not in (bool, int, float, str):
            raise ValueRefused(f"{where} is a NumPy value of type {type_name(kind)}; a number was expected")
        return _encode(item, tensors, budget, where, depth)
    if kind is np.ndarray:
        if value.dtype.kind not in "biuf":
            raise ValueRefused(f"{where} is a NumPy array of dtype {value.dtype}; numbers or booleans were expected")
        if value.size > budget[1]:
            raise ValueRefused(f"{where} has {value.size} elements, more than can be returned")
        try:
            value, kind = torch.from_numpy(np.array(value, order="C")), torch.Tensor
        except (TypeError, ValueError):
            raise ValueRefused(
                f"{where} is a NumPy array of dtype {value.dtype}, which PyTorch does not know"
            ) from None
    if kind in (torch.Tensor, torch.nn.Parameter):
        tensors[str(len(tensors))] = _plain(value, budget, where)
        return {"tensor": len(tensors) - 1}
    raise ValueRefused(
        f"{where} is of type {type_name(kind)}; a tensor, number, string, list, tuple or dict was expected"
    )


def _plain(tensor: torch.Tensor, budget: list[int], where: str) -> torch.Tensor:
    if tensor.is_nested or tensor.layout != torch.strided or tensor.device.type != "cpu":
        kind = "nested" if tensor.is_nested else f"{tensor.layout}"
        raise ValueRefused(f"{where} is a {kind} tensor on {tensor.device}; a dense CPU tensor was expected")
    if tensor.dtype not in DTYPES:
        raise ValueRefused(f"{where} is a tensor of {tensor.dtype}, which is not accepted")
    budget[1] -= tensor.numel()
    if budget[1] < 0:
        raise ValueRefused(f"{where}, of shape {tuple(tensor.shape)}, is larger than can be returned")
    return tensor.detach().resolve_neg().clone(memory_format=torch.contiguous_format)


def _spec(tensor: torch.Tensor) -> TensorSpec:
    """Where the bytes of a contiguous tensor are; safetensors' own way there takes ten times as long."""
    name = str(tensor.dtype).removeprefix("torch.")
    return TensorSpec(dtype=name, shape=tensor.shape, data_ptr=tensor.data_ptr(), data_len=tensor.nbytes)


def _decode(tree: Any, tensors: dict[str, torch.Tensor], budget: list[int], depth: int) -> Any:
    budget[0] -= 1
    if depth > MAX_DEPTH or budget[0] < 0:
        raise ValueRefused("a message nested too deeply or with too many items")
    if tree is None or type(tree) in (bool, float, str):
        return tree
    if type(tree) is int:
        if abs(tree) >= 2**63:
            raise ValueRefused("an integer beyond 64 bits")
        return tree
    ((kind, body),) = tree.items()
    if kind == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[body]
    if kind in ("list", "tuple"):
        items = [_decode(item, tensors, budget, depth + 1) for item in body]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {str(key): _decode(item, tensors, budget, depth + 1) for key, item in body.items()}
    if kind == "tensor":
        tensor = tensors[str(int(body))]
        if tensor.dtype not in DTYPES or tensor.numel() > MAX_ELEMENTS:
            raise ValueRefused(f"a tensor of {tensor.dtype} and {tensor.numel()} elements, which is not accepted")
        return tensor
    if kind == "code":
        return Code(*map(str, body))
    if kind == "seed":
        return Seed(int(body))
    raise ValueRefused(f"a message with an unknown kind of value {kind!r}")
