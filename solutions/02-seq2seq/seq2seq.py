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
# Assignment 02 · Encoder and decoder

You build a translator out of its pieces: a vocabulary, a padded batch, the shifted target, a loss that leaves padding
out, an encoder, a decoder, greedy decoding and BLEU. At the end you train it yourself. Nine short exercises, one larger
piece and one question that you answer in words: together they are worth **36 points** and take about three hours. The
chapter *Encoder and decoder* teaches everything you need.

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
library function would be the whole exercise, the task rules it out. The translator of the last piece is trained in
grading as it is here, and the weights that you return are measured on sentences that neither you nor your code has
seen.

## How to hand in

Choose *Kernel → Restart and run all cells*, look at the checks once more, save, and submit this file under its own
name. The last piece trains twice, in its check and in the cell behind it, so this takes a minute or two.

Hand in your own work: talk about ideas with others, write the code and the answer yourself.

## Conventions

Shapes are `(batch, length, channels)`. A word is an integer, its **id**. Four ids are the same in every vocabulary:
`<pad>` 0, `<start>` 1, `<end>` 2, `<unk>` 3. Sequences of a batch are padded at the **end**. A target ends with `<end>`,
then padding. The state of an LSTM is a pair (h, c) of shape `(num_layers, batch, hidden_size)` each, as PyTorch has it.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_lib.check import check

PAD, START, END, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")

State = tuple[Tensor, Tensor]  # h and c of an LSTM, (num_layers, batch, hidden_size) each

# %% [markdown]
r"""
## Exercise 1 · A vocabulary

**Difficulty** ●○○ · **Importance** ●●○ · **5 min** · **2 points**

Give each word a number. The four special words come first, `<pad>` 0, `<start>` 1, `<end>` 2, `<unk>` 3; then every
word of the sentences, in the order in which it **first** appears. A word that comes again keeps its number, and no
number is left out. For the two sentences *think about it* and *think it over*:

| word | `<pad>` | `<start>` | `<end>` | `<unk>` | think | about | it | over |
|---|---|---|---|---|---|---|---|---|
| id | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |

The `Vocabulary` of `course_lib.data` would be the whole exercise, so it is ruled out here.

<details><summary>A question to start with</summary>

You meet a word that is new. How many words do you know already, and what is the next free number?

</details>

<details><summary>A hint</summary>

```
index = the special words, with 0, 1, 2, 3
for each sentence, for each word:
    if the word is not in index yet: give it the number len(index)
```

</details>

<details><summary>My numbers are off</summary>

- *Numbers are left out, or too high:* are words counted again that were there before?
- *Wrong numbers from some word on:* the order is that of first appearance, not of the alphabet or of frequency.
- *Everything is 4 too low:* the special words come first.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "build_vocabulary", "schema_version": 3, "cell_type": "code"}
def build_vocabulary(sentences: Sequence[Sequence[str]]) -> dict[str, int]:
    """Give each word a number: `<pad>` 0, `<start>` 1, `<end>` 2, `<unk>` 3, then words as they first appear.

    Args:
        sentences: each a sequence of words.

    Returns:
        The id of each word.
    """
    ### BEGIN SOLUTION
    index = {word: i for i, word in enumerate(SPECIALS)}
    for sentence in sentences:
        for word in sentence:
            if word not in index:
                index[word] = len(index)
    return index
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-build_vocabulary", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.build_vocabulary", build_vocabulary)

# %% [markdown]
r"""
## Exercise 2 · A padded batch

**Difficulty** ●○○ · **Importance** ●●○ · **8 min** · **2 points**

Sentences have different lengths; a tensor has one. Put the sequences into one table of integers, `(batch, longest)`,
filled up **at the end** with `pad`, and return the lengths, `(batch,)`, beside it. For the sequences $[5, 6, 7]$, $[8]$
and $[9, 4]$ with `pad = 0`:

| ids | length |
|---|---|
| $[5, 6, 7]$ | 3 |
| $[8, 0, 0]$ | 1 |
| $[9, 4, 0]$ | 2 |

`pad_sequence` would be the whole exercise, so it is ruled out here.

<details><summary>A question to start with</summary>

How many columns does the table need, and what stands in it before you write the first sequence?

</details>

<details><summary>A hint</summary>

```
lengths = length of each sequence
ids = a table (number of sequences, largest length) full of pad
for each row: write its sequence into the first places of the row
```

</details>

<details><summary>My numbers are off</summary>

- *Some numbers are missing:* the table is as wide as the **longest** sequence.
- *Right for the longest sequence only:* the padding stands at the end, not at the front.
- *The lengths are all the same:* they say how many words each sequence has, before padding.
- *"is of torch.float32, expected whole numbers":* `torch.full` and `torch.zeros` take a `dtype`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "pad_batch", "schema_version": 3, "cell_type": "code"}
def pad_batch(sequences: Sequence[Sequence[int]], *, pad: int = PAD) -> tuple[Tensor, Tensor]:
    """Put sequences of different lengths into one table, filled up at the end.

    Args:
        sequences: ids, at least one sequence, each of at least one id.
        pad: the id to fill up with.

    Returns:
        The ids, (batch, longest), and the lengths, (batch,); whole numbers.
    """
    ### BEGIN SOLUTION
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    longest = max(len(sequence) for sequence in sequences)
    rows = []
    for sequence in sequences:
        padding = [pad] * (longest - len(sequence))
        rows.append([*sequence, *padding])
    return torch.tensor(rows), lengths
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-pad_batch", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.pad_batch", pad_batch)

# %% [markdown]
r"""
## Exercise 3 · What the decoder reads

**Difficulty** ●○○ · **Importance** ●●● · **5 min** · **2 points**

To write word $i$, the decoder reads word $i - 1$. So what it reads is the target, shifted by one place to the right, with
`<start>` in front; the last column drops out. The target is `(batch, length)`, and so is the result. Make a new tensor
and leave the target as it is: the loss still needs it. With `<start>` 1, `<end>` 2 and `<pad>` 0:

| target | what the decoder reads |
|---|---|
| $[7, 5, 9, 2]$ | $[1, 7, 5, 9]$ |
| $[8, 2, 0, 0]$ | $[1, 8, 2, 0]$ |

What follows `<end>` does not matter: the loss leaves it out.

<details><summary>A question to start with</summary>

What has the decoder read when it writes the first word? And when it writes `<end>`?

</details>

<details><summary>A hint</summary>

A column of `start`, then all columns of the target but the last. `torch.cat` puts tensors side by side; a column has
the shape `(batch, 1)`.

</details>

<details><summary>My numbers are off</summary>

- *One column too many:* the last column of the target is never read, since nothing is written after it.
- *The last column comes out in front:* `torch.roll` brings round what drops out.
- *Shifted the wrong way:* position $i$ reads word $i - 1$, not word $i + 1$.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "shift_right", "schema_version": 3, "cell_type": "code"}
def shift_right(target: Tensor, *, start: int = START) -> Tensor:
    """What the decoder reads to write the target: `<start>`, then the target without its last column.

    Args:
        target: ids, (batch, length); each row ends with `<end>` and padding.
        start: the id of `<start>`.

    Returns:
        (batch, length); position i holds the target's position i - 1.
    """
    ### BEGIN SOLUTION
    first = torch.full_like(target[:, :1], start)  # (batch, 1)
    return torch.cat([first, target[:, :-1]], dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-shift_right", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.shift_right", shift_right)

# %% [markdown]
r"""
## Exercise 4 · A loss without padding

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

The loss of a word is $-\ln p(\text{word})$, with $p$ the softmax of the logits. The loss of a batch is the mean over all
words that are **not padding**: each word counts the same, whatever the length of its sentence.

$$
\mathcal{L} = \frac{-\sum_{b,i} m_{b,i} \ln p_{b,i}(y_{b,i})}{\sum_{b,i} m_{b,i}}, \qquad
m_{b,i} = 1 \text{ where } y_{b,i} \ne \text{pad, else } 0
$$

The logits are `(batch, length, vocab_size)`, the target is `(batch, length)` and holds at least one word. For the words'
probabilities $0.5$ and $0.25$ in the first sentence, $0.5$ and padding in the second, the loss is
$(0.693 + 1.386 + 0.693) / 3 = 0.924$.

`F.cross_entropy` and `F.nll_loss` would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

In the example, three numbers are added. What are they divided by, and by what would a plain mean divide?

</details>

<details><summary>A hint</summary>

```
log p of all words  = log-softmax of the logits over the vocabulary      (batch, length, vocab_size)
log p of the target = for each position, the entry of its target         (batch, length)
loss = - sum of those that count / how many count
```

`x.gather(-1, index)` picks one entry of the last axis for each position; `index` needs as many axes as `x`.

</details>

<details><summary>My numbers are off</summary>

- *Right without padding, too small with it:* the sum leaves padding out, and the division does not.
- *Right without padding, wrong with it:* padding is in the sum as well.
- *Right only where all sentences are equally long:* is it a mean of the sentences' means?
- *Everything is off:* the logits are not probabilities; a second softmax flattens them.
- *"does not reach the output":* `.item()`, `.data` and `torch.tensor(...)` cut the graph.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "masked_cross_entropy", "schema_version": 3, "cell_type": "code"}
def masked_cross_entropy(logits: Tensor, target: Tensor, *, pad: int = PAD) -> Tensor:
    """The mean of -log p(target) over the positions that are not padding.

    Args:
        logits: scores of all words before the softmax, (batch, length, vocab_size).
        target: ids, (batch, length), not all of them padding.
        pad: the id that does not count.

    Returns:
        The loss, 0-dimensional.
    """
    ### BEGIN SOLUTION
    valid = target != pad  # (batch, length)
    log_probability = logits.log_softmax(dim=-1)  # (batch, length, vocab_size)
    chosen = log_probability.gather(-1, target[..., None]).squeeze(-1)  # (batch, length)
    total = (chosen * valid).sum()
    return -total / valid.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-masked_cross_entropy", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.masked_cross_entropy", masked_cross_entropy)

# %% [markdown]
r"""
## Exercise 5 · The encoder

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

The encoder reads the source word by word. Its last state is all that the decoder will know. The constructor is given:
an embedding and PyTorch's LSTM, of one or more layers. Write `forward`:

- `source` is `(batch, length)`, padded at the end, `lengths` is `(batch,)`, in any order.
- The states are those of the top layer, `(batch, length, hidden_size)`, and **zeros at padding**.
- The last state is the pair (h, c), `(num_layers, batch, hidden_size)` each, after the **last word** of each sentence.
- Whatever stands in the padding must change nothing.

PyTorch's LSTM runs on over padding unless it gets a *packed* sequence. `pack_padded_sequence` and `pad_packed_sequence`
are imported.

<details><summary>A question to start with</summary>

A sentence of two words is padded to five. After which step is its state right, and what has the LSTM read by the fifth?

</details>

<details><summary>A hint</summary>

```
x = embeddings of the source                              (batch, length, d_model)
packed = pack x with the lengths                          batch_first, and the order of lengths is free
packed states, last state = the LSTM on packed
states = unpack the packed states                         batch_first, as wide as the source
```

Both functions take `batch_first=True`; the first takes `enforce_sorted=False`, the second `total_length=...`.

</details>

<details><summary>My numbers are off</summary>

- *Right for the longest sentence only:* the LSTM has read padding. Pack.
- *An error about sorted lengths:* `enforce_sorted=False` sorts, and puts the results back.
- *The shape of the states is too small:* where all sentences are shorter than the table, say `total_length`.
- *The first two axes are exchanged:* one of the two functions lacks `batch_first=True`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "Encoder", "schema_version": 3, "cell_type": "code"}
class Encoder(nn.Module):
    """Reads the source word by word: a state for every word, and the last one for the decoder.

    Args:
        vocab_size: number of source words.
        d_model: width of the word embeddings.
        hidden_size: width of the state.
        num_layers: LSTM layers on top of each other.

    Attributes:
        embedding: nn.Embedding.
        rnn: nn.LSTM.
    """

    def __init__(self, *, vocab_size: int, d_model: int, hidden_size: int, num_layers: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model, hidden_size, num_layers, batch_first=True)

    def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Read a batch of sentences.

        Args:
            source: ids, (batch, length), padded at the end.
            lengths: number of words of each, at least 1, (batch,).

        Returns:
            The states of the top layer, (batch, length, hidden_size), zeros at padding; and the state (h, c) after
            the last word of each sentence, (num_layers, batch, hidden_size) each.
        """
        ### BEGIN SOLUTION
        x = self.embedding(source)  # (batch, length, d_model)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed_states, last = self.rnn(packed)
        states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=source.shape[1])
        return states, last
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-Encoder", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.Encoder", Encoder)

# %% [markdown]
r"""
## Exercise 6 · One step of the decoder

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

One step writes one word. It reads three things: the **previous state**, the **previous word** and the **context**.

$$
s_i = \mathrm{LSTM}\big([\,E_{y_{i-1}} \;\; c\,],\; s_{i-1}\big), \qquad \mathrm{logits}_i = W h_i + b
$$

- `token` is the id of the previous word, `(batch,)`. Its embedding stands **first**, the context behind it.
- `state` is (h, c), `(num_layers, batch, hidden_size)` each; `context` is `(batch, d_context)`.
- $h_i$ is the top layer's new hidden state. The logits are `(batch, vocab_size)`, before any softmax.
- Return the logits and the **new** state.

The constructor is given. PyTorch's LSTM wants a sequence, so hand it one of length 1.

<details><summary>A question to start with</summary>

`nn.LSTM` takes `(batch, length, channels)`. Which shape has your input, and which axis is missing?

</details>

<details><summary>A hint</summary>

```
x = embedding of token, context behind it                 (batch, d_model + d_context)
output, new state = the LSTM on x as a sequence of one step, from state
logits = self.output of the only step of output           (batch, vocab_size)
```

</details>

<details><summary>My numbers are off</summary>

- *The shape is `(batch, 1, vocab_size)`:* take the step out of the sequence again.
- *Right on the first step, wrong on the next:* is it the new state that you return?
- *Everything is a little wrong:* which stands first, the word or the context?
- *Every row of the logits sums to one (or to one after `exp`):* that is a softmax; the loss takes it later.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "DecoderStep", "schema_version": 3, "cell_type": "code"}
class DecoderStep(nn.Module):
    """One step of the decoder: from the previous state, the previous word and the context to the next word.

    Args:
        vocab_size: number of target words.
        d_model: width of the word embeddings.
        hidden_size: width of the state.
        d_context: width of the context.
        num_layers: LSTM layers on top of each other.

    Attributes:
        embedding: nn.Embedding.
        rnn: nn.LSTM; reads the word's embedding and the context side by side.
        output: nn.Linear, from the state to the logits.
    """

    def __init__(self, *, vocab_size: int, d_model: int, hidden_size: int, d_context: int, num_layers: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model + d_context, hidden_size, num_layers, batch_first=True)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, token: Tensor, state: State, context: Tensor) -> tuple[Tensor, State]:
        """Write one word.

        Args:
            token: the id of the previous word, (batch,).
            state: the previous state (h, c), (num_layers, batch, hidden_size) each.
            context: what the encoder found, (batch, d_context).

        Returns:
            The logits of the next word, (batch, vocab_size), and the new state (h, c).
        """
        ### BEGIN SOLUTION
        word = self.embedding(token)  # (batch, d_model)
        x = torch.cat([word, context], dim=-1)  # (batch, d_model + d_context)
        output, new_state = self.rnn(x[:, None], state)  # a sequence of one step
        logits = self.output(output.squeeze(1))  # (batch, vocab_size)
        return logits, new_state
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-DecoderStep", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.DecoderStep", DecoderStep)

# %% [markdown]
r"""
## Exercise 7 · Greedy decoding

**Difficulty** ●●● · **Importance** ●●● · **20 min** · **4 points**

Now the decoder writes alone. It reads `<start>`, takes the **likeliest** word, reads that, and goes on, for all sentences
of the batch at once.

- `step(token, state)` gives the logits `(batch, vocab_size)` and the new state. `token` is `(batch,)`.
- A sentence ends with `<end>`, which belongs to the result. Behind it stands `<pad>`, whatever the step says.
- Stop as soon as **every** sentence has ended, or after `max_length` words.
- The result is `(batch, steps)`, `<start>` not included.

Two sentences, of which one ends early: $[[8, 5, 2], [7, 2, 0]]$.

<details><summary>A question to start with</summary>

One sentence of the batch ends two words before the other. What is written for it in the meantime, and what is fed to
the step?

</details>

<details><summary>A hint</summary>

```
token = start for every sentence; ended = False for every sentence; written = empty list
as long as fewer than max_length words are written and not all have ended:
    logits, state = step(token, state)
    token = likeliest words, but pad where the sentence has ended
    ended = ended, or token is end
    write token down
put the written columns side by side
```

</details>

<details><summary>My numbers are off</summary>

- *Words behind `<end>`:* overwrite with `pad` where the sentence has ended **before** this step.
- *`<end>` is missing:* then `ended` was brought up to date too early.
- *Too few columns:* it stops when all sentences have ended, not when the first one has.
- *Too many columns:* do not wait for `max_length` once all have ended; `<start>` is not part of the result.
- *The right first word, then nonsense:* is the new word fed to the next step, and the new state too?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "greedy_decode", "schema_version": 3, "cell_type": "code"}
def greedy_decode(
    step: Callable[[Tensor, Any], tuple[Tensor, Any]],
    state: Any,
    *,
    batch_size: int,
    max_length: int,
    start: int = START,
    end: int = END,
    pad: int = PAD,
) -> Tensor:
    """Write the likeliest word at each step, and read it at the next, until every sentence has ended.

    Args:
        step: takes the previous words (batch,) and the state, gives logits (batch, vocab_size) and the new state.
        state: the first state.
        batch_size: number of sentences.
        max_length: the largest number of words, `<end>` included; at least 1.
        start, end, pad: the ids of the special words.

    Returns:
        Ids, (batch, steps) with steps <= max_length: each row ends with `<end>`, if it came in time, and holds
        `<pad>` behind it.
    """
    ### BEGIN SOLUTION
    token = torch.full((batch_size,), start)
    ended = torch.zeros(batch_size, dtype=torch.bool)
    written = []
    while len(written) < max_length and not ended.all():
        logits, state = step(token, state)
        token = logits.argmax(dim=-1)  # (batch,)
        token = torch.where(ended, pad, token)
        ended = ended | (token == end)
        written.append(token)
    return torch.stack(written, dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-greedy_decode", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.greedy_decode", greedy_decode)

# %% [markdown]
r"""
## Exercise 8 · The source, reversed

**Difficulty** ●●○ · **Importance** ●●○ · **10 min** · **2 points**

A trick that helps a fixed context: read the source from its last word to its first, so that its first words are read
last, close to where the decoder begins. Turn each sentence round **within its own length**; the padding stays at the
end. For the lengths 3 and 2:

| source | reversed |
|---|---|
| $[5, 6, 7, 0]$ | $[7, 6, 5, 0]$ |
| $[8, 9, 0, 0]$ | $[9, 8, 0, 0]$ |

<details><summary>A question to start with</summary>

In a sentence of length $n$, which place moves to place $t$? And which, where $t \ge n$?

</details>

<details><summary>A hint</summary>

For each row and each place $t$, the place to take from: $n - 1 - t$ where $t < n$, else $t$ itself. `source.gather(1,
places)` takes it; `places` is `(batch, length)`. A loop over the rows does it as well.

</details>

<details><summary>My numbers are off</summary>

- *The padding stands in front:* `flip` turns the whole row round.
- *Off by one:* the first word of a sentence of length $n$ goes to place $n - 1$, since places count from 0.
- *Right for the longest sentence only:* each row has a length of its own.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "reverse_source", "schema_version": 3, "cell_type": "code"}
def reverse_source(source: Tensor, lengths: Tensor) -> Tensor:
    """The source from its last word to its first; padding stays at the end.

    Args:
        source: ids, (batch, length), padded at the end.
        lengths: number of words of each, (batch,).

    Returns:
        (batch, length).
    """
    ### BEGIN SOLUTION
    time = torch.arange(source.shape[1])  # (length,)
    mirrored = lengths[:, None] - 1 - time  # (batch, length)
    places = torch.where(mirrored >= 0, mirrored, time)
    return source.gather(1, places)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-reverse_source", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.reverse_source", reverse_source)

# %% [markdown]
r"""
## Exercise 9 · BLEU

**Difficulty** ●●● · **Importance** ●●● · **25 min** · **4 points**

How good is a translation? Count how many of its runs of $n$ words, its **n-grams**, the reference has too:

$$
p_n = \frac{\text{matches of order } n}{\text{n-grams of order } n \text{ in the hypotheses}}, \qquad
\mathrm{BLEU} = 100 \cdot \min\!\left(1, e^{1 - r/c}\right) \cdot \left(p_1 p_2 \cdots p_N\right)^{1/N}
$$

- **Clipping:** an n-gram counts as a match at most as often as it stands in its reference. *the the the* against
  *the cat* has one match, not three.
- **Brevity penalty:** $c$ is the number of words in all hypotheses, $r$ in all references. Too short costs, too long
  costs nothing here: the precisions see to that.
- **Corpus:** matches, n-grams, $c$ and $r$ are added up over **all** sentences before anything is divided.
- Without a single match of some order, BLEU is 0. $N$ is `max_order`. A sentence is a list of tokens, and may be empty.

One sentence, *the cat sat on the mat* for the reference *the cat is on the mat*: $p_1 = 5/6$, $p_2 = 3/5$, $p_3 = 1/4$,
$p_4 = 0/3$, so BLEU with four orders is 0; with two orders it is $100 \sqrt{5/6 \cdot 3/5} = 70.7$.

`course_lib.metrics` and `sacrebleu` would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

Count the matches of single words of *the the the* against *the cat the*, by hand. Where does the reference's count come
in?

</details>

<details><summary>A hint</summary>

```
for each pair of sentences, for each order n from 1 to max_order:
    count the n-grams of the hypothesis, and of the reference          Counter of tuples
    matches[n] += for each n-gram, the smaller of the two counts
    totals[n]  += number of n-grams of the hypothesis
c, r = words of all hypotheses, of all references
if any matches[n] is 0: the result is 0.0
100 * min(1, exp(1 - r/c)) * (product of matches[n] / totals[n]) ** (1 / max_order)
```

`a & b` of two Counters keeps the smaller counts.

</details>

<details><summary>My numbers are off</summary>

- *Too high where words repeat:* clip.
- *Too high for short hypotheses:* the brevity penalty is missing.
- *Right for one sentence, wrong for several:* BLEU of a corpus is not the mean of the sentences' BLEU.
- *An error in `log` or a division by zero:* some order has no match; the answer is 0.
- *100 times too small:* BLEU runs from 0 to 100 here.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "corpus_bleu", "schema_version": 3, "cell_type": "code"}
def corpus_bleu(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, max_order: int = 4
) -> float:
    """BLEU of a whole corpus, from 0 to 100: geometric mean of clipped n-gram precisions times a brevity penalty.

    Args:
        hypotheses: the translations, each a sequence of tokens.
        references: one reference for each, in the same order.
        max_order: the longest n-gram.

    Returns:
        BLEU, between 0 and 100.
    """
    ### BEGIN SOLUTION
    matches, totals = [0] * max_order, [0] * max_order
    for number, reference in enumerate(references):
        hypothesis = hypotheses[number]
        for n in range(1, max_order + 1):
            found = Counter(tuple(hypothesis[i : i + n]) for i in range(len(hypothesis) - n + 1))
            wanted = Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
            matches[n - 1] += (found & wanted).total()
            totals[n - 1] += found.total()
    if 0 in matches:
        return 0.0
    c = sum(len(hypothesis) for hypothesis in hypotheses)
    r = sum(len(reference) for reference in references)
    precisions = [matches[n] / totals[n] for n in range(max_order)]
    brevity = min(1.0, math.exp(1 - r / c))
    return 100 * brevity * math.prod(precisions) ** (1 / max_order)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-corpus_bleu", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.corpus_bleu", corpus_bleu)

# %% [markdown]
r"""
## The data for the last piece

Short English sentences and their Italian translations, from the grammar of the chapter. Run the cell and look at a few.
"""

# %% tags=["student-only"]
from course_lib.data.translation import translation_data, written

data = translation_data(np.random.default_rng(2), lengths=(4, 5), train_per_length=1500, test_per_length=60)
for pair in data.train[::700]:
    print(f"{written(pair.source)}  →  {written(pair.target)}")

# %% [markdown]
r"""
## The larger piece · Train a translator

**Difficulty** ●●● · **Importance** ●●● · **40 min** · **6 points**

Put the pieces together and train. Encoder and decoder are made for you; you write the training.

- `draw_batch()` gives the next batch: `source` (batch, source_length), its `lengths` (batch,), and `target`
  (batch, target_length), each row with `<end>` and padding. Call it once for each update.
- One update: encode; walk the decoder along the target with **teacher forcing**, that is, feed it the right previous
  words; take the masked loss of all logits; compute gradients; step.
- The decoder starts from the encoder's last state. The **context** is the hidden state $h$ of it (the only layer's), the
  same at every step.
- The source is read as it is, not reversed.
- Adam with a learning rate of 0.015 that falls in a straight line to 0, over 400 updates, with the gradients' norm
  clipped to 1, is good enough. That takes about ten seconds, longer on a busy computer; you have two minutes.

The weights are measured on new sentences: how many next words they get right when the right words before are given
(92 % are asked for; a sound training gets 94 % or more), the BLEU of their greedy translations (75 is asked for; a
sound training gets 80 or more), and whether padding was left out of the loss.

<details><summary>A question to start with</summary>

Which of your functions makes what the decoder reads, and which one takes the logits of all steps? Where does the
state that the decoder starts from come from?

</details>

<details><summary>A hint</summary>

```
optimizer = Adam over translator.parameters()
repeat 400 times:
    set the learning rate
    source, lengths, target = draw_batch()
    _, state = encoder(source, lengths)
    context = h of the state, its last layer                 (batch, hidden_size)
    tokens = target shifted right
    for each column of tokens:
        logits, state = decoder(column, state, context)
    loss = masked cross-entropy of all logits, side by side, with the target
    zero the gradients, backward, clip, step
```

`torch.stack(rows, dim=1)` makes `(batch, length, vocab_size)` of a list of `(batch, vocab_size)`. The learning rate
stands in `optimizer.param_groups[0]["lr"]`. `nn.utils.clip_grad_norm_(parameters, 1.0)` clips, after `backward()`.

</details>

<details><summary>My numbers are off</summary>

- *The loss does not fall:* is `optimizer.step()` there, and `backward()` before it?
- *The loss falls to nearly 0 at once:* the decoder reads the very word that it must write. Shift. If you do, look whether
  `shift_right` writes into the target itself; the loss then compares with the shifted one.
- *The loss stops at about 2:* does the decoder start from the encoder's state, and is it fed the context?
- *The loss falls slowly, or jumps:* are the gradients set to zero before each `backward()`? Is the norm clipped?
- *Good on the right words, bad when it translates alone:* train longer.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "train_translator", "schema_version": 3, "cell_type": "code"}
def train_translator(
    draw_batch: Callable[[], tuple[Tensor, Tensor, Tensor]], *, source_size: int, target_size: int
) -> dict[str, Tensor]:
    """Train a translator with a fixed context, and return its weights.

    Args:
        draw_batch: gives the next batch: source ids (batch, source_length), padded at the end; lengths (batch,);
            target ids (batch, target_length), each row ends with `<end>` and padding.
        source_size, target_size: number of words of the two vocabularies.

    Returns:
        The trained weights by name, those of the encoder and of the decoder.
    """
    hidden_size = 64
    encoder = Encoder(vocab_size=source_size, d_model=32, hidden_size=hidden_size)
    decoder = DecoderStep(vocab_size=target_size, d_model=32, hidden_size=hidden_size, d_context=hidden_size)
    translator = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    ### BEGIN SOLUTION
    steps, learning_rate = 400, 0.015
    optimizer = torch.optim.Adam(translator.parameters(), lr=learning_rate)
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - number / steps)
        source, lengths, target = draw_batch()
        _, state = encoder(source, lengths)
        context = state[0][-1]  # (batch, hidden_size)
        tokens = shift_right(target)  # (batch, target_length)
        rows = []
        for time in range(tokens.shape[1]):
            logits, state = decoder(tokens[:, time], state, context)
            rows.append(logits)
        loss = masked_cross_entropy(torch.stack(rows, dim=1), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(translator.parameters(), 1.0)
        optimizer.step()
    ### END SOLUTION
    return dict(translator.state_dict())


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 6, "grade_id": "check-train_translator", "schema_version": 3, "cell_type": "code"}
check("02-seq2seq.train_translator", train_translator)

# %% [markdown]
r"""
Let your translator translate. Run the cell once the check is green: it trains once more, then writes what it makes of
sentences that it has never seen, and their BLEU. Half of these sentences hold an adjective beside a noun that training
never shows together, so the score is lower than the one in the check.
"""

# %% tags=["student-only"]
try:
    every = data.collate(data.train)
    chance = torch.Generator().manual_seed(0)

    def draw_batch() -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.randint(len(every.source), (64,), generator=chance)
        return every.source[rows], every.source_lengths[rows], every.target[rows]

    sizes = (len(data.source_vocabulary), len(data.target_vocabulary))
    weights = train_translator(draw_batch, source_size=sizes[0], target_size=sizes[1])
    encoder = Encoder(vocab_size=sizes[0], d_model=32, hidden_size=64)
    decoder = DecoderStep(vocab_size=sizes[1], d_model=32, hidden_size=64, d_context=64)
    nn.ModuleDict({"encoder": encoder, "decoder": decoder}).load_state_dict(weights)
    test = data.collate(data.test)
    with torch.no_grad():
        _, state = encoder(test.source, test.source_lengths)
        context = state[0][-1]
        ids = greedy_decode(
            lambda token, state: decoder(token, state, context), state, batch_size=len(test.source), max_length=15
        )
    ours = [data.target_vocabulary.decode(row) for row in ids]
    for number in range(0, len(ours), 20):
        pair, words = test.pairs[number], ours[number]
        print(f"{written(pair.source)}  →  {written(words)}   (right: {written(pair.target)})")
    print(f"BLEU {corpus_bleu(ours, [pair.target for pair in test.pairs]):.1f} on {len(ours)} new sentences")
except NotImplementedError:
    print("Write the exercises first, then run this cell again.")

# %% [markdown]
r"""
## In words · One vector for the whole sentence

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

The chapter's translator reaches a high BLEU on sentences of up to ten words and a very low one on sentences of forty. A
fellow student says: "The sentences are harder. Train longer." Answer, in about ten sentences:

1. What does the decoder know of the source, and how does the size of that depend on the length of the sentence?
2. Name one result of the chapter that speaks **against** "the sentences are just harder", and say why it does.
3. Reversing the source helps here without adding a single number to the context. Why can it help at all, and what
   does it not solve?

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 3, "grade_id": "the_bottleneck", "schema_version": 3, "cell_type": "markdown"}
r"""
The decoder knows one thing of the source: the encoder's last state, 128 numbers for h and as many for c, whether the
sentence has 4 words or 40. Each further word must share this space with all the others, and each step of the encoder
overwrites some of what was there. For a long sentence not everything fits, or not everything survives.

Against "they are harder" speaks that the same network with the same data translates the same long sentences better
when only the way changes in which the source reaches the decoder: reversed, with not a single word made easier, BLEU
rises. Also, the grammar builds long sentences from the same short clauses, which the network translates
well when they come alone. (Or: with attention, in the next chapter, the loss with length nearly vanishes.)

Reversing moves the first source words next to the first target words. The way between them, over which gradients must
pass, becomes short, so the network learns the beginning sooner; and a good beginning helps the rest, as the decoder
reads what it wrote. The last words move away in exchange, the mean distance stays the same, and the context is as small
as before: quality still falls with length.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **Fixed size** (1): only the encoder's last state (the context), of a size that does not grow with the sentence; so
   there is less room for each word. "It forgets" without the fixed size is half a point.
2. **Evidence** (1): a measured result in which sentences stay the same and quality changes (reversal; or
   attention, from elsewhere), or that the long sentences are made of the clauses that are translated well when short.
   The result without the argument is half a point.
3. **Reversal** (1): shorter distance between the first words of both sides, so easier to learn (gradients), while the
   mean distance or the size of the context is the same, so the bottleneck stays. One half for each side.

### END MARK SCHEME
"""
