"""Assignment 10, autoencoder and variational autoencoder: exercises 1 to 4 and the larger piece."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from course_lib.check.probe import Probe
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.models import generative as reference

Cases = Callable[[np.random.Generator], list[Probe]]
LIBRARY_KL = ("kl_divergence", "kl_div", "torch.distributions")

SIZES = {"in_features": 7, "hidden_size": 5, "latent_size": 3}


def _network(
    target: str, method: str, *shapes: tuple[int, ...], gradients: tuple[str, ...] = (), **init: float
) -> Cases:
    """Cases for one argument of each shape; of a model with these further settings."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        model = getattr(reference, target)(**SIZES)
        return [
            Probe(
                target=target,
                init={**SIZES, **init},
                state=random_state(model, rng, scale=0.8),
                method=method,
                args=(random_tensor(rng, *shape),),
                gradients=gradients,
            )
            for shape in shapes
        ]

    return cases


ENCODE = "return self.encoder2(F.silu(self.encoder1(x)))"
DECODE = "return self.decoder2(F.silu(self.decoder1(z)))"
REBUILD = "return self.decode(self.encode(x))"

autoencoder = Exercise(
    name="Autoencoder",
    reference=reference.Autoencoder,
    lines=[
        Line(
            name="encode",
            text="the latent of each row",
            points=0.5,
            cases=_network("Autoencoder", "encode", (2, 7), (4, 2, 7)),
        ),
        Line(
            name="decode",
            text="the row of each latent",
            points=0.5,
            cases=_network("Autoencoder", "decode", (2, 3), (4, 2, 3)),
        ),
        Line(
            name="forward",
            text="compressed and rebuilt",
            points=1,
            cases=_network("Autoencoder", "__call__", (2, 7), (4, 2, 7)),
        ),
        Line(
            name="gradients",
            text="the gradients by all weights",
            points=1,
            cases=_network("Autoencoder", "__call__", (4, 7), gradients=("state",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="activation_on_the_latent",
            says="Your latent goes through an activation, so it cannot take every value; leave it as it is.",
            line="encode",
            edits=[(ENCODE, "return F.silu(self.encoder2(F.silu(self.encoder1(x))))")],
        ),
        Misconception(
            name="relu_on_the_latent",
            says="Your latent goes through a ReLU, so it is never negative; leave it as it is.",
            line="encode",
            edits=[(ENCODE, "return F.relu(self.encoder2(F.silu(self.encoder1(x))))")],
        ),
        Misconception(
            name="encoder_without_activation",
            says="Your encoder has no activation between its layers, so both together are one linear layer.",
            line="encode",
            edits=[(ENCODE, "return self.encoder2(self.encoder1(x))")],
        ),
        Misconception(
            name="decoder_without_activation",
            says="Your decoder has no activation between its layers, so both together are one linear layer.",
            line="decode",
            edits=[(DECODE, "return self.decoder2(self.decoder1(z))")],
        ),
        Misconception(
            name="relu_for_silu",
            says="You use ReLU; SiLU is asked for.",
            line="encode",
            edits=[
                (ENCODE, "return self.encoder2(F.relu(self.encoder1(x)))"),
                (DECODE, "return self.decoder2(F.relu(self.decoder1(z)))"),
            ],
        ),
        Misconception(
            name="activation_on_the_result",
            says="Your result goes through an activation; data may be any number.",
            line="decode",
            edits=[(DECODE, "return F.silu(self.decoder2(F.silu(self.decoder1(z))))")],
        ),
        Misconception(
            name="sigmoid_on_the_result",
            says="Your result goes through a sigmoid and lies between 0 and 1; data may be any number.",
            line="decode",
            edits=[(DECODE, "return self.decoder2(F.silu(self.decoder1(z))).sigmoid()")],
        ),
        Misconception(
            name="tied_weights",
            says="Your decoder uses the encoder's matrices turned round; it has weights of its own.",
            line="decode",
            edits=[
                (
                    DECODE,
                    "hidden = F.silu(F.linear(z, self.encoder2.weight.T, self.decoder1.bias))\n"
                    "        return F.linear(hidden, self.encoder1.weight.T, self.decoder2.bias)",
                )
            ],
        ),
        Misconception(
            name="latent_returned",
            says="Your forward returns the latent; decode it.",
            line="forward",
            edits=[(REBUILD, "return self.encode(x)")],
        ),
        Misconception(
            name="both_returned",
            says="Your forward returns the latent as well; only what was rebuilt is asked for.",
            line="forward",
            edits=[(REBUILD, "z = self.encode(x)\n        return self.decode(z), z")],
        ),
        Misconception(
            name="input_added",
            says="You add the input to the result, so nothing has to pass the latent.",
            line="forward",
            edits=[(REBUILD, "return x + self.decode(self.encode(x))")],
        ),
        Misconception(
            name="latent_detached",
            says="Your latent is detached, so the encoder learns nothing.",
            line="gradients",
            edits=[(REBUILD, "return self.decode(self.encode(x).detach())")],
        ),
    ],
)


def _gaussians(*shapes: tuple[int, ...], gradients: tuple[str, ...] = ()) -> Cases:
    return lambda rng: [
        Probe(
            target="gaussian_kl",
            args=(random_tensor(rng, *shape), random_tensor(rng, *shape)),
            gradients=gradients,
        )
        for shape in shapes
    ]


def _nearly_certain(rng: np.random.Generator) -> list[Probe]:
    """Log-variances whose variance is 0 as a number, and one that is large."""
    mean, log_variance = random_tensor(rng, 3, 4), random_tensor(rng, 3, 4)
    log_variance[0] -= 800
    log_variance[1, 2] += 5
    return [Probe(target="gaussian_kl", args=(mean, log_variance))]


VARIANCE = "variance = log_variance.exp()"
TERMS = "terms = mean**2 + variance - 1 - log_variance"
HALF = "return 0.5 * terms.sum(dim=-1)"

gaussian_kl = Exercise(
    name="gaussian_kl",
    reference=reference.gaussian_kl,
    returns=("the divergence",),
    banned=LIBRARY_KL,
    lines=[
        Line(
            name="output",
            text="one divergence for each Gaussian, with any number of leading axes",
            points=2.5,
            cases=_gaussians((3, 4), (2, 3, 5), (6,)),
        ),
        Line(
            name="small",
            text="variances that are nearly 0",
            points=0.5,
            cases=_nearly_certain,
        ),
        Line(
            name="gradients",
            text="the gradients by mean and log-variance",
            points=1,
            cases=_gaussians((3, 4), gradients=("0", "1")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="sign_of_the_kl",
            says="Your divergence has the wrong sign: it is a cost, never below 0.",
            line="output",
            edits=[(HALF, "return -0.5 * terms.sum(dim=-1)")],
        ),
        Misconception(
            name="sign_of_the_logarithm",
            says="You add the log-variance; it is subtracted, so that a narrow Gaussian costs.",
            line="output",
            edits=[(TERMS, "terms = mean**2 + variance - 1 + log_variance")],
        ),
        Misconception(
            name="log_variance_as_variance",
            says="You take the log-variance for the variance; the variance is its exponential.",
            line="output",
            edits=[(VARIANCE, "variance = log_variance")],
        ),
        Misconception(
            name="logarithm_of_the_log_variance",
            says="You take the log-variance for the variance and its logarithm for the log-variance, which does not "
            "exist for negative numbers.",
            line="output",
            edits=[(TERMS, "terms = mean**2 + log_variance - 1 - log_variance.log()")],
        ),
        Misconception(
            name="deviation_for_variance",
            says="You add σ where σ² belongs; the variance is exp of the whole log-variance.",
            line="output",
            edits=[(VARIANCE, "variance = (0.5 * log_variance).exp()")],
        ),
        Misconception(
            name="variance_squared",
            says="You square the variance; the exponential of the log-variance is σ² already.",
            line="output",
            edits=[(VARIANCE, "variance = log_variance.exp() ** 2")],
        ),
        Misconception(
            name="log_variance_as_log_deviation",
            says="You take the log-variance for ln σ, and double it.",
            line="output",
            edits=[
                (VARIANCE, "variance = (2 * log_variance).exp()"),
                (TERMS, "terms = mean**2 + variance - 1 - 2 * log_variance"),
            ],
        ),
        Misconception(
            name="mean_not_squared",
            says="You add the mean; its square is what counts.",
            line="output",
            edits=[(TERMS, "terms = mean + variance - 1 - log_variance")],
        ),
        Misconception(
            name="one_forgotten",
            says="The unit Gaussian itself costs something in your formula; the -1 is missing.",
            line="output",
            edits=[(TERMS, "terms = mean**2 + variance - log_variance")],
        ),
        Misconception(
            name="half_forgotten",
            says="All your values are twice too large; the factor ½ is missing.",
            line="output",
            edits=[(HALF, "return terms.sum(dim=-1)")],
        ),
        Misconception(
            name="mean_over_the_entries",
            says="You average over the latent's entries; independent entries add up.",
            line="output",
            edits=[(HALF, "return 0.5 * terms.mean(dim=-1)")],
        ),
        Misconception(
            name="one_number_for_all",
            says="You add up all Gaussians; sum over the last axis only.",
            line="output",
            edits=[(HALF, "return 0.5 * terms.sum()")],
        ),
        Misconception(
            name="mean_of_all",
            says="You sum over the entries and average over the Gaussians; one number for each of them is asked for.",
            line="output",
            edits=[(HALF, "return 0.5 * terms.sum(dim=-1).mean()")],
        ),
        Misconception(
            name="not_summed",
            says="You return one number for each entry; sum over them.",
            line="output",
            edits=[(HALF, "return 0.5 * terms")],
        ),
        Misconception(
            name="first_axis",
            says="You sum over the first axis; the entries of a latent stand in the last one.",
            line="output",
            edits=[(HALF, "return 0.5 * terms.sum(dim=0)")],
        ),
        Misconception(
            name="other_way_round",
            says="You compute KL(N(0, 1) ‖ N(μ, σ²)); the unit Gaussian is the second one.",
            line="output",
            edits=[(TERMS, "terms = (1 + mean**2) / variance - 1 + log_variance")],
        ),
        Misconception(
            name="logarithm_taken_again",
            says="You take the logarithm of the exponential, which is minus infinity where the variance is 0 as a "
            "number; you have the log-variance already.",
            line="small",
            edits=[(TERMS, "terms = mean**2 + variance - 1 - variance.log()")],
        ),
    ],
)


def _draws(*shapes: tuple[int, ...], gradients: tuple[str, ...] = ()) -> Cases:
    return lambda rng: [
        Probe(
            target="reparameterize",
            args=(random_tensor(rng, *shape), random_tensor(rng, *shape), random_tensor(rng, *shape)),
            gradients=gradients,
        )
        for shape in shapes
    ]


SIGMA = "sigma = (0.5 * log_variance).exp()"
DRAW = "return mean + sigma * noise"

reparameterize = Exercise(
    name="reparameterize",
    reference=reference.reparameterize,
    returns=("the draws",),
    banned=("torch.distributions",),
    lines=[
        Line(
            name="output",
            text="the draws, for any number of leading axes",
            points=2,
            cases=_draws((3, 4), (2, 3, 5), (6,)),
        ),
        Line(
            name="gradients",
            text="the gradients by mean and log-variance",
            points=1,
            cases=_draws((3, 4), gradients=("0", "1")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="log_variance_as_variance",
            says="You take the log-variance for the variance; its root does not exist where it is negative.",
            line="output",
            edits=[(SIGMA, "sigma = log_variance.sqrt()")],
        ),
        Misconception(
            name="scaled_by_the_variance",
            says="You scale the noise by σ²; scale it by σ, which is exp of half the log-variance.",
            line="output",
            edits=[(SIGMA, "sigma = log_variance.exp()")],
        ),
        Misconception(
            name="scaled_by_the_log_variance",
            says="You scale the noise by the log-variance; scale it by σ, which is exp of half the log-variance.",
            line="output",
            edits=[(SIGMA, "sigma = log_variance")],
        ),
        Misconception(
            name="scaled_by_the_log_deviation",
            says="You scale the noise by ln σ; the exponential is missing.",
            line="output",
            edits=[(SIGMA, "sigma = 0.5 * log_variance")],
        ),
        Misconception(
            name="noise_not_scaled",
            says="You add the noise as it is; multiply it by σ.",
            line="output",
            edits=[(DRAW, "return mean + noise")],
        ),
        Misconception(
            name="no_noise",
            says="You return the mean; add σ times the noise.",
            line="output",
            edits=[(DRAW, "return mean")],
        ),
        Misconception(
            name="mean_scaled_too",
            says="You scale the mean as well; only the noise is multiplied by σ.",
            line="output",
            edits=[(DRAW, "return sigma * (mean + noise)")],
        ),
        Misconception(
            name="sign_of_the_exponent",
            says="You scale by 1/σ; the exponent is plus half the log-variance.",
            line="output",
            edits=[(SIGMA, "sigma = (-0.5 * log_variance).exp()")],
        ),
        Misconception(
            name="roles_exchanged",
            says="You scale the mean by the noise; it is σ that the noise multiplies.",
            line="output",
            edits=[(DRAW, "return sigma + mean * noise")],
        ),
        Misconception(
            name="own_noise",
            says="You draw noise of your own; use the noise that is given.",
            line="output",
            edits=[(DRAW, "return mean + sigma * torch.randn_like(mean)")],
        ),
        Misconception(
            name="sigma_detached",
            says="No gradient reaches the log-variance; σ must not be detached.",
            line="gradients",
            edits=[(DRAW, "return mean + sigma.detach() * noise")],
        ),
        Misconception(
            name="draw_detached",
            says="No gradient reaches the mean and the log-variance; the draw must not be detached.",
            line="gradients",
            edits=[(DRAW, "return (mean + sigma * noise).detach()")],
        ),
    ],
)


def _bounds(*sigmas: float | None, gradients: tuple[str, ...] = ()) -> Cases:
    """Cases for values of sigma (None: leave it out)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="negative_elbo",
                args=tuple(random_tensor(rng, 4 + number, width) for width in (7, 7, 3, 3)),
                kwargs={} if sigma is None else {"sigma": sigma},
                gradients=gradients,
            )
            for number, sigma in enumerate(sigmas)
        ]

    return cases


SQUARES = "squares = (x - reconstruction) ** 2 / (2 * sigma**2)"
CONSTANT = "constant = 0.5 * math.log(2 * math.pi * sigma**2)"
DISTORTION = "distortion = (squares + constant).sum(dim=-1)"
KL = "kl = gaussian_kl(mean, log_variance)"
BOUND = "return (distortion + kl).mean()"

negative_elbo = Exercise(
    name="negative_elbo",
    reference=reference.negative_elbo,
    returns=("the negative ELBO",),
    uses=("gaussian_kl",),
    banned=(*LIBRARY_KL, "gaussian_nll_loss", "GaussianNLLLoss"),
    lines=[
        Line(name="output", text="the bound with sigma left out", points=2, cases=_bounds(None, None)),
        Line(name="sigma", text="other values of sigma", points=1, cases=_bounds(0.5, 1.7)),
        Line(
            name="gradients",
            text="the gradients by reconstruction, mean and log-variance",
            points=1,
            cases=_bounds(0.8, gradients=("1", "2", "3")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="sign_of_the_kl",
            says="You subtract the KL, so training would drive it up; both terms are costs.",
            line="output",
            edits=[(BOUND, "return (distortion - kl).mean()")],
        ),
        Misconception(
            name="not_negated",
            says="You return the ELBO itself; the negative one is made small.",
            line="output",
            edits=[(BOUND, "return -(distortion + kl).mean()")],
        ),
        Misconception(
            name="mean_over_features",
            says="You average over the features; sum over them, or the KL weighs too much.",
            line="output",
            edits=[(DISTORTION, "distortion = (squares + constant).mean(dim=-1)")],
        ),
        Misconception(
            name="mean_over_latent_entries",
            says="Your KL is a mean over the latent's entries; sum over them.",
            line="output",
            edits=[(KL, "kl = gaussian_kl(mean, log_variance) / mean.shape[-1]")],
        ),
        Misconception(
            name="sum_over_the_batch",
            says="You add up the batch; take its mean.",
            line="output",
            edits=[(BOUND, "return (distortion + kl).sum()")],
        ),
        Misconception(
            name="kl_summed_over_the_batch",
            says="Your KL is summed over the batch while the first term is averaged; average both.",
            line="output",
            edits=[(BOUND, "return distortion.mean() + kl.sum()")],
        ),
        Misconception(
            name="one_bound_for_each_row",
            says="You return one number for each row; take the mean over the batch.",
            line="output",
            edits=[(BOUND, "return distortion + kl")],
        ),
        Misconception(
            name="kl_forgotten",
            says="Your bound has no KL term, so you train an autoencoder.",
            line="output",
            edits=[(BOUND, "return distortion.mean()")],
        ),
        Misconception(
            name="reconstruction_forgotten",
            says="Your bound is the KL alone; the reconstruction counts as well.",
            line="output",
            edits=[(BOUND, "return kl.mean()")],
        ),
        Misconception(
            name="constant_forgotten",
            says="Your bound lacks ½ ln(2π σ²) for each feature; without it no two values of σ can be compared.",
            line="output",
            edits=[(DISTORTION, "distortion = squares.sum(dim=-1)")],
        ),
        Misconception(
            name="constant_added_once",
            says="You add ½ ln(2π σ²) once for each row; it belongs to each feature.",
            line="output",
            edits=[(DISTORTION, "distortion = squares.sum(dim=-1) + constant")],
        ),
        Misconception(
            name="two_forgotten",
            says="Your squares are divided by σ²; a Gaussian's exponent has 2σ² below.",
            line="output",
            edits=[(SQUARES, "squares = (x - reconstruction) ** 2 / sigma**2")],
        ),
        Misconception(
            name="mean_squared_error",
            says="Your first term is a mean squared error; it is a sum over features, divided by 2σ², with ½ ln(2π σ²) "
            "for each feature.",
            line="output",
            edits=[(BOUND, "return F.mse_loss(reconstruction, x) + kl.mean()")],
        ),
        Misconception(
            name="not_squared",
            says="You take the absolute difference; a Gaussian's exponent has its square.",
            line="output",
            edits=[(SQUARES, "squares = (x - reconstruction).abs() / (2 * sigma**2)")],
        ),
        Misconception(
            name="sigma_not_squared",
            says="You divide the squares by 2σ; by 2σ² is right.",
            line="sigma",
            edits=[(SQUARES, "squares = (x - reconstruction) ** 2 / (2 * sigma)")],
        ),
        Misconception(
            name="sigma_as_variance",
            says="You take sigma for the variance; it is the standard deviation, so σ² stands in both places.",
            line="sigma",
            edits=[
                (SQUARES, "squares = (x - reconstruction) ** 2 / (2 * sigma)"),
                (CONSTANT, "constant = 0.5 * math.log(2 * math.pi * sigma)"),
            ],
        ),
        Misconception(
            name="sigma_ignored",
            says="Your bound does not depend on sigma.",
            line="sigma",
            edits=[
                (SQUARES, "squares = (x - reconstruction) ** 2 / 2"),
                (CONSTANT, "constant = 0.5 * math.log(2 * math.pi)"),
            ],
        ),
        Misconception(
            name="sigma_missing_in_the_constant",
            says="Your ½ ln(2π σ²) lacks the σ²; without it a large σ costs nothing.",
            line="sigma",
            edits=[(CONSTANT, "constant = 0.5 * math.log(2 * math.pi)")],
        ),
        Misconception(
            name="reconstruction_detached",
            says="No gradient reaches the reconstruction, so the decoder learns nothing.",
            line="gradients",
            edits=[("(x - reconstruction)", "(x - reconstruction.detach())")],
        ),
        Misconception(
            name="kl_detached",
            says="No gradient of the KL reaches the mean and the log-variance.",
            line="gradients",
            edits=[(KL, "kl = gaussian_kl(mean, log_variance).detach()")],
        ),
    ],
)
