"""The corpus of two senses, and where training puts the word that has both."""

from collections import Counter

import numpy as np
import pytest
import torch

from course_lib.data.translation import Vocabulary
from course_lib.data.two_senses import FIRMS, FRUITS, SHARED_WORD, two_senses
from course_lib.models.text import cooccurrence_counts, train_skip_gram


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_the_firm_is_kept(share: float) -> None:
    corpus = two_senses(np.random.default_rng(0), firm_share=share)
    about = Counter(
        sense for sentence, sense in zip(corpus.sentences, corpus.senses, strict=True) if SHARED_WORD in sentence
    )
    assert (about["firm"], about["fruit"]) == (round(8 * share), 8 - round(8 * share))


def test_every_other_word_keeps_to_its_sense() -> None:
    corpus = two_senses(np.random.default_rng(1))
    senses: dict[str, set[str]] = {word: set() for word in FRUITS + FIRMS}
    for sentence, sense in zip(corpus.sentences, corpus.senses, strict=True):
        for word in senses.keys() & set(sentence):
            senses[word].add(sense)
    assert all(senses[word] == {"fruit"} for word in FRUITS)
    assert all(senses[word] == {"firm"} for word in FIRMS)


def test_no_sentence_appears_twice_and_the_seed_decides() -> None:
    corpus = two_senses(np.random.default_rng(2))
    assert len(set(corpus.sentences)) == len(corpus.sentences) == 68
    assert two_senses(np.random.default_rng(2)) == corpus != two_senses(np.random.default_rng(3))


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is 1\.5: choose 0 to 1"):
        two_senses(np.random.default_rng(0), firm_share=1.5)


def positions(seed: int, firm_share: float) -> dict[str, float]:
    """Where training puts each word on the line from the mean fruit (0) to the mean firm (1)."""
    corpus = two_senses(np.random.default_rng(seed), firm_share=firm_share)
    vocabulary = Vocabulary(corpus.sentences)
    documents = [vocabulary.encode(sentence) for sentence in corpus.sentences]
    counts = cooccurrence_counts(documents, vocab_size=len(vocabulary), window=3)
    generator = torch.Generator().manual_seed(seed)
    embeddings = train_skip_gram(counts, d_model=16, steps=150, generator=generator)
    fruit, firm = (embeddings[vocabulary.encode(words)].mean(dim=0) for words in (FRUITS, FIRMS))
    axis = firm - fruit
    words = (*FRUITS, *FIRMS, SHARED_WORD)
    return {w: float((embeddings[vocabulary.index[w]] - fruit) @ axis / (axis @ axis)) for w in words}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_puts_the_word_with_two_senses_between_them(seed: int) -> None:
    found = positions(seed, firm_share=0.5)
    assert max(found[word] for word in FRUITS) < 0.2
    assert min(found[word] for word in FIRMS) > 0.8
    assert 0.3 < found[SHARED_WORD] < 0.7


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_more_often_a_sense_occurs_the_nearer_the_word_lies_to_it(seed: int) -> None:
    places = [positions(seed, firm_share=share)[SHARED_WORD] for share in (0.0, 0.5, 1.0)]
    assert places == sorted(places)
    assert places[0] < 0.2 and places[-1] > 0.7
