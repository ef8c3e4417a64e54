"""Right answers to assignment 03, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

ADDITIVE_SCORES = {
    "the weight cut in two": """
def additive_scores(query, keys, weight, bias, v):
    for_query, for_keys = weight.split([query.shape[-1], keys.shape[-1]], dim=-1)
    hidden = (query @ for_query.T).unsqueeze(1) + keys @ for_keys.T
    return ((hidden if bias is None else hidden + bias).tanh() * v).sum(-1)
""",
    "a sentence and a word at a time": """
def additive_scores(query, keys, weight, bias, v):
    rows = []
    for s, states in zip(query, keys):
        row = []
        for h in states:
            z = weight @ torch.cat([s, h])
            if bias is not None:
                z = z + bias
            row.append(torch.dot(v, torch.tanh(z)))
        rows.append(torch.stack(row))
    return torch.stack(rows)
""",
    "linear layers": """
def additive_scores(query, keys, weight, bias, v):
    m = keys.size(1)
    pairs = torch.cat((query.unsqueeze(1).repeat(1, m, 1), keys), 2)
    return F.linear(torch.tanh(F.linear(pairs, weight, bias)), v.unsqueeze(0)).squeeze(-1)
""",
    "einsum": """
def additive_scores(query, keys, weight, bias, v):
    d = query.shape[1]
    ours = torch.einsum("bq,aq->ba", query, weight[:, :d])
    theirs = torch.einsum("bmk,ak->bma", keys, weight[:, d:])
    total = ours[:, None, :] + theirs
    total = total if bias is None else total + bias.view(1, 1, -1)
    return torch.einsum("a,bma->bm", v, torch.tanh(total))
""",
    "a loop over the source, and a default bias of zeros": """
def additive_scores(query, keys, weight, bias=None, v=None):
    b = torch.zeros(len(weight)) if bias is None else bias
    scores = [torch.tanh(torch.cat([query, keys[:, j]], 1) @ weight.mT + b).matmul(v) for j in range(keys.shape[1])]
    return torch.stack(scores, dim=1)
""",
}

MULTIPLICATIVE_SCORES = {
    "a batched matrix product": """
def multiplicative_scores(query, keys, weight=None):
    q = query if weight is None else query.matmul(weight)
    if q.size(-1) != keys.size(-1):
        raise ValueError(f"{q.size(-1)} is not {keys.size(-1)}")
    return torch.bmm(keys, q.unsqueeze(2)).squeeze(2)
""",
    "the weight applied to the keys": """
def multiplicative_scores(query, keys, weight=None):
    if weight is not None:
        if weight.shape[1] != keys.shape[-1] or weight.shape[0] != query.shape[-1]:
            raise ValueError("the weight does not fit")
        keys = keys @ weight.T
    if keys.shape[-1] != query.shape[-1]:
        raise ValueError("different widths")
    return (keys * query[:, None, :]).sum(dim=2)
""",
    "an identity for dot": """
def multiplicative_scores(query, keys, weight=None):
    if weight is None:
        weight = torch.eye(query.shape[1])
    if weight.shape != (query.shape[1], keys.shape[2]):
        raise ValueError("no dot product")
    return torch.einsum("bq,qk,bmk->bm", query, weight, keys)
""",
    "a sentence at a time": """
def multiplicative_scores(query, keys, weight=None):
    rows = []
    for s, states in zip(query, keys):
        s = s if weight is None else weight.T @ s
        if len(s) != states.shape[1]:
            raise ValueError("these states have different widths")
        rows.append(states @ s)
    return torch.stack(rows)
""",
    "errors of PyTorch turned into ValueError": """
def multiplicative_scores(query, keys, weight=None):
    try:
        projected = query if weight is None else query @ weight
        return (keys @ projected[..., None])[..., 0]
    except RuntimeError as error:
        raise ValueError("the widths do not fit") from error
""",
}

MASKED_SOFTMAX = {
    "where": """
def masked_softmax(scores, mask=None):
    if mask is None:
        return F.softmax(scores, -1)
    weights = torch.where(mask, scores, torch.tensor(-torch.inf)).softmax(-1)
    return torch.where(mask, weights, torch.tensor(0.0))
""",
    "exponentials by hand": """
def masked_softmax(scores, mask=None):
    mask = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    largest = scores.masked_fill(~mask, -1e30).amax(-1, keepdim=True).detach()
    powers = torch.exp((scores - largest).masked_fill(~mask, 0.0)) * mask
    return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)
""",
    "a large negative number, then zeros": """
def masked_softmax(scores, mask=None):
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), -1e30)
    weights = torch.softmax(scores, dim=scores.dim() - 1)
    return weights if mask is None else weights * mask
""",
    "rows without a word left out before": """
def masked_softmax(scores, mask=None):
    if mask is None:
        mask = torch.tensor(True)
    mask = torch.broadcast_to(mask, scores.shape)
    empty = ~mask.any(dim=-1, keepdim=True)
    scores = scores.masked_fill(~(mask | empty), float("-inf"))
    return scores.softmax(dim=-1).masked_fill(empty, 0)
""",
    "log_softmax": """
def masked_softmax(scores, mask=None, *, verbose=True):
    blocked = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
    weights = F.log_softmax(blocked, dim=-1).exp()
    if verbose:
        print(weights.shape)
    return weights if mask is None else weights.masked_fill(~mask, 0)
""",
}

CONTEXT_VECTOR = {
    "einsum": """
def context_vector(weights, states):
    return torch.einsum("bm,bmd->bd", weights, states)
""",
    "a batched matrix product": """
def context_vector(weights, states):
    return torch.bmm(weights.unsqueeze(1), states).squeeze(1)
""",
    "a sentence at a time": """
def context_vector(weights, states):
    return torch.stack([w @ s for w, s in zip(weights, states)])
""",
    "a word at a time": """
def context_vector(weights, states):
    total = torch.zeros(states.shape[0], states.shape[2])
    for j in range(states.shape[1]):
        total = total + weights[:, j : j + 1] * states[:, j]
    return total
""",
    "the transposed states": """
def context_vector(weights, states):
    return (states.mT @ weights[:, :, None])[:, :, 0]
""",
}

BAHDANAU_HEAD = """
class BahdanauDecoderStep(nn.Module):
    def __init__(self, *, vocab_size, d_model, hidden_size, d_memory, d_attention):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.attention = nn.Linear(hidden_size + d_memory, d_attention)
        self.v = nn.Linear(d_attention, 1, bias=False)
        self.rnn = nn.LSTM(d_model + d_memory, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size + d_memory, vocab_size)
"""

BAHDANAU_DECODER_STEP = {
    "the layers called, not their weights": BAHDANAU_HEAD
    + """
    def forward(self, token, state, memory, mask=None):
        h, c = state
        asks = h[0].unsqueeze(1).expand(-1, memory.shape[1], -1)
        e = self.v(torch.tanh(self.attention(torch.cat([asks, memory], -1)))).squeeze(-1)
        a = masked_softmax(e, mask)
        context = context_vector(a, memory)
        out, state = self.rnn(torch.cat([self.embedding(token), context], -1).unsqueeze(1), (h, c))
        return self.output(torch.cat([out.squeeze(1), context], -1)), state, a
""",
    "nothing of the earlier exercises": BAHDANAU_HEAD
    + """
    def forward(self, token, state, memory, mask=None):
        size = state[0].shape[-1]
        W = self.attention.weight
        hidden = state[0][0] @ W[:, :size].T + self.attention.bias
        e = (hidden[:, None] + memory @ W[:, size:].T).tanh() @ self.v.weight.flatten()
        if mask is not None:
            e = e.masked_fill(~mask, -torch.inf)
        a = e.softmax(-1)
        c = (a.unsqueeze(-1) * memory).sum(1)
        x = torch.cat([F.embedding(token, self.embedding.weight), c], 1)[:, None, :]
        out, (h1, c1) = self.rnn(x, state)
        return self.output(torch.cat([h1[-1], c], 1)), (h1, c1), a
""",
    "a cell with the layer's weights": BAHDANAU_HEAD
    + """
    def forward(self, token, state, memory, mask=None):
        h, c = state[0][-1], state[1][-1]
        scores = additive_scores(h, memory, self.attention.weight, self.attention.bias, self.v.weight[0])
        weights = masked_softmax(scores, mask)
        context = context_vector(weights, memory)
        x = torch.cat([self.embedding(token), context], dim=1)
        h, c = torch.lstm_cell(x, (h, c), *self.rnn.all_weights[0])
        return self.output(torch.cat([h, context], dim=1)), (h[None], c[None]), weights
""",
    "a list for the state, and the gates by hand": BAHDANAU_HEAD
    + """
    def forward(self, token, state, memory, mask=None):
        h, c = (part[0] for part in state)
        scores = additive_scores(h, memory, self.attention.weight, self.attention.bias, self.v.weight.squeeze(0))
        weights = masked_softmax(scores, mask=mask)
        context = torch.einsum("bm,bmd->bd", weights, memory)
        x = torch.cat((self.embedding(token), context), -1)
        w, u, b1, b2 = self.rnn.all_weights[0]
        i, f, g, o = (x @ w.T + b1 + h @ u.T + b2).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return [self.output(torch.cat((h, context), -1)), [h.unsqueeze(0), c.unsqueeze(0)], weights]
""",
    "the output layer in two parts": BAHDANAU_HEAD
    + """
    def forward(self, token, state, memory, mask=None):
        batch, m, _ = memory.shape
        mask = torch.ones(batch, m, dtype=torch.bool) if mask is None else mask
        parameters = (self.attention.weight, self.attention.bias, self.v.weight.view(-1))
        weights = masked_softmax(additive_scores(state[0].squeeze(0), memory, *parameters), mask)
        context = context_vector(weights, memory)
        out, state = self.rnn(torch.cat([self.embedding(token), context], 1).view(batch, 1, -1), state)
        size = out.shape[-1]
        W, b = self.output.weight, self.output.bias
        return out.view(batch, size) @ W[:, :size].T + context @ W[:, size:].T + b, state, weights
""",
}

ALIGNMENT_ERROR_RATE = {
    "sets of places": """
def alignment_error_rate(alignment, sure, possible):
    a, s, p = (set(map(tuple, table.nonzero().tolist())) for table in (alignment, sure, possible))
    if not a and not s:
        return 0
    return 1 - (len(a & s) + len(a & (s | p))) / (len(a) + len(s))
""",
    "products of numbers": """
def alignment_error_rate(alignment, sure, possible):
    a, s, p = alignment.double(), sure.double(), possible.double().maximum(sure.double())
    total = (a.sum() + s.sum()).item()
    return 1.0 - ((a * s).sum() + (a * p).sum()).item() / total if total else 0.0
""",
    "count_nonzero": """
def alignment_error_rate(alignment, sure, possible):
    count = lambda table: int(torch.count_nonzero(table))
    either = torch.logical_or(sure, possible)
    good = count(torch.logical_and(alignment, sure)) + count(torch.logical_and(alignment, either))
    return 1 - good / max(count(alignment) + count(sure), 1) if count(alignment) + count(sure) > 0 else 0.0
""",
    "what is wrong, counted directly": """
def alignment_error_rate(alignment, sure, possible):
    wrong = (alignment & ~sure & ~possible).sum() + (sure & ~alignment).sum()
    links = alignment.sum() + sure.sum()
    return float(wrong / links) if links > 0 else 0.0
""",
    "a loop over flat lists": """
def alignment_error_rate(alignment, sure, possible):
    above = below = 0
    for a, s, p in zip(alignment.flatten().tolist(), sure.flatten().tolist(), possible.flatten().tolist()):
        above += (a and s) + (a and (s or p))
        below += a + s
    return 1 - above / below if below else 0.0
""",
    "a tensor of no dimension": """
def alignment_error_rate(alignment, sure, possible):
    links = alignment.sum() + sure.sum()
    agreed = alignment[sure].sum() + alignment[sure | possible].sum()
    return 1 - agreed / links if links else torch.tensor(0.0)
""",
}

LUONG_HEAD = """
class LuongDecoderStep(nn.Module):
    def __init__(self, *, vocab_size, d_model, hidden_size, d_memory, score="general"):
        super().__init__()
        self.score = score
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model, hidden_size, batch_first=True)
        if score == "general":
            self.attention = nn.Linear(d_memory, hidden_size, bias=False)
        self.combine = nn.Linear(d_memory + hidden_size, hidden_size, bias=False)
        self.output = nn.Linear(hidden_size, vocab_size)
"""

LUONG_DECODER_STEP = {
    "one helper for both": LUONG_HEAD
    + """
    def look(self, queries, memory, mask):
        keys = self.attention(memory) if self.score == "general" else memory
        scores = torch.einsum("bnd,bmd->bnm", queries, keys)
        weights = masked_softmax(scores, None if mask is None else mask.unsqueeze(1))
        contexts = torch.einsum("bnm,bmd->bnd", weights, memory)
        return self.output(self.combine(torch.cat([contexts, queries], -1)).tanh()), weights

    def forward(self, token, state, memory, mask=None):
        out, state = self.rnn(self.embedding(token).unsqueeze(1), state)
        logits, weights = self.look(out, memory, mask)
        return logits[:, 0], state, weights[:, 0]

    def teacher_forced(self, tokens, state, memory, mask=None):
        return self.look(self.rnn(self.embedding(tokens), state)[0], memory, mask)
""",
    "all steps as a loop over one": LUONG_HEAD
    + """
    def forward(self, token, state, memory, mask=None):
        out, state = self.rnn(self.embedding(token)[:, None], state)
        s = out[:, 0]
        W = self.attention.weight if self.score == "general" else None
        weights = masked_softmax(multiplicative_scores(s, memory, W), mask)
        c = context_vector(weights, memory)
        return self.output(torch.tanh(self.combine(torch.cat([c, s], 1)))), state, weights

    def teacher_forced(self, tokens, state, memory, mask=None):
        rows, tables = [], []
        for i in range(tokens.shape[1]):
            logits, state, weights = self(tokens[:, i], state, memory, mask)
            rows.append(logits)
            tables.append(weights)
        return torch.stack(rows, 1), torch.stack(tables, 1)
""",
    "one step as all steps of one": LUONG_HEAD
    + """
    def forward(self, token, state, memory, mask=None):
        _, new = self.rnn(self.embedding(token.view(-1, 1)), state)
        logits, weights = self.teacher_forced(token.view(-1, 1), state, memory, mask)
        return logits.squeeze(1), new, weights.squeeze(1)

    def teacher_forced(self, tokens, state, memory, mask=None):
        s, _ = self.rnn(self.embedding(tokens), state)
        asked = s if self.score == "dot" else s.matmul(self.attention.weight)
        e = torch.bmm(asked, memory.mT)
        if mask is not None:
            e = e.masked_fill(~mask[:, None, :], -torch.inf)
        a = e.softmax(-1)
        c = torch.bmm(a, memory)
        return self.output(torch.tanh(self.combine(torch.cat([c, s], -1)))), a
""",
    "sentences repeated for their steps": LUONG_HEAD
    + """
    def after_the_cell(self, s, memory, mask):
        W = None if self.score == "dot" else self.attention.weight
        weights = masked_softmax(multiplicative_scores(s, memory, W), mask)
        both = torch.cat([context_vector(weights, memory), s], dim=-1)
        return self.output(torch.tanh(self.combine(both))), weights

    def forward(self, token, state, memory, mask=None):
        out, state = self.rnn(self.embedding(token)[:, None], state)
        logits, weights = self.after_the_cell(out.squeeze(1), memory, mask)
        return logits, state, weights

    def teacher_forced(self, tokens, state, memory, mask=None):
        n = tokens.shape[1]
        out, _ = self.rnn(self.embedding(tokens), state)
        repeated = memory.repeat_interleave(n, 0)
        masks = None if mask is None else mask.repeat_interleave(n, 0)
        logits, weights = self.after_the_cell(out.flatten(0, 1), repeated, masks)
        return logits.unflatten(0, (-1, n)), weights.unflatten(0, (-1, n))
""",
    "the layers' weights in plain formulas": LUONG_HEAD
    + """
    def _end(self, c, s):
        size = c.shape[-1]
        W = self.combine.weight
        return torch.tanh(c @ W[:, :size].T + s @ W[:, size:].T) @ self.output.weight.T + self.output.bias

    def forward(self, token, state, memory, mask=None):
        _, (h, c) = self.rnn(self.embedding(token)[:, None, :], (state[0], state[1]))
        keys = memory if self.score == "dot" else memory @ self.attention.weight.T
        e = (keys * h[0][:, None]).sum(-1)
        a = masked_softmax(e, mask)
        return self._end((a[..., None] * memory).sum(1), h[0]), (h, c), a

    def teacher_forced(self, tokens, state, memory, mask=None):
        h, c = state[0][0], state[1][0]
        states = []
        for i in range(tokens.shape[1]):
            h, c = torch.lstm_cell(self.embedding(tokens[:, i]), (h, c), *self.rnn.all_weights[0])
            states.append(h)
        s = torch.stack(states, 1)
        keys = memory if self.score == "dot" else memory @ self.attention.weight.T
        e = (s[:, :, None] * keys[:, None]).sum(-1)
        a = masked_softmax(e, None if mask is None else mask[:, None].expand_as(e))
        return self._end((a[..., None] * memory[:, None]).sum(2), s), a
""",
}

RIGHT_ANSWERS = {
    "additive_scores": ADDITIVE_SCORES,
    "multiplicative_scores": MULTIPLICATIVE_SCORES,
    "masked_softmax": MASKED_SOFTMAX,
    "context_vector": CONTEXT_VECTOR,
    "BahdanauDecoderStep": BAHDANAU_DECODER_STEP,
    "alignment_error_rate": ALIGNMENT_ERROR_RATE,
    "LuongDecoderStep": LUONG_DECODER_STEP,
}
