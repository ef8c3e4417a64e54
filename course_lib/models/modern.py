"""What changed in the transformer's block since 2017: where the norm stands, which norm, which network, and experts.

Read it from top to bottom: RMSNorm, the gated network, the pre-norm block, routing, the mixture of experts, the loss
that spreads the load, the numbers of parameters. A block is put together from parts: any norm, any network that acts
on each position alone. `BlockLM` puts any block into a language model, so that two blocks can be compared.

Sources:
    Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020, section 3 (where the norm stands).
    Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, section 4.
    Shazeer, "GLU Variants Improve Transformer", 2020, section 2.
    Shazeer et al., "Outrageously Large Neural Networks", 2017, section 2; Jiang et al., "Mixtral of Experts", 2024,
        section 2.1 (the softmax over the chosen experts alone).
    Fedus, Zoph and Shazeer, "Switch Transformers", 2022, section 2.2 (load balance).

Chapter: 07-modern-block.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.models.attention import MultiHeadAttention, causal_mask
from course_lib.models.shapes import check_width
from course_lib.models.transformer import FeedForward


def rms_norm(x: Tensor, weight: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Divide each vector by the root of its mean square: x / √(mean(x²) + ε) · weight. No mean is subtracted.

    Args:
        x: (..., d_model).
        weight: the learned scale of each channel, (d_model,).
        eps: ε, keeps the root away from zero.

    Returns:
        (..., d_model).

    Source: Zhang and Sennrich 2019, section 4, equation 4.
    Chapter: 07-modern-block.
    """
    mean_square = x.square().mean(dim=-1, keepdim=True)  # (..., 1)
    return x / (mean_square + eps).sqrt() * weight


class RMSNorm(nn.Module):
    """`rms_norm` with its scale kept as a parameter, which starts at 1.

    Args:
        d_model: width of the vectors.
        eps: ε, keeps the root away from zero.

    Source: Zhang and Sennrich 2019, section 4.
    Chapter: 07-modern-block.
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) -> (..., d_model)."""
        return rms_norm(x, self.weight, eps=self.eps)


class GELUFeedForward(FeedForward):
    """The network of 2017 with GELU in the place of the ReLU: GELU(x W_1 + b_1) W_2 + b_2.

    GELU(z) = z Φ(z), where Φ is the share of a standard normal distribution below z.

    Args:
        d_model, dim_feedforward: as for `FeedForward`.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    Chapter: 07-modern-block.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) -> (..., d_model).

        Raises:
            ValueError: if the width is not the layer's.
        """
        check_width(x, self.linear1, name="x")
        return self.linear2(F.gelu(self.linear1(x)))


class SwiGLU(nn.Module):
    """A network with a gate, on each position alone: (SiLU(x W_g) ⊙ x W_v) W_o, without biases.

    SiLU(z) = z σ(z). The gate says, channel by channel, how much of the value passes. Three matrices instead of two:
    with dim_feedforward = 8/3 · d_model it has as many parameters as two with 4 · d_model.

    Args:
        d_model: width of the inputs and of the output.
        dim_feedforward: width of gate and value.

    Source: Shazeer 2020, section 2, equation 6.
    Chapter: 07-modern-block.
    """

    def __init__(self, *, d_model: int, dim_feedforward: int) -> None:
        super().__init__()
        self.gate_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.value_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.output_projection = nn.Linear(dim_feedforward, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) -> (..., d_model).

        Raises:
            ValueError: if the width is not the layer's.
        """
        check_width(x, self.gate_projection, name="x")
        gate = F.silu(self.gate_projection(x))  # (..., dim_feedforward)
        return self.output_projection(gate * self.value_projection(x))


class PreNormBlock(nn.Module):
    """Norm, sub-layer, add: the norm stands inside the residual connection, and nothing stands on the path itself.

        x <- x + SelfAttention(Norm(x)),  x <- x + FeedForward(Norm(x))

    A sub-layer that gives zeros leaves its input as it is. The stack of blocks needs one more norm at its end.

    Args:
        d_model: width of the inputs and of the output.
        num_heads: number of heads, a divisor of d_model.
        dim_feedforward: width inside the feed-forward network.
        norm: makes a norm from a width, for instance `RMSNorm` or `torch.nn.LayerNorm`.
        feed_forward: makes a network from `d_model` and `dim_feedforward`, for instance `SwiGLU`, or
            `MixtureOfExperts` with its numbers of experts filled in by `functools.partial`.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Xiong et al. 2020, section 3.1, figure 1 (b).
    Chapter: 07-modern-block.
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        dim_feedforward: int,
        norm: Callable[[int], nn.Module] = RMSNorm,
        feed_forward: Callable[..., nn.Module] = SwiGLU,
    ) -> None:
        super().__init__()
        self.norm1 = norm(d_model)
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.norm2 = norm(d_model)
        self.feed_forward = feed_forward(d_model=d_model, dim_feedforward=dim_feedforward)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """One vector in, one vector out, for each position.

        Args:
            x: (batch, length, d_model).
            mask: boolean, broadcastable to (batch, num_heads, length, length), True where row may attend to
                column.

        Returns:
            (batch, length, d_model).

        Raises:
            ValueError: if the width is not the block's, or the mask does not fit.
        """
        normed = self.norm1(x)
        attended, _ = self.self_attention(normed, normed, normed, mask, need_weights=False)
        x = x + attended
        return x + self.feed_forward(self.norm2(x))


def top_k_routing(logits: Tensor, *, num_active: int) -> tuple[Tensor, Tensor]:
    """Choose the experts with the largest logits, and share the weight 1 among them by a softmax.

    The softmax over the chosen logits equals the softmax over all of them, divided by what the chosen ones hold.

    Args:
        logits: one for each expert, (..., num_experts).
        num_active: number A of experts that work, from 1 to num_experts.

    Returns:
        The weights (..., A), each row summing to 1, and the chosen experts (..., A), largest first.

    Raises:
        ValueError: if there are fewer experts than shall work, or none shall.

    Source: Jiang et al. 2024, section 2.1; Shazeer et al. 2017, section 2.1, without its noise.
    Chapter: 07-modern-block.
    """
    if not 1 <= num_active <= logits.shape[-1]:
        raise ValueError(
            f"Of {logits.shape[-1]} experts, num_active = {num_active} cannot work: choose 1 to {logits.shape[-1]}."
        )
    best, experts = logits.topk(num_active, dim=-1)  # (..., A) each
    return best.softmax(dim=-1), experts


class MixtureOfExperts(nn.Module):
    """Several networks of which each position uses a few: Σ w_e · Expert_e(x) over the chosen experts e.

    Each position is routed alone, by the logits x W_r. An expert computes only the positions that chose it, so the
    parameters grow with num_experts and the work with num_active.

    Args:
        d_model: width of the inputs and of the output.
        dim_feedforward: width inside each expert.
        num_experts: number E of experts, each a `SwiGLU`.
        num_active: number A of experts that work for a position.

    Source: Shazeer et al. 2017, section 2; Jiang et al. 2024, section 2.1.
    Chapter: 07-modern-block.
    """

    def __init__(self, *, d_model: int, dim_feedforward: int, num_experts: int, num_active: int) -> None:
        super().__init__()
        self.num_active = num_active
        self.router = nn.Linear(d_model, num_experts, bias=False)
        self.experts = nn.ModuleList(
            SwiGLU(d_model=d_model, dim_feedforward=dim_feedforward) for _ in range(num_experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_model) -> (..., d_model).

        Raises:
            ValueError: if the width is not the layer's, or fewer experts exist than shall work.
        """
        check_width(x, self.router, name="x")
        tokens = x.reshape(-1, x.shape[-1])  # (tokens, d_model)
        weights, chosen = top_k_routing(self.router(tokens), num_active=self.num_active)  # (tokens, A) each
        output = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            token, place = (chosen == number).nonzero(as_tuple=True)  # who chose this expert, and as which choice
            output = output.index_add(0, token, weights[token, place, None] * expert(tokens[token]))
        return output.view_as(x)


def load_balance_loss(logits: Tensor, *, num_active: int) -> Tensor:
    """How unevenly the experts are used: E Σ_e f_e P_e, 1 where all are used alike and up to E / A where not.

    f_e is the share of all choices that fell on expert e, and P_e the mean of its probability under the softmax over
    all experts. Counting has no gradient; the loss learns through P_e, which it lowers where f_e is large.

    Args:
        logits: the router's, (..., num_experts); all leading axes count as tokens.
        num_active: number A of experts that work for a token.

    Returns:
        0-dimensional.

    Raises:
        ValueError: if there are fewer experts than shall work, or none shall.

    Source: Fedus et al. 2022, section 2.2, equations 4 to 6, for A = 1 there.
    Chapter: 07-modern-block.
    """
    num_experts = logits.shape[-1]
    _, chosen = top_k_routing(logits, num_active=num_active)
    share = F.one_hot(chosen, num_experts).to(logits).reshape(-1, num_experts).mean(dim=0)  # (num_experts,)
    probability = logits.softmax(dim=-1).reshape(-1, num_experts).mean(dim=0)  # (num_experts,)
    return num_experts * (share * probability).sum()


@contextmanager
def recorded_routing(model: nn.Module) -> Iterator[list[Tensor]]:
    """Keep what the routers say while a model runs, for `load_balance_loss` and for a look at the load.

        with recorded_routing(model) as logits:
            output = model(x)

    Args:
        model: holds any number of `MixtureOfExperts`.

    Yields:
        A list that gets the router's logits, (tokens, num_experts), each time a mixture runs.

    Chapter: 07-modern-block.
    """
    logits: list[Tensor] = []
    hooks = [
        module.router.register_forward_hook(lambda _layer, _inputs, output: logits.append(output))
        for module in model.modules()
        if isinstance(module, MixtureOfExperts)
    ]
    try:
        yield logits
    finally:
        for hook in hooks:
            hook.remove()


def parameter_counts(*, d_model: int, dim_feedforward: int, num_experts: int, num_active: int) -> dict[str, int]:
    """Count the parameters of a `PreNormBlock` with RMSNorm and a mixture of experts, all and those at work.

        attention 4 (d² + d),  norms 2 d,  router E d,  each expert 3 d h

    Args:
        d_model: width d.
        dim_feedforward: width h inside each expert.
        num_experts: number E of experts.
        num_active: number A of experts that work for a token.

    Returns:
        "total", and "active": those that the output of one token depends on.

    Raises:
        ValueError: if there are fewer experts than shall work, or none shall.

    Source: Jiang et al. 2024, section 2.1 (sparse and active parameter counts).
    Chapter: 07-modern-block.
    """
    if not 1 <= num_active <= num_experts:
        raise ValueError(f"Of {num_experts} experts, num_active = {num_active} cannot work: choose 1 to {num_experts}.")
    always = 4 * (d_model**2 + d_model) + 2 * d_model + num_experts * d_model
    expert = 3 * d_model * dim_feedforward
    return {"total": always + num_experts * expert, "active": always + num_active * expert}


class BlockLM(nn.Module):
    """A decoder-only language model around any block: what is compared is the block.

        ids -> embedding + learned position -> blocks under a causal mask -> last norm -> linear

    Args:
        vocab_size: number of different tokens.
        d_model: width of the vectors between the blocks.
        num_layers: number of blocks.
        max_length: the longest text.
        block: makes one block, called as `block(x, mask)`.
        norm: makes the last norm from a width; `torch.nn.Identity` for blocks that end with one.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3 (the last norm).
    Chapter: 07-modern-block.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        d_model: int,
        num_layers: int,
        max_length: int,
        block: Callable[[], nn.Module],
        norm: Callable[[int], nn.Module] = RMSNorm,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(max_length, d_model)
        self.blocks = nn.ModuleList(block() for _ in range(num_layers))
        self.norm = norm(d_model)
        self.output = nn.Linear(d_model, vocab_size)

    def forward(self, ids: Tensor) -> Tensor:
        """The logits of every next token.

        Args:
            ids: tokens, (batch, length), length at most max_length.

        Returns:
            (batch, length, vocab_size); position t has seen tokens 0 .. t.

        Raises:
            ValueError: if the text is longer than max_length.
        """
        length, room = ids.shape[1], self.position_embedding.num_embeddings
        if length > room:
            raise ValueError(f"This model knows {room} positions, but a text of {length} tokens was given.")
        x = self.token_embedding(ids) + self.position_embedding.weight[:length]
        mask = causal_mask(length).to(x.device)
        for block in self.blocks:
            x = block(x, mask)
        return self.output(self.norm(x))
