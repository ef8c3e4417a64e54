"""The translation task: disjoint sets, vocabulary, batches, tables of links."""

from collections import Counter

import numpy as np
import pytest
import torch

from course_lib.data.grammar import SentencePair
from course_lib.data.translation import (
    END,
    PAD,
    SPECIALS,
    START,
    UNK,
    TranslationData,
    Vocabulary,
    alignment_matrices,
    by_source_length,
    draw_different_pairs,
    examples,
    links_cross,
    statistics,
    translation_data,
    written,
)

SMALL = {"lengths": range(4, 16), "train_per_length": 20, "test_per_length": 6}


@pytest.fixture(scope="module")
def data() -> TranslationData:
    return translation_data(np.random.default_rng(0), **SMALL)


def pair(source: str, target: str) -> SentencePair:
    return SentencePair(tuple(source.split()), tuple(target.split()))


def test_each_length_has_its_quota(data: TranslationData) -> None:
    for pairs, quota in ((data.train, 20), (data.test, 6)):
        assert Counter(len(pair.source) for pair in pairs) == dict.fromkeys(range(4, 16), quota)


def test_no_sentence_appears_twice_in_training_and_test_together(data: TranslationData) -> None:
    sources = [pair.source for pair in data.train + data.test]
    assert len(set(sources)) == len(sources)


def test_half_of_the_test_sentences_hold_a_combination_that_training_never_shows(data: TranslationData) -> None:
    assert not any(pair.held_out for pair in data.train)
    for group in by_source_length(data.test).values():
        assert sum(len(pair.held_out) == 1 for pair in group) == 3


def test_the_same_seed_gives_the_same_data_and_another_seed_other_data(data: TranslationData) -> None:
    assert translation_data(np.random.default_rng(0), **SMALL).train == data.train
    assert translation_data(np.random.default_rng(1), **SMALL).train != data.train


def test_asking_for_more_short_sentences_than_there_are_says_so() -> None:
    with pytest.raises(ValueError, match="different sentences of 3 words"):
        draw_different_pairs(np.random.default_rng(0), 3, count=500)


def test_the_vocabulary_numbers_the_words_by_first_appearance() -> None:
    vocabulary = Vocabulary([["think", "about", "it"], ["come", "in"], ["think", "it"]])
    assert vocabulary.words == (*SPECIALS, "think", "about", "it", "come", "in")
    assert len(vocabulary) == 9
    assert SPECIALS.index("<pad>") == PAD and SPECIALS.index("<start>") == START
    assert SPECIALS.index("<end>") == END and SPECIALS.index("<unk>") == UNK
    assert vocabulary.encode(["come", "about"]) == [7, 5]


def test_rare_and_unknown_words_become_unk() -> None:
    vocabulary = Vocabulary([["a", "b"], ["a", "c"]], min_count=2)
    assert vocabulary.words == (*SPECIALS, "a")
    assert vocabulary.encode(["a", "b", "never seen"]) == [4, UNK, UNK]
    assert vocabulary.decode([UNK, 4]) == ["<unk>", "a"]


def test_decoding_stops_at_end_and_drops_start_and_padding() -> None:
    vocabulary = Vocabulary([["a", "b"]])
    assert vocabulary.decode(torch.tensor([START, 4, 5, END, 4, PAD])) == ["a", "b"]
    assert vocabulary.decode([4, PAD]) == ["a"]


def test_the_test_words_are_all_known_in_the_full_task() -> None:
    data = translation_data(np.random.default_rng(0), train_per_length=30, test_per_length=4)
    for pair in data.test:
        assert UNK not in data.source_vocabulary.encode(pair.source) + data.target_vocabulary.encode(pair.target)


def test_a_batch_gives_its_pairs_back(data: TranslationData) -> None:
    pairs = [data.train[0], data.train[-1], data.train[60]]
    batch = data.collate(pairs)
    assert batch.pairs == tuple(pairs)
    assert batch.source_lengths.tolist() == [len(pair.source) for pair in pairs]
    for row, pair in enumerate(pairs):
        n, m = len(pair.source), len(pair.target)
        assert tuple(data.source_vocabulary.decode(batch.source[row])) == pair.source
        assert tuple(data.target_vocabulary.decode(batch.target[row])) == pair.target
        assert (batch.source[row, n:] == PAD).all()
        assert batch.target[row, m] == END and (batch.target[row, m + 1 :] == PAD).all()


def test_training_batches_hold_one_length_each_and_follow_the_power(data: TranslationData) -> None:
    batches = data.draw_batches(np.random.default_rng(0), batch_size=8, length_power=1.0)
    lengths = Counter()
    for _ in range(1500):
        batch = next(batches)
        assert batch.source.shape == (8, batch.source_lengths[0]) and (batch.source != PAD).all()
        assert len(set(batch.pairs)) == 8
        lengths[batch.source.shape[1]] += 1
    total = sum(1 / n for n in range(4, 16))
    for n in range(4, 16):
        probability = 1 / n / total
        assert abs(lengths[n] / 1500 - probability) < 5 * (probability / 1500) ** 0.5


def test_training_batches_repeat_with_their_seed_and_respect_the_longest_length(data: TranslationData) -> None:
    first, again = (data.draw_batches(np.random.default_rng(3), batch_size=4, max_length=6) for _ in range(2))
    for _ in range(30):
        batch = next(first)
        assert batch.source.shape[1] <= 6
        assert torch.equal(batch.target, next(again).target)


def test_the_test_batches_hold_each_test_pair_once(data: TranslationData) -> None:
    batches = list(data.test_batches(batch_size=4))
    assert Counter(pair for batch in batches for pair in batch.pairs) == Counter(data.test)
    assert all(len(set(batch.source_lengths.tolist())) == 1 for batch in batches)


def test_alignment_tables_hold_the_links_and_nothing_else(data: TranslationData) -> None:
    pairs = data.test[::7]
    sure, possible = alignment_matrices(pairs)
    assert sure.shape == (len(pairs), max(len(p.target) for p in pairs), max(len(p.source) for p in pairs))
    for row, pair in enumerate(pairs):
        assert {(i, j) for i, j in sure[row].nonzero().tolist()} == pair.sure
        assert {(i, j) for i, j in possible[row].nonzero().tolist()} == pair.possible


def test_alignment_tables_of_pairs_without_links_are_empty() -> None:
    sure, possible = alignment_matrices([pair("it rains", "piove")])
    assert sure.shape == (1, 1, 2) and not sure.any() and not possible.any()


def test_statistics_of_three_pairs_are_worked_by_hand() -> None:
    straight = SentencePair(("a", "b"), ("x", "y"), frozenset({(0, 0), (1, 1)}))
    crossed = SentencePair(("a", "c"), ("y", "x", "z"), frozenset({(0, 1), (1, 0)}), held_out=frozenset({("a", "c")}))
    short = SentencePair(("a", "b", "c", "d"), ("x",), frozenset({(0, 2)}))
    found = statistics([straight, crossed, short])
    third = pytest.approx(1 / 3)
    assert found == {
        "pairs": 3, "source words": 4, "target words": 3, "mean source length": pytest.approx(8 / 3),
        "mean target length": 2, "target shorter": third, "target longer": third, "crossing": third, "held out": third,
    }  # fmt: skip
    assert [links_cross(pair) for pair in (straight, crossed, short)] == [False, True, False]


def test_most_sentences_of_the_task_are_reordered_and_lengths_differ_both_ways(data: TranslationData) -> None:
    found = statistics(data.train)
    assert found["crossing"] > 0.7 and found["target shorter"] > 0.05 and found["target longer"] > 0.2


def test_examples_have_the_wanted_lengths(data: TranslationData) -> None:
    chosen = examples(data.test, np.random.default_rng(0), lengths=(5, 11, 40))
    assert [len(pair.source) for pair in chosen] == [5, 11]


def test_written_text_joins_apostrophes_and_full_stops() -> None:
    assert written(("l'", "amico", "dorme", ".")) == "l'amico dorme."
    assert written(("un'", "isola", ",", "una", "casa")) == "un'isola, una casa"
