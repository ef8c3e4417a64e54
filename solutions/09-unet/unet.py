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
# Assignment 09 · Semantic segmentation and U-Net

You make images larger in three ways, write a convolution as a matrix and turn it round, build a U-Net, its loss and
its scores, and train one: ten short exercises, one larger piece and one question that you answer in words. Together
they are worth **37 points** and take about three hours. The chapter *Semantic segmentation and U-Net* teaches
everything you need.

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

Images are `(batch, channels, height, width)`. A label map is `(batch, height, width)` and holds the number of a class
at each pixel; class 0 is the ground. A network gives **logits**, one score for each class at each pixel:
`(batch, num_classes, height, width)`. "Convolution" is what networks call so: the kernel is laid onto the image as it
is, without turning it round.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check

# %% [markdown]
r"""
## Exercise 1 · Copy each pixel

**Difficulty** ●○○ · **Importance** ●●○ · **5 min** · **2 points**

The simplest way to make an image larger: each pixel becomes a square of `scale` × `scale` copies. With a scale of 2:

$$\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix} \;\to\; \begin{bmatrix} 1 & 1 & 2 & 2 \\ 1 & 1 & 2 & 2 \\
3 & 3 & 4 & 4 \\ 3 & 3 & 4 & 4 \end{bmatrix}$$

The images are `(batch, channels, height, width)`, the result is `(batch, channels, scale * height, scale * width)`.
Gradients must reach the pixels.

`F.interpolate` and `nn.Upsample` would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

Along one axis: how do you get from $1, 2$ to $1, 1, 2, 2$, and what gives $1, 2, 1, 2$ instead?

</details>

<details><summary>A hint</summary>

Two calls of `repeat_interleave`, one for each of the last two axes. Or: `y[..., i, j] = x[..., i // scale, j // scale]`.

</details>

<details><summary>My numbers are off</summary>

- *The whole image stands there several times, side by side:* `repeat` and `tile` copy the image, not the pixel.
- *The shape is right for one axis only:* both height and width grow.
- *Zeros between the pixels:* that is a bed of nails; fill each square with copies.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "nearest_upsample", "schema_version": 3, "cell_type": "code"}
def nearest_upsample(x: Tensor, *, scale: int) -> Tensor:
    """Each pixel becomes a square of scale × scale copies.

    Args:
        x: images, (batch, channels, height, width).
        scale: how many times as high and as wide.

    Returns:
        (batch, channels, scale * height, scale * width).
    """
    ### BEGIN SOLUTION
    rows = x.repeat_interleave(scale, dim=2)
    return rows.repeat_interleave(scale, dim=3)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-nearest_upsample", "schema_version": 3, "cell_type": "code"}
check("09-unet.nearest_upsample", nearest_upsample)

# %% [markdown]
r"""
## Exercise 2 · Back to where the maximum was

**Difficulty** ●●○ · **Importance** ●●○ · **12 min** · **2 points**

Max pooling keeps the largest value of each window and forgets where it stood. Unless you ask it:
`F.max_pool2d(x, 2, return_indices=True)` also gives the **places**. A place is one number, counted along the rows of
the larger image: row · width + column. Unpooling puts each value back to its place and zeros everywhere else:

| | |
|:--|:--|
| values, $1 \times 2$ | $[7, 9]$ |
| places | $[5, 2]$ |
| unpooled, $2 \times 4$ | $[0, 0, 9, 0]$ |
| | $[0, 7, 0, 0]$ |

`values` and `indices` are `(batch, channels, height, width)`; every image and channel has places of its own, all
different. `output_size` is the height and width of the larger image. Gradients must reach the values.

`nn.MaxUnpool2d` and `F.max_unpool2d` would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

Flatten the larger image into one row. What does a place mean then?

</details>

<details><summary>A hint</summary>

```
flat = zeros (batch, channels, height · width of the larger image)
write the values, flattened, at the places, flattened        scatter along the last axis
unflatten
```

</details>

<details><summary>My numbers are off</summary>

- *Each value stands in the upper left corner of its window:* that is a bed of nails; use the places.
- *The values are at wrong rows:* the width that counts is the one of the larger image.
- *Copies instead of zeros:* only one pixel of each window gets the value.
- *Only the first image is right, or all others are empty:* every image and every channel has places of its own.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "max_unpool", "schema_version": 3, "cell_type": "code"}
def max_unpool(values: Tensor, indices: Tensor, *, output_size: tuple[int, int]) -> Tensor:
    """Each value goes back to the place where max pooling found it; all other pixels are zeros.

    Args:
        values: what stands at the places, (batch, channels, height, width).
        indices: the places, row · width + column within the larger image, the same shape.
        output_size: height and width of the larger image.

    Returns:
        (batch, channels, *output_size).
    """
    ### BEGIN SOLUTION
    batch, channels = values.shape[:2]
    height, width = output_size
    flat = values.new_zeros(batch, channels, height * width)
    flat = flat.scatter(2, indices.flatten(2), values.flatten(2))
    return flat.reshape(batch, channels, height, width)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-max_unpool", "schema_version": 3, "cell_type": "code"}
check("09-unet.max_unpool", max_unpool)

# %% [markdown]
r"""
## Exercise 3 · Transposed convolution

**Difficulty** ●●● · **Importance** ●●● · **25 min** · **4 points**

Now an upsampling with weights to learn. Each pixel of the input lays down the whole kernel, **multiplied by its
value**; neighbouring pixels lay theirs down `stride` steps apart **in the output**; where kernels overlap, the numbers
**add**. In one dimension, with the kernel $[1, 2, 3]$ and stride 2:

| | | | | | |
|:--|--:|--:|--:|--:|--:|
| the pixel 10 lays down | 10 | 20 | 30 | | |
| the pixel 4 lays down | | | 4 | 8 | 12 |
| the output | 10 | 20 | **34** | 8 | 12 |

With channels, each input channel has a kernel for each output channel, and what all input channels lay down adds up.

- `x` is `(batch, in_channels, height, width)`.
- `weight` is `(in_channels, out_channels, kernel_height, kernel_width)`, as PyTorch has it for this layer: **in** first.
- `padding` pixels are cut off the output at each of its four sides.
- The height of the output is `(height - 1) * stride + kernel_height - 2 * padding`, and so for the width.

Library convolutions of all kinds would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

To which place in the output does the pixel in row $i$ bring the kernel's row $a$? And how large is the output before
anything is cut off?

</details>

<details><summary>A hint</summary>

```
y = zeros (batch, out_channels, (height - 1) · stride + kernel_height, the same for the width)
for each row a and column b of the kernel:
    part = x times weight[:, :, a, b], summed over the input channels     (batch, out_channels, height, width)
    add part to y at rows a, a + stride, a + 2 · stride, … and columns b, b + stride, …
cut off the padding
```

`torch.einsum("bchw,co->bohw", x, weight[:, :, a, b])` is the product. A slice of rows is
`y[:, :, a : a + (height - 1) * stride + 1 : stride]`.

</details>

<details><summary>My numbers are off</summary>

- *Right for symmetric kernels only:* the kernel is laid down as it is, not turned round.
- *The output is too small:* the stride spreads the input's pixels over the output. It takes no input pixel away.
- *Overlaps hold only the last value:* add, do not write.
- *An error about shapes where the channels differ:* the weight's first axis is the input's.
- *Everything is shifted by a pixel or two:* padding is cut off at **each** side.
- *The output is empty where the padding is 0:* a slice that ends at `-0` ends where it begins.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "conv_transpose2d", "schema_version": 3, "cell_type": "code"}
def conv_transpose2d(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Each input pixel lays down the kernel, scaled by its value, `stride` steps apart; overlaps add.

    Args:
        x: images, (batch, in_channels, height, width).
        weight: (in_channels, out_channels, kernel_height, kernel_width).
        stride: pixels of the output between neighbouring pixels of the input.
        padding: pixels that are cut off the output on each side.

    Returns:
        (batch, out_channels, (height - 1) * stride + kernel_height - 2 * padding, and so for the width).
    """
    ### BEGIN SOLUTION
    batch, _, height, width = x.shape
    _, out_channels, kernel_height, kernel_width = weight.shape
    down, across = (height - 1) * stride, (width - 1) * stride
    y = x.new_zeros(batch, out_channels, down + kernel_height, across + kernel_width)
    for a in range(kernel_height):
        for b in range(kernel_width):
            part = torch.einsum("bchw,co->bohw", x, weight[:, :, a, b])
            y[:, :, a : a + down + 1 : stride, b : b + across + 1 : stride] += part
    return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 4, "grade_id": "check-conv_transpose2d", "schema_version": 3, "cell_type": "code"}
check("09-unet.conv_transpose2d", conv_transpose2d)

# %% [markdown]
r"""
## Exercise 4 · A convolution is a matrix

**Difficulty** ●●● · **Importance** ●●● · **20 min** · **3 points**

Flatten an image, row after row, into one long column. A convolution is linear, so there is a matrix $A$ that makes the
flattened output of the flattened image. Each **row** of $A$ belongs to one output pixel and holds the kernel where it
lies on the image, zeros elsewhere. An image of $2 \times 3$, the kernel $\begin{bmatrix} 1 & 2 \\ 3 & 4
\end{bmatrix}$, stride 1: the kernel fits at two places, so $A$ is $2 \times 6$.

$$A = \begin{bmatrix} 1 & 2 & 0 & 3 & 4 & 0 \\ 0 & 1 & 2 & 0 & 3 & 4 \end{bmatrix}$$

Build $A$ for one channel, without padding. The kernel is `(kernel_height, kernel_width)`; its upper left corner
stands at rows $0, s, 2s, \dots$ and columns $0, s, 2s, \dots$ with the stride $s$, as long as the whole kernel fits.
Rows of $A$ are in the order of the output's pixels, row after row. The result is
`(out_height * out_width, height * width)`, with `out_height = (height - kernel_height) // stride + 1`.

Library convolutions would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

Take the row of $A$ for one output pixel and fold it back into an image. What do you see?

</details>

<details><summary>A hint</summary>

```
matrix = zeros (out_height, out_width, height, width)
for each output pixel (i, j):
    matrix[i, j] is an image of zeros; write the kernel into it with its corner at (i · stride, j · stride)
reshape to (out_height · out_width, height · width)
```

</details>

<details><summary>My numbers are off</summary>

- *The kernel's second row comes too early or too late in a row of $A$:* one row down in the image is `width` numbers on
  in the flattened image.
- *Everything in reverse order:* the kernel is not turned round.
- *$A$ is transposed:* a row belongs to an **output** pixel.
- *Too many rows with stride 2:* the stride makes the output smaller.
- *Rows that are overwritten, or an index out of range:* output pixel $(i, j)$ has row `i * out_width + j`.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "convolution_matrix", "schema_version": 3, "cell_type": "code"}
def convolution_matrix(weight: Tensor, *, height: int, width: int, stride: int = 1) -> Tensor:
    """The matrix A of a convolution without padding: A @ x.flatten() is the convolved image, row after row.

    Args:
        weight: one kernel, (kernel_height, kernel_width).
        height, width: of the image.
        stride: steps of the kernel.

    Returns:
        (out_height * out_width, height * width).
    """
    ### BEGIN SOLUTION
    kernel_height, kernel_width = weight.shape
    out_height, out_width = (height - kernel_height) // stride + 1, (width - kernel_width) // stride + 1
    matrix = weight.new_zeros(out_height, out_width, height, width)
    for i in range(out_height):
        for j in range(out_width):
            top, left = i * stride, j * stride
            matrix[i, j, top : top + kernel_height, left : left + kernel_width] = weight
    return matrix.reshape(out_height * out_width, height * width)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-convolution_matrix", "schema_version": 3, "cell_type": "code"}
check("09-unet.convolution_matrix", convolution_matrix)

# %% [markdown]
r"""
The transpose of that matrix goes the other way, from small to large, and it is your `conv_transpose2d`: "convolution
in reverse", made exact. Run the cell: both numbers are the same, for any images $x$ and $y$.
"""

# %% tags=["student-only"]
try:
    chance = torch.Generator().manual_seed(0)
    x, y, kernel = (torch.randn(size, generator=chance) for size in ((7, 9), (3, 4), (3, 3)))
    A = convolution_matrix(kernel, height=7, width=9, stride=2)
    back = conv_transpose2d(y[None, None], kernel[None, None], stride=2)[0, 0]
    print(f"<A x, y>  = {float((A @ x.flatten()) @ y.flatten()):.6f}")
    print(f"<x, Aᵀ y> = {float((x * back).sum()):.6f}")
except NotImplementedError:
    print("Write conv_transpose2d and convolution_matrix first, then run this cell again.")

# %% [markdown]
r"""
## Exercise 5 · How far a pixel sees

**Difficulty** ●●○ · **Importance** ●●● · **10 min** · **2 points**

The **receptive field** of an output is the number of neighbouring inputs, along one axis, that it depends on. Two
convolutions of width 3 see 5 pixels: the outer two of the second one's three inputs see one pixel further each.
After a layer with stride 2, one step of its output is **two** steps of the image, so everything behind it widens
the field twice as fast.

| layers as (kernel size, stride) | receptive field |
|:--|--:|
| none | 1 |
| (3, 1), (3, 1) | 5 |
| (2, 2), (3, 1) | 6 |
| (3, 1), (2, 2), (3, 1) | 8 |

Given kernel size and stride of each layer, from the image on, return the receptive field of one output, an `int`. No
stride is larger than its kernel, so no pixel is skipped.

<details><summary>A question to start with</summary>

In the third line of the table: which pixels of the image does one output of the second layer see?

</details>

<details><summary>A hint</summary>

```
field, jump = 1, 1            jump: steps of the image between two neighbours of the current layer's input
for each layer:
    field grows by (kernel size - 1) · jump
    jump is multiplied by the stride
```

</details>

<details><summary>My numbers are off</summary>

- *Too large as soon as there is a stride:* a layer's own stride counts only for the layers behind it.
- *Too small as soon as there is a stride:* behind it, a kernel's steps are longer.
- *Off by one for each layer:* a kernel of width 3 adds 2, not 3.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "receptive_field", "schema_version": 3, "cell_type": "code"}
def receptive_field(layers: Sequence[tuple[int, int]]) -> int:
    """How many neighbouring inputs, along one axis, reach one output of a chain of layers.

    Args:
        layers: kernel size and stride of each layer, from the input on; may be empty.

    Returns:
        The width of the receptive field in pixels.
    """
    ### BEGIN SOLUTION
    field, jump = 1, 1
    for kernel_size, stride in layers:
        field += (kernel_size - 1) * jump
        jump *= stride
    return field
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-receptive_field", "schema_version": 3, "cell_type": "code"}
check("09-unet.receptive_field", receptive_field)

# %% [markdown]
r"""
## Exercise 6 · Two convolutions

**Difficulty** ●○○ · **Importance** ●●○ · **8 min** · **2 points**

The building block of a U-Net: twice a convolution of 3 × 3 that keeps the image's size, a normalisation, and a ReLU.

$$h = \mathrm{ReLU}(\mathrm{norm}_1(\mathrm{conv}_1(x))), \qquad y = \mathrm{ReLU}(\mathrm{norm}_2(\mathrm{conv}_2(h)))$$

The layers are made for you; write how the image passes through them.

<details><summary>A question to start with</summary>

Which of the two norms belongs to which convolution, and what stands last?

</details>

<details><summary>A hint</summary>

Six calls in a row: `self.conv1`, `self.norm1`, `.relu()`, `self.conv2`, `self.norm2`, `.relu()`.

</details>

<details><summary>My numbers are off</summary>

- *Negative numbers in the output:* a ReLU stands at the end, too.
- *All numbers a little off:* is the norm before the ReLU? Is each norm used once?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "DoubleConv", "schema_version": 3, "cell_type": "code"}
class DoubleConv(nn.Module):
    """Twice: convolution of 3 × 3 that keeps the size, normalisation, ReLU.

    Args:
        in_channels: of the input.
        out_channels: of the output.

    Attributes:
        conv1, conv2: nn.Conv2d.
        norm1, norm2: nn.BatchNorm2d.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Two convolutions.

        Args:
            x: (batch, in_channels, height, width).

        Returns:
            (batch, out_channels, height, width).
        """
        ### BEGIN SOLUTION
        x = self.norm1(self.conv1(x)).relu()
        return self.norm2(self.conv2(x)).relu()
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-DoubleConv", "schema_version": 3, "cell_type": "code"}
check("09-unet.DoubleConv", DoubleConv)

# %% [markdown]
r"""
## Exercise 7 · The U-Net

**Difficulty** ●●● · **Importance** ●●● · **25 min** · **5 points**

Down, up, and across. With a depth of 2:

| | what happens | resolution | channels |
|:--|:--|:--|:--|
| down | `down[0]`; keep the result as a **skip**; max pooling 2 × 2 | full | $c$ |
| | `down[1]`; keep the result as a **skip**; max pooling 2 × 2 | half | $2c$ |
| bottom | `bottom` | quarter | $4c$ |
| up | `up[0]` enlarges; lay the skip **of this resolution** beside it; `merge[0]` | half | $2c$ |
| | `up[1]` enlarges; lay the skip **of this resolution** beside it; `merge[1]` | full | $c$ |
| head | `head` scores the classes at each pixel | full | `out_channels` |

"Beside" means along the channels, the skip **first**, then what comes from below. With `skips=False` nothing is laid
beside anything: `merge` gets the enlarged map alone (its convolution is made for that).

The layers are made for you. Height and width are multiples of `2 ** depth`. Images of any such size must pass.

<details><summary>A question to start with</summary>

You keep the skips in a list on the way down. Which one do you need first on the way up?

</details>

<details><summary>A hint</summary>

```
skips = empty list
for each block of down:
    x = block(x); append x to the list; x = max pooling of x
x = bottom(x)
for up and merge of each level:
    x = up(x)
    skip = the last one of the list, taken off it
    if self.skips: x = skip and x, side by side along the channels
    x = merge(x)
head
```

</details>

<details><summary>My numbers are off</summary>

- *"Sizes of tensors must match":* the skips come back in the opposite order.
- *The right shape, and everything differs:* the skip stands first, the enlarged map second.
- *The output has no sharp detail:* the skip is what the block gave, **before** pooling.
- *Right with skips, wrong without:* with `skips=False`, merge gets the enlarged map alone.
- *Right for square images only:* do not compute sizes; pooling and `up` know them.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "UNet", "schema_version": 3, "cell_type": "code"}
class UNet(nn.Module):
    """Down by convolutions and max pooling, up by transposed convolutions, across by skip connections.

    Args:
        in_channels: of the images.
        out_channels: number of classes.
        channels: at full resolution; they double with each level.
        depth: how often the resolution is halved.
        skips: False for the same network without skip connections.

    Attributes:
        down: one DoubleConv for each level, from full resolution on.
        bottom: DoubleConv at the lowest resolution.
        up: one nn.ConvTranspose2d (2 × 2, stride 2) for each level, from the lowest on.
        merge: one DoubleConv for each level, from the lowest on.
        head: nn.Conv2d, 1 × 1.
    """

    def __init__(self, *, in_channels: int, out_channels: int, channels: int, depth: int, skips: bool = True) -> None:
        super().__init__()
        self.skips = skips
        widths = [channels * 2**level for level in range(depth + 1)]
        before = [in_channels, *widths]
        self.down = nn.ModuleList(DoubleConv(before[level], widths[level]) for level in range(depth))
        self.bottom = DoubleConv(before[depth], widths[depth])
        levels = list(reversed(range(depth)))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], kernel_size=2, stride=2) for level in levels
        )
        self.merge = nn.ModuleList(
            DoubleConv(2 * widths[level] if skips else widths[level], widths[level]) for level in levels
        )
        self.head = nn.Conv2d(channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Score the classes at each pixel.

        Args:
            x: images, (batch, in_channels, height, width); height and width are multiples of 2 ** depth.

        Returns:
            (batch, out_channels, height, width).
        """
        ### BEGIN SOLUTION
        seen = []
        for block in self.down:
            x = block(x)
            seen.append(x)
            x = F.max_pool2d(x, kernel_size=2)
        x = self.bottom(x)
        for level, up in enumerate(self.up):
            x = up(x)
            skip = seen.pop()
            if self.skips:
                x = torch.cat([skip, x], dim=1)
            x = self.merge[level](x)
        return self.head(x)
        ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 5, "grade_id": "check-UNet", "schema_version": 3, "cell_type": "code"}
check("09-unet.UNet", UNet)

# %% [markdown]
r"""
## Exercise 8 · The loss of all pixels

**Difficulty** ●●○ · **Importance** ●●● · **12 min** · **3 points**

Each pixel is a classification of its own, so the loss is the cross-entropy of each pixel, averaged over **all pixels
of the batch**. Some pixels have no label: the border of an object, or a part that nobody annotated. They hold the
number `ignore` and count for nothing, neither in the sum nor in the number that it is divided by.

$$\mathcal{L} = \frac{1}{n} \sum_{\text{pixels with a label}} -\ln p(\text{label}), \qquad
p = \mathrm{softmax}(\text{logits of the pixel})$$

`logits` is `(batch, num_classes, height, width)`, `target` is `(batch, height, width)`. At least one pixel has a
label. `ignore` may be negative or a number such as 255; it is no class.

`F.cross_entropy`, `F.nll_loss` and their layers would be the whole exercise, so they are ruled out here.

<details><summary>A question to start with</summary>

Along which axis do the probabilities of one pixel sum to 1?

</details>

<details><summary>A hint</summary>

```
log-probabilities = log-softmax along the axis of the classes
labels = target, with any valid class in the place of `ignore`        an index must be valid
pick, at each pixel, the log-probability of its label                 gather along axis 1, with a new axis in the labels
set the picked numbers to 0 where there is no label
minus their sum, divided by the number of labelled pixels
```

</details>

<details><summary>My numbers are off</summary>

- *An index is out of range:* `gather` at the place of an ignored pixel needs some valid class.
- *Too small when pixels are ignored:* divide by the number of labelled pixels, not of all.
- *Right for one image, off for several with ignored pixels:* average over all pixels at once, not image by image.
- *Far off:* the softmax runs over axis 1, the classes, not over the last axis. And whoever reshapes to
  (pixels, classes) must move the classes to the end first.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "pixel_cross_entropy", "schema_version": 3, "cell_type": "code"}
def pixel_cross_entropy(logits: Tensor, target: Tensor, *, ignore: int = -1) -> Tensor:
    """The mean, over all pixels that have a label, of -log p(label).

    Args:
        logits: one score for each class at each pixel, (batch, num_classes, height, width).
        target: the classes, integers, (batch, height, width).
        ignore: the number of pixels without a label.

    Returns:
        The loss, 0-dimensional.
    """
    ### BEGIN SOLUTION
    labelled = target != ignore
    labels = torch.where(labelled, target, 0)
    log_probability = logits.log_softmax(dim=1)
    chosen = log_probability.gather(1, labels[:, None])[:, 0]  # (batch, height, width)
    total = (chosen * labelled).sum()
    return -total / labelled.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-pixel_cross_entropy", "schema_version": 3, "cell_type": "code"}
check("09-unet.pixel_cross_entropy", pixel_cross_entropy)

# %% [markdown]
r"""
## Exercise 9 · Dice

**Difficulty** ●●○ · **Importance** ●●○ · **10 min** · **2 points**

How well do two label maps agree on a class? Let $P$ be the pixels that the prediction gives to it and $T$ those that
truly belong to it, over the whole batch:

$$\mathrm{Dice} = \frac{2\,|P \cap T|}{|P| + |T|}$$

The predicted class of a pixel is the one with the largest logit. Return Dice for each class, `(num_classes,)`, as
floating-point numbers. A class that is neither predicted nor there has $0 / 0$. The array needs some number at its
place: give it 1, since nothing was to be found and nothing was found. (In a mean such a class is better left out, as
in the next exercise.)

With two classes, the prediction $[0, 1, 1, 0]$ and the target $[0, 0, 1, 0]$: class 0 has $2 \cdot 2 / (2 + 3) = 0.8$,
class 1 has $2 \cdot 1 / (2 + 1) = 0.667$.

<details><summary>A question to start with</summary>

What is $|P \cap T|$ as an operation on two boolean tensors?

</details>

<details><summary>A hint</summary>

```
predicted = argmax of the logits along the axis of the classes             (batch, height, width)
for each class:
    p, t = where predicted is the class, where target is the class         booleans
    if neither holds a pixel: 1
    else: 2 · number of pixels in both / (number in p + number in t)
```

</details>

<details><summary>My numbers are off</summary>

- *Smaller than expected, and equal at 0 and 1:* that is IoU; Dice counts the common pixels twice.
- *NaN:* a class that is nowhere.
- *A little off everywhere:* a number added above and below the line, against $0 / 0$, changes every score. Ask whether
  there are any pixels instead.
- *Too few scores:* there is one for each logit of a pixel, also for the last class, whether or not the target holds it.
- *One row for each image:* count over the whole batch.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "dice_score", "schema_version": 3, "cell_type": "code"}
def dice_score(logits: Tensor, target: Tensor) -> Tensor:
    """Dice of each class over the whole batch: 2 |P ∩ T| / (|P| + |T|).

    Args:
        logits: one score for each class at each pixel, (batch, num_classes, height, width).
        target: the right classes, integers, (batch, height, width).

    Returns:
        Between 0 and 1, (num_classes,); 1 for a class that is neither predicted nor there.
    """
    ### BEGIN SOLUTION
    predicted = logits.argmax(dim=1)
    scores = torch.ones(logits.shape[1])
    for number in range(logits.shape[1]):
        p, t = predicted == number, target == number
        pixels = p.sum() + t.sum()
        if pixels > 0:
            scores[number] = 2 * (p & t).sum() / pixels
    return scores
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-dice_score", "schema_version": 3, "cell_type": "code"}
check("09-unet.dice_score", dice_score)

# %% [markdown]
r"""
## Exercise 10 · Mean intersection over union

**Difficulty** ●●○ · **Importance** ●●● · **12 min** · **3 points**

The score that papers report. For each class, the pixels that both maps give to it, divided by the pixels that at
least one of them gives to it; then the mean over classes:

$$\mathrm{IoU} = \frac{|P \cap T|}{|P \cup T|}$$

Every class counts the same, however few pixels it has: 95 % of right pixels may still be a bad score. A class that is
**neither predicted nor there** has no IoU ($0 / 0$) and does not enter the mean. A class that is predicted and not
there has the IoU 0, and does; so has one that is there and never predicted.

The pixels are counted over the whole batch. Return one number, a Python float.

<details><summary>A question to start with</summary>

Three classes; the target holds 0 and 1, the prediction holds 0 and 1. What is the mean divided by?

</details>

<details><summary>A hint</summary>

```
predicted = argmax of the logits along the axis of the classes
for each class:
    union = number of pixels in p or t
    if the union is not empty: keep the number of pixels in both / union
the mean of what was kept, as a float
```

</details>

<details><summary>My numbers are off</summary>

- *Too small where a class is nowhere:* it was counted as 0.
- *Too large where a class is nowhere:* it was counted as 1.
- *Too large where only one of the two maps holds a class:* it was left out; it counts as 0, also if it is the last one.
- *NaN:* 0 / 0 entered the mean.
- *Nearly 1 although the picture looks wrong:* that is the share of right pixels; the ground wins it.
- *Right for one image only:* add up pixels over the batch before anything is divided.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "mean_iou", "schema_version": 3, "cell_type": "code"}
def mean_iou(logits: Tensor, target: Tensor) -> float:
    """Intersection over union of each class, and its mean over the classes that are predicted or there.

    Args:
        logits: one score for each class at each pixel, (batch, num_classes, height, width).
        target: the right classes, integers, (batch, height, width).

    Returns:
        The mean, between 0 and 1.
    """
    ### BEGIN SOLUTION
    predicted = logits.argmax(dim=1)
    ious = []
    for number in range(logits.shape[1]):
        p, t = predicted == number, target == number
        union = (p | t).sum()
        if union > 0:
            ious.append((p & t).sum() / union)
    return float(sum(ious) / len(ious))
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-mean_iou", "schema_version": 3, "cell_type": "code"}
check("09-unet.mean_iou", mean_iou)

# %% [markdown]
r"""
## The data for the last piece

Circles, crosses and triangles on a ground of waves, 16 × 16 pixels each, with the class of each pixel. Run the cell and
look at a few.
"""

# %% tags=["student-only"]
from course_lib.data.scenes import SceneStyle, draw_scenes

style = SceneStyle(size=16, cells=2, thing_size=8, kinds=("circle", "cross", "triangle"))
scenes = draw_scenes(500, style=style, generator=torch.Generator().manual_seed(0))
figure, axes = plt.subplots(2, 6, figsize=(7, 2.6), layout="constrained")
for column in range(6):
    axes[0, column].imshow(scenes.images[column, 0], cmap="gray", vmin=0, vmax=1)
    axes[1, column].imshow(scenes.masks[column], vmin=0, vmax=3)
    axes[0, column].set_title(" ".join(scenes.captions[column][:2]), fontsize=8)
for axis in axes.flat:
    axis.axis("off")
plt.show()

# %% [markdown]
r"""
## The larger piece · Train a segmenter

**Difficulty** ●●○ · **Importance** ●●● · **30 min** · **6 points**

Put the pieces together and train. The network is made for you; you write the training.

- `draw_batch()` gives the next batch: images `(batch, 1, 16, 16)` and the classes of their pixels
  `(batch, 16, 16)`. Call it once for each update.
- One update: logits of all pixels, the loss of all pixels, gradients, step. Every pixel has a label; the ground is class
  0.
- Adam with a learning rate of 0.01 that falls in a straight line to 0, over 120 updates, is good enough. That takes
  about five seconds, longer on a busy computer; you have two minutes.

The weights are measured on new scenes, with the norms as they are used after training: the mean IoU (0.85 is
asked for; a sound training gets 0.95 or more), and Dice of the worst class (0.8 is asked for).

<details><summary>A question to start with</summary>

Which five things happen in each update, and in which order?

</details>

<details><summary>A hint</summary>

```
optimizer = Adam over network.parameters()
repeat 120 times:
    set the learning rate
    images, target = draw_batch()
    loss = pixel cross-entropy of the network's logits and the target
    zero the gradients, backward, step
```

The learning rate stands in `optimizer.param_groups[0]["lr"]`.

</details>

<details><summary>My numbers are off</summary>

- *The loss does not fall:* is `optimizer.step()` there, and `backward()` before it?
- *The loss jumps:* are the gradients set to zero before each `backward()`?
- *Nearly every pixel is ground:* train longer; the ground is learned first.
- *No pixel is ground:* do not ignore class 0.
- *Good in training, bad in the check:* is the network in training mode while it trains? Only then do the norms learn
  their means and variances.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "train_segmenter", "schema_version": 3, "cell_type": "code"}
def train_segmenter(draw_batch: Callable[[], tuple[Tensor, Tensor]], *, num_classes: int) -> dict[str, Tensor]:
    """Train a small U-Net to label pixels, and return its weights.

    Args:
        draw_batch: gives the next batch: images (batch, 1, height, width) and the class of each pixel,
            (batch, height, width).
        num_classes: number of classes, the ground included.

    Returns:
        The trained weights by name.
    """
    network = UNet(in_channels=1, out_channels=num_classes, channels=12, depth=2)
    ### BEGIN SOLUTION
    steps, learning_rate = 120, 0.01
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - number / steps)
        images, target = draw_batch()
        loss = pixel_cross_entropy(network(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ### END SOLUTION
    return dict(network.state_dict())


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 6, "grade_id": "check-train_segmenter", "schema_version": 3, "cell_type": "code"}
check("09-unet.train_segmenter", train_segmenter)

# %% [markdown]
r"""
See what your network makes of scenes that it has never seen. Run the cell once the check is green: it trains once more.
"""

# %% tags=["student-only"]
try:
    chance = torch.Generator().manual_seed(1)

    def draw_batch() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(scenes), (32,), generator=chance)
        return scenes.images[rows], scenes.masks[rows]

    weights = train_segmenter(draw_batch, num_classes=4)
    network = UNet(in_channels=1, out_channels=4, channels=12, depth=2)
    network.load_state_dict(weights)
    new = draw_scenes(100, style=style, generator=chance)
    with torch.no_grad():
        logits = network.eval()(new.images)
    figure, axes = plt.subplots(3, 6, figsize=(7, 3.8), layout="constrained")
    for column in range(6):
        axes[0, column].imshow(new.images[column, 0], cmap="gray", vmin=0, vmax=1)
        axes[1, column].imshow(new.masks[column], vmin=0, vmax=3)
        axes[2, column].imshow(logits.argmax(dim=1)[column], vmin=0, vmax=3)
    for axis in axes.flat:
        axis.axis("off")
    plt.show()
    print(f"mean IoU on new scenes {mean_iou(logits, new.masks):.3f}")
except NotImplementedError:
    plt.close("all")
    print("Write the exercises first, then run this cell again.")

# %% [markdown]
r"""
## In words · What the skips carry

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

A fellow student trains a U-Net without its skip connections and gets masks that lie at the right places, name the right
things, and have blurred, wobbly outlines. "The transposed convolutions are too weak," says the student, and wants to give
them larger kernels. Answer, in about ten sentences:

1. What is lost on the way down, and why can no layer on the way up bring it back, however large its kernel?
2. What do the skips carry that the path through the bottom does not, and what does that path carry that the skips
   do not? Use the words *receptive field* and *resolution*.
3. Name one measurement that would tell apart "outlines are wrong" from "things are confused with each other", and say
   what you expect of it for the network with skips and the one without.

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 3, "grade_id": "what_the_skips_carry", "schema_version": 3, "cell_type": "markdown"}
r"""
Each max pooling turns four pixels into one number. It says that something was there, not in which of the four pixels.
After two poolings, sixteen pixels share one place. The bottom has more channels and could in principle write the position
into them, but then it must learn to do so, for every outline, through few numbers; what it has not kept, no kernel on the
way up can know. A larger kernel mixes more of the same coarse numbers.

The bottom has a large receptive field: one of its numbers has seen the whole thing and can say *this is a four*, at
a low resolution. The skips come from layers with a small receptive field: they see a few pixels and cannot say what
they belong to, but they see them at full resolution, so they know exactly where light turns dark. Beside each
other, the one says what and the other says where, and the convolution after them joins the two.

Count right pixels separately: those within one pixel of an outline and those inside things and ground. Or compare the IoU of
foreground against ground with the mean IoU over classes. I expect both networks to be nearly perfect far from outlines, and
the one without skips to lose most of its points within a pixel of them. If things were confused, whole insides
would be wrong.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **What is lost** (1): pooling throws away where within a window something was (resolution); layers above see only what
   is left. "Information is lost" without saying which is half a point. That the bottom could encode some of it in its
   channels need not be said and costs nothing.
2. **What each path carries** (1): skips: fine position, high resolution, small receptive field; bottom: identity or
   context, large receptive field, low resolution. One half for each side.
3. **A measurement** (1): anything that separates outlines from insides (accuracy near and far from boundaries,
   foreground IoU beside class IoU, a confusion table restricted to insides), with an expectation for both networks. The
   measurement without an expectation is half a point.

### END MARK SCHEME
"""
