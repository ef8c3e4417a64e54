"""Attention in a recurrent decoder: at each step, a context of its own from all states of the encoder.

The five steps, in the order of the definitions: score each encoder state against the decoder's, block the padding,
softmax over the source, sum the states by these weights, and use the sum to write the next word. Bahdanau's decoder
scores with its previous state, before the cell; Luong's with its current state, after the cell, so that all steps
of training can run at once.

Sources:
    Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", 2015,
        section 3 and appendix A.
    Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation", 2015,
        section 3.1.

Chapter: 03-rnn-attention.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from course_lib.models.recurrent import State, raise_memory_bias
from course_lib.models.seq2seq import Step
from course_lib.models.translator import Translator, encoder_of_width

Score = Literal["dot", "general", "concat"]


def additive_scores(query: Tensor, keys: Tensor, weight: Tensor, bias: Tensor | None, v: Tensor) -> Tensor:
    """A small network judges each pair of decoder and encoder state: e_j = vᵀ tanh(W [s; h_j] + b).

    The same network serves every pair ("time-distributed"). Luong's `concat` is this score without b.

    Args:
        query: decoder states s, (..., d_query).
        keys: encoder states h_j, (..., m, d_key).
        weight: W, (d_attention, d_query + d_key); its first columns meet s, the others h_j.
        bias: b, (d_attention,), or None.
        v: (d_attention,).

    Returns:
        The scores e_j, (..., m).

    Source: Bahdanau et al. 2015, section 3.1 and appendix A.1.2.
    Chapter: 03-rnn-attention.
    """
    # W [s; h] = W_s s + W_h h: the decoder state need not be copied beside each encoder state.
    for_query, for_keys = weight.split([query.shape[-1], keys.shape[-1]], dim=-1)
    hidden = (query @ for_query.T)[..., None, :] + keys @ for_keys.T  # (..., m, d_attention)
    if bias is not None:
        hidden = hidden + bias
    return torch.tanh(hidden) @ v


def multiplicative_scores(query: Tensor, keys: Tensor, weight: Tensor | None = None) -> Tensor:
    """A dot product of decoder and encoder state: e_j = sᵀ h_j (dot), or e_j = sᵀ W h_j (general).

    Args:
        query: decoder states s, (..., d_query).
        keys: encoder states h_j, (..., m, d_key).
        weight: W, (d_query, d_key). None: dot, which needs states of the same width.

    Returns:
        The scores e_j, (..., m).

    Raises:
        ValueError: if the widths do not fit together.

    Source: Luong et al. 2015, section 3.1, equation 8.
    Chapter: 03-rnn-attention.
    """
    if weight is not None:
        query = query @ weight  # (..., d_key)
    if query.shape[-1] != keys.shape[-1]:
        raise ValueError(
            f"A decoder state of width {query.shape[-1]} has no dot product with encoder states of width "
            f"{keys.shape[-1]}: make them equally wide, or give a weight (the score `general`)."
        )
    return torch.einsum("...d,...md->...m", query, keys)


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the source positions that are words: exp(e_j) / Σ_k exp(e_k), and 0 at padding.

    Args:
        scores: (..., m).
        mask: boolean, broadcastable to (..., m), True where there is a word. None: everywhere.

    Returns:
        The weights α_j, (..., m). Each row sums to one; a row without any word holds zeros.

    Source: Bahdanau et al. 2015, section 3.1, equation 6.
    Chapter: 03-rnn-attention.
    """
    if mask is None:
        return scores.softmax(dim=-1)
    empty = ~mask.any(dim=-1, keepdim=True)  # their softmax would be NaN
    scores = scores.masked_fill(~mask, -torch.inf).masked_fill(empty, 0.0)
    return scores.softmax(dim=-1).masked_fill(empty, 0.0)


def context_vector(weights: Tensor, states: Tensor) -> Tensor:
    """The encoder states, summed by their weights: c = Σ_j α_j h_j. It is as wide as they are.

    Args:
        weights: α_j, (..., m).
        states: h_j, (..., m, d_memory).

    Returns:
        (..., d_memory).

    Source: Bahdanau et al. 2015, section 3.1, equation 5.
    Chapter: 03-rnn-attention.
    """
    return torch.einsum("...m,...md->...d", weights, states)


class BahdanauDecoderStep(nn.Module):
    """A decoder step that looks before it moves: its previous state asks, the cell reads the answer.

        e_ij = vᵀ tanh(W [s_{i-1}; h_j] + b),  α_i = softmax(e_i),  c_i = Σ_j α_ij h_j
        s_i = LSTM([y_{i-1}; c_i], s_{i-1}),  logits_i = W_o [s_i; c_i] + b_o

    Bahdanau et al. use a GRU and a wider output layer; here only what attends differs from the other decoders.

    Args:
        vocab_size: number of target words.
        d_model: width of the word embeddings.
        hidden_size: width of the decoder's state.
        d_memory: width of the encoder's states.
        d_attention: width of the scoring network.

    Source: Bahdanau et al. 2015, section 3.1.
    Chapter: 03-rnn-attention.
    """

    def __init__(self, *, vocab_size: int, d_model: int, hidden_size: int, d_memory: int, d_attention: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.attention = nn.Linear(hidden_size + d_memory, d_attention)  # W and b
        self.v = nn.Linear(d_attention, 1, bias=False)
        self.rnn = nn.LSTM(d_model + d_memory, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size + d_memory, vocab_size)

    def forward(
        self, token: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Write one word.

        Args:
            token: the id of the previous word, (batch,).
            state: the previous h and c, (1, batch, hidden_size) each.
            memory: the encoder's states, (batch, m, d_memory).
            mask: boolean, (batch, m), True where the source has a word. None: everywhere.

        Returns:
            The logits of the next word (batch, vocab_size), the new state, and the weights α_i (batch, m).
        """
        query = state[0][-1]  # s_{i-1}, (batch, hidden_size)
        scores = additive_scores(query, memory, self.attention.weight, self.attention.bias, self.v.weight[0])
        weights = masked_softmax(scores, mask)
        context = context_vector(weights, memory)  # (batch, d_memory)
        x = torch.cat([self.embedding(token), context], dim=-1)
        output, state = self.rnn(x[:, None], state)
        return self.output(torch.cat([output[:, 0], context], dim=-1)), state, weights

    def teacher_forced(
        self, tokens: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All steps, when the previous words are given. They still wait for each other: a step's weights need the
        state of the step before. What does not need it is done for all steps at once.

        Args:
            tokens: ids of the previous words, (batch, n).
            state, memory, mask: as for one step.

        Returns:
            The logits (batch, n, vocab_size) and the weights (batch, n, m).
        """
        for_query, for_keys = self.attention.weight.split([self.rnn.hidden_size, memory.shape[-1]], dim=-1)
        keys = memory @ for_keys.T + self.attention.bias  # (batch, m, d_attention), the same at every step
        x = self.embedding(tokens)  # (batch, n, d_model)
        h, c = state[0][-1], state[1][-1]  # (batch, hidden_size)
        states, contexts, rows = [], [], []
        for i in range(tokens.shape[1]):
            scores = torch.tanh((h @ for_query.T)[:, None] + keys) @ self.v.weight[0]  # (batch, m)
            weights = masked_softmax(scores, mask)
            context = context_vector(weights, memory)
            h, c = torch.lstm_cell(torch.cat([x[:, i], context], dim=-1), (h, c), *self.rnn.all_weights[0])
            states.append(h)
            contexts.append(context)
            rows.append(weights)
        both = torch.cat([torch.stack(states, dim=1), torch.stack(contexts, dim=1)], dim=-1)
        return self.output(both), torch.stack(rows, dim=1)


class LuongDecoderStep(nn.Module):
    """A decoder step that moves before it looks: its current state asks, the answer joins behind the cell.

        s_i = LSTM(y_{i-1}, s_{i-1}),  α_i = softmax(score(s_i, h_j)),  c_i = Σ_j α_ij h_j
        s̃_i = tanh(W_c [c_i; s_i]),  logits_i = W_o s̃_i + b_o

    The attentional state s̃_i is not fed to the next step (Luong et al.'s input feeding is left out), so that the
    cell needs nothing of the attention, and all steps of training run at once.

    Args:
        vocab_size: number of target words.
        d_model: width of the word embeddings.
        hidden_size: width of the decoder's state.
        d_memory: width of the encoder's states; for `dot`, the same.
        score: "dot", "general" or "concat".
        num_layers: recurrent layers on top of each other; the top one attends.

    Raises:
        ValueError: if the score is none of the three, or `dot` is asked for with different widths.

    Source: Luong et al. 2015, section 3.1, equations 5 to 8.
    Chapter: 03-rnn-attention.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int,
        hidden_size: int,
        d_memory: int,
        score: Score = "general",
        num_layers: int = 1,
    ) -> None:
        super().__init__()
        if score not in ("dot", "general", "concat"):
            raise ValueError(f"The score is {score!r}: choose 'dot', 'general' or 'concat'.")
        if score == "dot" and hidden_size != d_memory:
            raise ValueError(
                f"The score 'dot' needs states of the same width, not {hidden_size} and {d_memory}: choose "
                "hidden_size = d_memory, or the score 'general'."
            )
        self.score = score
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model, hidden_size, num_layers, batch_first=True)
        if score == "general":
            self.attention = nn.Linear(d_memory, hidden_size, bias=False)  # W, applied to h_j
        elif score == "concat":
            self.attention = nn.Linear(hidden_size + d_memory, hidden_size, bias=False)
            self.v = nn.Linear(hidden_size, 1, bias=False)
        self.combine = nn.Linear(d_memory + hidden_size, hidden_size, bias=False)  # W_c
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(
        self, token: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Write one word.

        Args:
            token: the id of the previous word, (batch,).
            state: the previous h and c, (num_layers, batch, hidden_size) each.
            memory: the encoder's states, (batch, m, d_memory).
            mask: boolean, (batch, m), True where the source has a word. None: everywhere.

        Returns:
            The logits of the next word (batch, vocab_size), the new state, and the weights α_i (batch, m).
        """
        output, state = self.rnn(self.embedding(token)[:, None], state)
        logits, weights = self._look(output[:, 0], memory, mask)
        return logits, state, weights

    def teacher_forced(
        self, tokens: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All steps in one call, when the previous words are given: the same numbers, several times faster.

        Args:
            tokens: ids of the previous words, (batch, n).
            state, memory, mask: as for one step.

        Returns:
            The logits (batch, n, vocab_size) and the weights (batch, n, m).
        """
        output, _ = self.rnn(self.embedding(tokens), state)  # (batch, n, hidden_size)
        return self._look(output, memory[:, None], None if mask is None else mask[:, None])

    def _look(self, query: Tensor, memory: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """What comes after the cell, for queries (..., hidden_size) and memory (..., m, d_memory)."""
        weights = masked_softmax(self._scores(query, memory), mask)
        context = context_vector(weights, memory)
        attentional = torch.tanh(self.combine(torch.cat([context, query], dim=-1)))
        return self.output(attentional), weights

    def _scores(self, query: Tensor, memory: Tensor) -> Tensor:
        if self.score == "concat":
            return additive_scores(query, memory, self.attention.weight, None, self.v.weight[0])
        return multiplicative_scores(query, memory, self.attention.weight if self.score == "general" else None)


class AttentionTranslator(Translator):
    """A bidirectional encoder and a decoder that attends to all of its states.

    The decoder starts from the encoder's last states, both directions side by side.

    Args:
        source_size, target_size: words of the two vocabularies.
        attention: "bahdanau" (additive, previous state), or Luong's "dot", "general" or "concat" (current state).
        d_model: width of the word embeddings.
        hidden_size: width of the decoder's state and of the encoder's two directions together; even.
        num_layers: recurrent layers in each network; 1 for "bahdanau".
        d_attention: width of the scoring network of "bahdanau".
        memory_bias: added to the first bias of the gates that remember; see `raise_memory_bias`.

    Raises:
        ValueError: if hidden_size is odd, or "bahdanau" is asked for with several layers.

    Source: Bahdanau et al. 2015; Luong et al. 2015.
    Chapter: 03-rnn-attention.
    """

    def __init__(
        self,
        *,
        source_size: int,
        target_size: int,
        attention: Literal["bahdanau"] | Score,
        d_model: int = 64,
        hidden_size: int = 128,
        num_layers: int = 1,
        d_attention: int = 64,
        memory_bias: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder_of_width(
            hidden_size, vocab_size=source_size, d_model=d_model, num_layers=num_layers, bidirectional=True
        )
        sizes = {"vocab_size": target_size, "d_model": d_model, "hidden_size": hidden_size, "d_memory": hidden_size}
        self.decoder: BahdanauDecoderStep | LuongDecoderStep
        if attention == "bahdanau":
            if num_layers != 1:
                raise ValueError(f"The decoder of 'bahdanau' has one layer, not {num_layers}: choose num_layers=1.")
            self.decoder = BahdanauDecoderStep(**sizes, d_attention=d_attention)
        else:
            self.decoder = LuongDecoderStep(**sizes, score=attention, num_layers=num_layers)
        raise_memory_bias(self, memory_bias)

    def begin(self, source: Tensor, lengths: Tensor | None = None) -> tuple[Step, Any]:
        memory, state = self.encoder(source, lengths)
        mask = source_mask(source, lengths)

        def step(token: Tensor, state: State) -> tuple[Tensor, State]:
            logits, state, _ = self.decoder(token, state, memory, mask)
            return logits, state

        return step, state

    def forward(self, source: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.attend(source, tokens, lengths)[0]

    def attend(self, source: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logits and the weights of all target words when the previous ones are given.

        Args:
            source: ids, (batch, source_length), padded at the end.
            tokens: ids of the previous words, (batch, target_length), from `shift_right`.
            lengths: number of words of each source, (batch,). None: no padding.

        Returns:
            The logits (batch, target_length, vocab_size) and the weights (batch, target_length, source_length):
            row i belongs to the i-th word that is written.
        """
        memory, state = self.encoder(source, lengths)
        return self.decoder.teacher_forced(tokens, state, memory, source_mask(source, lengths))


def source_mask(source: Tensor, lengths: Tensor | None) -> Tensor | None:
    """True where the source has a word, (batch, source_length); None where it has one everywhere."""
    if lengths is None or bool((lengths == source.shape[1]).all()):
        return None
    return torch.arange(source.shape[1]) < lengths[:, None]
