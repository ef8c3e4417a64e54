"""Guests round a table: a task that needs two look-ups at once, one by position and one by content.

Couples sit at a round table in random order. Every guest wears a hat of a random colour and asks two things:
which colour does my left neighbour wear, and which colour does my partner wear? The neighbour is found by
where it sits, the partner by the name that the two share.

Chapter: 04-attention-layer.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RoundTables:
    """Several tables of guests. Every field is (count, guests), int64.

    Attributes:
        names: the name of each guest, 0 .. guests / 2 - 1; two at a table share each name.
        colours: the colour of each guest's hat.
        neighbours: the seat of each guest's left neighbour; the first guest's is the last.
        partners: the seat of each guest's partner.
    """

    names: Tensor
    colours: Tensor
    neighbours: Tensor
    partners: Tensor

    def answers(self) -> Tensor:
        """The colours asked for: (count, guests, 2), the left neighbour's first, the partner's second."""
        seats = torch.stack((self.neighbours, self.partners), dim=-1)  # (count, guests, 2)
        return self.colours[:, :, None].expand_as(seats).gather(1, seats)


def draw_tables(*, count: int, guests: int, num_colours: int, generator: torch.Generator) -> RoundTables:
    """Seat couples at random, with a random hat for each guest.

    Args:
        count: number of tables.
        guests: guests at each table, even.
        num_colours: number of colours of hats.
        generator: the source of chance.

    Returns:
        The tables, each field (count, guests).

    Raises:
        ValueError: if the number of guests is odd or not positive.

    Chapter: 04-attention-layer.
    """
    if guests < 2 or guests % 2:
        raise ValueError(f"Guests come in couples, but there are {guests} at a table: choose a positive even number.")
    order = torch.rand(count, guests, generator=generator).argsort(dim=-1)
    names = order // 2
    colours = torch.randint(num_colours, (count, guests), generator=generator)
    seats = order.argsort(dim=-1)  # (count, guests), where each person sits
    partners = seats.gather(-1, order ^ 1)  # persons 2c and 2c + 1 are a couple
    neighbours = (torch.arange(guests) - 1) % guests
    return RoundTables(names, colours, neighbours.expand(count, guests), partners)
