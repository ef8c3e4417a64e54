"""Assignment 06, writing with any model that offers a step: exercise 8 and the larger piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.check.values import Code, Seed
from course_lib.grading.spec import Exercise, Line, Misconception, random_tensor
from course_lib.models import decoding as reference
from course_lib.models.seq2seq import Step


def _step(rng: np.random.Generator, vocab_size: int) -> Code:
    """A model whose state, (batch, 2), remembers every token; its numbers are drawn."""
    a, b, c = np.round(rng.uniform(0.5, 1.5, size=3), 3)
    phases = [round(float(phase), 3) for phase in rng.uniform(0, 6.28, size=vocab_size)]
    source = (
        "def step(token, state):\n"
        f"    phases = torch.tensor({phases})\n"
        f"    moved = torch.stack([token * {a} + 1, 2 - token * {b}], dim=-1)\n"
        "    state = 0.6 * state.flip(-1) + moved.to(state.dtype).sin()\n"
        f"    logits = 2.4 * torch.sin(phases * {c} + 3 * state[:, :1])\n"
        "    return logits + 1.5 * torch.cos(2 * phases + 2 * state[:, 1:]), state\n"
    )
    return Code(source, "step")


def _run(step: Code) -> Step:
    """The step as a function of ours, in float64."""
    scope = {"torch": torch}
    exec(compile(step.source, "<step>", "exec"), scope)
    function: Step = scope[step.name]  # type: ignore[assignment]

    def in_float64(token: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return function(token, state)
        finally:
            torch.set_default_dtype(before)

    return in_float64


ROWS, WRITTEN, VOCAB_SIZE = 1000, 2, 4


def _sample_probe(rng: np.random.Generator, **settings: float) -> Probe:
    """Draws of two tokens in many equal rows."""
    state = random_tensor(rng, 1, 2).expand(ROWS, -1).contiguous()
    token = torch.full((ROWS,), int(rng.integers(VOCAB_SIZE)))
    return Probe(
        target="sample",
        args=(_step(rng, VOCAB_SIZE), state, token),
        kwargs={"max_length": WRITTEN, "generator": Seed(int(rng.integers(2**31))), **settings},
    )


def _texts(probe: Probe, *, again: float = 1.0, forgetful: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """All texts that a probe of `_sample_probe` can draw, and their probabilities.

    Wrong ones where ``again`` is a temperature that acts after the filters as well, or the state is not handed on.
    """
    step = _run(probe.args[0])
    settings = {name: probe.kwargs[name] for name in ("temperature", "top_k", "top_p") if name in probe.kwargs}
    logits, state = step(probe.args[2][:1], probe.args[1][:1])
    first = (reference.next_probabilities(logits, **settings)[0].log() / again).softmax(-1)
    kept = probe.args[1][:1] if forgetful else state
    logits, _ = step(torch.arange(VOCAB_SIZE), kept.expand(VOCAB_SIZE, -1))
    both = first[:, None] * (reference.next_probabilities(logits, **settings).log() / again).softmax(-1)
    places = both.nonzero()
    return places, both[tuple(places.T)]


def _as_the_model_says(probes: Sequence[Probe]) -> list[Property]:
    outcomes, probabilities = zip(*map(_texts, probes), strict=True)
    return [Property("follows_distribution", {"outcomes": list(outcomes), "probabilities": list(probabilities)})]


TELLING = 50.0
"""Rows · KL between the right and a wrong distribution, some outcome's; `follows_distribution` refuses above 21."""


def _shows(right: Probe, **mistake: float | bool) -> bool:
    """Whether draws from the wrong distribution of `_texts` are refused, with a wide margin."""
    (places, due), (others, wrong) = _texts(right), _texts(right, **mistake)  # type: ignore[arg-type]
    if not torch.equal(places, others):
        return True
    distance = torch.xlogy(wrong, wrong / due) + torch.xlogy(1 - wrong, (1 - wrong) / (1 - due))
    return ROWS * float(distance.max()) > TELLING


def _tempered(rng: np.random.Generator) -> list[Probe]:
    """At temperatures 1, 2.5 and 0.5. One text holds about half the probability at 1, so that each shows."""
    probes: list[Probe] = []
    while len(probes) < 3:
        probe = _sample_probe(rng)
        if 0.45 < float(_texts(probe)[1].max()) < 0.7:
            temperature = (1.0, 2.5, 0.5)[len(probes)]
            probe = replace(probe, kwargs={**probe.kwargs, "temperature": temperature} if probes else probe.kwargs)
            if not probes or _shows(probe, again=temperature):
                probes.append(probe)
    return probes


def _filtered(rng: np.random.Generator) -> list[Probe]:
    """Both filters, at settings at which their order and that of the temperature are seen in what can be drawn."""
    probes: list[Probe] = []
    while len(probes) < 2:
        settings = [{"top_k": 3, "top_p": 0.75, "temperature": 2.0}, {"top_p": 0.6, "temperature": 0.6}][len(probes)]
        probe = _sample_probe(rng, **settings)
        if _order_matters(probe) and (probes or _shows(probe, again=settings["temperature"])):
            probes.append(probe)
    return [*probes, _sample_probe(rng, top_k=2)]


def _order_matters(probe: Probe) -> bool:
    """Whether top-p at temperature 1, and top-p before top-k, would let another number of first tokens through."""
    step = _run(probe.args[0])
    logits, _ = step(probe.args[2][:1], probe.args[1][:1])
    temperature, p, k = probe.kwargs["temperature"], probe.kwargs["top_p"], probe.kwargs.get("top_k")
    right = reference.next_probabilities(logits, temperature=temperature, top_k=k, top_p=p)
    untempered = reference.top_p_filter(logits if k is None else reference.top_k_filter(logits, k=k), p=p)
    if int(right.count_nonzero()) == int(untempered.isfinite().sum()):
        return False
    first_p = reference.top_p_filter(logits / temperature, p=p)
    return k is None or int(right.count_nonzero()) != min(k, int(first_p.isfinite().sum()))


def _same_seed(rng: np.random.Generator) -> list[Probe]:
    """The same call twice, with PyTorch's own generator in another state."""
    first = _sample_probe(rng)
    while not _shows(first, forgetful=True):
        first = _sample_probe(rng)
    return [first, Probe(target="sample", args=first.args, kwargs=first.kwargs, seed=1 + int(rng.integers(1000)))]


def _ending(rng: np.random.Generator) -> list[Probe]:
    """Texts without chance, top_k = 1, of which some end early and some do not."""
    probes: list[Probe] = []
    while len(probes) < 2:
        step, state = _step(rng, 5), random_tensor(rng, 6, 2, scale=2.0)
        token = torch.from_numpy(rng.integers(5, size=6))
        generator = torch.Generator().manual_seed(0)
        free = reference.sample(_run(step), state, token, max_length=5, generator=generator, top_k=1)
        end = int(rng.integers(5))
        early = (free[:, :4] == end).any(-1)
        if 1 < int(early.sum()) < 5:
            settings = {"max_length": 5, "generator": Seed(3), "top_k": 1, "end": end}
            if not probes:
                settings["pad"] = (end + 2) % 5
            probes.append(Probe(target="sample", args=(step, state, token), kwargs=settings))
    return probes


DRAW = "token = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(-1)"
TEMPERED = "logits = temperature_softmax(logits, temperature=temperature).log()"
TOP_K = """        if top_k is not None:
            logits = top_k_filter(logits, k=top_k)
"""
TOP_P = """        if top_p is not None:
            logits = top_p_filter(logits, p=top_p)
"""
PADDED = "token = token.masked_fill(ended, pad)"
ENDED = "ended = ended | (token == end)"
TAKE_STEP = "logits, state = step(token, state)"

sample = Exercise(
    name="sample",
    reference=reference.sample,
    returns=("the ids",),
    uses=("temperature_softmax", "top_k_filter", "top_p_filter"),
    lines=[
        Line(
            name="draws",
            text="texts are drawn as often as the model and the temperature say",
            points=1.5,
            cases=_tempered,
            properties=_as_the_model_says,
        ),
        Line(
            name="filters",
            text="temperature, then top-k, then top-p",
            points=1.5,
            cases=_filtered,
            properties=_as_the_model_says,
        ),
        Line(
            name="generator",
            text="the same generator gives the same texts",
            points=0.5,
            cases=_same_seed,
            properties=lambda probes: [
                Property("same_output", {"what": "the state of PyTorch's own generator"}),
                *_as_the_model_says(probes),
            ],
        ),
        Line(
            name="end",
            text="padding behind the end of a row, while the others go on",
            points=0.5,
            cases=_ending,
        ),
    ],
    misconceptions=[
        Misconception(
            name="always_the_likeliest",
            says="You take the likeliest token each time; draw from the distribution.",
            line="draws",
            edits=[(DRAW, "token = logits.argmax(dim=-1)")],
        ),
        Misconception(
            name="all_tokens_alike",
            says="You draw any token that is not ruled out, each alike; draw with the model's probabilities.",
            line="draws",
            edits=[("torch.multinomial(logits.softmax(dim=-1), 1", "torch.multinomial(logits.isfinite().double(), 1")],
        ),
        Misconception(
            name="temperature_ignored",
            says="Your draws do not depend on the temperature.",
            line="draws",
            edits=[(TEMPERED, "logits = logits.log_softmax(dim=-1)")],
        ),
        Misconception(
            name="multiplied",
            says="You multiply by the temperature; divide the logits.",
            line="draws",
            edits=[("temperature=temperature)", "temperature=1 / temperature)")],
        ),
        Misconception(
            name="temperature_twice",
            says="Your temperature acts twice, before and after the filters; once is enough.",
            line="draws",
            edits=[
                ("torch.multinomial(logits.softmax(dim=-1)", "torch.multinomial((logits / temperature).softmax(dim=-1)")
            ],
        ),
        Misconception(
            name="one_draw_for_all_rows",
            says="All rows get the same draw; draw one for each row.",
            line="draws",
            edits=[
                (
                    DRAW,
                    "drawn = torch.multinomial(logits[:1].softmax(dim=-1), 1, generator=generator)[0]\n"
                    "        token = drawn.expand(len(token))",
                )
            ],
        ),
        Misconception(
            name="state_not_handed_on",
            says="Each of your steps starts from the first state; hand the new state on.",
            line="draws",
            edits=[(TAKE_STEP, "logits, _ = step(token, state)")],
        ),
        Misconception(
            name="first_token_read_again",
            says="Each of your steps reads the token that was read first; read the one that was just written.",
            line="draws",
            edits=[
                ("    written = []\n", "    written = []\n    first = token\n"),
                (TAKE_STEP, "logits, state = step(first, state)"),
            ],
        ),
        Misconception(
            name="prompt_returned",
            says="Your texts begin with the token that was read first; return only what was written.",
            line="draws",
            edits=[("    written = []\n", "    written = [token]\n")],
        ),
        Misconception(
            name="steps_by_rows",
            says="Your result has a row for each step; it has a row for each text.",
            line="draws",
            edits=[("torch.stack(written, dim=1)", "torch.stack(written, dim=0)")],
        ),
        Misconception(
            name="top_k_ignored",
            says="You draw tokens that top-k rules out.",
            line="filters",
            edits=[(TOP_K, "")],
        ),
        Misconception(
            name="top_p_ignored",
            says="You draw tokens that top-p rules out.",
            line="filters",
            edits=[(TOP_P, "")],
        ),
        Misconception(
            name="temperature_last",
            says="Your filters see the distribution at temperature 1; the temperature comes first.",
            line="filters",
            edits=[
                (TEMPERED + "\n", "pass\n"),
                (TOP_P, TOP_P + "        logits = temperature_softmax(logits, temperature=temperature).log()\n"),
            ],
        ),
        Misconception(
            name="top_p_before_top_k",
            says="Your top-p comes before your top-k; top-k comes first, and top-p cuts what it has left.",
            line="filters",
            edits=[(TOP_K + TOP_P, TOP_P + TOP_K)],
        ),
        Misconception(
            name="generator_not_used",
            says="Your draws come from PyTorch's own generator; pass the one that is given, or nothing can be "
            "repeated.",
            line="generator",
            edits=[(", generator=generator", "")],
        ),
        Misconception(
            name="ended_rows_go_on",
            says="Your rows go on behind their end; `pad` stands there.",
            line="end",
            edits=[(PADDED, "pass")],
        ),
        Misconception(
            name="end_is_padded_over",
            says="You write `pad` in place of the end itself; the end stays, padding stands behind it.",
            line="end",
            edits=[(PADDED, "pass"), (ENDED, ENDED + "\n            written[-1] = token.masked_fill(ended, pad)")],
        ),
        Misconception(
            name="only_one_pad",
            says="Your rows are padded for one position and then go on; a row that has ended stays ended.",
            line="end",
            edits=[(ENDED, "ended = token == end")],
        ),
    ],
)


def _beam_probe(
    rng: np.random.Generator,
    width: int,
    max_length: int,
    power: float | None,
    *,
    vocab_size: int = 5,
    endless: bool = False,
) -> Probe:
    state = random_tensor(rng, 1, 2, scale=2.0).expand(width, -1).contiguous()
    start, end = rng.choice(vocab_size, size=2, replace=False)
    return Probe(
        target="beam_search",
        args=(_step(rng, vocab_size), state),
        kwargs={
            "beam_width": width,
            "max_length": max_length,
            "start": int(start),
            "end": -1 if endless else int(end),
            **({} if power is None else {"length_power": power}),
        },
    )


def _found(probe: Probe, **changed: float) -> tuple[list[int], float]:
    """What beam search finds for a probe, with some settings changed."""
    settings = {**probe.kwargs, **changed}
    state = probe.args[1][:1].expand(settings["beam_width"], -1)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        ids, total = reference.beam_search(_run(probe.args[0]), state, **settings)
    finally:
        torch.set_default_dtype(before)
    return ids.tolist(), total


def _where(
    wanted: Callable[[Probe], bool], *settings: tuple[int, int, float | None], endless: bool = False
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (beam_width, max_length, length_power or None), drawn until they show what they are for."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for setting in settings:
            probe = _beam_probe(rng, *setting, endless=endless)
            while not wanted(probe):
                probe = _beam_probe(rng, *setting, endless=endless)
            probes.append(probe)
        return probes

    return cases


def _long_enough(probe: Probe) -> bool:
    """It ends by itself, after three tokens or more."""
    ids, _ = _found(probe)
    return len(ids) >= 3 and ids[-1] == probe.kwargs["end"]


def _beats_greedy(probe: Probe) -> bool:
    """The beam finds another text than greedy decoding, which ends by itself."""
    ids, _ = _found(probe)
    return len(ids) >= 3 and ids[-1] == probe.kwargs["end"] and ids != _found(probe, beam_width=1)[0]


def _going_on_matters(probe: Probe) -> bool:
    """The beam beats greedy decoding, and a beam that continues finished texts finds another one still."""
    if not _beats_greedy(probe):
        return False
    step, state = _run(probe.args[0]), probe.args[1]
    width, end, power = probe.kwargs["beam_width"], probe.kwargs["end"], probe.kwargs["length_power"]
    token, total = torch.full((width,), probe.kwargs["start"]), torch.full((width,), -torch.inf).double()
    total[0] = 0.0
    texts: list[list[int]] = [[] for _ in range(width)]
    best, best_score = [], -torch.inf
    for length in range(1, probe.kwargs["max_length"] + 1):
        logits, state = step(token, state)
        total, places = (total[:, None] + logits.log_softmax(dim=-1)).flatten().topk(width)
        rows, token = places // logits.shape[-1], places % logits.shape[-1]
        state = state[rows]
        texts = [[*texts[row], word] for row, word in zip(rows.tolist(), token.tolist(), strict=True)]
        for text, value in zip(texts, total.tolist(), strict=True):
            finished = text[-1] == end or length == probe.kwargs["max_length"]
            if finished and value / length**power > best_score:
                best, best_score = text, value / length**power
    return best != _found(probe)[0]


def _power_matters(probe: Probe) -> bool:
    """Sums and means per token choose texts of different length; the longer one has three tokens or more."""
    by_sum, by_mean = (_found(probe, length_power=power)[0] for power in (0.0, 1.0))
    ids, _ = _found(probe)
    return len(by_sum) < len(by_mean) and len(by_mean) >= 3 and ids[-1] == probe.kwargs["end"]


CONTINUED = "continued = total[:, None] + logits.log_softmax(dim=-1)"
TOPK = "total, places = continued.flatten().topk(beam_width)"
WRITE = "written = torch.cat([written[rows], token[:, None]], dim=1)"
STATE = "state = state[rows]"
FINISHED = "if token[row] == end or length == max_length:"
SCORE = "score = float(total[row]) / length**length_power"
REMEMBER = "best, best_total, best_score = written[row], float(total[row]), score"
LEAVES = "                total[row] = -torch.inf\n"

beam_search = Exercise(
    name="beam_search",
    reference=reference.beam_search,
    returns=("the ids", "the log-probability"),
    lines=[
        Line(
            name="narrow",
            text="a beam of one is greedy decoding",
            points=1,
            cases=_where(_long_enough, (1, 7, 1.0), (1, 6, 0.0)),
        ),
        Line(
            name="beam",
            text="wider beams find texts that greedy decoding misses",
            points=2,
            cases=lambda rng: [
                *_where(_beats_greedy, (4, 6, 0.0), (7, 5, 0.5), (5, 7, 1.0))(rng),
                *_where(_going_on_matters, (3, 7, 1.0), (2, 8, 1.0))(rng),
            ],
        ),
        Line(
            name="length",
            text="the score is divided by a power of the length",
            points=1,
            cases=_where(_power_matters, (4, 6, 1.0), (3, 7, 0.0), (5, 6, None)),
        ),
        Line(
            name="unfinished",
            text="a text of max_length tokens counts as it is",
            points=1,
            cases=_where(lambda probe: True, (3, 4, 1.0), (2, 5, 0.5), endless=True),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_length_normalisation",
            says="You compare sums, so short texts win; divide by the length to the power of length_power.",
            line="length",
            edits=[(SCORE, "score = float(total[row])")],
        ),
        Misconception(
            name="finished_beams_extended",
            says="You continue texts that have ended; a finished text leaves the beam.",
            line="beam",
            edits=[(LEAVES, "                pass\n")],
        ),
        Misconception(
            name="state_not_reordered",
            says="You reorder what was written and not the state, so beginnings go on with the memory of others.",
            line="beam",
            edits=[(STATE, "pass")],
        ),
        Misconception(
            name="written_not_reordered",
            says="You write the new tokens behind the old order of the beginnings; take the rows first.",
            line="beam",
            edits=[("torch.cat([written[rows],", "torch.cat([written,")],
        ),
        Misconception(
            name="all_rows_start",
            says="All your rows count at the start, and since they are the same, the beam is full of copies.",
            line="beam",
            edits=[("total = torch.full((beam_width,), -torch.inf)", "total = torch.zeros(beam_width)")],
        ),
        Misconception(
            name="each_beginning_keeps_its_best",
            says="Each of your beginnings is continued once, by its likeliest token; all continuations of all "
            "beginnings compete.",
            line="beam",
            edits=[
                (
                    TOPK,
                    "if length == 1:\n"
                    "            total, places = continued.flatten().topk(beam_width)\n"
                    "        else:\n"
                    "            total, places = continued.max(dim=-1)\n"
                    "            places = places + torch.arange(beam_width) * logits.shape[-1]",
                )
            ],
        ),
        Misconception(
            name="first_finished_returned",
            says="You stop at the first text that is finished; a better one may finish later.",
            line="beam",
            edits=[
                (REMEMBER, "return written[row], float(total[row])"),
            ],
        ),
        Misconception(
            name="logits_added",
            says="You add up logits; log-probabilities are asked for, so take the log-softmax of each step.",
            line="narrow",
            edits=[(CONTINUED, "continued = total[:, None] + logits")],
        ),
        Misconception(
            name="probabilities_added",
            says="You add up probabilities; the probability of a text is a product, so add up logarithms.",
            line="narrow",
            edits=[("log_softmax(dim=-1)", "softmax(dim=-1)")],
        ),
        Misconception(
            name="last_step_only",
            says="You compare the last tokens alone; the log-probabilities of a beginning's tokens are added up.",
            line="narrow",
            edits=[
                (
                    CONTINUED,
                    "continued = torch.where(total.isinf(), total, 0.0)[:, None] + logits.log_softmax(dim=-1)",
                )
            ],
        ),
        Misconception(
            name="score_returned",
            says="You return the score; the log-probability itself is asked for, not divided.",
            line="length",
            edits=[("return best, best_total", "return best, best_score")],
        ),
        Misconception(
            name="end_left_out",
            says="Your text lacks its end; it is one of the tokens.",
            line="narrow",
            edits=[("return best, best_total", "return best[best != end], best_total")],
        ),
        Misconception(
            name="unfinished_dropped",
            says="A text that reaches max_length without an end is lost; it counts as it is.",
            line="unfinished",
            edits=[(FINISHED, "if token[row] == end:")],
        ),
    ],
)
