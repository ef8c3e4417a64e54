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
# Assignment 01 · Sequence data and word vectors

You turn text into numbers in four ways, then build the three recurrent cells and walk them along a batch: eight short
exercises, one larger piece and one question that you answer in words. Together they are worth **30 points** and take
about two and a half hours. The chapter *Sequence data and word vectors* teaches everything you need.

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

Shapes are `(batch, length, channels)`; `...` stands for any number of leading axes, also none. A word is an integer,
its **id**, from 0 to `vocab_size - 1`. A vector is a row, so a layer with a weight of shape `(out, in)` computes
`x @ weight.T`. Sequences of a batch are padded at the **end**. Gates and names are PyTorch's.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check

State = Tensor | tuple[Tensor, Tensor]  # h, or the pair (h, c) of an LSTM

# %% [markdown]
r"""
## Exercise 1 · One-hot vectors

**Difficulty** ●○○ · **Importance** ●●○ · **5 min** · **2 points**

Give each word a vector of zeros with a single one, at the place of its id. The ids are integers of any shape `(...)`,
the result is `(..., vocab_size)`. It holds **floating-point numbers**, because the next thing that happens to it is a
product with a matrix of floating-point numbers. For the ids $[2, 0]$ and four words:

| id | vector |
|---|---|
| 2 | $[0, 0, 1, 0]$ |
| 0 | $[1, 0, 0, 0]$ |

An id that is negative, or not below `vocab_size`, belongs to no word: raise `ValueError`.

`F.one_hot` would be the whole exercise, so it is ruled out here.

<details><summary>A question to start with</summary>

Compare the numbers $0, 1, 2, 3$ with the id 2, one by one. Where is the answer "equal"?

</details>

<details><summary>A hint</summary>

```
if any id is below 0 or at least vocab_size: raise ValueError
every = 0 … vocab_size - 1
equal = ids with a new last axis == every        (..., vocab_size), booleans
turn equal into floating-point numbers
```

</details>

<details><summary>My numbers are off</summary>

- *"is of torch.int64 (or torch.bool), expected float32 or float64":* convert at the end.
- *Right for a list of ids and an error for a table of them:* put the new axis last, `ids[..., None]`.
- *The line about ValueError:* with an index of −1, PyTorch takes the last row and says nothing.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "one_hot", "schema_version": 3, "cell_type": "code"}
def one_hot(ids: Tensor, *, vocab_size: int) -> Tensor:
    """A vector of zeros with a single one, at the id of the word.

    Args:
        ids: word ids, integers of any shape (...).
        vocab_size: number of words, the width of a vector.

    Returns:
        Floating-point numbers, (..., vocab_size).

    Raises:
        ValueError: if an id is negative or not below vocab_size.
    """
    ### BEGIN SOLUTION
    if ((ids < 0) | (ids >= vocab_size)).any():
        raise ValueError(f"an id is not between 0 and {vocab_size - 1}")
    equal = ids[..., None] == torch.arange(vocab_size)  # (..., vocab_size)
    return equal.to(torch.get_default_dtype())
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-one_hot", "schema_version": 3, "cell_type": "code"}
check("01-sequences.one_hot", one_hot)

# %% [markdown]
r"""
## Exercise 2 · Bag of words

**Difficulty** ●○○ · **Importance** ●●○ · **8 min** · **2 points**

Describe a whole document by how often each word occurs in it. The order of the words is lost: put them into a bag and
shake it. A document is a list of word ids; documents may have different lengths, and one may be empty. The result is
`(num_documents, vocab_size)`, in floating-point numbers. For four words:

| document | counts |
|---|---|
| $[2, 0, 2]$ | $[1, 0, 2, 0]$ |
| $[\,]$ | $[0, 0, 0, 0]$ |
| $[3]$ | $[0, 0, 0, 1]$ |

<details><summary>A question to start with</summary>

What do you get when you add up the one-hot vectors of a document's words?

</details>

<details><summary>A hint</summary>

```
for each document:
    vectors = one-hot vectors of its ids          (number of its words, vocab_size)
    row     = sum of the vectors                  (vocab_size,)
stack the rows
```

`torch.tensor([])` holds floating-point numbers unless you say `dtype=torch.long`.

</details>

<details><summary>My numbers are off</summary>

- *No entry is larger than 1:* `row[ids] += 1` writes an entry once, however often its id is in the list.
- *Rows sum to one:* these are shares; the exercise asks for counts.
- *An error, or a missing row, for the empty document:* the sum over no vectors is a row of zeros.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "bag_of_words", "schema_version": 3, "cell_type": "code"}
def bag_of_words(documents: Sequence[Sequence[int]], *, vocab_size: int) -> Tensor:
    """How often each word occurs in each document.

    Args:
        documents: word ids of each document; lengths may differ, a document may be empty.
        vocab_size: number of words.

    Returns:
        Counts as floating-point numbers, (num_documents, vocab_size).
    """
    ### BEGIN SOLUTION
    rows = []
    for document in documents:
        ids = torch.tensor(document, dtype=torch.long)
        vectors = one_hot(ids, vocab_size=vocab_size)  # (number of words, vocab_size)
        rows.append(vectors.sum(dim=0))
    return torch.stack(rows)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-bag_of_words", "schema_version": 3, "cell_type": "code"}
check("01-sequences.bag_of_words", bag_of_words)

# %% [markdown]
r"""
## Exercise 3 · TF-IDF

**Difficulty** ●●○ · **Importance** ●●○ · **12 min** · **3 points**

The word *the* fills every bag and says nothing. Weigh each count by how rare the word is among the documents:

$$\mathrm{tf\text{-}idf} = \mathrm{tf} \cdot \ln\frac{N}{\mathrm{df}}$$

Here tf is the count itself, $N$ is the number of documents, df is the number of documents **that hold the word**, and
the logarithm is the natural one. So a word in every document gets 0. A word that no document holds gets 0 too. The
counts are `(num_documents, vocab_size)`, and so is the result. For three documents and four words:

| counts | tf-idf |
|---|---|
| $[2, 1, 0, 0]$ | $[2.197, 0, 0, 0]$ |
| $[0, 1, 1, 0]$ | $[0, 0, 1.099, 0]$ |
| $[0, 3, 0, 0]$ | $[0, 0, 0, 0]$ |

Libraries use variants: another base, one added inside or outside the logarithm, rows of length one. Use exactly the
formula above.

<details><summary>A question to start with</summary>

In the table, the second word occurs five times. What is its df?

</details>

<details><summary>A hint</summary>

```
df  = number of documents whose count is above 0, for each word      (vocab_size,)
idf = ln(N / df), and 0 where df is 0
result = counts times idf
```

</details>

<details><summary>My numbers are off</summary>

- *Everything is negative:* $N$ and df are upside down in the fraction.
- *The same factor everywhere, 1.443 or 0.434:* that is a logarithm to base 2 or 10.
- *Wrong only where a word occurs several times in a document:* df counts documents, not occurrences.
- *NaN in a column:* nobody uses that word. $0 \cdot \infty$ is not a number; do not divide by 0.
- *A word in every document does not get 0:* look for a one that is added somewhere.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "tf_idf", "schema_version": 3, "cell_type": "code"}
def tf_idf(counts: Tensor) -> Tensor:
    """Counts weighted by how rare a word is among the documents: tf · ln(N / df).

    Args:
        counts: how often each word occurs in each document, (num_documents, vocab_size).

    Returns:
        (num_documents, vocab_size); zeros for a word that no document holds.
    """
    ### BEGIN SOLUTION
    num_documents = counts.shape[0]
    document_frequency = (counts > 0).sum(dim=0)  # (vocab_size,)
    idf = (num_documents / document_frequency).log()
    idf = torch.where(document_frequency > 0, idf, 0.0)
    return counts * idf
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-tf_idf", "schema_version": 3, "cell_type": "code"}
check("01-sequences.tf_idf", tf_idf)

# %% [markdown]
r"""
## Exercise 4 · Embedding lookup

**Difficulty** ●○○ · **Importance** ●●● · **5 min** · **2 points**

An embedding is a table with one row of learned numbers for each word. Fetch the rows that belong to the ids. This is
the same as a product with the one-hot vectors, which you need not build:

$$\mathrm{lookup}(\mathrm{ids}) = \mathrm{one\_hot}(\mathrm{ids})\, W$$

The ids have any shape `(...)`, the table $W$ is `(vocab_size, d_model)`, and the result is `(..., d_model)`.
Gradients must reach the table: that is how its rows are learned.

`F.embedding` would be the whole exercise, so it is ruled out here.

<details><summary>A question to start with</summary>

What is $[0, 0, 1, 0]\, W$?

</details>

<details><summary>A hint</summary>

A tensor can be indexed with a tensor of integers. Which axis of the table does the word choose?

</details>

<details><summary>My numbers are off</summary>

- *The shape is `(d_model, ...)`, or an index is out of bounds:* words are rows of the table, not columns.
- *"does not reach the output":* `.data`, `.detach()`, `.numpy()` and `torch.tensor(...)` cut the graph.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "embedding_lookup", "schema_version": 3, "cell_type": "code"}
def embedding_lookup(ids: Tensor, weight: Tensor) -> Tensor:
    """The row of a table that belongs to each word.

    Args:
        ids: word ids, integers of any shape (...).
        weight: one row for each word, (vocab_size, d_model).

    Returns:
        (..., d_model).
    """
    ### BEGIN SOLUTION
    return weight[ids]
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-embedding_lookup", "schema_version": 3, "cell_type": "code"}
check("01-sequences.embedding_lookup", embedding_lookup)

# %% [markdown]
r"""
## Exercise 5 · One step of a recurrent network

**Difficulty** ●○○ · **Importance** ●●● · **8 min** · **2 points**

A recurrent network reads one vector at a time and keeps a state. Each step mixes the new input with the old state:

$$h' = \tanh\!\left(W_{ih}\, x + b_{ih} + W_{hh}\, h + b_{hh}\right)$$

The formula is for columns, as in most papers; in the code a vector is a row, and each row of a batch is a sequence of
its own. The input $x$ is `(batch, input_size)`, the state `(batch, hidden_size)`, and so is the new state. The weights
are `(hidden_size, input_size)` and `(hidden_size, hidden_size)`. Two biases are one more than needed; PyTorch has
both.

`nn.RNNCell` and `nn.RNN` would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

$W_{ih}\, x$ for a column is `x @ weight_ih.T` for a row. And $W_{hh}\, h$? It runs without an error in both
directions.

</details>

<details><summary>A hint</summary>

```
sum = x times weight_ih transposed + bias_ih + state times weight_hh transposed + bias_hh
new state = tanh of the sum
```

</details>

<details><summary>My numbers are off</summary>

- *"mat1 and mat2 shapes cannot be multiplied":* a vector is a row, so it stands on the left of the transposed weight.
- *All entries are a little wrong, the shape is right:* is `weight_hh` transposed? It is square, so nobody complains.
- *All entries are above 0:* that is a sigmoid (or a ReLU). The state goes through tanh.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "rnn_step", "schema_version": 3, "cell_type": "code"}
def rnn_step(
    x: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> Tensor:
    """One step of a plain recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Args:
        x: the input of this step, (batch, input_size).
        state: the previous hidden state h, (batch, hidden_size).
        weight_ih: (hidden_size, input_size).
        weight_hh: (hidden_size, hidden_size).
        bias_ih, bias_hh: (hidden_size,) each.

    Returns:
        The new hidden state h', (batch, hidden_size).
    """
    ### BEGIN SOLUTION
    from_input = x @ weight_ih.T + bias_ih  # (batch, hidden_size)
    from_state = state @ weight_hh.T + bias_hh  # (batch, hidden_size)
    return torch.tanh(from_input + from_state)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-rnn_step", "schema_version": 3, "cell_type": "code"}
check("01-sequences.rnn_step", rnn_step)

# %% [markdown]
r"""
## Exercise 6 · One step of an LSTM

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

The LSTM has a second state, the cell $c$, on which gates decide what to forget, what to write and what to show. One
product with $x$ and one with $h$ give all four parts at once (the formulas are for columns, as in Exercise 5):

$$[\,i \;\; f \;\; g \;\; o\,] = W_{ih}\, x + b_{ih} + W_{hh}\, h + b_{hh}$$

$$c' = \sigma(f) \odot c + \sigma(i) \odot \tanh(g), \qquad h' = \sigma(o) \odot \tanh(c')$$

Of the `4 * hidden_size` channels, the first quarter is the **input** gate $i$, then come the **forget** gate $f$, the
candidate $g$ and the **output** gate $o$. The state is the pair `(h, c)`; return the new pair, in the same order.

With one unit, $c = 2$, and 0, $\ln 3$, $\operatorname{artanh} 0.5$ and $-\ln 3$ for $i, f, g, o$, the gates are
$0.5, 0.75, 0.5, 0.25$. So $c' = 0.75 \cdot 2 + 0.5 \cdot 0.5 = 1.75$ and $h' = 0.25 \cdot \tanh 1.75 = 0.235$.

`nn.LSTMCell` and `nn.LSTM` are ruled out here.

<details><summary>A question to start with</summary>

Which of the four parts goes through tanh, and which other tanh is there?

</details>

<details><summary>A hint</summary>

```
h, c = state
gates = both products with both biases                      (batch, 4 * hidden_size)
i, f, g, o = the four quarters of gates along the channels
new c = sigmoid(f) * c + sigmoid(i) * tanh(g)
new h = sigmoid(o) * tanh(new c)
return new h, new c
```

</details>

<details><summary>My numbers are off</summary>

- *Both states are wrong:* is the order of the quarters input, forget, candidate, output? Other libraries have others.
- *The cell is right, the hidden state is too large:* a tanh is missing between them.
- *The cell is right, the hidden state is not, and by little:* is it the **new** cell that you show?
- *The shapes are right and everything is exchanged:* return `(h, c)`, in this order.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "lstm_step", "schema_version": 3, "cell_type": "code"}
def lstm_step(
    x: Tensor,
    state: tuple[Tensor, Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: c' = σ(f) ⊙ c + σ(i) ⊙ tanh(g), h' = σ(o) ⊙ tanh(c').

    Args:
        x: the input of this step, (batch, input_size).
        state: the previous hidden state h and cell state c, (batch, hidden_size) each.
        weight_ih: (4 * hidden_size, input_size), rows in the order input, forget, cell, output.
        weight_hh: (4 * hidden_size, hidden_size), the same order.
        bias_ih, bias_hh: (4 * hidden_size,) each, the same order.

    Returns:
        The new hidden state h' and cell state c', (batch, hidden_size) each.
    """
    ### BEGIN SOLUTION
    h, c = state
    gates = x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh  # (batch, 4 * hidden_size)
    i, f, g, o = gates.chunk(4, dim=-1)  # (batch, hidden_size) each
    new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    new_h = o.sigmoid() * new_c.tanh()
    return new_h, new_c
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-lstm_step", "schema_version": 3, "cell_type": "code"}
check("01-sequences.lstm_step", lstm_step)

# %% [markdown]
r"""
## Exercise 7 · One step of a GRU

**Difficulty** ●●○ · **Importance** ●●○ · **15 min** · **3 points**

The GRU does with one state and two gates. The reset gate $r$ decides how much of the past goes into the candidate $n$,
the update gate $z$ how much of the old state stays (the formulas are for columns again):

$$r = \sigma(W_{ir}\, x + b_{ir} + W_{hr}\, h + b_{hr}), \qquad z = \sigma(W_{iz}\, x + b_{iz} + W_{hz}\, h + b_{hz})$$

$$n = \tanh\!\left(W_{in}\, x + b_{in} + r \odot (W_{hn}\, h + b_{hn})\right), \qquad h' = (1 - z) \odot n + z \odot h$$

The rows of each weight and bias hold three blocks of `hidden_size`, in the order **reset, update, candidate**. Mind
where $r$ stands: it multiplies the product $W_{hn}\, h + b_{hn}$, bias included, not $h$. And mind $z$: where it is 1,
the old state stays.

`nn.GRUCell` and `nn.GRU` are ruled out here.

<details><summary>A question to start with</summary>

In the LSTM you could add the two products before you cut them into parts. Why not here?

</details>

<details><summary>A hint</summary>

```
three thirds of x times weight_ih transposed + bias_ih         (batch, hidden_size) each
three thirds of state times weight_hh transposed + bias_hh     (batch, hidden_size) each
r, z = sigmoid of the sum of the first, of the second thirds
n = tanh(third of x + r * third of state)
new state = (1 - z) * n + z * state
```

</details>

<details><summary>My numbers are off</summary>

- *Close, but wrong everywhere:* does $r$ multiply the state before the product? Then it is another cell.
- *Right only if $b_{hn}$ is zero:* that bias stands inside the bracket that $r$ multiplies.
- *Far off, and right for $z = 0.5$:* old state and candidate are exchanged.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "gru_step", "schema_version": 3, "cell_type": "code"}
def gru_step(
    x: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> Tensor:
    """One step of a GRU: h' = (1 - z) ⊙ n + z ⊙ h, with n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)).

    Args:
        x: the input of this step, (batch, input_size).
        state: the previous hidden state h, (batch, hidden_size).
        weight_ih: (3 * hidden_size, input_size), rows in the order reset, update, candidate.
        weight_hh: (3 * hidden_size, hidden_size), the same order.
        bias_ih, bias_hh: (3 * hidden_size,) each, the same order.

    Returns:
        The new hidden state h', (batch, hidden_size).
    """
    ### BEGIN SOLUTION
    reset_x, update_x, candidate_x = (x @ weight_ih.T + bias_ih).chunk(3, dim=-1)  # (batch, hidden_size) each
    reset_h, update_h, candidate_h = (state @ weight_hh.T + bias_hh).chunk(3, dim=-1)
    reset = (reset_x + reset_h).sigmoid()
    update = (update_x + update_h).sigmoid()
    candidate = (candidate_x + reset * candidate_h).tanh()
    return (1 - update) * candidate + update * state
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-gru_step", "schema_version": 3, "cell_type": "code"}
check("01-sequences.gru_step", gru_step)

# %% [markdown]
r"""
## Exercise 8 · Walk along a padded batch

**Difficulty** ●●● · **Importance** ●●● · **20 min** · **4 points**

Now take a step for each position. Sentences of a batch differ in length, so the shorter ones are filled up with
padding at the end. Padding must leave no trace:

- a sequence that has ended **keeps its last valid state**, while the others go on;
- the outputs at its padded positions are zeros.

`step(x, state)` takes the inputs of one position, `(batch, input_size)`, and a state, and gives the new state. A
state is a tensor $h$, or the pair $(h, c)$ of an LSTM, `(batch, hidden_size)` each. `x` is
`(batch, length, input_size)`, and `lengths`, `(batch,)`, holds the number of valid positions of each sequence, at
least 1; `None` means that all are valid. Return the hidden states $h$ after each step, `(batch, length,
hidden_size)`, and the last valid state, which is a pair if `state` is one.

With the step $h' = h + x$, one channel, and a start of 0:

| inputs | length | outputs | last state |
|---|---|---|---|
| $1, 2, 4$ | 3 | $1, 3, 7$ | 7 |
| $8, 16, 99$ | 2 | $8, 24, 0$ | 24 |

<details><summary>A question to start with</summary>

At position `time`, which sequences of the batch are still running? Write it as one comparison with `lengths`.

</details>

<details><summary>A hint</summary>

```
for each position:
    new = step(inputs of this position, state)
    valid = position < lengths, as a column                 (batch, 1)
    state = new where valid, else the old state             both parts, if it is a pair
    output = h of the state where valid, else 0
stack the outputs along axis 1
```

</details>

<details><summary>My numbers are off</summary>

- *The last state is right for the longest sequence only:* the others went on through their padding.
- *The last state is all zeros for short sequences:* the last *output* is padding; the last *valid state* is not.
- *$h$ is right and $c$ is not:* both parts of a pair must stop.
- *Everything is right but the rows after the end:* outputs at padding are zeros.
- *Outputs come one position late:* append the state after the step, not before.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "unroll", "schema_version": 3, "cell_type": "code"}
def unroll(
    step: Callable[[Tensor, State], State], x: Tensor, state: State, lengths: Tensor | None = None
) -> tuple[Tensor, State]:
    """Walk a step along a padded batch; a sequence that has ended keeps its last valid state.

    Args:
        step: takes the inputs of one position, (batch, input_size), and the state; gives the new state.
        x: the inputs, padded at the end, (batch, length, input_size).
        state: the state before the first step: h, or a pair (h, c), of (batch, hidden_size) each.
        lengths: number of valid inputs of each sequence, at least 1, (batch,). None: all are valid.

    Returns:
        The hidden state h after each step, (batch, length, hidden_size), zeros where the input is padding; and
        the state after the last valid step of each sequence, of the form of `state`.
    """
    ### BEGIN SOLUTION
    pair = isinstance(state, tuple)
    if lengths is None:
        lengths = torch.full((x.shape[0],), x.shape[1])
    outputs = []
    for time in range(x.shape[1]):
        valid = (time < lengths)[:, None]  # (batch, 1)
        new = step(x[:, time], state)
        if pair:
            state = (torch.where(valid, new[0], state[0]), torch.where(valid, new[1], state[1]))
        else:
            state = torch.where(valid, new, state)
        h = state[0] if pair else state
        outputs.append(torch.where(valid, h, 0.0))
    return torch.stack(outputs, dim=1), state
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-unroll", "schema_version": 3, "cell_type": "code"}
check("01-sequences.unroll", unroll)

# %% [markdown]
r"""
Use your pieces to see what the chapter measures: how much of a change in the first input reaches the state at the
end. Run the cell, then set `weight_scale` to 3: the gradient fades more slowly. Set it to 6: it grows.
"""

# %% tags=["student-only"]
try:
    weight_scale, hidden_size, length = 1.0, 32, 60
    generator = torch.Generator().manual_seed(0)
    weight_ih, weight_hh = torch.randn(2, hidden_size, hidden_size, generator=generator) / hidden_size**0.5 / 2
    zeros = torch.zeros(hidden_size)
    x = torch.randn(1, length, hidden_size, generator=generator).requires_grad_()
    _, last = unroll(
        lambda x, h: rnn_step(x, h, weight_ih, weight_scale * weight_hh, zeros, zeros), x, torch.zeros(1, hidden_size)
    )
    (gradient,) = torch.autograd.grad(last.square().sum() / 2, x)
    figure, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
    axis.semilogy(range(length - 1, -1, -1), gradient[0].norm(dim=-1).clamp(min=1e-30))
    axis.set(xlabel="steps back from the end", ylabel="gradient norm")
    plt.show()
except NotImplementedError:
    plt.close("all")
    print("Write rnn_step and unroll first, then run this cell again.")

# %% [markdown]
r"""
## The larger piece · A reader in both directions

**Difficulty** ●●● · **Importance** ●●● · **35 min** · **5 points**

"An apple a day" and "an Apple a year later": what a word means may depend on what comes **after** it. Read each
sentence twice, from the left and from the right, and put both states side by side. Then every position knows its
whole sentence.

$$\overrightarrow{h}_t = \mathrm{GRU}_\rightarrow(x_t, \overrightarrow{h}_{t-1}), \qquad
\overleftarrow{h}_t = \mathrm{GRU}_\leftarrow(x_t, \overleftarrow{h}_{t+1}), \qquad
\mathrm{output}_t = [\,\overrightarrow{h}_t \;\; \overleftarrow{h}_t\,]$$

- `ids` is `(batch, length)`, `lengths` is `(batch,)`. The constructor is given: an embedding table and one cell for
  each direction. Both directions start from zeros.
- A cell is a step: `cell(x, state)` gives the new state. You can hand it to `unroll`.
- The outputs are `(batch, length, 2 * hidden_size)`, forward states first, zeros at padding. Position $t$ holds what
  both directions know **at** $t$.
- The summary is `(batch, 2 * hidden_size)`: the last valid state of each direction. The backward direction ends at the
  first word.
- Whatever stands in the padding must change nothing.

`nn.GRU` would be the whole piece, so it is ruled out here.

<details><summary>A question to start with</summary>

A sentence of three words, padded to five: $a\, b\, c\, {-}\, {-}$. What does the backward direction read, in which
order? What does `x.flip(1)` make of it?

</details>

<details><summary>A hint</summary>

```
x = embeddings of the ids
turned = each sequence turned round within its own length, padding still at the end
    position t of the turned one is position (length of this sequence - 1 - t) of x, where t is valid
forward outputs,  forward state  = unroll(forward cell, x, zeros, lengths)
backward outputs, backward state = unroll(backward cell, turned, zeros, lengths)
turn the backward outputs round again, in the same way
put outputs side by side; put states side by side
```

`x[rows, places]`, with `rows` of shape `(batch, 1)` and `places` of shape `(batch, length)`, picks a place of its own
for each row.

</details>

<details><summary>My numbers are off</summary>

- *Right for the longest sequence, wrong for the others:* `flip` brings the padding to the front, and the backward
  direction starts by reading it.
- *The forward half is right, the backward half is in reverse order:* its outputs must be turned back.
- *The outputs are right, half of the summary is not:* at the last position, the backward direction has read one word.
- *Zeros in the summary:* the last position of a short sequence is padding.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "BidirectionalReader", "schema_version": 3, "cell_type": "code"}
class BidirectionalReader(nn.Module):
    """Reads sentences from the left and from the right, with a GRU each, and puts both states side by side.

    Args:
        vocab_size: number of words.
        d_model: width of an embedding.
        hidden_size: width of the state of one direction.

    Attributes:
        embedding: nn.Embedding.
        forward_cell, backward_cell: nn.GRUCell.
    """

    def __init__(self, *, vocab_size: int, d_model: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.forward_cell = nn.GRUCell(d_model, hidden_size)
        self.backward_cell = nn.GRUCell(d_model, hidden_size)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read a padded batch of sentences.

        Args:
            ids: word ids, padded at the end, (batch, length).
            lengths: number of words of each sentence, at least 1, (batch,).

        Returns:
            The states of both directions at each position, (batch, length, 2 * hidden_size), zeros at padding; and
            the last state of both, (batch, 2 * hidden_size). Forward stands first.
        """
        ### BEGIN SOLUTION
        x = self.embedding(ids)  # (batch, length, d_model)
        batch, length, _ = x.shape
        start = x.new_zeros(batch, self.hidden_size)
        rows = torch.arange(batch)[:, None]  # (batch, 1)
        time = torch.arange(length)
        places = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # (batch, length)
        forward, forward_last = unroll(self.forward_cell, x, start, lengths)
        backward, backward_last = unroll(self.backward_cell, x[rows, places], start, lengths)
        backward = backward[rows, places]
        outputs = torch.cat([forward, backward], dim=-1)
        summary = torch.cat([forward_last, backward_last], dim=-1)
        return outputs, summary
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 5, "grade_id": "check-BidirectionalReader", "schema_version": 3, "cell_type": "code"}
check("01-sequences.BidirectionalReader", BidirectionalReader)

# %% [markdown]
r"""
## In words · Why does the network forget?

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

A fellow student trains a plain recurrent network to answer a question about the first word of a sentence. With 5
words it learns; with 50 words it does not. An LSTM does not help until the bias of its forget gate is set to 3.
Explain, in about ten sentences with the formulas you need:

1. How the gradient of the last state $h_T$ by an early state $h_t$ is put together from the steps between them.
2. Why that makes it shrink with the distance for the plain network, and what that does to learning. When would it grow
   instead?
3. What the derivative of a cell state of the LSTM by the one before it is, if the gates are held fixed; and why the
   bias matters.

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 3, "grade_id": "why_does_it_forget", "schema_version": 3, "cell_type": "markdown"}
r"""
The state $h_T$ depends on $h_t$ only through the states between them, so the chain rule gives a product of one factor
for each step: $\frac{\partial h_T}{\partial h_t} = \prod_{k=t+1}^{T} \frac{\partial h_k}{\partial h_{k-1}}$.

For the plain network each factor is $\mathrm{diag}(1 - h_k^2)\, W_{hh}$. The first part is the derivative of tanh,
which is at most 1. If $W_{hh}$ stretches no vector, that is, if its largest singular value is below 1, each factor
shortens what passes through it, and the product shrinks exponentially with $T - t$. Fifty factors of 0.5 leave
$10^{-15}$. The weights are then updated as if the first word did not matter: it does not reach the loss by more than
round-off, so its influence is not learned. If $W_{hh}$ is large and the units are not saturated, the factors are above
1 and the product grows exponentially: the gradient explodes.

The LSTM's cell is $c' = \sigma(f) \odot c + \sigma(i) \odot \tanh(g)$, so with fixed gates $\frac{\partial c'}
{\partial c} = \mathrm{diag}(\sigma(f))$: no matrix and no tanh, only the forget gate. With small random weights and no
bias, $\sigma(f)$ is about 0.5, and $0.5^{50}$ is no better than before. With a bias of 3, $\sigma(3) = 0.953$ and
$0.953^{50} = 0.09$: enough to learn from.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **Product** (1): one factor for each step, by the chain rule. "It goes back through time" without a product is no
   point; a product without saying over what is half a point.
2. **Shrinking** (1): each factor holds tanh's derivative (at most 1) and the recurrent matrix; factors below 1 give an
   exponential decrease, so early inputs hardly influence the update; factors above 1 an exponential increase. Without
   the second case half a point.
3. **LSTM** (1): $\partial c' / \partial c = \sigma(f)$; a bias of 0 means 0.5 per step, a bias of 3 means 0.953.
   "The LSTM has a highway" without the derivative is half a point.

### END MARK SCHEME
"""
