"""The digits are scikit-learn's, and a split keeps the classes' shares and leaves nothing out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from course_lib.data.digits import Digits, all_digits, split_digits


def split(seed: int = 0, test_size: int = 500) -> tuple[Digits, Digits]:
    return split_digits(test_size=test_size, generator=torch.Generator().manual_seed(seed))


def test_pixels_and_labels_are_those_of_scikit_learn_divided_by_16() -> None:
    data, digits = load_digits(), all_digits()
    assert torch.equal(digits.images[:, 0] * 16, torch.from_numpy(data.images).float())
    assert digits.labels.tolist() == data.target.tolist()


def test_paper_and_ink_have_the_values_asked_for() -> None:
    plain, scaled = all_digits().images, all_digits(low=-1.0, high=1.0).images
    assert (scaled.min(), scaled.max()) == (-1, 1)
    assert torch.allclose((scaled + 1) / 2, plain)


def test_train_and_test_together_are_all_digits_and_each_stands_there_once() -> None:
    train, test = split()
    assert (len(train), len(test)) == (1297, 500)
    rows = torch.cat([train.images, test.images]).flatten(1).tolist()
    assert sorted(rows) == sorted(all_digits().images.flatten(1).tolist())


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), count=st.integers(10, 1297))
def test_every_beginning_holds_each_class_in_proportion(seed: int, count: int) -> None:
    train, test = split(seed)
    shares = all_digits().labels.bincount() / 1797
    for part in (train.first(count), test):
        assert ((part.labels.bincount(minlength=10) - shares * len(part)).abs() <= 2.01).all()


def test_a_seed_fixes_the_split_and_another_changes_it() -> None:
    first, again, other = split()[0], split()[0], split(seed=1)[0]
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)


def pairs(digits: Digits) -> list[tuple[list[float], int]]:
    return list(zip(digits.images.flatten(1).tolist(), digits.labels.tolist(), strict=True))


def test_images_keep_their_labels() -> None:
    train, test = split()
    assert sorted(pairs(train) + pairs(test)) == sorted(pairs(all_digits()))


@pytest.mark.parametrize("test_size", [-1, 1797])
def test_a_split_that_leaves_nothing_is_refused(test_size: int) -> None:
    with pytest.raises(ValueError, match="cannot be held out"):
        split(test_size=test_size)


def test_more_than_there_are_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="There are 500 digits here"):
        split()[1].first(501)
