"""Decoding: from the logits of a next token to a choice, and from choices to a text.

Read it from top to bottom: the distribution (temperature, top-k, top-p), then two ways to write with any model that
offers the step of `course_lib.models.seq2seq`: `sample` draws each token, `beam_search` looks for the likeliest text.
`greedy_decode`, which takes the likeliest token each time, stands beside the step itself.

Sources:
    Ackley, Hinton and Sejnowski, "A Learning Algorithm for Boltzmann Machines", 1985, section 2 (temperature).
    Fan, Lewis and Dauphin, "Hierarchical Neural Story Generation", 2018, section 5.4 (top-k).
    Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, section 3.1 (top-p).
    Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks", 2014, section 3.2 (beam search).
    Wu et al., "Google's Neural Machine Translation System", 2016, section 7 (length normalisation).

Chapter: 06-language-models.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_lib.data.translation import END, PAD, START
from course_lib.models.seq2seq import Step


def temperature_softmax(logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Probabilities that are sharper below temperature 1 and flatter above: p_i = e^(x_i / T) / Σ_j e^(x_j / T).

    Args:
        logits: the scores x, (..., vocab_size); minus infinity for a token that is ruled out.
        temperature: T, above 0.

    Returns:
        (..., vocab_size); each row sums to one.

    Raises:
        ValueError: if the temperature is not above 0.

    Source: Ackley et al. 1985, section 2.
    Chapter: 06-language-models.
    """
    if temperature <= 0:
        raise ValueError(f"A temperature is above 0, not {temperature}: for the likeliest token take the argmax.")
    return (logits / temperature).softmax(dim=-1)


def top_k_filter(logits: Tensor, *, k: int) -> Tensor:
    """Keep the k largest logits and rule out the rest.

    Args:
        logits: (..., vocab_size).
        k: how many tokens stay, at least 1. Where it is not below vocab_size, all stay.

    Returns:
        (..., vocab_size): the logits of the k likeliest tokens, and minus infinity for all others. Tokens that equal
        the k-th likeliest stay too.

    Raises:
        ValueError: if k is below 1.

    Source: Fan et al. 2018, section 5.4.
    Chapter: 06-language-models.
    """
    if k < 1:
        raise ValueError(f"At least one token must stay, but k is {k}: choose 1 or more.")
    smallest = logits.topk(min(k, logits.shape[-1]), dim=-1).values[..., -1:]  # (..., 1)
    return logits.masked_fill(logits < smallest, -torch.inf)


def top_p_filter(logits: Tensor, *, p: float) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p, and rule out the rest.

    A token stays if the tokens likelier than it hold less than p together. So the token that crosses p stays, and
    the likeliest always does.

    Args:
        logits: (..., vocab_size).
        p: the probability to reach, above 0 and at most 1.

    Returns:
        (..., vocab_size): the logits of the tokens that stay, and minus infinity for all others.

    Raises:
        ValueError: if p is not above 0 and at most 1.

    Source: Holtzman et al. 2020, section 3.1.
    Chapter: 06-language-models.
    """
    if not 0 < p <= 1:
        raise ValueError(f"p is a probability above 0 and at most 1, not {p}.")
    ordered, places = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # what the likelier tokens hold together
    kept = ordered.masked_fill(before >= p, -torch.inf)
    return torch.empty_like(logits).scatter(-1, places, kept)


def next_probabilities(
    logits: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """The distribution that `sample` draws from: temperature first, then top-k, then top-p.

    Args:
        logits: (..., vocab_size).
        temperature: as for `temperature_softmax`.
        top_k: as k of `top_k_filter`. None: no such filter.
        top_p: as p of `top_p_filter`, of what the temperature and top-k have left. None: no such filter.

    Returns:
        Probabilities, (..., vocab_size).

    Raises:
        ValueError: as the three functions.

    Chapter: 06-language-models.
    """
    logits = temperature_softmax(logits, temperature=temperature).log()
    if top_k is not None:
        logits = top_k_filter(logits, k=top_k)
    if top_p is not None:
        logits = top_p_filter(logits, p=top_p)
    return logits.softmax(dim=-1)


def sample(
    step: Step,
    state: Any,
    token: Tensor,
    *,
    max_length: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    end: int | None = None,
    pad: int = PAD,
) -> Tensor:
    """Write by drawing each token from the model's distribution, and reading it at the next step.

    Args:
        step: takes the previous tokens (batch,) and the state, gives logits (batch, vocab_size) and the new state.
        state: the first state.
        token: the tokens that the first step reads, (batch,).
        max_length: number of tokens to write.
        generator: the source of chance.
        temperature, top_k, top_p: as for `next_probabilities`.
        end: the id that ends a row. None: no token does.
        pad: what stands behind the end of a row.

    Returns:
        Ids, (batch, max_length), without the tokens read first.

    Raises:
        ValueError: as `next_probabilities`.

    Source: Holtzman et al. 2020, section 3.
    Chapter: 06-language-models.
    """
    ended = torch.zeros(token.shape[0], dtype=torch.bool)
    written = torch.full((token.shape[0], max_length), pad)
    for position in range(max_length):
        logits, state = step(token, state)
        probabilities = next_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
        token = torch.multinomial(probabilities, 1, generator=generator)[:, 0].masked_fill(ended, pad)
        written[:, position] = token
        if end is not None:
            ended = ended | (token == end)
            if ended.all():
                break
    return written


def select_rows(state: Any, rows: Tensor, *, axis: int = 0) -> Any:
    """Rows of a batch from a state, however its tensors are nested in tuples and lists.

    Args:
        state: a tensor, or a tuple or list of states; anything else stays as it is.
        rows: indices into the batch, (n,); one may occur several times.
        axis: the batch axis of each tensor: 0, or 1 for the state of a recurrent network of several layers.

    Returns:
        A state of the same form for n rows.

    Chapter: 06-language-models.
    """
    if isinstance(state, Tensor):
        return state.index_select(axis, rows)
    if isinstance(state, (tuple, list)):
        return type(state)(select_rows(part, rows, axis=axis) for part in state)
    return state


def beam_search(
    step: Step,
    state: Any,
    *,
    beam_width: int,
    max_length: int,
    start: int = START,
    end: int = END,
    length_power: float = 1.0,
    select: Callable[[Any, Tensor], Any] = select_rows,
) -> tuple[Tensor, float]:
    """Look for the text of largest length-normalised log-probability, following beam_width beginnings at a time.

        score = (log p(y_1) + … + log p(y_n | y_1 … y_{n-1})) / n^length_power

    At each step all beginnings are continued by all tokens, and the beam_width likeliest continuations stay. One
    that ends leaves the beam and waits as a finished text; one of max_length tokens is finished as it is. Of all
    finished texts the one with the best score is returned.

    Args:
        step: takes the previous tokens (beam_width,) and the state, gives logits (beam_width, vocab_size) and the
            new state.
        state: the first state, with beam_width equal rows.
        beam_width: how many beginnings are followed. With 1 this is greedy decoding.
        max_length: the largest number of tokens, `end` included.
        start: the token that the first step reads.
        end: the token that ends a text.
        length_power: 0 compares sums, 1 means per token; a sum favours short texts.
        select: takes a state and rows (beam_width,), gives the state of these rows.

    Returns:
        The ids of the best text, (length,), with `end` if it has one; and its log-probability, not divided.

    Raises:
        ValueError: if beam_width or max_length is below 1.

    Source: Sutskever et al. 2014, section 3.2; Wu et al. 2016, section 7, for the division.
    Chapter: 06-language-models.
    """
    if beam_width < 1 or max_length < 1:
        raise ValueError(f"beam_width and max_length are at least 1, not {beam_width} and {max_length}.")
    token = torch.full((beam_width,), start)
    written = torch.empty(beam_width, 0, dtype=torch.long)
    total = torch.full((beam_width,), -torch.inf)  # log-probability of each beginning
    total[0] = 0.0  # all rows are equal at first: one of them is enough
    best, best_total, best_score = written[0], -torch.inf, -torch.inf
    for length in range(1, max_length + 1):
        logits, state = step(token, state)
        continued = total[:, None] + logits.log_softmax(dim=-1)  # (beam_width, vocab_size)
        total, places = continued.flatten().topk(beam_width)
        rows, token = places // logits.shape[-1], places % logits.shape[-1]
        state = select(state, rows)
        written = torch.cat([written[rows], token[:, None]], dim=1)
        finished = (token == end) | (length == max_length)
        score = (total / length**length_power).masked_fill(~finished, -torch.inf)
        if score.max() > best_score:
            row = int(score.argmax())
            best, best_total, best_score = written[row], float(total[row]), float(score[row])
        total = total.masked_fill(finished, -torch.inf)
        # A sum only falls, so no beginning can come to a better score than this.
        if total.max() / max_length**length_power <= best_score:
            break
    return best, best_total
