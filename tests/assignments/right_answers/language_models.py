"""Right answers to assignment 06, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

CHAR_TOKENIZER = {
    "a dictionary made once": """
class CharTokenizer:
    def __init__(self, text):
        self.characters = "".join(sorted(set(text)))
        self.place = dict(zip(self.characters, range(len(self.characters))))

    def encode(self, text):
        try:
            return torch.tensor([self.place[c] for c in text]).long()
        except KeyError as error:
            raise ValueError(f"unknown: {error}") from None

    def decode(self, ids):
        return "".join(map(self.characters.__getitem__, ids))
""",
    "list.index, which raises the right error itself": """
class CharTokenizer:
    def __init__(self, text):
        self.characters = sorted({*text})

    def encode(self, text):
        return torch.LongTensor([self.characters.index(c) for c in text])

    def decode(self, ids):
        text = ""
        for i in ids:
            text += self.characters[int(i)]
        return text
""",
    "code points and searchsorted": """
class CharTokenizer:
    def __init__(self, text):
        self.codes = torch.tensor([ord(c) for c in text]).unique()
        self.characters = [chr(code) for code in self.codes]

    def encode(self, text):
        codes = torch.tensor([ord(c) for c in text], dtype=torch.long)
        if not torch.isin(codes, self.codes).all():
            raise ValueError("a character is not in the vocabulary")
        return torch.searchsorted(self.codes, codes)

    def decode(self, ids):
        return "".join(chr(code) for code in self.codes[ids].tolist())
""",
    "numpy": """
import numpy as np

class CharTokenizer:
    def __init__(self, text):
        self.characters = np.unique(list(text))

    def encode(self, text):
        ids = []
        for c in text:
            found = np.flatnonzero(self.characters == c)
            if len(found) != 1:
                raise ValueError(c)
            ids.append(found[0])
        return torch.from_numpy(np.array(ids, dtype=np.int64))

    def decode(self, ids):
        return "".join(self.characters[ids.numpy()])
""",
    "a second dictionary for the way back, int32": """
class CharTokenizer:
    def __init__(self, text: str, *, verbose: bool = True) -> None:
        self.characters = list(dict.fromkeys(sorted(text)))
        self.to_id = {}
        self.to_character = {}
        for i, c in enumerate(self.characters):
            self.to_id[c], self.to_character[i] = i, c
        if verbose:
            print(len(self.characters), "characters")

    def encode(self, text):
        for c in text:
            if c not in self.to_id:
                raise ValueError(f"{c!r} is unknown")
        return torch.tensor([self.to_id[c] for c in text], dtype=torch.int32)

    def decode(self, ids):
        return str.join("", [self.to_character[i] for i in ids.tolist()])
""",
}

GET_BATCH = {
    "one index for all windows": """
def get_batch(ids, *, batch_size, length, generator):
    if ids.numel() <= length:
        raise ValueError("too short")
    start = torch.randint(0, ids.numel() - length, (batch_size, 1), generator=generator)
    place = start + torch.arange(length)
    return ids[place], ids[place + 1]
""",
    "all windows, of which rows are drawn": """
def get_batch(ids, *, batch_size, length, generator):
    if len(ids) < length + 1:
        raise ValueError(f"{len(ids)} tokens are too few")
    windows = ids.unfold(0, length + 1, 1)
    chosen = windows[torch.randint(len(windows), (batch_size,), generator=generator)]
    return chosen[:, :-1], chosen[:, 1:]
""",
    "multinomial over the places": """
def get_batch(ids, *, batch_size, length, generator):
    places = ids.size(0) - length
    if not places > 0:
        raise ValueError
    starts = torch.multinomial(torch.ones(places), batch_size, replacement=True, generator=generator)
    rows = [ids[s : s + length + 1] for s in starts.tolist()]
    rows = torch.stack(rows)
    return rows[:, 0:length].contiguous(), rows[:, 1 : length + 1].contiguous()
""",
    "uniform numbers, rounded down": """
def get_batch(ids, *, batch_size, length, generator):
    places = len(ids) - length
    if places <= 0:
        raise ValueError(f"no window of {length} fits")
    starts = (torch.rand(batch_size, generator=generator) * places).floor().long().clamp(max=places - 1)
    inputs, targets = [], []
    for s in starts:
        inputs.append(ids[s : s + length])
        targets.append(ids[s + 1 : s + 1 + length])
    return torch.vstack(inputs), torch.vstack(targets)
""",
    "Python's own chance, seeded from the generator; slow": """
import random

def get_batch(ids, *, batch_size, length, generator):
    n = len(ids)
    if n - length < 1:
        raise ValueError("the text is too short")
    chance = random.Random(int(torch.randint(2**60, (1,), generator=generator)))
    starts = [chance.randrange(n - length) for _ in range(batch_size)]
    text = ids.tolist()
    return [torch.tensor([text[s + shift : s + shift + length] for s in starts]) for shift in (0, 1)]
""",
}

_MODEL = """
class TransformerLM(nn.Module):
    def __init__(self, *, vocab_size, d_model, num_heads, num_layers, dim_feedforward, max_length):
        super().__init__()
        self.max_length = max_length
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(max_length, d_model)
        self.blocks = nn.ModuleList(
            Block(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward) for _ in range(num_layers)
        )
        self.output = nn.Linear(d_model, vocab_size)
"""

TRANSFORMER_LM = {
    "positions sliced from the table, a mask of its own": _MODEL
    + """
    def forward(self, ids):
        n = ids.size(1)
        if n > self.max_length:
            raise ValueError("too long")
        x = self.token_embedding(ids) + self.position_embedding.weight[:n]
        time = torch.arange(n)
        for block in self.blocks:
            x = block(x, time[None, :] <= time[:, None])
        return self.output(x)
""",
    "F.embedding and F.linear": _MODEL
    + """
    def forward(self, ids):
        batch, n = ids.shape
        if self.position_embedding.num_embeddings < n:
            raise ValueError(f"{n} tokens, {self.max_length} positions")
        x = F.embedding(ids, self.token_embedding.weight)
        x = x + F.embedding(torch.arange(n).expand(batch, n), self.position_embedding.weight)
        for i in range(len(self.blocks)):
            x = self.blocks[i](x, causal_mask(n)[None, None])
        return F.linear(x, self.output.weight, self.output.bias)
""",
    "one text at a time": _MODEL
    + """
    def forward(self, ids):
        if ids.shape[-1] > self.max_length:
            raise ValueError("this text is too long")
        texts = []
        for text in ids:
            x = self.token_embedding(text)[None]
            x = x + self.position_embedding(torch.arange(len(text)))[None]
            for block in self.blocks:
                x = block(x, causal_mask(len(text)))
            texts.append(self.output(x)[0])
        return torch.stack(texts)
""",
    "one prefix at a time, slow but right": _MODEL
    + """
    def forward(self, ids):
        import warnings

        warnings.warn("slow but right")
        if ids.shape[1] > self.max_length:
            raise ValueError("more tokens than positions")
        last = []
        for stop in range(1, ids.shape[1] + 1):
            x = self.token_embedding(ids[:, :stop]) + self.position_embedding.weight[None, :stop]
            for block in self.blocks:
                x = block(x, causal_mask(stop))
            last.append(self.output(x[:, -1]))
        return torch.stack(last, 1)
""",
    "one-hot products, and a reduce over the blocks": _MODEL
    + """
    def forward(self, ids, mask=None):
        from functools import reduce

        n, dtype = ids.shape[1], self.output.weight.dtype
        if n > self.max_length:
            raise ValueError(n)
        words = F.one_hot(ids, self.token_embedding.num_embeddings).to(dtype) @ self.token_embedding.weight
        places = torch.eye(self.max_length, dtype=dtype)[:n] @ self.position_embedding.weight
        mask = torch.ones(n, n).triu(1) == 0 if mask is None else mask
        return self.output(reduce(lambda x, block: block(x, mask), self.blocks, words + places))
""",
}

PERPLEXITY = {
    "cross_entropy": """
def perplexity(logits, targets):
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)).exp()
""",
    "logsumexp": """
def perplexity(logits, targets):
    chosen = torch.take_along_dim(logits, targets.unsqueeze(-1), -1).squeeze(-1)
    return torch.exp((logits.logsumexp(-1) - chosen).mean())
""",
    "one-hot targets and powers of two": """
def perplexity(logits, targets):
    chosen = (F.one_hot(targets, logits.size(-1)) * F.log_softmax(logits, dim=-1)).sum(-1)
    return 2 ** (-(chosen / math.log(2)).sum() / targets.numel())
""",
    "loops and a Python number": """
def perplexity(logits, targets):
    rows = logits.reshape(-1, logits.shape[-1])
    total = 0.0
    for row, target in zip(rows, targets.flatten()):
        largest = row.max()
        total += float((row - largest).exp().sum().log() + largest - row[target])
    return math.exp(total / len(rows))
""",
    "nll_loss with the vocabulary on the second axis": """
def perplexity(logits, targets):
    log_p = torch.log_softmax(logits, -1).flatten(end_dim=-2)
    return torch.exp(F.nll_loss(log_p, targets.flatten(), reduction="sum") / targets.numel())
""",
}

TEMPERATURE_SOFTMAX = {
    "the largest subtracted by hand": """
def temperature_softmax(logits, *, temperature=1.0):
    if not temperature > 0:
        raise ValueError("too cold")
    x = logits / temperature
    weights = torch.exp(x - x.max(dim=-1, keepdim=True).values)
    return weights / weights.sum(dim=-1, keepdim=True)
""",
    "log_softmax, then exp": """
def temperature_softmax(logits, *, temperature=1.0):
    if temperature <= 0.0:
        raise ValueError(f"T = {temperature}")
    return torch.log_softmax(logits.mul(1 / temperature), -1).exp()
""",
    "logsumexp": """
def temperature_softmax(logits, *, temperature=1.0):
    assert isinstance(temperature, float)
    if temperature == 0 or temperature < 0:
        raise ValueError("temperature must be positive")
    x = logits / temperature
    return (x - torch.logsumexp(x, dim=-1, keepdim=True)).exp()
""",
    "a sharpened softmax, with logarithms": """
def temperature_softmax(logits, *, temperature=1.0):
    if temperature <= 0:
        raise ValueError
    return F.softmax(F.log_softmax(logits, dim=-1) / temperature, dim=-1)
""",
    "numpy, row by row": """
import numpy as np

def temperature_softmax(logits, *, temperature=1.0, dtype=np.float64):
    if temperature <= 0:
        raise ValueError("above 0, please")
    rows = logits.numpy().astype(dtype).reshape(-1, logits.shape[-1]) / temperature
    out = np.stack([np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in rows])
    return torch.from_numpy(out.reshape(tuple(logits.shape)))
""",
}

TOP_K_FILTER = {
    "scatter of the k largest": """
def top_k_filter(logits, *, k):
    if k < 1:
        raise ValueError("nothing would stay")
    values, places = torch.topk(logits, min(k, logits.size(-1)), dim=-1)
    return torch.full_like(logits, float("-inf")).scatter(-1, places, values)
""",
    "ranks": """
def top_k_filter(logits, *, k):
    if k <= 0:
        raise ValueError(k)
    rank = logits.argsort(dim=-1, descending=True).argsort(dim=-1)
    return torch.where(rank < k, logits, torch.tensor(-math.inf))
""",
    "sorted, and the rest filled": """
def top_k_filter(logits, *, k):
    if not k >= 1:
        raise ValueError("k must be at least one")
    ordered, places = logits.sort(-1, descending=True)
    ordered[..., k:] = -torch.inf
    return torch.zeros_like(logits).scatter(-1, places, ordered)
""",
    "how many are larger": """
def top_k_filter(logits, *, k):
    if k < 1:
        raise ValueError("k < 1")
    larger = (logits[..., None, :] > logits[..., :, None]).sum(-1)
    out = logits.clone()
    out[larger >= k] = -float("inf")
    return out
""",
    "kthvalue, float32": """
def top_k_filter(logits, *, k):
    if k < 1:
        raise ValueError("choose k >= 1")
    n = logits.shape[-1]
    if k >= n:
        return logits.float()
    border = logits.kthvalue(n - k + 1, dim=-1, keepdim=True).values
    return logits.masked_fill(~(logits >= border), -torch.inf).float()
""",
}

TOP_P_FILTER = {
    "what is likelier, without sorting": """
def top_p_filter(logits, *, p):
    if not 0 < p <= 1:
        raise ValueError("p is a probability")
    q = torch.softmax(logits, -1)
    before = ((q[..., None, :] > q[..., :, None]) * q[..., None, :]).sum(-1)
    return torch.where(before < p, logits, -torch.inf)
""",
    "the cut shifted by one": """
def top_p_filter(logits, *, p):
    if p > 1 or p <= 0:
        raise ValueError(p)
    ordered, places = torch.sort(logits, dim=-1, descending=True)
    drop = torch.cumsum(F.softmax(ordered, -1), -1) >= p
    drop = torch.cat([torch.zeros_like(drop[..., :1]), drop[..., :-1]], -1)
    if p == 1:
        drop = torch.zeros_like(drop)
    drop = torch.zeros_like(drop).scatter(-1, places, drop)
    return logits.masked_fill(drop, -torch.inf)
""",
    "ascending, from the other end": """
def top_p_filter(logits, *, p):
    if not (p > 0 and p <= 1):
        raise ValueError("0 < p <= 1")
    ordered, places = logits.sort(-1)
    up_to = ordered.softmax(-1).cumsum(-1)
    stays = up_to > 1 - p + 1e-12
    stays[..., -1] = True
    back = stays.gather(-1, places.argsort(-1))
    return torch.where(back | torch.tensor(p == 1), logits, torch.full_like(logits, -torch.inf))
""",
    "row by row with a loop": """
def top_p_filter(logits, *, p):
    if p <= 0 or p > 1:
        raise ValueError("not a probability")
    out = torch.full_like(logits, -torch.inf)
    for row, kept in zip(logits.reshape(-1, logits.shape[-1]), out.view(-1, logits.shape[-1])):
        q, held = row.softmax(0), 0.0
        for i in q.argsort(descending=True).tolist():
            if held >= p:
                break
            kept[i] = row[i]
            held += float(q[i])
    return out
""",
    "a border for each row": """
def top_p_filter(logits, *, p):
    if p <= 0:
        raise ValueError("p <= 0")
    if p > 1:
        raise ValueError("p > 1")
    ordered = logits.sort(dim=-1, descending=True).values
    q = ordered.softmax(-1)
    count = (q.cumsum(-1) - q < p).sum(-1, keepdim=True)
    border = ordered.gather(-1, count - 1)
    return logits.masked_fill(logits < border, -math.inf)
""",
}

SAMPLE = {
    "the inverse of the cumulated probabilities": """
def sample(step, state, token, *, max_length, generator, temperature=1.0, top_k=None, top_p=None, end=None, pad=0):
    texts = torch.full((len(token), max_length), pad)
    alive = torch.ones(len(token), dtype=torch.bool)
    for t in range(max_length):
        logits, state = step(token, state)
        x = logits / temperature
        x = x if top_k is None else top_k_filter(x, k=top_k)
        x = x if top_p is None else top_p_filter(x, p=top_p)
        cumulated = x.softmax(-1).cumsum(-1)
        cumulated = cumulated / cumulated[:, -1:]
        uniform = torch.rand(len(token), 1, generator=generator)
        token = torch.where(alive, (cumulated <= uniform).sum(-1), pad)
        texts[:, t] = token
        if end is not None:
            alive &= token != end
    return texts
""",
    "Gumbel noise and an argmax": """
def sample(step, state, token, *, max_length, generator, temperature=1.0, top_k=None, top_p=None, end=None, pad=0):
    written, over = [], torch.zeros_like(token).bool()
    while len(written) < max_length:
        logits, state = step(token, state)
        logits = logits.div(temperature)
        if top_k:
            logits = top_k_filter(logits, k=top_k)
        if top_p:
            logits = top_p_filter(logits, p=top_p)
        noise = -torch.log(-torch.log(torch.rand(logits.shape, generator=generator)))
        token = (logits + noise).argmax(-1)
        token[over] = pad
        written += [token]
        if end is not None:
            over = torch.logical_or(over, token.eq(end))
    return torch.stack(written, -1)
""",
    "multinomial over filtered probabilities, in float32": """
def sample(step, state, token, *, max_length, generator, temperature=1.0, top_k=None, top_p=None, end=None, pad=0):
    rows = []
    finished = torch.zeros(token.shape[0]) > 0
    for _ in range(max_length):
        logits, state = step(token, state)
        logits = (logits / temperature).float()
        if top_k is not None:
            logits = top_k_filter(logits, k=top_k)
        if top_p is not None:
            logits = top_p_filter(logits, p=top_p)
        probabilities = temperature_softmax(logits)
        token = torch.multinomial(probabilities, num_samples=1, generator=generator)[:, 0]
        token = torch.where(finished, torch.full_like(token, pad), token)
        rows.append(token[:, None])
        finished = finished | (token == end if end is not None else False)
    return torch.cat(rows, dim=1)
""",
    "row by row": """
def sample(step, state, token, *, max_length, generator, temperature=1.0, top_k=None, top_p=None, end=None, pad=0):
    texts = [[] for _ in range(len(token))]
    for _ in range(max_length):
        logits, state = step(token, state)
        x = logits / temperature
        if top_k is not None:
            x = top_k_filter(x, k=top_k)
        if top_p is not None:
            x = top_p_filter(x, p=top_p)
        following = []
        for text, row in zip(texts, x.softmax(-1)):
            if end is not None and end in text:
                following.append(pad)
            else:
                following.append(int(torch.multinomial(row, 1, generator=generator)))
            text.append(following[-1])
        token = torch.tensor(following)
    return torch.tensor(texts)
""",
    "an exponential race": """
def sample(step, state, token, *, max_length, generator, temperature=1.0, top_k=None, top_p=None, end=None, pad=0):
    out = token.new_empty(token.shape[0], 0)
    for _ in range(max_length):
        logits, state = step(token, state)
        p = temperature_softmax(logits, temperature=temperature)
        if top_k is not None:
            p = top_k_filter(p.log(), k=top_k).softmax(-1)
        if top_p is not None:
            p = top_p_filter(p.log(), p=top_p).softmax(-1)
        clock = torch.empty_like(p).exponential_(generator=generator) / p
        token = clock.argmin(dim=-1)
        if end is not None:
            token = token.masked_fill((out == end).any(1), pad)
        out = torch.cat([out, token.unsqueeze(1)], 1)
    return out
""",
}

_CACHED = """
class CachedAttention(MultiHeadAttention):
"""

CACHED_ATTENTION = {
    "a new cache, with torch.where": _CACHED
    + """
    def step(self, x, cache, position):
        n = cache[0].shape[-2]
        if not 0 <= position < n:
            raise ValueError("no room")
        here = (torch.arange(n) == position)[:, None]
        key = split_heads(self.key_projection(x), self.num_heads)
        value = split_heads(self.value_projection(x), self.num_heads)
        keys, values = torch.where(here, key, cache[0]), torch.where(here, value, cache[1])
        query = split_heads(self.query_projection(x), self.num_heads)
        scores = query @ keys.mT / query.shape[-1] ** 0.5
        scores = scores.masked_fill(torch.arange(n) > position, -torch.inf)
        return self.output_projection(merge_heads(scores.softmax(-1) @ values)), (keys, values)
""",
    "fused attention": _CACHED
    + """
    def step(self, x, cache, position):
        keys, values = cache
        if position > keys.size(2) - 1:
            raise ValueError(position)
        query, key, value = (
            split_heads(project(x), self.num_heads)
            for project in (self.query_projection, self.key_projection, self.value_projection)
        )
        keys[:, :, position : position + 1] = key
        values[:, :, position : position + 1] = value
        seen = slice(0, position + 1)
        out = F.scaled_dot_product_attention(query, keys[:, :, seen], values[:, :, seen])
        return self.output_projection(merge_heads(out)), (keys, values)
""",
    "einsum, heads by hand": _CACHED
    + """
    def step(self, x, cache, position):
        keys, values = (part.clone() for part in cache)
        batch, heads, room, width = keys.shape
        if position >= room:
            raise ValueError(f"{room} positions only")
        query = self.query_projection(x).view(batch, heads, width)
        keys[:, :, position] = self.key_projection(x).view(batch, heads, width)
        values[:, :, position] = self.value_projection(x).view(batch, heads, width)
        scores = torch.einsum("bhd,bhnd->bhn", query, keys)[..., : position + 1] / math.sqrt(width)
        out = torch.einsum("bhn,bhnd->bhd", scores.softmax(-1), values[:, :, : position + 1])
        return self.output_projection(out.reshape(batch, 1, -1)), (keys, values)
""",
    "the past cut and the new one put behind": _CACHED
    + """
    def step(self, x, cache, position):
        key = self.key_projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        value = self.value_projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        if position + 1 > cache[0].shape[2]:
            raise ValueError("the cache is full")
        grown = [torch.cat([old[:, :, :position], new], 2) for old, new in zip(cache, (key, value))]
        kept = [torch.cat([new, old[:, :, position + 1 :]], 2) for old, new in zip(cache, grown)]
        query = self.query_projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        weights = torch.softmax(query @ grown[0].transpose(2, 3) / math.sqrt(key.shape[-1]), -1)
        return self.output_projection((weights @ grown[1]).transpose(1, 2).flatten(2)), tuple(kept)
""",
    "head by head": _CACHED
    + """
    def step(self, x, cache, position, scale=None):
        keys, values = cache[0], cache[1]
        if position == keys.shape[2] or position > keys.shape[2]:
            raise ValueError("position is beyond the cache")
        width = keys.shape[-1]
        q, k, v = self.query_projection(x), self.key_projection(x), self.value_projection(x)
        outputs = []
        for head in range(self.num_heads):
            part = slice(head * width, (head + 1) * width)
            keys[:, head, position] = k[:, 0, part]
            values[:, head, position] = v[:, 0, part]
            scores = (keys[:, head, : position + 1] * q[:, :, part]).sum(-1) / math.sqrt(width)
            weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
            outputs.append((weights[..., None] * values[:, head, : position + 1]).sum(1))
        return self.output_projection(torch.cat(outputs, -1))[:, None], [keys, values]
""",
}

BEAM_SEARCH = {
    "lists of hypotheses, sorted": """
def beam_search(step, state, *, beam_width, max_length, start, end, length_power=1.0):
    beams, finished = [([], 0.0, 0)], []
    for n in range(1, max_length + 1):
        tokens = [ids[-1] if ids else start for ids, _, _ in beams]
        rows = [row for _, _, row in beams]
        fill = beam_width - len(beams)
        logits, state = step(torch.tensor(tokens + [start] * fill), state[torch.tensor(rows + [0] * fill)])
        log_p = torch.log_softmax(logits, -1)
        candidates = [
            (ids + [word], total + float(log_p[row, word]), row)
            for row, (ids, total, _) in enumerate(beams)
            for word in range(log_p.shape[1])
        ]
        candidates = sorted(candidates, key=lambda c: c[1], reverse=True)[:beam_width]
        beams = []
        for candidate in candidates:
            done = candidate[0][-1] == end or n == max_length
            (finished if done else beams).append(candidate)
        if not beams:
            break
    ids, total, _ = max(finished, key=lambda c: c[1] / len(c[0]) ** length_power)
    return torch.tensor(ids), total
""",
    "masks, and no early stop": """
def beam_search(step, state, *, beam_width, max_length, start, end, length_power=1.0):
    totals = torch.tensor([0.0] + [-math.inf] * (beam_width - 1))
    texts = torch.full((beam_width, max_length), -1)
    words = torch.full((beam_width,), start)
    best = (-math.inf, None, None)
    for t in range(max_length):
        logits, state = step(words, state)
        vocab = logits.shape[1]
        totals, places = (totals.unsqueeze(1) + F.log_softmax(logits, dim=1)).reshape(-1).topk(beam_width)
        words, parents = places.remainder(vocab), places.div(vocab, rounding_mode="floor")
        state, texts = state.index_select(0, parents), texts.index_select(0, parents)
        texts[:, t] = words
        done = words.eq(end) if t + 1 < max_length else torch.ones(beam_width, dtype=torch.bool)
        for i in done.nonzero().flatten().tolist():
            score = totals[i].item() / (t + 1) ** length_power
            if score > best[0]:
                best = (score, texts[i, : t + 1].clone(), totals[i].item())
        totals = totals.masked_fill(done, -math.inf)
    return best[1], best[2]
""",
    "stops where nothing can win any more": """
def beam_search(step, state, *, beam_width, max_length, start, end, length_power=1.0):
    total = torch.full([beam_width], -torch.inf).index_fill(0, torch.tensor([0]), 0.0)
    token, written, done = torch.tensor([start] * beam_width), [[] for _ in range(beam_width)], {}
    for n in range(1, max_length + 1):
        logits, state = step(token, state)
        every = (total[:, None] + logits.log_softmax(-1)).flatten()
        order = every.argsort(descending=True)[:beam_width]
        rows, token = torch.div(order, logits.shape[-1], rounding_mode="trunc"), order % logits.shape[-1]
        total, state = every[order], state[rows]
        written = [written[row] + [word] for row, word in zip(rows.tolist(), token.tolist())]
        for i, text in enumerate(written):
            if total[i] > -torch.inf and (text[-1] == end or n == max_length):
                done[tuple(text)] = float(total[i])
                total[i] = -torch.inf
        scores = {text: value / len(text) ** length_power for text, value in done.items()}
        if scores and max(scores.values()) >= float(total.max()) / max_length**length_power:
            break
    best = max(scores, key=scores.get)
    return torch.tensor(best), done[best]
""",
    "only the rows that live are looked at, tensors for the result": """
def beam_search(step, state, *, beam_width, max_length, start, end, length_power=1.0):
    word = torch.full((beam_width,), start)
    alive = torch.zeros(beam_width, dtype=torch.bool)
    alive[0] = True
    summed = torch.zeros(beam_width)
    texts = torch.zeros(beam_width, 0).long()
    finished = []
    for n in range(max_length):
        logits, state = step(word, state)
        scores = torch.log_softmax(logits, dim=-1) + summed.unsqueeze(-1)
        scores[~alive] = -float("inf")
        summed, flat = torch.topk(scores.view(-1), beam_width)
        parent, word = flat // scores.size(1), flat % scores.size(1)
        texts = torch.hstack([texts[parent], word.unsqueeze(1)])
        state = torch.stack([state[i] for i in parent])
        ended = (word == end) | torch.tensor(n + 1 == max_length)
        alive = torch.isfinite(summed) & ~ended
        finished += [(summed[i], texts[i]) for i in range(beam_width) if ended[i] and torch.isfinite(summed[i])]
        if not alive.any():
            break
    ranked = sorted(finished, key=lambda pair: float(pair[0]) / len(pair[1]) ** length_power)
    return ranked[-1][1], ranked[-1][0]
""",
    "a heap": """
import heapq

def beam_search(step, state, *, beam_width, max_length, start, end, length_power=1.0):
    live = [(0.0, (), 0)]
    best = None
    for n in range(1, max_length + 1):
        token = torch.full((beam_width,), start)
        rows = torch.zeros(beam_width, dtype=torch.long)
        for i, (_, text, row) in enumerate(live):
            rows[i] = row
            if text:
                token[i] = text[-1]
        logits, state = step(token, state[rows])
        log_p = logits.log_softmax(-1).tolist()
        heap = []
        for i, (total, text, _) in enumerate(live):
            for word, value in enumerate(log_p[i]):
                heapq.heappush(heap, (total + value, (*text, word), i))
                if len(heap) > beam_width:
                    heapq.heappop(heap)
        live = []
        for total, text, row in heap:
            if text[-1] == end or n == max_length:
                score = total / n**length_power
                best = max(best or (-math.inf,), (score, total, text))
            else:
                live.append((total, text, row))
        if not live:
            break
    return torch.tensor(best[2]), best[1]
""",
}

RIGHT_ANSWERS = {
    "CharTokenizer": CHAR_TOKENIZER,
    "get_batch": GET_BATCH,
    "TransformerLM": TRANSFORMER_LM,
    "perplexity": PERPLEXITY,
    "temperature_softmax": TEMPERATURE_SOFTMAX,
    "top_k_filter": TOP_K_FILTER,
    "top_p_filter": TOP_P_FILTER,
    "sample": SAMPLE,
    "CachedAttention": CACHED_ATTENTION,
    "beam_search": BEAM_SEARCH,
}
