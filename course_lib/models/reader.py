"""A reader of sentences in both directions: embeddings, a GRU from the left, a GRU from the right.

Source: Schuster and Paliwal, "Bidirectional Recurrent Neural Networks", 1997.
Chapter: 01-sequences.
"""

import torch
from torch import Tensor, nn

from course_lib.models.recurrent import reverse_padded, unroll


class BidirectionalReader(nn.Module):
    """Each position's state from the left beside its state from the right: output_t = [h→_t  h←_t].

    Args:
        vocab_size: number of words.
        d_model: width of an embedding.
        hidden_size: width of the state of one direction.

    Attributes:
        embedding: nn.Embedding.
        forward_cell, backward_cell: nn.GRUCell, the steps of the two directions.

    Source: Schuster and Paliwal 1997.
    Chapter: 01-sequences.
    """

    def __init__(self, *, vocab_size: int, d_model: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.forward_cell = nn.GRUCell(d_model, hidden_size)
        self.backward_cell = nn.GRUCell(d_model, hidden_size)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read a padded batch of sentences.

        Args:
            ids: word ids, padded at the end, (batch, length).
            lengths: number of words of each sentence, (batch,).

        Returns:
            The states of both directions at each position, (batch, length, 2 * hidden_size), zeros at padding; and
            the last state of both, (batch, 2 * hidden_size). Forward stands first.
        """
        x = self.embedding(ids)  # (batch, length, d_model)
        start = x.new_zeros(x.shape[0], self.hidden_size)
        from_left, left_end = unroll(self.forward_cell, x, start, lengths)
        from_right, right_end = unroll(self.backward_cell, reverse_padded(x, lengths), start, lengths)
        outputs = torch.cat([from_left, reverse_padded(from_right, lengths)], dim=-1)
        return outputs, torch.cat([left_end, right_end], dim=-1)  # type: ignore[list-item]
