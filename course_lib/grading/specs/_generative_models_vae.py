"""Assignment 10, the larger piece: a variational autoencoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from course_lib.check.probe import Probe
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._generative_models_latent import DECODE, LIBRARY_KL, SIZES
from course_lib.models import generative as reference


def _model(
    method: str, *batches: int, scale: float = 1.0, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases with batches of these sizes; of the first, sigma is drawn, of the others it is left out."""
    widths = {"encode": (7,), "decode": (3,), "sample": (3,)}.get(method, (7, 3))

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="VAE",
                init={**SIZES, "sigma": round(float(rng.uniform(0.4, 0.7)), 3)} if number == 0 else SIZES,
                state=random_state(reference.VAE(**SIZES), rng, scale=0.8),
                method=method,
                args=tuple(random_tensor(rng, batch, width, scale=scale) for width in widths),
                gradients=gradients,
            )
            for number, batch in enumerate(batches)
        ]

    return cases


BOTH = "both = self.encoder2(F.silu(self.encoder1(x)))"
HALVES = "mean, log_variance = both.chunk(2, dim=-1)"
Z = "z = reparameterize(mean, log_variance, noise)"
RETURN = "return self.decode(z), mean, log_variance"
FORWARD = "reconstruction, mean, log_variance = self(x, noise)"
LOSS = "return negative_elbo(x, reconstruction, mean, log_variance, sigma=self.sigma)"
SAMPLE = "return self.decode(noise)"

vae = Exercise(
    name="VAE",
    reference=reference.VAE,
    returns=("the reconstruction", "the mean", "the log-variance"),
    uses=("reparameterize", "negative_elbo"),
    banned=LIBRARY_KL,
    lines=[
        Line(
            name="encode",
            text="mean and log-variance of each row",
            points=1,
            cases=lambda rng: [*_model("encode", 2, 4)(rng), *_model("encode", 3, scale=30.0)(rng)],
        ),
        Line(name="decode", text="the row of each latent", points=0.5, cases=_model("decode", 2, 4)),
        Line(name="forward", text="encode, draw, decode", points=1.5, cases=_model("__call__", 2, 4)),
        Line(name="loss", text="the negative ELBO of a batch", points=1, cases=_model("loss", 2, 4)),
        Line(name="sample", text="new data from noise", points=1, cases=_model("sample", 2, 4)),
        Line(
            name="gradients",
            text="the gradients of the loss by all weights",
            points=1,
            cases=_model("loss", 4, gradients=("state",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="halves_exchanged",
            says="Your mean and your log-variance are exchanged: the first half is the mean.",
            line="encode",
            edits=[(HALVES, "log_variance, mean = both.chunk(2, dim=-1)")],
        ),
        Misconception(
            name="every_second_channel",
            says="You take every second channel as the mean; it is the first half.",
            line="encode",
            edits=[(HALVES, "mean, log_variance = both[..., 0::2], both[..., 1::2]")],
        ),
        Misconception(
            name="encoder_without_activation",
            says="Your encoder has no activation between its layers.",
            line="encode",
            edits=[(BOTH, "both = self.encoder2(self.encoder1(x))")],
        ),
        Misconception(
            name="activation_on_the_mean",
            says="Your mean and log-variance go through an activation; both may be any number.",
            line="encode",
            edits=[(BOTH, "both = F.silu(self.encoder2(F.silu(self.encoder1(x))))")],
        ),
        Misconception(
            name="variance_returned",
            says="You return the variance; the network's output is its logarithm.",
            line="encode",
            edits=[(HALVES, HALVES + "\n        log_variance = log_variance.exp()")],
        ),
        Misconception(
            name="softplus_variance",
            says="You make a positive number of the second half; it is the logarithm of the variance as it is.",
            line="encode",
            edits=[(HALVES, HALVES + "\n        log_variance = F.softplus(log_variance)")],
        ),
        Misconception(
            name="log_variance_clamped",
            says="You clamp the log-variance; return it as the network gives it.",
            line="encode",
            edits=[(HALVES, HALVES + "\n        log_variance = log_variance.clamp(-10, 10)")],
        ),
        Misconception(
            name="decoder_without_activation",
            says="Your decoder has no activation between its layers.",
            line="decode",
            edits=[(DECODE, "return self.decoder2(self.decoder1(z))")],
        ),
        Misconception(
            name="sigmoid_on_the_result",
            says="Your decoder ends in a sigmoid; its result is the mean of a Gaussian and may be any number.",
            line="decode",
            edits=[(DECODE, "return self.decoder2(F.silu(self.decoder1(z))).sigmoid()")],
        ),
        Misconception(
            name="mean_decoded",
            says="You decode the mean, so there is no draw and the log-variance changes nothing; decode z.",
            line="forward",
            edits=[(RETURN, "return self.decode(mean), mean, log_variance")],
        ),
        Misconception(
            name="noise_not_scaled",
            says="You add the noise as it is; it is scaled by σ.",
            line="forward",
            edits=[(Z, "z = mean + noise")],
        ),
        Misconception(
            name="noise_decoded",
            says="You decode the noise, and the data never reach the decoder; decode the draw.",
            line="forward",
            edits=[(RETURN, "return self.decode(noise), mean, log_variance")],
        ),
        Misconception(
            name="latent_returned",
            says="You return the latent; return what is decoded from it.",
            line="forward",
            edits=[(RETURN, "return z, mean, log_variance")],
        ),
        Misconception(
            name="order_of_the_outputs",
            says="Your outputs are in another order; reconstruction, mean, log-variance is asked for.",
            line="forward",
            edits=[
                (RETURN, "return mean, log_variance, self.decode(z)"),
                (FORWARD, "mean, log_variance, reconstruction = self(x, noise)"),
            ],
        ),
        Misconception(
            name="own_noise",
            says="You draw noise of your own; use the noise that is given.",
            line="forward",
            edits=[(Z, "z = reparameterize(mean, log_variance, torch.randn_like(mean))")],
        ),
        Misconception(
            name="sigma_not_passed",
            says="Your loss takes sigma as 1; pass the model's own.",
            line="loss",
            edits=[(LOSS, "return negative_elbo(x, reconstruction, mean, log_variance)")],
        ),
        Misconception(
            name="squared_error",
            says="Your loss is the squared error alone; the KL term is missing.",
            line="loss",
            edits=[(LOSS, "return F.mse_loss(reconstruction, x)")],
        ),
        Misconception(
            name="compared_with_itself",
            says="Your loss compares the reconstruction with itself; it is the data that it should equal.",
            line="loss",
            edits=[(LOSS, LOSS.replace("negative_elbo(x,", "negative_elbo(reconstruction,"))],
        ),
        Misconception(
            name="sample_encodes",
            says="Your samples come from the noise decoded, encoded and decoded again; decode once.",
            line="sample",
            edits=[(SAMPLE, "return self.decode(self.encode(self.decode(noise))[0])")],
        ),
        Misconception(
            name="sample_draws_again",
            says="You draw latents yourself; they come in as `noise`.",
            line="sample",
            edits=[(SAMPLE, "return self.decode(torch.randn_like(noise))")],
        ),
        Misconception(
            name="sample_scaled",
            says="You scale the noise by the decoder's σ; latents come from the unit Gaussian.",
            line="sample",
            edits=[(SAMPLE, "return self.decode(self.sigma * noise)")],
        ),
        Misconception(
            name="noise_on_the_sample",
            says="You add noise to the decoder's means; the means alone are asked for.",
            line="sample",
            edits=[
                (SAMPLE, "x = self.decode(noise)\n        return x + self.sigma * torch.randn_like(x)"),
            ],
        ),
        Misconception(
            name="draw_detached",
            says="Your draw is detached, so the encoder learns only from the KL.",
            line="gradients",
            edits=[(Z, "z = reparameterize(mean, log_variance, noise).detach()")],
        ),
    ],
    constants=[
        Constant(argument="sigma", plain=1.0, choices=[0.25, 0.5, 0.75, 1.25, 1.5, 2.0, 2.5], line="loss"),
    ],
)
