"""Right answers to assignment 04, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

CONTEXTUAL_EMBEDDING = {
    "einsum": """
def contextual_embedding(embeddings):
    weights = torch.softmax(torch.einsum("...id,...jd->...ij", embeddings, embeddings), -1)
    return torch.einsum("...ij,...jd->...id", weights, embeddings)
""",
    "a loop over the words": """
def contextual_embedding(embeddings):
    words = []
    for i in range(embeddings.shape[-2]):
        scores = (embeddings * embeddings[..., i : i + 1, :]).sum(-1)
        weights = F.softmax(scores, dim=-1)
        words.append((weights[..., None] * embeddings).sum(-2))
    return torch.stack(words, dim=-2)
""",
    "softmax by hand, with a comment on stderr": """
import sys

def contextual_embedding(embeddings):
    scores = torch.matmul(embeddings, embeddings.mT)
    print("largest score", scores.max().item(), file=sys.stderr)
    unnormalised = (scores - scores.max(-1, keepdim=True).values).exp()
    return unnormalised @ embeddings / unnormalised.sum(-1, keepdim=True)
""",
    "the symmetric softmax transposed": """
def contextual_embedding(embeddings: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    scores = embeddings @ embeddings.swapaxes(-1, -2) / temperature
    return scores.softmax(-2).swapaxes(-1, -2) @ embeddings
""",
    "einops and log-softmax": """
from einops import einsum

def contextual_embedding(embeddings):
    scores = einsum(embeddings, embeddings, "... i d, ... j d -> ... i j")
    return einsum(torch.log_softmax(scores, -1).exp(), embeddings, "... i j, ... j d -> ... i d")
""",
    "float32 inside": """
def contextual_embedding(embeddings):
    x = embeddings.float()
    return torch.softmax(x @ x.transpose(-1, -2), dim=-1) @ x
""",
}

SCALED_DOT_PRODUCT_ATTENTION = {
    "where instead of masked_fill": """
def scaled_dot_product_attention(query, key, value, mask=None):
    scores = torch.matmul(query / query.size(-1) ** 0.5, key.transpose(-2, -1))
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    weights = torch.softmax(torch.where(mask, scores, float("-inf")), dim=-1)
    weights = torch.where(mask, weights, 0.0)
    return weights @ value, weights
""",
    "nan_to_num and a list for the result": """
def scaled_dot_product_attention(query, key, value, mask=None):
    scores = torch.einsum("...nd,...md->...nm", query, key).div(np.sqrt(key.shape[-1]))
    if mask is not None:
        scores.masked_fill_(mask.logical_not(), -torch.inf)
    weights = torch.nan_to_num(F.softmax(scores, -1))
    return [torch.einsum("...nm,...me->...ne", weights, value), weights]

import numpy as np
""",
    "exponentials by hand": """
def scaled_dot_product_attention(query, key, value, mask=None, scale=None):
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = query @ key.mT * scale
    unnormalised = (scores - scores.detach().amax(-1, keepdim=True)).exp()
    if mask is not None:
        unnormalised = unnormalised * mask
    weights = unnormalised / unnormalised.sum(-1, keepdim=True).clamp(min=1e-300)
    return weights @ value, weights
""",
    "a finite number for -∞, and rows cleared": """
def scaled_dot_product_attention(query, key, value, mask=None):
    d = query.shape[-1]
    scores = query @ key.transpose(-1, -2)
    scores = scores / torch.tensor(d).sqrt()
    if mask is not None:
        scores = scores.masked_fill(mask == False, -1e9)
    weights = scores.softmax(-1)
    if mask is not None:
        weights = weights * mask
        anything = mask.any(dim=-1, keepdim=True)
        weights = weights.where(anything, torch.zeros(()))
    return weights.matmul(value), weights
""",
    "the empty rows opened first": """
def scaled_dot_product_attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    empty = None
    if mask is not None:
        empty = ~mask.any(-1, keepdim=True)
        scores = scores.masked_fill(~(mask | empty), float("-inf"))
    weights = nn.Softmax(dim=-1)(scores)
    if empty is not None:
        weights = weights.masked_fill(empty, 0)
    return weights @ value, weights
""",
    "a loop over the queries": """
def scaled_dot_product_attention(query, key, value, mask=None):
    n, m = query.shape[-2], key.shape[-2]
    if mask is not None:
        mask = mask.expand(*query.shape[:-2], n, m)
    rows = []
    for i in range(n):
        scores = (query[..., i : i + 1, :] * key).sum(-1) / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask[..., i, :], -math.inf)
        row = scores.softmax(-1)
        rows.append(row if mask is None else row.masked_fill(~mask[..., i, :], 0))
    weights = torch.stack(rows, -2)
    return weights @ value, weights
""",
    "sparsely filled bias": """
def scaled_dot_product_attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    if mask is not None:
        bias = torch.zeros(mask.shape, dtype=scores.dtype).masked_fill(~mask, torch.finfo(scores.dtype).min / 4)
        scores = scores + bias
    weights = scores.softmax(-1)
    if mask is not None:
        weights = weights * mask
    return weights @ value, weights
""",
}

_CROSS_HEAD = """
class CrossAttention(nn.Module):
    def __init__(self, *, d_model, d_data, head_dim):
        super().__init__()
        self.query_projection = nn.Linear(d_model, head_dim, bias=False)
        self.key_projection = nn.Linear(d_data, head_dim, bias=False)
        self.value_projection = nn.Linear(d_data, head_dim, bias=False)
"""

CROSS_ATTENTION = {
    "its own arithmetic": _CROSS_HEAD
    + """
    def forward(self, queries, data, mask=None):
        q, k, v = self.query_projection(queries), self.key_projection(data), self.value_projection(data)
        scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return torch.bmm(weights, v), weights
""",
    "the matrices instead of the layers": _CROSS_HEAD
    + """
    def forward(self, queries, data, mask=None):
        return scaled_dot_product_attention(
            queries @ self.query_projection.weight.T,
            data @ self.key_projection.weight.T,
            F.linear(data, self.value_projection.weight),
            mask=mask,
        )
""",
    "head_dim kept, other order of construction, extra argument": """
class CrossAttention(nn.Module):
    def __init__(self, d_model, d_data, head_dim, dropout=0.1):
        nn.Module.__init__(self)
        self.head_dim = head_dim
        self.dropout = nn.Dropout(dropout)
        self.value_projection = nn.Linear(d_data, head_dim, False)
        self.key_projection = nn.Linear(d_data, head_dim, False)
        self.query_projection = nn.Linear(d_model, head_dim, False)

    def forward(self, queries, data, mask=None):
        query = self.query_projection(queries) / math.sqrt(self.head_dim)
        scores = torch.einsum("bnd,bmd->bnm", query, self.key_projection(data))
        if mask is not None:
            scores = torch.where(mask, scores, torch.tensor(float("-inf")))
        weights = self.dropout(torch.softmax(scores, dim=2))
        return torch.einsum("bnm,bmd->bnd", weights, self.value_projection(data)), weights
""",
    "each sequence of the batch in turn": _CROSS_HEAD
    + """
    def forward(self, queries, data, mask=None):
        outputs, tables = [], []
        for b in range(len(queries)):
            part = None if mask is None else mask.expand(len(queries), *mask.shape[1:])[b]
            output, weights = scaled_dot_product_attention(
                self.query_projection(queries[b]), self.key_projection(data[b]), self.value_projection(data[b]), part
            )
            outputs.append(output)
            tables.append(weights)
        return torch.stack(outputs), torch.stack(tables)
""",
    "values projected after they are summed": _CROSS_HEAD
    + """
    def forward(self, queries, data, mask=None):
        query, key = self.query_projection(queries), self.key_projection(data)
        summed, weights = scaled_dot_product_attention(query, key, data, mask)
        return self.value_projection(summed), weights
""",
}

_SELF_HEAD = """
class SelfAttention(nn.Module):
    def __init__(self, *, d_model, head_dim):
        super().__init__()
        self.qkv_projection = nn.Linear(d_model, 3 * head_dim, bias=False)
"""

SELF_ATTENTION = {
    "split by size": _SELF_HEAD
    + """
    def forward(self, x, mask=None):
        width = self.qkv_projection.out_features // 3
        q, k, v = torch.split(self.qkv_projection(x), width, dim=-1)
        return scaled_dot_product_attention(q, k, v, mask)
""",
    "sliced": _SELF_HEAD
    + """
    def forward(self, x, mask=None):
        qkv = self.qkv_projection(x)
        d = qkv.shape[-1] // 3
        scores = qkv[..., :d] @ qkv[..., d : 2 * d].transpose(-2, -1) / d**0.5
        if mask is not None:
            scores = scores.masked_fill(mask.logical_not(), -math.inf)
        weights = scores.softmax(-1)
        return weights @ qkv[..., 2 * d :], weights
""",
    "reshaped, parts first": _SELF_HEAD
    + """
    def forward(self, x, mask=None):
        batch, length, _ = x.shape
        query, key, value = self.qkv_projection(x).reshape(batch, length, 3, -1).permute(2, 0, 1, 3)
        return scaled_dot_product_attention(query, key, value, mask)
""",
    "einops": """
from einops import rearrange

class SelfAttention(nn.Module):
    def __init__(self, *, d_model, head_dim):
        super().__init__()
        self.head_dim = head_dim
        self.qkv_projection = nn.Linear(d_model, head_dim * 3, bias=False)

    def forward(self, x, mask=None):
        query, key, value = rearrange(self.qkv_projection(x), "b n (three d) -> three b n d", three=3)
        return scaled_dot_product_attention(query, key, value, mask)
""",
    "three products with parts of the matrix": _SELF_HEAD
    + """
    def forward(self, x, mask=None):
        query, key, value = (F.linear(x, part) for part in self.qkv_projection.weight.chunk(3))
        return scaled_dot_product_attention(query, key, value, mask)
""",
}

PERMUTATION_ERROR = {
    "index_select and amax": """
def permutation_error(layer, x, permutation):
    first = layer(x.index_select(1, permutation))
    second = layer(x).index_select(1, permutation)
    return torch.amax(torch.abs(first - second))
""",
    "a Python number": """
def permutation_error(layer, x, permutation):
    return float((layer(x[:, permutation]) - layer(x)[:, permutation]).abs().max())
""",
    "the inverse permutation": """
def permutation_error(layer, x, permutation):
    back = torch.argsort(permutation)
    return (layer(x[:, permutation])[:, back] - layer(x)).abs().max()
""",
    "the largest of the two signs": """
def permutation_error(layer, x, permutation):
    gap = layer(x)[:, permutation] - layer(x[:, permutation])
    return torch.maximum(gap.max(), -gap.min())
""",
    "a loop, without gradients": """
@torch.no_grad()
def permutation_error(layer, x, permutation, verbose=True):
    shuffled = torch.stack([x[:, int(i)] for i in permutation], dim=1)
    first, second = layer(shuffled), layer(x)
    largest = torch.zeros(())
    for place, index in enumerate(permutation.tolist()):
        largest = torch.maximum(largest, (first[:, place] - second[:, index]).abs().max())
    if verbose:
        print("error", largest)
    return largest
""",
    "a permutation matrix": """
def permutation_error(layer, x, permutation):
    sigma = torch.eye(x.shape[1])[permutation]
    return torch.linalg.vector_norm(layer(sigma @ x) - sigma @ layer(x), ord=torch.inf)
""",
}

SINUSOIDAL_POSITIONS = {
    "filled in, with exponentials of logarithms": """
def sinusoidal_positions(length, d_model, *, base=10000.0):
    table = torch.zeros(length, d_model)
    position = torch.arange(0, length, dtype=torch.float).unsqueeze(1)
    frequencies = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(base) / d_model))
    table[:, 0::2] = torch.sin(position * frequencies)
    table[:, 1::2] = torch.cos(position * frequencies)
    return table
""",
    "two loops": """
def sinusoidal_positions(length, d_model, *, base=10000.0):
    rows = []
    for p in range(length):
        row = []
        for i in range(d_model // 2):
            angle = p / base ** (2 * i / d_model)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows)
""",
    "NumPy": """
import numpy as np

def sinusoidal_positions(length, d_model, *, base=10000.0):
    channel = np.arange(d_model)
    angles = np.arange(length)[:, None] / np.power(base, 2 * (channel // 2) / d_model)
    return torch.from_numpy(np.where(channel % 2 == 0, np.sin(angles), np.cos(angles)))
""",
    "cosine as a shifted sine, float64": """
def sinusoidal_positions(length, d_model, *, base=10000.0, dtype=torch.float64):
    channel = torch.arange(d_model, dtype=dtype)
    pair = channel - channel % 2
    angles = torch.outer(torch.arange(length, dtype=dtype), base ** (-pair / d_model))
    return torch.sin(angles + (channel % 2) * math.pi / 2)
""",
    "complex numbers": """
def sinusoidal_positions(length, d_model, *, base=10000.0):
    frequencies = torch.pow(base, -torch.arange(0, d_model, 2) / d_model)
    angles = torch.outer(torch.arange(length).to(frequencies), frequencies)
    turns = torch.polar(torch.ones_like(angles), angles)
    return torch.stack((turns.imag, turns.real), -1).reshape(length, d_model)
""",
}

APPLY_ROPE = {
    "complex numbers": """
def apply_rope(x, *, base=10000.0, offset=0):
    length, d = x.shape[-2:]
    angles = torch.outer(torch.arange(length) + float(offset), base ** (-torch.arange(0, d, 2).double() / d))
    turns = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)
    z = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(z * turns).flatten(-2)
""",
    "repeated angles and a turned copy": """
def apply_rope(x, *, base=10000.0, offset=0):
    d = x.shape[-1]
    inv_freq = 1.0 / (base ** (torch.arange(0, d, 2).float() / d))
    t = torch.arange(offset, offset + x.shape[-2]).float()
    angles = torch.einsum("i,j->ij", t, inv_freq).repeat_interleave(2, dim=-1)
    turned = torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).reshape(x.shape)
    return x * angles.cos() + turned * angles.sin()
""",
    "filled in": """
def apply_rope(x, *, base=10000.0, offset=0):
    out = torch.empty_like(x)
    *_, length, d = x.shape
    for i in range(d // 2):
        theta = (torch.arange(length, dtype=torch.float64) + offset) / base ** (2 * i / d)
        cos, sin = theta.cos().to(x.dtype), theta.sin().to(x.dtype)
        out[..., 2 * i] = x[..., 2 * i] * cos - x[..., 2 * i + 1] * sin
        out[..., 2 * i + 1] = x[..., 2 * i] * sin + x[..., 2 * i + 1] * cos
    return out
""",
    "rotation matrices": """
def apply_rope(x, *, base=10000.0, offset=0):
    *leading, length, d = x.shape
    positions = torch.arange(length, dtype=x.dtype) + offset
    frequencies = torch.tensor([base ** (-2 * i / d) for i in range(d // 2)], dtype=x.dtype)
    theta = positions[:, None] * frequencies
    c, s = theta.cos(), theta.sin()
    matrix = torch.stack((torch.stack((c, -s), -1), torch.stack((s, c), -1)), -2)
    pairs = x.view(*leading, length, d // 2, 2)
    return torch.einsum("lpij,...lpj->...lpi", matrix, pairs).reshape(x.shape)
""",
    "einops, in float64": """
from einops import rearrange

def apply_rope(x, *, base=10000.0, offset=0, verbose=False):
    a, b = rearrange(x.double(), "... (pair two) -> two ... pair", two=2)
    exponent = torch.arange(x.shape[-1] // 2, dtype=torch.float64) * 2 / x.shape[-1]
    theta = (torch.arange(x.shape[-2], dtype=torch.float64)[:, None] + offset) * base**-exponent
    turned = torch.stack((a * theta.cos() - b * theta.sin(), b * theta.cos() + a * theta.sin()))
    return rearrange(turned, "two ... pair -> ... (pair two)").to(x.dtype)
""",
}

CAUSAL_MASK = {
    "comparison of positions": """
def causal_mask(length):
    places = torch.arange(length)
    return places.unsqueeze(0) <= places.unsqueeze(1)
""",
    "not the upper triangle": """
def causal_mask(length):
    return ~torch.triu(torch.ones(length, length), diagonal=1).bool()
""",
    "ones compared": """
def causal_mask(length, device=None):
    return torch.tril(torch.ones((length, length), device=device)) == 1
""",
    "two loops": """
def causal_mask(length):
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        for j in range(i + 1):
            mask[i, j] = True
    return mask
""",
    "nested lists": """
import warnings

def causal_mask(length):
    warnings.warn("slow but right")
    return torch.tensor([[j <= i for j in range(length)] for i in range(length)])
""",
    "NumPy": """
import numpy as np

def causal_mask(length):
    return np.tri(length, dtype=bool)
""",
}

_MULTI_HEAD = """
class MultiHeadAttention(nn.Module):
    def __init__(self, *, d_model, num_heads):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("num_heads must divide d_model")
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_projection = nn.Linear(d_model, d_model)
        self.value_projection = nn.Linear(d_model, d_model)
        self.output_projection = nn.Linear(d_model, d_model)
"""

MULTI_HEAD_ATTENTION = {
    "one head after the other": _MULTI_HEAD
    + """
    def forward(self, query, key, value, mask=None):
        q, k, v = self.query_projection(query), self.key_projection(key), self.value_projection(value)
        if mask is not None:
            mask = mask.expand(len(q), self.num_heads, q.shape[1], k.shape[1])
        outputs, tables = [], []
        for h in range(self.num_heads):
            own = slice(h * self.head_dim, (h + 1) * self.head_dim)
            part = None if mask is None else mask[:, h]
            output, weights = scaled_dot_product_attention(q[..., own], k[..., own], v[..., own], part)
            outputs.append(output)
            tables.append(weights)
        return self.output_projection(torch.cat(outputs, -1)), torch.stack(tables, 1)
""",
    "einsum with heads in place": _MULTI_HEAD
    + """
    def forward(self, query, key, value, mask=None):
        q, k, v = (
            projection(x).unflatten(-1, (self.num_heads, self.head_dim))
            for projection, x in (
                (self.query_projection, query),
                (self.key_projection, key),
                (self.value_projection, value),
            )
        )
        scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / self.head_dim**0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(-1)
        return self.output_projection(torch.einsum("bhnm,bmhd->bnhd", weights, v).flatten(2)), weights
""",
    "einops": """
from einops import rearrange
"""
    + _MULTI_HEAD
    + """
    def forward(self, query, key, value, mask=None):
        q = rearrange(self.query_projection(query), "b n (h d) -> b h n d", h=self.num_heads)
        k = rearrange(self.key_projection(key), "b m (h d) -> b h m d", h=self.num_heads)
        v = rearrange(self.value_projection(value), "b m (h d) -> b h m d", h=self.num_heads)
        out, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.output_projection(rearrange(out, "b h n d -> b n (h d)")), weights
""",
    "the output projection applied head by head": _MULTI_HEAD
    + """
    def forward(self, query, key, value, mask=None, need_weights=True):
        def split(x):
            return x.view(x.shape[0], -1, self.num_heads, self.head_dim).permute(0, 2, 1, 3)

        heads, weights = scaled_dot_product_attention(
            split(self.query_projection(query)),
            split(self.key_projection(key)),
            split(self.value_projection(value)),
            mask=mask,
        )
        parts = self.output_projection.weight.T.view(self.num_heads, self.head_dim, -1)
        return torch.einsum("bhnd,hde->bne", heads, parts) + self.output_projection.bias, weights
""",
    "heads folded into the batch, baddbmm": """
class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        head_dim, rest = divmod(d_model, num_heads)
        if rest:
            raise ValueError(f"{d_model} channels, {num_heads} heads")
        self.num_heads, self.head_dim = num_heads, head_dim
        for role in ("output", "value", "key", "query"):
            self.add_module(f"{role}_projection", nn.Linear(d_model, d_model))

    def fold(self, x):
        batch, length, width = x.shape
        x = x.reshape(batch, length, self.num_heads, self.head_dim).transpose(1, 2)
        return x.reshape(batch * self.num_heads, length, self.head_dim)

    def forward(self, query, key, value, mask=None):
        batch, n, width = query.shape
        m = key.shape[1]
        q = self.fold(self.query_projection(query))
        k, v = self.fold(self.key_projection(key)), self.fold(self.value_projection(value))
        bias = torch.zeros(batch, self.num_heads, n, m)
        if mask is not None:
            bias = bias.masked_fill(~mask, -math.inf)
        scores = torch.baddbmm(bias.view(-1, n, m), q, k.transpose(1, 2), alpha=self.head_dim**-0.5)
        weights = scores.softmax(-1)
        out = torch.bmm(weights, v).view(batch, self.num_heads, n, self.head_dim).transpose(1, 2)
        return self.output_projection(out.reshape(batch, n, width)), weights.view(batch, self.num_heads, n, m)
""",
    "chunks stacked": _MULTI_HEAD
    + """
    def forward(self, query, key, value, mask=None):
        q = torch.stack(self.query_projection(query).chunk(self.num_heads, -1), 1)
        k = torch.stack(self.key_projection(key).chunk(self.num_heads, -1), 1)
        v = torch.stack(self.value_projection(value).chunk(self.num_heads, -1), 1)
        heads, weights = scaled_dot_product_attention(q, k, v, mask)
        return self.output_projection(torch.cat(heads.unbind(1), -1)), weights
""",
}

TILED_ATTENTION = {
    "slices, no tiles of queries": """
def tiled_attention(query, key, value, *, tile_size):
    scale = query.shape[-1] ** -0.5
    largest = torch.full(query.shape[:-1], -math.inf, dtype=query.dtype)
    total = torch.zeros(query.shape[:-1], dtype=query.dtype)
    output = torch.zeros(*query.shape[:-1], value.shape[-1], dtype=query.dtype)
    for start in range(0, key.shape[-2], tile_size):
        k, v = key[..., start : start + tile_size, :], value[..., start : start + tile_size, :]
        scores = torch.einsum("...nd,...md->...nm", query * scale, k)
        new = torch.maximum(largest, scores.max(-1).values)
        old = torch.exp(largest - new)
        p = torch.exp(scores - new[..., None])
        total = total * old + p.sum(-1)
        output = output * old[..., None] + p @ v
        largest = new
    return output / total[..., None]
""",
    "running log-sum-exp": """
def tiled_attention(query, key, value, *, tile_size):
    rows = []
    for q in query.split(tile_size, -2):
        logsum, output = None, None
        for k, v in zip(key.split(tile_size, -2), value.split(tile_size, -2)):
            scores = q @ k.mT / math.sqrt(q.shape[-1])
            here = torch.logsumexp(scores, -1, keepdim=True)
            part = (scores - here).exp() @ v
            if logsum is None:
                logsum, output = here, part
            else:
                new = torch.logaddexp(logsum, here)
                output = output * (logsum - new).exp() + part * (here - new).exp()
                logsum = new
        rows.append(output)
    return torch.cat(rows, -2)
""",
    "two passes, the maximum first": """
def tiled_attention(query, key, value, *, tile_size):
    tiles = list(zip(key.split(tile_size, dim=-2), value.split(tile_size, dim=-2)))
    scale = math.sqrt(query.shape[-1])
    with torch.no_grad():
        largest = torch.stack([(query @ k.transpose(-2, -1) / scale).amax(-1, keepdim=True) for k, _ in tiles]).amax(0)
    total, output = 0, 0
    for k, v in tiles:
        p = torch.exp(query @ k.transpose(-2, -1) / scale - largest)
        total, output = total + p.sum(-1, keepdim=True), output + p @ v
    return output / total
""",
    "one query after the other": """
def tiled_attention(query, key, value, *, tile_size):
    results = []
    for i in range(query.shape[-2]):
        q = query[..., i, :]
        m = torch.full(q.shape[:-1], -math.inf)
        s, o = torch.zeros_like(m), torch.zeros(*q.shape[:-1], value.shape[-1])
        for j in range(0, key.shape[-2], tile_size):
            k, v = key[..., j : j + tile_size, :], value[..., j : j + tile_size, :]
            scores = (k @ q[..., None])[..., 0] / q.shape[-1] ** 0.5
            new = torch.maximum(m, scores.detach().amax(-1))
            p = (scores - new[..., None]).exp()
            s = s * (m - new).exp() + p.sum(-1)
            o = o * (m - new).exp()[..., None] + (p[..., None] * v).sum(-2)
            m = new
        results.append(o / s[..., None])
    return torch.stack(results, dim=-2)
""",
    "normalised after every tile": """
def tiled_attention(query, key, value, *, tile_size):
    out = []
    for a in range(math.ceil(query.shape[-2] / tile_size)):
        q = query[..., a * tile_size : (a + 1) * tile_size, :]
        m, s, mean = None, None, None
        for b in range(-(-key.shape[-2] // tile_size)):
            k = key[..., b * tile_size : (b + 1) * tile_size, :]
            v = value[..., b * tile_size : (b + 1) * tile_size, :]
            x = q @ k.transpose(-1, -2) / math.sqrt(query.size(-1))
            top = x.max(dim=-1, keepdim=True)[0]
            if m is None:
                m, s = top, torch.exp(x - top).sum(-1, keepdim=True)
                mean = torch.exp(x - top) @ v / s
                continue
            new = torch.where(top > m, top, m)
            kept = s * torch.exp(m - new)
            p = torch.exp(x - new)
            s = kept + p.sum(-1, keepdim=True)
            mean = (mean * kept + p @ v) / s
            m = new
        out.append(mean)
    return torch.cat(out, dim=-2)
""",
    "keys walked backwards, halves merged": """
def tiled_attention(query, key, value, *, tile_size):
    def part(q, k, v):
        if k.shape[-2] <= tile_size:
            x = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
            m = x.amax(-1, keepdim=True)
            p = (x - m).exp()
            return m, p.sum(-1, keepdim=True), p @ v
        half = k.shape[-2] // 2
        m2, s2, o2 = part(q, k[..., half:, :], v[..., half:, :])
        m1, s1, o1 = part(q, k[..., :half, :], v[..., :half, :])
        m = torch.maximum(m1, m2)
        return m, s1 * (m1 - m).exp() + s2 * (m2 - m).exp(), o1 * (m1 - m).exp() + o2 * (m2 - m).exp()

    results = [part(q, key, value) for q in query.split(tile_size, dim=-2)]
    return torch.cat([o / s for _, s, o in results], dim=-2)
""",
}

ATTENTION_COST = {
    "one head's share times the heads": """
def attention_cost(*, length, d_model, num_heads):
    head_dim = d_model // num_heads
    counts = {
        "qkv_projection": num_heads * length * d_model * 3 * head_dim,
        "scores": num_heads * length * head_dim * length,
        "weighting": num_heads * length * length * head_dim,
        "output_projection": length * d_model * d_model,
    }
    counts["total"] = sum(counts.values())
    counts["weight_floats"] = num_heads * length**2
    return counts
""",
    "a helper for a product, another order of keys": """
def product(a, b, c):
    return a * b * c

def attention_cost(*, length, d_model, num_heads):
    scores = product(length, d_model, length)
    projection = product(length, d_model, d_model)
    return {
        "weight_floats": length * length * num_heads,
        "total": 4 * projection + 2 * scores,
        "output_projection": projection,
        "weighting": scores,
        "scores": scores,
        "qkv_projection": 3 * projection,
    }
""",
    "NumPy integers": """
import numpy as np

def attention_cost(*, length, d_model, num_heads):
    n, d, h = np.int64(length), np.int64(d_model), np.int64(num_heads)
    parts = np.array([3 * n * d * d, n * n * d, n * n * d, n * d * d])
    names = ["qkv_projection", "scores", "weighting", "output_projection"]
    return {**dict(zip(names, parts)), "total": parts.sum(), "weight_floats": h * n * n}
""",
    "checked arguments, dict()": """
def attention_cost(*, length: int, d_model: int, num_heads: int = 1) -> dict[str, int]:
    assert d_model % num_heads == 0
    print(f"counting {length} positions")
    table = dict(qkv_projection=length * (3 * d_model) * d_model, scores=d_model * length**2)
    table.update(weighting=table["scores"], output_projection=table["qkv_projection"] // 3)
    table.update(total=sum(table.values()), weight_floats=num_heads * length * length)
    return table
""",
    "from shapes": """
def attention_cost(*, length, d_model, num_heads):
    width = d_model // num_heads
    shapes = {
        "qkv_projection": (1, length, d_model, 3 * d_model),
        "scores": (num_heads, length, width, length),
        "weighting": (num_heads, length, length, width),
        "output_projection": (1, length, d_model, d_model),
    }
    costs = {name: math.prod(shape) for name, shape in shapes.items()}
    return costs | {"total": sum(costs.values()), "weight_floats": math.prod((num_heads, length, length))}
""",
}

_ROTARY = """
class RotarySelfAttention(nn.Module):
    def __init__(self, *, d_model, num_heads):
        super().__init__()
        self.heads = num_heads
        self.query_projection = nn.Linear(d_model, d_model)
        self.key_projection = nn.Linear(d_model, d_model)
        self.value_projection = nn.Linear(d_model, d_model)
        self.output_projection = nn.Linear(d_model, d_model)
"""

ROTARY_SELF_ATTENTION = {
    "a child of MultiHeadAttention": """
class RotarySelfAttention(MultiHeadAttention):
    def forward(self, x, *, offset=0):
        def split(y):
            return y.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

        query = apply_rope(split(self.query_projection(x)), offset=offset)
        key = apply_rope(split(self.key_projection(x)), offset=offset)
        output, _ = scaled_dot_product_attention(query, key, split(self.value_projection(x)), causal_mask(x.shape[1]))
        return self.output_projection(output.transpose(1, 2).flatten(2))
""",
    "everything of its own, in complex numbers": _ROTARY
    + """
    def forward(self, x, *, offset=0):
        batch, length, d_model = x.shape
        d = d_model // self.heads
        q, k, v = (
            y.reshape(batch, length, self.heads, d).transpose(1, 2)
            for y in (self.query_projection(x), self.key_projection(x), self.value_projection(x))
        )
        angles = torch.outer(torch.arange(length) + offset, 10000.0 ** (-torch.arange(0, d, 2) / d))
        turns = torch.polar(torch.ones_like(angles), angles)
        q, k = (
            torch.view_as_real(torch.view_as_complex(y.unflatten(-1, (-1, 2)).contiguous()) * turns).flatten(-2)
            for y in (q, k)
        )
        scores = torch.einsum("bhid,bhjd->bhij", q, k) / d**0.5
        scores = scores + torch.full((length, length), -math.inf).triu(1)
        return self.output_projection((scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape))
""",
    "head by head": _ROTARY
    + """
    def forward(self, x, *, offset=0, verbose=False):
        outputs = []
        parts = zip(
            self.query_projection(x).chunk(self.heads, -1),
            self.key_projection(x).chunk(self.heads, -1),
            self.value_projection(x).chunk(self.heads, -1),
        )
        for q, k, v in parts:
            output, _ = scaled_dot_product_attention(
                apply_rope(q, offset=offset), apply_rope(k, offset=offset), v, causal_mask(x.shape[1])
            )
            outputs.append(output)
        return self.output_projection(torch.cat(outputs, dim=-1))
""",
    "mask and frequencies kept as buffers": """
class RotarySelfAttention(nn.Module):
    def __init__(self, *, d_model, num_heads, max_length=64):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, d_model // num_heads
        self.query_projection, self.key_projection, self.value_projection, self.output_projection = (
            nn.Linear(d_model, d_model) for _ in range(4)
        )
        self.register_buffer("mask", torch.tril(torch.ones(max_length, max_length)).view(1, 1, max_length, max_length))
        self.register_buffer("inv_freq", 10000.0 ** (-torch.arange(0, self.head_dim, 2) / self.head_dim))

    def rotate(self, x, offset):
        angles = (torch.arange(x.shape[2]) + offset)[:, None] * self.inv_freq
        cos, sin = (f.repeat_interleave(2, -1) for f in (angles.cos(), angles.sin()))
        return x * cos + torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2) * sin

    def forward(self, x, *, offset=0):
        B, T, C = x.size()
        q = self.query_projection(x).view(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)
        k = self.key_projection(x).view(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)
        v = self.value_projection(x).view(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)
        att = (self.rotate(q, offset) @ self.rotate(k, offset).transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
        y = F.softmax(att, dim=-1) @ v
        return self.output_projection(y.transpose(1, 2).contiguous().view(B, T, C))
""",
    "the offset left out": _ROTARY
    + """
    def forward(self, x, *, offset=0):
        batch, length, d_model = x.shape
        shape = (batch, length, self.heads, d_model // self.heads)
        q = apply_rope(self.query_projection(x).view(shape).transpose(1, 2))
        k = apply_rope(self.key_projection(x).view(shape).transpose(1, 2))
        v = self.value_projection(x).view(shape).transpose(1, 2)
        out, weights = scaled_dot_product_attention(q, k, v, causal_mask(length)[None, None])
        return self.output_projection(out.permute(0, 2, 1, 3).reshape(batch, length, d_model))
""",
    "position by position, as a decoder works": _ROTARY
    + """
    def forward(self, x, *, offset=0):
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q = apply_rope(split(self.query_projection(x)), offset=offset)
        k = apply_rope(split(self.key_projection(x)), offset=offset)
        v = split(self.value_projection(x))
        rows = []
        for i in range(x.shape[1]):
            scores = q[:, :, i : i + 1] @ k[:, :, : i + 1].transpose(-2, -1) / math.sqrt(q.shape[-1])
            rows.append(scores.softmax(-1) @ v[:, :, : i + 1])
        merged = torch.cat(rows, dim=2).transpose(1, 2).flatten(2)
        return self.output_projection(merged)
""",
    "angles in float32": _ROTARY
    + """
    def turn(self, y, offset):
        d = y.shape[-1]
        frequencies = 1.0 / (10000 ** (torch.arange(0, d, 2).float() / d))
        angles = (torch.arange(y.shape[-2]).float() + offset)[:, None] * frequencies
        a, b = y[..., ::2], y[..., 1::2]
        return torch.stack((a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()), -1).flatten(-2)

    def forward(self, x, *, offset=0):
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query_projection, self.key_projection, self.value_projection)
        )
        heads, _ = scaled_dot_product_attention(self.turn(q, offset), self.turn(k, offset), v, causal_mask(x.shape[1]))
        return self.output_projection(heads.transpose(1, 2).flatten(2))
""",
}

RIGHT_ANSWERS = {
    "contextual_embedding": CONTEXTUAL_EMBEDDING,
    "scaled_dot_product_attention": SCALED_DOT_PRODUCT_ATTENTION,
    "CrossAttention": CROSS_ATTENTION,
    "SelfAttention": SELF_ATTENTION,
    "permutation_error": PERMUTATION_ERROR,
    "sinusoidal_positions": SINUSOIDAL_POSITIONS,
    "apply_rope": APPLY_ROPE,
    "causal_mask": CAUSAL_MASK,
    "MultiHeadAttention": MULTI_HEAD_ATTENTION,
    "tiled_attention": TILED_ATTENTION,
    "attention_cost": ATTENTION_COST,
    "RotarySelfAttention": ROTARY_SELF_ATTENTION,
}
