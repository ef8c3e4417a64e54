"""Shape checks shared by the models: one sentence that says what does not fit and what to do."""

import torch
from torch import Tensor, nn


def check_attention_inputs(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> None:
    """Say what does not fit before PyTorch does: the shapes are those of `scaled_dot_product_attention`.

    Raises:
        ValueError: if the shapes do not fit together.
        TypeError: if the mask is not boolean.
    """
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"A query and a key meet in a dot product, but queries are {query.shape[-1]} wide and keys "
            f"{key.shape[-1]}: project both to the same head_dim."
        )
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"Each key has its value, but there are {key.shape[-2]} keys and {value.shape[-2]} values: "
            "compute both from the same data."
        )
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise TypeError(f"The mask must be boolean, True = may be attended to, not {mask.dtype}: compare first.")
    scores_shape = (
        *torch.broadcast_shapes(query.shape[:-2], key.shape[:-2]),
        query.shape[-2],
        key.shape[-2],
    )
    try:
        mask.expand(scores_shape)
    except RuntimeError:
        raise ValueError(
            f"The mask has shape {tuple(mask.shape)}, which does not broadcast to {scores_shape}, the shape "
            "of the scores: give it the same axes, with size 1 where all share it (for heads, mask[:, None])."
        ) from None


def check_width(x: Tensor, projection: nn.Linear, *, name: str) -> None:
    """Say which input has the wrong width before the matrix product does.

    Raises:
        ValueError: if the last axis of x is not what the projection takes.
    """
    if x.shape[-1] != projection.in_features:
        raise ValueError(
            f"The layer expects {name} of width {projection.in_features}, but got shape {tuple(x.shape)}: "
            "the width is the last axis."
        )


def check_heads(d_model: int, num_heads: int) -> None:
    """Say that the heads do not share the channels evenly.

    Raises:
        ValueError: if num_heads is not positive or does not divide d_model.
    """
    if num_heads < 1 or d_model % num_heads:
        raise ValueError(
            f"{num_heads} heads cannot share d_model = {d_model} channels evenly: choose a num_heads that "
            "divides d_model."
        )
