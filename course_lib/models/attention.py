"""Attention as a layer, from a weighted sum without parameters to causal heads with rotary positions.

Read it from top to bottom: each definition uses the ones above it. The mathematics is written out first;
`fused_attention` is PyTorch's fast path to the same output. Masks are boolean, True = may be attended to,
and a query that may attend to nothing gets zeros.

Sources:
    Vaswani et al., "Attention Is All You Need", 2017, section 3.2.
    Lee et al., "Set Transformer", 2019, section 3 (attention as an operator on sets).
    Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018, section 3.
    Rabe and Staats, "Self-attention Does Not Need O(n²) Memory", 2021, section 2.
    Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness",
        2022, section 3.
    Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021, section 3.

Chapter: 04-attention-layer.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from course_lib.models.positions import apply_rope
from course_lib.models.shapes import check_attention_inputs, check_heads, check_width


def contextual_embedding(embeddings: Tensor) -> Tensor:
    """Each word as a weighted sum of all the words: softmax(E Eᵀ) E, with nothing to learn and no scaling.

    Args:
        embeddings: one vector per word, (..., length, d_model).

    Returns:
        One vector per word in its context, (..., length, d_model).

    Source: Vaswani et al. 2017, equation 1, with Q = K = V = E and without √d_k.
    Chapter: 04-attention-layer.
    """
    scores = embeddings @ embeddings.transpose(-2, -1)  # (..., length, length)
    weights = scores.softmax(dim=-1)  # each row sums to one
    return weights @ embeddings


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √head_dim) V, with the score of a blocked pair set to -∞.

    Args:
        query: what each position looks for, (..., n, head_dim).
        key: what each position offers, (..., m, head_dim).
        value: what each position hands over, (..., m, d_value).
        mask: boolean, broadcastable to (..., n, m), True where the query may attend to the key.
            None allows all.

    Returns:
        The output (..., n, d_value) and the weights (..., n, m). Each row of the weights sums to one; where a
        query may attend to nothing, its weights, its output and their gradients are zeros.

    Raises:
        ValueError: if the shapes do not fit together.
        TypeError: if the mask is not boolean.

    Source: Vaswani et al. 2017, section 3.2.1, equation 1.
    Chapter: 04-attention-layer.
    """
    check_attention_inputs(query, key, value, mask)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (..., n, m)
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        scores = scores.masked_fill(~mask, -torch.inf)
        # The softmax of a row of -∞ is NaN, so a row with nothing allowed is set to 0 before and after it.
        empty = ~mask.any(dim=-1, keepdim=True)  # (..., n, 1)
        weights = scores.masked_fill(empty, 0.0).softmax(dim=-1).masked_fill(empty, 0.0)
    return weights @ value, weights


def fused_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """The output of `scaled_dot_product_attention` in one PyTorch call, which never returns the weights.

    Args:
        query, key, value, mask: as for `scaled_dot_product_attention`.

    Returns:
        The output (..., n, d_value); zeros where a query may attend to nothing.

    Raises:
        ValueError, TypeError: as `scaled_dot_product_attention`.

    Source: Vaswani et al. 2017, section 3.2.1; Dao et al. 2022, section 3, for how it is computed.
    Chapter: 04-attention-layer.
    """
    check_attention_inputs(query, key, value, mask)
    if mask is None:
        return F.scaled_dot_product_attention(query, key, value)
    # PyTorch promises nothing for a row with nothing allowed: let it attend to all, then drop what it found.
    empty = ~mask.any(dim=-1, keepdim=True)  # (..., n, 1)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=torch.atleast_2d(mask | empty))
    return output.masked_fill(empty, 0.0)


class CrossAttention(nn.Module):
    """One head in which a sequence of queries looks into a sequence of data: softmax(Q Kᵀ / √head_dim) V.

        Q = queries W_q,  K = data W_k,  V = data W_v

    There is one output per query. The two sequences may differ in length and in width.

    Args:
        d_model: width of the queries.
        d_data: width of the data.
        head_dim: width of projected queries, keys and values, and of the output.

    Source: Vaswani et al. 2017, section 3.2.3, first item.
    Chapter: 04-attention-layer.
    """

    def __init__(self, *, d_model: int, d_data: int, head_dim: int) -> None:
        super().__init__()
        self.query_projection = nn.Linear(d_model, head_dim, bias=False)
        self.key_projection = nn.Linear(d_data, head_dim, bias=False)
        self.value_projection = nn.Linear(d_data, head_dim, bias=False)

    def forward(self, queries: Tensor, data: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend from each query vector to all data vectors.

        Args:
            queries: (batch, n, d_model).
            data: (batch, m, d_data).
            mask: boolean, broadcastable to (batch, n, m), True where the query may attend to the datum.

        Returns:
            The output (batch, n, head_dim) and the weights (batch, n, m).

        Raises:
            ValueError: if a width is not the layer's, or the shapes do not fit together.
        """
        check_width(queries, self.query_projection, name="queries")
        check_width(data, self.key_projection, name="data")
        query = self.query_projection(queries)  # (batch, n, head_dim)
        key = self.key_projection(data)  # (batch, m, head_dim)
        value = self.value_projection(data)  # (batch, m, head_dim)
        return scaled_dot_product_attention(query, key, value, mask)


class SelfAttention(nn.Module):
    """One head in which a sequence looks into itself: query, key and value come from one matrix product.

        [Q K V] = X W_qkv,  softmax(Q Kᵀ / √head_dim) V

    There is one output per input, and each input may attend to itself.

    Args:
        d_model: width of the inputs.
        head_dim: width of queries, keys and values, and of the output.

    Source: Vaswani et al. 2017, section 3.2.3, second item.
    Chapter: 04-attention-layer.
    """

    def __init__(self, *, d_model: int, head_dim: int) -> None:
        super().__init__()
        self.qkv_projection = nn.Linear(d_model, 3 * head_dim, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend from each position to all positions.

        Args:
            x: (batch, length, d_model).
            mask: boolean, broadcastable to (batch, length, length), True where row may attend to column.

        Returns:
            The output (batch, length, head_dim) and the weights (batch, length, length).

        Raises:
            ValueError: if the width is not the layer's, or the mask does not fit.
        """
        check_width(x, self.qkv_projection, name="x")
        query, key, value = self.qkv_projection(x).chunk(3, dim=-1)  # (batch, length, head_dim) each
        return scaled_dot_product_attention(query, key, value, mask)


def permutation_error(layer: Callable[[Tensor], Tensor], x: Tensor, permutation: Tensor) -> Tensor:
    """How far a layer is from treating its input as a set: max |F(σX) - σF(X)|.

    Zero, up to rounding, means that the layer is permutation equivariant.

    Args:
        layer: takes (batch, length, d), gives (batch, length, d').
        x: (batch, length, d).
        permutation: the indices 0 .. length - 1 in the order σ, (length,).

    Returns:
        The largest absolute difference, 0-dimensional.

    Raises:
        ValueError: if an index is missing from the permutation or appears twice.

    Source: Lee et al. 2019, section 3.1.
    Chapter: 04-attention-layer.
    """
    if permutation.sort().values.tolist() != list(range(x.shape[1])):
        raise ValueError(
            f"A permutation of {x.shape[1]} positions holds each of 0 .. {x.shape[1] - 1} once, "
            f"not {permutation.tolist()}: torch.randperm(length) draws one."
        )
    return (layer(x[:, permutation]) - layer(x)[:, permutation]).abs().max()


def causal_mask(length: int) -> Tensor:
    """The mask that lets a position see itself and the past: True where key j <= query i.

    Args:
        length: number of positions.

    Returns:
        Boolean, (length, length): row i is the query, column j the key.

    Source: Vaswani et al. 2017, section 3.2.3, third item.
    Chapter: 04-attention-layer.
    """
    return torch.ones(length, length, dtype=torch.bool).tril()


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Cut the channels into heads: (batch, length, d_model) -> (batch, num_heads, length, head_dim)."""
    return rearrange(x, "batch length (heads head_dim) -> batch heads length head_dim", heads=num_heads)


def merge_heads(x: Tensor) -> Tensor:
    """Lay the heads side by side again: (batch, num_heads, length, head_dim) -> (batch, length, d_model)."""
    return rearrange(x, "batch heads length head_dim -> batch length (heads head_dim)")


class MultiHeadAttention(nn.Module):
    """num_heads attentions side by side, each on d_model / num_heads channels: Concat(head_1 .. head_H) W_o.

        head_h = softmax(Q_h K_hᵀ / √head_dim) V_h,  head_dim = d_model / num_heads

    H narrow heads need as many multiply-adds as one wide head, and give H tables of weights.

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads, a divisor of d_model.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Vaswani et al. 2017, section 3.2.2.
    Chapter: 04-attention-layer.
    """

    def __init__(self, *, d_model: int, num_heads: int) -> None:
        super().__init__()
        check_heads(d_model, num_heads)
        self.num_heads = num_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_projection = nn.Linear(d_model, d_model)
        self.value_projection = nn.Linear(d_model, d_model)
        self.output_projection = nn.Linear(d_model, d_model)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, need_weights: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from each query vector to all key vectors, in each head.

        Args:
            query: (batch, n, d_model).
            key: (batch, m, d_model).
            value: (batch, m, d_model).
            mask: boolean, broadcastable to (batch, num_heads, n, m), True where the query may attend to
                the key.
            need_weights: False for the output alone, by PyTorch's fast path.

        Returns:
            The output (batch, n, d_model) and the weights (batch, num_heads, n, m), or None for them.

        Raises:
            ValueError: if a width is not the layer's, or the shapes do not fit together.
        """
        check_width(query, self.query_projection, name="query")
        check_width(key, self.key_projection, name="key")
        check_width(value, self.value_projection, name="value")
        queries = split_heads(self.query_projection(query), self.num_heads)  # (batch, heads, n, head_dim)
        keys = split_heads(self.key_projection(key), self.num_heads)  # (batch, heads, m, head_dim)
        values = split_heads(self.value_projection(value), self.num_heads)  # (batch, heads, m, head_dim)
        weights = None
        if need_weights:
            heads, weights = scaled_dot_product_attention(queries, keys, values, mask)
        else:
            heads = fused_attention(queries, keys, values, mask)
        return self.output_projection(merge_heads(heads)), weights


def tiled_attention(query: Tensor, key: Tensor, value: Tensor, *, tile_size: int) -> Tensor:
    """The output of `scaled_dot_product_attention` without a mask, never holding the n × m weights.

    For each tile of queries it walks over the tiles of keys and keeps three running numbers per query: the
    largest score M so far, the sum S of exp(score - M), and the sum O of exp(score - M) · value. When a new
    tile raises M to M', both sums are multiplied by exp(M - M'). The output is O / S.

    The largest intermediate has tile_size² entries for each leading axis. When gradients are recorded,
    PyTorch keeps every tile for the backward pass; FlashAttention computes them a second time instead.

    Args:
        query: (..., n, head_dim).
        key: (..., m, head_dim), m >= 1.
        value: (..., m, d_value).
        tile_size: number of queries, and of keys, in a tile; it need not divide n or m.

    Returns:
        The output (..., n, d_value).

    Raises:
        ValueError: if the shapes do not fit together, or tile_size is less than 1.

    Source: Milakov and Gimelshein 2018, section 3; Rabe and Staats 2021, section 2; Dao et al. 2022,
        section 3.1.
    Chapter: 04-attention-layer.
    """
    check_attention_inputs(query, key, value)
    if tile_size < 1:
        raise ValueError(f"A tile holds at least one query, but tile_size is {tile_size}: choose 1 or more.")
    key_tiles = key.split(tile_size, dim=-2)  # (..., tile, head_dim) each
    value_tiles = value.split(tile_size, dim=-2)  # (..., tile, d_value) each
    outputs = []
    for query_tile in query.split(tile_size, dim=-2):  # (..., tile, head_dim)
        rows = query_tile.shape[:-1]  # (..., tile)
        running_max = query_tile.new_full((*rows, 1), -torch.inf)
        running_sum = query_tile.new_zeros((*rows, 1))
        running_output = query_tile.new_zeros((*rows, value.shape[-1]))
        for key_tile, value_tile in zip(key_tiles, value_tiles, strict=True):
            scores = query_tile @ key_tile.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (..., tile, tile)
            # O / S is the same for every M, so no gradient needs to pass through it.
            new_max = torch.maximum(running_max, scores.detach().amax(dim=-1, keepdim=True))
            rescale = (running_max - new_max).exp()  # (..., tile, 1), 0 at the first tile
            unnormalised = (scores - new_max).exp()  # (..., tile, tile)
            running_sum = running_sum * rescale + unnormalised.sum(dim=-1, keepdim=True)
            running_output = running_output * rescale + unnormalised @ value_tile
            running_max = new_max
        outputs.append(running_output / running_sum)
    return torch.cat(outputs, dim=-2)


def attention_cost(*, length: int, d_model: int, num_heads: int) -> dict[str, int]:
    """Count the multiply-adds of one multi-head self-attention layer on one sequence, and its weights.

        qkv_projection 3 N d²,  scores N² d,  weighting N² d,  output_projection N d²,  weight_floats H N²

    The number of heads changes the memory for the weights, not the multiply-adds.

    Args:
        length: number of positions N.
        d_model: width d.
        num_heads: number of heads H, a divisor of d_model.

    Returns:
        The multiply-adds of the four matrix products ("qkv_projection", "scores", "weighting",
        "output_projection"), their sum ("total"), and the floats in the weights ("weight_floats").

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Vaswani et al. 2017, section 4, table 1, with the projections counted too.
    Chapter: 04-attention-layer.
    """
    check_heads(d_model, num_heads)
    products = {
        "qkv_projection": 3 * length * d_model**2,
        "scores": length**2 * d_model,
        "weighting": length**2 * d_model,
        "output_projection": length * d_model**2,
    }
    return {**products, "total": sum(products.values()), "weight_floats": num_heads * length**2}


class RotarySelfAttention(nn.Module):
    """Causal multi-head self-attention whose queries and keys are rotated by their positions.

        head_h = softmax(R(Q_h) R(K_h)ᵀ / √head_dim + causal mask) V_h,  R = rotary positions

    Values are not rotated, so a position changes where a query looks and not what it gets.

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads; d_model / num_heads is a whole even number.

    Raises:
        ValueError: if num_heads does not divide d_model, or head_dim is odd.

    Source: Su et al. 2021, section 3.2.2; Vaswani et al. 2017, section 3.2.
    Chapter: 04-attention-layer.
    """

    def __init__(self, *, d_model: int, num_heads: int) -> None:
        super().__init__()
        check_heads(d_model, num_heads)
        if d_model // num_heads % 2:
            raise ValueError(
                f"Rotary positions turn pairs of channels, but head_dim = {d_model} / {num_heads} is odd: "
                "choose an even one."
            )
        self.num_heads = num_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_projection = nn.Linear(d_model, d_model)
        self.value_projection = nn.Linear(d_model, d_model)
        self.output_projection = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, *, offset: int = 0) -> Tensor:
        """Attend from each position to itself and the past.

        Args:
            x: (batch, length, d_model).
            offset: the position of the first vector of x.

        Returns:
            The output (batch, length, d_model). It does not depend on offset, since the weights depend on
            distances only.

        Raises:
            ValueError: if the width is not the layer's.
        """
        check_width(x, self.query_projection, name="x")
        query = split_heads(self.query_projection(x), self.num_heads)  # (batch, heads, length, head_dim)
        key = split_heads(self.key_projection(x), self.num_heads)
        value = split_heads(self.value_projection(x), self.num_heads)
        query, key = apply_rope(query, offset=offset), apply_rope(key, offset=offset)
        heads = fused_attention(query, key, value, causal_mask(x.shape[1]).to(x.device))
        return self.output_projection(merge_heads(heads))
