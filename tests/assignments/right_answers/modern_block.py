"""Right answers to assignment 07, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

RMS_NORM = {
    "rsqrt": """
def rms_norm(x, weight, *, eps=1e-5):
    return weight * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps)
""",
    "one vector after the other": """
def rms_norm(x, weight, *, eps=1e-5):
    rows = []
    for vector in x.reshape(-1, x.shape[-1]):
        rms = (vector @ vector / len(vector) + eps) ** 0.5
        rows.append(weight * vector / rms)
    return torch.stack(rows).reshape(x.shape)
""",
    "einsum in double": """
def rms_norm(x, weight, *, eps=1e-5):
    x = x.double()
    sums = torch.einsum("...i,...i->...", x, x)[..., None]
    return torch.einsum("...i,i->...i", x / (sums / x.size(-1) + eps).sqrt(), weight.double())
""",
    "the length of the vector": """
def rms_norm(x: torch.Tensor, weight: torch.Tensor, *, eps: float = 1e-5) -> torch.Tensor:
    d = x.shape[-1]
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    print("normalised", tuple(x.shape))
    return math.sqrt(d) * x / (length**2 + d * eps).sqrt() * weight
""",
    "variance plus square of the mean": """
def rms_norm(x, weight, *, eps=1e-5, axis=-1):
    mean = x.mean(axis, keepdim=True)
    mean_of_squares = x.var(axis, keepdim=True, correction=0) + mean.pow(2)
    return torch.mul(torch.div(x, torch.sqrt(mean_of_squares + eps)), weight)
""",
}

_SWIGLU_START = """
class SwiGLU(nn.Module):
    def __init__(self, *, d_model, dim_feedforward):
        super().__init__()
        self.gate_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.value_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.output_projection = nn.Linear(dim_feedforward, d_model, bias=False)
"""

SWIGLU = {
    "one expression": _SWIGLU_START
    + """
    def forward(self, x):
        return self.output_projection(self.value_projection(x) * F.silu(self.gate_projection(x)))
""",
    "SiLU by hand": _SWIGLU_START
    + """
    def forward(self, x):
        z = self.gate_projection(x)
        return self.output_projection(z * torch.sigmoid(z) * self.value_projection(x))
""",
    "a module for SiLU": """
class SwiGLU(nn.Module):
    def __init__(self, *, d_model, dim_feedforward, activation=None):
        super().__init__()
        self.gate_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.value_projection = nn.Linear(d_model, dim_feedforward, bias=False)
        self.activation = activation or nn.SiLU()
        self.output_projection = nn.Linear(dim_feedforward, d_model, bias=False)

    def forward(self, x):
        return self.output_projection(self.activation(self.gate_projection(x)) * self.value_projection(x))
""",
    "one product for both": _SWIGLU_START
    + """
    def forward(self, x):
        both = x @ torch.cat([self.gate_projection.weight, self.value_projection.weight]).T
        gate, value = both.chunk(2, dim=-1)
        return (gate / (1 + torch.exp(-gate)) * value) @ self.output_projection.weight.T
""",
    "einsum": _SWIGLU_START
    + """
    def forward(self, x):
        gate = torch.einsum("...d,hd->...h", x, self.gate_projection.weight)
        value = torch.einsum("...d,hd->...h", x, self.value_projection.weight)
        return torch.einsum("...h,...h,dh->...d", F.silu(gate), value, self.output_projection.weight)
""",
}

_BLOCK_START = """
class PreNormBlock(nn.Module):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__()
        self.norm1 = nn.RMSNorm(d_model, eps=1e-5)
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.norm2 = nn.RMSNorm(d_model, eps=1e-5)
        self.feed_forward = SwiGLU(d_model=d_model, dim_feedforward=dim_feedforward)
"""

PRE_NORM_BLOCK = {
    "one line for each": _BLOCK_START
    + """
    def forward(self, x, mask=None):
        x = self.self_attention(*[self.norm1(x)] * 3, mask)[0] + x
        return self.feed_forward(self.norm2(x)) + x
""",
    "a helper for norm and add": _BLOCK_START
    + """
    @staticmethod
    def norm_and_add(x, norm, sub_layer):
        return torch.add(x, sub_layer(norm(x)))

    def forward(self, x, mask=None):
        x = self.norm_and_add(x, self.norm1, lambda y: self.self_attention(query=y, key=y, value=y, mask=mask)[0])
        return self.norm_and_add(x, self.norm2, self.feed_forward)
""",
    "norms by hand": _BLOCK_START
    + """
    def forward(self, x, mask=None):
        normed = rms_norm(x, self.norm1.weight, eps=self.norm1.eps)
        x = x + self.self_attention(normed, normed, normed, mask)[0]
        return x + self.feed_forward(rms_norm(x, self.norm2.weight))
""",
    "norms of its own": """
class PreNormBlock(nn.Module):
    def __init__(self, *, d_model, num_heads, dim_feedforward):
        super().__init__()
        self.norm1, self.norm2 = nn.Module(), nn.Module()
        self.norm1.weight = nn.Parameter(torch.ones(d_model))
        self.norm2.weight = nn.Parameter(torch.ones(d_model))
        self.self_attention = MultiHeadAttention(d_model=d_model, num_heads=num_heads)
        self.feed_forward = SwiGLU(d_model=d_model, dim_feedforward=dim_feedforward)
        self.dropout = nn.Dropout(0.1)

    def normed(self, x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight

    def forward(self, x, mask=None):
        y = self.normed(x, self.norm1.weight)
        x = x + self.dropout(self.self_attention(y, y, y, mask)[0])
        return x + self.dropout(self.feed_forward(self.normed(x, self.norm2.weight)))
""",
    "one sentence after the other": _BLOCK_START
    + """
    def forward(self, x, mask=None):
        rows = []
        for i in range(len(x)):
            one = x[i : i + 1]
            own = mask if mask is None or mask.dim() < 3 or len(mask) == 1 else mask[i : i + 1]
            y = self.norm1(one)
            one = one + self.self_attention(y, y, y, own)[0]
            rows.append(one + self.feed_forward(self.norm2(one)))
        return torch.cat(rows)
""",
    "the sum of what was added": _BLOCK_START
    + """
    def forward(self, x, mask=None):
        start = x.clone()
        y = self.norm1(x)
        added, weights = self.self_attention(y, y, y, mask)
        added = added + self.feed_forward(self.norm2(start + added))
        return start + added
""",
}

TOP_K_ROUTING = {
    "softmax first, renormalised": """
def top_k_routing(logits, *, num_active):
    probabilities, experts = torch.topk(logits.softmax(-1), num_active)
    return probabilities / probabilities.sum(-1, keepdim=True), experts
""",
    "argsort and gather": """
def top_k_routing(logits, *, num_active):
    experts = logits.argsort(dim=-1, descending=True)[..., :num_active]
    return F.softmax(logits.gather(-1, experts), dim=-1), experts
""",
    "others to minus infinity": """
def top_k_routing(logits, *, num_active):
    experts = logits.topk(num_active).indices
    masked = torch.full_like(logits, -math.inf).scatter(-1, experts, logits.gather(-1, experts))
    return masked.softmax(-1).gather(-1, experts), experts
""",
    "one choice after the other": """
def top_k_routing(logits, *, num_active):
    left, best, experts = logits.clone(), [], []
    for _ in range(num_active):
        number = left.argmax(dim=-1, keepdim=True)
        best.append(logits.gather(-1, number))
        experts.append(number)
        left = left.scatter(-1, number, -math.inf)
    best = torch.cat(best, dim=-1)
    weights = (best - best.amax(-1, keepdim=True).detach()).exp()
    return weights / weights.sum(-1, keepdim=True), torch.cat(experts, dim=-1)
""",
    "row by row in Python": """
def top_k_routing(logits, *, num_active):
    rows = logits.reshape(-1, logits.shape[-1])
    order = [sorted(range(len(row)), key=lambda e: -float(row[e]))[:num_active] for row in rows]
    weights = torch.stack([torch.softmax(row[chosen], dim=0) for row, chosen in zip(rows, order)])
    shape = (*logits.shape[:-1], num_active)
    return weights.reshape(shape), torch.tensor(order).reshape(shape)
""",
    "a list of two": """
def top_k_routing(logits: torch.Tensor, *, num_active: int = 2):
    values, indices = torch.topk(logits, k=num_active, dim=-1, largest=True, sorted=True)
    return [torch.nn.Softmax(dim=-1)(values.double()), indices.int()]
""",
}

LOAD_BALANCE_LOSS = {
    "bincount": """
def load_balance_loss(logits, *, num_active):
    num_experts = logits.shape[-1]
    chosen = top_k_routing(logits, num_active=num_active)[1]
    counts = torch.bincount(chosen.flatten(), minlength=num_experts)
    probability = logits.softmax(-1).reshape(-1, num_experts).mean(0)
    return num_experts * (counts / counts.sum()).to(probability) @ probability
""",
    "a loop over the experts": """
def load_balance_loss(logits, *, num_active):
    flat = logits.reshape(-1, logits.shape[-1])
    weights, chosen = top_k_routing(flat, num_active=num_active)
    probabilities = flat.softmax(dim=1)
    total = 0.0
    for e in range(flat.shape[1]):
        f = (chosen == e).sum() / chosen.numel()
        total = total + f * probabilities[:, e].mean()
    return total * flat.shape[1]
""",
    "scatter": """
def load_balance_loss(logits, *, num_active):
    z = logits.reshape(-1, logits.size(-1))
    n, e = z.shape
    used = torch.zeros_like(z).scatter(1, z.topk(num_active, dim=1).indices, 1.0)
    return e * torch.sum(used.sum(0) / (n * num_active) * z.softmax(1).sum(0) / n)
""",
    "einsum": """
def load_balance_loss(logits, *, num_active):
    z = logits.flatten(0, -2) if logits.dim() > 1 else logits[None]
    _, chosen = top_k_routing(z, num_active=num_active)
    hot = F.one_hot(chosen, z.shape[1]).double()
    share = torch.einsum("nae->e", hot) / chosen.numel()
    return z.shape[1] * torch.einsum("e,ne->", share, z.double().softmax(-1)) / len(z)
""",
    "the mean of the products": """
def load_balance_loss(logits, *, num_active):
    with torch.no_grad():
        _, chosen = top_k_routing(logits, num_active=num_active)
        share = torch.stack([(chosen == e).double().mean() for e in range(logits.shape[-1])])
    probability = torch.exp(logits.log_softmax(-1))
    while probability.dim() > 1:
        probability = probability.mean(0)
    return (share * probability).mean() * logits.shape[-1] ** 2
""",
}

PARAMETER_COUNTS = {
    "part by part": """
def parameter_counts(*, d_model, dim_feedforward, num_experts, num_active):
    attention = 4 * d_model * d_model + 4 * d_model
    norms = d_model + d_model
    router = num_experts * d_model
    expert = d_model * dim_feedforward * 2 + dim_feedforward * d_model
    rest = attention + norms + router
    return dict(total=rest + num_experts * expert, active=rest + num_active * expert)
""",
    "built and counted": """
def parameter_counts(*, d_model, dim_feedforward, num_experts, num_active):
    size = lambda *modules: sum(p.numel() for module in modules for p in module.parameters())
    attention = MultiHeadAttention(d_model=d_model, num_heads=1)
    router = nn.Linear(d_model, num_experts, bias=False)
    always = size(attention, router) + 2 * d_model
    expert = 3 * nn.Linear(d_model, dim_feedforward, bias=False).weight.numel()
    return {"active": always + num_active * expert, "total": always + num_experts * expert}
""",
    "total less what rests": """
def parameter_counts(*, d_model, dim_feedforward, num_experts, num_active):
    d, h, e = d_model, dim_feedforward, num_experts
    total = 4 * d * (d + 1) + d * (2 + e) + 3 * d * h * e
    return {"total": total, "active": total - 3 * d * h * (e - num_active)}
""",
    "a list of shapes": """
def parameter_counts(*, d_model, dim_feedforward, num_experts, num_active):
    def count(experts):
        shapes = [(d_model, d_model), (d_model,)] * 4 + [(d_model,)] * 2 + [(num_experts, d_model)]
        shapes += [(dim_feedforward, d_model)] * 3 * experts
        return sum(math.prod(shape) for shape in shapes)

    print("counting")
    return {"total": count(num_experts), "active": count(num_active)}
""",
    "on the meta device": """
def parameter_counts(*, d_model, dim_feedforward, num_experts, num_active):
    counts = {}
    for name, experts in (("total", num_experts), ("active", num_active)):
        with torch.device("meta"):
            parts = [nn.Linear(d_model, d_model) for _ in range(4)]
            parts += [nn.Linear(d_model, dim_feedforward, bias=False) for _ in range(3 * experts)]
            parts += [nn.Linear(d_model, num_experts, bias=False)]
        counts[name] = 2 * d_model + sum(p.numel() for part in parts for p in part.parameters())
    return counts
""",
}

_MIXTURE_START = """
class MixtureOfExperts(nn.Module):
    def __init__(self, *, d_model, dim_feedforward, num_experts, num_active):
        super().__init__()
        self.num_active = num_active
        self.router = nn.Linear(d_model, num_experts, bias=False)
        self.experts = nn.ModuleList(
            SwiGLU(d_model=d_model, dim_feedforward=dim_feedforward) for _ in range(num_experts)
        )
"""

MIXTURE_OF_EXPERTS = {
    "one position after the other": _MIXTURE_START
    + """
    def forward(self, x):
        rows = []
        for vector in x.reshape(-1, x.shape[-1]):
            weights, chosen = top_k_routing(self.router(vector), num_active=self.num_active)
            rows.append(sum(w * self.experts[int(e)](vector) for w, e in zip(weights, chosen)))
        return torch.stack(rows).reshape(x.shape)
""",
    "boolean masks, experts without work left out": _MIXTURE_START
    + """
    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = top_k_routing(self.router(flat), num_active=self.num_active)
        output = torch.zeros_like(flat)
        for e in range(len(self.experts)):
            mine = (chosen == e).any(dim=-1)
            if not mine.any():
                continue
            weight = (weights * (chosen == e)).sum(dim=-1)[mine]
            output[mine] = output[mine] + weight.unsqueeze(-1) * self.experts[e](flat[mine])
        return output.view(x.shape)
""",
    "a table of weights": _MIXTURE_START
    + """
    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = top_k_routing(self.router(flat), num_active=self.num_active)
        table = torch.zeros(len(flat), len(self.experts), dtype=weights.dtype).scatter(1, chosen, weights)
        out = torch.zeros_like(flat)
        for column, expert in zip(table.T, self.experts):
            rows = column.nonzero().squeeze(-1)
            out.index_add_(0, rows, column[rows, None] * expert(flat[rows]))
        return out.reshape_as(x)
""",
    "sorted by expert": _MIXTURE_START
    + """
    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = top_k_routing(self.router(flat), num_active=self.num_active)
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=len(self.experts)).tolist()
        rows = order.div(self.num_active, rounding_mode="floor")
        parts = [expert(part) for expert, part in zip(self.experts, flat[rows].split(counts))]
        weighted = torch.cat(parts) * weights.flatten()[order, None]
        return torch.zeros_like(flat).index_add(0, rows, weighted).reshape(x.shape)
""",
    "each position's own copy of its experts' matrices": _MIXTURE_START
    + """
    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = top_k_routing(self.router(flat), num_active=self.num_active)
        layers = ("gate_projection", "value_projection", "output_projection")
        gate, value, back = (
            torch.stack([getattr(expert, layer).weight for expert in self.experts])[chosen] for layer in layers
        )
        middle = F.silu(torch.einsum("nd,nahd->nah", flat, gate)) * torch.einsum("nd,nahd->nah", flat, value)
        return torch.einsum("na,nah,nadh->nd", weights, middle, back).reshape(x.shape)
""",
    "a loop over the choices": _MIXTURE_START
    + """
    def forward(self, x):
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        weights, chosen = top_k_routing(self.router(x), num_active=self.num_active)
        out = x * 0
        for place in range(self.num_active):
            part = torch.empty_like(x)
            for number, expert in enumerate(self.experts):
                rows = chosen[:, place] == number
                part[rows] = expert(x[rows])
            out = out + weights[:, place : place + 1] * part
        return out.reshape(shape)
""",
}

RIGHT_ANSWERS = {
    "rms_norm": RMS_NORM,
    "SwiGLU": SWIGLU,
    "PreNormBlock": PRE_NORM_BLOCK,
    "top_k_routing": TOP_K_ROUTING,
    "load_balance_loss": LOAD_BALANCE_LOSS,
    "parameter_counts": PARAMETER_COUNTS,
    "MixtureOfExperts": MIXTURE_OF_EXPERTS,
}
