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
# Assignment 04 · Attention as a layer

You build attention from a weighted sum to a causal multi-head layer with rotary positions: eleven short exercises,
one larger piece and one question that you answer in words. Together they are worth **40 points** and take about
three hours. The chapter *Attention as a layer* teaches everything you need.

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

Shapes are `(batch, length, d_model)`, with heads `(batch, heads, length, head_dim)`; `...` stands for any number of
leading axes, also none. A mask is boolean, and **True means that the query may attend to the key**.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check

# %% [markdown]
r"""
## Exercise 1 · A word in its context

**Difficulty** ●○○ · **Importance** ●●○ · **5 min** · **2 points**

Replace each word's embedding by a weighted sum of all the embeddings, its own included. The weights come from dot
products and a softmax over the words that are summed. There is nothing to learn and no scaling:

$$\mathrm{contextual}(E) = \mathrm{softmax}(E E^\top)\, E$$

$E$ is `(..., length, d_model)`, the scores $E E^\top$ are `(..., length, length)`, and the result has the shape of $E$.
For the two words $[1, 0]$ and $[1, 1]$ the result is

| word | weight of word 1 | weight of word 2 | result |
|---|---|---|---|
| $[1, 0]$ | 0.500 | 0.500 | $[1, 0.500]$ |
| $[1, 1]$ | 0.269 | 0.731 | $[1, 0.731]$ |

<details><summary>A question to start with</summary>

Row $i$ of the scores holds the dot products of word $i$ with all words. Which axis of the scores must sum to one
after the softmax?

</details>

<details><summary>A hint</summary>

```
scores  = E times E with its last two axes exchanged
weights = softmax of the scores over the last axis
result  = weights times E
```

</details>

<details><summary>My numbers are off</summary>

- *An error, or wrong numbers, where there is a batch:* `.T` reverses all axes; `transpose(-2, -1)` exchanges the last two.
- *Everything is closer to the mean than expected:* look for a scaling. This exercise has none.
- *The rows of your weights do not sum to one:* the softmax runs over the wrong axis.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "contextual_embedding", "schema_version": 3, "cell_type": "code"}
def contextual_embedding(embeddings: Tensor) -> Tensor:
    """Each word as a weighted sum of all words: softmax(E Eᵀ) E.

    Args:
        embeddings: one vector per word, (..., length, d_model).

    Returns:
        One vector per word in its context, (..., length, d_model).
    """
    ### BEGIN SOLUTION
    scores = embeddings @ embeddings.transpose(-2, -1)  # (..., length, length)
    weights = scores.softmax(dim=-1)
    return weights @ embeddings
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-contextual_embedding", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.contextual_embedding", contextual_embedding)

# %% [markdown]
r"""
## Exercise 2 · Scaled dot-product attention

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

Queries look into keys and take a weighted sum of values:

$$\mathrm{weights} = \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right), \qquad \mathrm{output} = \mathrm{weights}\; V$$

Here $d$ is `head_dim`, the width of a query. The queries are `(..., n, head_dim)`, the keys `(..., m, head_dim)` and
the values `(..., m, d_value)`. Return the output `(..., n, d_value)` **and** the weights `(..., n, m)`.

A mask, where there is one, is boolean and broadcasts to `(..., n, m)`. Where it is False, the score is $-\infty$
before the softmax. Where a query may attend to nothing, its weights and its output are zeros, not NaN, and so are
their gradients.

`F.scaled_dot_product_attention` would be the whole exercise, so it is ruled out here.

<details><summary>A question to start with</summary>

What is the softmax of a row whose scores are all $-\infty$? Write the formula down: which number is divided by which?

</details>

<details><summary>A hint</summary>

```
scores = Q times K with its last two axes exchanged, divided by the root of head_dim
if there is a mask:
    scores = -∞ where the mask is False
weights = softmax of the scores over the keys
if there is a mask:
    weights = 0 where the mask is False
output = weights times V
```

The second `if` changes nothing in a row that has a key to attend to. What does it do to the other rows?

</details>

<details><summary>My numbers are off</summary>

- *The weights are too sharp, and more so for wide queries:* is the scaling there?
- *The weights are too even:* do you divide by $d$ where the root of $d$ belongs?
- *The columns sum to one and the rows do not:* the softmax runs over the queries.
- *Right without a mask, and with one exactly the wrong pairs are blocked:* True means "may attend".
- *NaN in one row:* that query may attend to nothing.
- *A row with nothing allowed has the even weights 1/m:* a large negative number is not $-\infty$; the softmax cannot
  tell a row of equal large numbers from a row of zeros.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "scaled_dot_product_attention", "schema_version": 3, "cell_type": "code"}
def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √head_dim) V, with the score of a blocked pair set to -∞.

    Args:
        query: (..., n, head_dim).
        key: (..., m, head_dim).
        value: (..., m, d_value).
        mask: boolean, broadcastable to (..., n, m), True where the query may attend to the key. None allows all.

    Returns:
        The output (..., n, d_value) and the weights (..., n, m). A query that may attend to nothing gets zeros.
    """
    ### BEGIN SOLUTION
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (..., n, m)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)  # a row with nothing allowed is NaN up to here
    return weights @ value, weights
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-scaled_dot_product_attention", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.scaled_dot_product_attention", scaled_dot_product_attention)

# %% [markdown]
r"""
Look at your weights before you go on. The upper row shows them for wider and wider queries: each query spreads its
weight over several keys, whatever the width. The lower row undoes the scaling by multiplying the queries with the root
of `head_dim`: with width, one key takes all.
"""

# %% tags=["student-only"]
try:
    figure, axes = plt.subplots(2, 3, figsize=(9, 4.4), layout="constrained")
    for (upper, lower), head_dim in zip(axes.T, (4, 64, 1024), strict=True):
        generator = torch.Generator().manual_seed(0)
        query = torch.randn(6, head_dim, generator=generator)
        key = torch.randn(9, head_dim, generator=generator)
        for axis, factor in ((upper, 1.0), (lower, math.sqrt(head_dim))):
            _, weights = scaled_dot_product_attention(factor * query, key, key)
            picture = axis.imshow(weights, vmin=0, vmax=1)
            axis.set(xlabel="key", ylabel="query")
        upper.set_title(f"scaled, head_dim = {head_dim}")
        lower.set_title("scaling undone")
    figure.colorbar(picture, ax=axes, label="weight")
    plt.show()
except NotImplementedError:
    plt.close("all")
    print("Write scaled_dot_product_attention first, then run this cell again.")

# %% [markdown]
r"""
## Exercise 3 · Cross-attention

**Difficulty** ●●○ · **Importance** ●●● · **10 min** · **3 points**

Two sequences, one looking into the other. A query vector asks, a data vector answers, and each of the three roles
has its own learned projection:

$$Q = \mathrm{queries}\, W_q, \qquad K = \mathrm{data}\, W_k, \qquad V = \mathrm{data}\, W_v, \qquad
\mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right) V$$

The queries are `(batch, n, d_model)`, the data `(batch, m, d_data)`: neither the lengths nor the widths need to
agree. All three projections end in `head_dim` channels, which is $d$. There is one output per query:
`(batch, n, head_dim)`, with weights `(batch, n, m)`.

Name the projections `query_projection`, `key_projection` and `value_projection`. Each is an `nn.Linear` without bias.

<details><summary>A question to start with</summary>

Which of the three projections read vectors of width `d_data`?

</details>

<details><summary>A hint</summary>

```
constructor: three linear layers without bias, each from the width of what it reads to head_dim
forward:     query from queries; key and value from data; then Exercise 2, with the mask
```

</details>

<details><summary>My numbers are off</summary>

- *"It has no key_projection.weight" or "it also has …bias":* the checks copy weights into your module by name, so the
  names and `bias=False` must be as given.
- *"mat1 and mat2 shapes cannot be multiplied":* a projection reads the other sequence's width.
- *Right without a mask only:* does the mask reach the attention?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "CrossAttention", "schema_version": 3, "cell_type": "code"}
class CrossAttention(nn.Module):
    """One head in which queries look into data: Q = queries W_q, K = data W_k, V = data W_v.

    Args:
        d_model: width of the queries.
        d_data: width of the data.
        head_dim: width of projected queries, keys and values, and of the output.

    Attributes:
        query_projection, key_projection, value_projection: nn.Linear without bias.
    """

    def __init__(self, *, d_model: int, d_data: int, head_dim: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.query_projection = nn.Linear(d_model, head_dim, bias=False)
        self.key_projection = nn.Linear(d_data, head_dim, bias=False)
        self.value_projection = nn.Linear(d_data, head_dim, bias=False)
        ### END SOLUTION

    def forward(self, queries: Tensor, data: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend from each query vector to all data vectors.

        Args:
            queries: (batch, n, d_model).
            data: (batch, m, d_data).
            mask: boolean, broadcastable to (batch, n, m), True where the query may attend to the datum.

        Returns:
            The output (batch, n, head_dim) and the weights (batch, n, m).
        """
        ### BEGIN SOLUTION
        query = self.query_projection(queries)  # (batch, n, head_dim)
        key = self.key_projection(data)  # (batch, m, head_dim)
        value = self.value_projection(data)  # (batch, m, head_dim)
        return scaled_dot_product_attention(query, key, value, mask)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-CrossAttention", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.CrossAttention", CrossAttention)

# %% [markdown]
r"""
## Exercise 4 · Self-attention from one matrix product

**Difficulty** ●○○ · **Importance** ●●● · **10 min** · **2 points**

Now the sequence looks into itself. All three roles read the same vectors, so one product with a matrix three times as
wide gives queries, keys and values at once:

$$[\,Q \;\; K \;\; V\,] = X\, W_{qkv}, \qquad \mathrm{softmax}\!\left(\frac{Q K^\top}{\sqrt{d}}\right) V$$

$X$ is `(batch, length, d_model)`. Of the `3 * head_dim` output channels, the first `head_dim` are the query, the next
the key, the last the value. There is one output per input, and each input may attend to itself. The projection is
given.

<details><summary>A question to start with</summary>

The product is `(batch, length, 3 * head_dim)`. Which PyTorch method cuts an axis into three equal parts, and along
which axis?

</details>

<details><summary>A hint</summary>

```
qkv = projection of x
query, key, value = the three thirds of qkv along the channels
Exercise 2, with the mask
```

</details>

<details><summary>My numbers are off</summary>

- *The shapes are right and all numbers wrong:* did you reshape to `(..., head_dim, 3)`? Then every third channel
  becomes a query. The parts lie one after the other.
- *The weights look transposed:* query and key are exchanged.
- *The weights are too even:* scale by the width of a query, not by that of `x`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "SelfAttention", "schema_version": 3, "cell_type": "code"}
class SelfAttention(nn.Module):
    """One head in which a sequence looks into itself: [Q K V] = X W_qkv.

    Args:
        d_model: width of the inputs.
        head_dim: width of queries, keys and values, and of the output.

    Attributes:
        qkv_projection: nn.Linear without bias; its output holds query, key and value, in this order.
    """

    def __init__(self, *, d_model: int, head_dim: int) -> None:
        super().__init__()
        self.qkv_projection = nn.Linear(d_model, 3 * head_dim, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend from each position to all positions.

        Args:
            x: (batch, length, d_model).
            mask: boolean, broadcastable to (batch, length, length), True where row may attend to column.

        Returns:
            The output (batch, length, head_dim) and the weights (batch, length, length).
        """
        ### BEGIN SOLUTION
        query, key, value = self.qkv_projection(x).chunk(3, dim=-1)  # (batch, length, head_dim) each
        return scaled_dot_product_attention(query, key, value, mask)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-SelfAttention", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.SelfAttention", SelfAttention)

# %% [markdown]
r"""
## Exercise 5 · Does the order matter?

**Difficulty** ●○○ · **Importance** ●●○ · **8 min** · **2 points**

A layer $F$ is *permutation equivariant* if shuffling its input shuffles its output in the same way:
$F(\sigma X) = \sigma F(X)$. Write the experiment that measures how far a layer is from it:

$$\max \left| F(\sigma X) - \sigma F(X) \right|$$

The layer takes `(batch, length, d)` and returns `(batch, length, d')`. The permutation holds the indices
`0 … length - 1` in some order; $\sigma X$ is `x[:, permutation]`. Return one number, as a tensor without axes.

<details><summary>A question to start with</summary>

You call the layer twice. Which of the two calls gets the shuffled input, and which of the two outputs do you shuffle?

</details>

<details><summary>A hint</summary>

```
first  = layer of the shuffled input
second = shuffled output of the layer
largest absolute difference
```

</details>

<details><summary>My numbers are off</summary>

- *A layer that treats each position alone gets an error larger than zero:* only one of the two outputs belongs to the
  shuffled order.
- *Sometimes too small:* is the absolute value taken before the maximum?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "permutation_error", "schema_version": 3, "cell_type": "code"}
def permutation_error(layer: Callable[[Tensor], Tensor], x: Tensor, permutation: Tensor) -> Tensor:
    """How far a layer is from treating its input as a set: max |F(σX) - σF(X)|.

    Args:
        layer: takes (batch, length, d), gives (batch, length, d').
        x: (batch, length, d).
        permutation: the indices 0 .. length - 1 in some order, (length,).

    Returns:
        The largest absolute difference, a tensor without axes.
    """
    ### BEGIN SOLUTION
    shuffled_first = layer(x[:, permutation])
    shuffled_after = layer(x)[:, permutation]
    return (shuffled_first - shuffled_after).abs().max()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-permutation_error", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.permutation_error", permutation_error)

# %% [markdown]
r"""
Try it on your own layer. The first number is zero up to rounding: self-attention alone cannot tell one order from
another. The second is not, because each vector now says where it stands.
"""

# %% tags=["student-only"]
try:
    attention = SelfAttention(d_model=8, head_dim=8)
    x = torch.randn(2, 6, 8)
    shuffle = torch.randperm(6)
    print(f"self-attention                {permutation_error(lambda x: attention(x)[0], x, shuffle):.1e}")
    places = torch.linspace(-2, 2, 6)[:, None]
    print(f"self-attention with positions {permutation_error(lambda x: attention(x + places)[0], x, shuffle):.1e}")
except NotImplementedError:
    print("Write Exercises 2, 4 and 5 first, then run this cell again.")

# %% [markdown]
r"""
## Exercise 6 · Sinusoidal positions

**Difficulty** ●●○ · **Importance** ●●○ · **10 min** · **2 points**

Give each position a vector of sines and cosines. Pair $i$ of the channels turns with its own frequency, and the
channels alternate, sine on the even ones, cosine on the odd ones:

$$P_{p,\,2i} = \sin\frac{p}{\mathrm{base}^{2i/d}}, \qquad P_{p,\,2i+1} = \cos\frac{p}{\mathrm{base}^{2i/d}}$$

Here $d$ is `d_model`, which is even, and positions $p$ start at 0. The result is `(length, d_model)`. For three
positions and four channels it begins

| $p$ | channel 0 | channel 1 | channel 2 | channel 3 |
|---|---|---|---|---|
| 0 | 0.000 | 1.000 | 0.000 | 1.000 |
| 1 | 0.841 | 0.540 | 0.010 | 1.000 |
| 2 | 0.909 | −0.416 | 0.020 | 1.000 |

<details><summary>A question to start with</summary>

There are `d_model / 2` frequencies. For `d_model = 4`, what are the two values of $2i$?

</details>

<details><summary>A hint</summary>

```
positions = 0 … length - 1, as a column
exponents = 0, 2, 4 … divided by d_model, as a row
angles    = positions / base ** exponents               (length, d_model / 2)
even channels = sin(angles), odd channels = cos(angles)
```

</details>

<details><summary>My numbers are off</summary>

- *The first row should be 0, 1, 0, 1, and it is 1, 0, 1, 0:* sine and cosine are exchanged.
- *The first row is 0, 0, 1, 1:* sines and cosines alternate, they do not fill one half each.
- *Channels 0 and 1 are right, the later ones turn too fast:* the exponent is $2i/d$, not $i/d$.
- *Everything is one row too far:* positions start at 0.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "sinusoidal_positions", "schema_version": 3, "cell_type": "code"}
def sinusoidal_positions(length: int, d_model: int, *, base: float = 10000.0) -> Tensor:
    """Sinusoidal positions: channel 2i is sin(p / base^(2i / d_model)), channel 2i + 1 the cosine of it.

    Args:
        length: number of positions, p = 0 .. length - 1.
        d_model: number of channels, even.
        base: sets the slowest frequency.

    Returns:
        One vector per position, (length, d_model).
    """
    ### BEGIN SOLUTION
    positions = torch.arange(length)[:, None]  # (length, 1)
    exponents = torch.arange(0, d_model, 2) / d_model  # (d_model / 2,)
    angles = positions / base**exponents  # (length, d_model / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-sinusoidal_positions", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.sinusoidal_positions", sinusoidal_positions)

# %% [markdown]
r"""
What you should see: stripes that are narrow in the first channels and wider from pair to pair, until the last
channels hardly change over sixty positions.
"""

# %% tags=["student-only"]
try:
    figure, axis = plt.subplots(figsize=(7, 2.8), layout="constrained")
    picture = axis.imshow(sinusoidal_positions(60, 32).T, aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
    axis.set(xlabel="position", ylabel="channel")
    figure.colorbar(picture, label="value")
    plt.show()
except NotImplementedError:
    plt.close("all")
    print("Write sinusoidal_positions first, then run this cell again.")

# %% [markdown]
r"""
## Exercise 7 · Rotary positions

**Difficulty** ●●● · **Importance** ●●● · **15 min** · **3 points**

Instead of adding a vector, turn each query and key by an angle that grows with its position. Channels $2i$ and $2i+1$
form a pair $(a, b)$, and at position $p$ the pair becomes

$$\theta = \frac{p + \mathrm{offset}}{\mathrm{base}^{2i/d}}, \qquad
(a, b) \;\mapsto\; (a\cos\theta - b\sin\theta,\;\; a\sin\theta + b\cos\theta)$$

$x$ is `(..., length, head_dim)`, $d$ is `head_dim`, which is even, and positions run along the second last axis, from
0. The result has the shape of $x$. The offset says which position the first vector has, for a sequence that continues
an earlier one. Leave `x` itself unchanged.

<details><summary>A question to start with</summary>

`x[..., 0::2]` holds all the $a$. What holds all the $b$, and how do you lay the two results back into alternating
channels?

</details>

<details><summary>A hint</summary>

```
angles = (positions + offset) / base ** exponents      as in Exercise 6, (length, head_dim / 2)
a, b   = even channels of x, odd channels of x         (..., length, head_dim / 2)
new a  = a cos - b sin
new b  = a sin + b cos
interleave new a and new b: stack on a new last axis, then flatten the last two
```

</details>

<details><summary>My numbers are off</summary>

- *Position 0 is unchanged and the lengths are right, all else differs:* do you rotate channel $i$ with channel
  $i + d/2$? The pairs are neighbours here. Or do you turn the other way round? Look at the signs.
- *The lengths of the vectors change:* one of the two sines has the wrong sign, or the new $a$ has overwritten the old
  one before the new $b$ was computed.
- *An error about an in-place operation:* you write into `x`; make new tensors.
- *Right for three axes and wrong for four:* positions run along the second last axis, whatever stands before it.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "apply_rope", "schema_version": 3, "cell_type": "code"}
def apply_rope(x: Tensor, *, base: float = 10000.0, offset: int = 0) -> Tensor:
    """Turn each channel pair (2i, 2i + 1) by θ = (p + offset) / base^(2i / head_dim).

        (a, b) -> (a cos θ - b sin θ, a sin θ + b cos θ)

    Args:
        x: queries or keys, (..., length, head_dim), head_dim even.
        base: sets the slowest frequency.
        offset: the position of the first vector.

    Returns:
        The rotated vectors, (..., length, head_dim).
    """
    ### BEGIN SOLUTION
    length, head_dim = x.shape[-2:]
    positions = torch.arange(length)[:, None] + offset  # (length, 1)
    exponents = torch.arange(0, head_dim, 2) / head_dim  # (head_dim / 2,)
    angles = positions / base**exponents  # (length, head_dim / 2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., 0::2], x[..., 1::2]  # (..., length, head_dim / 2) each
    rotated = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
    return rotated.flatten(-2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-apply_rope", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.apply_rope", apply_rope)

# %% [markdown]
r"""
## Exercise 8 · No look into the future

**Difficulty** ●○○ · **Importance** ●●● · **5 min** · **2 points**

A model that predicts the next word must not see it. Make the mask that lets each position attend to itself and to the
past: entry $(i, j)$ is True where key $j \le$ query $i$. For three positions:

| | key 0 | key 1 | key 2 |
|---|---|---|---|
| query 0 | True | False | False |
| query 1 | True | True | False |
| query 2 | True | True | True |

<details><summary>A question to start with</summary>

Is position 0 allowed to see anything at all? If not, what does its softmax run over?

</details>

<details><summary>A hint</summary>

```
a square of True of the right size
keep its lower triangle, the diagonal included
```

</details>

<details><summary>My numbers are off</summary>

- *"expected booleans":* ones and zeros are numbers. Make the square with `dtype=torch.bool`, or compare.
- *Only the diagonal is wrong:* a position may see itself.
- *Everything but the diagonal is wrong:* rows and columns are exchanged; a row is a query.
- *Everything is wrong, the diagonal too:* in this course True means "may attend".

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "causal_mask", "schema_version": 3, "cell_type": "code"}
def causal_mask(length: int) -> Tensor:
    """The mask that lets a position see itself and the past: True where key j <= query i.

    Args:
        length: number of positions.

    Returns:
        Boolean, (length, length): row i is the query, column j the key.
    """
    ### BEGIN SOLUTION
    return torch.ones(length, length, dtype=torch.bool).tril()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-causal_mask", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.causal_mask", causal_mask)

# %% [markdown]
r"""
## Exercise 9 · Multi-head attention

**Difficulty** ●●● · **Importance** ●●● · **20 min** · **4 points**

One table of weights is one way to look. Cut the channels into $H$ heads of `head_dim = d_model / num_heads` channels,
let each head attend on its own, lay the results side by side and mix them:

$$\mathrm{head}_h = \mathrm{softmax}\!\left(\frac{Q_h K_h^\top}{\sqrt{\mathrm{head\_dim}}}\right) V_h, \qquad
\mathrm{output} = [\,\mathrm{head}_1 \;\dots\; \mathrm{head}_H\,]\, W_o$$

Head $h$ owns `head_dim` neighbouring channels: head 0 the first `head_dim`, head 1 the next, and so on. The query is
`(batch, n, d_model)`, key and value are `(batch, m, d_model)`. Return the output `(batch, n, d_model)` and the
weights of every head `(batch, num_heads, n, m)`. A mask broadcasts to the shape of the weights.

The constructor raises `ValueError` if `num_heads` does not divide `d_model`. The four projections are given, with
bias. `nn.MultiheadAttention` is ruled out.

<details><summary>A question to start with</summary>

After `view(batch, n, num_heads, head_dim)` the heads stand on axis 2. Exercise 2 takes its matrix product over the
last two axes. Where do the heads have to stand so that `n` and `head_dim` come last?

</details>

<details><summary>A hint</summary>

```
split:   (batch, n, d_model) → view (batch, n, heads, head_dim) → exchange axes 1 and 2
project query, key and value, then split each
Exercise 2 on (batch, heads, n, head_dim)
merge:   exchange axes 1 and 2 → reshape (batch, n, d_model)
output projection
```

</details>

<details><summary>My numbers are off</summary>

- *The shapes are right and everything differs:* `view(batch, num_heads, n, head_dim)` cuts through the positions.
  First cut the channels, then move the axis.
- *The weights are right and the output is not:* the same on the way back, or the output projection is missing.
- *The weights are too even:* each head divides by the root of its own width `head_dim`, not of `d_model`.
- *The weights have lost an axis:* return each head's, not their mean.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "MultiHeadAttention", "schema_version": 3, "cell_type": "code"}
class MultiHeadAttention(nn.Module):
    """num_heads attentions side by side, each on d_model / num_heads channels, mixed by an output projection.

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads, a divisor of d_model.

    Attributes:
        query_projection, key_projection, value_projection, output_projection: nn.Linear with bias.

    Raises:
        ValueError: if num_heads does not divide d_model.
    """

    def __init__(self, *, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_projection = nn.Linear(d_model, d_model)
        self.value_projection = nn.Linear(d_model, d_model)
        self.output_projection = nn.Linear(d_model, d_model)
        ### BEGIN SOLUTION
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads cannot share {d_model} channels evenly")
        ### END SOLUTION

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend from each query vector to all key vectors, in each head.

        Args:
            query: (batch, n, d_model).
            key: (batch, m, d_model).
            value: (batch, m, d_model).
            mask: boolean, broadcastable to (batch, num_heads, n, m), True where the query may attend to the key.

        Returns:
            The output (batch, n, d_model) and the weights (batch, num_heads, n, m).
        """
        ### BEGIN SOLUTION
        batch, n, d_model = query.shape
        m = key.shape[1]
        head_dim = d_model // self.num_heads
        queries = self.query_projection(query).view(batch, n, self.num_heads, head_dim).transpose(1, 2)
        keys = self.key_projection(key).view(batch, m, self.num_heads, head_dim).transpose(1, 2)
        values = self.value_projection(value).view(batch, m, self.num_heads, head_dim).transpose(1, 2)
        heads, weights = scaled_dot_product_attention(queries, keys, values, mask)  # heads (batch, heads, n, head_dim)
        merged = heads.transpose(1, 2).reshape(batch, n, d_model)
        return self.output_projection(merged), weights
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-MultiHeadAttention", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.MultiHeadAttention", MultiHeadAttention)

# %% [markdown]
r"""
## Exercise 10 · Attention without the big table

**Difficulty** ●●● · **Importance** ●●○ · **25 min** · **4 points**

The weights are an $n \times m$ table, and for long sequences it is the table that does not fit into memory. Compute
the same output without ever holding it: walk over the keys in tiles and keep three running numbers for each query,

- $M$, the largest score so far,
- $S$, the sum of $e^{\mathrm{score} - M}$ so far,
- $O$, the sum of $e^{\mathrm{score} - M} \cdot \mathrm{value}$ so far.

When a tile raises the maximum from $M$ to $M'$, what has been summed so far was measured against the old one, so both
sums are multiplied by $e^{M - M'}$. After the last tile the output is $O / S$.

Queries are `(..., n, head_dim)`, keys `(..., m, head_dim)`, values `(..., m, d_value)`, the output is
`(..., n, d_value)`; there is no mask, and the scores are scaled as before. `tile_size` need not divide `n` or `m`.
Scores may lie in the thousands, on either side of zero. Then $e^{1000}$ is infinite and $e^{-1000}$ is zero, so no
exponential may be taken before the maximum is subtracted.

Cut the queries into tiles as well; then no table larger than `tile_size × tile_size` is made. Neither
`F.scaled_dot_product_attention` nor your own `scaled_dot_product_attention` may be used.

<details><summary>A question to start with</summary>

After the first tile, $S = \sum e^{s - M}$. Which factor turns it into $\sum e^{s - M'}$?

</details>

<details><summary>A hint</summary>

```
for each tile of queries:
    M = -∞, S = 0, O = 0                              one M and one S per query
    for each tile of keys, with its tile of values:
        scores = as in Exercise 2
        M'     = the larger of M and the largest score of each row
        old    = exp(M - M')
        p      = exp(scores - M')
        S      = S · old + row sums of p
        O      = O · old + p times the tile of values
        M      = M'
    this tile's output is O / S
lay the outputs below each other
```

`key.split(tile_size, dim=-2)` gives the tiles, the last one shorter.

</details>

<details><summary>My numbers are off</summary>

- *Right when one tile holds all the keys, wrong with more:* are both sums multiplied by $e^{M - M'}$?
- *Right when the tile size divides the length:* is the last, shorter tile there?
- *NaN or infinite for large scores:* an exponential is taken of a score itself, or $M$ starts at 0 where all scores
  are far below it.
- *A tensor too large was made on the way:* the scores of all queries with all keys may not exist at one time.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "tiled_attention", "schema_version": 3, "cell_type": "code"}
def tiled_attention(query: Tensor, key: Tensor, value: Tensor, *, tile_size: int) -> Tensor:
    """softmax(Q Kᵀ / √head_dim) V without a mask, never holding the n × m weights.

    Args:
        query: (..., n, head_dim).
        key: (..., m, head_dim).
        value: (..., m, d_value).
        tile_size: number of queries, and of keys, in a tile; it need not divide n or m.

    Returns:
        The output (..., n, d_value).
    """
    ### BEGIN SOLUTION
    outputs = []
    for query_tile in query.split(tile_size, dim=-2):  # (..., tile, head_dim)
        running_max = torch.full_like(query_tile[..., :1], -math.inf)  # (..., tile, 1)
        running_sum = torch.zeros_like(running_max)
        running_output = torch.zeros_like(running_max)  # grows to (..., tile, d_value) with the first tile
        for key_tile, value_tile in zip(key.split(tile_size, dim=-2), value.split(tile_size, dim=-2), strict=True):
            scores = query_tile @ key_tile.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (..., tile, tile)
            new_max = torch.maximum(running_max, scores.amax(dim=-1, keepdim=True))
            old = torch.exp(running_max - new_max)
            unnormalised = torch.exp(scores - new_max)
            running_sum = running_sum * old + unnormalised.sum(dim=-1, keepdim=True)
            running_output = running_output * old + unnormalised @ value_tile
            running_max = new_max
        outputs.append(running_output / running_sum)
    return torch.cat(outputs, dim=-2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-tiled_attention", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.tiled_attention", tiled_attention)

# %% [markdown]
r"""
## Exercise 11 · What does it cost?

**Difficulty** ●○○ · **Importance** ●●○ · **8 min** · **2 points**

Count the multiply-adds of the four matrix products in one multi-head self-attention layer, on one sequence of $N$
vectors of width $d$ with $H$ heads. Count also the numbers that its tables of weights hold.

One multiply-add is one product and the addition that follows it: an $a \times b$ matrix times a $b \times c$ matrix
takes $abc$ of them. Leave out biases, softmax and scaling.

| key | counts |
|---|---|
| `"qkv_projection"` | projecting $X$ to queries, keys and values |
| `"scores"` | $QK^\top$ in all heads |
| `"weighting"` | weights times values in all heads |
| `"output_projection"` | mixing the heads |
| `"total"` | the sum of the four |
| `"weight_floats"` | the entries in the weights of all heads |

All values are whole numbers (`int`). For $N = 2$, $d = 4$, $H = 2$ they are 96, 16, 16, 32, 160 and 8.

<details><summary>A question to start with</summary>

One head works on $d / H$ channels, and there are $H$ of them. What is left of $H$ in the cost of the scores? And in
the number of weights?

</details>

<details><summary>A hint</summary>

```
projection:  (N × d) times (d × d)
scores:      H times: (N × head_dim) times (head_dim × N)
weighting:   H times: (N × N) times (N × head_dim)
```

</details>

<details><summary>My numbers are off</summary>

- *Twice as large:* one product and its addition count as one.
- *Right with one head, wrong with more:* each head is narrower.
- *"expected whole numbers":* `/` gives a float, `//` an int.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "attention_cost", "schema_version": 3, "cell_type": "code"}
def attention_cost(*, length: int, d_model: int, num_heads: int) -> dict[str, int]:
    """Count the multiply-adds of one multi-head self-attention layer on one sequence, and its weights.

    Args:
        length: number of positions N.
        d_model: width d.
        num_heads: number of heads H, a divisor of d_model.

    Returns:
        The counts "qkv_projection", "scores", "weighting", "output_projection", "total" and "weight_floats".
    """
    ### BEGIN SOLUTION
    qkv_projection = 3 * length * d_model * d_model
    scores = length * length * d_model
    weighting = length * length * d_model
    output_projection = length * d_model * d_model
    total = qkv_projection + scores + weighting + output_projection
    weight_floats = num_heads * length * length
    ### END SOLUTION
    return {
        "qkv_projection": qkv_projection,
        "scores": scores,
        "weighting": weighting,
        "output_projection": output_projection,
        "total": total,
        "weight_floats": weight_floats,
    }


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-attention_cost", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.attention_cost", attention_cost)

# %% [markdown]
r"""
## The larger piece · Causal multi-head self-attention with rotary positions

**Difficulty** ●●● · **Importance** ●●● · **35 min** · **6 points**

Put the pieces together: this is the attention layer of a present-day language model. One sequence looks at itself and
its past, in several heads, and positions enter by turning queries and keys:

$$\mathrm{head}_h = \mathrm{softmax}\!\left(\frac{R(Q_h)\, R(K_h)^\top}{\sqrt{\mathrm{head\_dim}}} + \mathrm{causal\ mask}\right) V_h, \qquad
\mathrm{output} = [\,\mathrm{head}_1 \;\dots\; \mathrm{head}_H\,]\, W_o$$

- $x$ is `(batch, length, d_model)`, and so is the output. No weights are returned.
- Four projections with bias, named as in Exercise 9. Heads are cut as in Exercise 9.
- $R$ is `apply_rope`, on each head's queries and keys, each head with its own `head_dim`. Values are not turned.
- Each position sees itself and the past. In the formula the causal mask stands for 0 where a position may look and
  $-\infty$ where it may not; `causal_mask` is boolean, and Exercise 2 knows what to do with it.
- `offset` is the position of the first vector. You pass it on, and then find that the output does not depend on it.
  Why not?

Two things must come out: changing a later position must not change an earlier output, and the output must be the same
for every `offset`, because a dot product of a turned query with a turned key depends on their distance only.

You may use all that you wrote above. `nn.MultiheadAttention` is ruled out.

<details><summary>A question to start with</summary>

`apply_rope` takes its positions from the second last axis. What must stand on that axis when you call it: before or
after you exchange the axes of heads and positions?

</details>

<details><summary>A hint</summary>

```
project x three times, split each into heads           (batch, heads, length, head_dim)
turn queries and keys
Exercise 2 with the causal mask
merge the heads, output projection
```

</details>

<details><summary>My numbers are off</summary>

- *The output changes with the offset:* queries and keys must both be turned, with the same offset, and values not at
  all.
- *All positions but the first are wrong:* are the heads cut before the rotation? Each head starts with its fastest
  pair.
- *The first position is wrong as well:* look at splitting, merging and the output projection as in Exercise 9; the
  first position sees only itself, so neither the mask nor the rotation can be the reason.
- *The future leaks:* which way round is the mask? And is it added as ones and zeros? They block nothing.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "RotarySelfAttention", "schema_version": 3, "cell_type": "code"}
class RotarySelfAttention(nn.Module):
    """Causal multi-head self-attention whose queries and keys are turned by their positions.

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads; d_model / num_heads is a whole even number.

    Attributes:
        query_projection, key_projection, value_projection, output_projection: nn.Linear with bias.
    """

    def __init__(self, *, d_model: int, num_heads: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.num_heads = num_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_projection = nn.Linear(d_model, d_model)
        self.value_projection = nn.Linear(d_model, d_model)
        self.output_projection = nn.Linear(d_model, d_model)
        ### END SOLUTION

    def forward(self, x: Tensor, *, offset: int = 0) -> Tensor:
        """Attend from each position to itself and the past.

        Args:
            x: (batch, length, d_model).
            offset: the position of the first vector of x.

        Returns:
            The output (batch, length, d_model).
        """
        ### BEGIN SOLUTION
        batch, length, d_model = x.shape
        head_dim = d_model // self.num_heads
        query = self.query_projection(x).view(batch, length, self.num_heads, head_dim).transpose(1, 2)
        key = self.key_projection(x).view(batch, length, self.num_heads, head_dim).transpose(1, 2)
        value = self.value_projection(x).view(batch, length, self.num_heads, head_dim).transpose(1, 2)
        query = apply_rope(query, offset=offset)
        key = apply_rope(key, offset=offset)
        heads, _ = scaled_dot_product_attention(query, key, value, causal_mask(length))
        merged = heads.transpose(1, 2).reshape(batch, length, d_model)
        return self.output_projection(merged)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 6, "grade_id": "check-RotarySelfAttention", "schema_version": 3, "cell_type": "code"}
check("04-attention-layer.RotarySelfAttention", RotarySelfAttention)

# %% [markdown]
r"""
## In words · Why divide by $\sqrt{d}$?

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

A fellow student has left the division out of Exercise 2. With `head_dim = 4` the model learned; with
`head_dim = 1024` it hardly does. Explain, in about ten sentences with the formulas you need:

1. How large a dot product of a query and a key is, as `head_dim` grows, when their entries are independent with mean
   0 and variance 1.
2. What such scores do to the softmax.
3. What that does to the gradients, and so to learning.
4. Why the division is by $\sqrt{d}$ and not by $d$.

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 4, "grade_id": "why_divide_by_root_d", "schema_version": 3, "cell_type": "markdown"}
r"""
A dot product is a sum of $d$ products, $s = \sum_{i=1}^{d} q_i k_i$. Each product has mean $E[q_i]\,E[k_i] = 0$ and
variance $E[q_i^2]\,E[k_i^2] = 1$. The products are independent, so their variances add up: $\mathrm{Var}(s) = d$, and a
typical score is as large as the standard deviation $\sqrt d$. For $d = 4$ that is 2, for $d = 1024$ it is 32.

The softmax turns differences of scores into ratios of weights: two scores that differ by $32$ get weights whose ratio
is $e^{32}$. So one key takes nearly all the weight and the others nearly none. Compare the scores $(4, 5)$, which give
$(0.27, 0.73)$, with $(1, 10)$, which give $(0.0001, 0.9999)$: the softmax is saturated.

The derivative of weight $w_i$ by score $s_j$ is $w_i(\delta_{ij} - w_j)$. If one weight is nearly 1 and the others
nearly 0, each of these is nearly 0. So hardly any gradient reaches queries and keys through the scores, and their
projections stop learning, whichever key happened to win at the start.

Since $\mathrm{Var}(aX) = a^2\,\mathrm{Var}(X)$, dividing by $\sqrt d$ brings the variance from $d$ to $d / d = 1$,
whatever the width. Dividing by $d$ would bring it to $d / d^2 = 1/d$: for wide heads all scores would be close to 0, all
weights close to $1/m$, and attention would be little more than a mean of the values.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **Variance** (1): the variance of the sum is $d$ because $d$ independent terms of variance 1 add up; size
   $\sqrt d$. Only "dot products get large" is half a point.
2. **Softmax** (1): large differences of scores make one weight nearly 1 and the others nearly 0. Any correct numbers
   or a sketch serve as the reason.
3. **Gradient** (1): the derivative $w_i(\delta_{ij} - w_j)$ (or "the softmax is flat there") is nearly 0, so query
   and key projections hardly learn. "Training is unstable" without a reason is no point; "gradients vanish" without a
   reason is half a point.
4. **Root** (1): $\mathrm{Var}(aX) = a^2 \mathrm{Var}(X)$ gives variance 1 for $1/\sqrt d$, and $1/d$ for $1/d$, which
   makes the weights too even.

### END MARK SCHEME
"""
