"""Assignment 10 · The family of generative models."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _generative_models_latent as latent
from course_lib.grading.specs import _generative_models_samples as samples
from course_lib.grading.specs import _generative_models_vae as vae

STAND_INS = {
    "gaussian_kl": """
def gaussian_kl(mean, log_variance):
    return ((mean**2 + log_variance.exp() - log_variance - 1) / 2).sum(dim=-1)
""",
    "reparameterize": """
def reparameterize(mean, log_variance, noise):
    return mean + noise * torch.exp(log_variance / 2)
""",
    "negative_elbo": """
def negative_elbo(x, reconstruction, mean, log_variance, *, sigma=1.0):
    differences = (x - reconstruction) / sigma
    distortion = (differences**2 / 2 + math.log(sigma) + math.log(2 * math.pi) / 2).sum(dim=-1)
    kl = ((mean**2 + log_variance.exp() - log_variance - 1) / 2).sum(dim=-1)
    return (distortion + kl).mean()
""",
}

EQUIVALENT = {
    "autoregressive_sample": {
        "ids = torch.ones(count, length, dtype=torch.long)": "Anything may stand where nothing is drawn yet.",
    },
    "VAE": {
        "return negative_elbo(reconstruction, x, mean, log_variance, sigma=self.sigma)": "The first term holds the "
        "square of their difference.",
    },
}

ASSIGNMENT = Assignment(
    slug="10-generative-models",
    notebook="generative-models",
    title="The family of generative models",
    exercises=[
        latent.autoencoder,
        latent.gaussian_kl,
        latent.reparameterize,
        latent.negative_elbo,
        samples.autoregressive_sample,
        samples.gan_losses,
        vae.vae,
    ],
    written=[Written(name="a_latent_with_a_distribution", points=3)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
