"""Right answers to assignment 01, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

ONE_HOT = {
    "rows of an identity matrix": """
def one_hot(ids, *, vocab_size):
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError("not a word")
    return torch.eye(vocab_size)[ids]
""",
    "scatter into zeros, in float32": """
def one_hot(ids, *, vocab_size):
    for i in ids.flatten().tolist():
        if not 0 <= i < vocab_size:
            raise ValueError(f"{i} is not an id")
    zeros = torch.zeros(*ids.shape, vocab_size, dtype=torch.float32)
    return zeros.scatter(-1, ids.unsqueeze(-1), 1.0)
""",
    "a list of lists": """
def one_hot(ids, *, vocab_size):
    if torch.any(ids < 0) or torch.any(ids > vocab_size - 1):
        raise ValueError("an id is outside the vocabulary")
    rows = [[1.0 if place == i else 0.0 for place in range(vocab_size)] for i in ids.reshape(-1).tolist()]
    return torch.tensor(rows).reshape(tuple(ids.shape) + (vocab_size,))
""",
    "numpy": """
import numpy as np

def one_hot(ids, *, vocab_size):
    ids = ids.numpy()
    if (ids < 0).any() or (ids >= vocab_size).any():
        raise ValueError("unknown word")
    return torch.from_numpy((np.expand_dims(ids, -1) == np.arange(vocab_size)).astype(np.float64))
""",
    "advanced indexing of a flat table": """
def one_hot(ids: torch.Tensor, *, vocab_size: int, check: bool = True) -> torch.Tensor:
    flat = ids.flatten()
    if check and not bool(((flat >= 0) & (flat < vocab_size)).all()):
        raise ValueError("ids run from 0 to vocab_size - 1")
    table = torch.zeros(len(flat), vocab_size)
    table[torch.arange(len(flat)), flat] = 1
    return table.unflatten(0, ids.shape) if ids.dim() else table[0]
""",
}

BAG_OF_WORDS = {
    "bincount": """
def bag_of_words(documents, *, vocab_size):
    return torch.stack(
        [torch.bincount(torch.tensor(d, dtype=torch.int64), minlength=vocab_size).double() for d in documents]
    )
""",
    "two loops": """
def bag_of_words(documents, *, vocab_size):
    counts = torch.zeros(len(documents), vocab_size)
    for row, document in enumerate(documents):
        for word in document:
            counts[row, word] += 1
    return counts
""",
    "a counter": """
from collections import Counter

def bag_of_words(documents, *, vocab_size):
    bags = [Counter(document) for document in documents]
    return torch.tensor([[float(bag[word]) for word in range(vocab_size)] for bag in bags])
""",
    "index_add": """
def bag_of_words(documents, *, vocab_size):
    rows = []
    for document in documents:
        ids = torch.as_tensor(document, dtype=torch.long)
        rows.append(torch.zeros(vocab_size).index_add(0, ids, torch.ones(len(ids))))
    return torch.vstack(rows)
""",
    "list.count, float32": """
def bag_of_words(documents, *, vocab_size):
    table = [[list(document).count(word) for word in range(vocab_size)] for document in documents]
    print(table)
    return torch.tensor(table, dtype=torch.float32)
""",
    "one-hot vectors, with an exception for the empty document": """
def bag_of_words(documents, *, vocab_size):
    def row(document):
        if not document:
            return torch.zeros(vocab_size)
        return sum(one_hot(torch.tensor(word), vocab_size=vocab_size) for word in document)

    return torch.stack([row(document) for document in documents], 0)
""",
}

TF_IDF = {
    "a safe denominator": """
def tf_idf(counts):
    df = (counts > 0).sum(0)
    return counts * torch.log(len(counts) / df.clamp(min=1)) * (df > 0)
""",
    "nan_to_num of the infinite": """
def tf_idf(counts):
    df = torch.count_nonzero(counts, dim=0).to(counts.dtype)
    idf = math.log(counts.size(0)) - torch.log(df)
    return counts * idf.nan_to_num(posinf=0.0)
""",
    "loops and math.log": """
def tf_idf(counts):
    n, words = counts.shape
    result = torch.zeros_like(counts)
    for word in range(words):
        df = sum(1 for document in range(n) if counts[document, word] > 0)
        for document in range(n):
            if df:
                result[document, word] = counts[document, word] * math.log(n / df)
    return result
""",
    "base 2, changed back": """
def tf_idf(counts):
    present = counts.clamp(max=1).sum(dim=0)
    base_2 = torch.log2(counts.shape[0] / torch.where(present == 0, torch.ones(()), present))
    return torch.where(present == 0, 0.0, counts * base_2 * math.log(2))
""",
    "numpy with a warning": """
import numpy as np

def tf_idf(counts):
    array = counts.numpy()
    df = (array > 0).sum(axis=0)
    idf = np.log(array.shape[0] / df)
    idf[df == 0] = 0
    return torch.from_numpy(array * idf)
""",
    "minus the log of the share": """
def tf_idf(counts: torch.Tensor) -> torch.Tensor:
    share = (counts != 0).double().mean(0, keepdim=True)
    return torch.xlogy(-counts, share.masked_fill(share == 0, 1))
""",
}

EMBEDDING_LOOKUP = {
    "one-hot times the table": """
def embedding_lookup(ids, weight):
    return one_hot(ids, vocab_size=weight.shape[0]) @ weight
""",
    "index_select": """
def embedding_lookup(ids, weight):
    return weight.index_select(0, ids.flatten()).reshape(*ids.shape, weight.shape[1])
""",
    "gather": """
def embedding_lookup(ids, weight):
    places = ids.reshape(-1, 1).expand(-1, weight.size(1))
    return weight.gather(0, places).view(ids.shape + weight.shape[1:])
""",
    "a loop and stack": """
def embedding_lookup(ids, weight):
    rows = torch.stack([weight[i] for i in ids.flatten().tolist()])
    return rows.reshape(*ids.shape, -1)
""",
    "einsum with the identity": """
def embedding_lookup(ids, weight):
    vectors = torch.eye(len(weight))[ids]
    return torch.einsum("...v,vd->...d", vectors, weight)
""",
    "take_along_dim": """
def embedding_lookup(ids: torch.Tensor, weight: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.take_along_dim(weight, ids.reshape(-1, 1), 0).reshape(*ids.shape, weight.shape[-1])
""",
}

RNN_STEP = {
    "linear layers": """
def rnn_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    return torch.tanh(F.linear(x, weight_ih, bias_ih) + F.linear(state, weight_hh, bias_hh))
""",
    "one product of both": """
def rnn_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    both = torch.cat([x, state], dim=-1)
    weight = torch.cat([weight_ih, weight_hh], dim=1)
    return (both @ weight.mT + (bias_ih + bias_hh)).tanh()
""",
    "einsum": """
def rnn_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    total = torch.einsum("bi,hi->bh", x, weight_ih) + torch.einsum("bj,hj->bh", state, weight_hh)
    return torch.tanh(total + bias_ih + bias_hh)
""",
    "columns, a sequence at a time": """
def rnn_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    rows = []
    for vector, h in zip(x, state):
        rows.append(torch.tanh(weight_ih @ vector + bias_ih + weight_hh @ h + bias_hh))
    return torch.stack(rows)
""",
    "tanh from a sigmoid": """
def rnn_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    z = torch.addmm(bias_ih, x, weight_ih.t()) + torch.addmm(bias_hh, state, weight_hh.t())
    return 2 * torch.sigmoid(2 * z) - 1
""",
}

LSTM_STEP = {
    "linear layers and split": """
def lstm_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    h, c = state
    gates = F.linear(x, weight_ih, bias_ih) + F.linear(h, weight_hh, bias_hh)
    i, f, g, o = torch.split(gates, c.shape[-1], dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
""",
    "each gate with its own weights": """
def lstm_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    h, c = state
    size = h.size(1)
    parts = []
    for k in range(4):
        rows = slice(k * size, (k + 1) * size)
        parts.append(x @ weight_ih[rows].T + h @ weight_hh[rows].T + bias_ih[rows] + bias_hh[rows])
    new = torch.addcmul(parts[1].sigmoid() * c, parts[0].sigmoid(), parts[2].tanh())
    return [parts[3].sigmoid() * new.tanh(), new]
""",
    "reshaped to an axis of gates": """
def lstm_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    gates = x @ weight_ih.T + state[0] @ weight_hh.T + (bias_ih + bias_hh)
    i, f, g, o = gates.reshape(len(x), 4, -1).unbind(1)
    c = f.sigmoid().mul(state[1]) + i.sigmoid().mul(g.tanh())
    return o.sigmoid() * c.tanh(), c
""",
    "a sequence at a time": """
def lstm_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    def one(x, h, c):
        z = weight_ih @ x + bias_ih + weight_hh @ h + bias_hh
        n = len(h)
        i, f, g, o = z[:n], z[n : 2 * n], z[2 * n : 3 * n], z[3 * n :]
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    pairs = [one(*parts) for parts in zip(x, *state)]
    return torch.stack([h for h, _ in pairs]), torch.stack([c for _, c in pairs])
""",
    "sigmoids in one call, float32 noise on stderr": """
import sys

def lstm_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    (h, c) = state
    gates = torch.cat([x, h], 1) @ torch.cat([weight_ih, weight_hh], 1).T + bias_ih + bias_hh
    size = h.shape[1]
    soft = 1 / (1 + torch.exp(-gates))
    print("gates", soft.mean().item(), file=sys.stderr)
    c = soft[:, size : 2 * size] * c + soft[:, :size] * gates[:, 2 * size : 3 * size].tanh()
    h = soft[:, -size:] * torch.tanh(c)
    return h, c
""",
}

GRU_STEP = {
    "linear layers": """
def gru_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    a, b, c = F.linear(x, weight_ih, bias_ih).chunk(3, -1)
    d, e, f = F.linear(state, weight_hh, bias_hh).chunk(3, -1)
    r, z = torch.sigmoid(a + d), torch.sigmoid(b + e)
    n = torch.tanh(c + r * f)
    return n + z * (state - n)
""",
    "lerp": """
def gru_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    size = state.shape[-1]
    wx = x @ weight_ih.T + bias_ih
    wh = state @ weight_hh.T + bias_hh
    r = torch.sigmoid(wx[:, :size] + wh[:, :size])
    z = torch.sigmoid(wx[:, size : 2 * size] + wh[:, size : 2 * size])
    n = torch.tanh(wx[:, 2 * size :] + r * wh[:, 2 * size :])
    return torch.lerp(n, state, z)
""",
    "each gate with its own weights": """
def gru_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    (wr, wz, wn), (ur, uz, un) = weight_ih.chunk(3), weight_hh.chunk(3)
    (br, bz, bn), (cr, cz, cn) = bias_ih.chunk(3), bias_hh.chunk(3)
    r = (x @ wr.T + br + state @ ur.T + cr).sigmoid()
    z = (x @ wz.T + bz + state @ uz.T + cz).sigmoid()
    n = (x @ wn.T + bn + r * (state @ un.T + cn)).tanh()
    return z * state + (1 - z) * n
""",
    "both gates in one sigmoid": """
def gru_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    size = state.shape[1]
    wx, wh = x @ weight_ih.mT + bias_ih, torch.addmm(bias_hh, state, weight_hh.mT)
    gates = torch.sigmoid(wx[:, : 2 * size] + wh[:, : 2 * size])
    reset, update = gates.split(size, dim=1)
    candidate = torch.tanh(wx[:, -size:] + reset * wh[:, -size:])
    return candidate * (1 - update) + state * update
""",
    "einsum over an axis of gates": """
def gru_step(x, state, weight_ih, weight_hh, bias_ih, bias_hh):
    wx = torch.einsum("bi,ghi->gbh", x, weight_ih.unflatten(0, (3, -1))) + bias_ih.view(3, 1, -1)
    wh = torch.einsum("bi,ghi->gbh", state, weight_hh.unflatten(0, (3, -1))) + bias_hh.view(3, 1, -1)
    r, z = torch.sigmoid(wx[0] + wh[0]), torch.sigmoid(wx[1] + wh[1])
    return (1 - z) * torch.tanh(wx[2] + r * wh[2]) + z * state
""",
}

UNROLL = {
    "multiplied by the mask": """
def unroll(step, x, state, lengths=None):
    batch, length = x.shape[:2]
    if lengths is None:
        lengths = torch.tensor([length] * batch)
    many = isinstance(state, (tuple, list))
    outputs = []
    for t in range(length):
        keep = (t < lengths).double().unsqueeze(1)
        new = step(x[:, t], state)
        if many:
            state = tuple(keep * n + (1 - keep) * s for n, s in zip(new, state))
            outputs.append(keep * state[0])
        else:
            state = keep * new + (1 - keep) * state
            outputs.append(keep * state)
    return torch.stack(outputs, 1), state
""",
    "a sequence at a time, without any mask": """
def unroll(step, x, state, lengths=None):
    pair = isinstance(state, tuple)
    rows, lasts = [], []
    for b in range(len(x)):
        own = tuple(s[b : b + 1] for s in state) if pair else state[b : b + 1]
        length = x.shape[1] if lengths is None else int(lengths[b])
        hs = []
        for t in range(length):
            own = step(x[b : b + 1, t], own)
            hs.append(own[0] if pair else own)
        hs += [torch.zeros_like(hs[0])] * (x.shape[1] - length)
        rows.append(torch.cat(hs))
        lasts.append(own)
    last = tuple(torch.cat(parts) for parts in zip(*lasts)) if pair else torch.cat(lasts)
    return torch.stack(rows), last
""",
    "all steps first, the last valid one picked afterwards": """
def unroll(step, x, state, lengths=None):
    pair = isinstance(state, tuple)
    states = []
    for inputs in x.unbind(1):
        state = step(inputs, state)
        states.append(state if pair else (state,))
    stacked = [torch.stack(parts, 1) for parts in zip(*states)]
    if lengths is None:
        lengths = torch.full((x.size(0),), x.size(1))
    last = tuple(part[torch.arange(len(x)), lengths - 1] for part in stacked)
    valid = torch.arange(x.size(1)) < lengths[:, None]
    return stacked[0].masked_fill(~valid[..., None], 0.0), last if pair else last[0]
""",
    "masked_fill and a list for the result": """
def unroll(step, x, state, lengths=None):
    def h_of(s):
        return s[0] if isinstance(s, tuple) else s

    outputs = []
    for t in range(x.size(1)):
        new = step(x[:, t, :], state)
        if lengths is None:
            state = new
            outputs.append(h_of(state))
            continue
        over = (lengths <= t).view(-1, 1)
        if isinstance(new, tuple):
            state = tuple(a.masked_fill(over, 0) + b.masked_fill(~over, 0) for a, b in zip(new, state))
        else:
            state = new.masked_fill(over, 0) + state.masked_fill(~over, 0)
        outputs.append(h_of(state).masked_fill(over, 0))
    return [torch.stack(outputs, dim=1), state]
""",
    "shrinking batches, longest first": """
def unroll(step, x, state, lengths=None):
    pair = isinstance(state, tuple)
    parts = list(state) if pair else [state]
    lengths = torch.full((len(x),), x.shape[1]) if lengths is None else lengths
    order = lengths.argsort(descending=True)
    back = order.argsort()
    x, lengths, parts = x[order], lengths[order], [part[order] for part in parts]
    outputs = []
    for t in range(x.shape[1]):
        n = int((lengths > t).sum())
        if n:
            now = tuple(part[:n] for part in parts)
            new = step(x[:n, t], now if pair else now[0])
            new = new if pair else (new,)
            parts = [torch.cat([a, b[n:]]) for a, b in zip(new, parts)]
        outputs.append(torch.cat([parts[0][:n], torch.zeros_like(parts[0][n:])]))
    parts = tuple(part[back] for part in parts)
    return torch.stack(outputs, 1)[back], parts if pair else parts[0]
""",
}

_READER = """
class BidirectionalReader(nn.Module):
    def __init__(self, *, vocab_size, d_model, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.forward_cell = nn.GRUCell(d_model, hidden_size)
        self.backward_cell = nn.GRUCell(d_model, hidden_size)
"""

BIDIRECTIONAL_READER = {
    "a sentence at a time": _READER
    + """
    def forward(self, ids, lengths):
        outputs, summaries = [], []
        for sentence, length in zip(ids, lengths.tolist()):
            x = self.embedding(sentence[:length])[None]
            start = torch.zeros(1, self.hidden_size)
            there, last_there = unroll(self.forward_cell, x, start)
            back, last_back = unroll(self.backward_cell, x.flip(1), start)
            both = torch.cat([there, back.flip(1)], -1)[0]
            outputs.append(F.pad(both, (0, 0, 0, ids.shape[1] - length)))
            summaries.append(torch.cat([last_there, last_back], -1)[0])
        return torch.stack(outputs), torch.stack(summaries)
""",
    "loops over positions, the backward one from the end": _READER
    + """
    def forward(self, ids, lengths):
        x = self.embedding(ids)
        batch, length, _ = x.shape
        h = x.new_zeros(batch, self.hidden_size)
        g = torch.zeros_like(h)
        left, right = [], [None] * length
        for t in range(length):
            valid = (t < lengths)[:, None]
            h = torch.where(valid, self.forward_cell(x[:, t], h), h)
            left.append(h * valid)
        for t in reversed(range(length)):
            valid = (t < lengths)[:, None]
            g = torch.where(valid, self.backward_cell(x[:, t], g), g)
            right[t] = g * valid
        return torch.cat([torch.stack(left, 1), torch.stack(right, 1)], 2), torch.cat([h, g], 1)
""",
    "my own step with the cell's weights": _READER
    + """
    def forward(self, ids, lengths):
        x = embedding_lookup(ids, self.embedding.weight)
        ends = lengths[:, None] - 1 - torch.arange(ids.shape[1])
        turn = ends.remainder(lengths[:, None]).unsqueeze(-1)
        valid = (ends >= 0).unsqueeze(-1)

        def run(cell, x):
            weights = dict(cell.named_parameters())
            return unroll(lambda x, h: gru_step(x, h, **weights), x, torch.zeros(len(x), self.hidden_size), lengths)

        there, h = run(self.forward_cell, x)
        back, g = run(self.backward_cell, x.gather(1, turn.expand_as(x)))
        back = back.gather(1, turn.expand_as(back)) * valid
        return torch.cat([there, back], -1), torch.cat([h, g], -1)
""",
    "the whole row turned and rolled": _READER
    + """
    def forward(self, ids, lengths):
        def turn(x):
            rows = [row.flip(0).roll(int(n), 0) for row, n in zip(x, lengths)]
            return torch.stack(rows)

        x = self.embedding(ids)
        zero = torch.zeros(x.size(0), self.hidden_size).to(x)
        a, first = unroll(self.forward_cell, x, zero, lengths)
        b, second = unroll(self.backward_cell, turn(x), zero, lengths)
        return torch.cat((a, turn(b)), dim=2), torch.hstack((first, second))
""",
    "positions clamped, and the summary picked from the outputs": _READER
    + """
    def forward(self, ids, lengths):
        x = self.embedding(ids)
        rows, time = torch.arange(len(ids))[:, None], torch.arange(ids.size(1))[None]
        turned = (lengths[:, None] - 1 - time).clamp(min=0)
        start = torch.zeros(len(ids), self.hidden_size)
        there = unroll(self.forward_cell, x, start, lengths)[0]
        back = unroll(self.backward_cell, x[rows, turned], start, lengths)[0][rows, turned]
        back = back.masked_fill((time >= lengths[:, None])[..., None], 0.0)
        last = (torch.arange(len(ids)), lengths - 1)
        return torch.cat([there, back], -1), torch.cat([there[last], back[:, 0]], -1)
""",
}

RIGHT_ANSWERS = {
    "one_hot": ONE_HOT,
    "bag_of_words": BAG_OF_WORDS,
    "tf_idf": TF_IDF,
    "embedding_lookup": EMBEDDING_LOOKUP,
    "rnn_step": RNN_STEP,
    "lstm_step": LSTM_STEP,
    "gru_step": GRU_STEP,
    "unroll": UNROLL,
    "BidirectionalReader": BIDIRECTIONAL_READER,
}
