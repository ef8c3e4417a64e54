"""Text to numbers: hand-worked counts, PyTorch's and scikit-learn's functions as oracles."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from course_lib.models.text import (
    bag_of_words,
    cooccurrence_counts,
    embedding_lookup,
    one_hot,
    tf_idf,
    train_skip_gram,
)

DOCUMENTS = [[0, 1, 1, 2], [1, 3], [], [4, 1, 0]]
TEXTS = ["the cat sees the dog", "a dog sleeps", "the old dog and the old cat sleep", "dog dog dog"]


def test_one_hot_vectors_are_floating_point_and_equal_pytorchs() -> None:
    ids = torch.tensor([[2, 0, 3], [1, 1, 4]])
    found = one_hot(ids, vocab_size=5)
    assert found.dtype == torch.get_default_dtype() and found.shape == (2, 3, 5)
    assert torch.equal(found, F.one_hot(ids, 5).float())


@pytest.mark.parametrize("ids", [[0, 5], [-1, 2]])
def test_an_id_outside_the_vocabulary_is_refused(ids: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"run from {min(ids)} to {max(ids)}, but a vocabulary of 5 words"):
        one_hot(torch.tensor(ids), vocab_size=5)


def test_bags_are_counted_by_hand() -> None:
    expected = [[1, 2, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 0, 0, 1]]
    assert bag_of_words(DOCUMENTS, vocab_size=5).tolist() == expected


def test_a_bag_forgets_the_order() -> None:
    bags = bag_of_words([[0, 1, 2, 1], [1, 2, 1, 0]], vocab_size=3)
    assert torch.equal(bags[0], bags[1])


def test_bags_equal_those_of_scikit_learn() -> None:
    vectorizer = CountVectorizer(token_pattern=r"\w+")
    expected = vectorizer.fit_transform(TEXTS).toarray()
    documents = [[vectorizer.vocabulary_[word] for word in text.split()] for text in TEXTS]
    found = bag_of_words(documents, vocab_size=len(vectorizer.vocabulary_))
    assert found.tolist() == expected.tolist()


def test_tf_idf_of_three_documents_is_worked_by_hand() -> None:
    counts = torch.tensor([[2.0, 1.0, 0.0, 0.0], [0.0, 3.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    rare, half = math.log(3), math.log(3 / 2)
    expected = [[2 * rare, 0, 0, 0], [0, 0, half, 0], [0, 0, half, 0]]
    torch.testing.assert_close(tf_idf(counts), torch.tensor(expected))


def test_tf_idf_equals_scikit_learns_translated() -> None:
    counts = CountVectorizer(token_pattern=r"\w+").fit_transform(TEXTS)
    theirs = TfidfTransformer(norm=None, smooth_idf=False).fit_transform(counts).toarray()
    ours = torch.tensor(counts.toarray(), dtype=torch.float64)
    torch.testing.assert_close(tf_idf(ours) + ours, torch.tensor(theirs))


@given(
    counts=st.integers(1, 6).flatmap(
        lambda width: st.lists(st.lists(st.integers(0, 4), min_size=width, max_size=width), min_size=1, max_size=6)
    )
)
@settings(max_examples=60, deadline=None)
def test_tf_idf_is_finite_and_nought_where_a_word_tells_nothing(counts: list[list[int]]) -> None:
    table = torch.tensor(counts, dtype=torch.float64)
    found = tf_idf(table)
    in_all = (table > 0).all(dim=0)
    assert found.isfinite().all() and (found >= 0).all()
    assert (found[:, in_all] == 0).all() and (found[table == 0] == 0).all()


def test_embedding_lookup_is_one_hot_times_matrix_in_values_and_gradients() -> None:
    weight = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    ids = torch.tensor([[6, 2, 2], [0, 5, 6]])
    found = embedding_lookup(ids, weight)
    expected = one_hot(ids, vocab_size=7).double() @ weight
    torch.testing.assert_close(found, expected)
    upstream = torch.arange(18.0).reshape(2, 3, 3).double()
    gradient, wanted = (torch.autograd.grad(output, weight, upstream)[0] for output in (found, expected))
    torch.testing.assert_close(gradient, wanted)
    torch.testing.assert_close(F.embedding(ids, weight), found)


def test_neighbours_are_counted_within_the_window_and_the_document() -> None:
    counts = cooccurrence_counts([[0, 1, 2, 0], [3]], vocab_size=4, window=2)
    assert counts.tolist() == [[0, 2, 2, 0], [2, 0, 1, 0], [2, 1, 0, 0], [0, 0, 0, 0]]
    assert cooccurrence_counts([[0, 1, 2, 0]], vocab_size=3, window=3)[0, 0] == 2


def test_words_with_the_same_neighbours_get_nearby_vectors() -> None:
    documents = [[0, 2, 3], [1, 2, 3], [4, 5, 6]] * 4  # 0 and 1 are used alike, 4 is not
    counts = cooccurrence_counts(documents, vocab_size=7, window=2)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        embeddings = train_skip_gram(counts, d_model=4, steps=100, generator=generator)
        alike = F.cosine_similarity(embeddings[0], embeddings[1], dim=0)
        unlike = F.cosine_similarity(embeddings[0], embeddings[4], dim=0)
        assert alike > 0.9 and unlike < 0.5


def test_training_repeats_with_its_seed_and_leaves_the_global_chance_alone() -> None:
    counts = cooccurrence_counts([[0, 1, 2], [2, 1, 3]], vocab_size=4, window=1)
    state = torch.random.get_rng_state()
    first, again = (
        train_skip_gram(counts, d_model=3, steps=5, generator=torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert torch.equal(first, again) and torch.equal(torch.random.get_rng_state(), state)
