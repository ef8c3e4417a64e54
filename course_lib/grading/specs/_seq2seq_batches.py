"""Assignment 02, from words to a batch: exercises 1, 2 and 8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.data.translation import PAD
from course_lib.grading.spec import Exercise, Line, Misconception
from course_lib.models import seq2seq as reference

SYLLABLES = ("ba", "co", "du", "fe", "gi", "ka", "lo", "mu", "ne", "pi", "ra", "so", "tu", "ve", "zi")


def _words(rng: np.random.Generator, count: int) -> list[str]:
    """Different words in no order."""
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(rng.choice(SYLLABLES, size=int(rng.integers(2, 4))))] = None
    return list(words)


def _sentences(*settings: tuple[int, int], again: bool = False) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (sentences, words of each). With ``again``, words come back, in a sentence and later."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for count, length in settings:
            words = _words(rng, count * length)
            rows = [words[i * length : (i + 1) * length] for i in range(count)]
            if again:
                for i, row in enumerate(rows):
                    row.insert(2, row[0])
                    row.append(rows[(i - 1) % count][1])
            probes.append(Probe(target="build_vocabulary", args=(rows,)))
        return probes

    return cases


KNOWN = "index = {word: i for i, word in enumerate(SPECIALS)}"
NEW = "if word not in index:\n                index[word] = len(index)"
IF_NEW = "            if word not in index:\n                index[word] = len(index)\n"

build_vocabulary = Exercise(
    name="build_vocabulary",
    reference=reference.build_vocabulary,
    returns=("the vocabulary",),
    banned=("course_lib.data.translation.Vocabulary",),
    lines=[
        Line(
            name="first_appearance",
            text="the special words, then the words in the order in which they appear",
            points=1,
            cases=_sentences((3, 4), (2, 5), (1, 3)),
        ),
        Line(
            name="again",
            text="a word that comes again keeps its number, and no number is left out",
            points=1,
            cases=_sentences((3, 4), (2, 5), again=True),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_special_words",
            says="Your vocabulary lacks the special words; they come first, with 0, 1, 2, 3.",
            line="first_appearance",
            edits=[(KNOWN, "index = {}")],
        ),
        Misconception(
            name="special_words_last",
            says="Your special words come last, so their numbers depend on the sentences; they come first.",
            line="first_appearance",
            edits=[
                (KNOWN, "index = {}"),
                (
                    "    return index\n",
                    "    for word in SPECIALS:\n        index[word] = len(index)\n    return index\n",
                ),
            ],
        ),
        Misconception(
            name="no_unknown_word",
            says="Your vocabulary lacks `<unk>`, so the first word has the number 3; there are four special words.",
            line="first_appearance",
            edits=[(KNOWN, "index = {word: i for i, word in enumerate(SPECIALS[:3])}")],
        ),
        Misconception(
            name="alphabetical",
            says="Your words are in the order of the alphabet; number them as they first appear.",
            line="first_appearance",
            edits=[
                ("for sentence in sentences:", "for sentence in [sorted({w for s in sentences for w in s})]:"),
            ],
        ),
        Misconception(
            name="counted_from_one",
            says="Your numbers start at 1; `<pad>` is 0.",
            line="first_appearance",
            edits=[("enumerate(SPECIALS)", "enumerate(SPECIALS, start=1)"), ("= len(index)", "= len(index) + 1")],
        ),
        Misconception(
            name="last_appearance",
            says="A word that comes again gets a new number; it keeps the one it has.",
            line="again",
            edits=[
                (KNOWN, f"{KNOWN}\n    seen = len(index)"),
                (IF_NEW, "            index[word] = seen\n            seen += 1\n"),
            ],
        ),
        Misconception(
            name="numbers_left_out",
            says="Words that come again use up a number, so that some numbers belong to no word.",
            line="again",
            edits=[
                (KNOWN, f"{KNOWN}\n    seen = len(index) - 1"),
                (
                    IF_NEW,
                    "            seen += 1\n            if word not in index:\n                index[word] = seen\n",
                ),
            ],
        ),
        Misconception(
            name="by_frequency",
            says="Your words are in the order of how often they occur; number them as they first appear.",
            line="again",
            edits=[
                (
                    "for sentence in sentences:",
                    "for sentence in [[w for w, _ in Counter(w for s in sentences for w in s).most_common()]]:",
                ),
            ],
        ),
    ],
)


def _sequences(*settings: tuple[int, ...], pads: tuple[int, ...] = ()) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings of the sequences' lengths; ``pads`` gives each case an id of its own to fill up with."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for number, lengths in enumerate(settings):
            sequences = [rng.integers(4, 30, size=length).tolist() for length in lengths]
            kwargs = {"pad": pads[number]} if pads else {}
            probes.append(Probe(target="pad_batch", args=(sequences,), kwargs=kwargs))
        return probes

    return cases


PADDING = "padding = [pad] * (longest - len(sequence))"
FILL = "rows.append([*sequence, *padding])"
LONGEST = "longest = max(len(sequence) for sequence in sequences)"
TABLE = "return torch.tensor(rows), lengths"

pad_batch = Exercise(
    name="pad_batch",
    reference=reference.pad_batch,
    returns=("the ids", "the lengths"),
    banned=("nn.utils.rnn.pad_sequence",),
    lines=[
        Line(
            name="output",
            text="sequences of different lengths, and their lengths",
            points=1.5,
            cases=_sequences((3, 1, 5), (2, 4), (6, 3, 4, 1)),
        ),
        Line(
            name="other_pad",
            text="another id to fill up with",
            points=0.5,
            cases=_sequences((2, 5, 3), (4, 1), pads=(1, 40)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="padded_at_the_front",
            says="Your padding stands at the front; fill up at the end.",
            line="output",
            edits=[(FILL, "rows.append([*padding, *sequence])")],
        ),
        Misconception(
            name="cut_to_the_shortest",
            says="Your table is as wide as the shortest sequence, so words are lost; it is as wide as the longest.",
            line="output",
            edits=[(LONGEST, LONGEST.replace("max", "min")), (FILL, "rows.append(sequence[:longest])")],
        ),
        Misconception(
            name="lengths_after_padding",
            says="Your lengths are those after padding; they say how many words each sequence has of its own.",
            line="output",
            edits=[(TABLE, "return torch.tensor(rows), torch.full_like(lengths, longest)")],
        ),
        Misconception(
            name="one_column_too_many",
            says="Your table has a column of nothing but padding; it is as wide as the longest sequence.",
            line="output",
            edits=[(LONGEST, f"{LONGEST} + 1")],
        ),
        Misconception(
            name="floating_point_ids",
            says="Your ids are floating-point numbers; an embedding looks up whole numbers.",
            line="output",
            edits=[(TABLE, "return torch.tensor(rows).float(), lengths")],
        ),
        Misconception(
            name="sorted_by_length",
            says="Your rows are in the order of their lengths; keep the order that is given.",
            line="output",
            edits=[
                (
                    "    lengths =",
                    "    sequences = sorted(sequences, key=len, reverse=True)\n    lengths =",
                )
            ],
        ),
        Misconception(
            name="always_zero",
            says="You fill up with 0, whatever `pad` says.",
            line="other_pad",
            edits=[(PADDING, "padding = [0] * (longest - len(sequence))")],
        ),
    ],
)


def _sources(*settings: tuple[int, int], full: bool = False) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length), no word twice in a sentence."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, length in settings:
            source = torch.from_numpy(np.stack([rng.permutation(np.arange(4, 30))[:length] for _ in range(batch)]))
            lengths = rng.integers(3, length, size=batch)
            lengths[:2] = length, 2
            lengths = np.full(batch, length) if full else rng.permutation(lengths)
            for row, own in zip(source, lengths, strict=True):
                row[own:] = PAD
            probes.append(Probe(target="reverse_source", args=(source, torch.from_numpy(lengths))))
        return probes

    return cases


MIRRORED = "mirrored = lengths[:, None] - 1 - time"
PLACES = "places = torch.where(mirrored >= 0, mirrored, time)"
TAKE = "return source.gather(1, places)"

reverse_source = Exercise(
    name="reverse_source",
    reference=reference.reverse_source,
    lines=[
        Line(
            name="full",
            text="sentences of the same length",
            points=0.5,
            cases=_sources((2, 5), (3, 6), full=True),
        ),
        Line(
            name="padded",
            text="each sentence within its own length, padding stays at the end",
            points=1.5,
            cases=_sources((3, 5), (4, 7), (5, 6)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="padding_reversed_to_the_front",
            says="You turn the whole row round, so that the encoder would read padding first; turn each sentence round "
            "within its own length.",
            line="padded",
            edits=[(TAKE, "return source.flip(1)")],
        ),
        Misconception(
            name="not_reversed",
            says="Your result is the source as it was.",
            line="full",
            edits=[(TAKE, "return source")],
        ),
        Misconception(
            name="batch_reversed",
            says="You reverse the order of the sentences; reverse the words of each.",
            line="full",
            edits=[(TAKE, "return source.flip(0)")],
        ),
        Misconception(
            name="last_word_stays",
            says="The last word of each sentence stays where it is; it comes first. Places count from 0.",
            line="full",
            edits=[
                (MIRRORED, "mirrored = lengths[:, None] - 2 - time"),
            ],
        ),
        Misconception(
            name="one_place_too_far",
            says="One piece of padding moves to the front of each shorter sentence; the first place takes word "
            "length - 1.",
            line="padded",
            edits=[(MIRRORED, "mirrored = (lengths[:, None] - time).clamp(max=source.shape[1] - 1)")],
        ),
        Misconception(
            name="rolled",
            says="You move the words along by one place; the whole order is turned round.",
            line="full",
            edits=[(TAKE, "return source.roll(1, dims=1)")],
        ),
    ],
)
