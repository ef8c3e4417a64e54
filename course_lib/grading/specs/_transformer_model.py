"""Assignment 05, the larger piece: the whole model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._transformer_blocks import SCALE
from course_lib.grading.specs._transformer_layers import BANNED
from course_lib.models import transformer as reference

Setting = tuple[int, int, int]
SIZES = {"source_size": 11, "target_size": 9, "d_model": 6, "num_heads": 3, "num_layers": 2, "dim_feedforward": 7}
CHANGED = 3  # the position that is changed where the future must not leak


def _model(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Weights for a model; the embeddings are large enough to tell words apart after the norms."""
    state = random_state(reference.TransformerEncoderDecoder(**SIZES), rng, scale=SCALE)
    return {
        name: random_tensor(rng, *value.shape) + 1 if "norm" in name and "weight" in name else value
        for name, value in state.items()
    } | {name: 2 * value for name, value in state.items() if "embedding" in name}


def _words(rng: np.random.Generator, *shape: int, side: str) -> torch.Tensor:
    return torch.from_numpy(rng.integers(3, SIZES[f"{side}_size"], size=shape))


def _source_lengths(rng: np.random.Generator, batch: int, m: int) -> torch.Tensor:
    """Different lengths, one of them full."""
    return torch.from_numpy(rng.permutation(m - np.arange(batch)))


def _probe(
    rng: np.random.Generator, method: str, setting: Setting, *, padded: bool = False, gradients: tuple[str, ...] = ()
) -> Probe:
    """A call of a method for a setting (batch, n, m)."""
    batch, n, m = setting
    source = _words(rng, batch, m, side="source")
    target = _words(rng, batch, n, side="target")
    args: list[torch.Tensor] = {
        "encode": [source],
        "decode": [target, random_tensor(rng, batch, m, SIZES["d_model"])],
        "__call__": [source, target],
    }[method]
    if padded:
        args.append(_source_lengths(rng, batch, m))
    return Probe(
        target="TransformerEncoderDecoder",
        init=SIZES,
        state=_model(rng),
        method=method,
        args=tuple(args),
        gradients=gradients,
    )


def _cases(
    *calls: tuple[str, Setting], padded: bool = False, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for calls (method, (batch, n, m))."""
    return lambda rng: [_probe(rng, method, setting, padded=padded, gradients=gradients) for method, setting in calls]


def _other_future(rng: np.random.Generator) -> list[Probe]:
    """The same call of `decode`, with other words from one position on."""
    first = _probe(rng, "decode", (2, 6, 4))
    tokens, memory = first.args
    other = tokens.clone()
    other[:, CHANGED:] = 3 + (other[:, CHANGED:] - 3 + int(rng.integers(1, 6))) % 6
    return [first, replace(first, args=(other, memory))]


def _other_padding(rng: np.random.Generator) -> list[Probe]:
    """The same call, with other words in the padding of the source."""
    first = _probe(rng, "__call__", (3, 4, 5), padded=True)
    source, target, lengths = first.args
    other = torch.where(torch.arange(5) < lengths[:, None], source, 3 + (source - 3 + int(rng.integers(1, 8))) % 8)
    return [first, replace(first, args=(other, target, lengths))]


READ = "x = self.source_embedding(source) + sinusoidal_positions(source.shape[1], self.d_model)"
WRITE = "x = self.target_embedding(tokens) + sinusoidal_positions(tokens.shape[1], self.d_model)"
ENCODER_MASK = "mask = padding_mask(source.shape[1], lengths)"
CAUSAL = "mask = causal_mask(tokens.shape[1])"
MEMORY_MASK = "memory_mask = padding_mask(memory.shape[1], lengths)"
BLOCK = "x = block(x, memory, mask=mask, memory_mask=memory_mask)"
FORWARD = "return self.decode(shift_right(target), self.encode(source, lengths), lengths)"

transformer_encoder_decoder = Exercise(
    name="TransformerEncoderDecoder",
    reference=reference.TransformerEncoderDecoder,
    banned=BANNED,
    uses=("FeedForward", "EncoderBlock", "DecoderBlock"),
    lines=[
        Line(
            name="encode",
            text="`encode`: embedding, positions, all blocks",
            points=1,
            cases=_cases(("encode", (2, 3, 5)), ("encode", (3, 2, 4))),
        ),
        Line(
            name="decode",
            text="`decode`: embedding, positions, all blocks, logits",
            points=1,
            cases=_cases(("decode", (2, 5, 3)), ("decode", (3, 2, 4))),
        ),
        Line(
            name="future",
            text="`decode`: no position sees a later one",
            points=1,
            cases=_other_future,
            properties=[Property("future_does_not_leak", {"position": CHANGED})],
        ),
        Line(
            name="forward",
            text="`forward`: the decoder reads <start> and the words before",
            points=1,
            cases=_cases(("__call__", (2, 5, 3)), ("__call__", (3, 4, 6))),
        ),
        Line(
            name="padding",
            text="no position attends to the padding of the source",
            points=1,
            cases=lambda rng: [
                *_other_padding(rng),
                *_cases(("encode", (3, 2, 5)), ("decode", (2, 5, 3)), padded=True)(rng),
            ],
        ),
        Line(
            name="gradients",
            text="the gradients by all weights",
            points=1,
            cases=_cases(("__call__", (2, 3, 4)), padded=True, gradients=("state",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="source_without_positions",
            says="Your encoder does not know the order of the words; add the positions to the source's embeddings.",
            line="encode",
            edits=[(READ, "x = self.source_embedding(source)")],
        ),
        Misconception(
            name="target_without_positions",
            says="Your decoder does not know the order of the words; add the positions to the target's embeddings.",
            line="decode",
            edits=[(WRITE, "x = self.target_embedding(tokens)")],
        ),
        Misconception(
            name="embeddings_scaled",
            says="You multiply the embeddings by the root of d_model, as the paper does; here they are added as they "
            "are.",
            line="encode",
            edits=[
                ("self.source_embedding(source) +", "self.source_embedding(source) * math.sqrt(self.d_model) +"),
                ("self.target_embedding(tokens) +", "self.target_embedding(tokens) * math.sqrt(self.d_model) +"),
            ],
        ),
        Misconception(
            name="only_the_last_block",
            says="Each of your encoder's blocks reads the embeddings; a block reads what the block before it gave.",
            line="encode",
            edits=[(READ, f"{READ}\n        start = x"), ("x = block(x, mask)", "x = block(start, mask)")],
        ),
        Misconception(
            name="only_the_last_decoder_block",
            says="Each of your decoder's blocks reads the embeddings; a block reads what the block before it gave.",
            line="decode",
            edits=[(WRITE, f"{WRITE}\n        start = x"), (BLOCK, BLOCK.replace("(x, memory", "(start, memory"))],
        ),
        Misconception(
            name="encoder_is_causal",
            says="Your encoder hides the later words; the source is there from the start, so only its padding is "
            "hidden.",
            line="encode",
            edits=[
                (
                    ENCODER_MASK,
                    "mask = causal_mask(source.shape[1])\n"
                    "        if lengths is not None:\n"
                    "            mask = mask & padding_mask(source.shape[1], lengths)",
                )
            ],
        ),
        Misconception(
            name="probabilities_returned",
            says="You return probabilities; return the logits, the loss takes the softmax.",
            line="decode",
            edits=[("return self.output(x)", "return self.output(x).softmax(dim=-1)")],
        ),
        Misconception(
            name="output_layer_missing",
            says="You return the decoder's vectors; self.output turns them into one logit for each word.",
            line="decode",
            edits=[("return self.output(x)", "return x")],
        ),
        Misconception(
            name="mask_missing",
            says="Your decoder sees the words that it is to predict; give each of its blocks the causal mask.",
            line="future",
            edits=[(BLOCK, "x = block(x, memory, memory_mask=memory_mask)")],
        ),
        Misconception(
            name="mask_turned_round",
            says="Your decoder sees the future and not the past; the causal mask is True where key j <= query i.",
            line="future",
            edits=[(CAUSAL, f"{CAUSAL}.T")],
        ),
        Misconception(
            name="itself_hidden",
            says="Your decoder hides each position from itself as well; it must read the word that it stands on.",
            line="decode",
            edits=[
                (
                    CAUSAL,
                    f"{CAUSAL}.roll(1, 0)\n        mask[0] = mask[1]",
                )
            ],
        ),
        Misconception(
            name="target_not_shifted",
            says="Your decoder reads the target as it is, so each position reads the word that it must predict; shift "
            "it to the right.",
            line="forward",
            edits=[("shift_right(target)", "target")],
        ),
        Misconception(
            name="start_forgotten",
            says="You move the target without <start>: the first position must read START.",
            line="forward",
            edits=[("shift_right(target)", "F.pad(target[:, :-1], (1, 0))")],
        ),
        Misconception(
            name="shifted_left",
            says="You shift the target to the left, so each position reads the word after the one it must predict; "
            "shift it to the right.",
            line="forward",
            edits=[("shift_right(target)", "torch.cat([target[:, 1:], target[:, :1] * 0 + END], dim=1)")],
        ),
        Misconception(
            name="embeddings_as_memory",
            says="Your decoder looks at the source's embeddings; it looks at what the encoder made of them.",
            line="forward",
            edits=[("self.encode(source, lengths)", "self.source_embedding(source)")],
        ),
        Misconception(
            name="lengths_ignored",
            says="Your result is the one without lengths; the padding of the source is hidden in encode and in decode.",
            line="padding",
            edits=[(ENCODER_MASK, "mask = None"), (MEMORY_MASK, "memory_mask = None")],
        ),
        Misconception(
            name="padding_seen_by_the_encoder",
            says="The words of your source attend to its padding; the padding mask goes into the encoder's blocks too.",
            line="padding",
            edits=[(ENCODER_MASK, "mask = None")],
        ),
        Misconception(
            name="padding_seen_by_the_decoder",
            says="Your decoder attends to the padding of the source; give its blocks the padding mask as memory_mask.",
            line="padding",
            edits=[(MEMORY_MASK, "memory_mask = None")],
        ),
        Misconception(
            name="memory_detached",
            says="Your numbers are right and no gradient reaches the encoder; leave out `.detach()` and "
            "`torch.no_grad()`.",
            line="gradients",
            edits=[("self.encode(source, lengths)", "self.encode(source, lengths).detach()")],
        ),
    ],
)
