"""Language models: a text as characters, a transformer that predicts the next one, and a cache that makes it fast.

Read it from top to bottom: the tokens, the batches, the model, perplexity. The model has two paths to the same
numbers: all positions in one pass, for training; and one position at a time with the keys and values of the past kept
in a cache, for writing.

Sources:
    Bengio et al., "A Neural Probabilistic Language Model", 2003, section 1.1.
    Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018, section 3.1 (decoder only).
    Shazeer, "Fast Transformer Decoding: One Write-Head is All You Need", 2019, section 2.4 (keys and values kept).

Chapter: 06-language-models.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.models.attention import (
    MultiHeadAttention,
    causal_mask,
    merge_heads,
    scaled_dot_product_attention,
    split_heads,
)
from course_lib.models.seq2seq import Step
from course_lib.models.shapes import check_width
from course_lib.models.transformer import EncoderBlock

Cache = tuple[Tensor, Tensor]


class CharTokenizer:
    """Characters as tokens: the different characters of a text, sorted, and their places as ids.

    Args:
        text: holds every character that will be needed.

    Attributes:
        characters: all characters; the id of one is its place.

    Chapter: 06-language-models.
    """

    def __init__(self, text: str) -> None:
        self.characters = sorted(set(text))
        self._ids = {character: i for i, character in enumerate(self.characters)}

    def __len__(self) -> int:
        """The size of the vocabulary."""
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        """The id of each character, integers, (length,).

        Raises:
            ValueError: if a character is not in the vocabulary.
        """
        unknown = sorted(set(text) - self._ids.keys())
        if unknown:
            raise ValueError(f"The characters {unknown} are not in the vocabulary: leave them out.")
        return torch.tensor([self._ids[character] for character in text], dtype=torch.long)

    def decode(self, ids: Tensor) -> str:
        """The text of ids (length,)."""
        return "".join(self.characters[i] for i in ids.tolist())


def get_batch(ids: Tensor, *, batch_size: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cut windows out of a text at random places; the target of each token is the one that follows it.

    Args:
        ids: the text, integers, (text_length,).
        batch_size: number of windows.
        length: tokens of a window.
        generator: the source of chance; each place is as likely as any other.

    Returns:
        Inputs and targets, (batch_size, length) each; the targets begin one token later.

    Raises:
        ValueError: if the text has not one token more than a window.

    Chapter: 06-language-models.
    """
    places = ids.shape[0] - length  # the last window needs one more token, for its last target
    if places < 1:
        raise ValueError(f"Windows of {length} and their targets need {length + 1} tokens, not {ids.shape[0]}.")
    starts = torch.randint(places, (batch_size, 1), generator=generator)
    windows = ids[starts + torch.arange(length + 1)]  # (batch_size, length + 1)
    return windows[:, :-1], windows[:, 1:]


class CachedAttention(MultiHeadAttention):
    """Causal self-attention that can go on where it stopped: keys and values of the past are kept, not recomputed.

    `forward` is that of `MultiHeadAttention`; `step` gives the same outputs, a few positions at a time.

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads, a divisor of d_model.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Vaswani et al. 2017, section 3.2.2; Shazeer 2019, section 2.4.
    Chapter: 06-language-models.
    """

    def empty_cache(self, *, batch_size: int, max_length: int) -> Cache:
        """Room for the keys and values of max_length positions, (batch_size, num_heads, max_length, head_dim) each."""
        weight = self.key_projection.weight
        shape = (batch_size, self.num_heads, max_length, weight.shape[0] // self.num_heads)
        return weight.new_zeros(shape), weight.new_zeros(shape)

    def step(self, x: Tensor, cache: Cache, position: int) -> tuple[Tensor, Cache]:
        """Attend from new positions to the past and to each other.

        Args:
            x: the new positions, (batch, n, d_model); n is 1 when a text is written.
            cache: keys and values, (batch, num_heads, max_length, head_dim) each, valid before `position`. It is
                written to.
            position: the place of the first of the new positions, counted from 0.

        Returns:
            The output (batch, n, d_model), and the cache with the new keys and values in it.

        Raises:
            ValueError: if the width is not the layer's, or the cache has no room.
        """
        check_width(x, self.query_projection, name="x")
        keys, values = cache
        stop = position + x.shape[1]
        if stop > keys.shape[2]:
            raise ValueError(
                f"The cache has room for {keys.shape[2]} positions, but position {stop - 1} is to be kept."
            )
        query = split_heads(self.query_projection(x), self.num_heads)  # (batch, heads, n, head_dim)
        keys[:, :, position:stop] = split_heads(self.key_projection(x), self.num_heads)
        values[:, :, position:stop] = split_heads(self.value_projection(x), self.num_heads)
        mask = None if x.shape[1] == 1 else causal_mask(stop)[position:]  # (n, stop)
        heads, _ = scaled_dot_product_attention(query, keys[:, :, :stop], values[:, :, :stop], mask)
        return self.output_projection(merge_heads(heads)), (keys, values)


class CachedBlock(EncoderBlock):
    """The block of a decoder-only model: an `EncoderBlock` under a causal mask, whose attention has a cache.

    Args:
        d_model, num_heads, dim_feedforward, dropout: as for `EncoderBlock`.

    Chapter: 06-language-models.
    """

    self_attention: CachedAttention

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int, dropout: float = 0.0) -> None:
        super().__init__(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward, dropout=dropout)
        self.self_attention = CachedAttention(d_model=d_model, num_heads=num_heads)

    def step(self, x: Tensor, cache: Cache, position: int) -> tuple[Tensor, Cache]:
        """New positions (batch, n, d_model) to outputs of the same shape; the rest as `CachedAttention.step`."""
        attended, cache = self.self_attention.step(x, cache, position)
        x = self.norm1(x + self.dropout(attended))
        return self.norm2(x + self.dropout(self.feed_forward(x))), cache


class TransformerLM(nn.Module):
    """A decoder-only transformer: from tokens to the logits of the token after each of them.

        ids -> embedding + learned position -> num_layers causal blocks -> linear

    Args:
        vocab_size: number of different tokens.
        d_model: width of the vectors between the blocks.
        num_heads: number of heads, a divisor of d_model.
        num_layers: number of blocks.
        dim_feedforward: width inside the feed-forward networks.
        max_length: the longest text; there is a learned vector for each position.
        dropout: share set to zero in training, after the positions and after each sub-layer.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Radford et al. 2018, section 3.1.
    Chapter: 06-language-models.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dim_feedforward: int,
        max_length: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(max_length, d_model)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            CachedBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward, dropout=dropout)
            for _ in range(num_layers)
        )
        self.output = nn.Linear(d_model, vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        """The logits of every next token, in one pass.

        Args:
            ids: tokens, (batch, length).

        Returns:
            (batch, length, vocab_size); position t has seen tokens 0 .. t.

        Raises:
            ValueError: if the text is longer than max_length.
        """
        x = self._embedded(ids, 0)  # (batch, length, d_model)
        mask = causal_mask(ids.shape[1])
        for block in self.blocks:
            x = block(x, mask)
        return self.output(x)

    def begin(self, prompt: Tensor) -> tuple[Step, Any]:
        """Read a prompt but for its last token, which is the first that `step` will read.

        Args:
            prompt: tokens, (batch, length), length >= 1.

        Returns:
            A step, from tokens (batch,) and a state to logits (batch, vocab_size) and the new state; and the first
            state: the caches of all blocks and the number of tokens read. A step writes to the caches it is given.

        Raises:
            ValueError: if the prompt is longer than max_length.
        """
        caches = [
            block.self_attention.empty_cache(batch_size=prompt.shape[0], max_length=self.max_length)
            for block in self._blocks()
        ]
        read = prompt[:, :-1]
        if read.shape[1]:
            _, caches = self._step(read, caches, 0)
        return self.step, (caches, read.shape[1])

    def step(self, token: Tensor, state: tuple[list[Cache], int]) -> tuple[Tensor, tuple[list[Cache], int]]:
        """Read one token: its own query, key and value are computed, all others come from the caches.

        Args:
            token: (batch,).
            state: from `begin` or from the previous step.

        Returns:
            The logits of the next token, (batch, vocab_size), and the new state.

        Raises:
            ValueError: if max_length tokens have been read.
        """
        caches, position = state
        logits, caches = self._step(token[:, None], caches, position)
        return logits[:, -1], (caches, position + 1)

    @torch.no_grad()
    def _step(self, ids: Tensor, caches: list[Cache], position: int) -> tuple[Tensor, list[Cache]]:
        x = self._embedded(ids, position)
        kept = []
        for block, cache in zip(self._blocks(), caches, strict=True):
            x, cache = block.step(x, cache, position)
            kept.append(cache)
        return self.output(x), kept

    def _blocks(self) -> list[CachedBlock]:
        return [block for block in self.blocks if isinstance(block, CachedBlock)]

    def _embedded(self, ids: Tensor, position: int) -> Tensor:
        stop = position + ids.shape[1]
        if stop > self.max_length:
            raise ValueError(f"This model knows {self.max_length} positions, but a text of {stop} tokens was given.")
        return self.dropout(self.token_embedding(ids) + self.position_embedding.weight[position:stop])


def perplexity(logits: Tensor, targets: Tensor) -> Tensor:
    """e to the mean of -log p(target): among how many equally likely tokens the model hesitates, on average.

    Args:
        logits: (..., vocab_size).
        targets: the tokens that came, (...).

    Returns:
        0-dimensional, between 1 and, for uniform guessing, vocab_size; more for a model that is sure and wrong.

    Source: Bengio et al. 2003, section 4.1 (the geometric average of 1 / p).
    Chapter: 06-language-models.
    """
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten()).exp()
