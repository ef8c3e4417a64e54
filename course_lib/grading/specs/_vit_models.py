"""Assignment 08, the models: exercises 5 to 7."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.check.properties import Property
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_state, random_tensor
from course_lib.grading.specs._cases import LIBRARY_ATTENTION
from course_lib.models import vit as reference

SIZES: dict[str, Any] = {
    "image_size": (6, 8),
    "patch_size": 2,
    "in_channels": 2,
    "num_classes": 5,
    "d_model": 4,
    "num_heads": 2,
    "num_layers": 2,
    "dim_feedforward": 3,
}


def _weights(module: torch.nn.Module, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Weights that let each vector keep a character of its own: norms near 1, all else moderate."""
    return {
        name: random_tensor(rng, *value.shape, scale=0.3) + 1 if "norm" in name and "weight" in name else value
        for name, value in random_state(module, rng, scale=0.5).items()
    }


def _vit(*calls: tuple[str, str, int], gradients: tuple[str, ...] = ()) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for calls (method, pool, batch)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for method, pool, batch in calls:
            init = SIZES | {"pool": pool}
            probes.append(
                Probe(
                    target="VisionTransformer",
                    init=init,
                    state=_weights(reference.VisionTransformer(**init), rng),
                    method=method,
                    args=(random_tensor(rng, batch, 2, 6, 8),),
                    gradients=gradients,
                )
            )
        return probes

    return cases


TOKEN = "x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)"
PLACES = "x = x + self.positions"
BLOCKS = "        for block in self.blocks:\n            x = block(x)\n"
HEAD = 'return self.head(x[:, 0] if self.pool == "class" else x.mean(dim=1))'

vision_transformer = Exercise(
    name="VisionTransformer",
    reference=reference.VisionTransformer,
    banned=LIBRARY_ATTENTION,
    returns=("the output",),
    uses=("PatchEmbedding",),
    lines=[
        Line(
            name="patches",
            text="`encode` without a class token: patches, positions, all blocks",
            points=1.5,
            cases=_vit(("encode", "mean", 2), ("encode", "mean", 3)),
        ),
        Line(
            name="class_token",
            text="`encode` with a class token, which stands first and has its position",
            points=1.5,
            cases=_vit(("encode", "class", 2), ("encode", "class", 3)),
        ),
        Line(
            name="logits",
            text="logits of one vector: the class token's, or the mean",
            points=1.5,
            cases=_vit(("__call__", "class", 3), ("__call__", "mean", 2)),
        ),
        Line(
            name="gradients",
            text="the gradients by the images and all weights",
            points=0.5,
            cases=_vit(("__call__", "class", 2), ("__call__", "mean", 2), gradients=("0", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="class_token_without_position",
            says="Your class token has no position; put it before the patches first, then add the positions to all of "
            "them.",
            line="class_token",
            edits=[
                (
                    TOKEN,
                    "x = torch.cat([self.class_token.expand(len(x), -1, -1), x + self.positions[:, 1:]], dim=1)",
                ),
                (PLACES, 'x = x if self.pool == "class" else x + self.positions'),
            ],
        ),
        Misconception(
            name="positions_before_the_token",
            says="Your patches have the positions of the places before them, since the class token came later; put it "
            "before the patches first, then add the positions to all of them.",
            line="class_token",
            edits=[
                (
                    TOKEN,
                    "x = torch.cat([self.class_token.expand(len(x), -1, -1), x + self.positions[:, :-1]], dim=1)",
                ),
                (PLACES, 'x = x if self.pool == "class" else x + self.positions'),
            ],
        ),
        Misconception(
            name="class_token_last",
            says="Your class token stands behind the patches; it comes first.",
            line="class_token",
            edits=[(TOKEN, "x = torch.cat([x, self.class_token.expand(len(x), -1, -1)], dim=1)")],
        ),
        Misconception(
            name="class_token_zero",
            says="Your class token begins with zeros instead of what it has learned; put self.class_token there.",
            line="class_token",
            edits=[(TOKEN, "x = torch.cat([torch.zeros_like(x[:, :1]), x], dim=1)")],
        ),
        Misconception(
            name="positions_missing",
            says="Your model does not know where a patch stands; add self.positions before the first block.",
            line="patches",
            edits=[("        " + PLACES + "\n", "")],
        ),
        Misconception(
            name="positions_in_every_block",
            says="You add the positions again before each block; they are added once.",
            line="patches",
            edits=[("        " + PLACES + "\n", ""), ("x = block(x)", "x = block(x + self.positions)")],
        ),
        Misconception(
            name="causal_mask_left_on",
            says="Your patches see only those before them; all of an image is there from the start, so leave out the "
            "causal mask.",
            line="patches",
            edits=[("x = block(x)", "x = block(x, causal_mask(x.shape[1]))")],
        ),
        Misconception(
            name="only_the_last_block",
            says="Each of your blocks reads the embedded patches; a block reads what the block before it gave.",
            line="patches",
            edits=[(PLACES, "start = x = x + self.positions"), ("x = block(x)", "x = block(start)")],
        ),
        Misconception(
            name="one_block_only",
            says="Your sequence passes through the first block alone; it passes through all of them.",
            line="patches",
            edits=[(BLOCKS, "        x = self.blocks[0](x)\n")],
        ),
        Misconception(
            name="softmaxed",
            says="You return probabilities; return the logits. The loss takes the softmax, and taken twice it trains "
            "badly.",
            line="logits",
            edits=[(HEAD, HEAD + ".softmax(dim=-1)")],
        ),
        Misconception(
            name="last_vector_taken",
            says="Your head reads the last vector of the sequence, which is a patch; the class token stands first.",
            line="logits",
            edits=[("x[:, 0]", "x[:, -1]")],
        ),
        Misconception(
            name="mean_in_both_cases",
            says="You average over the whole sequence also where there is a class token; take its vector alone.",
            line="logits",
            edits=[(HEAD, "return self.head(x.mean(dim=1))")],
        ),
        Misconception(
            name="token_left_out_of_the_mean",
            says="You average over the patches where there is a class token; take the token's vector alone.",
            line="logits",
            edits=[(HEAD, 'return self.head(x[:, 1:].mean(dim=1) if self.pool == "class" else x.mean(dim=1))')],
        ),
        Misconception(
            name="first_patch_for_all",
            says="Without a class token your head reads the first patch alone; take the mean over all patches.",
            line="logits",
            edits=[(HEAD, "return self.head(x[:, 0])")],
        ),
        Misconception(
            name="largest_instead_of_mean",
            says="You take the largest value of each channel over the patches; take their mean.",
            line="logits",
            edits=[("x.mean(dim=1)", "x.amax(dim=1)")],
        ),
        Misconception(
            name="no_gradient",
            says="Your numbers are right, but no gradient reaches the patch embedding; leave out `.detach()` and "
            "`torch.no_grad()`.",
            line="gradients",
            edits=[("self.patch_embedding(images)", "self.patch_embedding(images).detach()")],
        ),
        Misconception(
            name="no_gradient_through_the_mean",
            says="Your numbers are right, but no gradient passes the mean over the patches; leave out `.detach()`.",
            line="gradients",
            edits=[("x.mean(dim=1)", "x.mean(dim=1).detach()")],
        ),
    ],
)


def _tables(*shapes: tuple[int, int, int, int]) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for attention of shapes (batch, num_layers, num_heads, length)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        return [
            Probe(
                target="attention_rollout",
                args=(random_tensor(rng, *shape, shape[-1], scale=2.0).softmax(dim=-1),),
            )
            for shape in shapes
        ]

    return cases


STEP = "rollout = (layer + identity) / 2 @ rollout"


def _rollout_with_share(share: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Rollout in which the share of each vector that is itself is not one half."""

    def rollout(weights: torch.Tensor) -> torch.Tensor:
        identity = torch.eye(weights.shape[-1], dtype=weights.dtype)
        mixing = torch.lerp(weights.mean(dim=2), identity, share)  # (batch, num_layers, length, length)
        return functools.reduce(lambda before, table: table @ before, mixing.unbind(dim=1))

    return rollout


def _matrix(*entries: float) -> str:
    """A table of 2 × 2 as the text writes it."""
    a, b, c, d = (f"{entry:g}".replace("0.", ".") for entry in entries)
    return rf"\begin{{bmatrix}} {a} & {b} \\ {c} & {d} \end{{bmatrix}}"


def _first_table(share: float) -> str:
    return rf"$\hat A_1 = {_matrix(share, 1 - share, 1 - share, share)}$"


def _second_table(share: float) -> str:
    return rf"$\hat A_2 = {_matrix(share, 1 - share, 0, 1)}$"


def _rollout_of_both(share: float) -> str:
    diagonal = share**2 + (1 - share) ** 2
    return rf"$R = \hat A_2 \hat A_1 = {_matrix(diagonal, 1 - diagonal, 1 - share, share)}$"


attention_rollout = Exercise(
    name="attention_rollout",
    reference=reference.attention_rollout,
    returns=("the rollout",),
    lines=[
        Line(
            name="one_block",
            text="one block: the mean of the heads, half of it the identity",
            points=1,
            cases=_tables((2, 1, 3, 5), (3, 1, 2, 4)),
        ),
        Line(
            name="blocks",
            text="several blocks, multiplied in the right order",
            points=2,
            cases=_tables((2, 3, 2, 5), (3, 2, 4, 6)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="residual_missing",
            says="You multiply the attention alone; half of each vector is itself, along the residual connection, so "
            "add the identity and halve.",
            line="one_block",
            edits=[(STEP, "rollout = layer @ rollout")],
        ),
        Misconception(
            name="not_halved",
            says="You add the identity and do not halve, so your rows sum to more than one.",
            line="one_block",
            edits=[("(layer + identity) / 2", "(layer + identity)")],
        ),
        Misconception(
            name="only_the_identity_halved",
            says="You halve the identity alone; the sum of both is halved, so mind the brackets.",
            line="one_block",
            edits=[("(layer + identity) / 2", "(layer + identity / 2)")],
        ),
        Misconception(
            name="halved_at_the_end",
            says="You halve once, behind the product, so your rows do not sum to one; each block's sum is halved.",
            line="blocks",
            edits=[("(layer + identity) / 2", "(layer + identity)"), ("    return rollout", "    return rollout / 2")],
        ),
        Misconception(
            name="heads_kept_apart",
            says="You follow each head through all blocks and average at the end; what one head brought, every head "
            "of the next block reads, so average the heads of each block first.",
            line="blocks",
            source="""def attention_rollout(weights):
    identity = torch.eye(weights.shape[-1])
    rollout = identity
    for layer in weights.unbind(dim=1):
        rollout = (layer + identity) / 2 @ rollout
    return rollout.mean(dim=1)
""",
        ),
        Misconception(
            name="order_reversed",
            says="You multiply in the order of the blocks; what happens first stands on the right of the product.",
            line="blocks",
            edits=[(STEP, "rollout = rollout @ (layer + identity) / 2")],
        ),
        Misconception(
            name="heads_summed",
            says="You add up the heads, so your rows do not sum to one; take their mean.",
            line="one_block",
            edits=[("mean(dim=2)", "sum(dim=2)")],
        ),
        Misconception(
            name="strongest_head",
            says="You take the largest weight among the heads, so your rows do not sum to one; take the heads' mean.",
            line="one_block",
            edits=[("mean(dim=2)", "amax(dim=2)")],
        ),
        Misconception(
            name="first_head_only",
            says="You follow the first head alone; take the mean of all heads.",
            line="one_block",
            edits=[("weights.mean(dim=2)", "weights[:, :, 0]")],
        ),
        Misconception(
            name="entries_multiplied",
            says="You multiply the tables entry by entry; the way leads over every vector between, which is the matrix "
            "product.",
            line="blocks",
            edits=[
                (STEP, "rollout = (layer + identity) / 2 if rollout is identity else (layer + identity) / 2 * rollout")
            ],
        ),
        Misconception(
            name="last_block_only",
            says="Your rollout is that of the last block; multiply all of them.",
            line="blocks",
            edits=[(STEP, "rollout = (layer + identity) / 2")],
        ),
        Misconception(
            name="averaged_over_blocks",
            says="You average over the blocks; what was seen in one block is passed on by the next, so multiply.",
            line="blocks",
            source="""def attention_rollout(weights):
    identity = torch.eye(weights.shape[-1])
    return (weights.mean(dim=(1, 2)) + identity) / 2
""",
        ),
        Misconception(
            name="one_residual_at_the_end",
            says="You add the identity once, to the product; each block has a residual connection of its own.",
            line="blocks",
            source="""def attention_rollout(weights):
    identity = torch.eye(weights.shape[-1])
    rollout = identity
    for layer in weights.mean(dim=2).unbind(dim=1):
        rollout = layer @ rollout
    return (rollout + identity) / 2
""",
        ),
        Misconception(
            name="turned_round",
            says="Your rows and columns are exchanged: row i must say from where output i came.",
            line="one_block",
            edits=[("    return rollout", "    return rollout.mT")],
        ),
    ],
    constants=[
        Constant(
            argument="share_of_the_residual_connection",
            plain=0.5,
            choices=[0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8],
            line="one_block",
            reference=_rollout_with_share,
            worked=[_first_table, _second_table, _rollout_of_both],
            code=[("(layer + identity) / 2", lambda s: f"({1 - s:g} * layer + {s:g} * identity)")],
            wording=[
                ("half of each vector is", lambda s: f"the share {s:g} of each vector is"),
                (r"\tfrac12\, \bar A_\ell + \tfrac12\, I", lambda s: rf"{1 - s:g}\, \bar A_\ell + {s:g}\, I"),
                ("(mean of its heads + identity) / 2", lambda s: f"{1 - s:g} · mean of its heads + {s:g} · identity"),
                (
                    "average the heads, and halve the sum with",
                    lambda s: f"average the heads, weigh them by {1 - s:g}, and add {s:g} times",
                ),
                ("half of it the identity", lambda s: f"the share {s:g} of it the identity"),
                (
                    "add the identity and halve.",
                    lambda s: f"add {s:g} times the identity to {1 - s:g} times the table.",
                ),
                (
                    "add the identity and do not halve",
                    lambda s: f"add the identity without the weights {1 - s:g} and {s:g}",
                ),
                ("the sum of both is halved, so mind the brackets", lambda s: f"the weights are {1 - s:g} and {s:g}"),
                ("each block's sum is halved", lambda s: f"each block has the weights {1 - s:g} and {s:g}"),
                (
                    "(weights.mean(dim=(1, 2)) + identity) / 2",
                    lambda s: f"{1 - s:g} * weights.mean(dim=(1, 2)) + {s:g} * identity",
                ),
                ("(rollout + identity) / 2", lambda s: f"{1 - s:g} * rollout + {s:g} * identity"),
            ],
        )
    ],
)

WORDS = {"vocab_size": 11, "d_model": 4, "num_heads": 2, "num_layers": 2, "dim_feedforward": 3}
CHANGED = 3  # the position that is changed where the future must not leak


def _caption(
    *settings: tuple[int, int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (batch, words, patches)."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for batch, n, m in settings:
            tokens = torch.from_numpy(rng.integers(1, WORDS["vocab_size"], size=(batch, n)))
            probes.append(
                Probe(
                    target="CaptionDecoder",
                    init=WORDS,
                    state=_weights(reference.CaptionDecoder(**WORDS), rng),
                    args=(tokens, random_tensor(rng, batch, m, WORDS["d_model"])),
                    gradients=gradients,
                )
            )
        return probes

    return cases


def _other_future(rng: np.random.Generator) -> list[Probe]:
    """The same call, with other words from one position on."""
    (first,) = _caption((2, 6, 4))(rng)
    tokens, patches = first.args
    other = tokens.clone()
    other[:, CHANGED:] = 1 + (other[:, CHANGED:] - 1 + int(rng.integers(1, 10))) % 10
    return [first, replace(first, args=(other, patches))]


EMBED = "x = self.embedding(tokens) + sinusoidal_positions(tokens.shape[1], self.d_model)"
MASK = "mask = causal_mask(tokens.shape[1])"
BLOCK = "x = block(x, patches, mask=mask)"

caption_decoder = Exercise(
    name="CaptionDecoder",
    reference=reference.CaptionDecoder,
    banned=LIBRARY_ATTENTION,
    returns=("the logits",),
    lines=[
        Line(
            name="logits",
            text="words, positions, all blocks over all patches, logits",
            points=2,
            cases=_caption((2, 5, 3), (3, 4, 7)),
        ),
        Line(
            name="future",
            text="no word sees a later one",
            points=1.5,
            cases=_other_future,
            properties=[Property("future_does_not_leak", {"position": CHANGED})],
        ),
        Line(
            name="gradients",
            text="the gradients by the patches and all weights",
            points=0.5,
            cases=_caption((2, 4, 3), gradients=("1", "state")),
        ),
    ],
    misconceptions=[
        Misconception(
            name="mask_missing",
            says="Your words see the words that they are to predict; give each block the causal mask.",
            line="future",
            edits=[(BLOCK, "x = block(x, patches)")],
        ),
        Misconception(
            name="mask_turned_round",
            says="Your words see the later words and not the earlier ones; the causal mask is True where key j <= "
            "query i.",
            line="future",
            edits=[(MASK, MASK + ".T")],
        ),
        Misconception(
            name="patches_masked",
            says="Your causal mask hides patches from the words; an image has no future, so the cross-attention needs "
            "no mask.",
            line="logits",
            edits=[
                (
                    BLOCK,
                    "seen = torch.ones(tokens.shape[1], patches.shape[1], dtype=torch.bool).tril()\n"
                    "            x = block(x, patches, mask=mask, memory_mask=seen)",
                )
            ],
        ),
        Misconception(
            name="words_look_at_words",
            says="Your cross-attention looks at the words again, so the image plays no part; its memory is the "
            "patches.",
            line="logits",
            edits=[(BLOCK, "x = block(x, x, mask=mask, memory_mask=mask)")],
        ),
        Misconception(
            name="mean_patch",
            says="Your words see one mean of all patches, so they cannot look at a place; hand over the patches "
            "themselves.",
            line="logits",
            edits=[(BLOCK, "x = block(x, patches.mean(dim=1, keepdim=True), mask=mask)")],
        ),
        Misconception(
            name="positions_missing",
            says="Your decoder does not know the order of the words; add the positions to the embeddings.",
            line="logits",
            edits=[(EMBED, "x = self.embedding(tokens)")],
        ),
        Misconception(
            name="positions_for_the_patches",
            says="You add positions to the patches; the encoder has told them where they stand, so use them as they "
            "are.",
            line="logits",
            edits=[
                (EMBED, EMBED + "\n        patches = patches + sinusoidal_positions(patches.shape[1], self.d_model)")
            ],
        ),
        Misconception(
            name="mask_the_other_way",
            says="Your mask is True where a word may not look, as in some layers of PyTorch; here True means that it "
            "may. The last word sees no word, and the softmax of an empty row is NaN.",
            line="logits",
            edits=[(MASK, "mask = ~causal_mask(tokens.shape[1])")],
        ),
        Misconception(
            name="mask_in_the_first_block_only",
            says="Only your first block has the causal mask; give it to every block.",
            line="future",
            edits=[(BLOCK, BLOCK + "\n            mask = None")],
        ),
        Misconception(
            name="positions_in_every_block",
            says="You add the positions again before each block; they are added once, to the embeddings.",
            line="logits",
            edits=[
                (EMBED, "x = self.embedding(tokens)"),
                (BLOCK, BLOCK.replace("(x,", "(x + sinusoidal_positions(tokens.shape[1], self.d_model),")),
            ],
        ),
        Misconception(
            name="embeddings_scaled",
            says="You multiply the embeddings by the root of d_model; here they are used as they are.",
            line="logits",
            edits=[("self.embedding(tokens) +", "self.embedding(tokens) * math.sqrt(self.d_model) +")],
        ),
        Misconception(
            name="only_the_last_block",
            says="Each of your blocks reads the embeddings; a block reads what the block before it gave.",
            line="logits",
            edits=[(MASK, "start = x\n        " + MASK), (BLOCK, "x = block(start, patches, mask=mask)")],
        ),
        Misconception(
            name="probabilities_returned",
            says="You return probabilities; return the logits, the loss takes the softmax.",
            line="logits",
            edits=[("return self.output(x)", "return self.output(x).softmax(dim=-1)")],
        ),
        Misconception(
            name="no_gradient",
            says="Your numbers are right, but no gradient reaches the patches, so the encoder would never learn; leave "
            "out `.detach()`.",
            line="gradients",
            edits=[(BLOCK, "x = block(x, patches.detach(), mask=mask)")],
        ),
    ],
)
