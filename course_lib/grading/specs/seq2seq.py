"""Assignment 02 · Encoder and decoder."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _seq2seq_batches as batches
from course_lib.grading.specs import _seq2seq_bleu as bleu
from course_lib.grading.specs import _seq2seq_decoding as decoding
from course_lib.grading.specs import _seq2seq_loss as loss
from course_lib.grading.specs import _seq2seq_networks as networks
from course_lib.grading.specs import _seq2seq_training as training

STAND_INS = {
    "shift_right": """
def shift_right(target, *, start=START):
    shifted = target.roll(1, dims=1)
    shifted[:, 0] = start
    return shifted
""",
    "masked_cross_entropy": """
def masked_cross_entropy(logits, target, *, pad=PAD):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad)
""",
    "Encoder": """
class Encoder(nn.Module):
    def __init__(self, *, vocab_size, d_model, hidden_size, num_layers=1):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model, hidden_size, num_layers, batch_first=True)

    def forward(self, source, lengths):
        packed = pack_padded_sequence(self.embedding(source), lengths, batch_first=True, enforce_sorted=False)
        states, last = self.rnn(packed)
        return pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])[0], last
""",
    "DecoderStep": """
class DecoderStep(nn.Module):
    def __init__(self, *, vocab_size, d_model, hidden_size, d_context, num_layers=1):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model + d_context, hidden_size, num_layers, batch_first=True)
        self.output = nn.Linear(hidden_size, vocab_size)

    def forward(self, token, state, context):
        x = torch.cat([self.embedding(token), context], dim=-1).unsqueeze(1)
        states, state = self.rnn(x, state)
        return self.output(states.squeeze(1)), state
""",
}

IN_ITS_OWN_ORDER = "A packed sequence has an order of its own; batch_first says something of tables only."
NO_RUN_IS_SHORTER = "The reference's last runs are then shorter than n words, and no run of the hypothesis equals one."
ORDER_OF_FACTORS = "The orders change places among themselves, and a product does not depend on its factors' order."

EQUIVALENT = {
    "Encoder": {
        f"self.rnn = nn.LSTM(d_model, hidden_size, num_layers{argument})": IN_ITS_OWN_ORDER
        for argument in ("", ", batch_first=False")
    },
    "corpus_bleu": {
        **{
            f"wanted = Counter((tuple(reference[i:i + n]) for i in range({last})))": NO_RUN_IS_SHORTER
            for last in ("len(reference) + n + 1", "len(reference) + 1", "len(reference) - n + 2")
        },
        "matches[n - 2] += (found & wanted).total()": ORDER_OF_FACTORS,
        "totals[n - 2] += found.total()": ORDER_OF_FACTORS,
    },
}

ASSIGNMENT = Assignment(
    slug="02-seq2seq",
    notebook="seq2seq",
    title="Encoder and decoder",
    exercises=[
        batches.build_vocabulary,
        batches.pad_batch,
        loss.shift_right,
        loss.masked_cross_entropy,
        networks.encoder,
        networks.decoder_step,
        decoding.greedy_decode,
        batches.reverse_source,
        bleu.corpus_bleu,
        training.train_translator,
    ],
    written=[Written(name="the_bottleneck", points=3)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
