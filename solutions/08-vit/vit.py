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
# Assignment 08 · Vision transformer and captioning

You cut images into patches and put them together again, show that the patches' projection is a convolution, build the
vision transformer around them, follow its attention through the blocks, and let words attend to patches. Seven short
exercises, one larger piece (you train a vision transformer to read digits) and one question that you answer in words.
Together they are worth **31 points** and take about two and a quarter hours. The chapter *Vision transformer and
captioning* teaches everything you need.

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
to the right numbers earns full points: loops, `einops`, `reshape` and `permute`, float32 or float64. Where a
library function would be the whole exercise, the task rules it out. The last piece returns trained weights; they are
measured on digits that your training does not see.

## How to hand in

Choose *Kernel → Restart and run all cells*, look at the checks once more, save, and submit this file under its own
name.

Hand in your own work: talk about ideas with others, write the code and the answer yourself.

## Conventions

Images are `(batch, channels, height, width)`, sequences `(batch, length, d_model)`. A patch has $P \times P$ pixels; $P$
divides height and width. Patches come in **reading order**: the first row of patches from left to right, then the next
row. The numbers of one patch: **all of the first channel, row by row, then all of the second channel**, and so on, as
in the kernel of `nn.Conv2d`. A mask is boolean, **True = may be attended to**.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from course_lib.check import check

# %% [markdown]
r"""
## What is given

The transformer of assignments 04 and 05: attention, a causal mask, positions, and the two blocks. Read them once; you
call all of them.
"""


# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "given-transformer", "schema_version": 3, "cell_type": "code"}
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
        """Query (batch, n, d_model), key and value (batch, m, d_model) -> output (batch, n, d_model) and weights
        (batch, num_heads, n, m)."""
        queries = self.query_projection(query).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        keys = self.key_projection(key).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        values = self.value_projection(value).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(dim=-1)
        heads = (weights @ values).transpose(1, 2).flatten(-2)  # (batch, n, d_model)
        return self.output_projection(heads), weights


class FeedForward(nn.Module):
    """Linear, ReLU, linear, on each position alone."""

    def __init__(self, *, d_model: int, dim_feedforward: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.linear1(x).relu())


class EncoderBlock(nn.Module):
    """Self-attention, then the feed-forward network, each followed by "add and norm"."""

    def __init__(self, *, d_model: int, num_heads: int, dim_feedforward: int) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, length, d_model) -> (batch, length, d_model)."""
        x = self.norm1(x + self.self_attention(x, x, x, mask)[0])
        return self.norm2(x + self.feed_forward(x))


class DecoderBlock(nn.Module):
    """Masked self-attention, cross-attention to a memory, the feed-forward network, each with "add and norm"."""

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
        """x (batch, n, d_model) and memory (batch, m, d_model) -> (batch, n, d_model).

        `mask` is for the self-attention, `memory_mask` for the cross-attention.
        """
        x = self.norm1(x + self.self_attention(x, x, x, mask)[0])
        x = self.norm2(x + self.cross_attention(x, memory, memory, memory_mask)[0])
        return self.norm3(x + self.feed_forward(x))


def causal_mask(length: int) -> Tensor:
    """True where key j <= query i, (length, length)."""
    return torch.ones(length, length, dtype=torch.bool).tril()


def sinusoidal_positions(length: int, d_model: int) -> Tensor:
    """Sines on the even channels and cosines on the odd ones, (length, d_model)."""
    pairs = torch.arange(0, d_model, 2, dtype=torch.float64)
    angles = torch.arange(length, dtype=torch.float64)[:, None] / 10000.0 ** (pairs / d_model)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2).to(torch.get_default_dtype())


# %% [markdown]
r"""
## Exercise 1 · Patches

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

Cut each image into squares of $P \times P$ pixels, and lay them out as a sequence of vectors:

$$(B,\; C,\; H,\; W) \;\to\; (B,\; \tfrac{H}{P} \cdot \tfrac{W}{P},\; C P^2)$$

Patches in reading order; inside a patch all of the first channel, row by row, then the second channel. A grey image of
$2 \times 4$ pixels and $P = 2$ has two patches:

$$\begin{bmatrix} 0 & 1 & 2 & 3 \\ 4 & 5 & 6 & 7 \end{bmatrix} \;\to\; [0, 1, 4, 5],\; [2, 3, 6, 7]$$

No number is computed here, only moved. `unfold` and `pixel_unshuffle` would be the whole exercise and are ruled out;
`rearrange` of einops is imported, and welcome, if you write the pattern yourself.

<details><summary>A question to start with</summary>

Which pixel $(y, x)$ of the image stands in row $i$, column $j$ of the patch in the $r$-th row and $c$-th column of
patches? Read off how the axis $y$ splits into $r$ and $i$: which of the two is the slow one?

</details>

<details><summary>A hint</summary>

```
split:  height -> (rows of patches, P),  width -> (columns of patches, P)       six axes
order:  batch, rows of patches, columns of patches, channels, P, P              permute
merge:  (rows · columns) and (channels · P · P)                                 reshape
```

</details>

<details><summary>My numbers are off</summary>

- *The shape is right and the numbers are mixed:* `reshape` alone keeps the order in memory; the axes must change places
  before they are merged.
- *Right for one channel only:* channels come before the pixels of a patch.
- *Right for one column of patches only:* rows of patches are the slow axis, columns the fast one.
- *Each patch holds pixels that lie apart:* height splits into (rows, P), not into (P, rows).

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "patchify", "schema_version": 3, "cell_type": "code"}
def patchify(images: Tensor, *, patch_size: int) -> Tensor:
    """Cut images into square patches, and lay them out as a sequence of vectors.

    Args:
        images: (batch, channels, height, width).
        patch_size: P, pixels on each side of a patch; divides height and width.

    Returns:
        (batch, height / P · width / P, channels · P²).
    """
    ### BEGIN SOLUTION
    batch, channels, height, width = images.shape
    p = patch_size
    x = images.reshape(batch, channels, height // p, p, width // p, p)
    x = x.permute(0, 2, 4, 1, 3, 5)  # (batch, rows, columns, channels, p, p)
    return x.reshape(batch, (height // p) * (width // p), channels * p * p)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-patchify", "schema_version": 3, "cell_type": "code"}
check("08-vit.patchify", patchify)

# %% [markdown]
r"""
## Exercise 2 · And back

**Difficulty** ●●○ · **Importance** ●●○ · **10 min** · **3 points**

Put the patches of Exercise 1 back into their images. Height and width are given, because a sequence of 12 patches may
come from $3 \times 4$ or from $2 \times 6$ patches. `fold` and `pixel_shuffle` are ruled out.

A model that writes images, such as the one in the chapter on rectified flow, ends with this function.

<details><summary>A question to start with</summary>

`patchify` splits, permutes and merges. In which order do you undo the three?

</details>

<details><summary>A hint</summary>

```
split:  patches -> (rows, columns),  numbers -> (channels, P, P)
order:  batch, channels, rows, P, columns, P
merge:  (rows · P) and (columns · P)
```

</details>

<details><summary>My numbers are off</summary>

- *The patches stand in wrong places:* the sequence splits into (rows, columns), in this order.
- *The image looks as if seen through blinds:* `P` must follow its `rows` before both are merged.
- *Colours are mixed:* each patch's numbers split into (channels, P, P).

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "unpatchify", "schema_version": 3, "cell_type": "code"}
def unpatchify(patches: Tensor, *, patch_size: int, height: int, width: int) -> Tensor:
    """Put the patches of `patchify` back into their images.

    Args:
        patches: (batch, height / P · width / P, channels · P²).
        patch_size: P, pixels on each side of a patch.
        height, width: of the images, in pixels.

    Returns:
        (batch, channels, height, width).
    """
    ### BEGIN SOLUTION
    p = patch_size
    x = patches.reshape(len(patches), height // p, width // p, -1, p, p)
    x = x.permute(0, 3, 1, 4, 2, 5)  # (batch, channels, rows, p, columns, p)
    return x.reshape(len(patches), -1, height, width)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-unpatchify", "schema_version": 3, "cell_type": "code"}
check("08-vit.unpatchify", unpatchify)

# %% [markdown]
r"""
## Exercise 3 · A convolution's weight

**Difficulty** ●○○ · **Importance** ●●○ · **5 min** · **2 points**

A convolution with kernel $P \times P$ and stride $P$ touches each patch once and computes sums of products: the same
as a linear layer on the patch's numbers. Most published vision transformers store their first layer as such a
convolution, with a weight of shape `(d_model, channels, P, P)`. Turn it into the weight of the linear layer,
`(d_model, channels · P²)`, so that for every image

$$\texttt{F.linear(patchify(images), your\_weight)} = \texttt{F.conv2d(images, weight, stride=P)},$$

up to the order of the axes of the output.

<details><summary>A question to start with</summary>

In which order do the numbers of a patch stand in its vector, and in which order do the axes of the kernel stand?

</details>

<details><summary>A hint</summary>

```
axis 0 stays: one row for each output
all other axes, in the order in which they are, become one
```

</details>

<details><summary>My numbers are off</summary>

- *Right for grey images only:* channels come first in a kernel, and in a patch.
- *Each kernel is upside down:* `nn.Conv2d` slides the kernel as it is; it does not flip it, although the mathematical
  convolution does.
- *Rows and columns are exchanged:* the weight of `nn.Linear` has one row for each output.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "patch_weight_from_conv", "schema_version": 3, "cell_type": "code"}
def patch_weight_from_conv(weight: Tensor) -> Tensor:
    """Turn the kernel of a convolution with stride = kernel = patch into the weight of a linear layer on patches.

    Args:
        weight: as in `nn.Conv2d`, (d_model, channels, P, P).

    Returns:
        As in `nn.Linear`, (d_model, channels · P²), for the order of `patchify`.
    """
    ### BEGIN SOLUTION
    return weight.flatten(start_dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-patch_weight_from_conv", "schema_version": 3, "cell_type": "code"}
check("08-vit.patch_weight_from_conv", patch_weight_from_conv)

# %% [markdown]
r"""
## Exercise 4 · From patches to vectors

**Difficulty** ●○○ · **Importance** ●●● · **8 min** · **2 points**

Words come to a transformer as rows of an embedding table. A patch is a vector of numbers already, so one linear layer
with a bias, the same for all patches, brings it to the width of the model:

$$(B,\; C,\; H,\; W) \;\to\; (B,\; N,\; C P^2) \;\to\; (B,\; N,\; d_{\mathrm{model}})$$

Write the constructor and the forward pass. The layer is called `projection`.

<details><summary>A question to start with</summary>

How many numbers does a patch of $P \times P$ pixels with three colours hold?

</details>

<details><summary>A hint</summary>

```
constructor: keep patch_size; projection: channels · P² → d_model
forward: patchify, projection
```

</details>

<details><summary>My numbers are off</summary>

- *"it has no projection.weight":* the attribute's name is fixed, and `super().__init__()` must stand first.
- *Never negative:* there is no ReLU here.
- *A size mismatch for colour images:* each pixel has `in_channels` numbers.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "PatchEmbedding", "schema_version": 3, "cell_type": "code"}
class PatchEmbedding(nn.Module):
    """One vector for each patch: cut, flatten, project.

    Args:
        in_channels: channels of the images, 1 for grey and 3 for colour.
        patch_size: P, pixels on each side of a patch.
        d_model: width of the vectors.

    Attributes:
        projection: nn.Linear with bias, from channels · P² to d_model.
    """

    def __init__(self, *, in_channels: int, patch_size: int, d_model: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.patch_size = patch_size
        self.projection = nn.Linear(in_channels * patch_size**2, d_model)
        ### END SOLUTION

    def forward(self, images: Tensor) -> Tensor:
        """Cut and project.

        Args:
            images: (batch, channels, height, width).

        Returns:
            (batch, height / P · width / P, d_model).
        """
        ### BEGIN SOLUTION
        return self.projection(patchify(images, patch_size=self.patch_size))
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-PatchEmbedding", "schema_version": 3, "cell_type": "code"}
check("08-vit.PatchEmbedding", PatchEmbedding)

# %% [markdown]
r"""
## Exercise 5 · The vision transformer

**Difficulty** ●●○ · **Importance** ●●● · **25 min** · **5 points**

The constructor is given; you write two methods.

- **`encode`** embeds the patches. With `pool="class"` a **class token** stands before them: one learned vector, the same
  for every image, that collects what the head will need. Then the positions are added, **to the class token too**:
  `self.positions` has one row for each vector of the sequence. Then come the blocks, one after the other. No position
  is hidden from another: all of an image is there from the start.
- **`forward`** makes one vector of the sequence, and logits of it with `self.head` (one linear layer to the classes).
  With `pool="class"` it is the class token's vector, with `pool="mean"` the mean of all patches' vectors.

<details><summary>A question to start with</summary>

The image has $N$ patches. How many rows does `self.positions` have with `pool="class"`, and how many with
`pool="mean"`?

</details>

<details><summary>A hint</summary>

```
encode: x = patch embedding of the images                                  (batch, N, d_model)
        with a class token: put it, once for each image, before x          torch.cat
        add the positions
        x = block(x) for each block
forward: the class token's vector, or the mean over the sequence; head
```

`self.class_token.expand(batch, -1, -1)` repeats it without copying.

</details>

<details><summary>My numbers are off</summary>

- *Sizes do not match where positions are added:* the class token comes first, then the positions.
- *Only the line about the class token:* it must have its position like all others, and it stands at place 0.
- *Only the line about the logits:* the class token's vector is `x[:, 0]`; the mean runs over the sequence, not over the
  channels.
- *The last patch sees everything and the first only itself:* leave out the causal mask.
- *Rows that sum to one:* return logits. The loss takes the softmax; taking it twice trains badly.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "VisionTransformer", "schema_version": 3, "cell_type": "code"}
class VisionTransformer(nn.Module):
    """An image as a sequence of patches, read by encoder blocks without a mask.

    Args:
        image_size: height and width of the images in pixels.
        patch_size: pixels on each side of a patch.
        in_channels: channels of the images.
        num_classes: number of classes.
        d_model: width of all vectors between the blocks.
        num_heads: number of heads.
        num_layers: number of blocks.
        dim_feedforward: width inside the feed-forward networks.
        pool: "class" or "mean", where the one vector for the head comes from.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        patch_size: int,
        in_channels: int,
        num_classes: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dim_feedforward: int,
        pool: str = "class",
    ) -> None:
        super().__init__()
        self.pool = pool
        self.patch_embedding = PatchEmbedding(in_channels=in_channels, patch_size=patch_size, d_model=d_model)
        length = (image_size[0] // patch_size) * (image_size[1] // patch_size)
        if pool == "class":
            self.class_token = nn.Parameter(0.3 * torch.randn(1, 1, d_model))
            length += 1
        self.positions = nn.Parameter(0.3 * torch.randn(1, length, d_model))
        self.blocks = nn.ModuleList(
            EncoderBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward)
            for _ in range(num_layers)
        )
        self.head = nn.Linear(d_model, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        """One vector for each patch, each of which has seen the whole image.

        Args:
            images: (batch, channels, height, width).

        Returns:
            (batch, length, d_model), with pool "class" the class token's first.
        """
        ### BEGIN SOLUTION
        x = self.patch_embedding(images)  # (batch, patches, d_model)
        if self.pool == "class":
            x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        return x
        ### END SOLUTION

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the classes.

        Args:
            images: (batch, channels, height, width).

        Returns:
            (batch, num_classes).
        """
        ### BEGIN SOLUTION
        x = self.encode(images)
        return self.head(x[:, 0] if self.pool == "class" else x.mean(dim=1))
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 5, "grade_id": "check-VisionTransformer", "schema_version": 3, "cell_type": "code"}
check("08-vit.VisionTransformer", VisionTransformer)

# %% [markdown]
r"""
## Exercise 6 · Attention rollout

**Difficulty** ●●○ · **Importance** ●●○ · **12 min** · **3 points**

After two blocks, a vector at place $i$ has seen through its neighbours' eyes: it looked at $j$ in the second block, and
$j$ had looked at $k$ in the first. **Rollout** multiplies the tables of all blocks, with two conventions. The heads of a
block are averaged to one table $\bar A_\ell$. And half of each vector is taken to be itself, which came along the residual connection:

$$\hat A_\ell = \tfrac12\, \bar A_\ell + \tfrac12\, I, \qquad
R = \hat A_L \, \hat A_{L-1} \cdots \hat A_1$$

Block 1 comes first in time, so it stands last in the product. Each row of $R$ sums to one.

One head, two vectors: in block 1 both look at the other one, in block 2 both look at the second one. Then
$\hat A_1 = \begin{bmatrix} .5 & .5 \\ .5 & .5 \end{bmatrix}$,
$\hat A_2 = \begin{bmatrix} .5 & .5 \\ 0 & 1 \end{bmatrix}$ and
$R = \hat A_2 \hat A_1 = \begin{bmatrix} .5 & .5 \\ .5 & .5 \end{bmatrix}$.

<details><summary>A question to start with</summary>

Row $i$ of $\hat A_2$ says how output $i$ is mixed from what block 1 gave. On which side of it must $\hat A_1$ stand, so
that row $i$ of the product says how it is mixed from the inputs?

</details>

<details><summary>A hint</summary>

```
rollout = identity
for each block, the first one first:
    mixing  = (mean of its heads + identity) / 2        (batch, length, length)
    rollout = mixing @ rollout
```

</details>

<details><summary>My numbers are off</summary>

- *Right for one block only:* is the order of the product right?
- *Rows do not sum to one:* average the heads, and halve the sum with the identity.
- *Numbers far too even:* has each block its identity?
- *A shape error:* the axes are (batch, num_layers, num_heads, length, length).

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "attention_rollout", "schema_version": 3, "cell_type": "code"}
def attention_rollout(weights: Tensor) -> Tensor:
    """Follow attention through all blocks: how much of each input reached each output.

    Args:
        weights: of all blocks, the first block's first, (batch, num_layers, num_heads, length, length).

    Returns:
        (batch, length, length): row i says from where output i came.
    """
    ### BEGIN SOLUTION
    identity = torch.eye(weights.shape[-1])
    rollout = identity
    for layer in weights.mean(dim=2).unbind(dim=1):  # (batch, length, length) each
        rollout = (layer + identity) / 2 @ rollout
    return rollout
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-attention_rollout", "schema_version": 3, "cell_type": "code"}
check("08-vit.attention_rollout", attention_rollout)

# %% [markdown]
r"""
## Exercise 7 · Words that look at patches

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

A translator's decoder looks at the words of the source. Give it patches instead, and it describes an image. Nothing
else changes: a word may see the words before it, through the self-attention and its causal mask; and it may see
**every** patch, through the cross-attention.

The constructor is given. `forward` embeds the words, adds sinusoidal positions, runs the blocks, and returns logits.
The patches come from an encoder that knows where each of them stands, so they are used as they are.

<details><summary>A question to start with</summary>

`DecoderBlock` takes two masks. Which of them is needed here, and why not the other?

</details>

<details><summary>A hint</summary>

```
x = embedding of the tokens + sinusoidal_positions(length, d_model)
each block: x = block(x, patches, mask = causal mask)
output(x)
```

</details>

<details><summary>My numbers are off</summary>

- *Only the line about the future:* the causal mask goes into every block.
- *Each word sees only some patches:* the image needs no mask.
- *The order of the words makes no difference:* where are the positions?
- *A shape error in the cross-attention:* the number of words and the number of patches differ; only `d_model` is the
  same.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "CaptionDecoder", "schema_version": 3, "cell_type": "code"}
class CaptionDecoder(nn.Module):
    """Writes about an image: words attend to the words before them and, across, to all patches.

    Args:
        vocab_size: number of words.
        d_model: width of words and patches, even.
        num_heads: number of heads.
        num_layers: number of decoder blocks.
        dim_feedforward: width inside the feed-forward networks.
    """

    def __init__(self, *, vocab_size: int, d_model: int, num_heads: int, num_layers: int, dim_feedforward: int) -> None:
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.blocks = nn.ModuleList(
            DecoderBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward)
            for _ in range(num_layers)
        )
        self.output = nn.Linear(d_model, vocab_size)

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """The logits of the word after each of the given ones.

        Args:
            tokens: ids of the previous words, (batch, length).
            patches: one vector for each patch, (batch, num_patches, d_model).

        Returns:
            (batch, length, vocab_size); position i depends on tokens 0 .. i and all patches.
        """
        ### BEGIN SOLUTION
        x = self.embedding(tokens) + sinusoidal_positions(tokens.shape[1], self.d_model)
        mask = causal_mask(tokens.shape[1])
        for block in self.blocks:
            x = block(x, patches, mask=mask)
        return self.output(x)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-CaptionDecoder", "schema_version": 3, "cell_type": "code"}
check("08-vit.CaptionDecoder", CaptionDecoder)

# %% [markdown]
r"""
## The data for the last piece

Handwritten digits of 8 × 8 pixels. Patches of 2 × 2 make 16 of each. Run the cell and look at a few.
"""

# %% tags=["student-only"]
import matplotlib.pyplot as plt

from course_lib.data.digits import split_digits

train_digits, new_digits = split_digits(test_size=500, generator=torch.Generator().manual_seed(0), low=-1.0, high=1.0)
figure, axes = plt.subplots(1, 8, figsize=(8, 1.4))
for ax, image, label in zip(axes, train_digits.images[:8], train_digits.labels[:8], strict=True):
    ax.imshow(image[0], cmap="gray_r")
    ax.set(title=int(label), xticks=[], yticks=[])
plt.show()

# %% [markdown]
r"""
## The larger piece · Train a vision transformer

**Difficulty** ●●○ · **Importance** ●●● · **25 min** · **5 points**

The model is made for you; you write the training.

- `draw_batch()` gives the next batch: `images` (64, 1, 8, 8) with values from -1 to 1, and `labels` (64,). Call it once
  for each update.
- One update: logits, cross-entropy with the labels, gradients, step.
- AdamW with a learning rate of 0.003 that rises in a straight line over the first 30 updates and then falls in a straight line to 0,
  over 300 updates, is good enough. That takes about five seconds, longer on a busy computer; you have two minutes.

The weights are measured on digits that your training does not see: how many of them are named rightly (80 % are asked
for by the first line and 90 % by the second; a sound training gets 94 % or more), and whether each of the ten classes is
recognised more often than not. `course_lib.data.digits` and scikit-learn's own loader are ruled out here: the batches
are all that you train on.

<details><summary>A question to start with</summary>

What does `F.cross_entropy` take, logits or probabilities?

</details>

<details><summary>A hint</summary>

```
optimizer = AdamW over model.parameters()
repeat 300 times:
    set the learning rate in optimizer.param_groups[0]["lr"]
    images, labels = draw_batch()
    loss = cross-entropy of model(images) with labels
    zero the gradients, backward, step
```

</details>

<details><summary>My numbers are off</summary>

- *The loss stays at 2.3, which is $\ln 10$:* is `optimizer.step()` there, and `backward()` before it?
- *The loss falls to 0 within a few updates, and the check is not content:* do you draw a new batch for each update?
- *The loss stops near 1.5:* `F.cross_entropy` takes the softmax itself.
- *The loss falls slowly, or jumps:* are the gradients set to zero before each `backward()`? Does the learning rate rise
  slowly at first?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "train_classifier", "schema_version": 3, "cell_type": "code"}
def train_classifier(draw_batch: Callable[[], tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Train a vision transformer to read digits, and return its weights.

    Args:
        draw_batch: gives the next batch: images (64, 1, 8, 8) and labels (64,).

    Returns:
        The trained weights by name.
    """
    model = VisionTransformer(
        image_size=(8, 8),
        patch_size=2,
        in_channels=1,
        num_classes=10,
        d_model=32,
        num_heads=4,
        num_layers=2,
        dim_feedforward=64,
    )
    ### BEGIN SOLUTION
    steps, learning_rate = 300, 0.003
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * min((number + 1) / 30, 1 - number / steps)
        images, labels = draw_batch()
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ### END SOLUTION
    return dict(model.state_dict())


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 5, "grade_id": "check-train_classifier", "schema_version": 3, "cell_type": "code"}
check("08-vit.train_classifier", train_classifier)

# %% [markdown]
r"""
Look where your model looks. Run the cell once the checks are green: it trains once more, then lays the rollout of the
class token over a few digits that it has never seen. The darker a patch, the more of it reached the class token.
"""

# %% tags=["student-only"]
try:
    chance = torch.Generator().manual_seed(0)

    def draw_batch() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(train_digits), (64,), generator=chance)
        return train_digits.images[rows], train_digits.labels[rows]

    model = VisionTransformer(
        image_size=(8, 8),
        patch_size=2,
        in_channels=1,
        num_classes=10,
        d_model=32,
        num_heads=4,
        num_layers=2,
        dim_feedforward=64,
    )
    model.load_state_dict(train_classifier(draw_batch))
    tables: list[Tensor] = []
    for block in model.blocks:
        block.self_attention.register_forward_hook(lambda layer, inputs, output: tables.append(output[1]))
    with torch.no_grad():
        guesses = model(new_digits.images).argmax(dim=-1)
        rollout = attention_rollout(torch.stack(tables, dim=1))[:, 0, 1:]  # the class token's row, without itself
    right = (guesses == new_digits.labels).float().mean()
    print(f"{right:.1%} of {len(guesses)} new digits are read rightly")
    figure, axes = plt.subplots(2, 8, figsize=(8, 2.4))
    for number, (image, looked) in enumerate(zip(axes[0], axes[1], strict=True)):
        image.imshow(new_digits.images[number, 0], cmap="gray_r")
        image.set(title=f"read as {int(guesses[number])}", xticks=[], yticks=[])
        looked.imshow(rollout[number].view(4, 4), cmap="Blues")
        looked.set(xticks=[], yticks=[])
    plt.show()
except NotImplementedError:
    print("Write the exercises first, then run this cell again.")

# %% [markdown]
r"""
## In words · A network that must learn what a neighbour is

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **4 points**

A fellow student has 200 labelled photographs of screws, some of them broken, and wants to tell the broken ones. He has
read that vision transformers "beat convolutional networks" and trains one from scratch. Answer, in about ten sentences:

1. Name two things that a convolutional network knows about images before it has seen any, and say how the vision
   transformer comes by each of them.
2. Which result of the chapter speaks against his plan, and what did the authors of the vision transformer do
   differently?
3. He shuffles the patches of all his photographs in one fixed way, by mistake. What happens to the accuracy of a vision
   transformer trained on them, and what to that of a convolutional network? Why?
4. What would you advise him to do?

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 4, "grade_id": "what_a_neighbour_is", "schema_version": 3, "cell_type": "markdown"}
r"""
A convolutional network looks at small neighbourhoods, so it takes it for granted that nearby pixels belong together;
and it uses the same kernel everywhere, so what it learns in one place holds in all places. A vision transformer shares
its patch projection and its blocks between places too, but what a neighbour is it must learn: nothing says that patch 5
lies beside patch 6 and above patch 9, except position vectors that start at random. Inside a patch no pixel is nearer
to one than to another either. All of it must come from the data.

In the chapter, with 50 to 1,300 digits, the vision transformer is worse than the convolutional network at every size,
most of all with few images. Its authors found the same on a larger scale: from scratch on a million images it was behind; it
came out ahead only after it had been pre-trained on far more, up to 300 million.

One fixed shuffle changes nothing for the vision transformer: each place still has its own position vector, and which
one is trained for which piece of the image is all the same to it. Its accuracy stays as it was. The convolutional
network loses, a little on the digits and more on images with finer detail than a patch: its kernels now see across
borders of patches that do not belong together.

He should take a network that was trained on many images and adapt it to his 200, or train a small convolutional network,
and in either case multiply his images by shifting, turning and mirroring them.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **Knowledge built in** (1): locality, and the same kernel everywhere (or: shifting the image shifts the features);
   the transformer learns nearness through its positions from data. One of the two is half a point.
2. **Evidence** (1): the experiment with the number of training images, no crossover within the data at hand; the
   authors pre-trained on far more images. Each half is half a point.
3. **Shuffle** (1): no change for the transformer, since learned positions carry no order of their own; a loss for the convolutions, since
   neighbours are torn apart. Each half is half a point.
4. **Advice** (1): a pre-trained model that is adapted, or a small convolutional network, or augmentation; with a
   reason. "More data" alone is half a point.

### END MARK SCHEME
"""
