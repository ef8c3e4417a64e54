"""Tokens per second of a language model that writes, with its cache and with the whole text computed each time."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from course_lib.models.language import TransformerLM
from course_lib.models.seq2seq import greedy_decode

WRITER = {"vocab_size": 80, "d_model": 64, "num_heads": 4, "num_layers": 4, "dim_feedforward": 256}
LENGTHS = [32, 64, 128, 256, 512]


def writers(model: TransformerLM, length: int) -> dict[str, Callable[[], Tensor]]:
    """Two functions that write `length` tokens of one text, each the likeliest, from the same first token."""
    first = torch.zeros(1, 1, dtype=torch.long)

    def recomputed(token: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        text = torch.cat([text, token[:, None]], dim=1)
        return model(text)[:, -1], text

    def write(step: Any, state: Any) -> Tensor:
        return greedy_decode(step, state, batch_size=1, max_length=length, start=0, end=-1)

    return {"cached": lambda: write(*model.begin(first)), "full": lambda: write(recomputed, first[:, :0])}


@torch.no_grad()
def measure_writing(length: int, *, repeats: int) -> dict[str, Any]:
    """The median speeds by processor time, the median ratio, and whether both wrote the same text.

    Args:
        length: number of tokens to write.
        repeats: texts timed for each way; the two take turns.
    """
    torch.manual_seed(0)
    model = TransformerLM(**WRITER, max_length=length).eval()
    ways = writers(model, length)
    texts = {name: way() for name, way in ways.items()}  # warms up
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            times[name].append(time.process_time() - start)
    pairs = zip(times["full"], times["cached"], strict=True)
    return {
        "length": length,
        "cached_per_second": length / median(times["cached"]),
        "full_per_second": length / median(times["full"]),
        "ratio": median(full / cached for full, cached in pairs),
        "same_text": bool(torch.equal(texts["cached"], texts["full"])),
    }


def writing_table(results: dict[str, Any]) -> str:
    """The points as the table that benchmarks/README.md quotes."""
    lines = ["| tokens | with cache | whole text each time | ratio |", "|---:|---:|---:|---:|"]
    lines += [
        f"| {point['length']} | {point['cached_per_second']:,.0f} tokens/s | {point['full_per_second']:,.0f} tokens/s "
        f"| {point['ratio']:.1f} |"
        for point in results["writing"]
    ]
    return "\n".join(lines) + "\n"
