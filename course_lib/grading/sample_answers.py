"""What a sample class writes of its own: answers to questions, from good to poor, and a function that two share."""

from __future__ import annotations

ANSWERS: dict[str, tuple[str, ...]] = {
    "why_divide_by_root_d": (
        "If the entries of $q$ and $k$ are independent with mean 0 and variance 1, each product $q_i k_i$ has mean 0 "
        "and variance 1, so the sum of $d$ of them has variance $d$ and a typical size of $\\sqrt d$. With $d = 1024$ "
        "the scores are around $\\pm 32$.\n\nThe softmax of scores that far apart is nearly one-hot. Its derivative "
        "$w_i(\\delta_{ij} - w_j)$ is then close to 0 for every pair, so the projections of queries and keys get "
        "almost no gradient and stay what they were at the start. With $d = 4$ the scores are around $\\pm 2$ and "
        "this does not happen.\n\nDividing by $\\sqrt d$ multiplies the variance by $1/d$, so it is 1 for every "
        "width. Dividing by $d$ would leave a variance of $1/d$: the scores would all be near 0 and the weights near "
        "$1/m$.",
        "The dot product adds up $d$ terms with variance 1, which makes the variance $d$. So for a large head_dim the "
        "scores get big, about $\\sqrt d$, and softmax puts nearly all the weight on the largest one. Then the "
        "gradient of the softmax is nearly zero and the model cannot learn. Dividing by the root of $d$ makes the "
        "standard deviation 1 again.",
        "Because dot products get large when the vectors are long, and then the softmax saturates: one weight is "
        "almost 1 and all others almost 0. I tried it: the softmax of (1, 10) is (0.0001, 0.9999). So the model only "
        "looks at one word.\n\nThe root is there because the standard deviation is the root of the variance.",
        "With head_dim 1024 the numbers are too large, so training becomes unstable and the gradients explode. The "
        "division keeps them small. I think one could divide by d as well, it would only need a larger learning "
        "rate.",
        "It is a normalisation, like in batch norm. The paper says that it works better.",
        "Attention weights must lie between 0 and 1, so we divide by the largest possible value. For <b>unit</b> "
        "vectors that is √d.",
    ),
}

ELSEWHERE = (
    "The short answer is in the chapter: the two quantities are equal only if the inputs are independent, and the "
    "experiment shows what happens if they are not.",
    "I am not sure. I think it is because of the scaling.",
)

HELPERS = (
    """def draw_bar(values, width=40):
    rows = []
    largest = max(abs(value) for value in values) or 1.0
    for number, value in enumerate(values):
        filled = round(width * abs(value) / largest)
        rows.append(f"{number:3d} " + "#" * filled + "." * (width - filled))
    return "\\n".join(rows)""",
    """def show_numbers(xs, columns=40):
    lines = []
    top = max(abs(x) for x in xs) or 1.0
    for k, x in enumerate(xs):
        n = round(columns * abs(x) / top)
        lines.append(f"{k:3d} " + "#" * n + "." * (columns - n))
    return "\\n".join(lines)""",
)
"""A function that no exercise asks for, twice: the versions differ in names only."""


def answers_to(question: str) -> tuple[str, ...]:
    """Answers to a question, the best first."""
    return ANSWERS.get(question, ELSEWHERE)
