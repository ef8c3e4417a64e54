"""Values cross as bytes unchanged; what may not cross is refused on both sides, without large allocations."""

from __future__ import annotations

import collections
import json
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.check.values import DTYPES, MAX_DEPTH, MAX_ELEMENTS, MAX_ITEMS, Code, Seed, ValueRefused, pack, unpack


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    numbers = torch.tensor(draw(st.lists(st.integers(0, 100), min_size=1, max_size=9)))
    return torch.arange(math.prod(shape)).reshape(shape).add(numbers[0]).remainder(97).to(dtype)


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(),
    st.text(max_size=20),
    tensors(),
    st.builds(Code, st.text(max_size=10), st.text(max_size=5)),
    st.builds(Seed, st.integers(0, 2**40)),
)
nested = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=8), inner, max_size=4),
    ),
    max_leaves=12,
)


def assert_identical(first: Any, second: Any) -> None:
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert first.shape == second.shape
        assert torch.equal(first, second)
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_identical(one, other)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_identical(first[key], second[key])
    elif isinstance(first, float) and math.isnan(first):
        assert math.isnan(second)
    else:
        assert first == second


@settings(max_examples=150, deadline=None)
@given(nested)
def test_what_is_unpacked_is_what_was_packed(value: Any) -> None:
    assert_identical(unpack(pack(value)), value)


@settings(max_examples=30, deadline=None)
@given(nested)
def test_the_same_value_gives_the_same_bytes(value: Any) -> None:
    assert pack(value) == pack(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, 0.1, -0.0, 2**63 - 1, "\ud800", "ä\x00"])
def test_awkward_scalars_survive(value: Any) -> None:
    back = unpack(pack(value))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_a_state_dict_arrives_as_a_dict() -> None:
    state = nn.Linear(2, 3).state_dict()
    arrived = unpack(pack(state))
    assert type(arrived) is dict
    assert arrived.keys() == state.keys()
    assert all(torch.equal(arrived[name], state[name]) for name in state)


def test_strided_views_arrive_with_their_own_entries() -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    for view in (base.mT, base[:, ::2], base.expand(2, 2, 3, 4), base.flip(0), torch.complex(base, base).conj().imag):
        assert torch.equal(unpack(pack(view)), view)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(3), torch.arange(3)),
        (np.float32(1.5), 1.5),
        (np.bool_(True), True),
        (np.array(2.5), torch.tensor(2.5, dtype=torch.float64)),
        (np.arange(4)[::-1], torch.tensor([3, 2, 1, 0])),
        (np.broadcast_to(np.array(1.0), (2, 2)), torch.ones(2, 2, dtype=torch.float64)),
    ],
)
def test_numpy_arrives_as_tensors_and_numbers(array: Any, expected: Any, recwarn: pytest.WarningsRecorder) -> None:
    assert_identical(unpack(pack(array)), expected)
    assert not recwarn.list


class Sub(torch.Tensor):
    pass


class Liar:
    __class__ = torch.Tensor  # type: ignore[assignment]


class Endless(list):
    def __iter__(self) -> Any:
        return iter(int, 1)


class Key(str):
    __slots__ = ()


def deep(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


def patched() -> torch.Tensor:
    tensor = torch.zeros(3)
    tensor.detach = lambda: "gotcha"  # type: ignore[method-assign]
    return tensor


REFUSED = {
    "object array": (lambda: np.array([print, None], dtype=object), "object"),
    "text array": (lambda: np.array(["a"]), "dtype"),
    "long double": (lambda: np.longdouble(1), "longdouble"),
    "long double array": (lambda: np.ones(2, dtype=np.longdouble), "float128"),
    "date": (lambda: np.datetime64("2020-01-01"), "datetime64"),
    "byte order": (lambda: np.ones(2, dtype=">f8"), ">f8"),
    "masked array": (lambda: np.ma.masked_array([1.0]), "MaskedArray"),
    "tensor subclass": (lambda: torch.zeros(2).as_subclass(Sub), "Sub"),
    "liar": (Liar, "Liar"),
    "patched tensor": (patched, "cannot be read"),
    "sparse": (lambda: torch.zeros(2, 2).to_sparse(), "sparse"),
    "nested tensor": (lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]), "nested"),
    "meta": (lambda: torch.zeros(2, device="meta"), "meta"),
    "complex": (lambda: torch.zeros(2, dtype=torch.complex64), "complex64"),
    "float8": (lambda: torch.zeros(2).to(torch.float8_e5m2), "float8"),
    "expanded": (lambda: torch.zeros(1).expand(2**40), "larger than can be returned"),
    "expanded array": (lambda: np.broadcast_to(np.zeros(1), (2**40,)), "elements"),
    "many tensors": (lambda: [torch.zeros(1).expand(MAX_ELEMENTS // 2)] * 3, "larger than can be returned"),
    "deep": (lambda: deep(MAX_DEPTH + 2), "levels deep"),
    "very deep": (lambda: deep(100_000), "levels deep"),
    "many items": (lambda: [None] * (MAX_ITEMS + 1), "items"),
    "much text": (lambda: ["x" * 150_000] * 40, "bytes of text"),
    "long text": (lambda: "x" * 10**6, "characters"),
    "integer keys": (lambda: {1: 2}, "keys"),
    "key subclass": (lambda: {Key("a"): 1}, "keys"),
    "long key": (lambda: {"x" * 10**6: 1}, "keys"),
    "large int": (lambda: 2**63, "64 bits"),
    "generator": (lambda: (i for i in range(3)), "generator"),
    "endless list": (lambda: Endless([1]), "Endless"),
    "counter": (collections.Counter, "Counter"),
    "module": (lambda: torch.nn.Linear(1, 1), "Linear"),
    "set": (lambda: {1}, "set"),
    "complex number": (lambda: 1j, "complex"),
    "bytes": (lambda: b"abc", "bytes"),
    "function": (lambda: print, "builtin_function_or_method"),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(name: str) -> None:
    make, says = REFUSED[name]
    with pytest.raises(ValueRefused) as refusal:
        pack(make())
    assert says in str(refusal.value)


@pytest.mark.parametrize("name", ["expanded", "expanded array", "many tensors", "many items"])
def test_refusing_allocates_little(name: str) -> None:
    value = REFUSED[name][0]()
    tracemalloc.start()
    with pytest.raises(ValueRefused):
        pack(value)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_a_refusal_says_where_in_the_value() -> None:
    with pytest.raises(ValueRefused, match=r"the value\[1\]\['scores'\]"):
        pack((1, {"scores": object()}))


def blob(tree: Any, tensors: dict[str, torch.Tensor] | None = None) -> bytes:
    text = tree if isinstance(tree, str) else json.dumps(tree)
    return safetensors.torch.save(tensors or {}, metadata={"tree": text})


def header(text: bytes, size: int | None = None, body: bytes = b"") -> bytes:
    return (len(text) if size is None else size).to_bytes(8, "little") + text + body


HOSTILE = {
    "empty": b"",
    "short": b"\x01",
    "no header": b"\x00" * 8,
    "header of terabytes": header(b"{}", 2**42),
    "header beyond the bytes": header(b"{}", 10**6),
    "tensor of terabytes": header(b'{"0":{"dtype":"F64","shape":[1099511627776],"data_offsets":[0,8796093022208]}}'),
    "shape beyond its bytes": header(b'{"0":{"dtype":"F64","shape":[1000000],"data_offsets":[0,8]}}', body=b"\x00" * 8),
    "shape that overflows": header(
        b'{"0":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}', body=b""
    ),
    "negative shape": header(b'{"0":{"dtype":"F64","shape":[-1],"data_offsets":[0,8]}}', body=b"\x00" * 8),
    "no metadata": safetensors.torch.save({"0": torch.zeros(1)}),
    "tree is no JSON": blob("{"),
    "nested bomb": blob("[" * 500_000),
    "nested dicts": blob('{"list":[' * 50_000 + "]}" * 50_000),
    "nested too deep": blob('{"list":[' * (MAX_DEPTH + 2) + "]}" * (MAX_DEPTH + 2)),
    "many items": blob({"list": [None] * (MAX_ITEMS + 1)}),
    "header of many lists": header(b'{"__metadata__":{"tree":"' + b"[]," * 5_000_000 + b'"}}'),
    "bare list": blob([1, 2]),
    "unknown kind": blob({"pickle": "gASVJAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAl0b3VjaCAvdG1wlIWUUpQu"}),
    "two kinds": blob({"list": [], "tuple": []}),
    "missing tensor": blob({"tensor": 7}),
    "tensor by text": blob({"tensor": "__metadata__"}),
    "huge int": blob("9" * 4000),
    "longer int": blob("9" * 100_000),
    "float8": blob({"tensor": 0}, {"0": torch.zeros(2).to(torch.float8_e5m2)}),
    "not a float": blob({"float": "0.5"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_in_bounded_memory(name: str) -> None:
    tracemalloc.start()
    with pytest.raises(ValueRefused):
        unpack(HOSTILE[name])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueRefused):
        unpack(data)


def test_every_truncation_is_refused() -> None:
    whole = pack({"a": torch.arange(4.0), "b": [1, "two"]})
    for end in range(len(whole)):
        with pytest.raises(ValueRefused):
            unpack(whole[:end])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_gives_a_value_or_a_refusal(position: int, flip: int) -> None:
    whole = bytearray(pack({"a": torch.arange(4.0), "b": [1, "two"]}))
    whole[position % len(whole)] ^= flip
    try:
        value = unpack(bytes(whole))
    except ValueRefused:
        return
    assert pack(value)


def test_a_message_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(ValueRefused, match="larger"):
        unpack(bytes(200 * 1024 * 1024))


def test_the_courses_own_files_may_be_longer_than_a_message() -> None:
    value = [0] * (3 * MAX_ITEMS)
    with pytest.raises(ValueRefused):
        pack(value)
    assert unpack(pack(value, trusted=True), trusted=True) == value
    with pytest.raises(ValueRefused):
        unpack(pack(value, trusted=True))
