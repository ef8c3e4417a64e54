"""The transformer: blocks of attention and a small network, stacked into an encoder and a decoder.

Read it from top to bottom: normalisation, the feed-forward network, the two kinds of block, the model, how it is
trained, how it writes. Attention is the only place where positions meet; all else acts on each vector alone. An
`EncoderBlock` with a causal mask is the block of a decoder-only model.

Sources:
    Vaswani et al., "Attention Is All You Need", 2017, sections 3 and 5.
    Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3.
    He et al., "Deep Residual Learning for Image Recognition", 2016, section 3 (the residual connection).
    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7 (label smoothing).

Chapter: 05-transformer.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.data.translation import PAD
from course_lib.models.attention import MultiHeadAttention, causal_mask
from course_lib.models.positions import sinusoidal_positions
from course_lib.models.recurrent_attention import source_mask
from course_lib.models.seq2seq import Step, greedy_decode, shift_right
from course_lib.models.shapes import check_width
from course_lib.models.translator import Translator


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Bring each vector to mean 0 and variance 1 over its channels: (x - μ) / √(σ² + ε) · weight + bias.

    μ and σ² are those of the d_model numbers of one position; σ² divides by d_model. The blocks below use
    `torch.nn.LayerNorm`, the same in one call.

    Args:
        x: (..., d_model).
        weight: the learned scale of each channel, (d_model,).
        bias: the learned shift of each channel, (d_model,).
        eps: ε, keeps the root away from zero.

    Returns:
        (..., d_model).

    Source: Ba et al. 2016, section 3, equation 3.
    Chapter: 05-transformer.
    """
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)  # (..., 1)
    return centred / (variance + eps).sqrt() * weight + bias


class FeedForward(nn.Module):
    """A small network that acts on each position alone: max(0, x W_1 + b_1) W_2 + b_2.

    Args:
        d_model: width of the inputs and of the output.
        dim_feedforward: width between the two layers; in the paper 4 · d_model.

    Source: Vaswani et al. 2017, section 3.3, equation 2.
    Chapter: 05-transformer.
    """

    def __init__(self, *, d_model: int, dim_feedforward: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) -> (..., d_model).

        Raises:
            ValueError: if the width is not the layer's.
        """
        check_width(x, self.linear1, name="x")
        return self.linear2(self.linear1(x).relu())


class EncoderBlock(nn.Module):
    """Self-attention, then the feed-forward network, each followed by "add and norm".

        x <- LayerNorm(x + SelfAttention(x)),  x <- LayerNorm(x + FeedForward(x))

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads, a divisor of d_model.
        dim_feedforward: width inside the feed-forward network.
        dropout: share of each sub-layer's output that is set to zero in training.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Vaswani et al. 2017, section 3.1 and figure 1, left; dropout: section 5.4.
    Chapter: 05-transformer.
    """

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """One vector in, one vector out, for each position.

        Args:
            x: (batch, length, d_model).
            mask: boolean, broadcastable to (batch, num_heads, length, length), True where row may attend to
                column. With `causal_mask` the block is that of a decoder-only model.

        Returns:
            (batch, length, d_model).

        Raises:
            ValueError: if the width is not the block's, or the mask does not fit.
        """
        attended, _ = self.self_attention(x, x, x, mask, need_weights=False)
        x = self.norm1(x + self.dropout(attended))
        return self.norm2(x + self.dropout(self.feed_forward(x)))


class DecoderBlock(nn.Module):
    """Masked self-attention, cross-attention to what the encoder found, the feed-forward network.

        x <- LayerNorm(x + SelfAttention(x)),  x <- LayerNorm(x + CrossAttention(x, memory)),
        x <- LayerNorm(x + FeedForward(x))

    In the cross-attention, x asks (query) and the memory answers (key and value).

    Args:
        d_model: width of x, of the memory and of the output.
        num_heads: number of heads of both attentions, a divisor of d_model.
        dim_feedforward: width inside the feed-forward network.
        dropout: share of each sub-layer's output that is set to zero in training.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Vaswani et al. 2017, section 3.1 and figure 1, right; dropout: section 5.4.
    Chapter: 05-transformer.
    """

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.cross_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, memory: Tensor, *, mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """One vector in, one vector out, for each target position.

        Args:
            x: (batch, n, d_model).
            memory: the encoder's output, (batch, m, d_model).
            mask: boolean, broadcastable to (batch, num_heads, n, n), for the self-attention; in a decoder
                `causal_mask(n)`.
            memory_mask: boolean, broadcastable to (batch, num_heads, n, m), False where the source is padding.

        Returns:
            (batch, n, d_model).

        Raises:
            ValueError: if a width is not the block's, or a mask does not fit.
        """
        attended, _ = self.self_attention(x, x, x, mask, need_weights=False)
        x = self.norm1(x + self.dropout(attended))
        attended, _ = self.cross_attention(x, memory, memory, memory_mask, need_weights=False)
        x = self.norm2(x + self.dropout(attended))
        return self.norm3(x + self.dropout(self.feed_forward(x)))


class TransformerEncoderDecoder(nn.Module):
    """From source ids and target ids to the logits of every target word.

        ids -> embedding + position -> num_layers encoder blocks -> memory
        <start>, ids -> embedding + position -> num_layers decoder blocks -> linear

    The embeddings start as large as the positions, with a mean square of ½, so that neither drowns the other. The
    paper multiplies them by √d_model instead, for the same reason.

    Args:
        source_size, target_size: words of the two vocabularies.
        d_model: width of all vectors between the blocks, even.
        num_heads: number of heads, a divisor of d_model.
        num_layers: number of encoder blocks, and of decoder blocks.
        dim_feedforward: width inside the feed-forward networks.
        dropout: share set to zero in training, after the positions and after each sub-layer.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Vaswani et al. 2017, section 3 and figure 1.
    Chapter: 05-transformer.
    """

    def __init__(
        self,
        *,
        source_size: int,
        target_size: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dim_feedforward: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(source_size, d_model)
        self.target_embedding = nn.Embedding(target_size, d_model)
        for embedding in (self.source_embedding, self.target_embedding):
            nn.init.normal_(embedding.weight, std=0.5**0.5)
        self.dropout = nn.Dropout(dropout)
        block: dict[str, Any] = {
            "d_model": d_model,
            "num_heads": num_heads,
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
        }
        self.encoder = nn.ModuleList(EncoderBlock(**block) for _ in range(num_layers))
        self.decoder = nn.ModuleList(DecoderBlock(**block) for _ in range(num_layers))
        self.output = nn.Linear(d_model, target_size)

    def encode(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Read the source.

        Args:
            source: ids, (batch, source_length), padded at the end.
            lengths: number of words of each, (batch,). None: no padding.

        Returns:
            The memory, one vector for each source position, (batch, source_length, d_model).
        """
        x = self._with_positions(self.source_embedding(source))
        mask = _word_mask(source, lengths)
        for block in self.encoder:
            x = block(x, mask)
        return x

    def decode(self, tokens: Tensor, memory: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The logits of the word after each of the given ones, all in one pass.

        Padding at the end of the tokens needs no mask: the causal mask hides it from all words before it.

        Args:
            tokens: ids of the previous words, (batch, target_length), beginning with `<start>`.
            memory: from `encode`, (batch, source_length, d_model).
            lengths: number of words of each source, (batch,). None: no padding.

        Returns:
            (batch, target_length, vocab_size); position i depends on tokens 0 .. i and the source.
        """
        x = self._with_positions(self.target_embedding(tokens))
        mask = causal_mask(tokens.shape[1]).to(x.device)
        memory_mask = _word_mask(memory, lengths)
        for block in self.decoder:
            x = block(x, memory, mask=mask, memory_mask=memory_mask)
        return self.output(x)

    def forward(self, source: Tensor, target: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The logits of all target words when the previous ones are given (teacher forcing).

        Args:
            source, lengths: as for `encode`.
            target: ids, (batch, target_length); each row ends with `<end>` and padding.

        Returns:
            (batch, target_length, vocab_size); position i predicts target word i from the words before it.
        """
        return self.decode(shift_right(target), self.encode(source, lengths), lengths)

    def _with_positions(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> (batch, length, d_model)."""
        return self.dropout(x + sinusoidal_positions(x.shape[1], x.shape[2]).to(x))


def _word_mask(source: Tensor, lengths: Tensor | None) -> Tensor | None:
    """`source_mask`, shaped for the scores: (batch, 1, 1, source_length)."""
    mask = source_mask(source, lengths)
    return None if mask is None else mask[:, None, None]


def label_smoothed_cross_entropy(logits: Tensor, target: Tensor, *, smoothing: float = 0.1, pad: int = PAD) -> Tensor:
    """Cross-entropy against a softened target: (1 - ε) on the right word and ε spread evenly over all words.

        loss = -(1 - ε) log p(target) - ε / vocab_size · Σ_k log p(k),  averaged over what is not padding

    Args:
        logits: (batch, length, vocab_size).
        target: ids, (batch, length).
        smoothing: ε, from 0 (plain cross-entropy) to 1.
        pad: the id that does not count.

    Returns:
        0-dimensional.

    Raises:
        ValueError: if all of the target is padding.

    Source: Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4.
    Chapter: 05-transformer.
    """
    valid = target != pad  # (batch, length)
    if not valid.any():
        raise ValueError("The target holds nothing but padding, so there is no loss to average: drop this batch.")
    log_probability = logits.log_softmax(dim=-1)  # (batch, length, vocab_size)
    right = log_probability.gather(-1, target[..., None]).squeeze(-1)  # (batch, length)
    loss = -(1 - smoothing) * right - smoothing * log_probability.mean(dim=-1)
    return (loss * valid).sum() / valid.sum()


def warmup_schedule(step: int, *, d_model: int, warmup_steps: int) -> float:
    """The learning rate of a step: d_model^-½ · min(s^-½, s · warmup_steps^-1½) with s = step + 1.

    It rises in a straight line for warmup_steps steps, then falls with the root of the steps.

    Args:
        step: counted from 0, as `course_lib.training.train` counts.
        d_model: width of the model; wider models take smaller steps.
        warmup_steps: number of steps on the way up.

    Returns:
        The learning rate; for an optimiser with another one than 1, the factor for it.

    Source: Vaswani et al. 2017, section 5.3, equation 3, which counts from 1.
    Chapter: 05-transformer.
    """
    s = step + 1
    return d_model**-0.5 * min(s**-0.5, s * warmup_steps**-1.5)


Encode = Callable[[Tensor, Tensor | None], Tensor]
Decode = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def decoding_step(encode: Encode, decode: Decode, source: Tensor, lengths: Tensor | None = None) -> tuple[Step, Tensor]:
    """Read the source once, and give what `greedy_decode` needs to write the translation word by word.

    The state is all that was written: at each step the decoder runs over it again.

    Args:
        encode: from source and lengths to the memory, as `TransformerEncoderDecoder.encode`.
        decode: from tokens, memory and lengths to logits, as `TransformerEncoderDecoder.decode`.
        source: ids, (batch, source_length), padded at the end.
        lengths: number of words of each, (batch,). None: no padding.

    Returns:
        The step, from the previous words (batch,) and the state to logits (batch, vocab_size) and the new state;
        and the first state, ids (batch, 0).

    Source: Vaswani et al. 2017, section 3 (auto-regressive).
    Chapter: 05-transformer.
    """
    memory = encode(source, lengths)

    def step(token: Tensor, written: Tensor) -> tuple[Tensor, Tensor]:
        written = torch.cat([written, token[:, None]], dim=1)  # (batch, words so far)
        return decode(written, memory, lengths)[:, -1], written

    return step, source[:, :0]


@torch.no_grad()
def translate(
    encode: Encode, decode: Decode, source: Tensor, lengths: Tensor | None = None, *, max_length: int
) -> Tensor:
    """The greedy translation: encode once, then write one word at a time.

    Args:
        encode, decode, source, lengths: as for `decoding_step`.
        max_length: the largest number of words, `<end>` included.

    Returns:
        Ids, (batch, steps), as from `greedy_decode`.

    Source: Vaswani et al. 2017, section 3 (there with a beam, section 6.1).
    Chapter: 05-transformer.
    """
    step, state = decoding_step(encode, decode, source, lengths)
    return greedy_decode(step, state, batch_size=source.shape[0], max_length=max_length)


class TransformerTranslator(Translator):
    """The transformer as one of the book's translators.

    Args:
        source_size, target_size: words of the two vocabularies.
        d_model, num_heads, num_layers, dim_feedforward, dropout: as for `TransformerEncoderDecoder`.

    Source: Vaswani et al. 2017.
    Chapter: 05-transformer.
    """

    def __init__(
        self,
        *,
        source_size: int,
        target_size: int,
        d_model: int = 64,
        num_heads: int = 4,
        num_layers: int = 2,
        dim_feedforward: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = TransformerEncoderDecoder(
            source_size=source_size,
            target_size=target_size,
            d_model=d_model,
            num_heads=num_heads,
            num_layers=num_layers,
            dim_feedforward=dim_feedforward,
            dropout=dropout,
        )

    def begin(self, source: Tensor, lengths: Tensor | None = None) -> tuple[Step, Any]:
        return decoding_step(self.model.encode, self.model.decode, source, lengths)

    def forward(self, source: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.model.decode(tokens, self.model.encode(source, lengths), lengths)

    def attend(self, source: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logits and the weights of the cross-attentions when the previous words are given.

        Args:
            source: ids, (batch, source_length), padded at the end.
            tokens: ids of the previous words, (batch, target_length), from `shift_right`.
            lengths: number of words of each source, (batch,). None: no padding.

        Returns:
            The logits (batch, target_length, vocab_size) and the weights (batch, num_layers, num_heads,
            target_length, source_length): row i belongs to the i-th word that is written.
        """
        kept: list[Tensor] = []

        def keep(layer: MultiHeadAttention, inputs: tuple[Tensor, ...], _output: object) -> None:
            _, weights = layer.forward(*inputs)  # the block did without them, so ask again
            assert weights is not None
            kept.append(weights)

        hooks = [block.get_submodule("cross_attention").register_forward_hook(keep) for block in self.model.decoder]
        try:
            logits = self(source, tokens, lengths)
        finally:
            for hook in hooks:
                hook.remove()
        return logits, torch.stack(kept, dim=1)
