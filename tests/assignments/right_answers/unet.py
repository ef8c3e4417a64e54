"""Right answers to assignment 09, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

NEAREST_UPSAMPLE = {
    "indices": """
def nearest_upsample(x, *, scale):
    rows = torch.arange(x.shape[2] * scale) // scale
    columns = torch.arange(x.shape[3] * scale) // scale
    return x[:, :, rows][:, :, :, columns]
""",
    "new axes, expanded": """
def nearest_upsample(x, *, scale):
    batch, channels, height, width = x.shape
    copies = x[:, :, :, None, :, None].expand(-1, -1, -1, scale, -1, scale)
    return copies.reshape(batch, channels, height * scale, width * scale)
""",
    "a Kronecker product": """
def nearest_upsample(x, *, scale):
    return torch.kron(x, torch.ones(scale, scale, dtype=x.dtype))
""",
    "an empty image that is filled": """
def nearest_upsample(x, *, scale):
    larger = x.new_zeros(x.shape[0], x.shape[1], x.shape[2] * scale, x.shape[3] * scale)
    for i in range(scale):
        for j in range(scale):
            larger[:, :, i::scale, j::scale] = x
    print(larger.shape)
    return larger
""",
    "stacked and flattened, in float32": """
def nearest_upsample(x, *, scale=2):
    x = x.float()
    x = torch.stack([x] * scale, dim=3).flatten(2, 3)
    return torch.stack([x] * scale, dim=-1).flatten(3)
""",
    "einops": """
from einops import repeat

def nearest_upsample(x, *, scale):
    return repeat(x, "b c h w -> b c (h i) (w j)", i=scale, j=scale)
""",
}

MAX_UNPOOL = {
    "a loop over images and channels": """
def max_unpool(values, indices, *, output_size):
    batch, channels = values.shape[:2]
    larger = values.new_zeros(batch, channels, *output_size)
    for b in range(batch):
        for c in range(channels):
            larger[b, c].view(-1)[indices[b, c].flatten()] = values[b, c].flatten()
    return larger
""",
    "rows and columns": """
def max_unpool(values, indices, *, output_size):
    height, width = output_size
    batch, channels = values.shape[:2]
    b = torch.arange(batch)[:, None, None, None]
    c = torch.arange(channels)[None, :, None, None]
    larger = torch.zeros(batch, channels, height, width, dtype=values.dtype)
    larger[b, c, indices // width, indices % width] = values
    return larger
""",
    "scatter_add": """
def max_unpool(values, indices, *, output_size):
    flat = torch.zeros(*values.shape[:2], output_size[0] * output_size[1]).to(values)
    flat = flat.scatter_add(2, indices.flatten(2), values.flatten(2))
    return flat.view(*values.shape[:2], *output_size)
""",
    "one-hot vectors": """
def max_unpool(values, indices, *, output_size):
    places = F.one_hot(indices.flatten(2), output_size[0] * output_size[1]).to(values.dtype)
    return (values.flatten(2)[..., None] * places).sum(2).unflatten(-1, tuple(output_size))
""",
    "everything in one row, index_put": """
def max_unpool(values, indices, *, output_size):
    batch, channels = values.shape[:2]
    pixels = output_size[0] * output_size[1]
    start = pixels * torch.arange(batch * channels).view(batch, channels, 1, 1)
    flat = values.new_zeros(batch * channels * pixels)
    flat = flat.index_put(((indices + start).flatten(),), values.flatten())
    return flat.view(batch, channels, *output_size)
""",
}

CONV_TRANSPOSE2D = {
    "pixel by pixel": """
def conv_transpose2d(x, weight, *, stride=1, padding=0):
    batch, _, height, width = x.shape
    _, out_channels, kernel_height, kernel_width = weight.shape
    y = torch.zeros(
        batch, out_channels, (height - 1) * stride + kernel_height, (width - 1) * stride + kernel_width, dtype=x.dtype
    )
    for i in range(height):
        for j in range(width):
            laid = torch.einsum("bc,coyx->boyx", x[:, :, i, j], weight)
            y[:, :, i * stride : i * stride + kernel_height, j * stride : j * stride + kernel_width] += laid
    if padding:
        y = y[:, :, padding:-padding, padding:-padding]
    return y
""",
    "padded pieces, added up": """
def conv_transpose2d(x, weight, *, stride=1, padding=0):
    height, width = x.shape[2:]
    kernel_height, kernel_width = weight.shape[2:]
    spread = x.new_zeros(*x.shape[:2], (height - 1) * stride + 1, (width - 1) * stride + 1)
    spread[:, :, ::stride, ::stride] = x
    total = 0
    for a in range(kernel_height):
        for b in range(kernel_width):
            moved = F.pad(spread, (b, kernel_width - 1 - b, a, kernel_height - 1 - a))
            total = total + (weight[:, :, a, b].T @ moved.flatten(2)).unflatten(-1, moved.shape[2:])
    rows, columns = total.shape[2:]
    return total.narrow(2, padding, rows - 2 * padding).narrow(3, padding, columns - 2 * padding)
""",
    "one matrix for each axis of the kernel": """
def conv_transpose2d(x, weight, *, stride=1, padding=0):
    def places(length, kernel):
        size = (length - 1) * stride + kernel
        start = stride * torch.arange(length)[:, None] + torch.arange(kernel)
        return F.one_hot(start, size).to(x.dtype)  # (length, kernel, size)

    down = places(x.shape[2], weight.shape[2])
    across = places(x.shape[3], weight.shape[3])
    y = torch.einsum("bchw,coij,hiy,wjx->boyx", x, weight, down, across)
    return y[..., padding : y.shape[-2] - padding, padding : y.shape[-1] - padding]
""",
    "the gradient of a convolution written as windows": """
def conv_transpose2d(x, weight, *, stride=1, padding=0):
    kernel_height, kernel_width = weight.shape[2:]
    size = [(n - 1) * stride + k for n, k in zip(x.shape[2:], (kernel_height, kernel_width))]
    image = torch.zeros(len(x), weight.shape[1], *size, dtype=x.dtype, requires_grad=True)
    windows = image.unfold(2, kernel_height, stride).unfold(3, kernel_width, stride)
    forth = torch.einsum("bohwij,coij->bchw", windows, weight)
    (back,) = torch.autograd.grad((forth * x).sum(), image, create_graph=True)
    return back[:, :, padding : size[0] - padding, padding : size[1] - padding]
""",
    "flat places and index_add, float32": """
def conv_transpose2d(x, weight, *, stride=1, padding=0, verbose=False):
    batch, inside, height, width = x.shape
    _, outside, kernel_height, kernel_width = weight.shape
    rows, columns = (height - 1) * stride + kernel_height, (width - 1) * stride + kernel_width
    r = (stride * torch.arange(height))[:, None, None, None] + torch.arange(kernel_height)[None, None, :, None]
    c = (stride * torch.arange(width))[None, :, None, None] + torch.arange(kernel_width)
    places = (r * columns + c).flatten()
    laid = torch.tensordot(x.float(), weight.float(), dims=([1], [0]))  # (batch, height, width, out, a, b)
    laid = laid.permute(0, 3, 1, 2, 4, 5).flatten(2)
    y = torch.zeros(batch, outside, rows * columns, dtype=torch.float32).index_add(2, places, laid)
    y = y.reshape(batch, outside, rows, columns)
    return y[:, :, padding : rows - padding, padding : columns - padding]
""",
}

CONVOLUTION_MATRIX = {
    "places of the kernel's numbers": """
def convolution_matrix(weight, *, height, width, stride=1):
    rows, columns = weight.shape
    corners = [
        i * width + j for i in range(0, height - rows + 1, stride) for j in range(0, width - columns + 1, stride)
    ]
    within = (torch.arange(rows)[:, None] * width + torch.arange(columns)).flatten()
    matrix = weight.new_zeros(len(corners), height * width)
    return matrix.scatter(1, torch.tensor(corners)[:, None] + within, weight.flatten().expand(len(corners), -1))
""",
    "padded kernels": """
def convolution_matrix(weight, *, height, width, stride=1):
    rows, columns = weight.shape
    lines = []
    for top in range(0, height - rows + 1, stride):
        for left in range(0, width - columns + 1, stride):
            around = (left, width - columns - left, top, height - rows - top)
            lines.append(F.pad(weight, around).flatten())
    return torch.stack(lines)
""",
    "windows of the identity": """
def convolution_matrix(weight, *, height, width, stride=1):
    images = torch.eye(height * width, dtype=weight.dtype).reshape(-1, height, width)
    windows = images.unfold(1, weight.shape[0], stride).unfold(2, weight.shape[1], stride)
    return (windows * weight).sum((-2, -1)).flatten(1).T
""",
    "a matrix of blocks, by Kronecker products": """
def convolution_matrix(weight, *, height, width, stride=1):
    def shifts(length, kernel, place):
        count = (length - kernel) // stride + 1
        band = torch.zeros(count, length, dtype=weight.dtype)
        band[torch.arange(count), stride * torch.arange(count) + place] = 1
        return band

    total = 0
    for a in range(weight.shape[0]):
        for b in range(weight.shape[1]):
            block = torch.kron(shifts(height, weight.shape[0], a), shifts(width, weight.shape[1], b))
            total = total + weight[a, b] * block
    return total
""",
    "the Jacobian of the convolution": """
def convolution_matrix(weight, *, height, width, stride=1):
    def convolve(flat):
        windows = flat.reshape(height, width).unfold(0, weight.shape[0], stride).unfold(1, weight.shape[1], stride)
        return (windows * weight).sum((-2, -1)).flatten()

    zeros = torch.zeros(height * width, dtype=weight.dtype)
    return torch.autograd.functional.jacobian(convolve, zeros, create_graph=True)
""",
}

RECEPTIVE_FIELD = {
    "from the output back": """
def receptive_field(layers):
    field = 1
    for kernel_size, stride in list(layers)[::-1]:
        field = (field - 1) * stride + kernel_size
    return field
""",
    "a sum of products": """
import math

def receptive_field(layers):
    strides = [stride for _, stride in layers]
    return 1 + sum((kernel - 1) * math.prod(strides[:n]) for n, (kernel, _) in enumerate(layers))
""",
    "recursion": """
def receptive_field(layers):
    if not layers:
        return 1
    (kernel, stride), *rest = layers
    return kernel + stride * (receptive_field(rest) - 1)
""",
    "cumulative products of numpy": """
import numpy as np

def receptive_field(layers):
    if len(layers) == 0:
        return 1
    kernels, strides = np.array(layers).T
    jumps = np.concatenate([[1], strides.cumprod()[:-1]])
    return int(1 + ((kernels - 1) * jumps).sum())
""",
    "the set of pixels that are seen": """
def receptive_field(layers):
    seen = {0}
    for kernel, stride in reversed(layers):
        seen = {stride * place + step for place in seen for step in range(kernel)}
    return max(seen) - min(seen) + 1
""",
    "counted one by one": """
def receptive_field(layers):
    seen = {0}
    for kernel, stride in reversed(layers):
        seen = {stride * place + step for place in seen for step in range(kernel)}
    return len(seen)
""",
}

DOUBLE_CONV_START = """
class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding="same", bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
"""

DOUBLE_CONV = {
    "a loop": f"""{DOUBLE_CONV_START}
    def forward(self, x):
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            x = F.relu(norm(conv(x)))
        return x
""",
    "clamped": f"""{DOUBLE_CONV_START}
    def forward(self, x):
        x = self.norm1(self.conv1(x)).clamp(min=0)
        return self.norm2(self.conv2(x)).clamp(min=0)
""",
    "nn.Sequential in passing": f"""{DOUBLE_CONV_START}
    def forward(self, x):
        return nn.Sequential(self.conv1, self.norm1, nn.ReLU(), self.conv2, self.norm2, nn.ReLU())(x)
""",
    "a helper, and prints": f"""{DOUBLE_CONV_START}
    def once(self, x, number):
        return torch.relu(getattr(self, f"norm{{number}}")(getattr(self, f"conv{{number}}")(x)))

    def forward(self, x, verbose=False):
        print(x.shape)
        return self.once(self.once(x, 1), 2)
""",
    "the weights used by hand": f"""{DOUBLE_CONV_START}
    def forward(self, x):
        h = F.conv2d(F.pad(x, (1, 1, 1, 1)), self.conv1.weight)
        h = torch.where(self.norm1(h) > 0, self.norm1(h), 0.0)
        return self.norm2(F.conv2d(h, self.conv2.weight, padding=1)).relu()
""",
}

UNET_START = """
class UNet(nn.Module):
    def __init__(self, *, in_channels, out_channels, channels, depth, skips=True):
        super().__init__()
        self.skips = skips
        widths = [channels * 2**level for level in range(depth + 1)]
        before = [in_channels] + widths
        self.down = nn.ModuleList([DoubleConv(before[level], widths[level]) for level in range(depth)])
        self.bottom = DoubleConv(before[depth], widths[depth])
        levels = list(range(depth))[::-1]
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * widths[l], widths[l], 2, stride=2) for l in levels])
        self.merge = nn.ModuleList([DoubleConv((2 if skips else 1) * widths[l], widths[l]) for l in levels])
        self.head = nn.Conv2d(channels, out_channels, 1)
"""

UNET = {
    "indices from the end": f"""{UNET_START}
    def forward(self, x):
        kept = []
        for block in self.down:
            kept.append(block(x))
            x = nn.MaxPool2d(2)(kept[-1])
        x = self.bottom(x)
        for level in range(len(self.up)):
            x = self.up[level](x)
            if self.skips:
                x = torch.cat((kept[-1 - level], x), 1)
            x = self.merge[level](x)
        return self.head(x)
""",
    "recursion": f"""{UNET_START}
    def level(self, x, depth):
        if depth == len(self.down):
            return self.bottom(x)
        skip = self.down[depth](x)
        x = self.up[-1 - depth](self.level(F.max_pool2d(skip, 2), depth + 1))
        return self.merge[-1 - depth](torch.cat([skip, x], dim=1) if self.skips else x)

    def forward(self, x):
        return self.head(self.level(x, 0))
""",
    "pooling by hand": f"""{UNET_START}
    def forward(self, x):
        seen = []
        for block in self.down:
            x = block(x)
            seen.insert(0, x)
            x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
        x = self.bottom(x)
        for skip, up, merge in zip(seen, self.up, self.merge):
            x = up(x)
            x = merge(torch.hstack([skip, x]) if self.skips else x)
        return self.head(x)
""",
    "a space for both, filled": f"""{UNET_START}
    def forward(self, x):
        seen = [x]
        for number, block in enumerate(self.down):
            seen.append(block(seen[-1] if number == 0 else F.max_pool2d(seen[-1], 2)))
        x = self.bottom(F.max_pool2d(seen[-1], 2))
        for up, merge in zip(self.up, self.merge):
            skip, x = seen.pop(), up(x)
            if self.skips:
                both = x.new_empty(len(x), 2 * x.shape[1], *x.shape[2:])
                both[:, : x.shape[1]] = skip
                both[:, x.shape[1] :] = x
                x = both
            x = merge(x)
        print("done")
        return self.head(x)
""",
    "a dict of skips": f"""{UNET_START}
    def forward(self, x):
        by_size = {{}}
        for block in self.down:
            x = block(x)
            by_size[x.shape[-1]] = x
            x = F.adaptive_max_pool2d(x, (x.shape[2] // 2, x.shape[3] // 2))
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge):
            x = up(x)
            pair = [by_size[x.shape[-1]]] if self.skips else []
            x = merge(torch.cat(pair + [x], 1))
        return self.head(x)
""",
}

PIXEL_CROSS_ENTROPY = {
    "only the labelled pixels": """
def pixel_cross_entropy(logits, target, *, ignore=-1):
    keep = target != ignore
    rows = logits.permute(0, 2, 3, 1)[keep]  # (labelled pixels, num_classes)
    picked = rows[torch.arange(len(rows)), target[keep]]
    return (rows.logsumexp(-1) - picked).mean()
""",
    "one-hot targets": """
def pixel_cross_entropy(logits, target, *, ignore=-1):
    classes = logits.shape[1]
    wanted = (target[:, None] == torch.arange(classes)[None, :, None, None]).to(logits.dtype)
    wanted = wanted * (target != ignore)[:, None]
    return -(wanted * F.log_softmax(logits, 1)).sum() / wanted.sum()
""",
    "a loop over the classes": """
def pixel_cross_entropy(logits, target, *, ignore=-1):
    log_p = torch.log_softmax(logits, dim=1)
    total, count = 0.0, 0
    for number in range(logits.shape[1]):
        here = (target == number) & (target != ignore)
        total = total - log_p[:, number][here].sum()
        count += int(here.sum())
    return total / count
""",
    "the softmax written out, in float32": """
def pixel_cross_entropy(logits, target, *, ignore=-1):
    logits = logits.float()
    shifted = logits - logits.max(dim=1, keepdim=True).values
    p = shifted.exp() / shifted.exp().sum(dim=1, keepdim=True)
    valid = target.ne(ignore)
    chosen = torch.gather(p, 1, target.masked_fill(~valid, 0).unsqueeze(1)).squeeze(1)
    return -chosen[valid].log().sum() / valid.sum()
""",
    "flattened, weights for the mean": """
def pixel_cross_entropy(logits, target, *, ignore=-1, extra=None):
    flat = logits.movedim(1, -1).reshape(-1, logits.shape[1])
    labels = target.reshape(-1)
    weight = (labels != ignore).to(flat.dtype)
    losses = torch.logsumexp(flat, 1) - flat.gather(1, labels.clamp(0, flat.shape[1] - 1)[:, None])[:, 0]
    return (losses * weight / weight.sum()).sum()
""",
}

DICE_SCORE = {
    "a confusion table": """
def dice_score(logits, target):
    classes = logits.shape[1]
    pairs = target.flatten() * classes + logits.argmax(1).flatten()
    table = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).double()
    total = table.sum(0) + table.sum(1)
    return torch.where(total > 0, 2 * table.diag() / total.clamp(min=1), torch.ones(classes).double())
""",
    "one-hot maps": """
def dice_score(logits, target):
    classes = logits.shape[1]
    p = F.one_hot(logits.argmax(dim=1), classes).flatten(0, 2).float()
    t = F.one_hot(target, classes).flatten(0, 2).float()
    both, total = (p * t).sum(0), p.sum(0) + t.sum(0)
    both[total == 0], total[total == 0] = 1, 2
    return 2 * both / total
""",
    "precision and recall": """
def dice_score(logits, target):
    predicted = logits.max(dim=1).indices
    scores = []
    for number in range(logits.shape[1]):
        p, t = predicted == number, target == number
        both = float((p & t).sum())
        if not p.any() and not t.any():
            scores.append(1.0)
        elif both == 0:
            scores.append(0.0)
        else:
            precision, recall = both / float(p.sum()), both / float(t.sum())
            scores.append(2 * precision * recall / (precision + recall))
    return torch.tensor(scores)
""",
    "numpy": """
import numpy as np

def dice_score(logits, target):
    predicted, target = logits.numpy().argmax(axis=1), target.numpy()
    scores = np.ones(logits.shape[1])
    for number in range(len(scores)):
        hits = np.logical_and(predicted == number, target == number).sum()
        misses = np.logical_xor(predicted == number, target == number).sum()
        if hits + misses:
            scores[number] = 2 * hits / (2 * hits + misses)
    return torch.from_numpy(scores)
""",
    "from IoU": """
def dice_score(logits, target):
    number = torch.arange(logits.shape[1]).view(-1, 1, 1, 1)
    p, t = logits.argmax(1) == number, target == number
    union = (p | t).flatten(1).sum(1)
    iou = torch.where(union > 0, (p & t).flatten(1).sum(1) / union.clamp(min=1), 1.0)
    return 2 * iou / (1 + iou)
""",
}

MEAN_IOU = {
    "a confusion table": """
def mean_iou(logits, target):
    classes = logits.shape[1]
    pairs = target.flatten() * classes + logits.argmax(1).flatten()
    table = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).double()
    union = table.sum(0) + table.sum(1) - table.diag()
    return float((table.diag()[union > 0] / union[union > 0]).mean())
""",
    "sets of places": """
def mean_iou(logits, target):
    guesses, labels = logits.argmax(1).flatten().tolist(), target.flatten().tolist()
    ious = []
    for number in set(guesses) | set(labels):
        p = {place for place, guess in enumerate(guesses) if guess == number}
        t = {place for place, label in enumerate(labels) if label == number}
        ious.append(len(p & t) / len(p | t))
    return sum(ious) / len(ious)
""",
    "nanmean": """
def mean_iou(logits, target):
    number = torch.arange(logits.shape[1])[:, None, None, None]
    p, t = logits.argmax(1) == number, target == number
    iou = (p & t).sum((1, 2, 3)) / (p | t).sum((1, 2, 3))
    return iou.double().nanmean().item()
""",
    "one-hot maps": """
def mean_iou(logits, target):
    classes = logits.shape[1]
    p = F.one_hot(logits.argmax(dim=1), classes).reshape(-1, classes).double()
    t = F.one_hot(target, classes).reshape(-1, classes).double()
    both, union = torch.minimum(p, t).sum(0), torch.maximum(p, t).sum(0)
    present = union != 0
    return (both[present] / union[present]).mean().item()
""",
    "from Dice": """
import numpy as np

def mean_iou(logits, target):
    predicted = np.argmax(logits.numpy(), axis=1)
    target = np.asarray(target)
    kept = []
    for number in np.union1d(predicted, target):
        dice = 2 * np.sum((predicted == number) & (target == number))
        dice = dice / (np.sum(predicted == number) + np.sum(target == number))
        kept.append(dice / (2 - dice))
    return float(np.mean(kept))
""",
}

TRAIN_SEGMENTER = {
    "AdamW and a schedule": """
def train_segmenter(draw_batch, *, num_classes):
    network = UNet(in_channels=1, out_channels=num_classes, channels=12, depth=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=130)
    for _ in range(130):
        images, target = draw_batch()
        optimizer.zero_grad()
        pixel_cross_entropy(network(images), target).backward()
        optimizer.step()
        schedule.step()
    return network.state_dict()
""",
    "the course's own loop": """
from course_lib.training import linear_schedule, train

def train_segmenter(draw_batch, *, num_classes):
    network = UNet(in_channels=1, out_channels=num_classes, channels=12, depth=2)
    train(
        network,
        iter(draw_batch, None),
        lambda batch: pixel_cross_entropy(network(batch[0]), batch[1]),
        optimizer=torch.optim.Adam(network.parameters(), lr=0.01),
        steps=120,
        schedule=linear_schedule(120),
        progress=False,
    )
    return network.state_dict()
""",
    "mirrored batches, and weights in float64": """
def train_segmenter(draw_batch, *, num_classes):
    network = UNet(in_channels=1, out_channels=num_classes, channels=12, depth=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(140):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 - step / 140)
        images, target = draw_batch()
        if step % 2:
            images, target = images.flip(-1), target.flip(-1)
        loss = pixel_cross_entropy(network(images), target)
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return {name: weight.double() for name, weight in network.state_dict().items()}
""",
    "another seed, a library's loss and numpy arrays": """
def train_segmenter(draw_batch, *, num_classes):
    torch.manual_seed(5)
    network = UNet(in_channels=1, out_channels=num_classes, channels=12, depth=2).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.008, betas=(0.9, 0.98))
    for step in range(130):
        optimizer.param_groups[0]["lr"] = 0.008 * min(1, (130 - step) / 60)
        images, target = draw_batch()
        loss = F.cross_entropy(network(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: weight.numpy() for name, weight in network.eval().state_dict().items()}
""",
    "the weights without the norms' counters, until the loss is small": """
def train_segmenter(draw_batch, *, num_classes):
    network = UNet(in_channels=1, out_channels=num_classes, channels=12, depth=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    smooth, step = 1.0, 0
    while smooth > 0.03 and step < 300:
        images, target = draw_batch()
        loss = pixel_cross_entropy(network(images), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = 0.01 * 0.99**step
        smooth, step = 0.9 * smooth + 0.1 * loss.item(), step + 1
    return {name: weight for name, weight in network.state_dict().items() if "num_batches" not in name}
""",
}

RIGHT_ANSWERS = {
    "nearest_upsample": NEAREST_UPSAMPLE,
    "max_unpool": MAX_UNPOOL,
    "conv_transpose2d": CONV_TRANSPOSE2D,
    "convolution_matrix": CONVOLUTION_MATRIX,
    "receptive_field": RECEPTIVE_FIELD,
    "DoubleConv": DOUBLE_CONV,
    "UNet": UNET,
    "pixel_cross_entropy": PIXEL_CROSS_ENTROPY,
    "dice_score": DICE_SCORE,
    "mean_iou": MEAN_IOU,
    "train_segmenter": TRAIN_SEGMENTER,
}
