"""The layers that run in the page compute what PyTorch's layers compute, from the same weights."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.models.attention import MultiHeadAttention, causal_mask, scaled_dot_product_attention
from course_lib.models.vit import patchify, unpatchify
from tools.book import ROOT

SCRIPT = ROOT / "book" / "live" / "nn.js"

# Reads one call (a function's name and its arguments, tensors as {shape, data}), writes what it gives.
CALL = """
globalThis.window = globalThis;
require(process.argv[1]);
const plain = (key, value) => (value instanceof Float32Array ? Array.from(value) : value);
const { name, values } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const revive = (value) => (value && value.shape ? courseNN.tensor(value.shape, value.data) : value);
const table = (value) => Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, revive(entry)]));
const given = values.map((value) => {
  if (Array.isArray(value)) return value.map(revive);
  return value && typeof value === "object" && !value.shape ? table(value) : revive(value);
});
process.stdout.write(JSON.stringify(courseNN[name](...given), plain));
"""


def to_plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return {"shape": list(value.shape), "data": value.detach().flatten().tolist()}
    if isinstance(value, dict):
        return {key: to_plain(entry) for key, entry in value.items()}
    return [to_plain(entry) for entry in value] if isinstance(value, list) else value


def to_tensor(found: dict[str, Any]) -> Tensor:
    return torch.tensor(found["data"]).reshape(found["shape"])


def call(name: str, *values: Any) -> Any:
    """What a function of the script gives; tensors go in and come out as PyTorch's."""
    run = subprocess.run(
        ["node", "-e", CALL, str(SCRIPT)],
        input=json.dumps({"name": name, "values": to_plain(list(values))}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    if isinstance(found, list):
        return [to_tensor(entry) for entry in found]
    return to_tensor(found) if "shape" in found else {key: to_tensor(entry) for key, entry in found.items()}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "silu", "gelu"])
def test_activations_are_pytorch_s_also_far_from_zero(name: str) -> None:
    x = torch.cat([torch.linspace(-30, 30, 41), 1e-3 * torch.randn(20), torch.zeros(1)])
    same(call(name, x), getattr(F, name, getattr(torch, name, None))(x))


def test_softmax_does_not_overflow_and_gives_nothing_to_what_is_blocked() -> None:
    x = torch.tensor([[1000.0, 999.0, -torch.inf], [-1e4, -1e4, -1e4]])
    finite = x.clamp(min=-1e30)  # JSON has no infinity
    same(call("softmax", finite), x.softmax(-1))


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_takes_pytorch_s_weights(bias: bool) -> None:
    layer, x = nn.Linear(5, 3, bias=bias), torch.randn(2, 4, 5)
    same(call("linear", x, layer.weight, layer.bias), layer(x))


def test_a_batch_of_products_is_pytorch_s() -> None:
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5, 6)
    same(call("matmul", a, b), a @ b)


@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (1, 4), (2, 1, 1), (2, 3, 4)])
def test_the_second_of_a_sum_or_product_is_repeated(shape: tuple[int, ...]) -> None:
    a, b = torch.randn(2, 3, 4), torch.randn(shape)
    same(call("add", a, b), a + b)
    same(call("multiply", a, b), a * b)


def test_axes_are_moved_cut_and_joined_as_in_pytorch() -> None:
    x = torch.randn(2, 3, 4, 6)
    same(call("permute", x, [0, 2, 3, 1]), x.permute(0, 2, 3, 1))
    same(call("transpose", x), x.transpose(-2, -1))
    same(call("reshape", x, [2, -1, 3]), x.reshape(2, -1, 3))
    same(call("slice", x, 1, 3, 2), x[:, :, 1:3])
    same(call("slice", x, 2, 5, -1), x[..., 2:5])
    for found, wanted in zip(call("chunk", x, 3), x.chunk(3, dim=-1), strict=True):
        same(found, wanted)
    same(call("concat", [x, x[:, :1]], 1), torch.cat([x, x[:, :1]], dim=1))
    same(call("concat", [x, x], -1), torch.cat([x, x], dim=-1))
    same(call("mean", x, 1), x.mean(dim=1))


def test_an_embedding_looks_rows_up() -> None:
    weight = torch.randn(5, 3)
    same(call("embedding", [4, 0, 4], weight), weight[[4, 0, 4]])


def test_normalisations_are_pytorch_s_with_weights_and_without() -> None:
    x = 3 * torch.randn(2, 8, 4, 5) + 7
    layer, group = nn.LayerNorm(5), nn.GroupNorm(4, 8)
    for module in (layer, group):
        nn.init.normal_(module.weight)
        nn.init.normal_(module.bias)
    same(call("layerNorm", x, layer.weight, layer.bias), layer(x))
    same(call("layerNorm", x), F.layer_norm(x, [5]))
    same(call("layerNorm", x, layer.weight, layer.bias, 0.5), F.layer_norm(x, [5], layer.weight, layer.bias, eps=0.5))
    same(call("groupNorm", x, 4, group.weight, group.bias), group(x))


def test_attention_and_its_weights_are_the_course_s_with_a_mask_and_without() -> None:
    query, key, value = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 5, 6), torch.randn(2, 3, 5, 7)
    found = call("attention", query, key, value)
    output, weights = scaled_dot_product_attention(query, key, value)
    same(found["output"], output)
    same(found["weights"], weights)
    mask = causal_mask(5)[:4]
    found = call("attention", query, key, value, mask.float())
    output, weights = scaled_dot_product_attention(query, key, value, mask)
    same(found["output"], output)
    same(found["weights"], weights)


def test_heads_are_the_course_s() -> None:
    layer, x, memory = MultiHeadAttention(d_model=12, num_heads=3), torch.randn(2, 4, 12), torch.randn(2, 5, 12)
    found = call("multiHeadAttention", x, memory, dict(layer.state_dict()), 3)
    output, weights = layer(x, memory, memory)
    same(found["output"], output)
    same(found["weights"], weights)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (1, 1, 0), (3, 2, 0), (2, 2, 1), ((2, 3), 1, 1)])
def test_a_convolution_is_pytorch_s(kernel: Any, stride: int, padding: int) -> None:
    layer, x = nn.Conv2d(3, 4, kernel, stride=stride, padding=padding), torch.randn(2, 3, 6, 7)
    same(call("conv2d", x, layer.weight, layer.bias, {"stride": stride, "padding": padding}), layer(x))


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1)])
def test_a_transposed_convolution_is_pytorch_s_also_where_kernels_overlap(kernel: int, stride: int) -> None:
    layer, x = nn.ConvTranspose2d(3, 4, kernel, stride=stride), torch.randn(2, 3, 4, 5)
    same(call("convTranspose2d", x, layer.weight, layer.bias, {"stride": stride}), layer(x))


def test_pooling_keeps_the_largest_and_drops_an_edge_that_fills_no_square() -> None:
    x = torch.randn(2, 3, 6, 5) - 9
    same(call("maxPool2d", x, 2), F.max_pool2d(x, 2))


def test_patches_are_the_course_s_and_come_back() -> None:
    x = torch.randn(2, 3, 4, 6)
    patches = call("patchify", x, 2)
    same(patches, patchify(x, patch_size=2))
    same(call("unpatchify", patches, 2, [4, 6]), unpatchify(patches, patch_size=2, height=4, width=6))
    same(call("unpatchify", patches, 2, [4, 6]), x)


def test_shapes_that_do_not_meet_are_named() -> None:
    with pytest.raises(AssertionError, match="takes vectors of 5 numbers, not of 4"):
        call("linear", torch.randn(2, 4), torch.randn(3, 5))
    with pytest.raises(AssertionError, match=r"Shape \(3\) cannot be repeated to \(2, 4\)"):
        call("add", torch.randn(2, 4), torch.randn(3))
