"""The vision transformer, and a decoder that describes an image: patches are the words of an image.

Read it from top to bottom: an image cut into patches and laid out as a sequence, the patches as vectors, the model,
attention followed through the blocks, the decoder whose words attend to patches. The blocks are those of
`course_lib.models.transformer`, without any mask on the image's side: a patch may look at all others.

Dosovitskiy et al. normalise before each sub-layer and use GELU (chapter 07 compares both orders); here the blocks of
chapter 05 serve, so that nothing is new but the patches.

Sources:
    Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2021, section 3.1.
    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020, section 3.
    Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual Attention", 2015, section 3.
    Vaswani et al., "Attention Is All You Need", 2017, section 3.

Chapter: 08-vit.
"""

from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from course_lib.models.attention import MultiHeadAttention, causal_mask
from course_lib.models.positions import sinusoidal_positions
from course_lib.models.seq2seq import greedy_decode, shift_right
from course_lib.models.transformer import DecoderBlock, EncoderBlock

Pool = Literal["class", "mean"]


def patchify(images: Tensor, *, patch_size: int) -> Tensor:
    """Cut images into square patches, and lay them out as a sequence of vectors.

    Patches come in reading order: along the first row of patches, then the next row. Inside a vector stand first all
    pixels of the first channel, row by row, then those of the second channel, as in the kernel of `nn.Conv2d`.

    Args:
        images: (batch, channels, height, width).
        patch_size: P, pixels on each side of a patch; divides height and width.

    Returns:
        (batch, height / P · width / P, channels · P²).

    Raises:
        ValueError: if patch_size does not divide height and width.

    Source: Dosovitskiy et al. 2021, section 3.1.
    Chapter: 08-vit.
    """
    _check_patches(images.shape[-2], images.shape[-1], patch_size)
    return rearrange(
        images,
        "batch channels (rows p) (columns q) -> batch (rows columns) (channels p q)",
        p=patch_size,
        q=patch_size,
    )


def unpatchify(patches: Tensor, *, patch_size: int, height: int, width: int) -> Tensor:
    """Put the patches of `patchify` back into their images.

    Args:
        patches: (batch, height / P · width / P, channels · P²).
        patch_size: P, pixels on each side of a patch.
        height, width: of the images, in pixels.

    Returns:
        (batch, channels, height, width).

    Raises:
        ValueError: if patch_size does not divide height and width, or these are not the patches of such images.

    Source: Dosovitskiy et al. 2021, section 3.1, backwards.
    Chapter: 08-vit.
    """
    _check_patches(height, width, patch_size)
    rows, columns = height // patch_size, width // patch_size
    if patches.shape[-2] != rows * columns or patches.shape[-1] % patch_size**2:
        raise ValueError(
            f"Images of {height} × {width} pixels have {rows * columns} patches with a multiple of {patch_size**2} "
            f"numbers each, not {tuple(patches.shape[-2:])}."
        )
    return rearrange(
        patches,
        "batch (rows columns) (channels p q) -> batch channels (rows p) (columns q)",
        rows=rows,
        p=patch_size,
        q=patch_size,
    )


def _check_patches(height: int, width: int, patch_size: int) -> None:
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise ValueError(
            f"Patches of {patch_size} × {patch_size} pixels do not fill an image of {height} × {width}: choose a "
            "size that divides both sides."
        )


def patch_weight_from_conv(weight: Tensor) -> Tensor:
    """Turn the kernel of a convolution with stride = kernel = patch into the weight of a linear layer on patches.

    The convolution at a patch and the linear layer on the flattened patch are the same sum of products.

    Args:
        weight: as in `nn.Conv2d`, (d_model, channels, P, P).

    Returns:
        As in `nn.Linear`, (d_model, channels · P²), for the order of `patchify`.

    Source: Dosovitskiy et al. 2021, section 3.1 (hybrid architecture).
    Chapter: 08-vit.
    """
    return weight.flatten(start_dim=1)


class PatchEmbedding(nn.Module):
    """One vector for each patch: cut, flatten, project.

    Args:
        in_channels: channels of the images, 1 for grey and 3 for colour.
        patch_size: P, pixels on each side of a patch.
        d_model: width of the vectors.

    Source: Dosovitskiy et al. 2021, section 3.1, equation 1.
    Chapter: 08-vit.
    """

    def __init__(self, *, in_channels: int, patch_size: int, d_model: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Linear(in_channels * patch_size**2, d_model)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, height / P · width / P, d_model).

        Raises:
            ValueError: if patch_size does not divide height and width.
        """
        return self.projection(patchify(images, patch_size=self.patch_size))


class VisionTransformer(nn.Module):
    """An image as a sequence of patches, read by encoder blocks without a mask.

        [class token;] E · patches + positions -> num_layers encoder blocks -> one vector -> linear

    The one vector is the class token's, a learned vector that stands before the patches and collects what it needs; or
    the mean of all patches'. Positions are learned, one for each vector, the class token's included. They start about
    as large as the projected patches, so that neither drowns the other.

    Args:
        image_size: height and width of the images in pixels.
        patch_size: pixels on each side of a patch; divides height and width.
        in_channels: channels of the images.
        num_classes: number of classes. None: there is no linear layer at the end, and `forward` gives the one vector.
        d_model: width of all vectors between the blocks.
        num_heads: number of heads, a divisor of d_model.
        num_layers: number of blocks.
        dim_feedforward: width inside the feed-forward networks.
        pool: where the one vector comes from. With "mean" there is no class token.
        positions: False leaves the positions out, for comparison: the patches are then a set without order.
        dropout: share set to zero in training, after the positions and after each sub-layer.

    Raises:
        ValueError: if patch_size does not divide the image's sides, or num_heads does not divide d_model.

    Source: Dosovitskiy et al. 2021, section 3.1, equations 1 to 4; the mean: appendix D.3.
    Chapter: 08-vit.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        patch_size: int,
        in_channels: int,
        num_classes: int | None,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dim_feedforward: int,
        pool: Pool = "class",
        positions: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        height, width = image_size
        _check_patches(height, width, patch_size)
        self.image_size = image_size
        self.pool = pool
        self.patch_embedding = PatchEmbedding(in_channels=in_channels, patch_size=patch_size, d_model=d_model)
        length = (height // patch_size) * (width // patch_size)
        if pool == "class":
            self.class_token = nn.Parameter(0.3 * torch.randn(1, 1, d_model))
            length += 1
        self.positions = nn.Parameter(0.3 * torch.randn(1, length, d_model)) if positions else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            EncoderBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward, dropout=dropout)
            for _ in range(num_layers)
        )
        self.head = nn.Identity() if num_classes is None else nn.Linear(d_model, num_classes)

    def encode(self, images: Tensor) -> Tensor:
        """One vector for each patch, each of which has seen the whole image.

        Args:
            images: (batch, channels, height, width).

        Returns:
            (batch, length, d_model), with pool "class" the class token's first.

        Raises:
            ValueError: if the images are not of the model's size.
        """
        x = self._embedded(images)  # (batch, length, d_model)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the classes, (batch, num_classes), of images (batch, channels, height, width).

        Raises:
            ValueError: if the images are not of the model's size.
        """
        return self._classified(self.encode(images))

    def attend(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and where each vector looked in each block and head.

        Args:
            images: (batch, channels, height, width).

        Returns:
            The logits (batch, num_classes) and the weights (batch, num_layers, num_heads, length, length).

        Raises:
            ValueError: if the images are not of the model's size.
        """
        x = self._embedded(images)
        kept = []
        for block in self.blocks:
            attention = block.get_submodule("self_attention")
            kept.append(attention(x, x, x)[1])  # the block does without them, so ask before it
            x = block(x)
        return self._classified(x), torch.stack(kept, dim=1)

    def _embedded(self, images: Tensor) -> Tensor:
        if tuple(images.shape[-2:]) != tuple(self.image_size):
            raise ValueError(
                f"This model reads images of {self.image_size[0]} × {self.image_size[1]} pixels, since each patch has "
                f"a learned position, but got shape {tuple(images.shape)}."
            )
        x = self.patch_embedding(images)  # (batch, patches, d_model)
        if self.pool == "class":
            x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        return self.dropout(x if self.positions is None else x + self.positions)

    def _classified(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> (batch, num_classes)."""
        return self.head(x[:, 0] if self.pool == "class" else x.mean(dim=1))


def attention_rollout(weights: Tensor) -> Tensor:
    """Follow attention through all blocks: how much of each input reached each output, if attention were all.

        R = Â_L · Â_(L-1) · … · Â_1,  Â_l = ½ (mean of the heads' A_l) + ½ I

    The identity stands for the residual connection, along which each vector keeps itself. Rows of R sum to 1.

    Args:
        weights: of all blocks, the first block's first, (batch, num_layers, num_heads, length, length).

    Returns:
        (batch, length, length): row i says from where output i came.

    Source: Abnar and Zuidema 2020, section 3 (attention rollout).
    Chapter: 08-vit.
    """
    mixing = (weights.mean(dim=2) + torch.eye(weights.shape[-1]).to(weights)) / 2  # (batch, layers, length, length)
    rollout = mixing[:, 0]
    for layer in mixing.unbind(dim=1)[1:]:
        rollout = layer @ rollout
    return rollout


class CaptionDecoder(nn.Module):
    """Writes about an image: words attend to the words before them and, across, to all patches.

        ids -> embedding + position -> num_layers decoder blocks, the memory is the patches -> linear

    Args:
        vocab_size: number of words.
        d_model: width of words and patches, even.
        num_heads: number of heads, a divisor of d_model.
        num_layers: number of decoder blocks.
        dim_feedforward: width inside the feed-forward networks.

    Raises:
        ValueError: if num_heads does not divide d_model.

    Source: Vaswani et al. 2017, section 3.1; Xu et al. 2015, section 3.1 (words that look at places of an image).
    Chapter: 08-vit.
    """

    def __init__(self, *, vocab_size: int, d_model: int, num_heads: int, num_layers: int, dim_feedforward: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.embedding.weight, std=0.5**0.5)
        self.blocks = nn.ModuleList(
            DecoderBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward)
            for _ in range(num_layers)
        )
        self.output = nn.Linear(d_model, vocab_size)

    def forward(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """The logits of the word after each of the given ones.

        Args:
            tokens: ids of the previous words, (batch, length), beginning with `<start>`.
            patches: one vector for each patch, (batch, num_patches, d_model).

        Returns:
            (batch, length, vocab_size); position i depends on tokens 0 .. i and all patches.
        """
        x = self.embedding(tokens)  # (batch, length, d_model)
        x = x + sinusoidal_positions(x.shape[1], x.shape[2]).to(x)
        mask = causal_mask(tokens.shape[1]).to(tokens.device)
        for block in self.blocks:
            x = block(x, patches, mask=mask)
        return self.output(x)

    def attend(self, tokens: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and where in the image each word looked.

        Args:
            tokens, patches: as for `forward`.

        Returns:
            The logits (batch, length, vocab_size) and the weights of the cross-attentions
            (batch, num_layers, num_heads, length, num_patches): row i belongs to the i-th word that is written.
        """
        kept: list[Tensor] = []

        def keep(layer: MultiHeadAttention, inputs: tuple[Tensor, ...], _output: object) -> None:
            _, weights = layer.forward(*inputs)  # the block did without them, so ask again
            assert weights is not None
            kept.append(weights)

        hooks = [block.get_submodule("cross_attention").register_forward_hook(keep) for block in self.blocks]
        try:
            logits = self(tokens, patches)
        finally:
            for hook in hooks:
                hook.remove()
        return logits, torch.stack(kept, dim=1)


class Captioner(nn.Module):
    """An image in, a sentence out: a vision transformer's patches, described by a caption decoder.

    Args:
        encoder: reads the image; only its `encode` is used.
        decoder: writes, d_model as the encoder's.

    Source: Xu et al. 2015, section 3, with a transformer on both sides.
    Chapter: 08-vit.
    """

    def __init__(self, encoder: VisionTransformer, decoder: CaptionDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """The logits of all words when the previous ones are given (teacher forcing).

        Args:
            images: (batch, channels, height, width).
            target: ids, (batch, length); each row ends with `<end>` and padding.

        Returns:
            (batch, length, vocab_size); position i predicts word i from the image and the words before it.
        """
        return self.decoder(shift_right(target), self.encoder.encode(images))

    def attend(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The logits as from `forward`, and the cross-attention as from `CaptionDecoder.attend`."""
        return self.decoder.attend(shift_right(target), self.encoder.encode(images))

    @torch.no_grad()
    def caption(self, images: Tensor, *, max_length: int) -> Tensor:
        """The greedy description: look once, then write one word at a time.

        Args:
            images: (batch, channels, height, width).
            max_length: the largest number of words, `<end>` included.

        Returns:
            Ids, (batch, steps), as from `greedy_decode`.
        """
        patches = self.encoder.encode(images)

        def step(token: Tensor, written: Tensor) -> tuple[Tensor, Tensor]:
            written = torch.cat([written, token[:, None]], dim=1)  # (batch, words so far)
            return self.decoder(written, patches)[:, -1], written

        no_words = torch.zeros(len(images), 0, dtype=torch.long, device=images.device)
        return greedy_decode(step, no_words, batch_size=len(images), max_length=max_length)
