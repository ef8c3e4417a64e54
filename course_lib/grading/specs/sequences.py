"""Assignment 01 · Sequence data and word vectors."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _sequences_cells as cells
from course_lib.grading.specs import _sequences_text as text
from course_lib.grading.specs import _sequences_walks as walks

STAND_INS = {
    "one_hot": """
def one_hot(ids, *, vocab_size):
    if ids.numel() and (ids.min() < 0 or ids.max() >= vocab_size):
        raise ValueError(f"an id is not between 0 and {vocab_size - 1}")
    return torch.eye(vocab_size)[ids]
""",
    "embedding_lookup": """
def embedding_lookup(ids, weight):
    return F.embedding(ids, weight)
""",
    "gru_step": """
def gru_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    return torch.gru_cell(x, state, weight_ih, weight_hh, bias_ih, bias_hh)
""",
    "unroll": """
def unroll(step, x, state, lengths=None):
    many = isinstance(state, tuple)
    lengths = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
    outputs = x.new_zeros(*x.shape[:2], (state[0] if many else state).shape[-1])
    for time in range(x.shape[1]):
        running = (time < lengths).unsqueeze(-1)
        new = step(x[:, time], state)
        parts = [(~running) * old + running * fresh for old, fresh in (zip(state, new) if many else [(state, new)])]
        state = tuple(parts) if many else parts[0]
        outputs[:, time] = running * parts[0]
    return outputs, state
""",
}

EQUIVALENT = {
    "bag_of_words": {
        "ids = torch.tensor(document)": "An empty list becomes floating-point numbers, and there are none to compare.",
    },
    "tf_idf": {
        "idf = torch.where(document_frequency > 0, idf, 1.0)": "A word in no document has the count 0 everywhere, and "
        "0 times anything finite is 0.",
    },
    "BidirectionalReader": {
        "places = torch.where(time <= lengths[:, None], lengths[:, None] - 1 - time, time)": "The position behind the "
        "last word takes its input and its output from the last position, which is padding too.",
    },
}

ASSIGNMENT = Assignment(
    slug="01-sequences",
    notebook="sequences",
    title="Sequence data and word vectors",
    exercises=[
        text.one_hot,
        text.bag_of_words,
        text.tf_idf,
        text.embedding_lookup,
        cells.rnn_step,
        cells.lstm_step,
        cells.gru_step,
        walks.unroll,
        walks.bidirectional_reader,
    ],
    written=[Written(name="why_does_it_forget", points=3)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
