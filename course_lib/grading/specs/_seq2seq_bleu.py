"""Assignment 02, BLEU: exercise 9."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from course_lib.check.probe import Probe
from course_lib.grading.spec import Constant, Exercise, Line, Misconception
from course_lib.metrics import corpus_bleu as reference

WORDS = ("a", "cat", "dog", "sees", "the", "house", "old", "green", "in", "and", "sleeps", "small")


def _reference(rng: np.random.Generator, length: int) -> list[str]:
    """A sentence in which no word stands twice."""
    return [str(word) for word in rng.permutation(WORDS)[:length]]


def _mistranslated(rng: np.random.Generator, reference: Sequence[str], wrong: Sequence[int]) -> list[str]:
    """The reference with other words, which it does not hold, at some places."""
    others = [word for word in rng.permutation(WORDS) if word not in reference]
    changed = list(reference)
    for number, place in enumerate(wrong):
        changed[place] = str(others[number % len(others)])
    return changed


def _probe(pairs: Sequence[tuple[list[str], list[str]]], **kwargs: int) -> Probe:
    hypotheses, references = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Probe(target="corpus_bleu", args=(hypotheses, references), kwargs=kwargs)


def _one_sentence(rng: np.random.Generator) -> list[Probe]:
    """As long as its reference, with a wrong word near one end."""
    probes = []
    for length, wrong in ((7, (0,)), (9, (8, 1)), (8, (1,))):
        reference = _reference(rng, length)
        probes.append(_probe([(_mistranslated(rng, reference, wrong), reference)]))
    return probes


def _of_other_length(*lengths: tuple[int, int]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases in which the hypothesis has other many words than the reference: (of the hypothesis, of the reference)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for own, wanted in lengths:
            words = _reference(rng, max(own, wanted))
            probes.append(_probe([(words[:own], words[:wanted])]))
        return probes

    return cases


def _repeating(rng: np.random.Generator) -> list[Probe]:
    """Hypotheses that say the same again and again."""
    probes = []
    for length, again in ((6, 3), (7, 2)):
        reference = _reference(rng, length)
        hypothesis = [*reference[:5], *reference[:again]]
        probes.append(_probe([(hypothesis, [*reference, reference[0]])]))
    return probes


def _corpora(rng: np.random.Generator) -> list[Probe]:
    """Several sentences of different lengths and qualities; each has a match of every order."""
    probes = []
    for plan in (((6, 6, ()), (9, 7, (8,)), (5, 8, (0,))), ((12, 10, (2, 9)), (6, 7, (5,)))):
        pairs = []
        for own, wanted, wrong in plan:
            words = _reference(rng, max(own, wanted) - 1)
            reference = [*words, words[0]][:wanted]
            hypothesis = [*words, words[0]][:own]
            pairs.append((_mistranslated(rng, hypothesis, wrong), reference))
        probes.append(_probe(pairs))
    return probes


def _other_orders(rng: np.random.Generator) -> list[Probe]:
    probes = []
    for max_order in (2, 3):
        reference = _reference(rng, 8)
        probes.append(_probe([(_mistranslated(rng, reference, (2, 7)), reference)], max_order=max_order))
    return probes


def _without_a_match(rng: np.random.Generator) -> list[Probe]:
    """No match of order 4; no match at all; sentences too short to hold four words; an empty one beside another."""
    reference, other = _reference(rng, 6), _reference(rng, 6)
    return [
        _probe([(_mistranslated(rng, reference, (2,)), reference)]),
        _probe([(_mistranslated(rng, reference, range(6)), reference)]),
        _probe([(other[:3], other[:3])]),
        _probe([([], reference)]),
    ]


CLIPPED = "(found & wanted).total()"
TOTALS = "totals[n - 1] += found.total()"
BREVITY = "brevity = min(1.0, math.exp(1 - r / c))"
RETURN = "return 100 * brevity * math.prod(precisions) ** (1 / max_order)"
PRECISIONS = "precisions = [matches[n] / totals[n] for n in range(max_order)]"

SENTENCE_AVERAGE = """
def corpus_bleu(hypotheses, references, *, max_order=4):
    def sentence(hypothesis, reference):
        precisions = []
        for n in range(1, max_order + 1):
            found = Counter(tuple(hypothesis[i : i + n]) for i in range(len(hypothesis) - n + 1))
            wanted = Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
            precisions.append((found & wanted).total() / max(found.total(), 1))
        if 0 in precisions:
            return 0.0
        brevity = min(1.0, math.exp(1 - len(reference) / len(hypothesis)))
        return 100 * brevity * math.prod(precisions) ** (1 / max_order)

    scores = [sentence(hypothesis, references[i]) for i, hypothesis in enumerate(hypotheses)]
    return sum(scores) / len(scores)
"""

corpus_bleu = Exercise(
    name="corpus_bleu",
    reference=reference,
    returns=("BLEU",),
    banned=("course_lib.metrics.corpus_bleu", "metrics.bleu_by_length", "sacrebleu", "sentence_bleu"),
    lines=[
        Line(
            name="precisions",
            text="one sentence, as long as its reference: the geometric mean of four precisions",
            points=1,
            cases=_one_sentence,
        ),
        Line(
            name="brevity",
            text="shorter than the reference, and longer",
            points=1,
            cases=_of_other_length((6, 9), (9, 6), (5, 7)),
        ),
        Line(name="clipping", text="words that are repeated", points=0.5, cases=_repeating),
        Line(name="corpus", text="several sentences, added up before anything is divided", points=0.5, cases=_corpora),
        Line(name="other_orders", text="two and three orders", points=0.5, cases=_other_orders),
        Line(name="no_match", text="0 where an order has no match", points=0.5, cases=_without_a_match),
    ],
    misconceptions=[
        Misconception(
            name="no_clipping",
            says="A word that is repeated earns a match each time; an n-gram counts at most as often as it stands in "
            "the reference.",
            line="clipping",
            edits=[(CLIPPED, "sum(count for gram, count in found.items() if gram in wanted)")],
        ),
        Misconception(
            name="each_ngram_once",
            says="You count each different n-gram once; it counts as often as it stands in both.",
            line="clipping",
            edits=[(CLIPPED, "len(found.keys() & wanted.keys())"), (TOTALS, "totals[n - 1] += len(found)")],
        ),
        Misconception(
            name="no_brevity_penalty",
            says="Your short translations get off free; multiply by the brevity penalty.",
            line="brevity",
            edits=[(BREVITY, "brevity = 1.0")],
        ),
        Misconception(
            name="long_ones_penalised",
            says="Your penalty strikes long translations and not short ones; it is exp(1 - r / c) with c the words of "
            "the hypotheses.",
            line="brevity",
            edits=[(BREVITY, "brevity = min(1.0, math.exp(1 - c / r))")],
        ),
        Misconception(
            name="brevity_without_a_limit",
            says="Your long translations earn a bonus; the brevity penalty is at most 1.",
            line="brevity",
            edits=[(BREVITY, "brevity = math.exp(1 - r / c)")],
        ),
        Misconception(
            name="brevity_as_a_ratio",
            says="Your brevity penalty is c / r; it is exp(1 - r / c).",
            line="brevity",
            edits=[(BREVITY, "brevity = min(1.0, c / r)")],
        ),
        Misconception(
            name="sentence_average",
            says="You average the BLEU of the sentences; add up matches, n-grams and lengths over the corpus first.",
            line="corpus",
            source=SENTENCE_AVERAGE,
        ),
        Misconception(
            name="arithmetic_mean",
            says="You take the arithmetic mean of the precisions; take the geometric one.",
            line="precisions",
            edits=[(RETURN, "return 100 * brevity * sum(precisions) / max_order")],
        ),
        Misconception(
            name="root_forgotten",
            says="You multiply the precisions and take no root; the geometric mean has one.",
            line="precisions",
            edits=[(RETURN, "return 100 * brevity * math.prod(precisions)")],
        ),
        Misconception(
            name="not_in_percent",
            says="Your BLEU runs from 0 to 1; here it runs from 0 to 100.",
            line="precisions",
            edits=[(RETURN, "return brevity * math.prod(precisions) ** (1 / max_order)")],
        ),
        Misconception(
            name="recall",
            says="You divide by the n-grams of the reference, which is recall; divide by those of the hypothesis.",
            line="brevity",
            edits=[(TOTALS, "totals[n - 1] += wanted.total()")],
        ),
        Misconception(
            name="last_order_only",
            says="Your BLEU is the precision of the longest n-grams; it is the geometric mean over all orders.",
            line="precisions",
            edits=[(RETURN, "return 100 * brevity * precisions[-1]")],
        ),
        Misconception(
            name="always_four",
            says="You use four orders, whatever `max_order` says.",
            line="other_orders",
            edits=[("    matches, totals =", "    max_order = 4\n    matches, totals =")],
        ),
        Misconception(
            name="smoothed",
            says="You add something to the counts, so that no order is ever 0; here nothing is smoothed.",
            line="no_match",
            edits=[
                ("    if 0 in matches:\n        return 0.0\n", ""),
                (BREVITY, "brevity = min(1.0, math.exp(1 - r / max(c, 1)))"),
                (PRECISIONS, "precisions = [(matches[n] + 1) / (totals[n] + 1) for n in range(max_order)]"),
            ],
        ),
    ],
    constants=[
        Constant(
            argument="max_order",
            plain=4,
            choices=[2, 3, 5],
            line="precisions",
            wording=[("of four precisions", lambda orders: f"of {orders} precisions")],
        )
    ],
)
