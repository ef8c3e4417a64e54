"""Right answers to assignment 11, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

INTERPOLATE = {
    "from the noise on": """
def interpolate(x0, x1, t):
    t = t.view(-1, *(1 for _ in x0.shape[1:]))
    return x0 + t * (x1 - x0)
""",
    "flattened rows": """
def interpolate(x0, x1, t):
    rows = (1 - t[:, None]) * x0.flatten(1) + t[:, None] * x1.flatten(1)
    return rows.reshape(x0.shape)
""",
    "a loop over the batch": """
def interpolate(x0, x1, t):
    print("interpolating", len(t), "rows")
    return torch.stack([a * (1 - s) + b * s for a, b, s in zip(x0, x1, t)])
""",
    "einsum": """
def interpolate(x0, x1, t):
    return torch.einsum("b,b...->b...", 1 - t, x0) + torch.einsum("b,b...->b...", t, x1)
""",
    "axes moved to the end and back": """
def interpolate(x0, x1, t, *, verbose=False):
    last0, last1 = x0.movedim(0, -1), x1.movedim(0, -1)
    return ((1 - t) * last0 + t * last1).movedim(-1, 0)
""",
    "in float32": """
def interpolate(x0, x1, t):
    while t.dim() < x0.dim():
        t = t.unsqueeze(-1)
    return (1 - t.float()) * x0.float() + t.float() * x1.float()
""",
}

VELOCITY_TARGET = {
    "minus the way back": """
def velocity_target(x0, x1):
    return -(x0 - x1)
""",
    "torch.sub": """
def velocity_target(x0, x1):
    return torch.sub(x1, x0)
""",
    "the derivative of the path by autograd": """
def velocity_target(x0, x1):
    def path(t):
        return (1 - t) * x0 + t * x1
    _, slope = torch.func.jvp(path, (torch.tensor(0.3, dtype=x0.dtype),), (torch.tensor(1.0, dtype=x0.dtype),))
    return slope
""",
    "twice the way of half the time": """
def velocity_target(x0, x1):
    half = (x0 + x1) / 2
    return 2 * (half - x0)
""",
    "in float32": """
def velocity_target(x0: Tensor, x1: Tensor) -> Tensor:
    out = x1.float().clone()
    out -= x0.float()
    return out
""",
}

FLOW_MATCHING_LOSS = {
    "mse_loss": """
def flow_matching_loss(velocity, x0, x1, t):
    return F.mse_loss(velocity(interpolate(x0, x1, t), t), velocity_target(x0, x1))
""",
    "everything written out": """
def flow_matching_loss(velocity, x0, x1, t):
    s = t.reshape(-1, *[1] * (x0.dim() - 1))
    error = velocity((1 - s) * x0 + s * x1, t) - (x1 - x0)
    return (error**2).sum() / error.numel()
""",
    "the mean of the rows' means": """
def flow_matching_loss(velocity, x0, x1, t):
    error = velocity(interpolate(x0, x1, t), t) - velocity_target(x0, x1)
    return error.pow(2).flatten(1).mean(1).mean()
""",
    "one row at a time": """
def flow_matching_loss(velocity, x0, x1, t):
    import warnings
    warnings.warn("slow but right", RuntimeWarning)
    total = 0
    for i in range(len(t)):
        row = slice(i, i + 1)
        x = (1 - t[i]) * x0[row] + t[i] * x1[row]
        total = total + (velocity(x, t[row]) - (x1[row] - x0[row])).square().mean()
    return total / len(t)
""",
    "squared length over the number of numbers": """
def flow_matching_loss(velocity, x0, x1, t):
    error = (velocity_target(x0, x1) - velocity(interpolate(x0, x1, t), t)).flatten()
    return error @ error / len(error)
""",
}

TIME_EMBEDDING = {
    "filled column by column": """
def time_embedding(t, *, dim, max_frequency=100.0):
    if dim % 2 == 1:
        raise ValueError("dim must be even")
    out = torch.zeros(len(t), dim, dtype=t.dtype)
    for i in range(dim // 2):
        out[:, 2 * i] = (max_frequency ** (2 * i / dim) * t).sin()
        out[:, 2 * i + 1] = (max_frequency ** (2 * i / dim) * t).cos()
    return out
""",
    "every second column": """
def time_embedding(t, *, dim, max_frequency=100.0):
    if dim & 1:
        raise ValueError(dim)
    angles = torch.outer(t, max_frequency ** (2 * torch.arange(dim // 2) / dim).to(t.dtype))
    out = torch.empty(*angles.shape[:1], dim, dtype=t.dtype)
    out[:, 0::2], out[:, 1::2] = angles.sin(), angles.cos()
    return out
""",
    "exponential of logarithms": """
def time_embedding(t, *, dim, max_frequency=100.0):
    if dim % 2:
        raise ValueError("odd")
    i = torch.arange(dim // 2, dtype=torch.float64)
    angles = t.double()[:, None] * torch.exp(2 * i / dim * math.log(max_frequency))
    return torch.cat([angles.sin()[..., None], angles.cos()[..., None]], -1).view(len(t), dim)
""",
    "the cosine as a shifted sine": """
def time_embedding(t, *, dim, max_frequency=100.0):
    if dim != 2 * (dim // 2):
        raise ValueError("odd")
    frequencies = torch.logspace(0, 1, dim // 2 + 1, base=max_frequency, dtype=t.dtype)[:-1]
    shift = torch.tensor([0.0, math.pi / 2], dtype=t.dtype)
    return (t[:, None, None] * frequencies[:, None] + shift).sin().reshape(len(t), dim)
""",
    "complex numbers": """
def time_embedding(t, *, dim, max_frequency=100.0):
    if dim % 2:
        raise ValueError("odd")
    frequencies = torch.tensor([max_frequency ** (i / dim) for i in range(0, dim, 2)], dtype=t.dtype)
    turned = torch.exp(1j * t[:, None] * frequencies)
    return torch.view_as_real(turned).flip(-1).reshape(len(t), dim)
""",
}

EULER_SAMPLE = {
    "filled in place": """
def euler_sample(velocity, x0, *, steps):
    if steps < 1:
        raise ValueError("no step")
    path = torch.empty(steps + 1, *x0.shape, dtype=x0.dtype)
    path[0] = x0
    for k in range(steps):
        path[k + 1] = path[k] + velocity(path[k], torch.ones(len(x0), dtype=x0.dtype) * k / steps) / steps
    return path
""",
    "arrows added up": """
def euler_sample(velocity, x0, *, steps):
    if not steps > 0:
        raise ValueError("no step")
    moves = [torch.zeros_like(x0)]
    here = x0
    for k in range(steps):
        moves.append(velocity(here, torch.full((x0.shape[0],), k / steps, dtype=x0.dtype)) / steps)
        here = here + moves[-1]
    return x0 + torch.stack(moves).cumsum(0)
""",
    "a time that grows": """
def euler_sample(velocity, x0, *, steps):
    if steps <= 0:
        raise ValueError("no step")
    h, t = 1 / steps, torch.zeros(len(x0), dtype=x0.dtype)
    path = [x0]
    while len(path) <= steps:
        path.append(path[-1] + h * velocity(path[-1], t))
        t = t + h
    return torch.stack(path, dim=0)
""",
    "recursion from the start": """
def euler_sample(velocity, x0, *, steps):
    if steps < 1:
        raise ValueError("no step")
    def go(x, k):
        if k == steps:
            return [x]
        return [x, *go(x + velocity(x, x.new_full((len(x),), k / steps)) / steps, k + 1)]
    return torch.stack(go(x0, 0))
""",
    "times from linspace, without gradients": """
@torch.no_grad()
def euler_sample(velocity, x0, *, steps):
    if steps < 1:
        raise ValueError("no step")
    times = torch.linspace(0, 1, steps + 1, dtype=x0.dtype)
    x, out = x0, x0[None]
    for now, after in zip(times, times[1:]):
        x = x + (after - now) * velocity(x, now.expand(len(x)))
        out = torch.cat([out, x[None]])
    return out
""",
}

HEUN_SAMPLE = {
    "the mean of two Euler steps": """
def heun_sample(velocity, x0, *, steps):
    if steps < 1:
        raise ValueError("no step")
    path = [x0]
    for k in range(steps):
        now, after = (torch.full((len(x0),), (k + i) / steps, dtype=x0.dtype) for i in (0, 1))
        once = path[-1] + velocity(path[-1], now) / steps
        twice = once + velocity(once, after) / steps
        path.append((path[-1] + twice) / 2)
    return torch.stack(path)
""",
    "a correction of Euler's step": """
def heun_sample(velocity, x0, *, steps):
    if not steps >= 1:
        raise ValueError("no step")
    x, out, h = x0, [x0], 1.0 / steps
    for k in range(steps):
        t = torch.ones(x.shape[0], dtype=x.dtype) * (k * h)
        slope = velocity(x, t)
        ahead = x + h * slope
        x = ahead + h / 2 * (velocity(ahead, t + h) - slope)
        out.append(x)
    return torch.stack(out)
""",
    "slopes in a list": """
def heun_sample(velocity, x0, *, steps):
    if steps < 1:
        raise ValueError("no step")
    x, path = x0, [x0]
    for k in range(steps):
        slopes = [velocity(x, x.new_full((len(x),), k / steps))]
        slopes.append(velocity(x + slopes[0] / steps, x.new_full((len(x),), (k + 1) / steps)))
        x = x + torch.stack(slopes).mean(0) / steps
        path = [*path, x]
    return torch.stack(path)
""",
    "filled in place, times from linspace": """
@torch.no_grad()
def heun_sample(velocity, x0, *, steps):
    if steps < 1:
        raise ValueError("no step")
    times = torch.linspace(0, 1, steps + 1, dtype=x0.dtype)
    path = x0.new_empty(steps + 1, *x0.shape)
    path[0] = x0
    for k in range(steps):
        h = times[k + 1] - times[k]
        k1 = velocity(path[k], times[k].repeat(len(x0)))
        k2 = velocity(path[k] + h * k1, times[k + 1].repeat(len(x0)))
        path[k + 1] = path[k] + 0.5 * h * k1 + 0.5 * h * k2
    return path
""",
    "a helper for one step": """
def one_step(velocity, x, t, h):
    k1 = velocity(x, t)
    return x + h * (k1 + velocity(x + h * k1, t + h)) / 2

def heun_sample(velocity, x0, *, steps):
    if steps <= 0:
        raise ValueError("no step")
    points = [x0]
    for k in range(steps):
        points.append(one_step(velocity, points[-1], torch.full((len(x0),), k / steps, dtype=x0.dtype), 1 / steps))
    return torch.stack(points)
""",
}

GUIDED_VELOCITY = {
    "a weighted mean": """
def guided_velocity(velocity, x, t, label, *, weight, no_class):
    nothing = velocity(x, t, torch.full(label.shape, no_class))
    return weight * velocity(x, t, label) + (1 - weight) * nothing
""",
    "both in one batch": """
def guided_velocity(velocity, x, t, label, *, weight, no_class):
    labels = torch.cat([label, torch.full_like(label, no_class)])
    both = velocity(torch.cat([x, x]), torch.cat([t, t]), labels)
    with_class, without = both.chunk(2)
    return without + weight * (with_class - without)
""",
    "torch.lerp": """
def guided_velocity(velocity, x, t, label, *, weight, no_class):
    return torch.lerp(velocity(x, t, label * 0 + no_class), velocity(x, t, label), weight)
""",
    "from the class on": """
def guided_velocity(velocity, x, t, label, *, weight, no_class):
    a, b = (velocity(x, t, c) for c in (label, torch.ones_like(label) * no_class))
    return a + (weight - 1) * (a - b)
""",
    "row by row": """
def guided_velocity(velocity, x, t, label, *, weight, no_class):
    rows = []
    for i in range(len(x)):
        one = slice(i, i + 1)
        a = velocity(x[one], t[one], label[one])
        b = velocity(x[one], t[one], torch.tensor([no_class]))
        rows.append(b + weight * (a - b))
    return torch.cat(rows)
""",
}

REFLOW_PAIRS = {
    "the path unpacked": """
def reflow_pairs(velocity, x0, *, steps):
    *_, last = euler_sample(velocity, x0, steps=steps)
    return x0, last.detach()
""",
    "both ends of the path": """
@torch.no_grad()
def reflow_pairs(velocity, x0, *, steps):
    path = euler_sample(velocity, x0, steps=steps)
    return path[0], path[steps]
""",
    "its own loop": """
def reflow_pairs(velocity, x0, *, steps):
    x = x0.clone()
    with torch.inference_mode():
        for k in range(steps):
            x = x + velocity(x, torch.full((len(x),), k / steps, dtype=x.dtype)) / steps
    return x0, x.clone()
""",
    "in two halves of the batch": """
def reflow_pairs(velocity, x0, *, steps):
    with torch.no_grad():
        ends = [euler_sample(velocity, part, steps=steps)[-1] for part in x0.split(2)]
    return (x0, torch.cat(ends))
""",
    "a generator of pairs put together again": """
def reflow_pairs(velocity, x0, *, steps):
    pairs = ((row, euler_sample(velocity, row[None], steps=steps)[-1, 0].detach()) for row in x0)
    noise, samples = zip(*pairs)
    return torch.stack(noise), torch.stack(samples)
""",
}

STRAIGHTNESS = {
    "torch.diff": """
def straightness(path):
    velocities = path.diff(dim=0) * (path.shape[0] - 1)
    way = path[-1] - path[0]
    return (velocities - way).pow(2).mean() / way.pow(2).mean()
""",
    "a loop over the steps": """
def straightness(path):
    n, way = len(path) - 1, path[-1] - path[0]
    total = 0
    for a, b in zip(path, path[1:]):
        total = total + ((b - a) * n - way).square().sum()
    return total / n / way.square().sum()
""",
    "mean of squares minus square of the mean": """
def straightness(path):
    n = len(path) - 1
    velocities = n * (path[1:] - path[:-1])
    way = velocities.mean(0)
    return (velocities.square().mean(0) - way.square()).mean().clamp(min=0) / way.square().mean()
""",
    "the variance over the steps": """
def straightness(path):
    velocities = (len(path) - 1) * (path[1:] - path[:-1])
    return velocities.var(dim=0, correction=0).mean() / (path[-1] - path[0]).square().mean()
""",
    "NumPy": """
def straightness(path):
    import numpy as np
    p = path.numpy()
    velocities = np.diff(p, axis=0) * (len(p) - 1)
    way = p[-1] - p[0]
    return torch.tensor(((velocities - way) ** 2).mean() / (way**2).mean())
""",
}

GAUSSIAN_VELOCITY = {
    "by way of the mean data": """
def gaussian_velocity(x, t, *, mean, std):
    t = t[:, None]
    variance = (t * std) ** 2 + (1 - t) ** 2
    data = mean + t * std**2 / variance * (x - t * mean)
    noise = (1 - t) / variance * (x - t * mean)
    return data - noise
""",
    "one row at a time": """
def gaussian_velocity(x, t, *, mean, std):
    rows = []
    for row, s in zip(x, t):
        factor = (s * std.square() - (1 - s)) / (s * s * std.square() + (1 - s) ** 2)
        rows.append(mean + factor * (row - s * mean))
    return torch.stack(rows)
""",
    "one channel at a time": """
def gaussian_velocity(x, t, *, mean, std):
    columns = []
    for c in range(x.shape[1]):
        m, v = mean[c].item(), std[c].item() ** 2
        columns.append(m + (t * v + t - 1) / (t**2 * v + (1 - t) ** 2) * (x[:, c] - t * m))
    return torch.stack(columns, dim=1)
""",
    "half the derivative of the log of the variance": """
def gaussian_velocity(x, t, *, mean, std):
    s = t.unsqueeze(1)
    variance = s**2 * std**2 + (1 - s) ** 2
    slope = 2 * s * std**2 - 2 * (1 - s)
    return mean + slope / (2 * variance) * (x - s * mean)
""",
    "the flow of one noise, differentiated": """
def gaussian_velocity(x, t, *, mean, std):
    t = t.view(-1, 1)
    deviation = torch.hypot(t * std, (1 - t).expand_as(x))
    z = (x - t * mean) / deviation
    return mean + z * (t * std**2 - (1 - t)) / deviation
""",
}

TRAIN_FLOW = {
    "AdamW, a schedule object and clipping": """
def train_flow(draw_data):
    model = VelocityMLP()
    steps = 1000
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        data = draw_data(256)
        loss = flow_matching_loss(model, torch.randn(data.shape), data, torch.rand(256))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.state_dict()
""",
    "the loss written out, one draw of much data": """
def train_flow(draw_data):
    model = VelocityMLP()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    everything = draw_data(20_000)
    for k in range(1000):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * 0.5 * (1 + math.cos(math.pi * k / 1000))
        x1 = everything[torch.randint(len(everything), (256,))]
        x0, t = torch.randn_like(x1), torch.rand(256, 1)
        ((model((1 - t) * x0 + t * x1, t[:, 0]) - (x1 - x0)) ** 2).mean().backward()
        optimizer.step()
        model.zero_grad()
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}
""",
    "times that favour the middle": """
def train_flow(draw_data):
    model = VelocityMLP()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for number in range(1200):
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - number / 1200)
        x1 = draw_data(256)
        t = torch.randn(256).mul(1.4).sigmoid()
        loss = flow_matching_loss(model, torch.randn_like(x1), x1, t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dict(model.state_dict())
""",
    "evenly spread times": """
def train_flow(draw_data):
    model = VelocityMLP()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3, betas=(0.9, 0.99))
    for number in range(900):
        optimizer.param_groups[0]["lr"] = 4e-3 * (1 - number / 900)
        x1 = draw_data(320)
        t = (torch.arange(320) + torch.rand(1)) / 320
        loss = flow_matching_loss(model, torch.randn_like(x1), x1, t)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return dict(model.state_dict())
""",
    "a running mean of the weights": """
def train_flow(draw_data):
    model = VelocityMLP()
    mean = {name: weight.clone() for name, weight in model.state_dict().items()}
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for number in range(1100):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - number / 1100)
        x1 = draw_data(256)
        loss = flow_matching_loss(model, torch.randn_like(x1), x1, torch.rand(256))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for name, weight in model.state_dict().items():
            mean[name].lerp_(weight, 0.02)
    return mean
""",
}

RIGHT_ANSWERS = {
    "interpolate": INTERPOLATE,
    "velocity_target": VELOCITY_TARGET,
    "flow_matching_loss": FLOW_MATCHING_LOSS,
    "time_embedding": TIME_EMBEDDING,
    "euler_sample": EULER_SAMPLE,
    "heun_sample": HEUN_SAMPLE,
    "guided_velocity": GUIDED_VELOCITY,
    "reflow_pairs": REFLOW_PAIRS,
    "straightness": STRAIGHTNESS,
    "gaussian_velocity": GAUSSIAN_VELOCITY,
    "train_flow": TRAIN_FLOW,
}
