"""The round tables seat couples, and their answers are those that the guests ask for."""

import pytest
import torch

from course_lib.data.round_table import RoundTables, draw_tables


def draw(seed: int = 0, count: int = 50) -> RoundTables:
    return draw_tables(count=count, guests=8, num_colours=5, generator=torch.Generator().manual_seed(seed))


def test_each_name_sits_at_the_table_twice() -> None:
    assert (draw().names.sort(dim=-1).values == torch.arange(4).repeat_interleave(2)).all()


def test_a_partner_has_the_same_name_and_another_seat() -> None:
    tables = draw()
    assert (tables.names.gather(1, tables.partners) == tables.names).all()
    assert (tables.partners != torch.arange(8)).all()


def test_the_first_guest_sits_beside_the_last() -> None:
    assert draw().neighbours[0].tolist() == [7, 0, 1, 2, 3, 4, 5, 6]


def test_answers_are_the_colours_of_neighbour_and_partner() -> None:
    tables = RoundTables(
        names=torch.tensor([[0, 1, 0, 1]]),
        colours=torch.tensor([[5, 6, 7, 8]]),
        neighbours=torch.tensor([[3, 0, 1, 2]]),
        partners=torch.tensor([[2, 3, 0, 1]]),
    )
    assert tables.answers().tolist() == [[[8, 7], [5, 8], [6, 5], [7, 6]]]


def test_a_seed_fixes_the_tables_and_another_changes_them() -> None:
    first, again, other = draw(), draw(), draw(seed=1)
    assert torch.equal(first.names, again.names) and torch.equal(first.colours, again.colours)
    assert not torch.equal(first.names, other.names) and not torch.equal(first.colours, other.colours)


def test_every_seat_is_a_partner_equally_often() -> None:
    seats = draw(count=4000).partners[:, 0].bincount(minlength=8)[1:] / 4000
    assert ((seats - 1 / 7).abs() < 0.03).all()


@pytest.mark.parametrize("guests", [0, 7])
def test_guests_who_are_no_couples_are_refused(guests: int) -> None:
    with pytest.raises(ValueError, match="Guests come in couples"):
        draw_tables(count=1, guests=guests, num_colours=2, generator=torch.Generator())
