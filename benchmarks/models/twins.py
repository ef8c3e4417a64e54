"""Models of the course built a second time from PyTorch's own layers, with the same weights.

Tests hold our models to them in values and gradients; `run.py` compares the time of a training step.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.models.attention import MultiHeadAttention, causal_mask
from course_lib.models.modern import GELUFeedForward, PreNormBlock, SwiGLU
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


def pre_norm_twin(block: PreNormBlock) -> nn.TransformerEncoderLayer:
    """PyTorch's encoder layer with the norm first, with the weights of a block of LayerNorms and two linear layers."""
    linear = block.feed_forward.linear1
    assert isinstance(linear, nn.Linear)
    layer = nn.TransformerEncoderLayer(
        linear.in_features,
        block.self_attention.num_heads,
        linear.out_features,
        dropout=0.0,
        activation="gelu" if isinstance(block.feed_forward, GELUFeedForward) else "relu",
        batch_first=True,
        norm_first=True,
    )
    weights = attention_weights(block.self_attention, "self_attn")
    weights |= {key: value for key, value in block.state_dict().items() if key.startswith("norm")}
    layer.load_state_dict({key: value.detach() for key, value in (weights | block.feed_forward.state_dict()).items()})
    return layer.train()


class ModernTwin(nn.Module):
    """A `PreNormBlock` of RMSNorm and SwiGLU from PyTorch's attention, norms and linear layers, with its weights.

    Args:
        block: what is built again.
    """

    def __init__(self, block: PreNormBlock) -> None:
        super().__init__()
        network = block.feed_forward
        assert isinstance(network, SwiGLU)
        d_model, width = network.gate_projection.in_features, network.gate_projection.out_features
        self.norm1, self.norm2 = nn.RMSNorm(d_model, eps=1e-5), nn.RMSNorm(d_model, eps=1e-5)
        self.self_attn = nn.MultiheadAttention(d_model, block.self_attention.num_heads, batch_first=True)
        self.gate_projection = nn.Linear(d_model, width, bias=False)
        self.value_projection = nn.Linear(d_model, width, bias=False)
        self.output_projection = nn.Linear(width, d_model, bias=False)
        weights = attention_weights(block.self_attention, "self_attn") | network.state_dict()
        weights |= {key: value for key, value in block.state_dict().items() if key.startswith("norm")}
        self.load_state_dict({key: value.detach() for key, value in weights.items()})

    def forward(self, x: Tensor, src_mask: Tensor | None = None) -> Tensor:
        """(batch, length, d_model) -> the same; src_mask as PyTorch's layer takes it, True where nothing is seen."""
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed, normed, attn_mask=src_mask, need_weights=False)[0]
        normed = self.norm2(x)
        return x + self.output_projection(F.silu(self.gate_projection(normed)) * self.value_projection(normed))


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
