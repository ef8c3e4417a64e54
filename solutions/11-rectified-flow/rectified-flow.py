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
# Assignment 11 · Rectified flow

You build a generative model out of its pieces: the straight path from noise to data, the velocity along it, the loss,
two solvers, guidance, reflow, and a case in which the answer is known exactly. At the end you train a flow, and what
it draws is judged. Ten short exercises, one larger piece and one question that you answer in words: together they are
worth **32 points** and take about three hours. The chapter *Rectified flow* teaches everything you need.

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
to the right numbers earns full points: loops, `einsum` or matrix products, float32 or float64. The flow of the last
piece is trained in grading as it is here. The weights that you return are then put into the same network, samples are
drawn from it, and these are compared with data that neither you nor your code has seen.

## How to hand in

Choose *Kernel → Restart and run all cells*, look at the checks once more, save, and submit this file under its own
name. The last piece trains twice, in its check and in the cell behind it, so this takes some seconds.

Hand in your own work: talk about ideas with others, write the code and the answer yourself.

## Conventions

**t = 0 is noise, t = 1 is data.** Noise is `x0`, data is `x1`; both are `(batch, ...)`, where `...` is any number of
axes: `(batch, 2)` for points, `(batch, channels, height, width)` for images. There is one time for each row, `(batch,)`.
A **velocity** is a function: `velocity(x, t)` takes positions `(batch, ...)` and times `(batch,)` and gives an arrow for
each position, `(batch, ...)`.
"""

# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "set-up", "schema_version": 3, "cell_type": "code"}
import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.check import check

Velocity = Callable[[Tensor, Tensor], Tensor]
ConditionalVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]  # takes a class for each row as well

# %% [markdown]
r"""
## Exercise 1 · The straight path

**Difficulty** ●○○ · **Importance** ●●● · **8 min** · **2 points**

A rectified flow joins each noise with a data point by a straight line, and walks it at constant speed:

$$x_t = (1 - t)\, x_0 + t\, x_1$$

At $t = 0$ you stand on the noise, at $t = 1$ on the data. By hand: from $x_0 = [0, 4]$ to $x_1 = [8, 0]$, the point at
$t = \frac14$ is $[2, 3]$.

Every row of the batch has its **own** time. `x0` and `x1` are `(batch, ...)`, `t` is `(batch,)`: give it axes of size 1
so that it meets the rows, and not the last axis. (`torch.lerp` would be the whole exercise; write the two shares
yourself.)

<details><summary>A question to start with</summary>

PyTorch lines shapes up from the right. Which axis of an image batch `(3, 1, 8, 8)` does a `t` of shape `(8,)` meet? And
which shape must `t` have to meet the first?

</details>

<details><summary>A hint</summary>

```
t = t with shape (batch, 1, ..., 1), as many axes as x0
result = (1 - t) times x0 + t times x1
```

`t.reshape(-1, *[1] * (x0.dim() - 1))`, or `t.view(...)`, or `t[:, None, None]` if you know the number of axes (here you do not).

</details>

<details><summary>My numbers are off</summary>

- *It raised RuntimeError, "must match the size of tensor":* `t` meets another axis than the first.
- *Some shapes work, others do not:* the same, where the last axis happens to be as long as the batch.
- *Right at t = ½ only:* noise and data have changed places.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "interpolate", "schema_version": 3, "cell_type": "code"}
def interpolate(x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """The point at time t of the straight path from noise to data: x_t = (1 - t) x_0 + t x_1.

    Args:
        x0: noise, (batch, ...).
        x1: data, of the same shape.
        t: a time for each row, (batch,), from 0 to 1.

    Returns:
        The points, (batch, ...).
    """
    ### BEGIN SOLUTION
    t = t.reshape(-1, *[1] * (x0.dim() - 1))  # (batch, 1, ..., 1)
    return (1 - t) * x0 + t * x1
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-interpolate", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.interpolate", interpolate)

# %% [markdown]
r"""
## Exercise 2 · The velocity along it

**Difficulty** ●○○ · **Importance** ●●● · **5 min** · **1 point**

How fast, and in which direction, does $x_t = (1 - t)\, x_0 + t\, x_1$ move? Differentiate by $t$. The result does not
depend on $t$: that is what "straight" means. This is what the network will be asked to predict.

<details><summary>A question to start with</summary>

You walk from $[0, 4]$ to $[8, 0]$ in one unit of time at constant speed. What is your velocity halfway?

</details>

<details><summary>A hint</summary>

```
result = where you arrive minus where you start
```

</details>

<details><summary>My numbers are off</summary>

- *The sign is wrong everywhere:* you walk from noise (x0) to data (x1), so the velocity points to the data.
- *Right only where the noise is 0:* the velocity is not the place where you arrive.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "velocity_target", "schema_version": 3, "cell_type": "code"}
def velocity_target(x0: Tensor, x1: Tensor) -> Tensor:
    """The velocity along the straight path from noise to data, the same at every time.

    Args:
        x0: noise, (batch, ...).
        x1: data, of the same shape.

    Returns:
        The velocities, (batch, ...).
    """
    ### BEGIN SOLUTION
    return x1 - x0
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 1, "grade_id": "check-velocity_target", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.velocity_target", velocity_target)

# %% [markdown]
r"""
## Exercise 3 · The loss

**Difficulty** ●●○ · **Importance** ●●● · **10 min** · **3 points**

Training is a regression. Put each row at its point $x_t$ of its own path, ask the network for the velocity there and
then, and compare with the velocity of the path:

$$\text{loss} = \text{mean of } \big(v(x_t, t) - (x_1 - x_0)\big)^2 \text{ over all numbers of the batch}$$

Many paths pass near the same $x_t$ with different velocities. The network cannot be right for all, and the square makes
it answer with their mean. `velocity(x, t)` takes positions `(batch, ...)` and times `(batch,)`.

<details><summary>A question to start with</summary>

The network gets $x_t$ and $t$. Why must it not get $x_1$?

</details>

<details><summary>A hint</summary>

```
predicted = velocity(points of the paths at t, t)
result = mean over everything of (predicted - velocity of the paths)²
```

</details>

<details><summary>My numbers are off</summary>

- *Too large by the number of pixels, or of rows:* the mean runs over all numbers, not only over the rows or the pixels.
- *It raised an error inside the velocity:* hand over `t` as it is, `(batch,)`.
- *The gradient is missing:* is the velocity detached, or the loss taken out with `.item()`?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "flow_matching_loss", "schema_version": 3, "cell_type": "code"}
def flow_matching_loss(velocity: Velocity, x0: Tensor, x1: Tensor, t: Tensor) -> Tensor:
    """The mean of (v(x_t, t) - (x_1 - x_0))² over all numbers of the batch.

    Args:
        velocity: what is trained; takes positions (batch, ...) and times (batch,).
        x0: noise, (batch, ...).
        x1: data, of the same shape.
        t: a time for each row, (batch,).

    Returns:
        The loss, 0-dimensional.
    """
    ### BEGIN SOLUTION
    x = interpolate(x0, x1, t)
    target = velocity_target(x0, x1)
    return (velocity(x, t) - target).square().mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-flow_matching_loss", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.flow_matching_loss", flow_matching_loss)

# %% [markdown]
r"""
## Exercise 4 · Time as a vector

**Difficulty** ●●○ · **Importance** ●●○ · **10 min** · **2 points**

A single number between 0 and 1 is a weak input: a network reads it more easily as a vector of sines and cosines, slow
ones and fast ones. It is the formula of the sinusoidal positions, with rising frequencies:

$$\text{channel } 2i = \sin(\omega_i t), \qquad \text{channel } 2i + 1 = \cos(\omega_i t), \qquad
\omega_i = \text{max\_frequency}^{\,2i / \text{dim}}, \quad i = 0, 1, \dots, \tfrac{\text{dim}}{2} - 1$$

With `dim = 4` and `max_frequency = 100`: $\omega_0 = 1$ and $\omega_1 = 100^{2/4} = 10$. `t` is `(batch,)`, the result
`(batch, dim)`. If `dim` is odd, raise `ValueError`.

<details><summary>A question to start with</summary>

How many different frequencies are there for `dim = 6`, and which channels belong to the second?

</details>

<details><summary>A hint</summary>

```
if dim is odd: raise ValueError
frequencies = max_frequency ** ([0, 2, 4, …] / dim)              (dim / 2,)
angles = each time × each frequency                              (batch, dim / 2)
result = sin and cos, one pair after the other                   (batch, dim)
```

`torch.stack([a, b], dim=-1).flatten(-2)` puts two tensors together pair by pair.

</details>

<details><summary>My numbers are off</summary>

- *The right numbers in the wrong columns:* pairs stand side by side: sin, cos, sin, cos.
- *The first two columns are right, the others not:* the exponent is 2i / dim, with a plus.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "time_embedding", "schema_version": 3, "cell_type": "code"}
def time_embedding(t: Tensor, *, dim: int, max_frequency: float = 100.0) -> Tensor:
    """Sines and cosines of each time, in pairs, with frequencies max_frequency^(2i / dim).

    Args:
        t: times, (batch,).
        dim: number of channels, even.
        max_frequency: what the frequencies rise towards, in radians per unit of time.

    Returns:
        One vector for each time, (batch, dim).

    Raises:
        ValueError: if dim is odd.
    """
    ### BEGIN SOLUTION
    if dim % 2:
        raise ValueError(f"sines and cosines come in pairs, but dim is {dim}")
    frequencies = max_frequency ** (torch.arange(0, dim, 2, dtype=t.dtype) / dim)  # (dim / 2,)
    angles = t[:, None] * frequencies  # (batch, dim / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-time_embedding", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.time_embedding", time_embedding)

# %% [markdown]
r"""
## Exercise 5 · Follow the arrows: Euler

**Difficulty** ●●○ · **Importance** ●●● · **12 min** · **3 points**

A sample is where you arrive when you start from noise and follow the velocity from $t = 0$ to $t = 1$. Euler's method
takes $n$ equal steps of length $h = \frac1n$, each with the arrow of the place and time where it **starts**:

$$x \leftarrow x + h\, v(x, t), \qquad t = 0, h, 2h, \dots, 1 - h$$

By hand: with $v(x, t) = 2t$, from $x = 1$ in two steps: the first arrow is $v = 0$, so $x$ stays 1; the second is
$2 \cdot \frac12 = 1$, so $x = 1 + \frac12 = 1.5$. (The true end is 2.)

Return the **whole path**, `(steps + 1, batch, ...)`: `x0` first, the sample last. The velocity wants a time for each row,
`(batch,)`. With less than one step, raise `ValueError`.

<details><summary>A question to start with</summary>

At how many times do four steps ask the velocity? Is $t = 1$ one of them?

</details>

<details><summary>A hint</summary>

```
if steps is below 1: raise ValueError
path = [x0]; x = x0
for number = 0 … steps - 1:
    t = number / steps, once for each row                 (batch,)
    x = x + velocity(x, t) / steps
    append x to the path
result = the path, stacked
```

`torch.full((batch,), value, dtype=x.dtype)` repeats a number.

</details>

<details><summary>My numbers are off</summary>

- *The shape is one too short:* is the start part of the path?
- *Right for a velocity without t only:* which times do you ask at? The last is 1 - h.
- *It raised an error inside the velocity:* it wants one time for each row, a tensor `(batch,)`.
- *All points of the path are the same:* `x += …` changes the very tensor that you put into the list. Make a new one.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "euler_sample", "schema_version": 3, "cell_type": "code"}
def euler_sample(velocity: Velocity, x0: Tensor, *, steps: int) -> Tensor:
    """Follow the velocity from t = 0 to t = 1 in equal steps: x ← x + h v(x, t).

    Args:
        velocity: the field to follow; takes positions (batch, ...) and times (batch,).
        x0: where to start, (batch, ...).
        steps: number of steps.

    Returns:
        The whole path, (steps + 1, batch, ...): x0 first, the samples last.

    Raises:
        ValueError: if there is not at least one step.
    """
    ### BEGIN SOLUTION
    if steps < 1:
        raise ValueError(f"a path has at least one step, not {steps}")
    x, path = x0, [x0]
    for number in range(steps):
        t = torch.full((len(x),), number / steps, dtype=x.dtype)
        x = x + velocity(x, t) / steps
        path.append(x)
    return torch.stack(path)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-euler_sample", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.euler_sample", euler_sample)

# %% [markdown]
r"""
## Exercise 6 · Two slopes are better: Heun

**Difficulty** ●●○ · **Importance** ●●○ · **12 min** · **3 points**

Euler looks at the arrow at the start of a step and walks blindly to its end. Heun's method walks there only to look, and
then takes the step with the **mean** of the arrows at both ends:

$$k_1 = v(x, t), \qquad k_2 = v(x + h\, k_1,\; t + h), \qquad x \leftarrow x + h\, \frac{k_1 + k_2}{2}$$

By hand: with $v(x, t) = 2t$, from $x = 1$ in two steps: $1 + \frac12 \cdot \frac{0 + 1}{2} = 1.25$, then
$1.25 + \frac12 \cdot \frac{1 + 2}{2} = 2$. That is exact. It costs two questions to the velocity for each step.

The result is the whole path, and less than one step raises `ValueError`, as before.

<details><summary>A question to start with</summary>

Where do you stand when you ask for the second arrow, and what time is it there?

</details>

<details><summary>A hint</summary>

```
for number = 0 … steps - 1:
    k1 = velocity(x, number / steps)
    k2 = velocity(x + k1 / steps, (number + 1) / steps)
    x = x + (the mean of k1 and k2) / steps
```

</details>

<details><summary>My numbers are off</summary>

- *Steps twice as long as they should be:* the mean of the two arrows, not their sum.
- *The same numbers as Euler's:* is `k2` used?
- *Right for a velocity without t only, or without x only:* the second arrow is asked for at the new place **and** at the
  new time.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "heun_sample", "schema_version": 3, "cell_type": "code"}
def heun_sample(velocity: Velocity, x0: Tensor, *, steps: int) -> Tensor:
    """Follow the velocity from t = 0 to t = 1 with the mean of the arrows at both ends of each step.

    Args:
        velocity: the field to follow; takes positions (batch, ...) and times (batch,).
        x0: where to start, (batch, ...).
        steps: number of steps.

    Returns:
        The whole path, (steps + 1, batch, ...): x0 first, the samples last.

    Raises:
        ValueError: if there is not at least one step.
    """
    ### BEGIN SOLUTION
    if steps < 1:
        raise ValueError(f"a path has at least one step, not {steps}")
    h = 1 / steps
    x, path = x0, [x0]
    for number in range(steps):
        t = torch.full((len(x),), number / steps, dtype=x.dtype)
        k1 = velocity(x, t)
        k2 = velocity(x + h * k1, t + h)
        x = x + h * (k1 + k2) / 2
        path.append(x)
    return torch.stack(path)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-heun_sample", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.heun_sample", heun_sample)

# %% [markdown]
r"""
## Exercise 7 · Guidance

**Difficulty** ●●○ · **Importance** ●●● · **8 min** · **2 points**

A network that was trained with classes, and now and then without, knows two velocities: towards class $c$, and towards
any data at all. Their difference points to what is special about the class. Guidance exaggerates it:

$$v = v_\text{uncond} + w\, (v_\text{cond} - v_\text{uncond})$$

In this course $w = 1$ means **no guidance**, $w = 0$ ignores the class, and $w = 3$ goes three times as far. (Some papers
call our $w - 1$ the weight.) `velocity(x, t, label)` takes a class for each row, `(batch,)`; the label `no_class` stands
for "no class".

<details><summary>A question to start with</summary>

What does the formula give for $w = 1$? What for $w = 0$?

</details>

<details><summary>A hint</summary>

```
with_class = velocity(x, t, label)
without = velocity(x, t, no_class for each row)
result = without + weight times (with_class - without)
```

`torch.full_like(label, no_class)` is a tensor like `label`, full of `no_class`.

</details>

<details><summary>My numbers are off</summary>

- *Right for w = 0 and w = 1, wrong elsewhere:* the difference is the one between both velocities, not another.
- *With w = 1 you get more than the class's own velocity:* that is the other convention, in which 0 means no guidance.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "guided_velocity", "schema_version": 3, "cell_type": "code"}
def guided_velocity(
    velocity: ConditionalVelocity, x: Tensor, t: Tensor, label: Tensor, *, weight: float, no_class: int
) -> Tensor:
    """Classifier-free guidance: v_uncond + w (v_cond - v_uncond).

    Args:
        velocity: takes positions (batch, ...), times (batch,) and classes (batch,).
        x: positions, (batch, ...).
        t: times, (batch,).
        label: the class that each position is led to, (batch,).
        weight: w; 1 means no guidance.
        no_class: the label that stands for "no class".

    Returns:
        The velocities, (batch, ...).
    """
    ### BEGIN SOLUTION
    with_class = velocity(x, t, label)
    without = velocity(x, t, torch.full_like(label, no_class))
    return without + weight * (with_class - without)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-guided_velocity", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.guided_velocity", guided_velocity)

# %% [markdown]
r"""
## Exercise 8 · Pairs for reflow

**Difficulty** ●●○ · **Importance** ●●● · **8 min** · **2 points**

At first, noise and data were paired at random, so the lines between them cross, and the flow has to bend. But the
trained flow itself pairs each noise with **one** sample: the one it leads to. Train a second flow on those pairs, with
the very same loss, and its paths come out nearly straight.

Make the pairs: the noise that you are given, and where `steps` Euler steps take it. The whole point is that they belong
together, so start from the `x0` that you return.

<details><summary>A question to start with</summary>

What would a flow learn from your samples, each paired with some noise that it did not come from?

</details>

<details><summary>A hint</summary>

```
x1 = the end of the Euler path from x0
result = x0, x1
```

Wrap it in `with torch.no_grad():`, nobody differentiates through the sampling.

</details>

<details><summary>My numbers are off</summary>

- *The first of the pair differs:* return the noise that came in, unchanged.
- *The second has an axis too many:* the sample is the last point of the path.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "reflow_pairs", "schema_version": 3, "cell_type": "code"}
def reflow_pairs(velocity: Velocity, x0: Tensor, *, steps: int) -> tuple[Tensor, Tensor]:
    """Pair each noise with the sample that the flow makes of it.

    Args:
        velocity: a trained field; takes positions (batch, ...) and times (batch,).
        x0: noise, (batch, ...).
        steps: number of Euler steps.

    Returns:
        x0 itself and the samples, (batch, ...) each.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        x1 = euler_sample(velocity, x0, steps=steps)[-1]
    return x0, x1
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-reflow_pairs", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.reflow_pairs", reflow_pairs)

# %% [markdown]
r"""
## Exercise 9 · How straight is a path?

**Difficulty** ●●○ · **Importance** ●●○ · **10 min** · **2 points**

A path of $n$ steps, `(n + 1, batch, ...)`, has a velocity in each step, $v_k = n\,(x_{k+1} - x_k)$: the way divided by
the time $\frac1n$. On a straight path at constant speed every $v_k$ is the whole way, $x_{(n)} - x_{(0)}$. So measure how
far they are from it, in units of the way:

$$S = \frac{\text{mean of } \big(v_k - (x_{(n)} - x_{(0)})\big)^2}{\text{mean of } \big(x_{(n)} - x_{(0)}\big)^2}$$

The mean above runs over steps, rows and numbers, the one below over rows and numbers. $S = 0$ is straight. By hand: the
path 0, 1, 4 has $v = 2, 6$ and the whole way 4, so $S = \frac{(4 + 4) / 2}{16} = \frac14$.

<details><summary>A question to start with</summary>

A path of `len(path)` points has how many steps?

</details>

<details><summary>A hint</summary>

```
steps = number of points - 1
velocities = (every point but the first - every point but the last) × steps
whole = last point - first point
result = mean of (velocities - whole)² / mean of whole²
```

</details>

<details><summary>My numbers are off</summary>

- *Far from 0 for a straight path:* is each step's way divided by its time, 1 / steps?
- *It changes when the path is stretched:* divide by the mean of the squared way.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "straightness", "schema_version": 3, "cell_type": "code"}
def straightness(path: Tensor) -> Tensor:
    """How far a path is from straight: mean (v_k - (x_1 - x_0))² over mean (x_1 - x_0)².

    Args:
        path: points at equal steps of time, (steps + 1, batch, ...).

    Returns:
        A number, 0-dimensional; 0 for a straight path at constant speed.
    """
    ### BEGIN SOLUTION
    steps = len(path) - 1
    velocities = (path[1:] - path[:-1]) * steps  # (steps, batch, ...)
    whole = path[-1] - path[0]  # (batch, ...)
    return (velocities - whole).square().mean() / whole.square().mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 2, "grade_id": "check-straightness", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.straightness", straightness)

# %% [markdown]
r"""
## Exercise 10 · A velocity that is known exactly

**Difficulty** ●●● · **Importance** ●●○ · **20 min** · **3 points**

What would a perfect network answer? The mean of $x_1 - x_0$ over all paths through $x$ at time $t$. If each channel of the
data is Gaussian with mean $\mu$ and standard deviation $\sigma$, and noise has mean 0 and standard deviation 1, you can
write it down. $x_1 - x_0$ and $x_t = (1 - t) x_0 + t x_1$ are sums of the same two independent Gaussians, and for any two
such numbers $a$ and $b$

$$\mathbb{E}[a \mid b] = \mathbb{E}[a] + \frac{\mathrm{Cov}(a, b)}{\mathrm{Var}(b)}\, \big(b - \mathbb{E}[b]\big)$$

Find the four pieces for $a = x_1 - x_0$ and $b = x_t$, and put them in. `x` is `(batch, channels)`, `t` `(batch,)`, `mean`
and `std` are `(channels,)`.

<details><summary>A question to start with</summary>

What are $\mathbb{E}[x_t]$ and $\mathrm{Var}(x_t)$? For the covariance multiply out $(x_1 - x_0)$ with
$((1 - t) x_0 + t x_1)$: independent pieces contribute nothing, so only $x_1$ with $x_1$ and $x_0$ with $x_0$ count.

</details>

<details><summary>A hint</summary>

```
E[x1 - x0] = mean
E[x_t] = t mean
Var(x_t) = (1 - t)² + t² std²
Cov = t std² - (1 - t)
```

</details>

<details><summary>My numbers are off</summary>

- *Wrong by the sign near t = 0:* there $x_t$ is all noise, and $v = \mu - x$. Does your covariance tend to -1?
- *Right for std = 1 only:* the variance is std².
- *Right where mean = 0 only:* is $t \mu$ subtracted from $x$, and $\mu$ added in front?
- *NaN or ∞ at t = 0 or t = 1:* do not divide by $t$ or $1 - t$; the variance of $x_t$ is never 0.

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "gaussian_velocity", "schema_version": 3, "cell_type": "code"}
def gaussian_velocity(x: Tensor, t: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    """The exact velocity E[x_1 - x_0 | x_t = x] where data is N(mean, std²) and noise N(0, 1) in each channel.

    Args:
        x: positions, (batch, channels).
        t: times, (batch,).
        mean: mean of the data, (channels,).
        std: standard deviation of the data, above 0, (channels,).

    Returns:
        The velocities, (batch, channels).
    """
    ### BEGIN SOLUTION
    t = t[:, None]  # (batch, 1)
    covariance = t * std**2 - (1 - t)  # of x_1 - x_0 with x_t
    variance = t**2 * std**2 + (1 - t) ** 2  # of x_t
    return mean + covariance / variance * (x - t * mean)
    ### END SOLUTION


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 3, "grade_id": "check-gaussian_velocity", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.gaussian_velocity", gaussian_velocity)

# %% [markdown]
r"""
The network of the last piece is given: position and embedded time side by side, and three layers.
"""


# %% nbgrader={"grade": false, "solution": false, "locked": true, "task": false, "grade_id": "network", "schema_version": 3, "cell_type": "code"}
class VelocityMLP(nn.Module):
    """A velocity in the plane: (batch, 2) and (batch,) -> (batch, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(14, 64), nn.Linear(64, 64), nn.Linear(64, 64)])
        self.output = nn.Linear(64, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        h = torch.cat([x, time_embedding(t, dim=12)], dim=-1)  # (batch, 14)
        for layer in self.hidden:
            h = F.silu(layer(h))
        return self.output(h)


# %% [markdown]
r"""
## The larger piece · Train a flow

**Difficulty** ●●● · **Importance** ●●● · **30 min** · **6 points**

Put the pieces together: train the network on data of the plane. `draw_data(256)` gives 256 new points, `(256, 2)`. Each step draws data, as much noise, and
a time for each row, takes the loss, and updates.

Your weights are put into the same network, and three things are measured with new noise and new data. Its arrows are
compared with the mean velocity of all paths (which is known exactly for a finite set of points): the mean square of what
they are off is at most 10 % of the arrows' own. 1,000 samples are drawn in 40 Euler steps: their **energy distance** from
1,000 points of the data (0 where both are distributed alike) is at most 0.03. And each cluster of the data gets at least
half of its share of the samples. A thousand steps of training stay well within all three.

Return the weights, `dict(model.state_dict())`, as the last line does. Learning rate, number of steps and optimiser are
yours. The check trains, so it takes some seconds.

<details><summary>A question to start with</summary>

What is drawn anew in each step: the data, the noise, the times? If the noise were drawn once, before the loop, 256 points
would stand for all noise. How well can they do so in the plane, and how well among images of 64 pixels?

</details>

<details><summary>A hint</summary>

```
optimizer = Adam on the model's parameters, learning rate about 0.004
for each of about 1000 steps:
    learning rate falls in a straight line to 0
    x1 = data; x0 = noise of the same shape; t = one time between 0 and 1 for each row
    loss = flow_matching_loss(model, x0, x1, t)
    zero the gradients, backward, step
```

The learning rate stands in `optimizer.param_groups[0]["lr"]`. Noise is `torch.randn`, times are `torch.rand`.

</details>

<details><summary>My numbers are off</summary>

- *The loss stops far above 0:* so it should. Paths cross, and the mean over them leaves an error that no network can
  avoid. Judge by the samples.
- *"it has not learned more than it knew at the start":* is `optimizer.step()` there, and `backward()` before it?
- *Samples near the clusters, but smeared between them:* train longer, or let the learning rate fall to 0.
- *Samples all in one spot:* has each row its own time and its own noise?

</details>
"""


# %% nbgrader={"grade": false, "solution": true, "locked": false, "task": false, "grade_id": "train_flow", "schema_version": 3, "cell_type": "code"}
def train_flow(draw_data: Callable[[int], Tensor]) -> dict[str, Tensor]:
    """Train a flow from noise to data, and return its weights.

    Args:
        draw_data: gives as many new points of the data as it is asked for, (count, 2).

    Returns:
        The trained weights by name.
    """
    model = VelocityMLP()
    ### BEGIN SOLUTION
    steps, learning_rate = 1000, 4e-3
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - number / steps)
        x1 = draw_data(256)  # (256, 2)
        x0 = torch.randn_like(x1)
        t = torch.rand(len(x1))
        loss = flow_matching_loss(model, x0, x1, t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ### END SOLUTION
    return dict(model.state_dict())


# %% nbgrader={"grade": true, "solution": false, "locked": true, "task": false, "points": 6, "grade_id": "check-train_flow", "schema_version": 3, "cell_type": "code"}
check("11-rectified-flow.train_flow", train_flow)

# %% [markdown]
r"""
Watch your flow. The cell trains it on two half moons, then draws the paths of 150 points, before and after reflow.
"""

# %% tags=["student-only"]
try:
    from course_lib.data.plane import two_moons

    chance = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = VelocityMLP()
    model.load_state_dict(train_flow(lambda count: two_moons(count, generator=chance)))
    noise, ends = reflow_pairs(model, torch.randn(5000, 2), steps=32)

    second = VelocityMLP()
    second.load_state_dict(model.state_dict())
    optimizer = torch.optim.Adam(second.parameters(), lr=1e-3)
    for _ in range(600):
        rows = torch.randint(len(noise), (256,))
        loss = flow_matching_loss(second, noise[rows], ends[rows], torch.rand(256))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharex=True, sharey=True)
    start = torch.randn(150, 2)
    with torch.no_grad():
        for ax, velocity, steps, title in (
            (axes[0], model, 32, "first flow, 32 steps"),
            (axes[1], second, 32, "after reflow, 32 steps"),
            (axes[2], second, 1, "after reflow, 1 step"),
        ):
            path = euler_sample(velocity, start, steps=steps)
            ax.plot(path[..., 0], path[..., 1], color="tab:blue", alpha=0.3, lw=0.8)
            ax.plot(path[-1, :, 0], path[-1, :, 1], ".", color="tab:orange")
            ax.set(title=f"{title}: S = {straightness(path):.3f}", aspect="equal")
except NotImplementedError:
    print("Write the exercises first, then run this cell again.")

# %% [markdown]
r"""
## In words · A perfect score

**Difficulty** ●●○ · **Importance** ●●● · **15 min** · **3 points**

A fellow student trains a flow on handwritten digits with classes and samples with **one** Euler step. A classifier that
was trained on real digits finds the right class in 100 % of the samples; with 32 steps it finds it in 98 %. "So one step
is enough, and even better," they say. Answer, in about ten sentences:

1. What does the network answer at $t = 0$, when all it sees is pure noise, and what does one step therefore draw? Why does
   the classifier like it so much?
2. Which measurement shows what is wrong, and what do you compare its value with?
3. Reflow makes one step usable. What does it change about the pairs, why are the paths straight afterwards, and what can
   reflow **not** improve?

Write into the cell below. A person reads and grades it.
"""

# %% [markdown] nbgrader={"grade": true, "solution": true, "locked": false, "task": false, "points": 3, "grade_id": "a_perfect_score", "schema_version": 3, "cell_type": "markdown"}
r"""
The network answers with the mean of $x_1 - x_0$ over all paths through the point it is shown. At $t = 0$ this point is
the noise itself, and noise and data were paired at random, so nothing about the noise says which data point belongs to
it: the answer is the mean of the data of that class minus the noise. One whole step from $x_0$ therefore lands on
$x_0 + (\bar x - x_0) = \bar x$, the mean image of the class, whatever the noise was. A mean image is a blurred but very
typical digit, and a classifier is surer of it than of a person's careless handwriting. So accuracy rewards it.

The samples of a class are all the same. A measure of diversity shows that, such as the standard deviation of the pixels
within a class: far below that of real digits. The energy distance to held-out digits shows it too, since it compares the
whole distribution. Each is read beside its value for real digits against other real digits, which is not exactly 0
for the energy distance and is the aim for the diversity.

Reflow pairs each noise with the one sample that the first flow makes of it. Now the noise does determine its data point,
so the mean over all paths through $(x_0, 0)$ is one path, and there is nothing to average away. Trajectories of an ODE never
cross; joined by straight lines, their ends cross much less than random pairs do, so the network can answer with nearly
the same velocity all along, and one step is nearly the whole way. What the first flow got wrong stays wrong: the second
one learns its samples and not the data, so at many steps it is as good as the first at best, and usually a little worse.

### BEGIN MARK SCHEME

One point for each part; half a point where the idea is there and the reason is missing.

1. **The mean** (1): at t = 0 the noise says nothing about the data, so the conditional mean is the (class) mean minus
   the noise, and one step draws the mean image; the classifier finds it typical. "It is blurred" without the reason is
   half a point.
2. **What shows it** (1): diversity within a class, or the energy distance to held-out data, **with** the value of real
   digits beside it. Without the comparison half a point.
3. **Reflow** (1): noise and sample are coupled by the flow, so that little is left to average (paths no longer cross); it
   cannot be better than the first flow, whose samples it learns. One half for each side.

### END MARK SCHEME
"""
