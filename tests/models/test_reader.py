"""The reader in both directions against torch.nn.GRU on packed sequences, and its indifference to padding."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_lib.models.reader import BidirectionalReader

LENGTHS = torch.tensor([3, 6, 1, 4])


def make() -> tuple[BidirectionalReader, torch.Tensor]:
    torch.manual_seed(0)
    reader = BidirectionalReader(vocab_size=9, d_model=5, hidden_size=3).double()
    return reader, torch.randint(9, (4, 6))


def test_the_reader_equals_pytorchs_bidirectional_gru_on_packed_sequences() -> None:
    reader, ids = make()
    theirs = nn.GRU(5, 3, batch_first=True, bidirectional=True).double()
    for suffix, cell in (("", reader.forward_cell), ("_reverse", reader.backward_cell)):
        for name, weight in cell.named_parameters():
            theirs.get_parameter(f"{name}_l0{suffix}").data.copy_(weight.data)
    packed = pack_padded_sequence(reader.embedding(ids), LENGTHS, batch_first=True, enforce_sorted=False)
    their_outputs, their_last = theirs(packed)
    outputs, summary = reader(ids, LENGTHS)
    torch.testing.assert_close(outputs, pad_packed_sequence(their_outputs, batch_first=True)[0])
    torch.testing.assert_close(summary, torch.cat([their_last[0], their_last[1]], dim=-1))


def test_what_stands_in_the_padding_changes_nothing() -> None:
    reader, ids = make()
    other = torch.where(torch.arange(6) < LENGTHS[:, None], ids, (ids + 4) % 9)
    assert not torch.equal(ids, other)
    for first, second in zip(reader(ids, LENGTHS), reader(other, LENGTHS), strict=True):
        assert torch.equal(first, second)
