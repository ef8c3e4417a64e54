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
# Assignment 07 · What changed since 2017

You rebuild the block as it is built today: another norm, another place for it, a network with a gate, and several
networks of which each position uses a few. Six short exercises, one larger piece (the mixture of experts) and one
question that you answer in words. Together they are worth **31 points** and take about two hours.
The chapter *What changed since 2017* teaches everything you need.

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
to the right numbers earns full points: loops, `einsum` or matrix products, float32 or float64. Where a
library function would be the whole exercise, the task rules it out.

## How to hand in

Choose *Kernel → Restart and run all cells*, look at the checks once more, save, and submit this file under its own
name.

Hand in your own work: talk about ideas with others, write the code and the answer yourself.

## Conventions

Shapes are `(batch, length, d_model)`; `...` stands for any number of leading axes, also none. A mask is boolean,
**True = may be attended to**, and broadcasts to `(batch, num_heads, n, m)`. Experts are numbered from 0; of
`num_experts`, `num_active` work for each position.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check

# %% [markdown]
r"""
## What is given

The attention layer of assignment 04. You call it in Exercise 3.
"""


# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "given-attention", "schema_version": 3, "cell_type": "code"}
class MultiHeadAttention(nn.Module):
    """num_heads attentions side by side, each on d_model / num_heads channels, mixed by an output projection."""

    def __init__(self, *, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_projection = nn.Linear(d_model, d_model)
        self.value_projection = nn.Linear(d_model, d_model)
        self.output_projection = nn.Linear(d_model, d_model)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Query (batch, n, d_model), key and value (batch, m, d_model) -> output (batch, n, d_model), weights."""
        queries = self.query_projection(query).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        keys = self.key_projection(key).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        values = self.value_projection(value).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # (batch, num_heads, n, m)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(dim=-1)
        heads = (weights @ values).transpose(1, 2).flatten(-2)  # (batch, n, d_model)
        return self.output_projection(heads), weights


# %% [markdown]
r"""
## Exercise 1 · RMSNorm

**Difficulty** ●○○ · **Importance** ●●● · **8 min** · **3 points**

LayerNorm subtracts the mean and divides by the spread. RMSNorm leaves the mean where it is, and divides by the root of
the **mean square**:

$$\mathrm{RMSNorm}(x) = \frac{x}{\sqrt{\frac1d \sum_i x_i^2 + \varepsilon}} \odot w$$

There is a learned scale $w$ for each channel, and no shift. The mean runs over the `d_model` numbers of **one** vector.

With $w = 1$ and $\varepsilon = 0$, the vector $[1, 7]$ has the mean square $\frac{1 + 49}{2} = 25$, and becomes
$[0.2, 1.4]$.

`F.rms_norm`, `nn.RMSNorm` and `F.normalize` are ruled out here. From Exercise 3 on you use `nn.RMSNorm`, which is your
function with $w$ kept in a module.

<details><summary>A question to start with</summary>

A vector whose numbers are all 3: what does LayerNorm make of it, and what RMSNorm?

</details>

<details><summary>A hint</summary>

```
mean square = mean of x², over the last axis, kept as an axis of size 1
x / root of (mean square + eps), times weight
```

</details>

<details><summary>My numbers are off</summary>

- *Each vector's mean is 0:* subtract nothing.
- *Too small, by a factor that depends on the width only:* take the mean of the squares, not their sum.
- *Right for large numbers, wrong for small ones:* $\varepsilon$ stands inside the root.
- *Right for one vector, wrong for a batch:* the mean runs over the last axis only.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "rms_norm", "schema_version": 3, "cell_type": "code"}
def rms_norm(x: Tensor, weight: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Divide each vector by the root of its mean square, then scale each channel.

    Args:
        x: (..., d_model).
        weight: the scale of each channel, (d_model,).
        eps: added to the mean square.

    Returns:
        (..., d_model).
    """
    ### BEGIN SOLUTION
    mean_square = x.square().mean(dim=-1, keepdim=True)  # (..., 1)
    return x / (mean_square + eps).sqrt() * weight
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-rms_norm", "schema_version": 3, "cell_type": "code"}
check("07-modern-block.rms_norm", rms_norm)

# %% [markdown]
r"""
## Exercise 2 · A network with a gate

**Difficulty** ●○○ · **Importance** ●●○ · **10 min** · **3 points**

The network of 2017 widens, bends, and comes back. SwiGLU widens **twice**. One of the two wide vectors is the gate, and
says channel by channel how much of the other one passes:

$$\mathrm{SwiGLU}(x) = \big(\mathrm{SiLU}(x W_g) \odot x W_v\big)\, W_o, \qquad \mathrm{SiLU}(z) = z \cdot \sigma(z)$$

$W_g$ is `gate_projection`, $W_v$ is `value_projection`, both from `d_model` to `dim_feedforward`; $W_o$ is
`output_projection`, back again. **None of them has a bias.** `F.silu` is allowed. Write the constructor and the forward
pass.

<details><summary>A question to start with</summary>

If gate and value changed places, would the numbers be the same? Which of the two passes through SiLU?

</details>

<details><summary>A hint</summary>

```
gate  = SiLU of gate_projection(x)
value = value_projection(x)
output_projection of (gate times value, entry by entry)
```

</details>

<details><summary>My numbers are off</summary>

- *"it has gate_projection.bias, which the docstring does not name":* `bias=False`, three times.
- *Close, but off everywhere:* SiLU on the gate only; and SiLU is $z\,\sigma(z)$, not $\sigma(z)$.
- *A shape error:* gate and value have the same width, `dim_feedforward`.
- *Everything is off by the input:* the residual connection belongs to the block, not in here.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "SwiGLU", "schema_version": 3, "cell_type": "code"}
class SwiGLU(nn.Module):
    """(SiLU(x W_g) ⊙ x W_v) W_o on each position alone.

    Args:
        d_model: width of the inputs and of the output.
        dim_feedforward: width of gate and value.

    Attributes:
        gate_projection, value_projection, output_projection: nn.Linear without bias.
    """

    def __init__(self, *, d_model: int, dim_feedforward: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.gate_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.value_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.output_projection = nn.Linear(dim_feedforward, d_model, bias=False)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Act on each position.

        Args:
            x: (..., d_model).

        Returns:
            (..., d_model).
        """
        ### BEGIN SOLUTION
        gate = F.silu(self.gate_projection(x))  # (..., dim_feedforward)
        return self.output_projection(gate * self.value_projection(x))
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-SwiGLU", "schema_version": 3, "cell_type": "code"}
check("07-modern-block.SwiGLU", SwiGLU)

# %% [markdown]
r"""
## Exercise 3 · The pre-norm block

**Difficulty** ●●○ · **Importance** ●●● · **12 min** · **4 points**

In 2017 the norm came after the addition. Today it stands **inside** the residual connection: the sub-layer reads the
normalised input, and its output is added to the input as it was.

$$x_1 = x + \mathrm{Attention}\big(\mathrm{Norm}_1(x)\big), \qquad
x_2 = x_1 + \mathrm{FeedForward}\big(\mathrm{Norm}_2(x_1)\big)$$

So nothing stands on the way of $x$ itself, and the block returns a sum that nobody has normalised.

The constructor is given. `self.self_attention(query, key, value, mask)` returns the output and the weights; query, key
and value are all the normalised input. `nn.TransformerEncoderLayer` is ruled out.

<details><summary>A question to start with</summary>

Suppose that both sub-layers give zeros. What does this block return, and what did the block of 2017 return?

</details>

<details><summary>A hint</summary>

```
normed = norm1 of x
x = x + self-attention of normed, with the mask
x = x + feed-forward of (norm2 of x)
```

</details>

<details><summary>My numbers are off</summary>

- *A tuple where a tensor is expected:* attention returns two things.
- *Each output vector has the mean square 1:* the last thing that you do is to normalise; it is to add.
- *Everything differs a little:* what is added to is `x`, not the normalised `x`; key and value are normalised too.
- *Only the line about the mask:* it goes into the attention.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "PreNormBlock", "schema_version": 3, "cell_type": "code"}
class PreNormBlock(nn.Module):
    """Norm, sub-layer, add; twice.

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads.
        dim_feedforward: width inside the feed-forward network.
    """

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(d_model, eps=1e-5)
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.norm2 = nn.RMSNorm(d_model, eps=1e-5)
        self.feed_forward = SwiGLU(d_model=d_model, dim_feedforward=dim_feedforward)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """One vector in, one vector out, for each position.

        Args:
            x: (batch, length, d_model).
            mask: boolean, broadcastable to (batch, num_heads, length, length), True where row may attend to column.

        Returns:
            (batch, length, d_model).
        """
        ### BEGIN SOLUTION
        normed = self.norm1(x)
        attended, _ = self.self_attention(normed, normed, normed, mask)
        x = x + attended
        return x + self.feed_forward(self.norm2(x))
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-PreNormBlock", "schema_version": 3, "cell_type": "code"}
check("07-modern-block.PreNormBlock", PreNormBlock)

# %% [markdown]
r"""
## Exercise 4 · Routing

**Difficulty** ●●○ · **Importance** ●●● · **12 min** · **4 points**

A router gives each position one logit for each expert. The `num_active` experts with the largest logits work for this
position, and share the weight 1 among them:

$$w_e = \frac{e^{z_e}}{\sum_{j \text{ chosen}} e^{z_j}} \quad \text{for the chosen } e$$

Return the weights and the experts' numbers, **the largest first**, both of shape `(..., num_active)`.

The logits $[\ln 2,\ 0,\ \ln 6,\ 0]$ with two active experts choose 2 and 0, with weights $\frac68$ and $\frac28$. Under a
softmax over all four they would be $\frac6{10}$ and $\frac2{10}$, and a fifth of the output would be missing.

<details><summary>A question to start with</summary>

Which comes first, the choice or the softmax? What must be done in the end, if the softmax comes first?

</details>

<details><summary>A hint</summary>

```
best, experts = the num_active largest logits of each row, and their places     (torch.topk)
softmax of best, over the last axis
```

</details>

<details><summary>My numbers are off</summary>

- *The weights of a row sum to less than 1:* the softmax runs over the chosen logits alone.
- *The weights of a row are too equal:* one softmax, not two.
- *The same numbers in another order:* the largest comes first.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "top_k_routing", "schema_version": 3, "cell_type": "code"}
def top_k_routing(logits: Tensor, *, num_active: int) -> tuple[Tensor, Tensor]:
    """Choose the experts with the largest logits, and share the weight 1 among them by a softmax.

    Args:
        logits: one for each expert, (..., num_experts).
        num_active: number of experts that work, from 1 to num_experts.

    Returns:
        The weights (..., num_active), each row summing to 1, and the chosen experts' numbers (..., num_active),
        the largest first.
    """
    ### BEGIN SOLUTION
    best, experts = logits.topk(num_active, dim=-1)  # (..., num_active) each
    return best.softmax(dim=-1), experts
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-top_k_routing", "schema_version": 3, "cell_type": "code"}
check("07-modern-block.top_k_routing", top_k_routing)

# %% [markdown]
r"""
## Exercise 5 · Keep all experts busy

**Difficulty** ●●● · **Importance** ●●○ · **15 min** · **4 points**

An expert that is chosen more often learns more, and is chosen more often still. A second loss, added to that of the
task, works against it. Over all positions of a batch let

- $f_e$ be the share of all **choices** that fell on expert $e$: with $n$ positions there are $n \cdot$ `num_active` of
  them, and $\sum_e f_e = 1$;
- $P_e$ be the **mean probability** of expert $e$ under a softmax over **all** experts, so that $\sum_e P_e = 1$.

$$\text{loss} = E \sum_{e=1}^{E} f_e\, P_e$$

Where all experts are used alike, $f_e = P_e = \frac1E$ and the loss is 1. Where one of them gets everything, with
`num_active` 1, it is $E$. Counting has no gradient: the loss is learned through $P$.

Three positions choose one of two experts each: 0, 0 and 1, so $f = [\frac23, \frac13]$. With $P = [0.6, 0.4]$ the loss is
$2 \cdot (\frac23 \cdot 0.6 + \frac13 \cdot 0.4) = 1.0667$.

<details><summary>A question to start with</summary>

Which of $f$ and $P$ can be computed from `top_k_routing`, and which cannot?

</details>

<details><summary>A hint</summary>

```
chosen      = the experts that top_k_routing chooses
share       = count how often each expert was chosen, over the number of all choices   (num_experts,)
probability = softmax over all experts, mean over all positions                        (num_experts,)
num_experts times the sum of share times probability
```

`F.one_hot` or `torch.bincount` count.

</details>

<details><summary>My numbers are off</summary>

- *`num_active` times too large:* the shares sum to 1, not to `num_active`.
- *Right for `(positions, num_experts)`, wrong with one axis more:* all leading axes count as positions.
- *Smaller than 1 for random logits:* is the factor $E$ there?
- *No gradient arrives:* it passes through the probabilities.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "load_balance_loss", "schema_version": 3, "cell_type": "code"}
def load_balance_loss(logits: Tensor, *, num_active: int) -> Tensor:
    """How unevenly the experts are used: num_experts times the sum of share times mean probability.

    Args:
        logits: the router's, (..., num_experts); all leading axes count as positions.
        num_active: number of experts that work for a position.

    Returns:
        0-dimensional; 1 where all experts are used alike.
    """
    ### BEGIN SOLUTION
    num_experts = logits.shape[-1]
    _, chosen = top_k_routing(logits, num_active=num_active)
    share = F.one_hot(chosen, num_experts).to(logits).reshape(-1, num_experts).mean(dim=0)  # (num_experts,)
    probability = logits.softmax(dim=-1).reshape(-1, num_experts).mean(dim=0)  # (num_experts,)
    return num_experts * (share * probability).sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-load_balance_loss", "schema_version": 3, "cell_type": "code"}
check("07-modern-block.load_balance_loss", load_balance_loss)

# %% [markdown]
r"""
## Exercise 6 · How many parameters?

**Difficulty** ●●○ · **Importance** ●●○ · **12 min** · **3 points**

Models with experts have two sizes. Count both, for **one** pre-norm block like that of Exercise 3 in whose place for the
feed-forward network stands a mixture of experts:

- the attention: four projections from `d_model` to `d_model`, **with** biases;
- two RMSNorms;
- a router: one linear layer from `d_model` to `num_experts`, **without** bias;
- `num_experts` SwiGLUs of width `dim_feedforward`.

`"total"` counts everything. `"active"` counts what the output of **one** position depends on: all but the experts that it
did not choose. To choose, the whole router is needed.

With `d_model = 2`, `dim_feedforward = 3`, 4 experts and 2 active there are $24 + 4 + 8 = 36$ parameters outside the
experts, and 18 in each expert: 108 in total, 72 active.

<details><summary>A question to start with</summary>

How many matrices has a SwiGLU, and what are their shapes?

</details>

<details><summary>A hint</summary>

```
always = 4 (d² + d)  +  2 d  +  E d
expert = three matrices of d times h
total  = always + E experts,  active = always + A experts
```

</details>

<details><summary>My numbers are off</summary>

- *Too few by a multiple of `d_model`:* biases of the attention, scales of the norms, the router.
- *Only the active ones are off:* attention, norms and router work for each position, whatever it chooses.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "parameter_counts", "schema_version": 3, "cell_type": "code"}
def parameter_counts(*, d_model: int, dim_feedforward: int, num_experts: int, num_active: int) -> dict[str, int]:
    """Count the parameters of a pre-norm block with a mixture of experts.

    Args:
        d_model: width of the block.
        dim_feedforward: width inside each expert.
        num_experts: number of experts.
        num_active: number of experts that work for a position.

    Returns:
        "total", and "active": those that the output of one position depends on.
    """
    ### BEGIN SOLUTION
    always = 4 * (d_model**2 + d_model) + 2 * d_model + num_experts * d_model
    expert = 3 * d_model * dim_feedforward
    return {"total": always + num_experts * expert, "active": always + num_active * expert}
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-parameter_counts", "schema_version": 3, "cell_type": "code"}
check("07-modern-block.parameter_counts", parameter_counts)

# %% [markdown]
r"""
## The larger piece · A mixture of experts

**Difficulty** ●●● · **Importance** ●●● · **30 min** · **6 points**

Now put it together. The constructor is given: a router without bias, and a list of experts. For each position, the
router's logits choose `num_active` experts, and the output is their weighted sum:

$$y = \sum_{e \text{ chosen}} w_e \cdot \mathrm{Expert}_e(x)$$

Positions are routed one by one, whichever sentence they are in. And **an expert computes only those positions that
chose it**: that is what makes a mixture cheap. An answer in which each expert computes all positions, and multiplies most
of it by zero, loses one line of the rubric.

A loop over the experts is fine. In each turn: who chose this expert, and as which choice? Compute these, weigh them, add
them where they belong.

<details><summary>A question to start with</summary>

`chosen` has the shape `(positions, num_active)`. Where does `chosen == 3` hold True, and what do the two numbers of such a place tell you?

</details>

<details><summary>A hint</summary>

```
tokens = x as (positions, d_model)
weights, chosen = top_k_routing of the router's logits
output = zeros like tokens
for number, expert in enumerate(experts):
    token, place = where chosen equals number            (nonzero, as_tuple=True)
    weigh expert(tokens[token]) by weights[token, place]
    add it to the rows `token` of the output             (index_add)
output in the shape of x
```

</details>

<details><summary>My numbers are off</summary>

- *Right with one active expert, wrong with two:* contributions are added, not written over each other.
- *Too large:* are the outputs weighted?
- *A shape error in the product:* the weights need one more axis, `[:, None]`.
- *Right for one shape, an error for another:* bring all leading axes into one, and back in the end.
- *Only the line about the work:* take the rows that chose the expert before you call it.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "MixtureOfExperts", "schema_version": 3, "cell_type": "code"}
class MixtureOfExperts(nn.Module):
    """Several networks of which each position uses a few, weighted by a router.

    Args:
        d_model: width of the inputs and of the output.
        dim_feedforward: width inside each expert.
        num_experts: number of experts.
        num_active: number of experts that work for a position.
    """

    def __init__(self, *, d_model: int, dim_feedforward: int, num_experts: int, num_active: int) -> None:
        super().__init__()
        self.num_active = num_active
        self.router = nn.Linear(d_model, num_experts, bias=False)
        self.experts = nn.ModuleList(
            SwiGLU(d_model=d_model, dim_feedforward=dim_feedforward) for _ in range(num_experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The weighted sum of the chosen experts, for each position.

        Args:
            x: (..., d_model).

        Returns:
            (..., d_model).
        """
        ### BEGIN SOLUTION
        tokens = x.reshape(-1, x.shape[-1])  # (positions, d_model)
        weights, chosen = top_k_routing(self.router(tokens), num_active=self.num_active)  # (positions, num_active)
        output = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            token, place = (chosen == number).nonzero(as_tuple=True)
            output = output.index_add(0, token, weights[token, place, None] * expert(tokens[token]))
        return output.reshape(x.shape)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 6, "grade_id": "check-MixtureOfExperts", "schema_version": 3, "cell_type": "code"}
check("07-modern-block.MixtureOfExperts", MixtureOfExperts)

# %% [markdown]
r"""
## In words · Large and cheap

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

A team replaces the feed-forward networks of its model by mixtures with 8 experts, each as wide as the network was, of
which 2 work for each position. "Eight times the parameters for twice the work", they say. After a while they find that
two of the experts get nearly all positions. Explain, in about ten sentences:

1. What grows eightfold and what only doubles; why this can pay; and what in practice is dearer than the count of
   multiply-adds says.
2. How it comes that few experts get nearly everything.
3. How the load-balance loss works against it, and why only one of its two factors can teach the router.
4. Which way the loss of the *task* teaches the router, and what is left of it if only **one** expert works and its
   weight is the softmax over the chosen logits.

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 4, "grade_id": "large_and_cheap", "schema_version": 3, "cell_type": "markdown"}
r"""

The parameters of the feed-forward part grow eightfold, and so does the memory that holds them. The multiply-adds of a
position only double, because it passes through two experts of the old width; the router costs next to nothing. It can
pay because a model's knowledge grows with its parameters, while the price of a token grows with the active ones. In
practice a mixture takes longer than its multiply-adds say: the work falls into several small products instead of one
large one, positions must be gathered and put back, all experts must lie in memory, and the busiest expert is waited for.

At the start the experts differ by chance, and some are chosen a little more often. Only an expert that is chosen gets a
gradient, so these learn more, become better, and are chosen more often still, until the others never learn anything.

The loss is E times the sum of the share of choices and the mean probability of each expert. It is least where both are
even. The share is counted, and a small change of the logits does not change a count, so it has no gradient. The mean
probability has one, and the share is its factor: the probability of the experts that are used too much is pushed down
most, and with it their logits, until others are chosen.

The loss of the task reaches the router through the weights of the chosen experts: if one of the two helps more, its
logit rises against the other one's. With a single active expert the softmax over one number is 1, whatever the logit,
so its gradient is zero and the router learns nothing from the task. There the weight must be the probability under the
softmax over all experts.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **Size and price** (1): parameters (and memory) times 8, multiply-adds of the feed-forward part times 2; one practical
   cost named (small products, gathering, memory, waiting for the busiest expert).
2. **Collapse** (1): only chosen experts get a gradient, so the lead grows by itself. "It is a local minimum" alone is
   half a point.
3. **Balance** (1): product of share and probability, least where even; counting has no gradient, so it acts through the
   probability. Each half is half a point.
4. **The task's gradient** (1): through the weights; with one active expert the weight is always 1 and there is none.

### END MARK SCHEME
"""
