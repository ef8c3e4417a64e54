"""Models of the course built a second time from PyTorch's own layers, with the same weights.

Tests hold our models to them in values and gradients; `run.py` compares the time of a training step.
"""

from typing import Any

import torch
from torch import Tensor, nn

from course_lib.models.attention import MultiHeadAttention, causal_mask
from course_lib.models.positions import sinusoidal_positions
from course_lib.models.seq2seq import shift_right
from course_lib.models.transformer import DecoderBlock, EncoderBlock, TransformerEncoderDecoder


def attention_weights(layer: MultiHeadAttention, name: str) -> dict[str, Tensor]:
    """The weights of our attention under the names of `torch.nn.MultiheadAttention`."""
    projections = (layer.query_projection, layer.key_projection, layer.value_projection)
    return {
        f"{name}.in_proj_weight": torch.cat([projection.weight for projection in projections]),
        f"{name}.in_proj_bias": torch.cat([projection.bias for projection in projections]),
        f"{name}.out_proj.weight": layer.output_projection.weight,
        f"{name}.out_proj.bias": layer.output_projection.bias,
    }


def layer_twin(block: EncoderBlock | DecoderBlock) -> Any:
    """PyTorch's encoder or decoder layer with the block's weights, for training and without dropout."""
    kind: Any = nn.TransformerDecoderLayer if isinstance(block, DecoderBlock) else nn.TransformerEncoderLayer
    linear = block.feed_forward.linear1
    layer = kind(linear.in_features, block.self_attention.num_heads, linear.out_features, dropout=0.0, batch_first=True)
    weights = attention_weights(block.self_attention, "self_attn")
    if isinstance(block, DecoderBlock):
        weights |= attention_weights(block.cross_attention, "multihead_attn")
    weights |= {key: value for key, value in block.state_dict().items() if key.startswith("norm")}
    layer.load_state_dict({key: value.detach() for key, value in (weights | block.feed_forward.state_dict()).items()})
    return layer.train()  # in evaluation PyTorch takes a fast path without gradients


class TranslatorTwin(nn.Module):
    """`TransformerEncoderDecoder` around `torch.nn.Transformer`, with copies of its weights.

    Args:
        model: what is built again.
    """

    def __init__(self, model: TransformerEncoderDecoder) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding.from_pretrained(model.source_embedding.weight.clone(), freeze=False)
        self.target_embedding = nn.Embedding.from_pretrained(model.target_embedding.weight.clone(), freeze=False)
        self.output = nn.Linear(model.output.in_features, model.output.out_features)
        self.output.load_state_dict(model.output.state_dict())
        self.encoder = nn.ModuleList(layer_twin(block) for block in model.encoder)  # type: ignore[arg-type]
        self.decoder = nn.ModuleList(layer_twin(block) for block in model.decoder)  # type: ignore[arg-type]

    def forward(self, source: Tensor, target: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The logits of all target words, as `TransformerEncoderDecoder` gives them."""
        memory = self.source_embedding(source)
        memory = memory + sinusoidal_positions(*memory.shape[1:])
        padding = None if lengths is None else torch.arange(source.shape[1]) >= lengths[:, None]
        for layer in self.encoder:
            memory = layer(memory, src_key_padding_mask=padding)
        x = self.target_embedding(shift_right(target))
        x = x + sinusoidal_positions(*x.shape[1:])
        future = ~causal_mask(x.shape[1])
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=future, memory_key_padding_mask=padding)
        return self.output(x)
