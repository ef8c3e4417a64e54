"""Assignment 03, the two decoders and the alignment error rate: exercises 5 and 6 and the larger piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from course_lib import metrics
from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Cases, Constant, Exercise, Line, Misconception, random_state, random_tensor
from course_lib.models import recurrent_attention as reference

BANNED = ("F.scaled_dot_product_attention", "MultiheadAttention")
RETURNS = ("the logits", "the new state", "the weights")
VOCABULARY = 9


def _source_mask(rng: np.random.Generator, batch: int, m: int) -> torch.Tensor:
    """Sources padded at the end: one is full, one has a single word."""
    lengths = rng.integers(2, m, size=batch)
    lengths[:2] = m, 1
    return torch.arange(m) < torch.from_numpy(rng.permutation(lengths))[:, None]


def _pair(rng: np.random.Generator, batch: int, hidden_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The state h and c of one layer."""
    h, c = (random_tensor(rng, 1, batch, hidden_size, scale=0.6) for _ in range(2))
    return h, c


def _ids(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.integers(VOCABULARY, size=shape))


def _bahdanau(
    *settings: tuple[int, int, int, int, int, int], padded: bool = False, gradients: tuple[str, ...] = ()
) -> Cases:
    """Cases for settings (batch, m, d_model, hidden_size, d_memory, d_attention)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, m, d_model, hidden_size, d_memory, d_attention in settings:
            init: dict[str, Any] = {
                "vocab_size": VOCABULARY,
                "d_model": d_model,
                "hidden_size": hidden_size,
                "d_memory": d_memory,
                "d_attention": d_attention,
            }
            args = [_ids(rng, batch), _pair(rng, batch, hidden_size), random_tensor(rng, batch, m, d_memory)]
            probes.append(
                Probe(
                    target="BahdanauDecoderStep",
                    init=init,
                    state=random_state(reference.BahdanauDecoderStep(**init), rng),
                    args=(*args, _source_mask(rng, batch, m)) if padded else tuple(args),
                    gradients=gradients,
                )
            )
        return probes

    return cases


ASK = "scores = additive_scores(query, memory, self.attention.weight, self.attention.bias, self.v.weight[0])"
SOFTMAX = "weights = masked_softmax(scores, mask)"
CONTEXT = "context = context_vector(weights, memory)"
CELL_INPUT = "x = torch.cat([self.embedding(token), context], dim=-1)"
CELL = "output, new_state = self.rnn(x[:, None], state)"
LOGITS = "logits = self.output(torch.cat([output[:, 0], context], dim=-1))"

bahdanau_decoder_step = Exercise(
    name="BahdanauDecoderStep",
    reference=reference.BahdanauDecoderStep,
    returns=RETURNS,
    banned=BANNED,
    uses=("additive_scores", "masked_softmax", "context_vector"),
    lines=[
        Line(
            name="output",
            text="logits, new state and weights of one step",
            points=3,
            cases=_bahdanau((2, 5, 3, 4, 6, 7), (3, 4, 5, 3, 2, 6)),
            properties=[Property("rows_sum_to_one", {"part": 2})],
        ),
        Line(
            name="mask",
            text="padding of the source is not attended to",
            points=1,
            cases=_bahdanau((4, 6, 3, 4, 5, 7), padded=True),
            properties=[Property("rows_sum_to_one", {"part": 2})],
        ),
        Line(
            name="gradients",
            text="the gradients by the encoder's states and all weights",
            points=1,
            cases=_bahdanau((2, 5, 3, 4, 6, 7), gradients=("2", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="current_state_asks",
            says="Your weights come from the state after the cell; the previous state asks, before the cell moves.",
            line="output",
            edits=[
                (
                    CELL,
                    CELL + "\n        weights = masked_softmax(additive_scores(output[:, 0], memory, "
                    "self.attention.weight, self.attention.bias, self.v.weight[0]), mask)\n"
                    "        context = context_vector(weights, memory)",
                )
            ],
        ),
        Misconception(
            name="cell_state_asks",
            says="The cell state c of the pair asks; it is the hidden state h.",
            line="output",
            edits=[("query = state[0][-1]", "query = state[1][-1]")],
        ),
        Misconception(
            name="context_left_out_of_the_logits",
            says="Your output layer does not see the context; it reads the new state and the context side by side.",
            line="output",
            edits=[(LOGITS, LOGITS.replace(", context]", ", 0 * context]"))],
        ),
        Misconception(
            name="context_first_in_the_cell",
            says="The cell reads the context first; the embedding stands first, then the context.",
            line="output",
            edits=[(CELL_INPUT, "x = torch.cat([context, self.embedding(token)], dim=-1)")],
        ),
        Misconception(
            name="context_first_in_the_logits",
            says="The output layer reads the context first; the new state stands first, then the context.",
            line="output",
            edits=[(LOGITS, "logits = self.output(torch.cat([context, output[:, 0]], dim=-1))")],
        ),
        Misconception(
            name="previous_state_in_the_logits",
            says="Your output layer reads the previous state; it reads the one that the cell has just made.",
            line="output",
            edits=[(LOGITS, LOGITS.replace("output[:, 0]", "query"))],
        ),
        Misconception(
            name="starts_from_zeros",
            says="The cell starts from zeros; hand it the previous state.",
            line="output",
            edits=[(CELL, "output, new_state = self.rnn(x[:, None])")],
        ),
        Misconception(
            name="old_state_returned",
            says="You return the state that came in; return the one after the cell.",
            line="output",
            edits=[("return logits, new_state, weights", "return logits, state, weights")],
        ),
        Misconception(
            name="scores_weighted",
            says="Your context is the weighted sum of the scores; the weights belong to the encoder's states.",
            line="output",
            edits=[
                (CONTEXT, "context = (weights * scores).sum(dim=-1, keepdim=True).expand(-1, memory.shape[-1])"),
            ],
        ),
        Misconception(
            name="scores_as_weights",
            says="You sum the states with the raw scores; the softmax makes weights of them first.",
            line="output",
            edits=[(CONTEXT, "context = context_vector(scores, memory)")],
        ),
        Misconception(
            name="scores_returned",
            says="The third value you return holds the scores; return the weights, which are the scores after the "
            "softmax.",
            line="output",
            edits=[("return logits, new_state, weights", "return logits, new_state, scores")],
        ),
        Misconception(
            name="bias_forgotten",
            says="Your scores lack the bias of self.attention.",
            line="output",
            edits=[(ASK, ASK.replace("self.attention.bias", "None"))],
        ),
        Misconception(
            name="softmax_over_the_batch",
            says="Your softmax runs over the sentences of the batch; it runs over the source words.",
            line="output",
            edits=[(SOFTMAX, "weights = scores.softmax(dim=0)")],
        ),
        Misconception(
            name="padding_attended",
            says="Your weights are those without a mask, so padding is attended to; hand the mask on.",
            line="mask",
            edits=[(SOFTMAX, "weights = masked_softmax(scores)")],
        ),
        Misconception(
            name="mask_after_softmax",
            says="You clear the padding after the softmax, so that rows sum to less than one; hand the mask to "
            "masked_softmax.",
            line="mask",
            edits=[
                (SOFTMAX, "weights = masked_softmax(scores) if mask is None else masked_softmax(scores) * mask"),
            ],
        ),
        Misconception(
            name="memory_cut_off",
            says="Your numbers are right and no gradient reaches the encoder; leave out `.detach()` and `.data`.",
            line="gradients",
            edits=[("query = state[0][-1]", "memory = memory.detach()\n        query = state[0][-1]")],
        ),
    ],
)


def _tables(rng: np.random.Generator, *shape: int, links: float = 0.35) -> tuple[torch.Tensor, ...]:
    """Found, sure and possible links. Some sure links are not among the possible ones, and all sets overlap."""
    found, sure, possible = (torch.from_numpy(rng.random(shape) < share) for share in (links, links - 0.1, links))
    cells = [table.view(-1) for table in (found, sure, possible)]
    for place, (in_found, in_sure, in_possible) in enumerate(
        ((1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (1, 0, 1), (1, 0, 0))
    ):
        for cell, value in zip(cells, (in_found, in_sure, in_possible), strict=True):
            cell[place] = bool(value)
    return found, sure, possible


def _telling(found: torch.Tensor, sure: torch.Tensor, possible: torch.Tensor) -> bool:
    """Whether the rate, its complement, the mean over sentences and the rate by other counts are different numbers."""
    rate = metrics.alignment_error_rate(found, sure, possible)
    sentences = [metrics.alignment_error_rate(*tables) for tables in zip(found, sure, possible, strict=True)]
    mean = sum(sentences) / len(sentences)
    return rate != 0.5 and int(found.sum()) != int(sure.sum()) and (found.dim() == 2 or abs(mean - rate) > 1e-3)


def _telling_tables(rng: np.random.Generator, *shape: int) -> tuple[torch.Tensor, ...]:
    """`_tables`, drawn until they are telling."""
    while not _telling(*(tables := _tables(rng, *shape))):
        pass
    return tables


def _aer(*shapes: tuple[int, ...], subset: bool = False) -> Cases:
    """Cases of these shapes; with ``subset``, the possible links hold the sure ones."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape in shapes:
            found, sure, possible = _telling_tables(rng, *shape)
            args = (found, sure, possible | sure if subset else possible)
            probes.append(Probe(target="alignment_error_rate", args=args))
        return probes

    return cases


def _uneven_sentences(rng: np.random.Generator) -> list[Probe]:
    """Sentences with many and with few links, so that the mean of their rates is another number."""
    while True:
        found, sure, possible = _tables(rng, 3, 5, 6)
        for table in (found, sure, possible):
            table[1, :, 2:] = False
            table[2, 1:] = False
        found[2, 0, :2], sure[2, 0, :2] = torch.tensor([True, False]), torch.tensor([False, True])
        if _telling(found, sure, possible | sure):
            return [Probe(target="alignment_error_rate", args=(found, sure, possible | sure))]


def _few_links(rng: np.random.Generator) -> list[Probe]:
    """No link at all; nothing found; nothing sure."""
    none = torch.zeros(2, 3, 4, dtype=torch.bool)
    while True:
        found, sure, possible = _tables(rng, 2, 3, 4)
        if _telling(found, none, possible):
            break
    return [
        Probe(target="alignment_error_rate", args=args)
        for args in ((none, none, possible), (none, sure, possible), (found, none, possible))
    ]


MAY_BE = "may_be = sure | possible"
AGREED = "agreed = (alignment & sure).sum() + (alignment & may_be).sum()"
LINKS = "links = alignment.sum() + sure.sum()"
RATE = "return 1 - (agreed / links).item()"


def _weighted_error_rate(weight: float) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], float]:
    """The rate in which each sure link counts ``weight`` times, above and below the line."""

    def rate(alignment: torch.Tensor, sure: torch.Tensor, possible: torch.Tensor) -> float:
        missed = weight * int((sure & ~alignment).sum()) + int((alignment & ~(sure | possible)).sum())
        links = int(alignment.sum()) + weight * int(sure.sum())
        return missed / links if links else 0.0

    return rate


alignment_error_rate = Exercise(
    name="alignment_error_rate",
    reference=metrics.alignment_error_rate,
    returns=("the rate",),
    banned=("course_lib.metrics.alignment_error_rate", "course_lib.metrics"),
    lines=[
        Line(
            name="output",
            text="the rate of one sentence and of several",
            points=1,
            cases=_aer((4, 5), (3, 4, 6), subset=True),
        ),
        Line(
            name="sure_is_possible",
            text="sure links are possible, also where the table of possible links does not say so",
            points=0.5,
            cases=_aer((5, 4), (2, 5, 3)),
        ),
        Line(
            name="sentences",
            text="added up over all sentences before the division",
            points=1,
            cases=_uneven_sentences,
        ),
        Line(
            name="few_links",
            text="tables without any link, with nothing found and with nothing sure",
            points=0.5,
            cases=_few_links,
        ),
    ],
    misconceptions=[
        Misconception(
            name="agreement_returned",
            says="You return how well the links agree; the error rate is 1 minus that.",
            line="output",
            edits=[(RATE, "return (agreed / links).item()")],
        ),
        Misconception(
            name="only_sure_counted",
            says="You count the sure links that were found, once; the found links that are possible are counted as "
            "well, sure ones among them.",
            line="output",
            edits=[(AGREED, "agreed = (alignment & sure).sum()")],
        ),
        Misconception(
            name="only_possible_counted",
            says="You count each found link once; a found sure link counts twice, once as sure and once as possible.",
            line="output",
            edits=[(AGREED, "agreed = (alignment & may_be).sum()")],
        ),
        Misconception(
            name="divided_by_possible",
            says="You divide by |A| + |P|; a possible link that is not found costs nothing, divide by |A| + |S|.",
            line="output",
            edits=[(LINKS, "links = alignment.sum() + may_be.sum()")],
        ),
        Misconception(
            name="divided_by_found",
            says="You divide by the number of found links alone, so that missing ones cost nothing; add the sure ones.",
            line="output",
            edits=[(LINKS, "links = 2 * alignment.sum()")],
        ),
        Misconception(
            name="divided_by_the_table",
            says="You divide by the size of the table; divide by the number of found and sure links.",
            line="output",
            edits=[(LINKS, "links = torch.tensor(alignment.numel())")],
        ),
        Misconception(
            name="possible_without_sure",
            says="Sure links that are not in your table of possible ones count only once; a sure link is possible in "
            "any case.",
            line="sure_is_possible",
            edits=[(MAY_BE, "may_be = possible")],
        ),
        Misconception(
            name="mean_over_sentences",
            says="You take the mean of the sentences' rates; add up over all sentences, then divide once.",
            line="sentences",
            edits=[
                (AGREED, AGREED.replace("sum()", "sum(dim=(-2, -1))")),
                (LINKS, "links = alignment.sum(dim=(-2, -1)) + sure.sum(dim=(-2, -1))"),
                ("if links == 0:", "if (links == 0).all():"),
                (RATE, "return 1 - (agreed / links).mean().item()"),
            ],
        ),
        Misconception(
            name="no_links_divided",
            says="Without any link you divide 0 by 0; the rate is 0 there.",
            line="few_links",
            edits=[("if links == 0:", "if False:")],
        ),
        Misconception(
            name="no_links_is_one",
            says="Without any link your rate is 1; nothing was missed and nothing is wrong, so it is 0.",
            line="few_links",
            edits=[("return 0.0", "return 1.0")],
        ),
    ],
    constants=[
        Constant(
            argument="weight_of_a_sure_link",
            plain=1,
            choices=[2, 3, 4, 5, 6, 8],
            line="output",
            reference=_weighted_error_rate,
            code=[
                ("agreed = (alignment & sure)", lambda w: f"agreed = {w} * (alignment & sure)"),
                (" + sure.", lambda w: f" + {w} * sure."),
            ],
            wording=[
                (
                    r"\frac{|A \cap S| + |A \cap P|}{|A| + |S|}",
                    lambda w: rf"\frac{{{w}\,|A \cap S| + |A \cap P|}}{{|A| + {w}\,|S|}}",
                ),
                (
                    r"\frac{1 + 2}{2 + 2} = 0.25",
                    lambda w: rf"\frac{{{w} \cdot 1 + 2}}{{2 + {w} \cdot 2}} = {1 - (w + 2) / (2 + 2 * w):.3f}",
                ),
                ("number of (found and sure)", lambda w: f"{w} · number of (found and sure)"),
                ("number of found + number of sure", lambda w: f"number of found + {w} · number of sure"),
                (
                    "counts twice above, as sure and as possible",
                    lambda w: f"counts {w + 1} times above, {w} times as sure and once as possible",
                ),
                ("counts twice, once as sure", lambda w: f"counts {w + 1} times, {w} times as sure"),
                ("divide by |A| + |S|.", lambda w: f"divide by |A| + {w} |S|."),
                (
                    "You count the sure links that were found, once;",
                    lambda w: f"You count the sure links that were found, {w} times;",
                ),
            ],
        )
    ],
)


def _luong(
    score: str,
    *settings: tuple[int, int, int, int, int, int],
    all_steps: bool = False,
    padded: bool = False,
    gradients: tuple[str, ...] = (),
) -> Cases:
    """Cases for settings (batch, m, n, d_model, hidden_size, d_memory); n is unused for one step."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, m, n, d_model, hidden_size, d_memory in settings:
            init: dict[str, Any] = {
                "vocab_size": VOCABULARY,
                "d_model": d_model,
                "hidden_size": hidden_size,
                "d_memory": d_memory,
                "score": score,
            }
            tokens = _ids(rng, batch, n) if all_steps else _ids(rng, batch)
            args = [tokens, _pair(rng, batch, hidden_size), random_tensor(rng, batch, m, d_memory)]
            probes.append(
                Probe(
                    target="LuongDecoderStep",
                    init=init,
                    state=random_state(reference.LuongDecoderStep(**init), rng),
                    args=(*args, _source_mask(rng, batch, m)) if padded else tuple(args),
                    method="teacher_forced" if all_steps else "__call__",
                    gradients=gradients,
                )
            )
        return probes

    return cases


def _both(*cases: Cases) -> Cases:
    """The probes of several case generators in one line."""
    return lambda rng: [probe for draw in cases for probe in draw(rng)]


def _other_padding(rng: np.random.Generator) -> list[Probe]:
    """The same sources, with other states in the padding."""
    (first,) = _luong("general", (4, 6, 3, 5, 4, 7), all_steps=True, padded=True)(rng)
    tokens, state, memory, mask = first.args
    changed = torch.where(mask[..., None], memory, random_tensor(rng, *memory.shape))
    return [first, replace(first, args=(tokens, state, changed, mask))]


STEP = "output, new_state = self.rnn(self.embedding(token)[:, None], state)"
QUERY = "query = output[:, 0]"
COMBINED = "attentional = torch.tanh(self.combine(torch.cat([context, query], dim=-1)))"
WALK = "queries, _ = self.rnn(self.embedding(tokens), state)"
ASKED = 'asked = queries @ self.attention.weight if self.score == "general" else queries'
TABLE = "table = asked @ memory.transpose(1, 2)"
ROWS = "rows = masked_softmax(table, None if mask is None else mask[:, None])"
CONTEXTS = "contexts = rows @ memory"

luong_decoder_step = Exercise(
    name="LuongDecoderStep",
    reference=reference.LuongDecoderStep,
    returns=RETURNS,
    banned=BANNED,
    uses=("multiplicative_scores", "masked_softmax", "context_vector"),
    lines=[
        Line(
            name="one_step",
            text="forward: logits, new state and weights of one step, with dot and with general",
            points=2,
            cases=_both(_luong("general", (2, 5, 1, 3, 4, 6), (3, 4, 1, 5, 6, 6)), _luong("dot", (4, 3, 1, 2, 5, 5))),
        ),
        Line(
            name="all_steps",
            text="teacher_forced: logits and weights of all steps, with dot and with general",
            points=2,
            cases=_both(
                _luong("general", (2, 5, 3, 3, 4, 6), (3, 4, 5, 5, 6, 6), all_steps=True),
                _luong("dot", (4, 3, 6, 2, 5, 5), all_steps=True),
            ),
        ),
        Line(
            name="mask",
            text="padding of the source is not attended to, in one step and in all",
            points=1,
            cases=_both(
                _luong("general", (4, 6, 1, 3, 4, 5), padded=True),
                _luong("general", (4, 6, 3, 3, 4, 5), all_steps=True, padded=True),
            ),
        ),
        Line(
            name="gradients",
            text="the gradients by the encoder's states and all weights",
            points=1,
            cases=_both(
                _luong("general", (2, 5, 1, 3, 4, 6), gradients=("2", "state")),
                _luong("general", (2, 5, 3, 3, 4, 6), all_steps=True, gradients=("2", "state")),
            ),
        ),
    ],
    misconceptions=[
        Misconception(
            name="previous_state_asks",
            says="In forward the previous state asks; it is the current one, after the cell.",
            line="one_step",
            edits=[(QUERY, "query = state[0][-1]")],
        ),
        Misconception(
            name="previous_states_ask",
            says="In teacher_forced the state before each word asks; it is the one after reading it.",
            line="all_steps",
            edits=[(WALK, WALK + "\n        queries = torch.cat([state[0].transpose(0, 1), queries[:, :-1]], dim=1)")],
        ),
        Misconception(
            name="state_first",
            says="In forward the state stands before the context; the context stands first.",
            line="one_step",
            edits=[(COMBINED, COMBINED.replace("[context, query]", "[query, context]"))],
        ),
        Misconception(
            name="states_first",
            says="In teacher_forced the states stand before the contexts; the contexts stand first.",
            line="all_steps",
            edits=[("torch.cat([contexts, queries], dim=-1)", "torch.cat([queries, contexts], dim=-1)")],
        ),
        Misconception(
            name="no_tanh",
            says="In forward the tanh behind W_c is missing.",
            line="one_step",
            edits=[(COMBINED, "attentional = self.combine(torch.cat([context, query], dim=-1))")],
        ),
        Misconception(
            name="no_tanhs",
            says="In teacher_forced the tanh behind W_c is missing.",
            line="all_steps",
            edits=[
                (
                    "together = torch.tanh(self.combine(torch.cat([contexts, queries], dim=-1)))",
                    "together = self.combine(torch.cat([contexts, queries], dim=-1))",
                )
            ],
        ),
        Misconception(
            name="context_left_out",
            says="In forward the logits come from the state alone; the context joins it first.",
            line="one_step",
            edits=[(COMBINED, COMBINED.replace("[context, query]", "[0 * context, query]"))],
        ),
        Misconception(
            name="always_dot",
            says="In forward you ignore W; with `general`, the state is multiplied by self.attention.weight.",
            line="one_step",
            edits=[
                (
                    "scores = multiplicative_scores(query, memory, weight)",
                    "width = min(query.shape[-1], memory.shape[-1])\n"
                    "        scores = multiplicative_scores(query[:, :width], memory[..., :width])",
                )
            ],
        ),
        Misconception(
            name="scaled",
            says="In teacher_forced you divide the scores by the root of the width; these scores are not scaled.",
            line="all_steps",
            edits=[(TABLE, TABLE + " / math.sqrt(memory.shape[-1])")],
        ),
        Misconception(
            name="softmax_over_the_steps",
            says="In teacher_forced your softmax runs over the steps; each step spreads its weight over the source "
            "words.",
            line="all_steps",
            edits=[(ROWS, "rows = table.softmax(dim=1)")],
        ),
        Misconception(
            name="scores_summed",
            says="In teacher_forced you sum the states with the raw scores; the softmax makes weights of them first.",
            line="all_steps",
            edits=[(CONTEXTS, "contexts = table @ memory")],
        ),
        Misconception(
            name="starts_from_zeros",
            says="In teacher_forced the cell starts from zeros; hand it the first state.",
            line="all_steps",
            edits=[(WALK, "queries, _ = self.rnn(self.embedding(tokens))")],
        ),
        Misconception(
            name="old_state_returned",
            says="forward returns the state that came in; return the one after the cell.",
            line="one_step",
            edits=[
                (
                    "return self.output(attentional), new_state, weights",
                    "return self.output(attentional), state, weights",
                )
            ],
        ),
        Misconception(
            name="padding_attended",
            says="forward attends to the padding; hand the mask on.",
            line="mask",
            edits=[("weights = masked_softmax(scores, mask)", "weights = masked_softmax(scores)")],
        ),
        Misconception(
            name="padding_attended_in_all_steps",
            says="teacher_forced attends to the padding; hand the mask on, with a new axis for the steps.",
            line="mask",
            edits=[(ROWS, "rows = masked_softmax(table)")],
        ),
    ],
)
