"""3. Patched comparison: arrays are compared elsewhere, and only arrays cross."""

from __future__ import annotations

import pytest

from tests.grading.hostile.conftest import WRONG, Attack

PATCHES = {
    "torch": "import torch\nfor n in ('allclose', 'isclose', 'equal', 'eq', 'ne', 'sub'):\n    setattr(torch, n, "
    "lambda *a, **k: True)\ntorch.Tensor.__eq__ = torch.Tensor.equal = lambda *a: True\n",
    "numpy": "import numpy as np, numpy.testing\nnp.allclose = np.isclose = np.array_equal = lambda *a, **k: True\n"
    "for n in dir(numpy.testing):\n    if 'assert' in n:\n        setattr(numpy.testing, n, lambda *a, **k: None)\n",
    "builtins": "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.max = lambda *a, **k: 0\n",
    "safetensors": "import safetensors.torch as s\nright = s.save\ns.save = lambda *a, **k: right(*a, **k)[::-1]\n",
}

OBJECTS = {
    "equal to everything": "class Same:\n    def __eq__(self, other): return True\n    def __ne__(self, o): return 0\n"
    "    def __getattr__(self, name): return self\n    def __call__(self, *a, **k): return self\n"
    "def double(x):\n    return Same()\n",
    "a tensor subclass": "import torch\nclass Same(torch.Tensor):\n    @classmethod\n"
    "    def __torch_function__(cls, f, types, args=(), kwargs=None): return True\n"
    "def double(x):\n    return (0 * x).as_subclass(Same)\n",
    "a number that equals all": "class Same(float):\n    def __eq__(self, o): return True\n"
    "    __hash__ = float.__hash__\ndef double(x):\n    return Same(0.0)\n",
    "text that equals all": "class Same(str):\n    def __eq__(self, o): return True\n"
    "    __hash__ = str.__hash__\ndef double(x):\n    return Same('')\n",
    "a class posing as a tensor": "import torch\nclass Same:\n    __class__ = torch.Tensor\n    shape = (2, 5, 3)\n"
    "def double(x):\n    return Same()\n",
    "a dtype of wide tolerance": "import torch\ndef double(x):\n    return (0 * x).to(torch.bfloat16)\n",
    "a broadcast of one number": "import torch\ndef double(x):\n    return torch.zeros(1).expand(x.shape)\n",
}


@pytest.mark.parametrize("name", PATCHES)
def test_a_patched_library_earns_nothing(attack: Attack, name: str) -> None:
    attack(PATCHES[name] + WRONG, rest=False)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_that_flatters_the_comparison_earns_nothing(attack: Attack, name: str) -> None:
    attack(OBJECTS[name])
