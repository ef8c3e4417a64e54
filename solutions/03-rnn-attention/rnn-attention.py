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
# Assignment 03 · Attention in a recurrent decoder

You build the five steps of attention one at a time, put them into two decoders, one that looks before it moves and one
that looks after, and measure whether what they look at is what a careful reader would: six short exercises, one larger
piece and one question that you answer in words. Together they are worth **28 points** and take about two and a half
hours. The chapter *Attention in a recurrent decoder* teaches everything you need.

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

The source has `m` words, the encoder's state at word $j$ is $h_j$; the target has `n` words, the decoder's state at
word $i$ is $s_i$. Shapes are `(batch, length, channels)`. A vector is a row, so a layer with a weight of shape
`(out, in)` computes `x @ weight.T`. A mask is boolean and **True where there is a word**. Sources of a batch are
padded at the end.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check

# %% [markdown]
r"""
## Exercise 1 · Additive scores

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

How well does an encoder state $h_j$ fit what the decoder, in state $s$, needs now? Let a small network judge: put both
vectors side by side, one hidden layer with tanh, one number out.

$$e_j = v^\top \tanh\!\left(W\,[\,s \;\; h_j\,] + b\right)$$

The same network judges every $j$. The decoder states are `(batch, d_query)`, one for each sentence, the encoder states
`(batch, m, d_key)`. The weight $W$ is `(d_attention, d_query + d_key)`: its first columns meet $s$, the others $h_j$.
The scores are `(batch, m)`. The bias may be `None`; then nothing is added.

With $s = 1$, $h_1 = 1$, $h_2 = -1$ (one channel each), $W = [1, 2]$, $b = 0$, $v = 2$:

| $j$ | $W\,[\,s \;\; h_j\,]$ | $e_j$ |
|---|---|---|
| 1 | $1 + 2 = 3$ | $2 \tanh 3 = 1.990$ |
| 2 | $1 - 2 = -1$ | $2 \tanh(-1) = -1.523$ |

<details><summary>A question to start with</summary>

There is one $s$ and there are $m$ states $h_j$. What must happen to $s$ before it can stand beside each of them?

</details>

<details><summary>A hint</summary>

```
copies = the decoder state, once for each encoder state        (batch, m, d_query)
pairs  = copies and keys side by side                          (batch, m, d_query + d_key)
hidden = tanh of (pairs times weight transposed + bias)        (batch, m, d_attention)
scores = hidden times v                                        (batch, m)
```

`x[:, None].expand(-1, m, -1)` copies without memory. You can also cut the weight in two, and need no copies:
$W\,[\,s \;\; h\,] = W_s\, s + W_h\, h$.

</details>

<details><summary>My numbers are off</summary>

- *Right shape, other numbers:* which of the two stands first? The first columns of $W$ belong to the decoder state.
- *Some scores are far too large:* is there a tanh between $W$ and $v$?
- *The scores keep an axis of length 1, or are `(batch, m, d_attention)`:* the product with $v$ sums over the channels.
- *An error about `None`:* there is a case without bias.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "additive_scores", "schema_version": 3, "cell_type": "code"}
def additive_scores(query: Tensor, keys: Tensor, weight: Tensor, bias: Tensor | None, v: Tensor) -> Tensor:
    """A small network judges each pair of decoder and encoder state: e_j = vᵀ tanh(W [s; h_j] + b).

    Args:
        query: decoder states s, (batch, d_query).
        keys: encoder states h_j, (batch, m, d_key).
        weight: W, (d_attention, d_query + d_key); its first columns meet s, the others h_j.
        bias: b, (d_attention,), or None.
        v: (d_attention,).

    Returns:
        The scores e_j, (batch, m).
    """
    ### BEGIN SOLUTION
    copies = query[:, None].expand(-1, keys.shape[1], -1)  # (batch, m, d_query)
    pairs = torch.cat([copies, keys], dim=-1)  # (batch, m, d_query + d_key)
    hidden = pairs @ weight.T
    if bias is not None:
        hidden = hidden + bias
    return torch.tanh(hidden) @ v
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-additive_scores", "schema_version": 3, "cell_type": "code"}
check("03-rnn-attention.additive_scores", additive_scores)

# %% [markdown]
r"""
## Exercise 2 · Multiplicative scores

**Difficulty** ●○○ · **Importance** ●●● · **10 min** · **3 points**

A dot product also says how well two vectors fit, and needs no hidden layer. Two forms:

$$\text{dot: } e_j = s^\top h_j \qquad\qquad \text{general: } e_j = s^\top W\, h_j$$

The weight $W$ is `(d_query, d_key)`; `None` means `dot`. The decoder states are `(batch, d_query)`, the encoder states
`(batch, m, d_key)`, and the scores `(batch, m)`. Nothing is scaled.

Where the two vectors have different widths after $W$ (or without it), there is no dot product: raise `ValueError`.

With $s = [1, 2]$ and $h_1 = [3, 0]$, $h_2 = [0, 1]$, dot gives $[3, 2]$. With $W = \begin{bmatrix} 0 & 1 \\ 1 & 0
\end{bmatrix}$, general gives $[6, 1]$.

<details><summary>A question to start with</summary>

$s^\top W\, h_j$: is it cheaper to compute $W\, h_j$ for each $j$, or $s^\top W$ once?

</details>

<details><summary>A hint</summary>

```
if there is a weight: query = query times weight               (batch, d_key)
if the widths of query and keys differ: raise ValueError
scores = for each sentence, each key times the query           (batch, m)
```

`torch.einsum("bd,bmd->bm", ...)` names the axes; `@` with a new last axis and `squeeze` works too.

</details>

<details><summary>My numbers are off</summary>

- *`general` is wrong and `dot` is right:* is $W$ the wrong way round? $s$ meets its rows, $h_j$ its columns.
- *All scores are too small by the same factor:* you divide by a root. That comes in the next chapter.
- *The shape is `(batch, batch, m)`:* sentences must stay apart; each query meets the keys of its own sentence.
- *The line about ValueError:* some errors of PyTorch are of another type, and some widths broadcast without any.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "multiplicative_scores", "schema_version": 3, "cell_type": "code"}
def multiplicative_scores(query: Tensor, keys: Tensor, weight: Tensor | None = None) -> Tensor:
    """A dot product of decoder and encoder state: e_j = sᵀ h_j (dot), or e_j = sᵀ W h_j (general).

    Args:
        query: decoder states s, (batch, d_query).
        keys: encoder states h_j, (batch, m, d_key).
        weight: W, (d_query, d_key). None: dot.

    Returns:
        The scores e_j, (batch, m).

    Raises:
        ValueError: if the two vectors of the dot product have different widths.
    """
    ### BEGIN SOLUTION
    if weight is not None:
        query = query @ weight  # (batch, d_key)
    if query.shape[-1] != keys.shape[-1]:
        raise ValueError("no dot product: the states have different widths")
    return torch.einsum("bd,bmd->bm", query, keys)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-multiplicative_scores", "schema_version": 3, "cell_type": "code"}
check("03-rnn-attention.multiplicative_scores", multiplicative_scores)

# %% [markdown]
r"""
## Exercise 3 · Softmax over the words

**Difficulty** ●●○ · **Importance** ●●● · **12 min** · **3 points**

Turn scores into weights: positive numbers that sum to one over the **source words**, the last axis. Where the source
has padding, there is no word, so the weight is exactly 0 and the others share the one.

$$\alpha_j = \frac{e^{e_j}}{\sum_{k \text{ is a word}} e^{e_k}}$$

The scores have any shape `(..., m)`. The mask is boolean, True where there is a word, and need only broadcast to the
scores; `None` means that every position is a word. A row without any word gets zeros, not NaN, and passes no gradient.

| scores | mask | weights |
|---|---|---|
| $[0, \ln 3, 5]$ | True, True, False | $[0.25, 0.75, 0]$ |
| $[0, \ln 3, 5]$ | all False | $[0, 0, 0]$ |

<details><summary>A question to start with</summary>

Which score gives a weight of exactly 0 after the exponential?

</details>

<details><summary>A hint</summary>

```
where the mask is False, set the score to -infinity
weights = softmax over the last axis
where the mask is False, set the weight to 0          (this mends the rows without a word)
```

</details>

<details><summary>My numbers are off</summary>

- *Rows with padding sum to less than one:* the mask comes before the softmax, not only after.
- *The columns sum to one instead of the rows:* a sentence in a batch must not share its weight with the others.
- *The words get 0 and the padding the weight:* True means word.
- *NaN in a row:* it has no word; its softmax divides 0 by 0.
- *The numbers are right and a gradient is NaN:* something was added to or multiplied with the infinite score. Use
  `masked_fill` or `torch.where`, before and after.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "masked_softmax", "schema_version": 3, "cell_type": "code"}
def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the source positions that are words, and 0 at padding.

    Args:
        scores: (..., m).
        mask: boolean, broadcastable to (..., m), True where there is a word. None: everywhere.

    Returns:
        The weights, (..., m). Each row sums to one; a row without any word holds zeros.
    """
    ### BEGIN SOLUTION
    if mask is None:
        return scores.softmax(dim=-1)
    scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-masked_softmax", "schema_version": 3, "cell_type": "code"}
check("03-rnn-attention.masked_softmax", masked_softmax)

# %% [markdown]
r"""
## Exercise 4 · The context

**Difficulty** ●○○ · **Importance** ●●● · **6 min** · **2 points**

Sum the encoder states by their weights. This is all that the decoder gets to see of the source at this step.

$$c = \sum_{j=1}^{m} \alpha_j\, h_j$$

The weights are `(batch, m)`, the states `(batch, m, d_memory)`, and the context `(batch, d_memory)`. With the weights
$[0.5, 0.25, 0.25]$ and the states $[1, 0]$, $[0, 2]$, $[4, 4]$, it is $[1.5, 1.5]$.

<details><summary>A question to start with</summary>

Why is the context as wide as one encoder state, however long the source is?

</details>

<details><summary>A hint</summary>

Each weight multiplies a whole vector: give the weights a last axis of length 1, multiply, and sum over the words. Or
let a matrix product or `einsum` do both.

</details>

<details><summary>My numbers are off</summary>

- *All numbers are too small by a factor $m$:* you take a mean; the weights have already shared out the one.
- *The shape is `(batch, m)`:* the sum runs over the words, not over the channels.
- *The weights seem to do nothing:* a plain sum or mean of the states forgets them.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "context_vector", "schema_version": 3, "cell_type": "code"}
def context_vector(weights: Tensor, states: Tensor) -> Tensor:
    """The encoder states, summed by their weights: c = Σ_j α_j h_j.

    Args:
        weights: α_j, (batch, m).
        states: h_j, (batch, m, d_memory).

    Returns:
        (batch, d_memory).
    """
    ### BEGIN SOLUTION
    return (weights[..., None] * states).sum(dim=-2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-context_vector", "schema_version": 3, "cell_type": "code"}
check("03-rnn-attention.context_vector", context_vector)

# %% [markdown]
r"""
## Exercise 5 · A decoder that looks before it moves

**Difficulty** ●●● · **Importance** ●●● · **25 min** · **5 points**

Put the four pieces into one step of Bahdanau's decoder. The **previous** state asks; the context that it gets goes into
the cell, beside the previous word, and once more into the output layer:

$$e_{ij} = v^\top \tanh\!\left(W\,[\,s_{i-1} \;\; h_j\,] + b\right), \qquad \alpha_i = \operatorname{softmax}(e_i),
\qquad c_i = \sum_j \alpha_{ij}\, h_j$$

$$s_i = \mathrm{LSTM}\!\left([\,y_{i-1} \;\; c_i\,],\, s_{i-1}\right), \qquad
\mathrm{logits}_i = W_o\,[\,s_i \;\; c_i\,] + b_o$$

- `token`, `(batch,)`, holds the previous words $y_{i-1}$ as ids.
- `state` is the pair `(h, c)` of an `nn.LSTM` with one layer: `(1, batch, hidden_size)` each. $s_{i-1}$ is its $h$.
- `memory`, `(batch, m, d_memory)`, holds the encoder's states $h_j$; `mask` is `(batch, m)` or `None`.
- The constructor is given. `nn.LSTM` reads sequences: here one of a single step, `(batch, 1, channels)`.
- Return the logits `(batch, vocab_size)`, the new state, a pair, and the weights `(batch, m)`.

<details><summary>A question to start with</summary>

Which of $s_{i-1}$, $y_{i-1}$, $c_i$, $s_i$ must be known before which? Write them in the order in which you can compute
them.

</details>

<details><summary>A hint</summary>

```
query   = h of the previous state                              (batch, hidden_size)
scores  = additive_scores(query, memory, W, b, v)              W and b: self.attention; v: self.v.weight[0]
weights = masked_softmax(scores, mask)
context = context_vector(weights, memory)
x       = embedding of the token and context side by side      (batch, d_model + d_memory)
output, state = the LSTM on x as a sequence of one step, from the previous state
logits  = output layer of the new state and the context side by side
```

</details>

<details><summary>My numbers are off</summary>

- *The weights are wrong already:* which state asks? The $h$ of the pair that came in, not its $c$, and not the state
  after the cell.
- *The weights are right, the new state is not:* the cell reads the embedding first, then the context; and it starts
  from the previous state.
- *Only the logits are wrong:* the output layer reads the new state first, then the context.
- *Right without padding, wrong with it:* hand the mask on.
- *A shape with a 1 in it:* take position 0 of the output sequence, `output[:, 0]`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "BahdanauDecoderStep", "schema_version": 3, "cell_type": "code"}
class BahdanauDecoderStep(nn.Module):
    """A decoder step that looks before it moves: its previous state asks, the cell reads the answer.

    Args:
        vocab_size: number of target words.
        d_model: width of the word embeddings.
        hidden_size: width of the decoder's state.
        d_memory: width of the encoder's states.
        d_attention: width of the scoring network.
    """

    def __init__(self, *, vocab_size: int, d_model: int, hidden_size: int, d_memory: int, d_attention: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.attention = nn.Linear(hidden_size + d_memory, d_attention)  # W and b
        self.v = nn.Linear(d_attention, 1, bias=False)
        self.rnn = nn.LSTM(d_model + d_memory, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size + d_memory, vocab_size)

    def forward(
        self, token: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Write one word.

        Args:
            token: the id of the previous word, (batch,).
            state: the previous h and c, (1, batch, hidden_size) each.
            memory: the encoder's states, (batch, m, d_memory).
            mask: boolean, (batch, m), True where the source has a word. None: everywhere.

        Returns:
            The logits of the next word (batch, vocab_size), the new state, and the weights (batch, m).
        """
        ### BEGIN SOLUTION
        query = state[0][-1]  # s_{i-1}, (batch, hidden_size)
        scores = additive_scores(query, memory, self.attention.weight, self.attention.bias, self.v.weight[0])
        weights = masked_softmax(scores, mask)
        context = context_vector(weights, memory)  # (batch, d_memory)
        x = torch.cat([self.embedding(token), context], dim=-1)
        output, new_state = self.rnn(x[:, None], state)
        logits = self.output(torch.cat([output[:, 0], context], dim=-1))
        return logits, new_state, weights
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 5, "grade_id": "check-BahdanauDecoderStep", "schema_version": 3, "cell_type": "code"}
check("03-rnn-attention.BahdanauDecoderStep", BahdanauDecoderStep)

# %% [markdown]
r"""
## Exercise 6 · Alignment error rate

**Difficulty** ●●○ · **Importance** ●●○ · **12 min** · **3 points**

Is what a decoder looks at what it should look at? Careful readers link the words of both languages: **sure** links $S$,
which must be found, and **possible** ones $P$, which may be. Compare the links $A$ that were found:

$$\mathrm{AER} = 1 - \frac{|A \cap S| + |A \cap P|}{|A| + |S|}$$

All three are boolean tables `(..., n, m)`: rows are target words, columns source words, padding is False. The numbers
are added up over **all** sentences before you divide, once. A sure link is possible too, also where its entry in
`possible` is False. Without any link, found or sure, the rate is 0. Return a plain number.

Two target words, three source words; × marks a link:

| | found $A$ | sure $S$ | possible $P$ |
|---|---|---|---|
| links | (1, 1), (2, 3) | (1, 1), (2, 2) | (2, 3) |

$|A \cap S| = 1$. Possible with the sure ones are (1, 1), (2, 2), (2, 3), so $|A \cap P| = 2$, and the rate is
$1 - \frac{1 + 2}{2 + 2} = 0.25$.

`course_lib.metrics` holds this function, so it is ruled out here.

<details><summary>A question to start with</summary>

A model links nothing at all, and there are sure links. What is its rate? And that of a model that finds exactly the
sure ones?

</details>

<details><summary>A hint</summary>

```
may_be = sure or possible
agreed = number of (found and sure) + number of (found and may_be)
links  = number of found + number of sure
rate   = 1 - agreed / links, or 0 where links is 0
```

On booleans, `&` and `|` are "and" and "or"; `.sum()` counts.

</details>

<details><summary>My numbers are off</summary>

- *Right in some cases, too high in others:* a found sure link counts twice above, as sure and as possible, whatever
  `possible` says.
- *Close, but wrong for batches:* add up over all sentences, then divide once; do not average rates.
- *A good alignment gets nearly 1:* one minus is missing.
- *An error, or NaN, for a table without links:* do not divide by 0.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "alignment_error_rate", "schema_version": 3, "cell_type": "code"}
def alignment_error_rate(alignment: Tensor, sure: Tensor, possible: Tensor) -> float:
    """How far the links of an alignment are from those of a careful reader; 0 is perfect.

    Args:
        alignment: the links found, boolean, (..., n, m).
        sure: the links that must be found, of the same shape.
        possible: the links that may be found, of the same shape; sure links are possible in any case.

    Returns:
        The rate over all sentences, between 0 and 1; 0 where there is no link at all.
    """
    ### BEGIN SOLUTION
    may_be = sure | possible
    agreed = (alignment & sure).sum() + (alignment & may_be).sum()
    links = alignment.sum() + sure.sum()
    if links == 0:
        return 0.0
    return 1 - (agreed / links).item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-alignment_error_rate", "schema_version": 3, "cell_type": "code"}
check("03-rnn-attention.alignment_error_rate", alignment_error_rate)

# %% [markdown]
r"""
## The larger piece · A decoder that moves before it looks

**Difficulty** ●●● · **Importance** ●●● · **40 min** · **6 points**

Luong's decoder lets the cell move first, on the previous word alone. Its **current** state asks, and the context joins
behind the cell:

$$s_i = \mathrm{LSTM}(y_{i-1},\, s_{i-1}), \qquad \alpha_i = \operatorname{softmax}(\mathrm{score}(s_i, h_j)), \qquad
c_i = \sum_j \alpha_{ij}\, h_j$$

$$\tilde s_i = \tanh\!\left(W_c\,[\,c_i \;\; s_i\,]\right), \qquad \mathrm{logits}_i = W_o\, \tilde s_i + b_o$$

The score is `dot` or `general`. The constructor is given: `self.attention.weight` is the $W$ of `general`,
`(hidden_size, d_memory)`; with `dot` there is no `self.attention`.

Write two methods:

- `forward` writes one word, as in exercise 5: from `token` `(batch,)` to the logits, the new state and the weights.
- `teacher_forced` does all steps at once. In training the previous words are given, `tokens` is `(batch, n)`, and
  no cell waits for a context: let the LSTM run along all words in one call, then ask with all $n$ states together.
  Return the logits `(batch, n, vocab_size)` and the weights `(batch, n, m)`. The mask is still `(batch, m)`.

Both must give the same numbers. No loop over the steps is needed: many queries at once are a matrix product, which is
what the next chapter starts from.

`F.scaled_dot_product_attention` and `nn.MultiheadAttention` are ruled out here.

<details><summary>A question to start with</summary>

`(batch, n, d) @ (batch, d, m)`: what stands in row $i$, column $j$ of the result? Which axis does the softmax run over?

</details>

<details><summary>A hint</summary>

```
forward:
    output, state = the LSTM on the embedding of the token, as a sequence of one step
    query   = output of that step                              (batch, hidden_size)
    scores  = multiplicative_scores(query, memory, W or None)
    weights, context: as before
    attentional = tanh of self.combine(context and query side by side)
    logits  = self.output(attentional)

teacher_forced:
    queries = outputs of the LSTM on all embeddings            (batch, n, hidden_size)
    scores  = queries (times W) times memory transposed        (batch, n, m)
    weights = masked_softmax(scores, mask with a new axis for the steps)
    contexts = weights times memory                            (batch, n, d_memory)
    the rest as in forward, for all steps
```

</details>

<details><summary>My numbers are off</summary>

- *The weights are wrong already:* it is the state after the cell that asks.
- *Right weights, wrong logits:* the context stands first beside the state, and tanh comes before the output layer.
- *`general` is wrong, `dot` is right:* $s^\top W$ is `queries @ weight`, without a transpose.
- *`teacher_forced` is right without a mask and fails, or is wrong, with one:* `(batch, m)` must become `(batch, 1, m)`.
- *`forward` is right and `teacher_forced` is off by one row:* row $i$ asks with the state after reading `tokens[:, i]`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "LuongDecoderStep", "schema_version": 3, "cell_type": "code"}
class LuongDecoderStep(nn.Module):
    """A decoder step that moves before it looks: its current state asks, the answer joins behind the cell.

    Args:
        vocab_size: number of target words.
        d_model: width of the word embeddings.
        hidden_size: width of the decoder's state.
        d_memory: width of the encoder's states; for `dot`, the same.
        score: "dot" or "general".
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int,
        hidden_size: int,
        d_memory: int,
        score: Literal["dot", "general"] = "general",
    ) -> None:
        super().__init__()
        self.score = score
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model, hidden_size, batch_first=True)
        if score == "general":
            self.attention = nn.Linear(d_memory, hidden_size, bias=False)  # W
        self.combine = nn.Linear(d_memory + hidden_size, hidden_size, bias=False)  # W_c
        self.output = nn.Linear(hidden_size, vocab_size)  # W_o and b_o

    def forward(
        self, token: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Write one word.

        Args:
            token: the id of the previous word, (batch,).
            state: the previous h and c, (1, batch, hidden_size) each.
            memory: the encoder's states, (batch, m, d_memory).
            mask: boolean, (batch, m), True where the source has a word. None: everywhere.

        Returns:
            The logits of the next word (batch, vocab_size), the new state, and the weights (batch, m).
        """
        ### BEGIN SOLUTION
        output, new_state = self.rnn(self.embedding(token)[:, None], state)
        query = output[:, 0]  # s_i, (batch, hidden_size)
        weight = self.attention.weight if self.score == "general" else None
        scores = multiplicative_scores(query, memory, weight)
        weights = masked_softmax(scores, mask)
        context = context_vector(weights, memory)  # (batch, d_memory)
        attentional = torch.tanh(self.combine(torch.cat([context, query], dim=-1)))
        return self.output(attentional), new_state, weights
        ### END SOLUTION

    def teacher_forced(
        self, tokens: Tensor, state: tuple[Tensor, Tensor], memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """All steps in one call, when the previous words are given.

        Args:
            tokens: ids of the previous words, (batch, n).
            state: the first h and c, (1, batch, hidden_size) each.
            memory: the encoder's states, (batch, m, d_memory).
            mask: boolean, (batch, m), True where the source has a word. None: everywhere.

        Returns:
            The logits (batch, n, vocab_size) and the weights (batch, n, m).
        """
        ### BEGIN SOLUTION
        queries, _ = self.rnn(self.embedding(tokens), state)  # (batch, n, hidden_size)
        asked = queries @ self.attention.weight if self.score == "general" else queries
        table = asked @ memory.transpose(1, 2)  # (batch, n, m)
        rows = masked_softmax(table, None if mask is None else mask[:, None])
        contexts = rows @ memory  # (batch, n, d_memory)
        together = torch.tanh(self.combine(torch.cat([contexts, queries], dim=-1)))
        return self.output(together), rows
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 6, "grade_id": "check-LuongDecoderStep", "schema_version": 3, "cell_type": "code"}
check("03-rnn-attention.LuongDecoderStep", LuongDecoderStep)

# %% [markdown]
r"""
See it work: the cell below trains your decoder behind an encoder that is given, on English sentences of 4 to 8 words
and their Italian translations, for about a quarter of a minute. Then it draws what your decoder looked at while it
wrote one of the test sentences. Rows are the words that it wrote, columns the words that it read.
"""

# %% tags=["student-only"]
from course_lib.data.translation import translation_data
from course_lib.figures import heatmap
from course_lib.training import linear_schedule, train

try:
    torch.manual_seed(0)
    data = translation_data(np.random.default_rng(0), lengths=range(4, 9), train_per_length=200, test_per_length=10)
    embedding = nn.Embedding(len(data.source_vocabulary), 64)
    encoder = nn.LSTM(64, 64, batch_first=True, bidirectional=True)
    decoder = LuongDecoderStep(vocab_size=len(data.target_vocabulary), d_model=64, hidden_size=128, d_memory=128)
    parts = nn.ModuleList([embedding, encoder, decoder])

    def read(source: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The encoder's states, and the decoder's first state."""
        memory, (h, c) = encoder(embedding(source))
        return memory, tuple(torch.cat([part[0], part[1]], dim=-1)[None] for part in (h, c))

    def loss(batch) -> Tensor:
        """The mean cross-entropy of the next word; the decoder reads <start> (1), then the words before."""
        memory, state = read(batch.source)
        before = torch.cat([torch.ones_like(batch.target[:, :1]), batch.target[:, :-1]], dim=1)
        logits, _ = decoder.teacher_forced(before, state, memory)
        return F.cross_entropy(logits.flatten(0, 1), batch.target.flatten(), ignore_index=0)

    optimizer = torch.optim.Adam(parts.parameters(), lr=4e-3)
    batches = data.draw_batches(np.random.default_rng(0), batch_size=32)
    train(parts, batches, loss, optimizer=optimizer, steps=500, schedule=linear_schedule(500), progress=False)

    pair = next(pair for pair in data.test if len(pair.source) == 8)
    with torch.no_grad():
        memory, state = read(data.collate([pair]).source)
        token, written, table = torch.tensor([1]), [], []
        while len(written) < 20 and written[-1:] != ["<end>"]:
            logits, state, weights = decoder(token, state, memory)
            token = logits.argmax(dim=-1)
            written.append(data.target_vocabulary.words[token.item()])
            table.append(weights[0])
    figure, axis = plt.subplots(figsize=(6, 5), layout="constrained")
    heatmap(axis, torch.stack(table), written, list(pair.source), row_title="written", column_title="read")
    plt.show()
except NotImplementedError:
    plt.close("all")
    print("Write LuongDecoderStep first, then run this cell again.")

# %% [markdown]
r"""
## In words · Why look back?

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

A fellow student says: "The context $c_i$ of an attention decoder is no wider than the one fixed context of the model
without attention. So it cannot carry more of a long sentence." Explain, in about ten sentences with the formulas you
need:

1. What is right in this, and why a model with attention still does not collapse with the length of the sentence.
2. In Bahdanau's decoder the previous state $s_{i-1}$ asks, in Luong's the current state $s_i$. What has each seen when
   it asks, where does the context go, and which of the two lets training do all steps at once?
3. How many weights $\alpha_{ij}$ are computed for a source of $m$ words and a target of $n$ words, and what that means
   when both become ten times as long.

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 3, "grade_id": "why_look_back", "schema_version": 3, "cell_type": "markdown"}
r"""
It is right that each $c_i = \sum_j \alpha_{ij} h_j$ has the width of one encoder state, whatever the length. But there
is a new one for every target word, and it need only hold what this one word needs: a few source words, with weights
that the decoder chooses now. What the decoder can draw from is the whole table of states $h_1, \dots, h_m$, and this
memory grows with the sentence. The fixed context must hold everything at once, for all target words, in the same number
of channels, so each word more leaves less room for the others. The way from a source word to the target word that needs
it is also short, one weighted sum, instead of a chain of all the steps between them.

In Bahdanau's decoder $s_{i-1}$ asks before the cell moves. It has written everything up to $y_{i-2}$ and has not yet
read the word $y_{i-1}$ that was chosen last. The context goes into the cell beside that word, so $s_i$ needs $c_i$, and
$c_{i+1}$ needs $s_i$: the steps wait for each other, in training too. In Luong's decoder the cell reads $y_{i-1}$ first,
$s_i$ asks, and the context joins behind the cell. No cell needs a context, so with the previous words given all states
can be computed in one call, and all queries asked at once.

There are $n \cdot m$ weights. If both are ten times as long, there are a hundred times as many, and as many scores to
compute, while the recurrent networks take only ten times as many steps.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **Width** (1): right that $c_i$ has the width of $h_j$; but there is one for each target word, chosen for it, out of
   a memory of $m$ states that grows with the sentence. Either "a new one for each word" or "the memory grows", without
   the other, is half a point.
2. **Which state asks** (1): $s_{i-1}$ has not read $y_{i-1}$, $s_i$ has; Bahdanau's context goes into the cell, Luong's
   joins behind it; so only Luong's steps can run at once under teacher forcing. Half a point for two of the three.
3. **Cost** (1): $n \cdot m$, a hundred times as many. "More" or "quadratic" without the product is half a point.

### END MARK SCHEME
"""
