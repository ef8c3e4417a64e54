"""Generative models, one family after the other, each as small as it can be.

Read it from top to bottom: an autoencoder, the variational autoencoder (VAE) that differs from it by three ideas, an
autoregressive model of discretised values, the losses of a generative adversarial network (GAN). All chance comes in
as noise or as a generator.

Sources:
    Hinton and Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", 2006 (autoencoder).
    Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, sections 2.3, 2.4 and appendix B.
    Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", 2015, sections 3 and 4.
    Goodfellow et al., "Generative Adversarial Nets", 2014, section 3.

Chapter: 10-generative-models.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers from each size to the next, with a SiLU between two of them.

    Args:
        sizes: two or more widths, (in_features, ..., out_features).

    Returns:
        The network, (..., in_features) -> (..., out_features).

    Chapter: 10-generative-models.
    """
    layers: list[nn.Module] = []
    for in_features, out_features in pairwise(sizes):
        layers += [nn.Linear(in_features, out_features), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    """Compress to a few numbers and rebuild: x -> z -> x̂.

        z = W₂ silu(W₁ x + b₁) + b₂        x̂ = W₄ silu(W₃ z + b₃) + b₄

    Args:
        in_features: width of the data.
        hidden_size: width between data and latent, on both sides.
        latent_size: width of the latent.

    Attributes:
        encoder1, encoder2, decoder1, decoder2: nn.Linear.

    Source: Hinton and Salakhutdinov 2006.
    Chapter: 10-generative-models.
    """

    def __init__(self, *, in_features: int, hidden_size: int, latent_size: int) -> None:
        super().__init__()
        self.encoder1 = nn.Linear(in_features, hidden_size)
        self.encoder2 = nn.Linear(hidden_size, latent_size)
        self.decoder1 = nn.Linear(latent_size, hidden_size)
        self.decoder2 = nn.Linear(hidden_size, in_features)

    def encode(self, x: Tensor) -> Tensor:
        """(..., in_features) -> the latent, (..., latent_size)."""
        return self.encoder2(F.silu(self.encoder1(x)))

    def decode(self, z: Tensor) -> Tensor:
        """The latent, (..., latent_size) -> (..., in_features)."""
        return self.decoder2(F.silu(self.decoder1(z)))

    def forward(self, x: Tensor) -> Tensor:
        """The data rebuilt, (..., in_features)."""
        return self.decode(self.encode(x))


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback–Leibler divergence of independent Gaussians from the unit Gaussian, summed over the last axis.

        KL(N(μ, σ²) ‖ N(0, 1)) = ½ Σ_i (μ_i² + σ_i² - 1 - ln σ_i²)

    Args:
        mean: μ, (..., latent_size).
        log_variance: ln σ², (..., latent_size).

    Returns:
        The divergence in nats, (...).

    Source: Kingma and Welling 2014, appendix B.
    Chapter: 10-generative-models.
    """
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=-1)


def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """A draw from N(μ, σ²) as a function of its parameters: z = μ + σ ε.

    Args:
        mean: μ, (..., latent_size).
        log_variance: ln σ², (..., latent_size).
        noise: ε, drawn from the unit Gaussian, of the same shape.

    Returns:
        z, of the same shape; gradients flow to mean and log_variance.

    Source: Kingma and Welling 2014, section 2.4.
    Chapter: 10-generative-models.
    """
    return mean + (0.5 * log_variance).exp() * noise


def negative_elbo(
    x: Tensor, reconstruction: Tensor, mean: Tensor, log_variance: Tensor, *, sigma: float = 1.0
) -> Tensor:
    """The negative evidence lower bound, an upper bound of -ln p(x), averaged over the batch.

        -ELBO = Σ_j [ (x_j - x̂_j)² / (2 σ²) + ½ ln(2π σ²) ]  +  KL(N(μ, e^log_variance) ‖ N(0, 1))

    The first term is -ln p(x | z) for a decoder that says N(x̂, σ²); it is summed over the data's features.

    Args:
        x: the data, (batch, in_features).
        reconstruction: x̂, of the same shape, decoded from one draw of z for each x.
        mean, log_variance: of q(z | x), (batch, latent_size) each.
        sigma: standard deviation of the decoder's Gaussian, in the unit of the data.

    Returns:
        Nats for each x, 0-dimensional.

    Source: Kingma and Welling 2014, equation 10.
    Chapter: 10-generative-models.
    """
    squares = (x - reconstruction) ** 2 / (2 * sigma**2)
    distortion = (squares + 0.5 * math.log(2 * math.pi * sigma**2)).sum(dim=-1)  # (batch,)
    return (distortion + gaussian_kl(mean, log_variance)).mean()


class VAE(nn.Module):
    """A variational autoencoder: the encoder gives a Gaussian for each x, the decoder rebuilds from a draw of it.

    Args:
        in_features: width of the data.
        hidden_size: width between data and latent, on both sides.
        latent_size: width of the latent.
        sigma: standard deviation of the decoder's Gaussian.

    Attributes:
        encoder1, encoder2, decoder1, decoder2: nn.Linear; encoder2 gives first the mean, then the log-variance.

    Source: Kingma and Welling 2014.
    Chapter: 10-generative-models.
    """

    def __init__(self, *, in_features: int, hidden_size: int, latent_size: int, sigma: float = 1.0) -> None:
        super().__init__()
        self.sigma = sigma
        self.encoder1 = nn.Linear(in_features, hidden_size)
        self.encoder2 = nn.Linear(hidden_size, 2 * latent_size)
        self.decoder1 = nn.Linear(latent_size, hidden_size)
        self.decoder2 = nn.Linear(hidden_size, in_features)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., in_features) -> mean and log-variance of q(z | x), (..., latent_size) each."""
        mean, log_variance = self.encoder2(F.silu(self.encoder1(x))).chunk(2, dim=-1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """The latent, (..., latent_size) -> the mean of p(x | z), (..., in_features)."""
        return self.decoder2(F.silu(self.decoder1(z)))

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw, decode.

        Args:
            x: (batch, in_features).
            noise: drawn from the unit Gaussian, (batch, latent_size).

        Returns:
            Reconstruction (batch, in_features), mean and log-variance (batch, latent_size).
        """
        mean, log_variance = self.encode(x)
        return self.decode(reparameterize(mean, log_variance, noise)), mean, log_variance

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """The negative ELBO of a batch with these draws, 0-dimensional; arguments as for `forward`."""
        return negative_elbo(x, *self(x, noise), sigma=self.sigma)

    def sample(self, noise: Tensor) -> Tensor:
        """New data: what the decoder says of latents from the unit Gaussian.

        Args:
            noise: (count, latent_size).

        Returns:
            The means of p(x | z), (count, in_features); a draw from the model adds sigma times noise to them.
        """
        return self.decode(noise)


def to_levels(x: Tensor, *, low: float, high: float, levels: int) -> Tensor:
    """Cut the range from low to high into equal bins, and say in which bin each number lies.

    Args:
        x: any shape; numbers outside the range count to the first or last bin.
        low, high: the range.
        levels: number of bins.

    Returns:
        Integers from 0 to levels - 1, of the same shape.

    Chapter: 10-generative-models.
    """
    return ((x - low) / (high - low) * levels).floor().clamp(0, levels - 1).long()


def from_levels(ids: Tensor, *, low: float, high: float, levels: int, generator: torch.Generator) -> Tensor:
    """A number for each bin, drawn evenly from it: what `to_levels` cut, up to the width of a bin.

    Args:
        ids: integers from 0 to levels - 1, any shape.
        low, high, levels: as for `to_levels`.
        generator: the source of chance.

    Returns:
        Numbers of the same shape.

    Chapter: 10-generative-models.
    """
    return low + (ids + torch.rand(ids.shape, generator=generator)) * (high - low) / levels


class MaskedLinear(nn.Linear):
    """A linear layer whose forbidden weights are held at 0.

    Args:
        mask: True where an output may see an input, (out_features, in_features).

    Source: Germain et al. 2015, equation 7.
    Chapter: 10-generative-models.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return F.linear(input, self.weight * self.mask, self.bias)


class AutoregressiveModel(nn.Module):
    """Logits of each value of a row, from the values before it; all of a row in one pass.

        p(x) = p(x_1) p(x_2 | x_1) … p(x_length | x_1 … x_{length - 1})

    Each hidden unit has a degree: the number of values, from the first on, that it may see. Masks in the layers hold it
    to that, as a causal mask does for attention.

    Args:
        length: values in a row.
        levels: different values, 0 .. levels - 1.
        hidden_size: units in each of the two hidden layers.

    Source: Germain et al. 2015, sections 3 and 4.
    Chapter: 10-generative-models.
    """

    def __init__(self, *, length: int, levels: int, hidden_size: int) -> None:
        super().__init__()
        self.length, self.levels = length, levels
        # each value has `levels` inputs and `levels` outputs; `place` says of each whose it is
        place = torch.arange(length).repeat_interleave(levels)
        degree = torch.arange(hidden_size) * length // hidden_size  # 0 .. length - 1
        self.layers = nn.Sequential(
            MaskedLinear(place < degree[:, None]),  # sees the first `degree` values
            nn.SiLU(),
            MaskedLinear(degree <= degree[:, None]),
            nn.SiLU(),
            MaskedLinear(degree <= place[:, None]),  # sees the `place` values before
        )

    def forward(self, ids: Tensor) -> Tensor:
        """The logits of every value of every row.

        Args:
            ids: integers from 0 to levels - 1, (batch, length).

        Returns:
            (batch, length, levels); those at place t depend on the values before t only, and not on t itself.
        """
        known = F.one_hot(ids, self.levels).flatten(1)  # (batch, length * levels)
        logits = self.layers(known.to(next(self.parameters()).dtype))
        return logits.unflatten(-1, (self.length, self.levels))

    def loss(self, ids: Tensor) -> Tensor:
        """-ln p of a row, averaged over the batch, in nats.

        Args:
            ids: integers from 0 to levels - 1, (batch, length).

        Returns:
            0-dimensional.
        """
        return self.length * F.cross_entropy(self(ids).flatten(0, 1), ids.flatten())


def autoregressive_sample(
    model: Callable[[Tensor], Tensor], *, count: int, length: int, generator: torch.Generator
) -> Tensor:
    """Draw rows value by value, each from the model's distribution given the values drawn before it.

    Args:
        model: ids (count, length) -> logits (count, length, levels); those at place t depend on the values before t
            only, so what stands at t and behind does not matter yet.
        count: number of rows.
        length: values in a row.
        generator: the source of chance.

    Returns:
        Integers, (count, length).

    Source: Germain et al. 2015, section 4.
    Chapter: 10-generative-models.
    """
    ids = torch.zeros(count, length, dtype=torch.long)
    for place in range(length):
        probabilities = model(ids)[:, place].softmax(dim=-1)  # (count, levels)
        ids[:, place] = torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)
    return ids


def gan_losses(real_logits: Tensor, fake_logits: Tensor, *, saturating: bool = False) -> tuple[Tensor, Tensor]:
    """The two losses of a generative adversarial network, from what the discriminator says of both kinds of data.

        D = sigmoid(logit), the probability that a point is real
        discriminator: -mean ln D(real) - mean ln(1 - D(fake))
        generator:     -mean ln D(fake)           (non-saturating)
                        mean ln(1 - D(fake))      (saturating)

    Args:
        real_logits: the discriminator's logits of real data, any shape.
        fake_logits: of generated data, any shape.
        saturating: take the generator's second loss, whose gradient vanishes where the discriminator is sure.

    Returns:
        The discriminator's loss and the generator's, 0-dimensional; each is to be made small by its own network.

    Source: Goodfellow et al. 2014, equation 1 and section 3.
    Chapter: 10-generative-models.
    """
    on_real = F.softplus(-real_logits).mean()  # softplus(-a) = -ln sigmoid(a)
    on_fake = F.softplus(fake_logits).mean()
    generator = -on_fake if saturating else F.softplus(-fake_logits).mean()
    return on_real + on_fake, generator
