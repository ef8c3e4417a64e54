"""Translators: what all of the book's have in common, and the one with a fixed context between two networks.

Whatever is between source and target, a translator reads the source once (`begin`), then writes word by word, and is
trained on all words at once when the previous ones are given (`forward`). The rest follows from these two.

Sources:
    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014, section 2.2.
    Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks", 2014, section 3.

Chapter: 02-seq2seq.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.data.grammar import SentencePair
from course_lib.data.translation import Batch, Vocabulary
from course_lib.models.recurrent import State, hidden, raise_memory_bias
from course_lib.models.seq2seq import (
    Cell,
    DecoderStep,
    Encoder,
    Step,
    free_running_logits,
    greedy_decode,
    masked_cross_entropy,
    reverse_source,
    shift_right,
)


class Translator(nn.Module):
    """What every translator of the book can do; `begin` and `forward` are its own.

    Chapters: 02-seq2seq, 03-rnn-attention, 05-transformer.
    """

    def begin(self, source: Tensor, lengths: Tensor | None = None) -> tuple[Step, Any]:
        """Read the source.

        Args:
            source: ids, (batch, source_length), padded at the end.
            lengths: number of words of each, (batch,). None: no padding.

        Returns:
            A step, from previous words (batch,) and a state to logits (batch, vocab_size) and the new
            state; and the first state.
        """
        raise NotImplementedError

    def forward(self, source: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The logits of all target words when the previous ones are given.

        Args:
            source, lengths: as for `begin`.
            tokens: ids of the previous words, (batch, target_length), from `shift_right`.

        Returns:
            (batch, target_length, vocab_size).
        """
        raise NotImplementedError

    def loss(self, batch: Batch, *, free_running: bool = False) -> Tensor:
        """The cross-entropy of a batch's target words, with teacher forcing or free running; 0-dimensional."""
        if free_running:
            step, state = self.begin(batch.source, batch.source_lengths)
            rows, columns = batch.target.shape
            logits = free_running_logits(step, state, batch_size=rows, num_steps=columns)
        else:
            logits = self(batch.source, shift_right(batch.target), batch.source_lengths)
        return masked_cross_entropy(logits, batch.target)

    @torch.no_grad()
    def translate(self, source: Tensor, lengths: Tensor | None = None, *, max_length: int | None = None) -> Tensor:
        """The greedy translation.

        Args:
            source, lengths: as for `begin`.
            max_length: the largest number of words, `<end>` included. None: twice the source and five more.

        Returns:
            Ids, (batch, steps), as from `greedy_decode`.
        """
        step, state = self.begin(source, lengths)
        limit = 2 * source.shape[1] + 5 if max_length is None else max_length
        return greedy_decode(step, state, batch_size=source.shape[0], max_length=limit)


def encoder_of_width(
    width: int, *, vocab_size: int, d_model: int | None, num_layers: int, bidirectional: bool, cell: Cell = "lstm"
) -> Encoder:
    """An encoder whose states are `width` wide, from one direction or from two together.

    Raises:
        ValueError: if two directions cannot share the width evenly.
    """
    if bidirectional and width % 2:
        raise ValueError(f"Two directions share hidden_size = {width}: choose an even number.")
    return Encoder(
        vocab_size=vocab_size,
        d_model=d_model,
        hidden_size=width // 2 if bidirectional else width,
        num_layers=num_layers,
        bidirectional=bidirectional,
        cell=cell,
    )


class FixedContextTranslator(Translator):
    """Encoder and decoder with one vector between them.

    The decoder starts from the encoder's last state. With `feed_context`, the top layer's h of that state is also
    an input of every step.

    Args:
        source_size, target_size: words of the two vocabularies.
        d_model: width of the word embeddings; None for one-hot vectors.
        hidden_size: width of the states of both networks.
        num_layers: recurrent layers in each.
        cell: "lstm", "gru" or "rnn".
        feed_context: feed the context to every step, not only as the first state.
        reverse: read the source from its last word to its first.
        bidirectional: read the source in both directions, each half as wide.
        memory_bias: added to the first bias of the gates that remember; see `raise_memory_bias`.

    Raises:
        ValueError: if hidden_size is odd and two directions share it.

    Source: Cho et al. 2014, section 2.2; Sutskever et al. 2014, section 3.
    Chapter: 02-seq2seq.
    """

    def __init__(
        self,
        *,
        source_size: int,
        target_size: int,
        d_model: int | None = 64,
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: Cell = "lstm",
        feed_context: bool = True,
        reverse: bool = False,
        bidirectional: bool = False,
        memory_bias: float = 1.0,
    ) -> None:
        super().__init__()
        self.reverse = reverse
        self.encoder = encoder_of_width(
            hidden_size,
            vocab_size=source_size,
            d_model=d_model,
            num_layers=num_layers,
            bidirectional=bidirectional,
            cell=cell,
        )
        self.decoder = DecoderStep(
            vocab_size=target_size,
            d_model=d_model,
            hidden_size=hidden_size,
            d_context=hidden_size if feed_context else 0,
            num_layers=num_layers,
            cell=cell,
        )
        raise_memory_bias(self, memory_bias)

    def read(self, source: Tensor, lengths: Tensor | None) -> tuple[State, Tensor]:
        """The encoder's last state and the context (batch, hidden_size)."""
        if self.reverse:
            ends = torch.full(source.shape[:1], source.shape[1]) if lengths is None else lengths
            source = reverse_source(source, ends)
        _, state = self.encoder(source, lengths)
        return state, hidden(state)[-1]

    def begin(self, source: Tensor, lengths: Tensor | None = None) -> tuple[Step, Any]:
        state, context = self.read(source, lengths)
        return partial(self.decoder, context=context), state

    def forward(self, source: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        state, context = self.read(source, lengths)
        return self.decoder.teacher_forced(tokens, state, context)


def translations(
    model: Translator, batches: Iterable[Batch], vocabulary: Vocabulary
) -> list[tuple[SentencePair, list[str]]]:
    """Translate batches greedily.

    Args:
        model: the translator.
        batches: what to translate, for instance `TranslationData.test_batches()`.
        vocabulary: of the target.

    Returns:
        Each pair with the words that the model wrote for its source.

    Chapter: 02-seq2seq.
    """
    results = []
    for batch in batches:
        ids = model.translate(batch.source, batch.source_lengths)
        results += [(pair, vocabulary.decode(row)) for pair, row in zip(batch.pairs, ids, strict=True)]
    return results
