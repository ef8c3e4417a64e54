"""The vision transformer against convolutions and PyTorch's own layers with copied weights, and what it promises."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.models.twins import layer_twin
from course_lib.data.translation import END, PAD, START
from course_lib.models.attention import causal_mask
from course_lib.models.positions import sinusoidal_positions
from course_lib.models.vit import (
    CaptionDecoder,
    Captioner,
    PatchEmbedding,
    VisionTransformer,
    attention_rollout,
    patch_weight_from_conv,
    patchify,
    unpatchify,
)


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Patches

sizes = st.fixed_dictionaries(
    {name: st.integers(1, 3) for name in ("batch", "channels", "rows", "columns")} | {"patch_size": st.integers(1, 4)}
)


def image_of(sizes: dict[str, int]) -> Tensor:
    side = sizes["patch_size"]
    return randn(sizes["batch"], sizes["channels"], sizes["rows"] * side, sizes["columns"] * side)


def test_an_image_of_two_by_three_patches_is_laid_out_by_hand() -> None:
    image = torch.arange(24.0).view(1, 1, 4, 6)
    expected = [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11], [12, 13, 18, 19], [14, 15, 20, 21], [16, 17, 22, 23]]
    assert patchify(image, patch_size=2).tolist() == [expected]


def test_a_patch_holds_its_first_channel_before_its_second() -> None:
    image = torch.stack([torch.zeros(2, 2), torch.ones(2, 2)])[None]
    assert patchify(image, patch_size=2).tolist() == [[[0, 0, 0, 0, 1, 1, 1, 1]]]


@settings(deadline=None, max_examples=30)
@given(sizes=sizes)
def test_patches_are_those_of_unfold(sizes: dict[str, int]) -> None:
    image, side = image_of(sizes), sizes["patch_size"]
    assert torch.equal(patchify(image, patch_size=side), F.unfold(image, side, stride=side).transpose(1, 2))


@settings(deadline=None, max_examples=30)
@given(sizes=sizes)
def test_patches_put_back_are_the_image(sizes: dict[str, int]) -> None:
    image, side = image_of(sizes), sizes["patch_size"]
    patches = patchify(image, patch_size=side)
    assert torch.equal(unpatchify(patches, patch_size=side, height=image.shape[2], width=image.shape[3]), image)


@settings(deadline=None, max_examples=20)
@given(sizes=sizes)
def test_a_linear_layer_on_patches_is_a_convolution_with_stride_and_kernel_of_a_patch(sizes: dict[str, int]) -> None:
    image, side = image_of(sizes), sizes["patch_size"]
    conv = nn.Conv2d(sizes["channels"], 5, kernel_size=side, stride=side)
    embedding = PatchEmbedding(in_channels=sizes["channels"], patch_size=side, d_model=5)
    embedding.projection.load_state_dict({"weight": patch_weight_from_conv(conv.weight.detach()), "bias": conv.bias})
    expected = conv(image).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embedding(image), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 4, 5), (1, 1, 5, 4)])
def test_an_image_that_patches_do_not_fill_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fill an image of"):
        patchify(randn(*shape), patch_size=2)


def test_patches_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="have 6 patches with a multiple of 4 numbers each"):
        unpatchify(randn(1, 5, 4), patch_size=2, height=4, width=6)


# The model

SIZES: dict[str, Any] = {
    "image_size": (4, 6),
    "patch_size": 2,
    "in_channels": 3,
    "num_classes": 5,
    "d_model": 12,
    "num_heads": 3,
    "num_layers": 2,
    "dim_feedforward": 20,
}


def small_model(**options: Any) -> VisionTransformer:
    return VisionTransformer(**(SIZES | options))


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_the_model_is_a_convolution_positions_and_pytorchs_encoder_layers(pool: Any) -> None:
    model, images = small_model(pool=pool), randn(2, 3, 4, 6)
    conv = nn.Conv2d(3, 12, kernel_size=2, stride=2)
    projection = model.patch_embedding.projection
    conv.load_state_dict({"weight": projection.weight.view(12, 3, 2, 2), "bias": projection.bias})
    x = conv(images).flatten(2).transpose(1, 2)
    if pool == "class":
        x = torch.cat([model.class_token.expand(2, 1, 12), x], dim=1)
    x = x + model.positions
    for block in model.blocks:
        x = layer_twin(block)(x)  # type: ignore[arg-type]
    torch.testing.assert_close(model.encode(images), x)
    torch.testing.assert_close(model(images), model.head(x[:, 0] if pool == "class" else x.mean(dim=1)))


def test_the_gradient_reaches_every_weight_and_every_pixel() -> None:
    images = randn(2, 3, 4, 6).requires_grad_()
    model = small_model()
    model(images).square().sum().backward()
    assert images.grad is not None and (images.grad != 0).all()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    # A bias of keys moves all scores of a row alike, which the softmax does not see.
    reached = {name for name, grad in gradients.items() if grad is not None and grad.abs().max() > 1e-12}
    assert reached == {name for name in gradients if not name.endswith("key_projection.bias")}


def shuffled(images: Tensor) -> Tensor:
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    return unpatchify(patchify(images, patch_size=2)[:, order], patch_size=2, height=4, width=6)


@pytest.mark.parametrize("pool", ["class", "mean"])
def test_without_positions_the_order_of_the_patches_makes_no_difference(pool: Any) -> None:
    images = randn(2, 3, 4, 6)
    unordered, ordered = small_model(pool=pool, positions=False), small_model(pool=pool)
    torch.testing.assert_close(unordered(shuffled(images)), unordered(images))
    assert (ordered(shuffled(images)) - ordered(images)).abs().max() > 1e-3


def test_without_a_number_of_classes_the_pooled_vector_comes_out() -> None:
    model, images = small_model(num_classes=None, pool="mean"), randn(2, 3, 4, 6)
    torch.testing.assert_close(model(images), model.encode(images).mean(dim=1))


def test_the_weights_are_those_the_model_uses() -> None:
    """Each block's attention, weighted by hand, is what the block's attention gives."""
    model, images = small_model(), randn(2, 3, 4, 6)
    logits, weights = model.attend(images)
    torch.testing.assert_close(logits, model(images))
    assert weights.shape == (2, 2, 3, 7, 7)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, 3, 7))
    first = model.blocks[0].get_submodule("self_attention")
    x = torch.cat([model.class_token.expand(2, 1, 12), model.patch_embedding(images)], dim=1) + model.positions
    values = first.value_projection(x).unflatten(-1, (3, 4)).transpose(1, 2)
    heads = (weights[:, 0] @ values).transpose(1, 2).flatten(-2)
    torch.testing.assert_close(first.output_projection(heads), first(x, x, x)[0])


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="reads images of 4 × 6 pixels"):
        small_model()(randn(1, 3, 6, 4))
    with pytest.raises(ValueError, match="do not fill"):
        small_model(image_size=(5, 6))


# Rollout


def test_rollout_of_two_blocks_is_worked_by_hand() -> None:
    first = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # both look at the other
    second = torch.tensor([[0.0, 1.0], [0.0, 1.0]])  # both look at the second
    weights = torch.stack([first, second])[None, :, None]
    # Â_1 = [[½, ½], [½, ½]], Â_2 = [[½, ½], [0, 1]]
    assert attention_rollout(weights).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]
    # in the other order Â_1 Â_2 = [[¼, ¾], [¼, ¾]]
    assert attention_rollout(weights.flip(1)).tolist() == [[[0.25, 0.75], [0.25, 0.75]]]


@settings(deadline=None, max_examples=20)
@given(layers=st.integers(1, 4), heads=st.integers(1, 3), length=st.integers(1, 5))
def test_each_row_of_a_rollout_is_a_distribution(layers: int, heads: int, length: int) -> None:
    weights = randn(2, layers, heads, length, length).softmax(dim=-1)
    rollout = attention_rollout(weights)
    assert (rollout >= 0).all()
    torch.testing.assert_close(rollout.sum(dim=-1), torch.ones(2, length))


def test_rollout_is_the_flow_through_linear_blocks() -> None:
    """Blocks that do nothing but mix by ½ A + ½ I move a marked input to the outputs as the rollout says."""
    weights = randn(1, 3, 2, 5, 5).softmax(dim=-1)
    marks = torch.eye(5)
    for layer in range(3):
        marks = 0.5 * marks + 0.5 * weights[0, layer].mean(dim=0) @ marks
    torch.testing.assert_close(attention_rollout(weights)[0], marks)


# Captions


def small_decoder() -> CaptionDecoder:
    return CaptionDecoder(vocab_size=9, d_model=12, num_heads=3, num_layers=2, dim_feedforward=20)


def test_the_decoder_is_pytorchs_decoder_layers_over_the_patches() -> None:
    decoder, patches = small_decoder(), randn(2, 6, 12)
    tokens = torch.tensor([[1, 4, 5, 6], [1, 7, 8, 2]])
    x = decoder.embedding(tokens) + sinusoidal_positions(4, 12)
    for block in decoder.blocks:
        x = layer_twin(block)(x, patches, tgt_mask=~causal_mask(4))  # type: ignore[arg-type]
    torch.testing.assert_close(decoder(tokens, patches), decoder.output(x))


def test_a_word_sees_all_patches_and_no_later_word() -> None:
    decoder = small_decoder()
    tokens, patches = torch.tensor([[1, 4, 5, 6]]), randn(1, 6, 12).requires_grad_()
    other = torch.tensor([[1, 4, 5, 7]])
    torch.testing.assert_close(decoder(tokens, patches)[:, :3], decoder(other, patches)[:, :3])
    assert (decoder(tokens, patches)[:, 3] != decoder(other, patches)[:, 3]).all()
    for position in range(4):
        (gradient,) = torch.autograd.grad(decoder(tokens, patches)[0, position].square().sum(), patches)
        assert (gradient != 0).all()


def captioner() -> Captioner:
    return Captioner(small_model(num_classes=None, pool="mean"), small_decoder()).eval()


def test_the_words_weights_spread_over_the_patches() -> None:
    model, images = captioner(), randn(2, 3, 4, 6)
    target = torch.tensor([[4, 5, END, PAD], [6, 7, 8, END]])
    logits, weights = model.attend(images, target)
    torch.testing.assert_close(logits, model(images, target))
    assert weights.shape == (2, 2, 3, 4, 6)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, 3, 4))
    assert not model.decoder.blocks[0].get_submodule("cross_attention")._forward_hooks


def test_a_greedy_caption_holds_the_likeliest_word_at_each_step() -> None:
    model, images = captioner(), randn(3, 3, 4, 6)
    ids = model.caption(images, max_length=6)
    patches = model.encoder.encode(images)
    for row in range(3):
        words = [START]
        for word in ids[row].tolist():
            if words[-1] == END:
                break
            likeliest = model.decoder(torch.tensor([words]), patches[row : row + 1])[0, -1].argmax()
            assert word == likeliest
            words.append(word)
