"""Luong's decoder with one change: the previous state asks, as in Bahdanau's, before the previous word is read.

An experiment, to tell what the state that asks does to the table of weights; all else is `LuongDecoderStep`.

Source: Luong et al., "Effective Approaches to Attention-based Neural Machine Translation", 2015, section 3.1, where
    this is named as the difference to Bahdanau et al. 2015.

Chapter: 03-rnn-attention.
"""

import torch
from torch import Tensor

from course_lib.models.recurrent import raise_memory_bias
from course_lib.models.recurrent_attention import (
    AttentionTranslator,
    LuongDecoderStep,
    Score,
    context_vector,
    masked_softmax,
)


class PreviousStateDecoderStep(LuongDecoderStep):
    """A decoder step whose cell moves first, and whose previous state asks all the same.

        s_i = LSTM(y_{i-1}, s_{i-1}),  α_i = softmax(score(s_{i-1}, h_j)),  c_i = Σ_j α_ij h_j
        s̃_i = tanh(W_c [c_i; s_i]),  logits_i = W_o s̃_i + b_o

    Args: as for `LuongDecoderStep`, with one layer.

    Chapter: 03-rnn-attention.
    """

    def forward(
        self, token: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Write one word; arguments and results as for `LuongDecoderStep`."""
        asking = state[0][-1]  # s_{i-1}, (batch, hidden_size)
        output, state = self.rnn(self.embedding(token)[:, None], state)
        logits, weights = self._ask(asking, output[:, 0], memory, mask)
        return logits, state, weights

    def teacher_forced(
        self, tokens: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All steps in one call; arguments and results as for `LuongDecoderStep`."""
        output, _ = self.rnn(self.embedding(tokens), state)  # (batch, n, hidden_size)
        asking = torch.cat([state[0][-1][:, None], output[:, :-1]], dim=1)  # one step earlier
        return self._ask(asking, output, memory[:, None], None if mask is None else mask[:, None])

    def _ask(self, asking: Tensor, current: Tensor, memory: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        weights = masked_softmax(self._scores(asking, memory), mask)
        context = context_vector(weights, memory)
        attentional = torch.tanh(self.combine(torch.cat([context, current], dim=-1)))
        return self.output(attentional), weights


class PreviousStateTranslator(AttentionTranslator):
    """An `AttentionTranslator` around `PreviousStateDecoderStep`.

    Args:
        source_size, target_size, d_model, hidden_size, memory_bias: as for `AttentionTranslator`.
        attention: "dot", "general" or "concat".

    Chapter: 03-rnn-attention.
    """

    def __init__(
        self,
        *,
        source_size: int,
        target_size: int,
        attention: Score = "general",
        d_model: int = 64,
        hidden_size: int = 128,
        memory_bias: float = 1.0,
    ) -> None:
        sizes = {"d_model": d_model, "hidden_size": hidden_size}
        super().__init__(
            source_size=source_size, target_size=target_size, attention=attention, memory_bias=0.0, **sizes
        )
        self.decoder = PreviousStateDecoderStep(vocab_size=target_size, d_memory=hidden_size, score=attention, **sizes)
        raise_memory_bias(self, memory_bias)
