"""Time of one training step of our models against PyTorch's own layers, and the speed of writing with a cache.

    .venv/bin/python -m benchmarks.models.run

Both start from the same weights and read the same batch; a step is forward pass, loss, backward pass and update by
Adam. The two take turns, on one thread. What is compared is processor time, and the ratio is the median over the
turns, so that a busy machine changes it little. With and without the cache a text is written in turns as well.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from benchmarks.attention.run import processor_name
from benchmarks.models.twins import ModernTwin, TranslatorTwin, layer_twin, pre_norm_twin
from benchmarks.models.writing import LENGTHS, WRITER, measure_writing, writing_table
from course_lib.models.attention import causal_mask
from course_lib.models.modern import GELUFeedForward, PreNormBlock
from course_lib.models.seq2seq import masked_cross_entropy
from course_lib.models.transformer import DecoderBlock, EncoderBlock, TransformerEncoderDecoder

RESULTS = Path(__file__).with_name("results.json")
BLOCK = {"d_model": 64, "num_heads": 4, "dim_feedforward": 256}
VOCABULARY = 200
BATCHES = [(32, 16), (32, 40), (8, 128)]  # sentences, positions

Loss = Callable[[], Tensor]
Case = tuple[nn.Module, Loss, nn.Module, Loss]


def vectors(batch: int, length: int, *, seed: int) -> Tensor:
    """Random inputs, (batch, length, d_model)."""
    return torch.randn(batch, length, BLOCK["d_model"], generator=torch.Generator().manual_seed(seed))


def encoder_block(batch: int, length: int) -> Case:
    """A block of the encoder; the loss is a random weighted sum of what it gives."""
    ours, x, pull = EncoderBlock(**BLOCK), vectors(batch, length, seed=0), vectors(batch, length, seed=2)
    theirs = layer_twin(ours)
    return ours, lambda: (ours(x) * pull).sum(), theirs, lambda: (theirs(x) * pull).sum()


def decoder_only_block(batch: int, length: int) -> Case:
    """The same block with a causal mask, as a language model uses it."""
    ours, x, pull = EncoderBlock(**BLOCK), vectors(batch, length, seed=0), vectors(batch, length, seed=2)
    theirs, mask = layer_twin(ours), causal_mask(length)
    return ours, lambda: (ours(x, mask) * pull).sum(), theirs, lambda: (theirs(x, src_mask=~mask) * pull).sum()


def pre_norm_block(batch: int, length: int) -> Case:
    """A decoder-only block with the norm first, LayerNorm and GELU, which PyTorch's own layer offers too."""
    ours: PreNormBlock = PreNormBlock(**BLOCK, norm=nn.LayerNorm, feed_forward=GELUFeedForward)
    x, pull = vectors(batch, length, seed=0), vectors(batch, length, seed=2)
    theirs, mask = pre_norm_twin(ours), causal_mask(length)
    return ours, lambda: (ours(x, mask) * pull).sum(), theirs, lambda: (theirs(x, src_mask=~mask) * pull).sum()


def modern_block(batch: int, length: int) -> Case:
    """A decoder-only block with RMSNorm and SwiGLU of equally many parameters; PyTorch has its parts."""
    sizes: dict[str, Any] = BLOCK | {"dim_feedforward": 2 * BLOCK["dim_feedforward"] // 3}
    ours = PreNormBlock(**sizes)
    x, pull = vectors(batch, length, seed=0), vectors(batch, length, seed=2)
    theirs, mask = ModernTwin(ours), causal_mask(length)
    return ours, lambda: (ours(x, mask) * pull).sum(), theirs, lambda: (theirs(x, ~mask) * pull).sum()


def decoder_block(batch: int, length: int) -> Case:
    """A block of the decoder, with a memory as long as the target."""
    ours, mask = DecoderBlock(**BLOCK), causal_mask(length)
    x, memory, pull = (vectors(batch, length, seed=seed) for seed in range(3))
    theirs = layer_twin(ours)
    return (
        ours,
        lambda: (ours(x, memory, mask=mask) * pull).sum(),
        theirs,
        lambda: (theirs(x, memory, tgt_mask=~mask) * pull).sum(),
    )


def translator(batch: int, length: int) -> Case:
    """The translator of the scoreboard: two blocks on each side, cross-entropy."""
    ours = TransformerEncoderDecoder(source_size=VOCABULARY, target_size=VOCABULARY, num_layers=2, **BLOCK)
    theirs = TranslatorTwin(ours)
    words = torch.Generator().manual_seed(0)
    source, target = torch.randint(4, VOCABULARY, (2, batch, length), generator=words)
    return (
        ours,
        lambda: masked_cross_entropy(ours(source, target), target),
        theirs,
        lambda: masked_cross_entropy(theirs(source, target), target),
    )


MODELS: dict[str, Callable[[int, int], Case]] = {
    "encoder block": encoder_block,
    "block of a decoder-only model": decoder_only_block,
    "pre-norm block": pre_norm_block,
    "modern block": modern_block,
    "decoder block": decoder_block,
    "translator": translator,
}


def training_step(model: nn.Module, loss: Loss) -> Callable[[], None]:
    """A function that makes one update by Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def measure(make: Callable[[int, int], Case], batch: int, length: int, *, repeats: int) -> dict[str, float]:
    """The median processor time of a step of each, the median ratio of the two, and how far their losses are apart."""
    torch.manual_seed(0)
    ours, our_loss, theirs, their_loss = make(batch, length)
    wanted = their_loss().item()
    difference = abs(our_loss().item() - wanted) / abs(wanted)
    steps = {"ours": training_step(ours, our_loss), "pytorch": training_step(theirs, their_loss)}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name in sorted(steps, reverse=repeat % 2 == 1):  # each goes first as often as the other
            start = time.process_time()
            steps[name]()
            if repeat:  # the first one warms up
                times[name].append(time.process_time() - start)
    pairs = zip(times["ours"], times["pytorch"], strict=True)
    return {
        "ours_ms": 1e3 * median(times["ours"]),
        "pytorch_ms": 1e3 * median(times["pytorch"]),
        "ratio": median(first / second for first, second in pairs),
        "loss_difference": difference,
    }


def benchmark(
    batches: list[tuple[int, int]],
    *,
    repeats: int,
    models: Sequence[str] = tuple(MODELS),
    lengths: Sequence[int] = tuple(LENGTHS),
) -> dict[str, Any]:
    """Measure models on every size of batch, and writing at every length.

    Args:
        batches: pairs of sentences and positions.
        repeats: steps timed for each; of a text, a tenth of it.
        models: which of `MODELS`.
        lengths: tokens to write.

    Returns:
        The settings, the machine, and one entry for each point.
    """
    torch.set_num_threads(1)
    points, writing = [], []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Measuring", total=len(models) * len(batches) + len(lengths))
        for name in models:
            for batch, length in batches:
                point = measure(MODELS[name], batch, length, repeats=repeats)
                points.append({"model": name, "batch": batch, "length": length, **point})
                progress.advance(task)
        for length in lengths:
            writing.append(measure_writing(length, repeats=max(1, repeats // 10)))
            progress.advance(task)
    return {
        "settings": {**BLOCK, "dtype": "float32", "optimizer": "Adam", "repeats": repeats, "writer": WRITER},
        "machine": {
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "threads_used": 1,
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "points": points,
        "writing": writing,
    }


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new results, with the old points of what was not measured again, and the command that measures all.

    Raises:
        ValueError: if the two were not measured with the same steps on the same kind of machine.
    """
    if (old["machine"], old["settings"]["repeats"]) != (new["machine"], new["settings"]["repeats"]):
        raise ValueError("The kept figures come from another machine or number of steps: measure all models.")
    again = {(point["model"], point["batch"], point["length"]) for point in new["points"]}
    kept = [p for p in old["points"] if (p["model"], p["batch"], p["length"]) not in again]
    names = list(MODELS)
    points = sorted(
        [*kept, *new["points"]], key=lambda p: (names.index(p["model"]), BATCHES.index((p["batch"], p["length"])))
    )
    return {**new, "command": old["command"], "points": points}


def markdown_table(results: dict[str, Any]) -> str:
    """The points as the table that benchmarks/README.md quotes."""
    lines = ["| model | batch | ours | PyTorch's layers | ratio |", "|:---|---:|---:|---:|---:|"]
    lines += [
        f"| {point['model']} | {point['batch']} × {point['length']} "
        f"| {point['ours_ms']:.1f} ms | {point['pytorch_ms']:.1f} ms | {point['ratio']:.2f} |"
        for point in results["points"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40, help="timed steps for each point")
    parser.add_argument(
        "--models", nargs="+", choices=list(MODELS), help="only these, beside the kept figures of others"
    )
    parser.add_argument("--lengths", type=int, nargs="+", help="only batches of these lengths")
    parser.add_argument("--out", default=str(RESULTS), help="JSON file to write; - prints it instead")
    options = parser.parse_args()
    batches = [pair for pair in BATCHES if not options.lengths or pair[1] in options.lengths]
    results = benchmark(batches, repeats=options.repeats, models=options.models or list(MODELS))
    command = shlex.join(["python", "-m", "benchmarks.models.run", *sys.argv[1:]])
    if options.models:
        results = merged(json.loads(RESULTS.read_text()), results)
    text = json.dumps({"command": command, **results}, indent=2) + "\n"
    if options.out == "-":
        print(text, end="")
        return
    Path(options.out).write_text(text)
    print(markdown_table(results), writing_table(results), sep="\n", end="")


if __name__ == "__main__":
    main()
