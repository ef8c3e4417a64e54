"""One measurement in a process of its own, printed as JSON. `run.py` starts it; you need not.

    python -m benchmarks.attention.measure memory naive 4096
    python -m benchmarks.attention.measure time 2048 naive tiled fused --repeats 3

Memory takes a fresh process for each point, because the peak of a process never falls. Time takes one process
for all methods and lets them take turns, so that a busy machine slows all of them alike.
"""

import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from course_lib.models.attention import fused_attention, scaled_dot_product_attention, tiled_attention

HEAD_DIM = 64
TILE_SIZE = 512
WARM_UP_LENGTH = 64

METHODS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "naive": lambda query, key, value: scaled_dot_product_attention(query, key, value)[0],
    "tiled": lambda query, key, value: tiled_attention(query, key, value, tile_size=TILE_SIZE),
    "fused": fused_attention,
}


def make_inputs(length: int) -> list[Tensor]:
    """Query, key and value of one head of one sequence, (1, 1, length, HEAD_DIM) each, float32."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, 1, length, HEAD_DIM, generator=generator) for _ in range(3)]


def peak_resident_bytes() -> int:
    """The most memory this process has held so far, as the Linux kernel counts it.

    Raises:
        RuntimeError: on another system.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise RuntimeError("Peak memory is read from /proc/self/status, which only Linux has: run this on Linux.")
    kibibytes = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    if kibibytes is None:
        raise RuntimeError("/proc/self/status has no line VmHWM (the peak memory): run this on another kernel.")
    return int(kibibytes[1]) * 1024


def measure_memory(method: str, length: int) -> dict[str, float]:
    """By how much one forward pass raises the peak memory of a process that already holds the inputs."""
    METHODS[method](*make_inputs(WARM_UP_LENGTH))
    inputs = make_inputs(length)
    before = peak_resident_bytes()
    METHODS[method](*inputs)
    return {"peak_bytes": peak_resident_bytes() - before}


def measure_time(methods: list[str], length: int, repeats: int) -> dict[str, dict[str, float]]:
    """The shortest of `repeats` forward passes of each method, in turns, and its largest difference from fused."""
    inputs = make_inputs(length)
    fused = fused_attention(*inputs)
    results = {
        method: {"seconds": float("inf"), "error": (METHODS[method](*inputs) - fused).abs().max().item()}
        for method in methods
    }
    for _ in range(repeats):
        for method in methods:
            start = time.perf_counter()
            METHODS[method](*inputs)
            results[method]["seconds"] = min(results[method]["seconds"], time.perf_counter() - start)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="quantity", required=True)
    memory = commands.add_parser("memory")
    memory.add_argument("method", choices=METHODS)
    memory.add_argument("length", type=int)
    timing = commands.add_parser("time")
    timing.add_argument("length", type=int)
    timing.add_argument("methods", nargs="+", choices=METHODS)
    timing.add_argument("--repeats", type=int, required=True)
    options = parser.parse_args()
    # Two threads beside another busy process wait for each other: one thread gives steadier ratios.
    torch.set_num_threads(1)
    with torch.inference_mode():
        if options.quantity == "memory":
            result: object = measure_memory(options.method, options.length)
        else:
            result = measure_time(options.methods, options.length, options.repeats)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
