"""Autoencoder, VAE, autoregressive model and GAN losses against closed forms, torch.distributions and exact sums."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence

from course_lib.models.generative import (
    VAE,
    Autoencoder,
    AutoregressiveModel,
    MaskedLinear,
    autoregressive_sample,
    from_levels,
    gan_losses,
    gaussian_kl,
    mlp,
    negative_elbo,
    reparameterize,
    to_levels,
)
from course_lib.page import generator

SEEDS = st.integers(0, 1000)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


# The KL divergence and the draw


@given(seed=SEEDS, latent_size=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_kl_equals_that_of_torch_distributions(seed: int, latent_size: int) -> None:
    mean, log_variance = random(3, 2, latent_size, seed=seed), 2 * random(3, 2, latent_size, seed=seed + 1)
    posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    unit = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), kl_divergence(posterior, unit))


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_kl_is_never_negative_and_is_zero_only_for_the_unit_gaussian(seed: int) -> None:
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    assert (gaussian_kl(zeros, zeros) == 0).all()
    assert (gaussian_kl(random(2, 3, seed=seed), random(2, 3, seed=seed + 1)) > 0).all()


def test_kl_is_the_mean_of_the_log_ratio_over_draws() -> None:
    mean, log_variance = torch.tensor([0.7, -0.2]).double(), torch.tensor([-1.0, 0.5]).double()
    z = reparameterize(mean, log_variance, random(200_000, 2))
    ratio = Normal(mean, (0.5 * log_variance).exp()).log_prob(z).sum(-1) - Normal(0.0, 1.0).log_prob(z).sum(-1)
    standard_error = ratio.std() / math.sqrt(len(ratio))
    assert standard_error < 0.005
    assert abs(ratio.mean() - gaussian_kl(mean, log_variance)) < 4 * standard_error


def test_draws_have_the_mean_and_the_variance_that_were_asked_for() -> None:
    mean, log_variance = torch.tensor([3.0, -1.0]).double(), torch.tensor([1.2, -2.0]).double()
    z = reparameterize(mean, log_variance, random(100_000, 2))
    variance = log_variance.exp()
    assert ((z.mean(0) - mean).abs() < 4 * (variance / 100_000).sqrt()).all()
    assert ((z.var(0) / variance - 1).abs() < 4 * math.sqrt(2 / 100_000)).all()


def test_gradients_through_the_draw_are_those_of_the_expectation() -> None:
    # E[z²] = μ² + σ², so the gradients are 2 μ by the mean and σ² by the log-variance
    mean = torch.tensor([0.8, -1.5], dtype=torch.float64, requires_grad=True)
    log_variance = torch.tensor([0.4, -0.6], dtype=torch.float64, requires_grad=True)
    noise = random(100_000, 2)
    noise = torch.cat([noise, -noise])
    noise = noise / noise.std(0, correction=0)  # mean 0 and variance 1 to the last digit: no Monte Carlo error left
    (reparameterize(mean, log_variance, noise) ** 2).mean(0).sum().backward()
    torch.testing.assert_close(mean.grad, 2 * mean.detach())
    torch.testing.assert_close(log_variance.grad, log_variance.detach().exp())


# The bound


@given(seed=SEEDS, sigma=st.floats(0.1, 3))
@settings(max_examples=30, deadline=None)
def test_negative_elbo_is_the_gaussians_log_density_and_the_kl(seed: int, sigma: float) -> None:
    x, reconstruction, mean, log_variance = (random(5, size, seed=seed + i) for i, size in enumerate((4, 4, 2, 2)))
    log_density = Normal(reconstruction, sigma).log_prob(x).sum(-1)
    posterior, unit = Normal(mean, (0.5 * log_variance).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean))
    wanted = (kl_divergence(posterior, unit).sum(-1) - log_density).mean()
    torch.testing.assert_close(negative_elbo(x, reconstruction, mean, log_variance, sigma=sigma), wanted)


@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.0), (0.4, 1.0), (0.0, 1.7), (-0.8, 0.5)])
def test_the_bound_is_tight_at_the_exact_posterior_and_exceeds_by_the_kl_to_it(shift: float, stretch: float) -> None:
    # x = z w + b + σ ε with one latent: p(x) and p(z | x) are Gaussians in closed form
    w, b, sigma, x = random(4, seed=1), random(4, seed=2), 0.6, random(4, seed=3)
    marginal = MultivariateNormal(b, torch.outer(w, w) + sigma**2 * torch.eye(4, dtype=torch.float64))
    precision = 1 + (w @ w) / sigma**2
    exact = Normal((x - b) @ w / sigma**2 / precision, precision**-0.5)
    chosen = Normal(exact.mean + shift, exact.stddev * stretch)
    mean, log_variance = chosen.mean[None], chosen.variance.log()[None]
    # the term in the data is quadratic in ε, so the two draws ±1 give its expectation exactly
    bounds = [
        negative_elbo(
            x[None],
            reparameterize(mean, log_variance, torch.full((1,), e, dtype=torch.float64))[:, None] * w + b,
            mean[:, None],
            log_variance[:, None],
            sigma=sigma,
        )
        for e in (-1.0, 1.0)
    ]
    gap = sum(bounds) / 2 + marginal.log_prob(x)
    torch.testing.assert_close(gap, kl_divergence(chosen, exact))


# The networks


def test_an_autoencoder_is_two_networks_of_two_layers() -> None:
    model = Autoencoder(in_features=7, hidden_size=5, latent_size=2)
    x = torch.randn(4, 3, 7, generator=generator(0))
    encoder = nn.Sequential(model.encoder1, nn.SiLU(), model.encoder2)
    decoder = nn.Sequential(model.decoder1, nn.SiLU(), model.decoder2)
    assert model.encode(x).shape == (4, 3, 2)
    torch.testing.assert_close(model(x), decoder(encoder(x)))


def test_a_vae_whose_posterior_has_no_spread_is_an_autoencoder() -> None:
    vae = VAE(in_features=6, hidden_size=5, latent_size=2)
    plain = Autoencoder(in_features=6, hidden_size=5, latent_size=2)
    with torch.no_grad():
        vae.encoder2.weight[2:] = 0
        vae.encoder2.bias[2:] = -200
        state = vae.state_dict()
        plain.load_state_dict(
            state | {f"encoder2.{name}": state[f"encoder2.{name}"][:2] for name in ("weight", "bias")}
        )
    x, noise = torch.randn(9, 6, generator=generator(0)), torch.randn(9, 2, generator=generator(1))
    torch.testing.assert_close(vae(x, noise)[0], plain(x))


def test_a_vaes_loss_reaches_all_its_weights_and_uses_its_own_sigma() -> None:
    model = VAE(in_features=6, hidden_size=5, latent_size=2, sigma=0.3)
    x, noise = torch.randn(9, 6, generator=generator(0)), torch.randn(9, 2, generator=generator(1))
    loss = model.loss(x, noise)
    torch.testing.assert_close(loss, negative_elbo(x, *model(x, noise), sigma=0.3))
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_mlp_has_no_activation_behind_its_last_layer() -> None:
    network = mlp(3, 8, 8, 2)
    assert [type(layer) for layer in network] == [nn.Linear, nn.SiLU] * 2 + [nn.Linear]
    assert [layer.out_features for layer in network[::2]] == [8, 8, 2]


# Levels


@given(seed=SEEDS, levels=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_a_level_and_back_moves_a_number_by_less_than_a_bin(seed: int, levels: int) -> None:
    x = 3 * torch.rand(60, generator=generator(seed)).double() - 1
    ids = to_levels(x, low=-1, high=2, levels=levels)
    back = from_levels(ids, low=-1, high=2, levels=levels, generator=generator(seed))
    assert ids.min() >= 0 and ids.max() < levels
    assert (back - x).abs().max() <= 3 / levels + 1e-6
    assert torch.equal(to_levels(back, low=-1, high=2, levels=levels), ids)


def test_numbers_outside_the_range_count_to_the_first_and_last_level() -> None:
    assert to_levels(torch.tensor([-9.0, 9.0]), low=-1, high=1, levels=4).tolist() == [0, 3]


# The autoregressive model


@given(seed=SEEDS, length=st.integers(1, 4), levels=st.integers(2, 4), hidden_size=st.integers(4, 12))
@settings(max_examples=20, deadline=None)
def test_the_probabilities_of_all_rows_sum_to_one(seed: int, length: int, levels: int, hidden_size: int) -> None:
    torch.manual_seed(seed)
    model = AutoregressiveModel(length=length, levels=levels, hidden_size=hidden_size).double()
    rows = torch.tensor(list(product(range(levels), repeat=length)))
    log_probability = torch.stack([-model.loss(row[None]) for row in rows])
    assert float(log_probability.detach().exp().sum()) == pytest.approx(1.0)
    torch.testing.assert_close(model.loss(rows), -log_probability.mean())


@given(seed=SEEDS, place=st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_no_logit_depends_on_its_own_value_or_a_later_one_and_all_later_ones_on_an_earlier(
    seed: int, place: int
) -> None:
    torch.manual_seed(seed)
    model = AutoregressiveModel(length=5, levels=3, hidden_size=40)
    ids = torch.randint(3, (4, 5))
    changed = ids.clone()
    changed[:, place] = (ids[:, place] + 1) % 3
    moved = (model(ids) != model(changed)).any(-1)  # (batch, length)
    assert not moved[:, : place + 1].any()
    assert moved[:, place + 1 :].all()


def test_a_masked_layer_is_linear_with_its_forbidden_weights_at_zero() -> None:
    mask = torch.tensor([[True, False, True], [False, True, False]])
    layer = MaskedLinear(mask)
    x = torch.randn(4, 3, generator=generator(0))
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight.where(mask, 0.0), layer.bias))


def test_rows_are_drawn_as_often_as_the_model_says() -> None:
    torch.manual_seed(1)
    model = AutoregressiveModel(length=3, levels=2, hidden_size=12)
    with torch.no_grad():
        for layer in model.layers[::2]:
            layer.weight *= 4
        rows = torch.tensor(list(product(range(2), repeat=3)))
        probability = torch.stack([(-model.loss(row[None])).exp() for row in rows])
        drawn = autoregressive_sample(model, count=20_000, length=3, generator=generator(0))
    share = (drawn[:, None] == rows).all(-1).double().mean(0)
    assert ((share - probability).abs() < 4.5 * (probability * (1 - probability) / 20_000).sqrt()).all()
    assert probability.max() > 2 * probability.min()


def test_the_same_generator_draws_the_same_rows_and_global_chance_stays() -> None:
    def model(ids: Tensor) -> Tensor:
        return torch.zeros(*ids.shape, 4)

    before = torch.random.get_rng_state()
    first, second = (autoregressive_sample(model, count=9, length=5, generator=generator(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())


# The losses of a GAN


@given(seed=SEEDS, real=st.integers(1, 9), fake=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_gan_losses_are_binary_cross_entropies(seed: int, real: int, fake: int) -> None:
    real_logits, fake_logits = 3 * random(real, 1, seed=seed), 3 * random(fake, 1, seed=seed + 1)
    discriminator, generator_loss = gan_losses(real_logits, fake_logits)
    says = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like, torch.zeros_like
    wanted = says(real_logits, ones(real_logits)) + says(fake_logits, zeros(fake_logits))
    torch.testing.assert_close(discriminator, wanted)
    torch.testing.assert_close(generator_loss, says(fake_logits, ones(fake_logits)))
    saturating = gan_losses(real_logits, fake_logits, saturating=True)
    torch.testing.assert_close(saturating[0], wanted)
    torch.testing.assert_close(saturating[1], -says(fake_logits, zeros(fake_logits)))


def test_the_best_discriminator_of_equal_distributions_loses_two_logarithms_of_two() -> None:
    discriminator, generator_loss = gan_losses(torch.zeros(5), torch.zeros(3))
    assert float(discriminator) == pytest.approx(2 * math.log(2))
    assert float(generator_loss) == pytest.approx(math.log(2))


def test_the_discriminators_loss_at_its_optimum_measures_the_divergence_of_jensen_and_shannon() -> None:
    # two coins: the optimal logit is ln p(x) - ln q(x), and the loss is 2 ln 2 - 2 JS(p, q)
    p, q = torch.tensor([0.5, 0.5]).double(), torch.tensor([0.9, 0.1]).double()
    logits = (p / q).log()
    real, fake = (torch.repeat_interleave(logits, (10 * shares).round().long()) for shares in (p, q))
    discriminator, _ = gan_losses(real, fake)
    middle = Bernoulli(probs=(p[1] + q[1]) / 2)
    js = sum(kl_divergence(Bernoulli(probs=c[1]), middle) for c in (p, q)) / 2
    torch.testing.assert_close(discriminator, 2 * math.log(2) - 2 * js)


@pytest.mark.parametrize("logit", [-40.0, -8.0, 0.0, 3.0])
def test_the_saturating_loss_has_the_gradient_that_vanishes_where_the_discriminator_is_sure(logit: float) -> None:
    slopes = []
    for saturating in (False, True):
        fake = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
        gan_losses(torch.zeros(1), fake, saturating=saturating)[1].backward()
        slopes.append(float(fake.grad))
    share = 1 / (1 + math.exp(-logit))
    assert slopes[0] == pytest.approx(share - 1)
    assert slopes[1] == pytest.approx(-share)


def test_losses_stay_finite_where_the_discriminator_is_certain_and_wrong() -> None:
    losses = gan_losses(torch.tensor([-500.0]), torch.tensor([500.0]))
    assert float(losses[0]) == pytest.approx(1000.0)
    assert all(math.isfinite(v) for v in gan_losses(torch.tensor([-500.0]), torch.tensor([-500.0])))
