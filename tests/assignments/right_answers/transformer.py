"""Right answers to assignment 05, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

LAYER_NORM = {
    "var without correction": """
def layer_norm(x, weight, bias, *, eps=1e-5):
    mean = x.mean(-1, keepdim=True)
    variance = x.var(-1, keepdim=True, correction=0)
    return weight * (x - mean) * torch.rsqrt(variance + eps) + bias
""",
    "mean of the squares minus square of the mean": """
def layer_norm(x, weight, bias, *, eps=1e-5):
    x = x.double()
    mean = x.mean(dim=-1)[..., None]
    mean_of_squares = (x**2).mean(dim=-1)[..., None]
    return (x - mean) / torch.sqrt(mean_of_squares - mean**2 + eps) * weight + bias
""",
    "one vector after the other": """
def layer_norm(x, weight, bias, *, eps=1e-5):
    rows = []
    for vector in x.reshape(-1, x.shape[-1]):
        centred = vector - vector.sum() / len(vector)
        spread = math.sqrt(1) * (centred @ centred / len(vector) + eps) ** 0.5
        rows.append(weight * centred / spread + bias)
    return torch.stack(rows).reshape(x.shape)
""",
    "einsum": """
def layer_norm(x, weight, bias, *, eps=1e-5):
    d = x.size(-1)
    ones = torch.full((d, d), 1 / d, dtype=x.dtype)
    centred = x - torch.einsum("...i,ij->...j", x, ones)
    variance = torch.einsum("...i,...i->...", centred, centred).unsqueeze(-1) / d
    return torch.addcmul(bias, centred / (variance + eps).pow(0.5), weight)
""",
    "torch.var_mean": """
def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, eps: float = 1e-5) -> torch.Tensor:
    variance, mean = torch.var_mean(x, dim=-1, unbiased=False, keepdim=True)
    print("normalised", tuple(x.shape))
    return ((x - mean) / (variance + eps).sqrt()) * weight + bias
""",
}

FEED_FORWARD = {
    "F.relu": """
class FeedForward(nn.Module):
    def __init__(self, *, d_model, dim_feedforward):
        super().__init__()
        self.linear1 = nn.Linear(in_features=d_model, out_features=dim_feedforward, bias=True)
        self.linear2 = nn.Linear(in_features=dim_feedforward, out_features=d_model)

    def forward(self, x):
        return self.linear2(F.relu(self.linear1(x)))
""",
    "clamp": """
class FeedForward(nn.Module):
    def __init__(self, *, d_model, dim_feedforward):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(d_model, dim_feedforward), nn.Linear(dim_feedforward, d_model)

    def forward(self, x):
        hidden = self.linear1(x).clamp(min=0)
        return self.linear2(hidden)
""",
    "matrix products": """
class FeedForward(nn.Module):
    def __init__(self, *, d_model, dim_feedforward):
        super().__init__()
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)

    def forward(self, x):
        h = torch.maximum(torch.zeros(()), x @ self.linear1.weight.T + self.linear1.bias)
        return h @ self.linear2.weight.T + self.linear2.bias
""",
    "a module for the ReLU": """
class FeedForward(nn.Module):
    def __init__(self, *, d_model, dim_feedforward, activation=None):
        super().__init__()
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.activation = activation or nn.ReLU()
        self.linear2 = nn.Linear(dim_feedforward, d_model)

    def forward(self, x):
        for part in (self.linear1, self.activation, self.linear2):
            x = part(x)
        return x
""",
    "a mask": """
class FeedForward(nn.Module):
    def __init__(self, *, d_model, dim_feedforward):
        nn.Module.__init__(self)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)

    def forward(self, x):
        h = self.linear1(x)
        return self.linear2(torch.where(h > 0, h, torch.zeros_like(h)))
""",
}

_ENCODER_START = """
class EncoderBlock(nn.Module):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
"""

ENCODER_BLOCK = {
    "one expression": _ENCODER_START
    + """
    def forward(self, x, mask=None):
        x = self.norm1(self.self_attention(x, x, x, mask)[0] + x)
        return self.norm2(self.feed_forward(x) + x)
""",
    "a helper for add and norm": _ENCODER_START
    + """
    @staticmethod
    def add_and_norm(x, sub_layer, norm):
        return norm(torch.add(x, sub_layer(x)))

    def forward(self, x, mask=None):
        x = self.add_and_norm(x, lambda x: self.self_attention(query=x, key=x, value=x, mask=mask)[0], self.norm1)
        return self.add_and_norm(x, self.feed_forward, self.norm2)
""",
    "norms by hand": _ENCODER_START
    + """
    def forward(self, x, mask=None):
        attended, weights = self.self_attention(x, x, x, mask)
        x = layer_norm(x + attended, self.norm1.weight, self.norm1.bias)
        return layer_norm(x + self.feed_forward(x), self.norm2.weight, self.norm2.bias, eps=self.norm2.eps)
""",
    "with dropout and a full mask": _ENCODER_START
    + """
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, mask=None):
        if mask is None:
            mask = torch.ones(x.shape[1], x.shape[1]).bool()
        attended, _ = self.self_attention(x, x, x, mask)
        x = self.norm1(x + self.dropout(attended))
        return self.norm2(x + self.dropout(self.feed_forward(x)))
""",
    "one sentence after the other": _ENCODER_START
    + """
    def forward(self, x, mask=None):
        rows = []
        for i in range(len(x)):
            one = x[i : i + 1]
            own = mask if mask is None or mask.dim() < 3 or len(mask) == 1 else mask[i : i + 1]
            one = self.norm1(one + self.self_attention(one, one, one, own)[0])
            rows.append(self.norm2(one + self.feed_forward(one)))
        return torch.cat(rows)
""",
}

_DECODER_START = """
class DecoderBlock(nn.Module):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__()
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.cross_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = FeedForward(d_model=d_model, dim_feedforward=dim_feedforward)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)
"""

DECODER_BLOCK = {
    "one line for each": _DECODER_START
    + """
    def forward(self, x, memory, *, mask=None, memory_mask=None):
        x = self.norm1(self.self_attention(x, x, x, mask)[0] + x)
        x = self.norm2(self.cross_attention(x, memory, memory, memory_mask)[0] + x)
        return self.norm3(self.feed_forward(x) + x)
""",
    "a loop over the sub-layers": _DECODER_START
    + """
    def forward(self, x, memory, *, mask=None, memory_mask=None):
        sub_layers = [
            (lambda x: self.self_attention(x, x, x, mask)[0], self.norm1),
            (lambda x: self.cross_attention(x, memory, memory, memory_mask)[0], self.norm2),
            (self.feed_forward, self.norm3),
        ]
        for sub_layer, norm in sub_layers:
            x = norm(x + sub_layer(x))
        return x
""",
    "names for every step": _DECODER_START
    + """
    def forward(self, x, memory, *, mask=None, memory_mask=None):
        q = x
        out1, w1 = self.self_attention(query=q, key=q, value=q, mask=mask)
        h1 = self.norm1(q.clone() + out1)
        out2, w2 = self.cross_attention(query=h1, key=memory, value=memory, mask=memory_mask)
        h2 = self.norm2(h1 + out2)
        h3 = self.norm3(h2 + self.feed_forward(h2))
        return h3
""",
    "masks spelled out": _DECODER_START
    + """
    def forward(self, x, memory, *, mask=None, memory_mask=None):
        n, m = x.shape[1], memory.shape[1]
        mask = torch.ones(n, n, dtype=torch.bool) if mask is None else mask
        memory_mask = torch.ones(n, m, dtype=torch.bool) if memory_mask is None else memory_mask
        x = self.norm1(x + self.self_attention(x, x, x, mask)[0])
        x = self.norm2(x + self.cross_attention(x, memory, memory, memory_mask)[0])
        return self.norm3(x + self.feed_forward(x))
""",
    "with dropout and the weights kept": _DECODER_START
    + """
        self.dropout = nn.Dropout(0.3)
        self.last_weights = None

    def forward(self, x, memory, *, mask=None, memory_mask=None):
        attended, _ = self.self_attention(x, x, x, mask)
        x = self.norm1(x + self.dropout(attended))
        looked, self.last_weights = self.cross_attention(x, memory, memory, memory_mask)
        x = self.norm2(x + self.dropout(looked))
        return self.norm3(x + self.dropout(self.feed_forward(x)))
""",
}

LABEL_SMOOTHED_CROSS_ENTROPY = {
    "a table of soft targets": """
def label_smoothed_cross_entropy(logits, target, *, smoothing=0.1, pad=PAD):
    vocab_size = logits.shape[-1]
    soft = torch.full_like(logits, smoothing / vocab_size)
    soft.scatter_(-1, target.unsqueeze(-1), 1 - smoothing + smoothing / vocab_size)
    loss = -(soft * F.log_softmax(logits, dim=-1)).sum(-1)
    return loss[target != pad].mean()
""",
    "logsumexp": """
def label_smoothed_cross_entropy(logits, target, *, smoothing=0.1, pad=PAD):
    keep = target.ne(pad)
    logits, target = logits[keep], target[keep]
    soft_logit = (1 - smoothing) * logits[torch.arange(len(target)), target] + smoothing * logits.mean(-1)
    return (torch.logsumexp(logits, dim=-1) - soft_logit).mean()
""",
    "one-hot": """
def label_smoothed_cross_entropy(logits, target, *, smoothing=0.1, pad=PAD):
    v = logits.shape[-1]
    soft = (1 - smoothing) * F.one_hot(target, v).to(logits.dtype) + smoothing / v
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    weight = (target != pad).to(logits.dtype)
    return torch.einsum("blv,blv,bl->", soft, -log_p, weight) / weight.sum()
""",
    "two loops": """
def label_smoothed_cross_entropy(logits, target, *, smoothing=0.1, pad=PAD):
    total, count = 0.0, 0
    for row, ids in zip(logits, target):
        for scores, word in zip(row, ids.tolist()):
            if word == pad:
                continue
            log_p = torch.log_softmax(scores, 0)
            total = total - (1 - smoothing) * log_p[word] - smoothing / len(log_p) * log_p.sum()
            count += 1
    return total / count
""",
    "Kullback-Leibler": """
def label_smoothed_cross_entropy(logits, target, *, smoothing=0.1, pad=PAD):
    keep = (target != pad).flatten()
    log_p = logits.flatten(0, 1).log_softmax(-1)[keep]
    right = target.flatten()[keep]
    v = log_p.shape[-1]
    soft = torch.full_like(log_p, smoothing / v)
    soft[torch.arange(len(right)), right] += 1 - smoothing
    entropy = -torch.special.xlogy(soft, soft).sum()
    return (F.kl_div(log_p, soft, reduction="sum") + entropy) / len(right)
""",
}

WARMUP_SCHEDULE = {
    "a condition": """
def warmup_schedule(step, *, d_model, warmup_steps):
    s = step + 1
    if s < warmup_steps:
        return s / (math.sqrt(d_model) * warmup_steps**1.5)
    return 1 / math.sqrt(d_model * s)
""",
    "torch": """
def warmup_schedule(step, *, d_model, warmup_steps):
    s = torch.tensor(step + 1.0, dtype=torch.float64)
    rate = torch.minimum(s.rsqrt(), s * torch.tensor(float(warmup_steps), dtype=torch.float64) ** -1.5)
    return (rate / d_model**0.5).item()
""",
    "the share of the peak": """
def warmup_schedule(step, *, d_model, warmup_steps):
    peak = (d_model * warmup_steps) ** -0.5
    share = (step + 1) / warmup_steps
    return peak * min(share, share**-0.5)
""",
    "logarithms": """
def warmup_schedule(step, *, d_model, warmup_steps):
    s = math.log1p(step)
    return math.exp(-0.5 * math.log(d_model) + min(-0.5 * s, s - 1.5 * math.log(warmup_steps)))
""",
    "sorted": """
def warmup_schedule(step: int, *, d_model: int, warmup_steps: int, factor: float = 1.0) -> float:
    s = float(step) + 1.0
    smaller, larger = sorted([1 / s**0.5, s / (warmup_steps * warmup_steps**0.5)])
    return factor * smaller / d_model**0.5
""",
}

TRANSLATE = {
    "a loop of its own": """
def translate(encode, decode, source, lengths=None, *, max_length):
    memory = encode(source, lengths)
    tokens = torch.full((source.shape[0], 1), START)
    ended = torch.zeros(source.shape[0], dtype=torch.bool)
    for _ in range(max_length):
        word = decode(tokens, memory, lengths)[:, -1].argmax(-1)
        word[ended] = PAD
        tokens = torch.cat([tokens, word.unsqueeze(1)], 1)
        ended |= word == END
        if ended.all():
            break
    return tokens[:, 1:]
""",
    "a list of columns as the state": """
def translate(encode, decode, source, lengths=None, *, max_length):
    memory = encode(source, lengths)

    def step(token, columns):
        columns = columns + [token]
        return decode(torch.stack(columns, 1), memory, lengths)[:, len(columns) - 1], columns

    return greedy_decode(step, [], batch_size=source.shape[0], max_length=max_length)
""",
    "a step that keeps its words itself": """
@torch.no_grad()
def translate(encode, decode, source, lengths=None, *, max_length):
    memory, seen = encode(source, lengths), []

    def step(token, _):
        seen.append(token)
        return decode(torch.stack(seen, dim=1), memory, lengths)[:, -1, :], None

    return greedy_decode(step, None, batch_size=len(source), max_length=max_length)
""",
    "padding put in afterwards": """
def translate(encode, decode, source, lengths=None, *, max_length):
    memory = encode(source, lengths)
    tokens = torch.full((len(source), 1), START)
    while tokens.shape[1] <= max_length and not (tokens == END).any(1).all():
        tokens = torch.hstack([tokens, decode(tokens, memory, lengths)[:, -1:].argmax(-1)])
    written = tokens[:, 1:]
    behind = (written == END).long().cumsum(1) - (written == END).long() > 0
    return written.masked_fill(behind, PAD)
""",
    "a table filled column by column": """
def translate(encode, decode, source, lengths=None, *, max_length):
    memory = encode(source, lengths)
    table = torch.full((len(source), max_length + 1), PAD)
    table[:, 0] = START
    running = torch.ones(len(source), dtype=torch.bool)
    n = 0
    while n < max_length and bool(running.any()):
        logits = decode(table[:, : n + 1], memory, lengths)
        best = torch.topk(logits[:, n], k=1).indices[:, 0]
        n += 1
        table[running, n] = best[running]
        running = running & (best != END)
    return table[:, 1 : n + 1]
""",
}

_MODEL_START = """
class TransformerEncoderDecoder(nn.Module):
    def __init__(
        self, *, source_size, target_size, d_model, num_heads, num_layers, dim_feedforward
    ):
        super().__init__()
        sizes = {"d_model": d_model, "num_heads": num_heads, "dim_feedforward": dim_feedforward}
        self.d_model = d_model
        self.source_embedding = nn.Embedding(source_size, d_model)
        self.target_embedding = nn.Embedding(target_size, d_model)
        self.encoder = nn.ModuleList(EncoderBlock(**sizes) for _ in range(num_layers))
        self.decoder = nn.ModuleList(DecoderBlock(**sizes) for _ in range(num_layers))
        self.output = nn.Linear(d_model, target_size)
"""

TRANSFORMER_ENCODER_DECODER = {
    "helpers": _MODEL_START
    + """
    def embed(self, table, ids):
        return table(ids) + sinusoidal_positions(ids.size(1), self.d_model)

    def encode(self, source, lengths=None):
        x = self.embed(self.source_embedding, source)
        for block in self.encoder:
            x = block(x, padding_mask(source.size(1), lengths))
        return x

    def decode(self, tokens, memory, lengths=None):
        x = self.embed(self.target_embedding, tokens)
        for block in self.decoder:
            x = block(
                x, memory, memory_mask=padding_mask(memory.size(1), lengths), mask=causal_mask(tokens.size(1))
            )
        return self.output(x)

    def forward(self, source, target, lengths=None):
        memory = self.encode(source, lengths)
        return self.decode(shift_right(target), memory, lengths)
""",
    "masks written out, the padding of the target too": _MODEL_START
    + """
    def encode(self, source, lengths=None):
        batch, m = source.shape
        if lengths is None:
            lengths = torch.full((batch,), m)
        mask = (torch.arange(m)[None] < lengths[:, None]).view(batch, 1, 1, m).expand(batch, 1, m, m)
        x = F.embedding(source, self.source_embedding.weight) + sinusoidal_positions(m, self.d_model)[None]
        for block in self.encoder:
            x = block(x, mask)
        return x

    def decode(self, tokens, memory, lengths=None):
        batch, n = tokens.shape
        m = memory.shape[1]
        if lengths is None:
            lengths = torch.full((batch,), m)
        memory_mask = (torch.arange(m)[None] < lengths[:, None]).view(batch, 1, 1, m)
        i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        x = self.target_embedding(tokens)
        x = x + sinusoidal_positions(n, self.d_model)
        for block in self.decoder:
            x = block(x, memory, mask=(j <= i), memory_mask=memory_mask)
        return x @ self.output.weight.T + self.output.bias

    def forward(self, source, target, lengths=None):
        start = torch.full((len(target), 1), START)
        return self.decode(torch.cat([start, target], 1)[:, :-1], self.encode(source, lengths), lengths)
""",
    "slow but right: one pass for each position": _MODEL_START
    + """
    def encode(self, source, lengths=None):
        x = self.source_embedding(source) + sinusoidal_positions(source.shape[1], self.d_model)
        for layer in self.encoder:
            x = layer(x, padding_mask(source.shape[1], lengths))
        return x

    def decode(self, tokens, memory, lengths=None):
        rows = []
        for n in range(1, tokens.shape[1] + 1):
            x = self.target_embedding(tokens[:, :n]) + sinusoidal_positions(n, self.d_model)
            for layer in self.decoder:
                x = layer(x, memory, mask=causal_mask(n), memory_mask=padding_mask(memory.shape[1], lengths))
            rows.append(self.output(x[:, -1]))
        return torch.stack(rows, 1)

    def forward(self, source, target, lengths=None):
        return self.decode(F.pad(target, (1, 0), value=START)[:, :-1], self.encode(source, lengths), lengths)
""",
    "each sentence without its padding": _MODEL_START
    + """
    def encode(self, source, lengths=None):
        if lengths is not None:
            memory = torch.stack(
                [F.pad(self.encode(s[None, :k])[0], (0, 0, 0, len(s) - k)) for s, k in zip(source, lengths.tolist())]
            )
            x = self.source_embedding(source) + sinusoidal_positions(source.shape[1], self.d_model)
            for block in self.encoder:
                x = block(x, padding_mask(source.shape[1], lengths))
            inside = (torch.arange(source.shape[1]) < lengths[:, None])[..., None]
            return torch.where(inside, memory, x)
        x = self.source_embedding(source) + sinusoidal_positions(source.shape[1], self.d_model)
        for block in self.encoder:
            x = block(x)
        return x

    def decode(self, tokens, memory, lengths=None):
        if lengths is not None:
            rows = [self.decode(t[None], m[None, :k]) for t, m, k in zip(tokens, memory, lengths.tolist())]
            return torch.cat(rows)
        x = self.target_embedding(tokens) + sinusoidal_positions(tokens.shape[1], self.d_model)
        for block in self.decoder:
            x = block(x, memory, mask=causal_mask(tokens.shape[1]))
        return self.output(x)

    def forward(self, source, target, lengths=None):
        return self.decode(shift_right(target), self.encode(source, lengths), lengths)
""",
    "functools.reduce": """
from functools import reduce
"""
    + _MODEL_START
    + """
    def encode(self, source, lengths=None):
        start = self.source_embedding(source) + sinusoidal_positions(source.shape[1], self.d_model)
        return reduce(lambda x, block: block(x, mask=padding_mask(source.shape[1], lengths)), self.encoder, start)

    def decode(self, tokens, memory, lengths=None):
        masks = {"mask": causal_mask(tokens.shape[1]), "memory_mask": padding_mask(memory.shape[1], lengths)}
        start = self.target_embedding(tokens) + sinusoidal_positions(tokens.shape[1], self.d_model)
        return self.output(reduce(lambda x, block: block(x, memory, **masks), self.decoder, start))

    def forward(self, source, target, lengths=None):
        return self.decode(shift_right(target), self.encode(source, lengths), lengths)
""",
}

RIGHT_ANSWERS = {
    "layer_norm": LAYER_NORM,
    "FeedForward": FEED_FORWARD,
    "EncoderBlock": ENCODER_BLOCK,
    "DecoderBlock": DECODER_BLOCK,
    "label_smoothed_cross_entropy": LABEL_SMOOTHED_CROSS_ENTROPY,
    "warmup_schedule": WARMUP_SCHEDULE,
    "translate": TRANSLATE,
    "TransformerEncoderDecoder": TRANSFORMER_ENCODER_DECODER,
}
