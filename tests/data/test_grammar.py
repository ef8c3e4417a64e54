"""The Italian of the grammar against hand-written sentences and rules; its links and its exact lengths."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from course_lib.data import grammar
from course_lib.data.grammar import SentencePair, count_described, draw_pair, draw_skeleton
from course_lib.data.lexicon import ADJECTIVES, ANIMATE, NOUNS, PREPOSITIONS, VERBS, is_held_out, italian_article

NOUN_FORMS = {form: noun for noun in NOUNS for form in (noun.english, noun.english_plural)}
ADJECTIVE_FORMS = {adjective.english: adjective for adjective in ADJECTIVES}


@pytest.fixture(scope="module")
def pairs() -> list[SentencePair]:
    rng = np.random.default_rng(0)
    return [draw_pair(rng, length) for length in range(3, 41) for _ in range(30)]


@pytest.mark.parametrize(
    ("length", "held_out"), [(3, False), (4, False), (4, True), (7, True), (19, False), (19, True), (40, False)]
)
def test_a_sentence_has_exactly_the_wanted_length(length: int, held_out: bool) -> None:
    rng = np.random.default_rng(length)
    for _ in range(20):
        assert len(draw_pair(rng, length, held_out=held_out).source) == length


def test_skeletons_are_drawn_with_the_probabilities_of_the_weights_given_the_length() -> None:
    def brute_force(symbols: tuple[str, ...], budget: int) -> Counter[int]:
        """Total weight of all derivations by length, without the sums that the sampler keeps."""
        if not symbols:
            return Counter({0: 1.0})
        head, rest = symbols[0], symbols[1:]
        heads: Counter[int] = Counter()
        if head in grammar.RULES:
            for weight, rule in grammar.RULES[head]:
                for n, w in brute_force(rule, budget).items():
                    heads[n] += weight * w
        else:
            heads[1] = 1.0
        total: Counter[int] = Counter()
        for n, w in heads.items():
            if n <= budget:
                for m, v in brute_force(rest, budget - n).items():
                    total[n + m] += w * v
        return total

    length, draws = 7, 4000
    rules = {rule: weight for weight, rule in grammar.RULES["verb phrase 0"]}
    weights = {rule: weight * brute_force(rule, length)[length] for rule, weight in rules.items()}
    rng = np.random.default_rng(1)
    found = Counter(len(draw_skeleton(rng, length, "verb phrase 0").parts) for _ in range(draws))
    expected: Counter[int] = Counter()
    for rule, weight in weights.items():
        expected[len(rule)] += weight / sum(weights.values())
    for parts, probability in expected.items():
        spread = (probability * (1 - probability) / draws) ** 0.5
        assert abs(found[parts] / draws - probability) <= 5 * spread


def test_lengths_without_a_sentence_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="of 2 words: choose a length from 3 on"):
        draw_pair(rng, 2)
    with pytest.raises(ValueError, match="no adjective to hold out"):
        draw_pair(rng, 3, held_out=True)


def test_the_same_seed_gives_the_same_sentences() -> None:
    first, again = (np.random.default_rng(5) for _ in range(2))
    assert [draw_pair(first, 12) for _ in range(10)] == [draw_pair(again, 12) for _ in range(10)]


HAND_WRITTEN = """
the friends dance = gli amici ballano
a witch dances = una strega balla
this friend dances = questo amico balla
my old friend dances = il mio vecchio amico balla
the kind witch dances = la strega gentile balla
an old witch dances = una vecchia strega balla
the friend sees him = l' amico lo vede
the old friend sees her = il vecchio amico la vede
these witches see them = queste streghe li vedono
the witch often dances = la strega balla spesso
the friend never sees them = l' amico non li vede mai
the friends do not dance = gli amici non ballano
the witch does not see him = la strega non lo vede
my witches see the kind friend = le mie streghe vedono l' amico gentile
the friends that dance see him = gli amici che ballano lo vedono
the friend behind a witch dances = l' amico dietro una strega balla
the old kind friend sees him = il vecchio amico gentile lo vede
the friend dances and a witch dances = l' amico balla e una strega balla
"""


def test_the_translations_are_those_written_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def some(words: tuple, *names: str) -> tuple:
        return tuple(word for word in words if word.english in names)

    caches = (grammar._nouns, grammar._adjectives, grammar._verbs, grammar._prepositions)
    monkeypatch.setattr(grammar, "NOUNS", some(NOUNS, "friend", "witch"))
    monkeypatch.setattr(grammar, "ADJECTIVES", some(ADJECTIVES, "old", "kind"))
    monkeypatch.setattr(grammar, "VERBS", some(VERBS, "dances", "sees"))
    monkeypatch.setattr(grammar, "PREPOSITIONS", some(PREPOSITIONS, "behind"))
    monkeypatch.setattr(grammar, "CONJUNCTIONS", {"and": "e"})
    monkeypatch.setattr(grammar._Writer, "kinds_for", lambda self, phrase: ANIMATE)
    for cached in caches:
        cached.cache_clear()
    expected = dict(line.split(" = ") for line in HAND_WRITTEN.strip().splitlines())
    rng = np.random.default_rng(0)
    found: dict[str, str] = {}
    for english in expected:
        for _ in range(20_000):
            if english in found:
                break
            pair = draw_pair(rng, len(english.split()))
            found[" ".join(pair.source)] = " ".join(pair.target)
    for cached in caches:
        cached.cache_clear()
    assert {english: found.get(english) for english in expected} == expected


def test_one_english_sentence_has_one_translation() -> None:
    rng = np.random.default_rng(3)
    translations: dict[tuple[str, ...], tuple[str, ...]] = {}
    repeated = 0
    for length in (3, 4):
        for _ in range(2000):
            pair = draw_pair(rng, length)
            repeated += pair.source in translations
            assert translations.setdefault(pair.source, pair.target) == pair.target
    assert repeated > 500


@pytest.mark.parametrize(
    "phrases",
    [
        "il gatto, i gatti, un gatto",
        "l' amico, gli amici, un amico",
        "lo zaino, gli zaini, uno zaino",
        "lo specchio, gli specchi, uno specchio",
        "lo psicologo, gli psicologi, uno psicologo",
        "lo gnomo, gli gnomi, uno gnomo",
        "il sasso, i sassi, un sasso",
        "la casa, le case, una casa",
        "l' isola, le isole, un' isola",
        "la strega, le streghe, una strega",
        "la zia, le zie, una zia",
    ],
)
def test_articles_follow_the_first_letters_of_the_next_word(phrases: str) -> None:
    singular, plural, indefinite = (phrase.split() for phrase in phrases.split(", "))
    feminine = indefinite[0] in ("una", "un'")
    assert italian_article(singular[1], definite=True, feminine=feminine, plural=False) == singular[0]
    assert italian_article(plural[1], definite=True, feminine=feminine, plural=True) == plural[0]
    assert italian_article(indefinite[1], definite=False, feminine=feminine, plural=False) == indefinite[0]


def test_an_indefinite_plural_article_is_refused() -> None:
    with pytest.raises(ValueError, match="no indefinite article for the plural 'gatti'"):
        italian_article("gatti", definite=False, feminine=False, plural=True)


ARTICLES = {
    "il": r"[^aeiouz]", "lo": r"z|s[^aeiou]", "l'": r"[aeiou]", "la": r"[^aeiou]",
    "i": r"[^aeiouz]", "gli": r"[aeiouz]|s[^aeiou]", "le": r".",
    "un": r"[^z]", "uno": r"z|s[^aeiou]", "una": r"[^aeiou]", "un'": r"[aeiou]",
}  # fmt: skip
FEMININE = {"la": True, "le": True, "una": True, "un'": True, "il": False, "lo": False, "i": False, "gli": False}
FEMININE |= {"un": False, "uno": False, "questo": False, "questi": False, "questa": True, "queste": True}
PLURAL = {"i", "gli", "le", "questi", "queste"}


def test_every_article_agrees_with_its_noun_and_with_the_letters_behind_it(pairs: list[SentencePair]) -> None:
    seen = set()
    for pair in pairs:
        for i, word in enumerate(pair.target):
            heads = [pair.source[j] for t, j in pair.possible if t == i and pair.source[j] in NOUN_FORMS]
            if word not in FEMININE or not heads:
                continue  # a pronoun: lo, la
            (head,) = heads
            seen.add(word)
            if word in ARTICLES:
                assert re.match(ARTICLES[word], pair.target[i + 1]), " ".join(pair.target)
            if word != "l'":
                assert FEMININE[word] == NOUN_FORMS[head].feminine, " ".join(pair.target)
            assert (word in PLURAL) == (head == NOUN_FORMS[head].english_plural), " ".join(pair.target)
    assert seen == set(FEMININE)


def test_adjectives_agree_and_stand_on_their_side_of_the_noun(pairs: list[SentencePair]) -> None:
    sides = set()
    for pair in pairs:
        at = {j: i for i, j in sorted(pair.sure, reverse=True)}
        for j, word in enumerate(pair.source):
            if word not in ADJECTIVE_FORMS:
                continue
            noun_at = next(k for k in range(j, len(pair.source)) if pair.source[k] in NOUN_FORMS)
            noun, adjective = NOUN_FORMS[pair.source[noun_at]], ADJECTIVE_FORMS[word]
            plural = pair.source[noun_at] == noun.english_plural
            assert pair.target[at[j]] == adjective.italian[2 * plural + noun.feminine]
            assert (at[j] < at[noun_at]) == adjective.before
            sides.add(adjective.before)
    assert sides == {True, False}


def test_every_target_word_is_linked_and_sure_links_are_possible(pairs: list[SentencePair]) -> None:
    for pair in pairs:
        assert pair.sure <= pair.possible
        assert {i for i, _ in pair.possible} == set(range(len(pair.target)))
        assert {j for _, j in pair.possible} == set(range(len(pair.source)))
        unsure = {pair.target[i] for i in set(range(len(pair.target))) - {i for i, _ in pair.sure}}
        assert unsure <= {"non", "il", "la", "i", "le"}, "only non (never) and the article of my have no sure link"


def test_a_held_out_sentence_holds_exactly_one_held_out_combination_and_the_others_none() -> None:
    def combinations(pair: SentencePair) -> set[tuple[str, str]]:
        """Read from the English words alone: the adjectives right before a noun."""
        found = set()
        adjectives: list[str] = []
        for word in pair.source:
            if word in ADJECTIVE_FORMS:
                adjectives.append(word)
            elif word in NOUN_FORMS:
                noun = NOUN_FORMS[word]
                found |= {(a, noun.english) for a in adjectives if is_held_out(ADJECTIVE_FORMS[a], noun)}
                adjectives = []
        return found

    rng = np.random.default_rng(4)
    for length in range(4, 41):
        for _ in range(10):
            assert combinations(draw_pair(rng, length)) == set()
            pair = draw_pair(rng, length, held_out=True)
            assert len(pair.held_out) == 1 and combinations(pair) == pair.held_out


def test_every_noun_and_every_adjective_has_both_held_out_and_known_partners() -> None:
    partners = [(a, n, is_held_out(a, n)) for a in ADJECTIVES for n in NOUNS if n.kind in a.suits]
    for word in (*ADJECTIVES, *NOUNS):
        assert {held_out for a, n, held_out in partners if word in (a, n)} == {True, False}


PEOPLE = {"boy", "girl", "woman", "friend", "student", "scientist", "doctor", "nurse", "actress", "queen", "witch"}
COLOURS = {"red", "black", "white"}


def test_colours_describe_animals_and_things_and_never_people(pairs: list[SentencePair]) -> None:
    assert {noun.english for noun in NOUNS if noun.kind == "person"} == PEOPLE
    coloured: set[str] = set()
    plain: set[str] = set()
    for pair in pairs:
        adjectives: set[str] = set()
        for word in pair.source:
            if word in ADJECTIVE_FORMS:
                adjectives.add(word)
            elif word in NOUN_FORMS:
                (coloured if adjectives & COLOURS else plain).add(NOUN_FORMS[word].english)
                adjectives = set()
    assert plain == {noun.english for noun in NOUNS}
    assert coloured == plain - PEOPLE


def test_each_kind_of_noun_has_about_as_many_adjectives_as_the_others() -> None:
    counts = Counter(kind for adjective in ADJECTIVES for kind in adjective.suits)
    assert set(counts) == {"person", "animal", "thing"}
    assert max(counts.values()) - min(counts.values()) <= 1


def test_nobody_stands_under_somebody(pairs: list[SentencePair]) -> None:
    below = set()
    for pair in pairs:
        for j, word in enumerate(pair.source):
            if word == "under":
                below.add(next(NOUN_FORMS[behind].kind for behind in pair.source[j:] if behind in NOUN_FORMS))
    assert below == {"thing"}


def test_two_adjectives_come_back_mirrored_behind_the_noun(pairs: list[SentencePair]) -> None:
    mirrored = 0
    for pair in pairs:
        at = {j: i for i, j in sorted(pair.sure, reverse=True)}
        for j, (first, second) in enumerate(pairwise(pair.source)):
            if first in ADJECTIVE_FORMS and second in ADJECTIVE_FORMS:
                assert (at[j] < at[j + 1]) == ADJECTIVE_FORMS[first].before
                mirrored += not ADJECTIVE_FORMS[first].before
    assert mirrored > 20


def test_described_noun_phrases_are_counted() -> None:
    rng = np.random.default_rng(6)
    counts = {count_described(draw_skeleton(rng, 8)) for _ in range(200)}
    assert {0, 1, 2} <= counts
    assert count_described(draw_skeleton(rng, 3)) == 0
