"""What judges generated digits, against what is known: real digits, copies, and images that are all the same."""

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from course_lib.data.digits import split_digits
from course_lib.quality import diversity, nearest_distances, share_recognised, train_judge


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_judge_names_digits_that_it_has_not_seen_and_its_chance_is_the_generator_s() -> None:
    digits, held_out = split_digits(test_size=597, generator=generator(), low=-1.0)
    judge = train_judge(digits, generator=generator(1), steps=120)
    assert share_recognised(judge, held_out.images, held_out.labels) > 0.93
    assert share_recognised(judge, held_out.images, (held_out.labels + 1) % 10) < 0.05
    again = train_judge(digits, generator=generator(1), steps=120)
    for name, weight in judge.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight)


def test_diversity_is_the_standard_deviation_within_classes_and_not_between_them() -> None:
    labels = torch.arange(4000) % 4
    images = 10.0 * labels[:, None, None, None] + 0.5 * torch.randn(4000, 1, 3, 2, generator=generator())
    assert diversity(images, labels) == pytest.approx(0.5, rel=0.02)
    same = labels[:, None, None, None].float().expand(4000, 1, 3, 2)
    assert diversity(same, labels) == 0


def test_the_nearest_distance_is_that_of_a_search_tree_and_zero_for_a_copy() -> None:
    samples, others = torch.randn(30, 1, 2, 3, generator=generator()), torch.randn(50, 1, 2, 3, generator=generator(1))
    expected, _ = KDTree(others.flatten(1).numpy()).query(samples.flatten(1).numpy())
    np.testing.assert_allclose(nearest_distances(samples, others), expected, atol=1e-5)
    assert float(nearest_distances(others[:5], others).max()) < 1e-3
