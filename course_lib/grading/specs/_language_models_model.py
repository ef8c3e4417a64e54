"""Assignment 06, the model and its cache: exercises 3 and 9."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Exercise, Line, Misconception, random_state, random_tensor
from course_lib.models import language as reference

VOCAB_SIZE = 11


def _model_probe(
    rng: np.random.Generator, batch: int, length: int, *, max_length: int = 9, gradients: tuple[str, ...] = ()
) -> Probe:
    init = {
        "vocab_size": VOCAB_SIZE,
        "d_model": 6,
        "num_heads": 2,
        "num_layers": 2,
        "dim_feedforward": 5,
        "max_length": max_length,
    }
    return Probe(
        target="TransformerLM",
        init=init,
        state=random_state(reference.TransformerLM(**init), rng, scale=0.7),
        args=(torch.from_numpy(rng.integers(VOCAB_SIZE, size=(batch, length))),),
        gradients=gradients,
    )


def _models(
    *settings: tuple[int, int], max_length: int = 9, gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, length)."""
    return lambda rng: [_model_probe(rng, *setting, max_length=max_length, gradients=gradients) for setting in settings]


def _future_changed(rng: np.random.Generator) -> list[Probe]:
    """The same text twice, with other tokens from position 4 on."""
    first = _model_probe(rng, 2, 7)
    (ids,) = first.args
    changed = ids.clone()
    changed[:, 4:] = (ids[:, 4:] + 1 + int(rng.integers(9))) % VOCAB_SIZE
    return [first, replace(first, args=(changed,))]


POSITIONS = "positions = torch.arange(length)"
EMBED = "x = self.token_embedding(ids) + self.position_embedding(positions)"
MASK = "mask = causal_mask(length)"
LOGITS = "return self.output(x)"
TOO_LONG = """        if length > self.max_length:
            raise ValueError(f"there are {self.max_length} positions, and the text has {length} tokens")
"""

transformer_lm = Exercise(
    name="TransformerLM",
    reference=reference.TransformerLM,
    returns=("the logits",),
    lines=[
        Line(
            name="logits",
            text="the logits of every next token",
            points=2,
            cases=_models((2, 5), (3, 7), (1, 9)),
        ),
        Line(
            name="causal",
            text="no position sees what comes later",
            points=1,
            cases=_future_changed,
            properties=[Property("future_does_not_leak", {"position": 4})],
        ),
        Line(
            name="gradients",
            text="the gradients by all weights",
            points=0.5,
            cases=_models((3, 5), gradients=("state",)),
        ),
        Line(
            name="too_long",
            text="ValueError for a text longer than max_length",
            points=0.5,
            cases=_models((2, 10), (1, 12)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="no_mask",
            says="Your blocks have no mask, so each position sees the token that it is to predict.",
            line="causal",
            edits=[("x = block(x, mask)", "x = block(x)")],
        ),
        Misconception(
            name="mask_inverted",
            says="Your mask is upside down: each position sees the future only. True means that it may attend.",
            line="causal",
            edits=[(MASK, "mask = causal_mask(length).T")],
        ),
        Misconception(
            name="self_hidden",
            says="Your positions may not see themselves; the token that was just read is the most important one.",
            line="logits",
            edits=[(MASK, "mask = causal_mask(length).tril(-1)\n        mask[0, 0] = True")],
        ),
        Misconception(
            name="only_the_first_block_masked",
            says="Only your first block is masked; the future leaks through the others.",
            line="causal",
            edits=[("x = block(x, mask)", "x = block(x, mask)\n            mask = None")],
        ),
        Misconception(
            name="no_positions",
            says="Your model does not know where a token stands; add the embeddings of the positions.",
            line="logits",
            edits=[(EMBED, "x = self.token_embedding(ids)")],
        ),
        Misconception(
            name="positions_from_one",
            says="Your positions count from 1; they count from 0.",
            line="logits",
            edits=[(POSITIONS, "positions = (torch.arange(length) + 1).clamp(max=self.max_length - 1)")],
        ),
        Misconception(
            name="positions_from_the_end",
            says="Your positions count down; the first token has position 0.",
            line="logits",
            edits=[(POSITIONS, "positions = torch.arange(length).flip(0)")],
        ),
        Misconception(
            name="one_position_for_all",
            says="All your tokens get the position 0; each has its own.",
            line="logits",
            edits=[(POSITIONS, "positions = torch.zeros(length, dtype=torch.long)")],
        ),
        Misconception(
            name="positions_concatenated_by_product",
            says="You multiply the two embeddings; add them.",
            line="logits",
            edits=[("self.token_embedding(ids) + self", "self.token_embedding(ids) * self")],
        ),
        Misconception(
            name="embedding_scaled",
            says="You multiply the token embeddings by √d_model; here they are added as they are.",
            line="logits",
            edits=[("self.token_embedding(ids) +", "self.token_embedding(ids) * math.sqrt(self.output.in_features) +")],
        ),
        Misconception(
            name="one_block_only",
            says="Your text goes through the first block only; it goes through all of them.",
            line="logits",
            edits=[("for block in self.blocks:", "for block in self.blocks[:1]:")],
        ),
        Misconception(
            name="probabilities_returned",
            says="You return probabilities; the result is logits, and the loss takes the softmax.",
            line="logits",
            edits=[(LOGITS, "return self.output(x).softmax(dim=-1)")],
        ),
        Misconception(
            name="last_position_only",
            says="You return the logits behind the last token only; every position predicts its next token.",
            line="logits",
            edits=[(LOGITS, "return self.output(x[:, -1])")],
        ),
        Misconception(
            name="index_error",
            says="A text that is too long ends in PyTorch's own IndexError; look first, and raise ValueError.",
            line="too_long",
            edits=[(TOO_LONG, "")],
        ),
        Misconception(
            name="cut_to_fit",
            says="You cut a text that is too long; raise ValueError, so that the caller knows.",
            line="too_long",
            edits=[(TOO_LONG, "        ids = ids[:, : self.max_length]\n        length = ids.shape[1]\n")],
        ),
    ],
)


def _cache_probe(rng: np.random.Generator, batch: int, position: int, *, max_length: int = 6) -> Probe:
    """A step at a position; d_model = 12 in 3 heads. The cache is full of numbers, also behind the position."""
    init = {"d_model": 12, "num_heads": 3}
    cache = tuple(random_tensor(rng, batch, 3, max_length, 4) for _ in range(2))
    return Probe(
        target="CachedAttention",
        init=init,
        state=random_state(reference.CachedAttention(**init), rng, scale=0.4),
        method="step",
        args=(random_tensor(rng, batch, 1, 12), cache, position),
    )


def _steps(*settings: tuple[int, int], max_length: int = 6) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, position)."""
    return lambda rng: [_cache_probe(rng, *setting, max_length=max_length) for setting in settings]


def _left_over(rng: np.random.Generator) -> list[Probe]:
    """The same step with other numbers at the position and behind it."""
    first = _cache_probe(rng, 2, 3)
    x, (keys, values), position = first.args
    other = (keys.clone(), values.clone())
    for part in other:
        part[:, :, 3:] = random_tensor(rng, 2, 3, 3, 4)
    return [first, replace(first, args=(x, other, position))]


WRITE_KEY = "keys[:, :, position] = key[:, :, 0]"
WRITE_VALUE = "values[:, :, position] = value[:, :, 0]"
SEEN = "seen_keys, seen_values = keys[:, :, : position + 1], values[:, :, : position + 1]"
OUTPUT = "return self.output_projection(merge_heads(heads)), (keys, values)"
NO_ROOM = """        if position >= keys.shape[2]:
            raise ValueError(f"the cache has room for {keys.shape[2]} positions, and position {position} is to be kept")
"""

cached_attention = Exercise(
    name="CachedAttention",
    reference=reference.CachedAttention,
    returns=("the output", "the cache"),
    lines=[
        Line(
            name="step",
            text="the output and the cache at positions in the middle and at the last one",
            points=2,
            cases=_steps((2, 3), (4, 5), (1, 2)),
        ),
        Line(
            name="first",
            text="the first position, which sees only itself",
            points=0.5,
            cases=_steps((2, 0), (3, 0)),
        ),
        Line(
            name="left_over",
            text="what is left over behind the position does not matter",
            points=1,
            cases=_left_over,
            properties=[Property("same_output", {"what": "what stands at the position and behind it", "part": 0})],
        ),
        Line(
            name="no_room",
            text="ValueError where the cache has no room",
            points=0.5,
            cases=_steps((2, 6), (1, 8)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="own_key_missing",
            says="Your query sees the positions before its own only; it sees its own key too: the first position + 1.",
            line="step",
            edits=[(SEEN, SEEN.replace("position + 1", "position"))],
        ),
        Misconception(
            name="whole_cache_seen",
            says="Your query sees the whole cache, also what is left over behind its position.",
            line="left_over",
            edits=[(SEEN, "seen_keys, seen_values = keys, values")],
        ),
        Misconception(
            name="written_one_later",
            says="You write key and value one place too late; positions count from 0.",
            line="step",
            edits=[
                (WRITE_KEY, "keys[:, :, (position + 1) % keys.shape[2]] = key[:, :, 0]"),
                (WRITE_VALUE, "values[:, :, (position + 1) % keys.shape[2]] = value[:, :, 0]"),
            ],
        ),
        Misconception(
            name="written_one_earlier",
            says="You write key and value one place too early, over those of the position before; positions count from "
            "0.",
            line="step",
            edits=[
                (WRITE_KEY, "keys[:, :, max(position - 1, 0)] = key[:, :, 0]"),
                (WRITE_VALUE, "values[:, :, max(position - 1, 0)] = value[:, :, 0]"),
            ],
        ),
        Misconception(
            name="one_position_too_many",
            says="Your query sees one position behind its own; the first position + 1 are enough.",
            line="left_over",
            edits=[(SEEN, SEEN.replace("position + 1", "position + 2"))],
        ),
        Misconception(
            name="not_written",
            says="You attend with the new key and value and do not keep them: the cache comes back as it was.",
            line="step",
            edits=[
                ("keys, values = cache", "keys, values = cache[0].clone(), cache[1].clone()"),
                (OUTPUT, OUTPUT.replace("(keys, values)", "cache")),
            ],
        ),
        Misconception(
            name="only_the_new_returned",
            says="You return the new key and value alone; return the whole cache with them in it.",
            line="step",
            edits=[(OUTPUT, OUTPUT.replace("(keys, values)", "(key, value)"))],
        ),
        Misconception(
            name="cache_cut",
            says="You return the cache only up to the position; it keeps its room.",
            line="step",
            edits=[(OUTPUT, OUTPUT.replace("(keys, values)", "(seen_keys, seen_values)"))],
        ),
        Misconception(
            name="key_and_value_exchanged",
            says="You keep the values where the keys belong and the keys where the values belong.",
            line="step",
            edits=[
                (WRITE_KEY, "keys[:, :, position] = value[:, :, 0]"),
                (WRITE_VALUE, "values[:, :, position] = key[:, :, 0]"),
            ],
        ),
        Misconception(
            name="past_not_seen",
            says="Your new position attends to itself alone; the keys and values of the past are in the cache.",
            line="step",
            edits=[(SEEN, "seen_keys, seen_values = key, value")],
        ),
        Misconception(
            name="no_scaling",
            says="You do not divide the scores by √head_dim, as `MultiHeadAttention` does.",
            line="step",
            edits=[(" / math.sqrt(query.shape[-1])", "")],
        ),
        Misconception(
            name="scaled_by_the_whole_width",
            says="You divide the scores by √d_model; each head is only head_dim wide.",
            line="step",
            edits=[("math.sqrt(query.shape[-1])", "math.sqrt(x.shape[-1])")],
        ),
        Misconception(
            name="output_projection_missing",
            says="You return the merged heads; the output projection is missing.",
            line="step",
            edits=[("self.output_projection(merge_heads(heads))", "merge_heads(heads)")],
        ),
        Misconception(
            name="full_cache_accepted",
            says="Where the cache has no room you get PyTorch's own error; look first, and raise ValueError.",
            line="no_room",
            edits=[(NO_ROOM, "")],
        ),
    ],
)
