"""A synchronous grammar: English and Italian grow together, with the links between their words.

A sentence is made in two steps. First its skeleton: one of the derivations of a weighted grammar of word
classes, drawn among those of exactly the wanted English length. Then its words: each phrase is written in
both languages at once, and each Italian word remembers the English words that it came from.

    the old friend does not see him  ->  il vecchio amico non lo vede
    my black cat never helps the girls  ->  il mio gatto nero non aiuta mai le ragazze

Chapters: 02-seq2seq, 03-rnn-attention, 05-transformer.
"""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import NamedTuple, TypeVar

import numpy as np

from course_lib.data.lexicon import (
    ADJECTIVES,
    ANIMATE,
    CONJUNCTIONS,
    NOUNS,
    PREPOSITIONS,
    PRONOUNS,
    THINGS,
    VERBS,
    Adjective,
    Kind,
    Noun,
    Preposition,
    Verb,
    english_indefinite,
    is_held_out,
    italian_article,
)

T = TypeVar("T")
Link = tuple[int, int]


@dataclass(frozen=True)
class SentencePair:
    """A sentence in two languages, cut into words.

    Attributes:
        source, target: the words.
        sure: links (i, j) between target word i and source word j that translate each other; positions
            count from 0.
        possible: `sure`, and the links by which a word only decides the form of another (a noun its
            article and adjectives, "does" its "non").
        held_out: the (adjective, noun) combinations of the sentence, in English, that training never shows.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    sure: frozenset[Link] = frozenset()
    possible: frozenset[Link] = frozenset()
    held_out: frozenset[tuple[str, str]] = frozenset()


# Skeletons

Symbols = tuple[str, ...]


class Skeleton(NamedTuple):
    """A node of a derivation: its symbol and its parts; the class of a single word has none."""

    symbol: str
    parts: tuple["Skeleton", ...] = ()


def _noun_phrases(depth: int) -> list[tuple[float, Symbols]]:
    core: Symbols = ("determiner", "adjectives", "noun")
    rules = [(1.0, core)]
    if depth > 0:
        rules.append((0.25, (*core, "preposition", f"noun phrase {depth - 1}")))
        rules.append((0.25, (*core, "that", f"verb phrase {depth - 1}")))
    return rules


def _verb_phrases(depth: int) -> list[tuple[float, Symbols]]:
    kernels: list[tuple[float, Symbols]] = [
        (0.15, ("polarity", "intransitive")),
        (0.25, ("polarity", "transitive", "pronoun")),
        (0.6, ("polarity", "transitive", f"noun phrase {depth}")),
    ]
    behind: Symbols = ("preposition", f"noun phrase {max(depth - 1, 0)}")
    return kernels + [(0.3 * weight, kernel + behind) for weight, kernel in kernels]


# Weighted rules without a cycle: a symbol that is not a key stands for one English word.
RULES: dict[str, list[tuple[float, Symbols]]] = {
    "adjectives": [(0.45, ()), (0.4, ("adjective",)), (0.15, ("adjective", "adjective"))],
    "polarity": [(0.6, ()), (0.2, ("does", "not")), (0.1, ("never",)), (0.1, ("often",))],
    "noun phrase 0": _noun_phrases(0),
    "noun phrase 1": _noun_phrases(1),
    "verb phrase 0": _verb_phrases(0),
    "verb phrase 1": _verb_phrases(1),
    "clause": [(1.0, ("noun phrase 1", "verb phrase 1"))],
    "sentence of 1": [(1.0, ("clause",))],
    **{
        f"sentence of {n}": [(1.0, ("clause",)), (0.5, ("clause", "conjunction", f"sentence of {n - 1}"))]
        for n in (2, 3, 4)
    },
}
ROOT = "sentence of 4"


@cache
def _weight(symbols: Symbols, length: int) -> float:
    """Total weight of the derivations of these symbols that are exactly `length` words long."""
    if not symbols:
        return float(length == 0)
    head, rest = symbols[0], symbols[1:]
    if head not in RULES:
        return _weight(rest, length - 1) if length > 0 else 0.0
    if not rest:
        return sum(weight * _weight(rule, length) for weight, rule in RULES[head])
    return sum(_weight((head,), own) * _weight(rest, length - own) for own in range(length + 1))


@cache
def _rule_choice(symbol: str, length: int) -> list[float]:
    """Running sums of the weights of the symbol's rules at this length."""
    return list(accumulate(weight * _weight(rule, length) for weight, rule in RULES[symbol]))


@cache
def _share_choice(symbols: Symbols, length: int) -> list[float]:
    """Running sums of the weights of the first symbol's share 0, 1, 2 … of the length."""
    head, rest = symbols[0], symbols[1:]
    return list(accumulate(_weight((head,), own) * _weight(rest, length - own) for own in range(length + 1)))


def draw_skeleton(rng: np.random.Generator, length: int, symbol: str = ROOT) -> Skeleton:
    """One derivation among those of exactly this length, each as likely as its weight.

    Args:
        rng: the source of chance.
        length: number of English words.
        symbol: what to derive.

    Returns:
        The derivation.

    Raises:
        ValueError: if the grammar has no sentence of this length.

    Source: the inside sums of Lari and Young, "The estimation of stochastic context-free grammars using
        the Inside-Outside algorithm", 1990, section 2.
    Chapter: 02-seq2seq.
    """
    if _weight((symbol,), length) == 0:
        raise ValueError(f"The grammar has no {symbol!r} of {length} words: choose a length from 3 on.")

    def derive(symbol: str, length: int) -> Skeleton:
        if symbol not in RULES:
            return Skeleton(symbol)
        symbols = RULES[symbol][_draw(rng, _rule_choice(symbol, length))][1]
        parts = []
        while symbols:
            own = _draw(rng, _share_choice(symbols, length))
            parts.append(derive(symbols[0], own))
            symbols, length = symbols[1:], length - own
        return Skeleton(symbol, tuple(parts))

    return derive(symbol, length)


def _draw(rng: np.random.Generator, running_sums: list[float]) -> int:
    return bisect(running_sums, rng.random() * running_sums[-1])


def _pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    return items[int(rng.random() * len(items))]


# Words


@dataclass(frozen=True)
class _Token:
    """An Italian word with the positions of the English words that it comes from."""

    word: str
    sure: tuple[int, ...] = ()
    possible: tuple[int, ...] = ()


@cache
def _nouns(kinds: frozenset[Kind]) -> tuple[Noun, ...]:
    return tuple(noun for noun in NOUNS if noun.kind in kinds)


@cache
def _adjectives(noun: Noun, held_out: bool) -> tuple[Adjective, ...]:
    return tuple(a for a in ADJECTIVES if noun.kind in a.suits and is_held_out(a, noun) == held_out)


@cache
def _verbs(objects: frozenset[Kind]) -> tuple[Verb, ...]:
    """Verbs that take all these kinds of object; with none, the verbs that take no object."""
    return tuple(verb for verb in VERBS if (objects <= verb.objects if objects else not verb.objects))


@cache
def _prepositions(kinds: frozenset[Kind]) -> tuple[Preposition, ...]:
    return tuple(preposition for preposition in PREPOSITIONS if kinds <= preposition.objects)


def count_described(skeleton: Skeleton) -> int:
    """How many noun phrases of a skeleton have an adjective."""
    own = skeleton.symbol == "adjectives" and len(skeleton.parts) > 0
    return own + sum(count_described(part) for part in skeleton.parts)


class _Writer:
    """Fills one skeleton with words; English words are written left to right, Italian ones are handed up."""

    def __init__(self, rng: np.random.Generator, held_out_phrase: int | None) -> None:
        self.rng = rng
        self.source: list[str] = []
        self.described = 0  # noun phrases with an adjective so far
        self.held_out_phrase = held_out_phrase
        self.held_out: set[tuple[str, str]] = set()

    def say(self, word: str) -> int:
        """Write an English word; returns its position."""
        self.source.append(word)
        return len(self.source) - 1

    def sentence(self, skeleton: Skeleton) -> list[_Token]:
        clause, *more = skeleton.parts
        subject, verb_phrase = clause.parts
        tokens, plural = self.noun_phrase(subject, ANIMATE)
        tokens += self.verb_phrase(verb_phrase, plural)
        if more:
            english, italian = _pick(self.rng, tuple(CONJUNCTIONS.items()))
            tokens.append(_Token(italian, (self.say(english),)))
            tokens += self.sentence(more[1])
        return tokens

    def noun_phrase(self, skeleton: Skeleton, kinds: frozenset[Kind]) -> tuple[list[_Token], bool]:
        """The Italian words of a noun phrase, and whether it is plural."""
        _, adjectives, _, *tail = skeleton.parts
        noun = _pick(self.rng, _nouns(kinds))
        plural = self.rng.random() < 0.3
        feminine = noun.feminine
        chosen = self.choose_adjectives(noun, len(adjectives.parts))

        english_noun = noun.english_plural if plural else noun.english
        next_word = chosen[0].english if chosen else english_noun
        determiner = _pick(self.rng, ("the", "the", "this", "my") if plural else ("the", "the", "a", "this", "my"))
        english = {"a": english_indefinite(next_word), "this": "these" if plural else "this"}
        d = self.say(english.get(determiner, determiner))
        positions = [self.say(adjective.english) for adjective in chosen]
        n = self.say(english_noun)

        words = [
            _Token(adjective.agreeing(feminine=feminine, plural=plural), (a,), (n,))
            for adjective, a in zip(chosen, positions, strict=True)
        ]
        stay = sum(adjective.before for adjective in chosen)
        moved = words[stay:][::-1]  # behind the noun the order is mirrored
        tokens = [*words[:stay], _Token(noun.italian_plural if plural else noun.italian, (n,)), *moved]
        form = 2 * plural + feminine
        if determiner == "this":
            tokens.insert(0, _Token(("questo", "questa", "questi", "queste")[form], (d,), (n,)))
        elif determiner == "my":
            tokens.insert(0, _Token(("mio", "mia", "miei", "mie")[form], (d,), (n,)))
            tokens.insert(0, _Token(("il", "la", "i", "le")[form], (), (d, n)))
        else:
            article = italian_article(tokens[0].word, definite=determiner == "the", feminine=feminine, plural=plural)
            tokens.insert(0, _Token(article, (d,), (n,)))

        if tail and tail[0].symbol == "preposition":
            tokens += self.prepositional_phrase(tail[1])
        elif tail:
            tokens.append(_Token("che", (self.say("that"),)))
            tokens += self.verb_phrase(tail[1], plural)
        return tokens, plural

    def choose_adjectives(self, noun: Noun, count: int) -> list[Adjective]:
        """Different adjectives that suit the noun, in English order: those that stay before it come first."""
        if count == 0:
            return []
        surprise = self.described == self.held_out_phrase
        self.described += 1
        chosen = [_pick(self.rng, _adjectives(noun, surprise))]
        if surprise:
            self.held_out.add((chosen[0].english, noun.english))
        if count == 2:
            others = [a for a in _adjectives(noun, False) if a is not chosen[0] and not (a.before and chosen[0].before)]
            chosen.append(_pick(self.rng, others))
        return sorted(chosen, key=lambda adjective: not adjective.before)

    def prepositional_phrase(self, noun_phrase: Skeleton) -> list[_Token]:
        kinds = self.kinds_for(noun_phrase)
        preposition = _pick(self.rng, _prepositions(kinds))
        token = _Token(preposition.italian, (self.say(preposition.english),))
        return [token, *self.noun_phrase(noun_phrase, kinds)[0]]

    def kinds_for(self, noun_phrase: Skeleton) -> frozenset[Kind]:
        """Something that does something ("that dances") is animate; else it may be a thing."""
        acts = any(part.symbol == "that" for part in noun_phrase.parts)
        return ANIMATE if acts or self.rng.random() < 0.4 else THINGS

    def verb_phrase(self, skeleton: Skeleton, plural: bool) -> list[_Token]:
        polarity, kernel, *rest = skeleton.parts
        adverb = polarity.parts[0].symbol if polarity.parts else ""
        has_object = kernel.symbol == "transitive"
        takes_pronoun = has_object and rest[0].symbol == "pronoun"
        objects: frozenset[Kind] = frozenset()
        if has_object:
            objects = ANIMATE if takes_pronoun else self.kinds_for(rest[0])
        verb = _pick(self.rng, _verbs(objects))

        tokens: list[_Token] = []  # before the verb
        after: list[_Token] = []  # right behind it
        auxiliary: tuple[int, ...] = ()
        if adverb == "does":
            auxiliary = (self.say("do" if plural else "does"),)
            tokens.append(_Token("non", (self.say("not"),), auxiliary))
        elif adverb == "never":
            a = self.say("never")
            tokens.append(_Token("non", (), (a,)))
            after.append(_Token("mai", (a,)))
        elif adverb == "often":
            after.append(_Token("spesso", (self.say("often"),)))
        v = self.say(verb.english_plural if plural or auxiliary else verb.english)
        if takes_pronoun:
            english, italian = _pick(self.rng, tuple(PRONOUNS.items()))
            tokens.append(_Token(italian, (self.say(english),)))
        tokens.append(_Token(verb.italian_plural if plural else verb.italian, (v,), auxiliary))
        tokens += after
        if has_object and not takes_pronoun:
            tokens += self.noun_phrase(rest[0], objects)[0]
        if rest[has_object:]:
            tokens += self.prepositional_phrase(rest[-1])
        return tokens


def draw_pair(rng: np.random.Generator, length: int, *, held_out: bool = False) -> SentencePair:
    """One sentence pair whose English side has exactly `length` words.

    Args:
        rng: the source of chance.
        length: number of English words, from 3 on.
        held_out: with False, no adjective–noun combination of the sentence is held out, as training wants it;
            with True, exactly one is. See `course_lib.data.lexicon.is_held_out`.

    Returns:
        The pair, with its links.

    Raises:
        ValueError: if the grammar has no such sentence.

    Chapter: 02-seq2seq.
    """
    skeleton = draw_skeleton(rng, length)
    phrase = None
    if held_out:
        if length < 4:
            raise ValueError(f"A sentence of {length} words has no adjective to hold out: choose a length from 4 on.")
        while not (described := count_described(skeleton)):
            skeleton = draw_skeleton(rng, length)
        phrase = int(rng.random() * described)
    writer = _Writer(rng, phrase)
    tokens = writer.sentence(skeleton)
    sure = frozenset((i, j) for i, token in enumerate(tokens) for j in token.sure)
    possible = frozenset((i, j) for i, token in enumerate(tokens) for j in token.possible)
    return SentencePair(
        source=tuple(writer.source),
        target=tuple(token.word for token in tokens),
        sure=sure,
        possible=sure | possible,
        held_out=frozenset(writer.held_out),
    )
