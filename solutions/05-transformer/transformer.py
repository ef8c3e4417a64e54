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
# Assignment 05 · The transformer

You build the transformer around an attention layer that is given: the normalisation, the feed-forward network, the two
kinds of block, the loss, the learning rate and the decoding. Seven short exercises, one larger piece (the whole model)
and one question that you answer in words. Together they are worth **32 points** and take about two and a half hours.
The chapter *The transformer* teaches everything you need.

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
**True = may be attended to**, and broadcasts to `(batch, num_heads, n, m)`. Word ids are integers; sentences of a batch
are padded at the **end** with `PAD`; a target ends with `END`.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check

PAD, START, END = 0, 1, 2  # the ids of <pad>, <start> and <end>

# %% [markdown]
r"""
## What is given

The layer that you built in assignment 04, its masks and its positions, and the decoding of assignment 02. Read them
once; you call all of them.
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


def causal_mask(length: int) -> Tensor:
    """True where key j <= query i, (length, length)."""
    return torch.ones(length, length, dtype=torch.bool).tril()


def padding_mask(length: int, lengths: Tensor | None) -> Tensor | None:
    """True where a sentence has a word, (batch, 1, 1, length); None where there is no padding."""
    return None if lengths is None else (torch.arange(length) < lengths[:, None])[:, None, None]


def sinusoidal_positions(length: int, d_model: int) -> Tensor:
    """Sines on the even channels and cosines on the odd ones, (length, d_model)."""
    pairs = torch.arange(0, d_model, 2, dtype=torch.float64)
    angles = torch.arange(length, dtype=torch.float64)[:, None] / 10000.0 ** (pairs / d_model)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2).to(torch.get_default_dtype())


def shift_right(target: Tensor) -> Tensor:
    """<start>, then the target without its last column, (batch, length)."""
    return torch.cat([torch.full_like(target[:, :1], START), target[:, :-1]], dim=1)


def greedy_decode(step: Callable, state: object, *, batch_size: int, max_length: int) -> Tensor:
    """Write the likeliest word at each step, until every sentence has ended or max_length words are written.

    `step(token, state)` takes the previous words (batch,), <start> at first, and the state; it gives the logits of the
    next words (batch, vocab_size) and the new state.
    """
    token = torch.full((batch_size,), START)
    ended = torch.zeros(batch_size, dtype=torch.bool)
    written = []
    while len(written) < max_length and not ended.all():
        logits, state = step(token, state)
        token = logits.argmax(dim=-1).masked_fill(ended, PAD)
        ended = ended | (token == END)
        written.append(token)
    return torch.stack(written, dim=1)


# %% [markdown]
r"""
## Exercise 1 · Layer normalisation

**Difficulty** ●○○ · **Importance** ●●● · **10 min** · **3 points**

Bring each vector to mean 0 and variance 1 over its own channels, then let two learned vectors stretch and shift it:

$$\mathrm{LayerNorm}(x) = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}} \odot w + b$$

$\mu$ and $\sigma^2$ are the mean and the variance of **one** vector's `d_model` numbers. The variance divides by
`d_model`, not by `d_model - 1`. Whatever stands at other positions, or in other sentences, plays no part.

With $w = 1$, $b = 0$ and $\varepsilon = 0$, the vector $[1, 3, 5, 7]$ has mean 4 and variance 5, and becomes
$[-3, -1, 1, 3] / \sqrt 5$.

`F.layer_norm`, `nn.LayerNorm` and their like are ruled out here. From Exercise 3 on you use `nn.LayerNorm`, which is
your function with $w$ and $b$ kept in a module.

<details><summary>A question to start with</summary>

`x` is `(batch, length, d_model)`. How many means are there, and what is the shape of their tensor?

</details>

<details><summary>A hint</summary>

```
mean     = over the last axis, kept as an axis of size 1
centred  = x - mean
variance = mean of the squares of centred, over the last axis, kept
centred / root of (variance + eps), times weight, plus bias
```

</details>

<details><summary>My numbers are off</summary>

- *Off by a factor that depends on the width only:* `x.var()` and `x.std()` divide by `d_model - 1` unless you say
  `correction=0`.
- *Right for one vector, wrong for a batch:* mean and variance run over the last axis only.
- *Right for large numbers, wrong for small ones:* $\varepsilon$ stands inside the root.
- *A shape error, or numbers that mix:* keep the axis with `keepdim=True`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "layer_norm", "schema_version": 3, "cell_type": "code"}
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Bring each vector to mean 0 and variance 1 over its channels, then scale and shift each channel.

    Args:
        x: (..., d_model).
        weight: the scale of each channel, (d_model,).
        bias: the shift of each channel, (d_model,).
        eps: added to the variance.

    Returns:
        (..., d_model).
    """
    ### BEGIN SOLUTION
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)  # (..., 1)
    return centred / (variance + eps).sqrt() * weight + bias
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-layer_norm", "schema_version": 3, "cell_type": "code"}
check("05-transformer.layer_norm", layer_norm)

# %% [markdown]
r"""
## Exercise 2 · The feed-forward network

**Difficulty** ●○○ · **Importance** ●●○ · **5 min** · **2 points**

Attention mixes positions; this network works on each of them alone, the same for all:

$$\mathrm{FeedForward}(x) = \max(0,\; x W_1 + b_1)\, W_2 + b_2$$

$W_1$ widens from `d_model` to `dim_feedforward`, $W_2$ comes back. Write the constructor and the forward pass, with two
`nn.Linear` called `linear1` and `linear2`.

<details><summary>A question to start with</summary>

Which axis of its input does `nn.Linear` act on, and what happens to all the others?

</details>

<details><summary>A hint</summary>

```
linear1: d_model → dim_feedforward
linear2: dim_feedforward → d_model
forward: linear1, negative numbers to zero, linear2
```

</details>

<details><summary>My numbers are off</summary>

- *"it has no linear1.weight":* the attributes' names are fixed, and `super().__init__()` must stand first.
- *Never negative:* the ReLU stands between the two layers, not after them.
- *Everything is off by the input:* the residual connection belongs to the block, not in here.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "FeedForward", "schema_version": 3, "cell_type": "code"}
class FeedForward(nn.Module):
    """Linear, ReLU, linear, on each position alone.

    Args:
        d_model: width of the inputs and of the output.
        dim_feedforward: width between the two layers.

    Attributes:
        linear1, linear2: nn.Linear with bias.
    """

    def __init__(self, *, d_model: int, dim_feedforward: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Act on each position.

        Args:
            x: (..., d_model).

        Returns:
            (..., d_model).
        """
        ### BEGIN SOLUTION
        return self.linear2(self.linear1(x).relu())
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-FeedForward", "schema_version": 3, "cell_type": "code"}
check("05-transformer.FeedForward", FeedForward)

# %% [markdown]
r"""
## Exercise 3 · The encoder's block

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

A block has two sub-layers, and after each of them stands "add and norm": the sub-layer's input is added to its output,
then the sum is normalised.

$$x_1 = \mathrm{LayerNorm}_1\big(x + \mathrm{Attention}(x, x, x)\big), \qquad
x_2 = \mathrm{LayerNorm}_2\big(x_1 + \mathrm{FeedForward}(x_1)\big)$$

The constructor is given. `self.self_attention(query, key, value, mask)` returns the output and the weights; the block
returns $x_2$ alone. With `causal_mask` as its mask, this is also the block of a model that has a decoder only.

`nn.TransformerEncoderLayer` is ruled out, here and later.

<details><summary>A question to start with</summary>

Of which tensor is the second residual connection a copy: the block's input, or what the first norm gave?

</details>

<details><summary>A hint</summary>

```
attended = self-attention of x, with the mask
x = norm1 of (x + attended)
x = norm2 of (x + feed-forward of x)
```

</details>

<details><summary>My numbers are off</summary>

- *A tuple where a tensor is expected:* attention returns two things.
- *Everything differs a little:* the norm comes after the addition, and what is added is the sub-layer's own input.
- *Mean and variance of each output vector are not those of `norm2`:* the last thing the block does is to normalise.
- *Only the line about the mask:* it goes into the attention.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "EncoderBlock", "schema_version": 3, "cell_type": "code"}
class EncoderBlock(nn.Module):
    """Self-attention, then the feed-forward network, each followed by "add and norm".

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads.
        dim_feedforward: width inside the feed-forward network.
    """

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """One vector in, one vector out, for each position.

        Args:
            x: (batch, length, d_model).
            mask: boolean, broadcastable to (batch, num_heads, length, length), True where row may attend to column.

        Returns:
            (batch, length, d_model).
        """
        ### BEGIN SOLUTION
        attended, _ = self.self_attention(x, x, x, mask)
        x = self.norm1(x + attended)
        return self.norm2(x + self.feed_forward(x))
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-EncoderBlock", "schema_version": 3, "cell_type": "code"}
check("05-transformer.EncoderBlock", EncoderBlock)

# %% [markdown]
r"""
## Exercise 4 · The decoder's block

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

Between the two sub-layers of Exercise 3, the decoder looks at the source. In this **cross-attention** the query comes
from the decoder; key and value come from the encoder's output, the *memory*.

$$x_1 = \mathrm{LayerNorm}_1\big(x + \mathrm{SelfAttention}(x)\big), \quad
x_2 = \mathrm{LayerNorm}_2\big(x_1 + \mathrm{CrossAttention}(x_1, \mathrm{memory})\big), \quad
x_3 = \mathrm{LayerNorm}_3\big(x_2 + \mathrm{FeedForward}(x_2)\big)$$

There are two masks. `mask` is for the self-attention, where a decoder hides the future; `memory_mask` is for the
cross-attention, where the padding of the source is hidden. The memory itself is normalised no further: the encoder has
done that.

`nn.TransformerDecoderLayer` is ruled out, here and later.

<details><summary>A question to start with</summary>

The target has $n$ words and the source $m$. What is the shape of the weights of the cross-attention, and which of its axes belongs to the query?

</details>

<details><summary>A hint</summary>

```
x = norm1 of (x + self-attention of x, with mask)
x = norm2 of (x + cross-attention: query x, key and value memory, with memory_mask)
x = norm3 of (x + feed-forward of x)
```

</details>

<details><summary>My numbers are off</summary>

- *The output does not depend on the memory:* both arguments after the query are the memory.
- *A shape error in the second addition:* the query is the decoder's, so the output is as long as the target.
- *Right without masks:* which mask goes where?
- *Everything is off, also without masks:* `norm1`, `norm2`, `norm3` stand in this order, one after each addition, and
  the query is what `norm1` gave.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "DecoderBlock", "schema_version": 3, "cell_type": "code"}
class DecoderBlock(nn.Module):
    """Self-attention, cross-attention to the memory, the feed-forward network, each followed by "add and norm".

    Args:
        d_model: width of x, of the memory and of the output.
        num_heads: number of heads of both attentions.
        dim_feedforward: width inside the feed-forward network.
    """

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.cross_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)

    def forward(
        self, x: Tensor, memory: Tensor, *, mask: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """One vector in, one vector out, for each target position.

        Args:
            x: (batch, n, d_model).
            memory: the encoder's output, (batch, m, d_model).
            mask: boolean, broadcastable to (batch, num_heads, n, n), for the self-attention.
            memory_mask: boolean, broadcastable to (batch, num_heads, n, m), for the cross-attention.

        Returns:
            (batch, n, d_model).
        """
        ### BEGIN SOLUTION
        attended, _ = self.self_attention(x, x, x, mask)
        x = self.norm1(x + attended)
        looked, _ = self.cross_attention(x, memory, memory, memory_mask)
        x = self.norm2(x + looked)
        return self.norm3(x + self.feed_forward(x))
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-DecoderBlock", "schema_version": 3, "cell_type": "code"}
check("05-transformer.DecoderBlock", DecoderBlock)

# %% [markdown]
r"""
## Exercise 5 · A softer target

**Difficulty** ●●○ · **Importance** ●●○ · **15 min** · **3 points**

Cross-entropy asks for all the probability on one word, which no finite logits can give. Label smoothing asks for a
little less: $1 - \varepsilon$ on the right word, and $\varepsilon$ spread evenly over **all** $V$ words, the right one
included. The loss of one position is

$$-(1 - \varepsilon) \log p(\mathrm{target}) \;-\; \frac{\varepsilon}{V} \sum_{k=1}^{V} \log p(k)$$

Average it over all positions of the batch that are not padding, each position weighing the same. Logits may lie in the
hundreds, so take the logarithm and the softmax in one step.

With two words, $p = (\tfrac34, \tfrac14)$, the first being right, and $\varepsilon = 0.1$, the loss is
$-0.95 \ln\tfrac34 - 0.05 \ln\tfrac14 = 0.343$.

`F.cross_entropy`, `nn.CrossEntropyLoss`, `F.nll_loss` and `nn.NLLLoss` are ruled out.

<details><summary>A question to start with</summary>

The second term is a mean. Over which axis of the log-probabilities, `(batch, length, vocab_size)`?

</details>

<details><summary>A hint</summary>

```
log p    = log_softmax of the logits over the words
right    = log p of each position's target              (batch, length)
even     = mean of log p over the words                 (batch, length)
loss     = -(1 - ε) · right - ε · even
average of the loss where the target is not padding
```

</details>

<details><summary>My numbers are off</summary>

- *A little too small or too large, with $\varepsilon > 0$ only:* the right word takes part in the even share too.
- *Right without padding:* padding neither adds to the sum nor counts in the mean.
- *inf or NaN for large logits:* `log(softmax(x))` is not `log_softmax(x)` on a computer.
- *Right for sentences of equal length:* average over all words of the batch, not over each sentence first.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "label_smoothed_cross_entropy", "schema_version": 3, "cell_type": "code"}
def label_smoothed_cross_entropy(logits: Tensor, target: Tensor, *, smoothing: float = 0.1, pad: int = PAD) -> Tensor:
    """Cross-entropy against 1 - smoothing on the right word and smoothing spread evenly over all words.

    Args:
        logits: (batch, length, vocab_size).
        target: word ids, (batch, length).
        smoothing: from 0 (plain cross-entropy) to 1.
        pad: the id that does not count.

    Returns:
        The mean over the positions that are not padding, 0-dimensional.
    """
    ### BEGIN SOLUTION
    valid = target != pad  # (batch, length)
    log_probability = logits.log_softmax(dim=-1)  # (batch, length, vocab_size)
    right = log_probability.gather(-1, target[..., None]).squeeze(-1)  # (batch, length)
    even = log_probability.mean(dim=-1)  # (batch, length)
    loss = -(1 - smoothing) * right - smoothing * even
    return (loss * valid).sum() / valid.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-label_smoothed_cross_entropy", "schema_version": 3, "cell_type": "code"}
check("05-transformer.label_smoothed_cross_entropy", label_smoothed_cross_entropy)

# %% [markdown]
r"""
## Exercise 6 · The learning rate of a step

**Difficulty** ●○○ · **Importance** ●●○ · **5 min** · **2 points**

The transformer's first steps are the dangerous ones. So the learning rate starts near zero, rises in a straight line
for `warmup_steps` steps, and then falls with the root of the steps:

$$\mathrm{rate}(s) = d_{\mathrm{model}}^{-1/2} \cdot \min\!\left(s^{-1/2},\; s \cdot \mathrm{warmup\_steps}^{-3/2}\right)$$

The formula counts $s = 1, 2, 3 \dots$; a training loop counts `step = 0, 1, 2 …`. With `d_model = 64` and
`warmup_steps = 25`, step 0 has the rate $\tfrac18 \cdot \tfrac1{125} = 0.001$, step 24 has
$\tfrac18 \cdot \tfrac15 = 0.025$, and step 99 has half of that.

<details><summary>A question to start with</summary>

Which of the two numbers in the minimum is the smaller one at the start, and at which $s$ are they equal?

</details>

<details><summary>A hint</summary>

```
s = step + 1
min of (s to the power -½) and (s times warmup_steps to the power -1½)
times d_model to the power -½
```

</details>

<details><summary>My numbers are off</summary>

- *A ZeroDivisionError, or a rate of 0, at the first step:* the formula counts from 1.
- *It falls first and rises later:* the smaller number counts.
- *The peak is wrong:* at $s = $ `warmup_steps` both numbers are `warmup_steps` to the power $-\tfrac12$.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "warmup_schedule", "schema_version": 3, "cell_type": "code"}
def warmup_schedule(step: int, *, d_model: int, warmup_steps: int) -> float:
    """The learning rate of a step: a line up, then down with the root of the steps.

    Args:
        step: counted from 0.
        d_model: width of the model.
        warmup_steps: number of steps on the way up.

    Returns:
        The learning rate.
    """
    ### BEGIN SOLUTION
    s = step + 1
    return d_model**-0.5 * min(s**-0.5, s * warmup_steps**-1.5)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-warmup_schedule", "schema_version": 3, "cell_type": "code"}
check("05-transformer.warmup_schedule", warmup_schedule)

# %% [markdown]
r"""
## Exercise 7 · Translate

**Difficulty** ●●● · **Importance** ●●● · **20 min** · **4 points**

In use there is no right sentence to read. The decoder reads `<start>`, writes a word, reads it together with what came
before, writes the next. A recurrent network carries what it has read in its state; a transformer has none, so its
"state" is **all words so far**, and the decoder runs over them again at each step.

- `encode(source, lengths)` gives the memory. It is the expensive part that does not change: call it **once**.
- `decode(tokens, memory, lengths)` gives logits `(batch, words so far, vocab_size)`, one row for each token that it
  reads. The tokens begin with `<start>`.
- Take the likeliest word. A sentence that has written `END` is finished: only `PAD` follows.
- Stop when every sentence has finished, or when `max_length` words are written, `END` included. `<start>` is read and
  never written.

Write a function `step(token, state)` and hand it to `greedy_decode`, which is given; or write the loop yourself.

<details><summary>A question to start with</summary>

After $k$ steps the decoder gives $k$ rows of logits. Which of them is about the word that comes next?

</details>

<details><summary>A hint</summary>

```
memory = encode(source, lengths)
step(token, written):
    written = written with the token as one more column         (batch, words so far)
    logits  = decode(written, memory, lengths)
    give the logits of the last position, and written
first state: no words yet, an integer tensor (batch, 0)
greedy_decode(step, first state, ...)
```

</details>

<details><summary>My numbers are off</summary>

- *The first word is right, then it goes wrong:* the decoder must read all words so far, not only the last one.
- *The same word again and again:* take the logits of the last position.
- *`<start>` stands in front of each translation:* it is read, not written.
- *One word too many at the end:* `max_length` counts the words that are written.
- *Only the line about encoding once:* the source is read before the first step, not at each of them.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "translate", "schema_version": 3, "cell_type": "code"}
def translate(
    encode: Callable[[Tensor, Tensor | None], Tensor],
    decode: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    source: Tensor,
    lengths: Tensor | None = None,
    *,
    max_length: int,
) -> Tensor:
    """The greedy translation: encode once, then write one word at a time.

    Args:
        encode: takes the source and its lengths, gives the memory.
        decode: takes tokens (batch, words so far), the memory and the lengths; gives logits
            (batch, words so far, vocab_size).
        source: ids, (batch, source_length).
        lengths: number of words of each source, (batch,). None: no padding.
        max_length: the largest number of words to write, END included.

    Returns:
        Ids, (batch, steps) with steps <= max_length: each row ends with END, if it came in time, then PAD.
    """
    ### BEGIN SOLUTION
    memory = encode(source, lengths)

    def step(token: Tensor, written: Tensor) -> tuple[Tensor, Tensor]:
        written = torch.cat([written, token[:, None]], dim=1)  # (batch, words so far)
        logits = decode(written, memory, lengths)
        return logits[:, -1], written

    return greedy_decode(step, source[:, :0], batch_size=len(source), max_length=max_length)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-translate", "schema_version": 3, "cell_type": "code"}
check("05-transformer.translate", translate)

# %% [markdown]
r"""
## The larger piece · The whole model

**Difficulty** ●●● · **Importance** ●●● · **40 min** · **6 points**

Put everything together. The constructor is given; you write the three methods.

- **`encode`** reads the source: embedding plus positions, then the encoder's blocks one after the other. Where
  `lengths` says that a sentence ends early, no position may attend to its padding.
- **`decode`** reads target words: embedding plus positions, then the decoder's blocks, then `self.output`. No position
  may attend to a later one, and none to the padding of the source. It returns logits, not probabilities.
- **`forward`** trains on all positions at once. It gets the target that is to be predicted. What the decoder may read
  at position $i$ are the words *before* $i$: `<start>` stands in front, and everything moves one place to the right.

Padding at the end of the **target** needs no mask of its own. Why not?

Positions are added to the embeddings as they are; embeddings are not scaled here. `nn.Transformer` and its parts are
ruled out.

<details><summary>A question to start with</summary>

`how are you` becomes `come stai`. Write down the three ids that the decoder reads and the three that it must predict, one below the other.

</details>

<details><summary>A hint</summary>

```
encode: x = source_embedding(source) + sinusoidal_positions(length, d_model)
        each block: x = block(x, padding mask of the source)
decode: x = target_embedding(tokens) + positions
        each block: x = block(x, memory, mask = causal, memory_mask = padding mask of the source)
        output(x)
forward: decode(shifted target, encode(source, lengths), lengths)
```

</details>

<details><summary>My numbers are off</summary>

- *Right without `lengths`:* the padding mask is needed twice, in `encode` and in `decode`.
- *The future leaks:* the causal mask goes into every block of the decoder.
- *`decode` is right and `forward` is not:* the decoder must read the target shifted by one.
- *The order of the words makes no difference:* where are the positions?
- *Rows that sum to one:* return logits, without a softmax.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "TransformerEncoderDecoder", "schema_version": 3, "cell_type": "code"}
class TransformerEncoderDecoder(nn.Module):
    """From source ids and target ids to the logits of every target word.

    Args:
        source_size, target_size: words of the two vocabularies.
        d_model: width of all vectors between the blocks, even.
        num_heads: number of heads.
        num_layers: number of encoder blocks, and of decoder blocks.
        dim_feedforward: width inside the feed-forward networks.
    """

    def __init__(
        self,
        *,
        source_size: int,
        target_size: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dim_feedforward: int,
    ) -> None:
        super().__init__()
        sizes = {"d_model": d_model, "num_heads": num_heads, "dim_feedforward": dim_feedforward}
        self.d_model = d_model
        self.source_embedding = nn.Embedding(source_size, d_model)
        self.target_embedding = nn.Embedding(target_size, d_model)
        self.encoder = nn.ModuleList(EncoderBlock(**sizes) for _ in range(num_layers))
        self.decoder = nn.ModuleList(DecoderBlock(**sizes) for _ in range(num_layers))
        self.output = nn.Linear(d_model, target_size)

    def encode(self, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Read the source.

        Args:
            source: ids, (batch, source_length), padded at the end.
            lengths: number of words of each, (batch,). None: no padding.

        Returns:
            The memory, (batch, source_length, d_model).
        """
        ### BEGIN SOLUTION
        x = self.source_embedding(source) + sinusoidal_positions(source.shape[1], self.d_model)
        mask = padding_mask(source.shape[1], lengths)
        for block in self.encoder:
            x = block(x, mask)
        return x
        ### END SOLUTION

    def decode(self, tokens: Tensor, memory: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The logits of the word after each of the given ones.

        Args:
            tokens: ids of the previous words, (batch, target_length), beginning with <start>.
            memory: from `encode`, (batch, source_length, d_model).
            lengths: number of words of each source, (batch,). None: no padding.

        Returns:
            (batch, target_length, target_size).
        """
        ### BEGIN SOLUTION
        x = self.target_embedding(tokens) + sinusoidal_positions(tokens.shape[1], self.d_model)
        mask = causal_mask(tokens.shape[1])
        memory_mask = padding_mask(memory.shape[1], lengths)
        for block in self.decoder:
            x = block(x, memory, mask=mask, memory_mask=memory_mask)
        return self.output(x)
        ### END SOLUTION

    def forward(self, source: Tensor, target: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The logits of all target words when the previous ones are given.

        Args:
            source, lengths: as for `encode`.
            target: ids to predict, (batch, target_length).

        Returns:
            (batch, target_length, target_size).
        """
        ### BEGIN SOLUTION
        return self.decode(shift_right(target), self.encode(source, lengths), lengths)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 6, "grade_id": "check-TransformerEncoderDecoder", "schema_version": 3, "cell_type": "code"}
check("05-transformer.TransformerEncoderDecoder", TransformerEncoderDecoder)

# %% [markdown]
r"""
## In words · All at once, one by one

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

A fellow student trains a transformer to translate. Her training loss falls to nearly zero within minutes, faster than
anybody else's. Yet her model writes nonsense as soon as it translates by itself. She had left out the causal mask.
Explain, in about ten sentences:

1. Why the decoder can be trained on all positions of a sentence in one pass, while it must write them one by one; how
   many passes a sentence of $n$ words takes in each case.
2. What stands at the decoder's input and what at its output during training, and why the two are shifted by one.
3. What her model learned instead of translating, and why its loss was so low.
4. Why a recurrent decoder needs no such mask, and what it pays for that.

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 4, "grade_id": "all_at_once_one_by_one", "schema_version": 3, "cell_type": "markdown"}
r"""
In training the right sentence is known. The input of every position is given before the pass begins, so no position
has to wait for another one's output, and one pass computes the logits and the loss of all of them. In use, the input of
position $i$ is the word that was written at position $i - 1$, which does not exist before that step is done. So $n$
words and the `<end>` take $n + 1$ passes, one after the other.

The decoder reads `<start>`, $y_1, \dots, y_n$ and must predict $y_1, \dots, y_n$, `<end>`. At position $i$ it reads the
words up to $y_{i-1}$ and predicts $y_i$. Without the shift it would read the very word that it is to predict at the
same position.

Without the mask, position $i$ may attend to position $i + 1$, whose input is $y_i$: the answer itself. So the model
learned to look one place to the right and to copy. That is much easier than translating, and it makes the loss nearly
zero, because in training the answer always stands there. In use nothing stands to the right. The model looks for a
word that has not been written, and has never learned what to do without it.

A recurrent decoder computes position $i$ from the state of position $i - 1$ and the word $y_{i-1}$; later words come in
later, so they cannot leak. But each state waits for the one before it, also in training. A sentence of $n$ words takes
$n$ steps one after the other, which no parallel machine can shorten.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **Passes** (1): in training all inputs are known beforehand, one pass; in use each word is the next one's input,
   $n + 1$ passes (or $n$, if `<end>` is not counted).
2. **Shift** (1): `<start>` and the words before, against the words and `<end>`; without the shift a position reads its
   own answer. Both sequences named without a reason is half a point.
3. **Copying** (1): the answer stands one place to the right at the input; copying it is easy, and impossible in use.
   "It cheats" or "the future leaks" without saying what is looked at is half a point.
4. **Recurrent** (1): order of computation keeps later words out; the price is that steps wait for each other in
   training too. Each half is half a point.

### END MARK SCHEME
"""
