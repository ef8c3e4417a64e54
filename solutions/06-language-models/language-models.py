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
# Assignment 06 · Language models and decoding

You build a language model of characters, from the tokens to the perplexity, and then everything that turns its
predictions into text: nine short exercises, one larger piece and one question that you answer in words. Together they
are worth **34 points** and take about three hours. The chapter *Language models and decoding* teaches everything you
need.

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

Two exercises draw by chance. There you may draw in any way you like: what is graded is the **distribution** of many
draws. A right answer is refused by bad luck less than once in ten million times.

## How to hand in

Choose *Kernel → Restart and run all cells*, look at the checks once more, save, and submit this file under its own
name.

Hand in your own work: talk about ideas with others, write the code and the answer yourself.

## Conventions

A token is an integer, its **id**, from 0 to `vocab_size - 1`. Texts are `(batch, length)`, vectors `(batch, length,
d_model)`, heads `(batch, heads, length, head_dim)`; `...` stands for any number of leading axes, also none. A mask is
boolean, and **True means that the query may attend to the key**. A token that is ruled out has the logit $-\infty$.
Where a function takes a `torch.Generator`, all its chance comes from there.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check

Cache = tuple[Tensor, Tensor]
# Takes the previous tokens (batch,) and a state; gives the logits (batch, vocab_size) and the new state.
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]

# %% [markdown]
r"""
The blocks that you build on are given: you wrote their like in the assignments before.
"""


# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "blocks", "schema_version": 3, "cell_type": "code"}
def causal_mask(length: int) -> Tensor:
    """True where key j <= query i, (length, length)."""
    return torch.ones(length, length, dtype=torch.bool).tril()


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(batch, length, d_model) -> (batch, num_heads, length, head_dim)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(batch, num_heads, length, head_dim) -> (batch, length, d_model)."""
    return x.transpose(1, 2).flatten(-2)


class MultiHeadAttention(nn.Module):
    """Attention in num_heads heads; the mask, if there is one, broadcasts to (batch, num_heads, n, m)."""

    def __init__(self, *, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_projection = nn.Linear(d_model, d_model)
        self.value_projection = nn.Linear(d_model, d_model)
        self.output_projection = nn.Linear(d_model, d_model)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, n, d_model) and twice (batch, m, d_model) -> (batch, n, d_model)."""
        queries = split_heads(self.query_projection(query), self.num_heads)  # (batch, heads, n, head_dim)
        keys = split_heads(self.key_projection(key), self.num_heads)  # (batch, heads, m, head_dim)
        values = split_heads(self.value_projection(value), self.num_heads)
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # (batch, heads, n, m)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return self.output_projection(merge_heads(scores.softmax(dim=-1) @ values))


class FeedForward(nn.Module):
    """Two layers on each position alone."""

    def __init__(self, *, d_model: int, dim_feedforward: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) -> (..., d_model)."""
        return self.linear2(self.linear1(x).relu())


class Block(nn.Module):
    """Self-attention and a feed-forward network, each followed by "add and norm"."""

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, length, d_model) -> (batch, length, d_model); the mask broadcasts to (length, length)."""
        x = self.norm1(x + self.self_attention(x, x, x, mask))
        return self.norm2(x + self.feed_forward(x))


# %% [markdown]
r"""
## Exercise 1 · Characters as tokens

**Difficulty** ●○○ · **Importance** ●●○ · **10 min** · **2 points**

The simplest tokens are characters. The vocabulary is made of the **different** characters of a text, **sorted**; the
id of a character is its place there, counted from 0. For the text `"banana"`:

| character | a | b | n |
|---|---|---|---|
| id | 0 | 1 | 2 |

so `encode("nab")` is the tensor $[2, 0, 1]$, and `decode` of that is `"nab"` again. A character that the vocabulary
does not hold cannot be encoded: raise `ValueError`.

<details><summary>A question to start with</summary>

What is `sorted(set("banana"))`?

</details>

<details><summary>A hint</summary>

```
characters = the different characters, sorted                     a list
encode: the place of each character in the list                   a tensor of whole numbers
        a character that is not there: raise ValueError
decode: the character at each id, joined to one string
```

`torch.tensor([])` holds floating-point numbers unless you say `dtype=torch.long`.

</details>

<details><summary>My numbers are off</summary>

- *Right for some texts, wrong for others:* without `sorted`, the order is that of the text, or none at all.
- *It raised KeyError:* a dictionary says it so; the exercise asks for `ValueError`.
- *The output must be a tensor, it is a list:* wrap it in `torch.tensor`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "CharTokenizer", "schema_version": 3, "cell_type": "code"}
class CharTokenizer:
    """Characters as tokens: the different characters of a text, sorted, and their places as ids.

    Args:
        text: holds every character that will be needed.

    Attributes:
        characters: all characters; the id of one is its place.
    """

    def __init__(self, text: str) -> None:
        ### BEGIN SOLUTION
        self.characters = sorted(set(text))
        ### END SOLUTION

    def encode(self, text: str) -> Tensor:
        """The id of each character.

        Args:
            text: may be empty.

        Returns:
            Integers, (length,).

        Raises:
            ValueError: if a character is not in the vocabulary.
        """
        ### BEGIN SOLUTION
        place = {character: i for i, character in enumerate(self.characters)}
        if not set(text) <= set(place):
            raise ValueError(f"not in the vocabulary: {set(text) - set(place)}")
        return torch.tensor([place[character] for character in text], dtype=torch.long)
        ### END SOLUTION

    def decode(self, ids: Tensor) -> str:
        """The text of some ids.

        Args:
            ids: integers, (length,).

        Returns:
            The text.
        """
        ### BEGIN SOLUTION
        return "".join(self.characters[i] for i in ids.tolist())
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-CharTokenizer", "schema_version": 3, "cell_type": "code"}
check("06-language-models.CharTokenizer", CharTokenizer)

# %% [markdown]
r"""
## Exercise 2 · Windows of a text

**Difficulty** ●●○ · **Importance** ●●● · **12 min** · **3 points**

A language model reads a window of the text and predicts, at **each** position, the token that follows. So one window
of `length` tokens is `length` exercises at once, and the targets are the same text **one token later**:

| | | | | | |
|---|---|---|---|---|---|
| the text | 7 | 3 | 9 | 4 | 1 |
| inputs of length 3, from place 1 | | 3 | 9 | 4 | |
| targets | | | 9 | 4 | 1 |

Draw the place where each window starts, independently, and each possible place with the same probability. A place is
possible if the window **and its last target** lie within the text: the first is 0, and for the text above and windows
of 3 the last is 1. Return inputs and targets, `(batch_size, length)` each. If the text is too short for a single
window with its targets, raise `ValueError`.

All chance comes from `generator`.

<details><summary>A question to start with</summary>

A text of $n$ tokens and windows of $\ell$: the target of a window's last token stands at its start plus $\ell$. What
is the largest start? How many starts are there?

</details>

<details><summary>A hint</summary>

```
places = number of tokens - length
if places is below 1: raise ValueError
starts = batch_size whole numbers from 0 to places - 1, drawn with the generator       torch.randint
for each start: input  = length tokens from start on
                target = length tokens from start + 1 on
stack them
```

</details>

<details><summary>My numbers are off</summary>

- *"some outcome comes far more or far less often":* is one of the places never drawn? Are all rows the same?
- *"draws are impossible":* the targets are not the inputs one token later, or a row is no window.
- *"stack expects each tensor to be equal size", or an index out of range:* the last start is one too large, and its
  window runs off the end of the text.
- *"changes with the state of PyTorch's own generator":* pass `generator=generator`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "get_batch", "schema_version": 3, "cell_type": "code"}
def get_batch(ids: Tensor, *, batch_size: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cut windows out of a text at random places; the target of each token is the one that follows it.

    Args:
        ids: the text, integers, (text_length,).
        batch_size: number of windows.
        length: tokens of a window.
        generator: the source of chance; each place is as likely as any other.

    Returns:
        Inputs and targets, (batch_size, length) each; the targets begin one token later.

    Raises:
        ValueError: if the text has not one token more than a window.
    """
    ### BEGIN SOLUTION
    places = len(ids) - length
    if places < 1:
        raise ValueError(f"windows of {length} and their targets need {length + 1} tokens, not {len(ids)}")
    starts = torch.randint(places, (batch_size,), generator=generator)
    inputs = torch.stack([ids[start : start + length] for start in starts])
    targets = torch.stack([ids[start + 1 : start + 1 + length] for start in starts])
    return inputs, targets
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-get_batch", "schema_version": 3, "cell_type": "code"}
check("06-language-models.get_batch", get_batch)

# %% [markdown]
r"""
## Exercise 3 · A decoder-only transformer

**Difficulty** ●●○ · **Importance** ●●● · **20 min** · **4 points**

Put the language model together. The constructor is given; write what happens to a batch of texts:

1. Each token becomes its embedding, and the learned vector of its **position** is added. Positions count from 0.
2. All blocks, one after the other, each under a **causal mask**: a position may attend to itself and to the past.
3. A linear layer gives the logits of the next token, at every position.

`ids` is `(batch, length)`, the result is `(batch, length, vocab_size)`. Logits are scores: no softmax. A text longer
than `max_length` has no vectors for its last positions: raise `ValueError`.

<details><summary>A question to start with</summary>

Without the mask, position 3 attends to position 4, whose token it is to predict. What would the training loss do, and
what would the model write?

</details>

<details><summary>A hint</summary>

```
if length is above max_length: raise ValueError
x = embeddings of the tokens + embeddings of the positions 0 … length - 1     (batch, length, d_model)
for each block: x = block(x, causal mask)
result = output layer of x
```

</details>

<details><summary>My numbers are off</summary>

- *"the future leaks":* the mask did not reach the block, or it is inverted.
- *Every entry is wrong, also at position 0:* are the positions added? Do they start at 0? Are all blocks used?
- *It raised IndexError for the long text:* the position embedding noticed before you did. Look first.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "TransformerLM", "schema_version": 3, "cell_type": "code"}
class TransformerLM(nn.Module):
    """A decoder-only transformer: from tokens to the logits of the token after each of them.

    Args:
        vocab_size: number of different tokens.
        d_model: width of the vectors between the blocks.
        num_heads: number of heads, a divisor of d_model.
        num_layers: number of blocks.
        dim_feedforward: width inside the feed-forward networks.
        max_length: the longest text; there is a learned vector for each position.

    Attributes:
        token_embedding, position_embedding: nn.Embedding.
        blocks: nn.ModuleList of Block.
        output: nn.Linear.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dim_feedforward: int,
        max_length: int,
    ) -> None:
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(max_length, d_model)
        self.blocks = nn.ModuleList(
            Block(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward) for _ in range(num_layers)
        )
        self.output = nn.Linear(d_model, vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        """The logits of every next token, in one pass.

        Args:
            ids: tokens, (batch, length).

        Returns:
            (batch, length, vocab_size); position t has seen tokens 0 .. t.

        Raises:
            ValueError: if the text is longer than max_length.
        """
        ### BEGIN SOLUTION
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(f"there are {self.max_length} positions, and the text has {length} tokens")
        positions = torch.arange(length)
        x = self.token_embedding(ids) + self.position_embedding(positions)  # (batch, length, d_model)
        mask = causal_mask(length)
        for block in self.blocks:
            x = block(x, mask)
        return self.output(x)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-TransformerLM", "schema_version": 3, "cell_type": "code"}
check("06-language-models.TransformerLM", TransformerLM)

# %% [markdown]
r"""
## Exercise 4 · Perplexity

**Difficulty** ●○○ · **Importance** ●●● · **8 min** · **2 points**

How good is a language model? Take the probability that it gave to each token that really came, average the negative
logarithms over **all** positions of all texts, and take the exponential:

$$\mathrm{perplexity} = \exp\Big(-\frac{1}{n} \sum_{i=1}^{n} \ln p(\text{token } i \mid \text{tokens before})\Big)$$

It is the number of equally likely tokens among which the model hesitates, on average. Guessing evenly among $V$
tokens has perplexity $V$. Two tokens that got the probabilities $\frac12$ and $\frac18$ have perplexity
$\sqrt{2 \cdot 8} = 4$.

`logits` is `(..., vocab_size)`, `targets` is `(...)`. The model may have been sure and wrong: then $p$ is smaller than
any number the computer can write, and its logarithm must still be right.

<details><summary>A question to start with</summary>

Is the perplexity of a text the mean of the perplexities of its tokens? Try it on $2$ and $8$.

</details>

<details><summary>A hint</summary>

```
log p   = log-softmax of the logits over the vocabulary            (..., vocab_size)
chosen  = its entry at each target                                 (...)
result  = exp(-(mean of all chosen))
```

`tensor.gather(-1, index)` wants an index with as many axes as the tensor.

</details>

<details><summary>My numbers are off</summary>

- *A number between 1 and 5 where more is expected:* is the last exponential missing? Is it of base 2?
- *Too large:* the exponential comes last, after one mean over the logarithms of all positions of all texts.
- *Infinite:* `softmax(...).log()` loses what `log_softmax` keeps.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "perplexity", "schema_version": 3, "cell_type": "code"}
def perplexity(logits: Tensor, targets: Tensor) -> Tensor:
    """e to the mean of -log p(target): among how many equally likely tokens the model hesitates, on average.

    Args:
        logits: (..., vocab_size).
        targets: the tokens that came, (...).

    Returns:
        0-dimensional.
    """
    ### BEGIN SOLUTION
    log_probability = logits.log_softmax(dim=-1)
    chosen = log_probability.gather(-1, targets[..., None])
    return (-chosen.mean()).exp()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-perplexity", "schema_version": 3, "cell_type": "code"}
check("06-language-models.perplexity", perplexity)

# %% [markdown]
r"""
## Exercise 5 · Temperature

**Difficulty** ●○○ · **Importance** ●●● · **8 min** · **2 points**

From logits $x$ to probabilities, with one knob:

$$p_i = \frac{e^{x_i / T}}{\sum_j e^{x_j / T}}$$

Below $T = 1$ the likely tokens become likelier, above they lose to the others. With the logits $\ln 4, \ln 2, \ln 1,
\ln 1$:

| $T$ | probabilities |
|---|---|
| 1 | $\frac{4}{8}, \frac{2}{8}, \frac18, \frac18$ |
| $\frac12$ | $\frac{16}{22}, \frac{4}{22}, \frac{1}{22}, \frac{1}{22}$ |

`logits` is `(..., vocab_size)`, and the sum runs over the last axis. A logit may be $-\infty$, and logits may be
large. A temperature of 0 or below has no meaning here: raise `ValueError`.

<details><summary>A question to start with</summary>

At $T = \frac12$ the odds 4 : 1 have become 16 : 1. Where must the $T$ stand so that odds are squared?

</details>

<details><summary>A hint</summary>

```
if temperature is not above 0: raise ValueError
result = softmax over the last axis of (logits divided by temperature)
```

</details>

<details><summary>My numbers are off</summary>

- *Right for $T = 1$, too flat where it should be sharp:* you multiply by $T$.
- *Rows do not sum to one:* $T$ belongs inside the exponential.
- *NaN for large logits:* $e^{1000}$ is too large for the computer; `softmax` avoids it.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "temperature_softmax", "schema_version": 3, "cell_type": "code"}
def temperature_softmax(logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Probabilities that are sharper below temperature 1 and flatter above: p_i = e^(x_i / T) / Σ_j e^(x_j / T).

    Args:
        logits: the scores x, (..., vocab_size); minus infinity for a token that is ruled out.
        temperature: T, above 0.

    Returns:
        (..., vocab_size); each row sums to one.

    Raises:
        ValueError: if the temperature is not above 0.
    """
    ### BEGIN SOLUTION
    if temperature <= 0:
        raise ValueError(f"a temperature is above 0, not {temperature}")
    return (logits / temperature).softmax(dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-temperature_softmax", "schema_version": 3, "cell_type": "code"}
check("06-language-models.temperature_softmax", temperature_softmax)

# %% [markdown]
r"""
## Exercise 6 · Top-k

**Difficulty** ●●○ · **Importance** ●●○ · **8 min** · **2 points**

Thousands of unlikely tokens hold a good part of the probability together, and one bad draw spoils a text. So keep the
$k$ largest logits **as they are**, in their places, and put $-\infty$ in place of all others. A softmax later gives
the ruled-out tokens the probability 0 and shares everything among the rest. With $k = 2$:

$$[\,1.0,\ 3.0,\ 0.5,\ 2.0\,] \;\to\; [\,-\infty,\ 3.0,\ -\infty,\ 2.0\,]$$

`logits` is `(..., vocab_size)`; each row is filtered on its own. If $k$ is at least `vocab_size`, all stay. If $k$ is
below 1, raise `ValueError`. (Equal logits at the border do not occur here.)

<details><summary>A question to start with</summary>

What is the smallest logit that stays, in a row? With it, the rest is one comparison.

</details>

<details><summary>A hint</summary>

```
if k is below 1: raise ValueError
k = the smaller of k and vocab_size
border = the k-th largest logit of each row                 (..., 1)
put -inf where a logit is below the border
```

`logits.topk(k, dim=-1).values` holds the $k$ largest, the largest first.

</details>

<details><summary>My numbers are off</summary>

- *The shape is `(..., k)`:* the others stay in the tensor, as $-\infty$.
- *The numbers that stay are between 0 and 1:* those are probabilities; a softmax comes later.
- *Right for a single row:* do you have one border for the whole batch?
- *It raised "selected index k out of range":* there are fewer than $k$ tokens.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "top_k_filter", "schema_version": 3, "cell_type": "code"}
def top_k_filter(logits: Tensor, *, k: int) -> Tensor:
    """Keep the k largest logits and rule out the rest.

    Args:
        logits: (..., vocab_size).
        k: how many tokens stay, at least 1. Where it is not below vocab_size, all stay.

    Returns:
        (..., vocab_size): the logits of the k likeliest tokens, and minus infinity for all others.

    Raises:
        ValueError: if k is below 1.
    """
    ### BEGIN SOLUTION
    if k < 1:
        raise ValueError(f"at least one token must stay, but k is {k}")
    k = min(k, logits.shape[-1])
    border = logits.topk(k, dim=-1).values[..., -1:]  # (..., 1)
    return logits.masked_fill(logits < border, -torch.inf)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-top_k_filter", "schema_version": 3, "cell_type": "code"}
check("06-language-models.top_k_filter", top_k_filter)

# %% [markdown]
r"""
## Exercise 7 · Top-p

**Difficulty** ●●● · **Importance** ●●● · **15 min** · **3 points**

Where the model is sure, two tokens are too many; where it is not, two are too few. So do not fix the number but the
**probability**: keep the smallest set of likeliest tokens that holds at least $p$ together. Go from the likeliest
token down. A token stays if those **before** it hold less than $p$:

| probability | 0.5 | 0.25 | 0.15 | 0.1 |
|---|---|---|---|---|
| before it | 0 | 0.5 | 0.75 | 0.9 |
| stays for $p = 0.7$ | yes | yes | no | no |

The second token crosses $p$, and stays. The likeliest always stays. As with top-k, the tokens that stay keep their
**logits** and their places, and the others get $-\infty$.

`logits` is `(..., vocab_size)`; each row is filtered on its own. $p = 1$ keeps all. If $p$ is not above 0 or is above
1, raise `ValueError`.

<details><summary>A question to start with</summary>

The cumulated probabilities of the table are $0.5, 0.75, 0.9, 1$. What do you subtract to get the row "before it"?

</details>

<details><summary>A hint</summary>

```
if p is not above 0, or above 1: raise ValueError
ordered, places = logits, sorted from large to small                 (..., vocab_size) each
probabilities   = softmax of ordered
before          = cumulated sum of probabilities - probabilities
put -inf into ordered where before is at least p
bring everything back to its place
```

`torch.empty_like(x).scatter(-1, places, values)` writes `values[..., j]` to the place `places[..., j]`.

</details>

<details><summary>My numbers are off</summary>

- *One token too few in each row, and none at all for a small $p$:* you drop the token that crosses $p$.
- *The right numbers in the wrong places:* `scatter` brings them back; `gather` does not.
- *Values between 0 and 1:* return logits.
- *The first row of a batch keeps everything:* `cumsum` needs the last axis.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "top_p_filter", "schema_version": 3, "cell_type": "code"}
def top_p_filter(logits: Tensor, *, p: float) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p, and rule out the rest.

    Args:
        logits: (..., vocab_size).
        p: the probability to reach, above 0 and at most 1.

    Returns:
        (..., vocab_size): the logits of the tokens that stay, and minus infinity for all others. A token stays if
        the tokens likelier than it hold less than p together.

    Raises:
        ValueError: if p is not above 0 and at most 1.
    """
    ### BEGIN SOLUTION
    if p <= 0 or p > 1:
        raise ValueError(f"p is a probability above 0 and at most 1, not {p}")
    ordered, places = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    kept = ordered.masked_fill(before >= p, -torch.inf)
    return torch.empty_like(logits).scatter(-1, places, kept)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-top_p_filter", "schema_version": 3, "cell_type": "code"}
check("06-language-models.top_p_filter", top_p_filter)

# %% [markdown]
r"""
## Exercise 8 · Sampling

**Difficulty** ●●● · **Importance** ●●● · **20 min** · **4 points**

Now write. A model is here no more than a **step**: from the previous tokens, `(batch,)`, and a state to the logits of
the next tokens, `(batch, vocab_size)`, and the new state. A recurrent network and a transformer offer the same step,
so your function serves both.

Write `max_length` tokens for each row of the batch. At each position:

1. take a step, with the tokens written last (at first: with `token`), and hand the new state on;
2. turn the logits into probabilities: the **temperature** first, then **top-k**, then **top-p**, each of what the one
   before has left;
3. draw one token for each row, independently.

The order matters: the logits divided by the temperature go through top-k, the result through top-p, and the softmax
comes last. `None` means: no such filter.

A row that has written `end` has ended: `pad` stands behind it, and the other rows go on. `None` means that no token
ends a row. The result is `(batch, max_length)`, whole numbers, without the tokens that were read first. All chance
comes from `generator`.

<details><summary>A question to start with</summary>

Top-p cuts a distribution. Which one: that at temperature 1, or that at the temperature you draw with?

</details>

<details><summary>A hint</summary>

```
ended = False for each row
for each position:
    logits, state = step(token, state)
    logits = logits / temperature, then filtered by top_k, then by top_p, where they are given
    probabilities = softmax
    token = one draw from each row                                     (batch,)
    token = pad where the row has ended
    note the token
    if there is an end: ended = ended, or the token is the end
stack what was noted along axis 1
```

`torch.multinomial(probabilities, 1, generator=generator)` draws `(batch, 1)`.

</details>

<details><summary>My numbers are off</summary>

- *"draws are impossible" with filters:* a filter is not applied, or in another order.
- *"some outcome comes far more or far less often":* is the state handed on? Is the drawn token read at the next step?
  Is each row drawn on its own?
- *"changes with the state of PyTorch's own generator":* pass `generator=generator`.
- *Tokens behind the end:* the row has ended; write `pad`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "sample", "schema_version": 3, "cell_type": "code"}
def sample(
    step: Step,
    state: Any,
    token: Tensor,
    *,
    max_length: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    end: int | None = None,
    pad: int = 0,
) -> Tensor:
    """Write by drawing each token from the model's distribution, and reading it at the next step.

    Args:
        step: takes the previous tokens (batch,) and the state, gives logits (batch, vocab_size) and the new state.
        state: the first state.
        token: the tokens that the first step reads, (batch,).
        max_length: number of tokens to write.
        generator: the source of chance.
        temperature: as for temperature_softmax.
        top_k: as k of top_k_filter. None: no such filter.
        top_p: as p of top_p_filter. None: no such filter.
        end: the id that ends a row. None: no token does.
        pad: what stands behind the end of a row.

    Returns:
        Ids, (batch, max_length), without the tokens read first.
    """
    ### BEGIN SOLUTION
    ended = torch.zeros(len(token), dtype=torch.bool)
    written = []
    for _ in range(max_length):
        logits, state = step(token, state)
        logits = temperature_softmax(logits, temperature=temperature).log()
        if top_k is not None:
            logits = top_k_filter(logits, k=top_k)
        if top_p is not None:
            logits = top_p_filter(logits, p=top_p)
        token = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(-1)
        token = token.masked_fill(ended, pad)
        written.append(token)
        if end is not None:
            ended = ended | (token == end)
    return torch.stack(written, dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-sample", "schema_version": 3, "cell_type": "code"}
check("06-language-models.sample", sample)

# %% [markdown]
r"""
## Exercise 9 · Keys and values from a cache

**Difficulty** ●●● · **Importance** ●●● · **20 min** · **4 points**

When a text grows by one token, the keys and values of all earlier tokens stay what they were: under a causal mask
nothing that comes later can change them. So keep them. For the new position you compute **one** query, key and value,
write key and value into the cache, and let the query attend to everything up to **and including** its own position.

The cache is a pair, keys and values, `(batch, num_heads, max_length, head_dim)` each. What it holds before `position`
is valid. What stands at `position` and behind is left over from other texts, and must not matter. `x` is the new
position's vector, `(batch, 1, d_model)`; `position` counts from 0.

Return the output, `(batch, 1, d_model)`, and the cache with the new key and value in it, as a pair of the same shapes.
You may write into the tensors that you are given, or into copies.
Projections, heads and scaling are those of `MultiHeadAttention`, whose layers you inherit. If `position` is not below
`max_length`, the cache has no room: raise `ValueError`.

<details><summary>A question to start with</summary>

The new position is 3. How many keys does its query see?

</details>

<details><summary>A hint</summary>

```
keys, values = cache
if position is not below the length of keys: raise ValueError
query, key, value = projections of x, split into heads          (batch, heads, 1, head_dim) each
write key and value to their place in keys and values
keep the first position + 1 of both
weights = softmax of query times transposed keys over √head_dim         (batch, heads, 1, position + 1)
output  = output projection of the merged heads of weights times values
```

No mask is needed: what the query must not see is cut off.

</details>

<details><summary>My numbers are off</summary>

- *"the output changes with what stands behind":* you attend to the whole cache.
- *The cache is right, the output is not:* does the query see its own key? Are the heads merged and projected?
- *Only one position of the cache is wrong:* positions count from 0.
- *It raised "expected size …":* write to `keys[:, :, position]` what has no axis of length any more, or to
  `keys[:, :, position : position + 1]` what still has it.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "CachedAttention", "schema_version": 3, "cell_type": "code"}
class CachedAttention(MultiHeadAttention):
    """Causal self-attention that can go on where it stopped: keys and values of the past are kept, not recomputed.

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads, a divisor of d_model.

    Attributes:
        query_projection, key_projection, value_projection, output_projection: nn.Linear, inherited.
    """

    def step(self, x: Tensor, cache: Cache, position: int) -> tuple[Tensor, Cache]:
        """Attend from one new position to the past and to itself.

        Args:
            x: the new position, (batch, 1, d_model).
            cache: keys and values, (batch, num_heads, max_length, head_dim) each, valid before `position`.
            position: the place of the new position, counted from 0.

        Returns:
            The output (batch, 1, d_model), and the cache with the new key and value in it.

        Raises:
            ValueError: if the cache has no room for this position.
        """
        ### BEGIN SOLUTION
        keys, values = cache
        if position >= keys.shape[2]:
            raise ValueError(f"the cache has room for {keys.shape[2]} positions, and position {position} is to be kept")
        query = split_heads(self.query_projection(x), self.num_heads)  # (batch, heads, 1, head_dim)
        key = split_heads(self.key_projection(x), self.num_heads)
        value = split_heads(self.value_projection(x), self.num_heads)
        keys[:, :, position] = key[:, :, 0]
        values[:, :, position] = value[:, :, 0]
        seen_keys, seen_values = keys[:, :, : position + 1], values[:, :, : position + 1]
        scores = query @ seen_keys.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (batch, heads, 1, position + 1)
        heads = scores.softmax(dim=-1) @ seen_values
        return self.output_projection(merge_heads(heads)), (keys, values)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-CachedAttention", "schema_version": 3, "cell_type": "code"}
check("06-language-models.CachedAttention", CachedAttention)

# %% [markdown]
r"""
Use your pieces. The next cell trains a small model of yours on a few lines and lets it write. It takes about a quarter
of a minute. The step reads the whole text again for each token: that is the work which a cache saves. Change the
temperature and the prompt, and run it again.
"""

# %% tags=["student-only"]
LINES = """the model reads a word and guesses the next one. the next one is read and the guess begins again.
a sharp guess repeats what it has seen. a flat guess forgets how words are made. between the two stands the temperature.
"""
try:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    tokenizer = CharTokenizer(LINES)
    model = TransformerLM(
        vocab_size=len(tokenizer.characters), d_model=32, num_heads=4, num_layers=2, dim_feedforward=64, max_length=64
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        inputs, targets = get_batch(tokenizer.encode(LINES), batch_size=8, length=64, generator=generator)
        loss = perplexity(model(inputs), targets).log()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"perplexity {loss.exp():.2f}")

    def read_all_again(token, text):
        text = torch.cat([text, token[:, None]], dim=1)
        return model(text)[:, -1], text

    prompt = tokenizer.encode("the ")[None]
    for temperature in (0.3, 1.0, 2.0):
        with torch.no_grad():
            ids = sample(
                read_all_again,
                prompt[:, :-1],
                prompt[:, -1],
                max_length=60,
                generator=generator,
                temperature=temperature,
            )
        print(f"T = {temperature}: the {tokenizer.decode(ids[0])!r}")
except NotImplementedError:
    print("Write CharTokenizer, get_batch, TransformerLM, perplexity and sample first, then run this cell again.")

# %% [markdown]
r"""
## The larger piece · Beam search

**Difficulty** ●●● · **Importance** ●●○ · **40 min** · **5 points**

Taking the likeliest token each time need not give the likeliest text: a good beginning may have only poor
continuations. So follow several beginnings at once. `beam_width` of them are in the beam; they are the rows of the
batch that the step sees.

At each step, with the beginnings' log-probabilities so far:

1. take a step with the last token of each beginning;
2. continue **every** beginning by **every** token: its log-probability plus the token's;
3. of all these `beam_width × vocab_size` continuations, keep the `beam_width` likeliest. One beginning may give
   several of them, another none. Reorder what was written **and the state** accordingly: the state is a tensor with
   one row for each beginning, so `state[rows]` does it;
4. a continuation that ends with `end` is **finished**: it competes for the best text and leaves the beam. So does
   every continuation of `max_length` tokens, as it is, ended or not.

At the start all rows are the same, so only **one** of them may count. Of all finished
texts, return the one with the largest

$$\text{score} = \frac{\ln p(\text{text})}{n^{\,\text{length\_power}}}$$

where $n$ is the number of its tokens, `end` included. Each further token makes $\ln p$ smaller, so without the
division the shortest text wins too easily. Return its ids, `(n,)`, and its log-probability $\ln p$ itself, not the
score.

<details><summary>A question to start with</summary>

Two of three beginnings are continued twice and once, the third not at all. Which rows of the state does the next step
need?

</details>

<details><summary>A hint</summary>

```
token = start for each row; total = 0 for row 0 and -inf for the others        (beam_width,) each
written = no token yet, for each row
for n = 1 … max_length:
    logits, state = step(token, state)
    continued = total as a column + log-softmax of logits               (beam_width, vocab_size)
    total, places = the beam_width largest of all entries
    rows  = places // vocab_size                                        which beginning
    token = places %  vocab_size                                        which token
    state = state[rows]; written = written[rows] with token behind
    for each row that is finished (token is end, or n is max_length), and whose total is not -inf:
        score = total / n ** length_power; remember the best
        total = -inf, so that it is not continued
(you may stop early when all totals are -inf)
```

</details>

<details><summary>My numbers are off</summary>

- *Right for a beam of 1 only:* do all rows start with 0? Then the beam is full of copies.
- *Right for one step, then not:* the state, or what was written, is not reordered with the rows.
- *An end in the middle of the text:* a finished text was continued.
- *The texts are too short:* the division by the length is missing, or by another length.
- *The text is right, the number is not:* return the log-probability, not the score.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "beam_search", "schema_version": 3, "cell_type": "code"}
def beam_search(
    step: Step, state: Tensor, *, beam_width: int, max_length: int, start: int, end: int, length_power: float = 1.0
) -> tuple[Tensor, float]:
    """Look for the text of largest length-normalised log-probability, following beam_width beginnings at a time.

    Args:
        step: takes the previous tokens (beam_width,) and the state, gives logits (beam_width, vocab_size) and the
            new state.
        state: the first state, with beam_width equal rows along its first axis.
        beam_width: how many beginnings are followed.
        max_length: the largest number of tokens, `end` included.
        start: the token that the first step reads.
        end: the token that ends a text.
        length_power: 0 compares sums, 1 means per token.

    Returns:
        The ids of the best text, (length,), with `end` if it has one; and its log-probability, not divided.
    """
    ### BEGIN SOLUTION
    token = torch.full((beam_width,), start)
    written = torch.zeros(beam_width, 0, dtype=torch.long)
    total = torch.full((beam_width,), -torch.inf)
    total[0] = 0.0
    best, best_total, best_score = written[0], -torch.inf, -torch.inf
    for length in range(1, max_length + 1):
        logits, state = step(token, state)
        continued = total[:, None] + logits.log_softmax(dim=-1)  # (beam_width, vocab_size)
        total, places = continued.flatten().topk(beam_width)
        rows = places // logits.shape[-1]
        token = places % logits.shape[-1]
        state = state[rows]
        written = torch.cat([written[rows], token[:, None]], dim=1)
        for row in range(beam_width):
            if token[row] == end or length == max_length:
                score = float(total[row]) / length**length_power
                if score > best_score:
                    best, best_total, best_score = written[row], float(total[row]), score
                total[row] = -torch.inf
    return best, best_total
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 5, "grade_id": "check-beam_search", "schema_version": 3, "cell_type": "code"}
check("06-language-models.beam_search", beam_search)

# %% [markdown]
r"""
## In words · The likeliest text

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

A fellow student has two models: one translates, one writes stories. Greedy decoding is not good enough, so both get
beam search with a wide beam. The translations improve a little. The stories become worse: the model repeats the same
sentence again and again. Explain, in about ten sentences:

1. What beam search maximises, why greedy decoding can miss it, and why a wider beam is no guarantee of finding it
   either.
2. Why the likeliest text is a good aim for a translation and a poor one for a story. What do people's texts look like
   to a language model, one probability at a time?
3. What you would use for the stories instead, and what its settings trade against each other.

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 3, "grade_id": "the_likeliest_text", "schema_version": 3, "cell_type": "markdown"}
r"""
Beam search looks for the text with the largest $\ln p(\text{text})$, the sum of the tokens' log-probabilities,
usually divided by a power of the length. Greedy decoding chooses the first token by its own probability alone; if all
continuations of that token are unlikely, another beginning would have had the larger sum, and greedy has thrown it
away. A beam keeps several beginnings, so it can find that text. It is still a search without a guarantee: what it
returns may change with the width in either direction, and as widths grow it comes closer to the true maximum, which
need not be a better text. With sums that are not divided, wide beams find very short texts.

A translation has few right answers, the source leaves little open, and nearly all of the probability lies on them: the
likeliest text is one of them. A story has very many good continuations, each of them unlikely. People do not write the
likeliest word each time: looked at by a model, their texts go up and down in probability, because what is completely
predictable need not be said. The maximum of $p$ is therefore not typical of the texts that the model learned from. It
lies where each token is predictable from the ones before, and nothing is more predictable than what was just said: a
repetition makes its own next repetition likelier.

For stories, draw from the distribution. To keep bad draws out of it, cut off the unlikely tokens, with top-p (which
keeps few tokens where the model is sure and many where it is not) or top-k, and lower the temperature a little. A low
temperature or a small $p$ gives safe texts that repeat themselves; a high one gives variety and errors, and one error
leads on to the next, since the model reads what it wrote.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **What is maximised** (1): the (length-normalised) log-probability of the whole text; greedy commits to a first
   token by its own probability; beam search is still approximate, or normalisation matters. Without a reason why
   greedy misses it half a point.
2. **Likeliest and typical** (1): a translation has few right answers with most of the probability; open-ended text has
   many good continuations, and the maximum is not typical (repetition feeds itself, human text is not maximally
   probable). "The model is bad" is no point.
3. **Instead** (1): sampling with temperature, top-k or top-p, with the trade: safe and repetitive against varied and
   wrong. Naming the method without the trade is half a point.

### END MARK SCHEME
"""
