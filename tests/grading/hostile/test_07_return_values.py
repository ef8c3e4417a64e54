"""7. Hostile return values: what is no plain array or number of the right shape and type earns nothing."""

from __future__ import annotations

import resource

import pytest

from tests.grading.hostile.conftest import Attack

VALUES = {
    "pickle": "__import__('pickle').dumps(x)",
    "an object array": "np.array([object()] * 3, dtype=object)",
    "a structured array": "np.zeros((2, 5, 3), dtype=[('a', 'f8')])",
    "text array": "np.array(['2'] * 30).reshape(2, 5, 3)",
    "huge by expansion": "torch.zeros(1).expand(10**9)",
    "huge by stride": "torch.zeros(1).as_strided((10**6, 10**6), (0, 0))",
    "huge and empty": "torch.zeros(0, 10**15)",
    "meta": "torch.empty(2, 5, 3, device='meta')",
    "sparse": "x.to_sparse()",
    "nested": "torch.nested.nested_tensor([x[0], x[1]])",
    "quantized": "torch.quantize_per_tensor(x.float(), 0.1, 0, torch.qint8)",
    "nan": "x * float('nan')",
    "infinite": "x / 0.0",
    "complex": "x * 2j",
    "integers": "(2 * x).long()",
    "half": "(2 * x).half()",
    "transposed": "(2 * x).transpose(-2, -1)",
    "flattened": "(2 * x).flatten()",
    "one axis more": "(2 * x)[None]",
    "in a list": "[2 * x]",
    "as numbers": "(2 * x).tolist()",
    "deep nesting": "deep(10_000)",
    "itself": "loop()",
    "a generator": "(2 * row for row in x)",
    "an endless iterator": "__import__('itertools').count()",
    "an endless length": "Endless()",
    "an endless mapping": "EndlessDict()",
    "ten million items": "[0] * 10_000_000",
    "long text": "'x' * 100_000_000",
    "a long integer": "10 ** 10_000",
    "odd keys": "{1: x, None: x}",
    "a function": "double",
    "a module": "torch",
    "an exception": "ValueError('x')",
    "none": "None",
    "an open file": "open('/dev/zero')",
    "raises when looked at": "Touchy()",
    "lies about its shape": "Liar()",
    "requires a hook": "hooked(x)",
}

SET_UP = """
import numpy as np
def deep(n):
    value = []
    for _ in range(n):
        value = [value]
    return value
def loop():
    value = []
    value.append(value)
    return value
class Endless(list):
    def __len__(self): return 2 ** 62
    def __iter__(self):
        while True:
            yield 0
class EndlessDict(dict):
    def items(self):
        while True:
            yield "a", 0
    keys = values = __iter__ = items
class Touchy:
    def __getattribute__(self, name): raise MemoryError(name)
class Liar(torch.Tensor):
    shape = (2, 5, 3)
    def numel(self): return 30
    def detach(self): return self
    def clone(self, **k): return self
def hooked(x):
    y = (0 * x).requires_grad_(True)
    y.register_hook(lambda g: 2 * g)
    return y
"""


@pytest.mark.parametrize("name", VALUES)
def test_the_value_earns_nothing_and_costs_little(attack: Attack, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attack(SET_UP + f"def double(x):\n    return {VALUES[name]}\n")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
