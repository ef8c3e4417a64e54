"""Peak memory and time of naive, tiled and fused attention against the length of the sequence.

    .venv/bin/python -m benchmarks.attention.run

One head of one sequence, head_dim 64, float32, forward pass only, one thread. Naive is
`scaled_dot_product_attention`, which holds the whole table of weights; tiled is `tiled_attention`; fused is
PyTorch's own kernel, which is what you would use instead, so both are quoted as multiples of it.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from benchmarks.attention.measure import HEAD_DIM, METHODS, TILE_SIZE

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
LENGTHS = [2048, 4096, 8192, 16384]
SHORTEST = 512  # below it a peak is a few pages, which the kernel counts in lots
NAIVE_UP_TO = 8192  # at 16384 the scores and the weights take 2 GiB
# From 64 KiB on, what is freed goes back to the system at once, so that the peak is what is held and no more.
MEMORY_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def run_measurement(*arguments: str, environment: dict[str, str] | None = None) -> Any:
    """What `measure.py` prints, from a fresh process with one thread.

    Raises:
        RuntimeError: if the process fails, with the end of what it said.
    """
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.attention.measure", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(f"Measuring {' '.join(arguments)} failed: {process.stderr.strip()[-500:]}")
    return json.loads(process.stdout)


def processor_name() -> str:
    """The processor as Linux names it, or what Python knows elsewhere."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


def benchmark(lengths: list[int], *, repeats: int, naive_up_to: int) -> dict[str, Any]:
    """Measure every method at every length.

    Args:
        lengths: numbers of positions, each measured by itself.
        repeats: forward passes timed for each point; the shortest counts.
        naive_up_to: naive attention is left out at greater lengths.

    Returns:
        The settings, the machine, and one entry for each point.

    Raises:
        ValueError: if a length is too short for its peak memory to be seen.
    """
    if min(lengths) < SHORTEST:
        raise ValueError(f"A length of {min(lengths)} leaves no measurable peak: choose {SHORTEST} or more.")
    points = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Measuring", total=len(lengths))
        for length in sorted(lengths):
            methods = [method for method in METHODS if method != "naive" or length <= naive_up_to]
            times = run_measurement("time", str(length), *methods, "--repeats", str(repeats))
            memory = {
                method: run_measurement("memory", method, str(length), environment=MEMORY_ENVIRONMENT)
                for method in methods
            }
            points += [
                {
                    "method": method,
                    "length": length,
                    "peak_mib": memory[method]["peak_bytes"] / 2**20,
                    "peak_over_fused": memory[method]["peak_bytes"] / memory["fused"]["peak_bytes"],
                    "milliseconds": times[method]["seconds"] * 1000,
                    "time_over_fused": times[method]["seconds"] / times["fused"]["seconds"],
                    "max_difference_from_fused": times[method]["error"],
                }
                for method in methods
            ]
            progress.advance(task)
    return {
        "settings": {
            "batch": 1,
            "heads": 1,
            "head_dim": HEAD_DIM,
            "dtype": "float32",
            "tile_size": TILE_SIZE,
            "pass": "forward",
            "repeats": repeats,
            "lengths": sorted(lengths),
        },
        "machine": {
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "threads_used": 1,
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "points": points,
    }


def markdown_table(results: dict[str, Any]) -> str:
    """The points as the table that benchmarks/README.md quotes."""
    lines = [
        "| length | method | peak memory | × fused | time | × fused |",
        "|---:|:---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {point['length']} | {point['method']} "
        f"| {point['peak_mib']:.1f} MiB | {point['peak_over_fused']:.1f} "
        f"| {point['milliseconds']:.0f} ms | {point['time_over_fused']:.1f} |"
        for point in results["points"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="numbers of positions")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes for each point; the shortest counts")
    parser.add_argument("--naive-up-to", type=int, default=NAIVE_UP_TO, help="longest length for naive attention")
    parser.add_argument("--out", "--json", default=str(RESULTS), help="JSON file to write; - prints it instead")
    options = parser.parse_args()
    results = benchmark(options.lengths, repeats=options.repeats, naive_up_to=options.naive_up_to)
    command = shlex.join(["python", "-m", "benchmarks.attention.run", *sys.argv[1:]])
    results = {"command": command, **results}
    text = json.dumps(results, indent=2) + "\n"
    if options.out == "-":
        print(text, end="")
        return
    Path(options.out).write_text(text)
    print(markdown_table(results), end="")


if __name__ == "__main__":
    main()
