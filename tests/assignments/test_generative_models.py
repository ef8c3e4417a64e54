"""Assignment 10: what is ruled out there, and that its draws show every mistake."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course_lib.grading.draw import PUBLIC_SEED, draw
from course_lib.grading.kill_table import judge_source
from course_lib.grading.spec import assignment
from course_lib.grading.specs import _generative_models_samples as samples

SPEC = assignment("10-generative-models")

LIBRARY = {
    "gaussian_kl": "from torch.distributions import Normal, kl_divergence\n\n"
    "def gaussian_kl(mean, log_variance):\n"
    "    return kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1)\n",
    "reparameterize": "import torch.distributions as D\n\n"
    "def reparameterize(mean, log_variance, noise):\n"
    "    return D.AffineTransform(mean, (log_variance / 2).exp())(noise)\n",
    "negative_elbo": "def negative_elbo(x, reconstruction, mean, log_variance, *, sigma=1.0):\n"
    "    variance = torch.full_like(x, sigma**2)\n"
    "    nll = F.gaussian_nll_loss(reconstruction, x, variance, full=True, reduction='none').sum(-1)\n"
    "    return (nll + gaussian_kl(mean, log_variance)).mean()\n",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_an_answer_that_lets_the_library_do_the_exercise_earns_nothing(name: str) -> None:
    result = judge_source(SPEC, draw(SPEC, SPEC.exercise(name), seed=PUBLIC_SEED), LIBRARY[name])
    assert result.earned == 0
    assert all(line.finding and "does the exercise's work" in line.finding.message for line in result.lines)


@pytest.mark.parametrize("setting", [(2, 3), (3, 2)])
def test_the_probabilities_that_draws_are_judged_by_sum_to_one_and_cover_every_row(setting: tuple[int, int]) -> None:
    length, levels = setting
    (probe,) = samples._drawn(setting)(np.random.default_rng(0))
    rows, due = samples._due(probe)
    assert len(rows) == levels**length == len(torch.unique(rows, dim=0))
    assert float(due.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("setting", [(2, 3), (3, 2)])
def test_a_case_in_which_every_mistake_shows_is_found_within_few_tries(setting: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    shown = sum(samples._shows_in_the_draws(samples._probe(rng, *setting)) for _ in range(100))
    assert shown >= 5
