"""Encoder and decoder: a sentence is read into one vector, and another sentence is written from it.

Read it from top to bottom: from words to a padded batch, the loss, the two networks, decoding. The translator put
together from them stands in `course_lib.models.translator`. The decoder has two paths to the same numbers: one step
at a time, as it must translate; and all steps in one call, as it can be trained when the right words are given
(teacher forcing).

Sources:
    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014, section 2.2 (the context is
        fed to every step).
    Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks", 2014, section 3 (the
        context is only the first state; the source is reversed).
    Williams and Zipser, "A Learning Algorithm for Continually Running Fully Recurrent Neural Networks", 1989
        (teacher forcing).

Chapter: 02-seq2seq.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_lib.data.translation import END, PAD, SPECIALS, START
from course_lib.models.recurrent import State, reverse_padded
from course_lib.models.text import one_hot

Cell = Literal["lstm", "gru", "rnn"]
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]

_NETWORKS: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


# From words to a batch


def build_vocabulary(sentences: Iterable[Sequence[str]]) -> dict[str, int]:
    """Give each word a number: `<pad>` 0, `<start>` 1, `<end>` 2, `<unk>` 3, then words as they first appear.

    Args:
        sentences: each a sequence of words.

    Returns:
        The id of each word.

    Chapter: 02-seq2seq.
    """
    index = {special: i for i, special in enumerate(SPECIALS)}
    for sentence in sentences:
        for word in sentence:
            index.setdefault(word, len(index))
    return index


def pad_batch(sequences: Sequence[Sequence[int]], *, pad: int = PAD) -> tuple[Tensor, Tensor]:
    """Put sequences of different lengths into one table, filled up at the end.

    Args:
        sequences: ids, at least one sequence.
        pad: the id to fill up with.

    Returns:
        The ids (batch, longest) and the lengths (batch,), integers.

    Chapter: 02-seq2seq.
    """
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.full((len(sequences), int(lengths.max())), pad)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence, dtype=torch.long)
    return ids, lengths


def reverse_source(source: Tensor, lengths: Tensor) -> Tensor:
    """The source from its last word to its first; padding stays at the end.

    Args:
        source: ids, (batch, length), padded at the end.
        lengths: number of words of each, (batch,).

    Returns:
        (batch, length).

    Source: Sutskever et al. 2014, section 3.3.
    Chapter: 02-seq2seq.
    """
    return reverse_padded(source, lengths)


def shift_right(target: Tensor, *, start: int = START) -> Tensor:
    """What the decoder reads to write the target: `<start>`, then the target without its last column.

    Args:
        target: ids, (batch, length); each row ends with `<end>` and padding.
        start: the id of `<start>`.

    Returns:
        (batch, length); position i holds the target's position i - 1.

    Source: Sutskever et al. 2014, figure 1.
    Chapter: 02-seq2seq.
    """
    return torch.cat([torch.full_like(target[:, :1], start), target[:, :-1]], dim=1)


def masked_cross_entropy(logits: Tensor, target: Tensor, *, pad: int = PAD) -> Tensor:
    """The mean of -log p(target) over the positions that are not padding.

    Args:
        logits: scores of all words before the softmax, (batch, length, vocab_size).
        target: ids, (batch, length).
        pad: the id that does not count.

    Returns:
        0-dimensional. Every word of the batch weighs the same, whatever the length of its sentence.

    Raises:
        ValueError: if all of the target is padding.

    Source: Sutskever et al. 2014, section 3.2.
    Chapter: 02-seq2seq.
    """
    valid = target != pad  # (batch, length)
    if not valid.any():
        raise ValueError("The target holds nothing but padding, so there is no loss to average: drop this batch.")
    log_probability = logits.log_softmax(dim=-1).gather(-1, target[..., None]).squeeze(-1)  # (batch, length)
    return -(log_probability * valid).sum() / valid.sum()


# Networks


class OneHot(nn.Module):
    """The plain alternative to an embedding: a word is a vector of zeros with a single one.

    Args:
        vocab_size: number of words.

    Chapter: 02-seq2seq.
    """

    def __init__(self, *, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (..., vocab_size)."""
        return one_hot(ids, vocab_size=self.vocab_size)


def word_vectors(*, vocab_size: int, d_model: int | None) -> tuple[nn.Module, int]:
    """A layer that turns ids into vectors, and their width: learned ones, or one-hot where d_model is None."""
    if d_model is None:
        return OneHot(vocab_size=vocab_size), vocab_size
    return nn.Embedding(vocab_size, d_model), d_model


class Encoder(nn.Module):
    """Reads the source word by word: a state for every word, and the last one as the context.

    Args:
        vocab_size: number of source words.
        d_model: width of the word embeddings; None for one-hot vectors.
        hidden_size: width of the state of one direction.
        num_layers: recurrent layers on top of each other.
        bidirectional: also read from the end to the start.
        cell: "lstm", "gru" or "rnn".

    Source: Cho et al. 2014, section 2.2; Sutskever et al. 2014, section 3.
    Chapter: 02-seq2seq.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int | None,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        cell: Cell = "lstm",
    ) -> None:
        super().__init__()
        self.embedding, width = word_vectors(vocab_size=vocab_size, d_model=d_model)
        self.rnn = _NETWORKS[cell](width, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)

    def forward(self, source: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Read a batch of sentences.

        Args:
            source: ids, (batch, length), padded at the end.
            lengths: number of words of each, (batch,). None: no padding.

        Returns:
            The states of the top layer, (batch, length, directions * hidden_size), zeros at padding; and the last
            valid state of each layer, (num_layers, batch, directions * hidden_size), for an LSTM a pair of
            them, h and c. Both directions stand side by side.
        """
        x = self.embedding(source)  # (batch, length, d_model)
        if lengths is None or bool((lengths == source.shape[1]).all()):
            states, last = self.rnn(x)
        else:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            packed_states, last = self.rnn(packed)
            states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=source.shape[1])
        if isinstance(last, tuple):
            return states, (self._side_by_side(last[0]), self._side_by_side(last[1]))
        return states, self._side_by_side(last)

    def _side_by_side(self, state: Tensor) -> Tensor:
        """(num_layers * directions, batch, hidden) -> (num_layers, batch, directions * hidden)."""
        if not self.rnn.bidirectional:
            return state
        return torch.cat([state[0::2], state[1::2]], dim=-1)


class DecoderStep(nn.Module):
    """One step of the decoder: from the previous state, the previous word and the context to the next word.

        s_i = cell([y_{i-1}; c], s_{i-1}),  logits_i = W s_i + b

    Args:
        vocab_size: number of target words.
        d_model: width of the word embeddings; None for one-hot vectors.
        hidden_size: width of the state.
        d_context: width of the context fed to every step. 0: it is not fed, only the first state tells the
            decoder of the source.
        num_layers: recurrent layers on top of each other.
        cell: "lstm", "gru" or "rnn".

    Source: Cho et al. 2014, section 2.2, with the context fed; Sutskever et al. 2014, section 3, without.
    Chapter: 02-seq2seq.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int | None,
        hidden_size: int,
        d_context: int = 0,
        num_layers: int = 1,
        cell: Cell = "lstm",
    ) -> None:
        super().__init__()
        self.embedding, width = word_vectors(vocab_size=vocab_size, d_model=d_model)
        self.d_context = d_context
        self.rnn = _NETWORKS[cell](width + d_context, hidden_size, num_layers, batch_first=True)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, token: Tensor, state: State, context: Tensor | None = None) -> tuple[Tensor, State]:
        """Write one word.

        Args:
            token: the id of the previous word, (batch,).
            state: the previous state, (num_layers, batch, hidden_size), for an LSTM a pair of them.
            context: what the encoder found, (batch, d_context). Unused where d_context is 0.

        Returns:
            The logits of the next word, (batch, vocab_size), and the new state.

        Raises:
            ValueError: if the context is missing or not as wide as it should be.
        """
        x = self.embedding(token)  # (batch, d_model)
        if self.d_context:
            x = torch.cat([x, self._checked(context)], dim=-1)  # (batch, d_model + d_context)
        output, state = self.rnn(x[:, None], state)  # a sequence of one step
        return self.output(output[:, 0]), state

    def teacher_forced(self, tokens: Tensor, state: State, context: Tensor | None = None) -> Tensor:
        """All steps in one call, when the previous words are given: the same logits, several times faster.

        Args:
            tokens: ids of the previous words, (batch, length), from `shift_right`.
            state, context: as for one step.

        Returns:
            The logits, (batch, length, vocab_size).
        """
        x = self.embedding(tokens)  # (batch, length, d_model)
        if self.d_context:
            fed = self._checked(context)[:, None].expand(-1, x.shape[1], -1)  # the same at every step
            x = torch.cat([x, fed], dim=-1)
        return self.output(self.rnn(x, state)[0])

    def _checked(self, context: Tensor | None) -> Tensor:
        if context is None or context.shape[-1] != self.d_context:
            found = "no context" if context is None else f"a context of shape {tuple(context.shape)}"
            raise ValueError(
                f"The decoder is fed a context of width {self.d_context}, but got {found}: hand over the encoder's "
                "last hidden state."
            )
        return context


# Decoding


def greedy_decode(
    step: Step, state: Any, *, batch_size: int, max_length: int, start: int = START, end: int = END, pad: int = PAD
) -> Tensor:
    """Write the likeliest word at each step, and read it at the next, until every sentence has ended.

    Args:
        step: takes the previous words (batch,) and the state, gives logits (batch, vocab_size) and the new state.
        state: the first state.
        batch_size: number of sentences.
        max_length: the largest number of words, `<end>` included.
        start, end, pad: the ids of the special words.

    Returns:
        Ids, (batch, steps) with steps <= max_length: each row ends with `<end>`, if it came in time, and holds
        `<pad>` behind it.

    Source: Sutskever et al. 2014, section 3.2 (there with a beam).
    Chapter: 02-seq2seq.
    """
    token = torch.full((batch_size,), start)
    ended = torch.zeros(batch_size, dtype=torch.bool)
    written: list[Tensor] = []
    while len(written) < max_length and not ended.all():
        logits, state = step(token, state)
        token = logits.argmax(dim=-1).masked_fill(ended, pad)
        ended = ended | (token == end)
        written.append(token)
    return torch.stack(written, dim=1) if written else torch.empty(batch_size, 0, dtype=torch.long)


def free_running_logits(step: Step, state: Any, *, batch_size: int, num_steps: int, start: int = START) -> Tensor:
    """The decoder trained as it is used: each step reads its own likeliest word, right or wrong.

    Args:
        step, state, batch_size, start: as for `greedy_decode`.
        num_steps: number of steps, that of the target.

    Returns:
        The logits, (batch, num_steps, vocab_size).

    Source: Williams and Zipser 1989 (teacher forcing is the alternative they propose).
    Chapter: 02-seq2seq.
    """
    token = torch.full((batch_size,), start)
    rows = []
    for _ in range(num_steps):
        logits, state = step(token, state)
        token = logits.argmax(dim=-1)
        rows.append(logits)
    return torch.stack(rows, dim=1)
