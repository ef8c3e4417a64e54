# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
r"""
# Assignment 10 · The family of generative models

You build the parts of three families: the autoencoder and what turns it into a variational autoencoder, the loop that
an autoregressive model draws with, and the two losses of a generative adversarial network. Six short exercises, one
larger piece, the whole variational autoencoder, and one question that you answer in words. Together they are
worth **31 points** and take about two hours. The chapter *The family of generative models* teaches everything you need.

## How to work

- Each exercise has a text, a cell with a function or class to complete, and a cell that calls `check`.
- Replace each `raise NotImplementedError("write your answer here")` by your own lines. Leave names, arguments and the other lines as they
  are.
- Run your cell, then the `check` cell below it. It calls your code on recorded inputs and shows, for each line of the
  rubric, whether you earn its points, and if not, what differs. Run it as often as you like.
- Stuck? Open the help below the task. It goes from a question to a hint to a list of symptoms.
- You may use what you wrote in earlier exercises. If an earlier one is wrong, later ones are graded with a working
  one in its place, so one error costs points only once.
- Prints, plots and extra cells are welcome. They are not graded.

## How it is graded

Grading puts fresh inputs of the same kind to your code, so an answer that works for any input is what counts. Any way
to the right numbers earns full points: loops, `einsum` or matrix products, float32 or float64.

Where chance is needed as numbers, it comes in as an argument called `noise`, and your result is a function of it. One
exercise draws by chance itself. There you may draw in any way you like: what is graded is the **distribution** of many
draws. A right answer is refused by bad luck less than once in ten million times.

## How to hand in

Choose *Kernel → Restart and run all cells*, look at the checks once more, save, and submit this file under its own
name.

Hand in your own work: talk about ideas with others, write the code and the answer yourself.

## Conventions

Data are rows, `(batch, in_features)`; an image is one row of its pixels. Latents are `(batch, latent_size)`. A Gaussian
is given by its `mean` $\mu$ and its `log_variance` $\ln \sigma^2$, entry by entry. Logarithms are natural, so every
divergence is in nats. `...` stands for any number of leading axes, also none.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check
from course_lib.data.digits import split_digits

# %% [markdown]
r"""
## Exercise 1 · An autoencoder

**Difficulty** ●○○ · **Importance** ●●○ · **10 min** · **3 points**

An autoencoder presses each row of data through a few numbers, its **latent**, and rebuilds it from them:

$$
\mathbf{z} = W_2 \operatorname{silu}(W_1 \mathbf{x} + \mathbf{b}_1) + \mathbf{b}_2 \qquad
\hat{\mathbf{x}} = W_4 \operatorname{silu}(W_3 \mathbf{z} + \mathbf{b}_3) + \mathbf{b}_4
$$

Make four linear layers, `encoder1`, `encoder2`, `decoder1` and `decoder2`. The widths are `in_features`, `hidden_size`,
`latent_size`, and the same back. The activation $\operatorname{silu}(a) = a\,/\,(1 + e^{-a})$, in PyTorch `F.silu`,
stands between the two layers of a half. There is none on the latent and none on the result: both may be any number.

<details><summary>A question to start with</summary>

The data have 7 features, the hidden width is 5, the latent 2. Which shapes have the four weight matrices?

</details>

<details><summary>A hint</summary>

```
encoder1: in_features -> hidden_size        encoder2: hidden_size -> latent_size
decoder1: latent_size -> hidden_size        decoder2: hidden_size -> in_features
encode: encoder1, silu, encoder2
decode: decoder1, silu, decoder2
forward: decode of encode
```

</details>

<details><summary>My numbers are off</summary>

- *"the weights cannot be copied into your module":* is a width exchanged, or has a layer another name?
- *The latent is wrong where it should be negative:* there is an activation on it.
- *The output has the width of the latent:* `forward` encodes and does not decode.
- *Nearly right everywhere:* is it `silu`, or another activation?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "Autoencoder", "schema_version": 3, "cell_type": "code"}
class Autoencoder(nn.Module):
    """Compress to a few numbers and rebuild.

    Args:
        in_features: width of the data.
        hidden_size: width between data and latent, on both sides.
        latent_size: width of the latent.

    Attributes:
        encoder1, encoder2, decoder1, decoder2: nn.Linear.
    """

    def __init__(self, *, in_features: int, hidden_size: int, latent_size: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.encoder1 = nn.Linear(in_features, hidden_size)
        self.encoder2 = nn.Linear(hidden_size, latent_size)
        self.decoder1 = nn.Linear(latent_size, hidden_size)
        self.decoder2 = nn.Linear(hidden_size, in_features)
        ### END SOLUTION

    def encode(self, x: Tensor) -> Tensor:
        """The latent of each row.

        Args:
            x: the data, (..., in_features).

        Returns:
            (..., latent_size).
        """
        ### BEGIN SOLUTION
        return self.encoder2(F.silu(self.encoder1(x)))
        ### END SOLUTION

    def decode(self, z: Tensor) -> Tensor:
        """The row that each latent stands for.

        Args:
            z: latents, (..., latent_size).

        Returns:
            (..., in_features).
        """
        ### BEGIN SOLUTION
        return self.decoder2(F.silu(self.decoder1(z)))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """The data, compressed and rebuilt.

        Args:
            x: the data, (..., in_features).

        Returns:
            (..., in_features).
        """
        ### BEGIN SOLUTION
        return self.decode(self.encode(x))
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-Autoencoder", "schema_version": 3, "cell_type": "code"}
check("10-generative-models.Autoencoder", Autoencoder)

# %% [markdown]
r"""
## Exercise 2 · How far from the unit Gaussian

**Difficulty** ●●○ · **Importance** ●●● · **12 min** · **4 points**

The encoder of a variational autoencoder answers with a Gaussian for each $x$, and it pays for every nat by which this
Gaussian differs from $\mathcal{N}(0, 1)$ (KL is short for Kullback–Leibler divergence):

$$
\mathrm{KL}\big(\mathcal{N}(\boldsymbol\mu, \boldsymbol\sigma^2) \,\|\, \mathcal{N}(0, 1)\big)
= \tfrac12 \sum_i \big(\mu_i^2 + \sigma_i^2 - 1 - \ln \sigma_i^2\big)
$$

You are given $\boldsymbol\mu$ and the **log-variance** $\ln \boldsymbol\sigma^2$, `(..., latent_size)` each. Sum over the
latent's entries, the last axis, and over nothing else: the result is `(...)`, one number for each Gaussian. With
$\mu = 1$ and $\ln \sigma^2 = 0$, one entry costs ½ nat.

`torch.distributions` and `F.kl_div` would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

A network may output any number. Why is it asked for $\ln \sigma^2$ rather than for $\sigma$? And how do you get
$\sigma^2$ back?

</details>

<details><summary>A hint</summary>

```
variance = exp(log_variance)
terms = mean squared + variance - 1 - log_variance          (..., latent_size)
half of the sum of the terms over the last axis
```

</details>

<details><summary>My numbers are off</summary>

- *Some values are negative:* a divergence never is. Look at the signs.
- *Right where the log-variance is 0, wrong elsewhere:* is it taken for the variance, or for the standard deviation?
- *A single number where there should be several:* sum over the last axis only.
- *All values are too small by the same factor:* is it a mean over the entries?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "gaussian_kl", "schema_version": 3, "cell_type": "code"}
def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of independent Gaussians from the unit Gaussian, summed over the last axis.

    Args:
        mean: (..., latent_size).
        log_variance: the logarithm of the variance, (..., latent_size).

    Returns:
        The divergence in nats, (...).
    """
    ### BEGIN SOLUTION
    variance = log_variance.exp()
    terms = mean**2 + variance - 1 - log_variance
    return 0.5 * terms.sum(dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-gaussian_kl", "schema_version": 3, "cell_type": "code"}
check("10-generative-models.gaussian_kl", gaussian_kl)

# %% [markdown]
r"""
## Exercise 3 · A draw that lets gradients through

**Difficulty** ●○○ · **Importance** ●●● · **8 min** · **3 points**

A draw from $\mathcal{N}(\mu, \sigma^2)$ can be written as a function of its parameters and of noise
$\varepsilon \sim \mathcal{N}(0, 1)$ that has nothing to do with them:

$$z = \mu + \sigma\,\varepsilon$$

Gradients then flow through $z$ to both. You are given $\mu$, $\ln \sigma^2$ and the noise.
`torch.distributions` is ruled out here.

<details><summary>A question to start with</summary>

$\ln \sigma^2 = 2 \ln \sigma$. So what is $\sigma$, in one exponential?

</details>

<details><summary>A hint</summary>

```
sigma = exp of half the log-variance
result = mean + sigma * noise
```

</details>

<details><summary>My numbers are off</summary>

- *Right where the log-variance is 0, wrong elsewhere:* is the noise multiplied by $\sigma$, and not by $\sigma^2$ or
  by $\ln \sigma^2$?
- *"changes with the state of PyTorch's own generator", or wrong at random:* use the noise that is given.
- *Only the gradient is wrong:* `detach`, `no_grad` or `.data` cuts it off.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "reparameterize", "schema_version": 3, "cell_type": "code"}
def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """A draw from a Gaussian as a function of its parameters.

    Args:
        mean: (..., latent_size).
        log_variance: the logarithm of the variance, (..., latent_size).
        noise: drawn from the unit Gaussian, (..., latent_size).

    Returns:
        The draws, (..., latent_size); gradients flow to mean and log_variance.
    """
    ### BEGIN SOLUTION
    sigma = (0.5 * log_variance).exp()
    return mean + sigma * noise
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-reparameterize", "schema_version": 3, "cell_type": "code"}
check("10-generative-models.reparameterize", reparameterize)

# %% [markdown]
r"""
## Exercise 4 · The bound that is trained

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

A variational autoencoder makes an upper bound of $-\ln p(x)$ small, the negative ELBO. Its decoder says that $x$ is
distributed as $\mathcal{N}(\hat{x}, \sigma^2)$, feature by feature, so

$$
-\mathrm{ELBO} = \underbrace{\sum_j \Big( \frac{(x_j - \hat{x}_j)^2}{2 \sigma^2} + \tfrac12 \ln (2 \pi \sigma^2) \Big)}_{-\ln p(x \mid z)}
+ \mathrm{KL}\big(q(z \mid x) \,\|\, \mathcal{N}(0, 1)\big)
$$

Sum over **features** and over **latent entries**, then take the **mean over the batch**. The two terms have their
relative weight from the sums: a mean over features in place of the sum makes the KL term 64 times too heavy for an
image of 64 pixels.

`sigma` is the standard deviation of the decoder; `mean` and `log_variance` belong to $q(z \mid x)$.
`torch.distributions` and `F.gaussian_nll_loss` are ruled out here.

<details><summary>A question to start with</summary>

The first term is $-\ln$ of a Gaussian density. Which of its parts stays when $\hat{x} = x$?

</details>

<details><summary>A hint</summary>

```
distortion = (x - reconstruction)² / (2 sigma²) + ½ ln(2 pi sigma²)      (batch, in_features)
distortion = its sum over the last axis                                  (batch,)
kl = gaussian_kl(mean, log_variance)                                     (batch,)
mean of (distortion + kl) over the batch
```

</details>

<details><summary>My numbers are off</summary>

- *Too small by a factor:* is it the mean over features, or over latent entries?
- *Right for `sigma = 1` up to a constant, wrong for others:* where does `sigma` enter? Is it squared?
- *Off by the same amount everywhere:* the logarithm of the density's factor is missing, or has lost its ½.
- *It falls when the KL grows:* the KL is a cost, so it is added.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "negative_elbo", "schema_version": 3, "cell_type": "code"}
def negative_elbo(
    x: Tensor, reconstruction: Tensor, mean: Tensor, log_variance: Tensor, *, sigma: float = 1.0
) -> Tensor:
    """The negative evidence lower bound, averaged over the batch.

    Args:
        x: the data, (batch, in_features).
        reconstruction: decoded from one draw of the latent for each row, (batch, in_features).
        mean, log_variance: of the Gaussian of each row's latent, (batch, latent_size) each.
        sigma: standard deviation of the decoder's Gaussian.

    Returns:
        Nats for each row, 0-dimensional.
    """
    ### BEGIN SOLUTION
    squares = (x - reconstruction) ** 2 / (2 * sigma**2)
    constant = 0.5 * math.log(2 * math.pi * sigma**2)
    distortion = (squares + constant).sum(dim=-1)  # (batch,)
    kl = gaussian_kl(mean, log_variance)  # (batch,)
    return (distortion + kl).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-negative_elbo", "schema_version": 3, "cell_type": "code"}
check("10-generative-models.negative_elbo", negative_elbo)

# %% [markdown]
r"""
## Exercise 5 · Value by value

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

An autoregressive model knows each value's distribution given the values **before** it:

$$p(x) = p(x_1)\, p(x_2 \mid x_1) \cdots p(x_n \mid x_1, \dots, x_{n-1})$$

`model(ids)` takes rows of whole numbers, `(count, length)`, and gives logits, `(count, length, levels)`. The logits **at
place $t$ are those of the value at place $t$**; they depend on the values before $t$ and on nothing else. (In chapter 6
the logits at $t$ were those of the next token. Here they are not shifted.) Rows are always whole: the model does not take
shorter ones.

Draw `count` rows, independently. At the beginning nothing is drawn yet; any whole numbers, say zeros, may stand where
no value is drawn.

All chance comes from `generator`.

<details><summary>A question to start with</summary>

How often do you have to call the model for rows of length 5, and what changes from call to call?

</details>

<details><summary>A hint</summary>

```
ids = zeros, whole numbers                         (count, length)
for place = 0 … length - 1:
    logits = model(ids), at this place             (count, levels)
    probabilities = softmax over the levels
    ids at this place = one draw for each row      torch.multinomial, with the generator
```

`torch.multinomial` gives `(count, 1)`.

</details>

<details><summary>My numbers are off</summary>

- *"some outcome comes far more or far less often":* does each place see what was drawn before it? Are the logits those
  of the same place? Is there a softmax?
- *All rows are equal:* draw one value for each row, and do not take the likeliest.
- *"changes with the state of PyTorch's own generator":* pass `generator=generator`.
- *The shape is (count, length, 1):* take the last axis away.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "autoregressive_sample", "schema_version": 3, "cell_type": "code"}
def autoregressive_sample(
    model: Callable[[Tensor], Tensor], *, count: int, length: int, generator: torch.Generator
) -> Tensor:
    """Draw rows value by value, each from the model's distribution given the values drawn before it.

    Args:
        model: takes ids (count, length), gives logits (count, length, levels); those at place t depend on the values
            before t only.
        count: number of rows.
        length: values in a row.
        generator: the source of chance.

    Returns:
        Whole numbers, (count, length).
    """
    ### BEGIN SOLUTION
    ids = torch.zeros(count, length, dtype=torch.long)
    for place in range(length):
        logits = model(ids)[:, place]  # (count, levels)
        drawn = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)  # (count, 1)
        ids[:, place] = drawn.squeeze(-1)
    return ids
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-autoregressive_sample", "schema_version": 3, "cell_type": "code"}
check("10-generative-models.autoregressive_sample", autoregressive_sample)

# %% [markdown]
r"""
## Exercise 6 · Two losses that pull against each other

**Difficulty** ●●○ · **Importance** ●●○ · **12 min** · **4 points**

In a generative adversarial network, a discriminator gives each point a **logit** $\ell$; $D = \operatorname{sigmoid}(\ell)$
is the probability, in its view, that the point is real. It wants large $D$ on real data and small $D$ on generated
("fake") data, and makes this small:

$$-\operatorname{mean} \ln D(\text{real}) - \operatorname{mean} \ln \big(1 - D(\text{fake})\big)$$

The generator wants the opposite on fake data, in one of two forms:

| | makes small |
|---|---|
| non-saturating (the default) | $-\operatorname{mean} \ln D(\text{fake})$ |
| `saturating=True` | $\phantom{-}\operatorname{mean} \ln \big(1 - D(\text{fake})\big)$ |

Both are smallest where $D(\text{fake})$ is largest. Only the first still has a gradient where the discriminator is sure.

There need not be as many fake points as real ones. Logits may be large, ±1000, and everything stays finite:
$-\ln \operatorname{sigmoid}(\ell) = \ln(1 + e^{-\ell})$, which PyTorch computes safely as `F.softplus(-ℓ)`.

<details><summary>A question to start with</summary>

$1 - \operatorname{sigmoid}(\ell) = \operatorname{sigmoid}(-\ell)$. So what is $-\ln(1 - D)$, as a softplus?

</details>

<details><summary>A hint</summary>

```
discriminator = mean of softplus(-real_logits) + mean of softplus(fake_logits)
generator = mean of softplus(-fake_logits)              non-saturating
          = - mean of softplus(fake_logits)             saturating
```

</details>

<details><summary>My numbers are off</summary>

- *"not finite" for large logits:* the logarithm of a sigmoid that has become 0. Use `softplus` or `logsigmoid`.
- *Finite and wrong for large logits:* a small number added, or a clamp, hides the infinity and loses the logit.
- *Right only where there are as many real as fake points:* take two means and add them.
- *The generator's loss is right with one setting only:* are the two forms exchanged?
- *Half of what it should be:* the discriminator's loss is a sum of two means.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "gan_losses", "schema_version": 3, "cell_type": "code"}
def gan_losses(real_logits: Tensor, fake_logits: Tensor, *, saturating: bool = False) -> tuple[Tensor, Tensor]:
    """The two losses of a generative adversarial network.

    Args:
        real_logits: the discriminator's logits of real data, any shape.
        fake_logits: of generated data, any shape.
        saturating: which of its two losses the generator gets.

    Returns:
        The discriminator's loss and the generator's, 0-dimensional; each is made small by its own network.
    """
    ### BEGIN SOLUTION
    on_real = F.softplus(-real_logits).mean()
    on_fake = F.softplus(fake_logits).mean()
    discriminator = on_real + on_fake
    if saturating:
        generator = -on_fake
    else:
        generator = F.softplus(-fake_logits).mean()
    return discriminator, generator
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-gan_losses", "schema_version": 3, "cell_type": "code"}
check("10-generative-models.gan_losses", gan_losses)

# %% [markdown]
r"""
## Exercise 7 · The larger piece: a variational autoencoder

**Difficulty** ●●● · **Importance** ●●● · **25 min** · **6 points**

Now put it together. The constructor is given. Its `encoder2` is twice as wide as the latent: **the first half of its
output is the mean, the second half the log-variance**, both as they come. Write

1. `encode`: data → mean and log-variance,
2. `decode`: latents → data, the same as in exercise 1,
3. `forward`: encode, draw a latent with the noise that is given, decode it; returns reconstruction, mean, log-variance,
4. `loss`: the negative ELBO of a batch, with the model's own `sigma`,
5. `sample`: new data. Nothing is encoded here: draw latents from $\mathcal{N}(0, 1)$ (they come in as `noise`) and
   return the decoder's means.

`torch.distributions` is ruled out here too.

<details><summary>A question to start with</summary>

After training, which of the four layers does `sample` need?

</details>

<details><summary>A hint</summary>

```
encode: encoder1, silu, encoder2, then cut into two halves along the last axis
decode: decoder1, silu, decoder2
forward: mean, log_variance = encode(x)
         z = reparameterize(mean, log_variance, noise)
         return decode(z), mean, log_variance
loss:    negative_elbo of x and what forward gives, with sigma=self.sigma
sample:  decode(noise)
```

</details>

<details><summary>My numbers are off</summary>

- *Mean and log-variance exchanged:* the first half is the mean.
- *The reconstruction does not depend on the noise:* it must be decoded from the draw, not from the mean.
- *The loss is right for `sigma = 1` only:* pass `self.sigma`.
- *`sample` is wrong and everything else right:* it does not encode, and does not draw a second time.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "VAE", "schema_version": 3, "cell_type": "code"}
class VAE(nn.Module):
    """A variational autoencoder: a Gaussian for each row of data, and a decoder of draws from it.

    Args:
        in_features: width of the data.
        hidden_size: width between data and latent, on both sides.
        latent_size: width of the latent.
        sigma: standard deviation of the decoder's Gaussian.

    Attributes:
        encoder1, encoder2, decoder1, decoder2: nn.Linear; encoder2 gives first the mean, then the log-variance.
    """

    def __init__(self, *, in_features: int, hidden_size: int, latent_size: int, sigma: float = 1.0) -> None:
        super().__init__()
        self.sigma = sigma
        self.encoder1 = nn.Linear(in_features, hidden_size)
        self.encoder2 = nn.Linear(hidden_size, 2 * latent_size)
        self.decoder1 = nn.Linear(latent_size, hidden_size)
        self.decoder2 = nn.Linear(hidden_size, in_features)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian of each row's latent.

        Args:
            x: the data, (batch, in_features).

        Returns:
            Its mean and its log-variance, (batch, latent_size) each.
        """
        ### BEGIN SOLUTION
        both = self.encoder2(F.silu(self.encoder1(x)))
        mean, log_variance = both.chunk(2, dim=-1)
        return mean, log_variance
        ### END SOLUTION

    def decode(self, z: Tensor) -> Tensor:
        """The row that each latent stands for.

        Args:
            z: latents, (batch, latent_size).

        Returns:
            (batch, in_features).
        """
        ### BEGIN SOLUTION
        return self.decoder2(F.silu(self.decoder1(z)))
        ### END SOLUTION

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw, decode.

        Args:
            x: the data, (batch, in_features).
            noise: drawn from the unit Gaussian, (batch, latent_size).

        Returns:
            The reconstruction (batch, in_features), the mean and the log-variance (batch, latent_size).
        """
        ### BEGIN SOLUTION
        mean, log_variance = self.encode(x)
        z = reparameterize(mean, log_variance, noise)
        return self.decode(z), mean, log_variance
        ### END SOLUTION

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """The negative ELBO of a batch.

        Args:
            x: the data, (batch, in_features).
            noise: drawn from the unit Gaussian, (batch, latent_size).

        Returns:
            0-dimensional.
        """
        ### BEGIN SOLUTION
        reconstruction, mean, log_variance = self(x, noise)
        return negative_elbo(x, reconstruction, mean, log_variance, sigma=self.sigma)
        ### END SOLUTION

    def sample(self, noise: Tensor) -> Tensor:
        """New data.

        Args:
            noise: drawn from the unit Gaussian, (count, latent_size).

        Returns:
            The means that the decoder gives, (count, in_features).
        """
        ### BEGIN SOLUTION
        return self.decode(noise)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 6, "grade_id": "check-VAE", "schema_version": 3, "cell_type": "code"}
check("10-generative-models.VAE", VAE)

# %% [markdown]
r"""
Once the check is green, train yours on handwritten digits and look at samples: make a new cell below this one and call
`train_on_digits()`. It takes a few seconds. The upper row is real, the lower row new. This is not graded.
"""


# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "digits", "schema_version": 3, "cell_type": "code"}
def train_on_digits(steps: int = 800) -> None:
    """Train a VAE on digits and show samples of it beside real ones."""
    chance = torch.Generator().manual_seed(0)
    digits, _ = split_digits(test_size=500, generator=chance, low=-1.0, high=1.0)
    rows = digits.images.flatten(1)
    model = VAE(in_features=64, hidden_size=128, latent_size=8, sigma=0.4)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = rows[torch.randint(len(rows), (128,), generator=chance)]
        loss = model.loss(batch, torch.randn(128, 8, generator=chance))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 200 == 0:
            print(f"step {step}: {loss.item():.1f} nats")
    new = model.sample(torch.randn(10, 8, generator=chance)).detach()
    _, axes = plt.subplots(2, 10, figsize=(7, 1.6))
    for ax, picture in zip(axes.flat, torch.cat([rows[:10], new]), strict=True):
        ax.imshow(picture.reshape(8, 8), cmap="Greys", vmin=-1, vmax=1)
        ax.axis("off")
    plt.show()


# %% [markdown]
r"""
## In words · A latent with and without a distribution

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

A fellow student has trained an autoencoder on faces. It rebuilds new faces very well. To make new ones, the student
draws latents from $\mathcal{N}(0, 1)$ and decodes them: noise comes out. The student then trains a variational
autoencoder, and it makes faces, but blurred ones, and the KL term of half of the latent's entries is 0. Explain, in
about ten sentences:

1. Why the autoencoder rebuilds well and samples badly, although it is the same decoder.
2. What the two terms of the ELBO each ask for, how they pull against each other, and why the samples of the variational
   autoencoder are nevertheless blurred.
3. What a KL of 0 in an entry means for the encoder and for the decoder, when it happens, and what you would change if
   you wanted those entries used.

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 3, "grade_id": "a_latent_with_a_distribution", "schema_version": 3, "cell_type": "markdown"}
r"""
The autoencoder is trained on one thing only: decode what was encoded. Where the encoder puts its latents, and with what
scale, is left open. They lie somewhere, in clusters with gaps between them, and the decoder has been trained at those
places and nowhere else. Rebuilding asks it there, so it works. A draw from $\mathcal{N}(0, 1)$ asks it in places that no
training example was ever sent to. Nothing ties the distribution of the latents to the one that is sampled.

The ELBO's first term asks that the decoder rebuild $x$ from a draw of $q(z \mid x)$: it wants each Gaussian narrow and
far from those of other data, so that the draw tells which $x$ it was. The KL term asks that each Gaussian look like
$\mathcal{N}(0, 1)$, so that all lie in the same place and overlap. Together they fill the region that is sampled, and
neighbouring latents must decode to similar data. Where the Gaussians of several $x$ overlap, the same $z$ belongs to all
of them, and the best mean for a squared error is their average: a blur. The decoder's Gaussian accounts for the rest as
independent noise on each pixel, which is not how faces differ, and which one leaves out when showing the means.

A KL of 0 in an entry means that $q(z_i \mid x) = \mathcal{N}(0, 1)$ for every $x$: the encoder says nothing there, and the
decoder has learned to ignore the entry, since it is pure noise to it. It happens where an entry would save less in the
first term than it costs: the decoder's $\sigma$ is large, so a better reconstruction is worth little; there are more entries than
the data need; or early in training, when the decoder cannot use them yet. A smaller $\sigma$ (the same as a smaller weight on the
KL), a weight on the KL that grows during training, or a weaker decoder make them used. If the data need fewer
dimensions, unused entries are no fault.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **Same decoder** (1): trained only where the encoder sends data; nothing ties the latents' distribution to the one
   that is sampled. "The latent space is not continuous" alone is half a point.
2. **Two terms** (1): reconstruction wants the Gaussians apart and narrow, the KL wants them at N(0, 1); blur from
   averaging over data that share a latent (or from a Gaussian decoder whose mean is shown). One half for each of the
   pull and the blur.
3. **KL of 0** (1): q equals the prior for every x, the entry carries nothing and the decoder ignores it; a cause (large
   sigma, too many entries, decoder can do without, early training) with a remedy that fits it.

### END MARK SCHEME
"""
