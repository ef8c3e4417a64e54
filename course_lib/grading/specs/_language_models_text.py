"""Assignment 06, text and its measure: exercises 1, 2 and 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.check.values import Seed
from course_lib.grading.spec import Exercise, Line, Misconception, random_tensor
from course_lib.models import language as reference

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _text(rng: np.random.Generator, letters: str, length: int) -> str:
    """A text that holds each of the letters, in random order."""
    drawn = [*letters, *rng.choice(list(letters), size=length - len(letters))]
    return "".join(rng.permutation(drawn))


def _tokenizer(method: str) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for "encode" and "decode"; the letters of the vocabulary have gaps, and its text is not sorted."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for size, length in ((5, 12), (8, 7), (4, 0)):
            letters = "".join(sorted(rng.choice(list(LETTERS), size=size, replace=False)))
            text = _text(rng, letters, 2 * size + 3)
            while list(dict.fromkeys(text)) == sorted(letters):
                text = _text(rng, letters, 2 * size + 3)
            places = rng.integers(size, size=length)
            places[:2] = [size - 1, 0][: min(length, 2)]
            argument = torch.from_numpy(places) if method == "decode" else "".join(letters[i] for i in places)
            probes.append(Probe(target="CharTokenizer", init={"text": text}, method=method, args=(argument,)))
        return probes

    return cases


def _unknown(rng: np.random.Generator) -> list[Probe]:
    probes = []
    for size in (4, 6):
        letters = rng.permutation(list(LETTERS))
        text = "".join(letters[:size])
        args = (text[1:] + str(letters[size]) + text[:1],)
        probes.append(Probe(target="CharTokenizer", init={"text": text}, method="encode", args=args))
    return probes


SORTED = "self.characters = sorted(set(text))"
PLACE = "place = {character: i for i, character in enumerate(self.characters)}"
REFUSE = """        if not set(text) <= set(place):
            raise ValueError(f"not in the vocabulary: {set(text) - set(place)}")
"""
ENCODE = "return torch.tensor([place[character] for character in text], dtype=torch.long)"
DECODE = 'return "".join(self.characters[i] for i in ids.tolist())'

char_tokenizer = Exercise(
    name="CharTokenizer",
    reference=reference.CharTokenizer,
    lines=[
        Line(name="encode", text="the ids of a text", points=1, cases=_tokenizer("encode")),
        Line(name="decode", text="the text of some ids", points=0.5, cases=_tokenizer("decode")),
        Line(
            name="unknown",
            text="ValueError for a character that the vocabulary does not hold",
            points=0.5,
            cases=_unknown,
        ),
    ],
    misconceptions=[
        Misconception(
            name="order_of_appearance",
            says="Your ids follow the order in which characters first appear; sort them.",
            line="encode",
            edits=[(SORTED, "self.characters = list(dict.fromkeys(text))")],
        ),
        Misconception(
            name="characters_repeated",
            says="Your vocabulary holds a character as often as the text does; each different one has a single id.",
            line="encode",
            edits=[(SORTED, "self.characters = sorted(text)")],
        ),
        Misconception(
            name="counted_from_one",
            says="Your first character has the id 1; places are counted from 0.",
            line="encode",
            edits=[("enumerate(self.characters)", "enumerate(self.characters, 1)")],
        ),
        Misconception(
            name="code_points",
            says="Your ids are the computer's numbers of the characters; an id is the place in your vocabulary.",
            line="encode",
            edits=[(PLACE, "place = {character: ord(character) for character in self.characters}")],
        ),
        Misconception(
            name="vocabulary_of_the_argument",
            says="You number the characters of the text that is encoded; the vocabulary is that of the text given to "
            "the constructor.",
            line="encode",
            edits=[(PLACE, "place = {character: i for i, character in enumerate(sorted(set(text)))}")],
        ),
        Misconception(
            name="largest_first",
            says="Your characters are sorted from z to a; sort them from a to z.",
            line="encode",
            edits=[(SORTED, "self.characters = sorted(set(text), reverse=True)")],
        ),
        Misconception(
            name="a_list_of_ids",
            says="Your ids are a list; return them as a tensor.",
            line="encode",
            edits=[(ENCODE, "return [place[character] for character in text]")],
        ),
        Misconception(
            name="characters_not_joined",
            says="You return the characters as a list; join them to one text.",
            line="decode",
            edits=[(DECODE, "return [self.characters[i] for i in ids.tolist()]")],
        ),
        Misconception(
            name="unknown_left_out",
            says="You leave out characters that the vocabulary does not hold, so the text comes back without them; "
            "raise ValueError.",
            line="unknown",
            edits=[(REFUSE, ""), ("for character in text]", "for character in text if character in place]")],
        ),
        Misconception(
            name="unknown_becomes_zero",
            says="An unknown character gets the id 0, which is another character's; raise ValueError.",
            line="unknown",
            edits=[(REFUSE, ""), ("[place[character] for", "[place.get(character, 0) for")],
        ),
        Misconception(
            name="key_error",
            says="An unknown character ends in the dictionary's own KeyError; look first, and raise ValueError.",
            line="unknown",
            edits=[(REFUSE, "")],
        ),
    ],
)


def _windows(*settings: tuple[int, int], batch_size: int = 240) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (tokens of the text, length): no token occurs twice, so that each tells its place."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="get_batch",
                args=(torch.from_numpy(rng.permutation(tokens)),),
                kwargs={"batch_size": batch_size, "length": length, "generator": Seed(int(rng.integers(2**31)))},
            )
            for tokens, length in settings
        ]

    return cases


def _twice(rng: np.random.Generator) -> list[Probe]:
    """The same call twice, with PyTorch's own generator in another state."""
    (first,) = _windows((7, 3), batch_size=120)(rng)
    return [first, Probe(target="get_batch", args=first.args, kwargs=first.kwargs, seed=1 + int(rng.integers(1000)))]


def _even_places(probes: Sequence[Probe]) -> Property:
    """Each window with its targets is as likely as any other."""
    outcomes = []
    for probe in probes:
        ids, length = probe.args[0], probe.kwargs["length"]
        windows = ids.unfold(0, length + 1, 1)  # (places, length + 1)
        outcomes.append(torch.cat([windows[:, :-1], windows[:, 1:]], dim=1))
    probabilities = [torch.full((len(rows),), 1 / len(rows), dtype=torch.float64) for rows in outcomes]
    return Property("follows_distribution", {"outcomes": outcomes, "probabilities": probabilities})


def _too_short(rng: np.random.Generator) -> list[Probe]:
    return [
        Probe(
            target="get_batch",
            args=(torch.from_numpy(rng.permutation(tokens)),),
            kwargs={"batch_size": 3, "length": length, "generator": Seed(0)},
        )
        for tokens, length in ((5, 5), (4, 6))
    ]


STARTS = "starts = torch.randint(places, (batch_size,), generator=generator)"
INPUTS = "inputs = torch.stack([ids[start : start + length] for start in starts])"
TARGETS = "targets = torch.stack([ids[start + 1 : start + 1 + length] for start in starts])"
SHORT = """    if places < 1:
        raise ValueError(f"windows of {length} and their targets need {length + 1} tokens, not {len(ids)}")
"""

get_batch = Exercise(
    name="get_batch",
    reference=reference.get_batch,
    returns=("the inputs", "the targets"),
    lines=[
        Line(
            name="windows",
            text="windows of the text with their targets, each place as likely as any other",
            points=1.5,
            cases=_windows((9, 5), (11, 6), (6, 2)),
            properties=lambda probes: [_even_places(probes)],
        ),
        Line(
            name="single_place",
            text="a text with just one token more than a window",
            points=0.5,
            cases=_windows((6, 5), (4, 3), batch_size=4),
        ),
        Line(
            name="generator",
            text="the same generator gives the same windows",
            points=0.5,
            cases=_twice,
            properties=lambda probes: [
                *(
                    Property("same_output", {"what": "the state of PyTorch's own generator", "part": part})
                    for part in (0, 1)
                ),
                _even_places(probes),
            ],
        ),
        Line(
            name="too_short",
            text="ValueError for a text that is too short",
            points=0.5,
            cases=_too_short,
        ),
    ],
    misconceptions=[
        Misconception(
            name="target_is_the_input",
            says="Your targets are the inputs themselves, so the model learns to copy; they begin one token later.",
            line="windows",
            edits=[(TARGETS, "targets = inputs")],
        ),
        Misconception(
            name="target_one_earlier",
            says="Your targets are the tokens before the inputs; the model is to predict the ones after them.",
            line="windows",
            edits=[
                (
                    "return inputs, targets",
                    "return targets, inputs",
                )
            ],
        ),
        Misconception(
            name="two_tokens_later",
            says="Your targets begin two tokens later; one is right.",
            line="windows",
            edits=[
                (
                    TARGETS,
                    "targets = torch.stack([ids[(start + 2 + torch.arange(length)) % len(ids)] for start in starts])",
                )
            ],
        ),
        Misconception(
            name="only_the_last_target",
            says="You return one target for each window; every position has its own, so a window holds as many "
            "exercises as tokens.",
            line="windows",
            edits=[(TARGETS, "targets = ids[starts + length]")],
        ),
        Misconception(
            name="last_place_never_drawn",
            says="Your last window is never drawn: torch.randint leaves out its upper end by itself.",
            line="windows",
            edits=[("torch.randint(places,", "torch.randint(max(places - 1, 1),")],
        ),
        Misconception(
            name="first_place_never_drawn",
            says="The window at place 0 is never drawn; places start at 0.",
            line="windows",
            edits=[("torch.randint(places,", "torch.randint(min(1, places - 1), places,")],
        ),
        Misconception(
            name="one_window_for_all",
            says="All rows of your batch are the same window; draw a start for each row.",
            line="windows",
            edits=[(STARTS, "starts = torch.randint(places, (1,), generator=generator).expand(batch_size)")],
        ),
        Misconception(
            name="only_multiples_of_the_length",
            says="Your windows start at multiples of their length only; every place is possible.",
            line="windows",
            edits=[
                (
                    STARTS,
                    "starts = length * torch.randint((places - 1) // length + 1, (batch_size,), generator=generator)",
                )
            ],
        ),
        Misconception(
            name="tokens_scattered",
            says="Each of your tokens comes from a place of its own; a window is a piece of the text.",
            line="windows",
            edits=[
                (STARTS, "starts = torch.randint(places, (batch_size, length), generator=generator)"),
                (INPUTS, "inputs = ids[starts]"),
                (TARGETS, "targets = ids[starts + 1]"),
            ],
        ),
        Misconception(
            name="generator_not_used",
            says="Your starts come from PyTorch's own generator; pass the one that is given, or nothing can be "
            "repeated.",
            line="generator",
            edits=[(STARTS, "starts = torch.randint(places, (batch_size,))")],
        ),
        Misconception(
            name="too_short_not_refused",
            says="A text that is too short ends in PyTorch's own error; look first, and raise ValueError.",
            line="too_short",
            edits=[(SHORT, "")],
        ),
    ],
)


def _logits(*settings: tuple[tuple[int, ...], int], sure: bool = False) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (shape of the targets, vocab_size). ``sure``: the targets' probabilities underflow."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape, vocab_size in settings:
            logits = random_tensor(rng, *shape, vocab_size, scale=1.5)
            targets = torch.from_numpy(rng.integers(vocab_size, size=shape))
            if sure:
                first = targets.flatten()[0]
                logits.view(-1, vocab_size)[0, (first + 1) % vocab_size] += 900
            probes.append(Probe(target="perplexity", args=(logits, targets)))
        return probes

    return cases


LOG = "log_probability = logits.log_softmax(dim=-1)"
RESULT = "return (-chosen.mean()).exp()"

perplexity = Exercise(
    name="perplexity",
    reference=reference.perplexity,
    returns=("the perplexity",),
    lines=[
        Line(
            name="output",
            text="texts of one and of several axes",
            points=1.5,
            cases=_logits(((3, 4), 6), ((7,), 5), ((2, 3, 2), 4)),
        ),
        Line(
            name="sure_and_wrong",
            text="a model that was sure and wrong",
            points=0.5,
            cases=_logits(((3, 5), 6), ((14,), 4), sure=True),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_exponential",
            says="You return the mean of the negative logarithms; the perplexity is its exponential.",
            line="output",
            edits=[(RESULT, "return -chosen.mean()")],
        ),
        Misconception(
            name="base_two",
            says="You raise 2 to the mean of natural logarithms; with natural logarithms the base is e.",
            line="output",
            edits=[(RESULT, "return 2 ** -chosen.mean()")],
        ),
        Misconception(
            name="mean_of_perplexities",
            says="You average the perplexities of the tokens; average the logarithms, then take the exponential once.",
            line="output",
            edits=[(RESULT, "return (-chosen).exp().mean()")],
        ),
        Misconception(
            name="mean_of_probabilities",
            says="You average the probabilities and invert; average the logarithms.",
            line="output",
            edits=[(RESULT, "return 1 / chosen.exp().mean()")],
        ),
        Misconception(
            name="one_for_each_text",
            says="You return several numbers; the mean runs over all positions of all texts.",
            line="output",
            edits=[(RESULT, "return (-chosen.mean(dim=-2)).exp()")],
        ),
        Misconception(
            name="mean_of_the_texts_perplexities",
            says="You average the perplexities of the texts; average all logarithms, then take the exponential once.",
            line="output",
            edits=[(RESULT, "return (-chosen.mean(dim=-2)).exp().mean()")],
        ),
        Misconception(
            name="sum_instead_of_mean",
            says="You add up the logarithms, so longer texts get worse; take their mean.",
            line="output",
            edits=[("chosen.mean()", "chosen.sum()")],
        ),
        Misconception(
            name="logits_as_log_probabilities",
            says="You take the logits for log-probabilities; a log-softmax makes them so.",
            line="output",
            edits=[(LOG, "log_probability = logits")],
        ),
        Misconception(
            name="sign_forgotten",
            says="Your number is below 1: it is one over the perplexity. The logarithms are negative; change the sign.",
            line="output",
            edits=[("-chosen.mean()", "chosen.mean()")],
        ),
        Misconception(
            name="softmax_over_the_positions",
            says="Your softmax runs over the first axis; it runs over the vocabulary, the last one.",
            line="output",
            edits=[("log_softmax(dim=-1)", "log_softmax(dim=0)")],
        ),
        Misconception(
            name="logarithm_of_a_softmax",
            says="Where the model was sure and wrong, the probability becomes 0 and its logarithm infinite; "
            "log_softmax in one call keeps it.",
            line="sure_and_wrong",
            edits=[(LOG, "log_probability = logits.softmax(dim=-1).log()")],
        ),
    ],
)
