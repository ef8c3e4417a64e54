"""Measures of trained weights: how well a network does with the arrays that a student's training gave.

Two right trainings never end in the same numbers, so nothing can be compared with a reference. A measure puts the
returned arrays into a network of torch.nn alone and looks at what it does on data that it brings along. Whoever
judges does this, on public data in the student's notebook and on fresh data in grading; the student's process
returns arrays and never judges itself.

A measure may also be the sign of a known mistake: trained on targets that were not shifted, a decoder repeats what
it is fed, and that can be seen in its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from course_lib.check.classifiers import CLASSIFIER_MEASURES
from course_lib.check.flows import FLOW_MEASURES
from course_lib.check.segmenters import SEGMENTER_MEASURES
from course_lib.check.weights import fit
from course_lib.data.translation import END, PAD, START
from course_lib.metrics import corpus_bleu


@dataclass(frozen=True)
class Measure:
    """A named measure with its parameters; plain data, so that it can be recorded.

    Attributes:
        name: of a function in :data:`MEASURES`.
        parameters: its keyword arguments beside the weights.
        mistake: the known mistake that has been made where this measure fails; "" for none in particular.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    mistake: str = ""

    def broken(self, weights: Any) -> str | None:
        """One sentence that says what the weights fall short of, or ``None``.

        Raises:
            Misfit: these are no weights of the network that is measured.
        """
        return MEASURES[self.name](weights, **self.parameters)


# Translators with a fixed context


class FixedContext(nn.Module):
    """Encoder and decoder, an LSTM each, with one vector between them that every step of the decoder is fed.

    Args:
        source_size, target_size: words of the two vocabularies.
        d_model: width of the word embeddings.
        hidden_size: width of the states.
    """

    def __init__(self, *, source_size: int, target_size: int, d_model: int, hidden_size: int) -> None:
        super().__init__()
        self.target_size = target_size
        self.encoder = nn.ModuleDict(
            {"embedding": nn.Embedding(source_size, d_model), "rnn": nn.LSTM(d_model, hidden_size, batch_first=True)}
        )
        self.decoder = nn.ModuleDict(
            {
                "embedding": nn.Embedding(target_size, d_model),
                "rnn": nn.LSTM(d_model + hidden_size, hidden_size, batch_first=True),
                "output": nn.Linear(hidden_size, target_size),
            }
        )

    def read(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's last state (h, c), (1, batch, hidden_size) each."""
        x = self.encoder["embedding"](source)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        state: tuple[Tensor, Tensor] = self.encoder["rnn"](packed)[1]
        return state

    def write(
        self, tokens: Tensor, state: tuple[Tensor, Tensor], context: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The logits (batch, length, target_size) behind each of the tokens (batch, length), and the last state."""
        fed = context[:, None].expand(-1, tokens.shape[1], -1)
        states, state = self.decoder["rnn"](torch.cat([self.decoder["embedding"](tokens), fed], dim=-1), state)
        return self.decoder["output"](states), state

    def forward(self, source: Tensor, lengths: Tensor, tokens: Tensor) -> Tensor:
        """The logits of all words when the previous ones are given."""
        state = self.read(source, lengths)
        return self.write(tokens, state, state[0][-1])[0]

    def translate(self, source: Tensor, lengths: Tensor, *, max_length: int) -> list[list[int]]:
        """The likeliest word at each step, up to `<end>`."""
        state = self.read(source, lengths)
        context = state[0][-1]
        token = torch.full((len(source), 1), START)
        written = []
        for _ in range(max_length):
            logits, state = self.write(token, state, context)
            token = logits.argmax(dim=-1)
            written.append(token)
        return [until_end(row) for row in torch.cat(written, dim=1)]


def until_end(ids: Tensor) -> list[int]:
    """The ids of a sentence before its first `<end>`."""
    words: list[int] = ids.tolist()
    return words[: words.index(END)] if END in words else words


@dataclass(frozen=True)
class _Exam:
    """A translator and the sentences to examine it with."""

    network: FixedContext
    source: Tensor
    lengths: Tensor
    target: Tensor

    @property
    def tokens(self) -> Tensor:
        """What the decoder is fed where the right words are given."""
        return torch.cat([torch.full_like(self.target[:, :1], START), self.target[:, :-1]], dim=1)

    def log_probability(self, source: Tensor) -> Tensor:
        """The mean over all words of the targets of log p, with these sources; 0-dimensional."""
        logits = self.network(source, self.lengths, self.tokens).log_softmax(dim=-1)
        return logits.gather(-1, self.target[..., None]).squeeze(-1)[self.target != PAD].mean()

    def share_right(self, tokens: Tensor) -> float:
        """The share of words of the targets that are the likeliest when the decoder is fed these tokens."""
        right = self.network(self.source, self.lengths, tokens).argmax(dim=-1) == self.target
        return float(right[self.target != PAD].float().mean())


def _translator(look: Callable[..., str | None]) -> Callable[..., str | None]:
    """A measure of a translator's weights from one that looks at an exam.

    Its parameters are the sizes of :class:`FixedContext`, the ids ``source`` (pairs, source_length) and
    ``target`` (pairs, target_length), both padded at the end, and what ``look`` takes besides.
    """

    @torch.no_grad()
    def measure(
        weights: Any, *, sizes: Mapping[str, int], source: Tensor, target: Tensor, **parameters: Any
    ) -> str | None:
        with torch.device("meta"):
            network = FixedContext(**sizes)
        fit(network, weights)
        lengths = (source != PAD).sum(dim=1)
        return look(_Exam(network, source.long(), lengths, target.long()), **parameters)

    return measure


def _is_untrained(exam: _Exam) -> str | None:
    guessing = -math.log(exam.network.target_size)
    if 0.7 < float(exam.log_probability(exam.source)) / guessing < 1.3:
        return "it knows hardly more about the next word than that it is one of the vocabulary."
    return None


def _repeats_its_input(exam: _Exam) -> str | None:
    if exam.share_right(exam.target) > 0.9:
        return "the decoder repeats the word that it is fed."
    return None


def _ignores_the_source(exam: _Exam) -> str | None:
    own, other = exam.log_probability(exam.source), exam.log_probability(exam.source.roll(1, 0))
    if float(other / own) < 1.25:
        return "another source in the place of the right one makes hardly any difference."
    return None


def _writes_padding(exam: _Exam) -> str | None:
    behind_end = exam.tokens == END  # (pairs, target_length), the steps that only padding follows
    if not behind_end.any():
        raise ValueError("No target is padded, so nothing follows an <end>: give targets of different length.")
    share = exam.network(exam.source, exam.lengths, exam.tokens).softmax(dim=-1)[behind_end][:, PAD]
    if float(share.mean()) > 0.5:
        return "behind `<end>` it expects padding, so padding was counted in its loss."
    return None


def _next_words(exam: _Exam, *, at_least: float) -> str | None:
    share = exam.share_right(exam.tokens)
    if share < at_least:
        return (
            f"given the right words before, it finds {share:.0%} of the next words of new sentences; "
            f"{at_least:.0%} are asked for."
        )
    return None


def _bleu(exam: _Exam, *, at_least: float) -> str | None:
    hypotheses = exam.network.translate(exam.source, exam.lengths, max_length=2 * exam.target.shape[1])
    score = corpus_bleu(hypotheses, [until_end(row) for row in exam.target])
    if score < at_least:
        return f"its translations of new sentences reach BLEU {score:.0f}; {at_least:.0f} is asked for."
    return None


MEASURES: dict[str, Callable[..., str | None]] = {
    "translator_is_untrained": _translator(_is_untrained),
    "translator_repeats_its_input": _translator(_repeats_its_input),
    "translator_ignores_the_source": _translator(_ignores_the_source),
    "translator_writes_padding": _translator(_writes_padding),
    "translator_next_words": _translator(_next_words),
    "translator_bleu": _translator(_bleu),
    **CLASSIFIER_MEASURES,
    **SEGMENTER_MEASURES,
    **FLOW_MEASURES,
}
