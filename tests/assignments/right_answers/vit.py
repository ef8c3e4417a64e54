"""Right answers to assignment 08, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

PATCHIFY = {
    "einops": """
def patchify(images, *, patch_size):
    return rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=patch_size, q=patch_size)
""",
    "one patch after the other": """
def patchify(images: torch.Tensor, *, patch_size: int) -> torch.Tensor:
    patches = []
    for top in range(0, images.shape[2], patch_size):
        for left in range(0, images.shape[3], patch_size):
            patch = images[:, :, top : top + patch_size, left : left + patch_size]
            patches.append(patch.flatten(1))
    return torch.stack(patches, dim=1)
""",
    "split along both sides": """
def patchify(images, *, patch_size):
    rows = torch.stack(images.split(patch_size, dim=2), dim=1)  # (b, rows, c, p, width)
    cells = torch.stack(rows.split(patch_size, dim=4), dim=2)  # (b, rows, columns, c, p, p)
    return cells.flatten(3).flatten(1, 2)
""",
    "unflatten and movedim": """
def patchify(images, *, patch_size, order="reading"):
    x = images.unflatten(2, (-1, patch_size)).unflatten(4, (-1, patch_size))
    x = x.movedim(1, 3)
    x = x.transpose(3, 4).transpose(2, 3).movedim(4, 3)
    b, r, w, c, p, q = x.shape
    print("patches", r, "by", w)
    return x.contiguous().view(b, r * w, c * p * q)
""",
    "a convolution with a kernel for each pixel of a patch": """
def patchify(images, *, patch_size):
    channels = images.shape[1]
    size = channels * patch_size * patch_size
    kernels = torch.eye(size, dtype=images.dtype).view(size, channels, patch_size, patch_size)
    return F.conv2d(images, kernels, stride=patch_size).flatten(2).mT
""",
    "indices": """
def patchify(images, *, patch_size):
    b, c, h, w = images.shape
    p = patch_size
    y, x = torch.arange(h // p), torch.arange(w // p)
    i = torch.arange(p)
    rows = (y[:, None, None, None] * p + i[:, None]).expand(-1, w // p, p, p)
    columns = (x[:, None, None] * p + i).expand(h // p, -1, p, p)
    return images[:, :, rows, columns].permute(0, 2, 3, 1, 4, 5).reshape(b, -1, c * p * p)
""",
}

UNPATCHIFY = {
    "einops": """
def unpatchify(patches, *, patch_size, height, width):
    return rearrange(
        patches, "b (h w) (c p q) -> b c (h p) (w q)", h=height // patch_size, p=patch_size, q=patch_size
    )
""",
    "one patch after the other": """
def unpatchify(patches, *, patch_size, height, width):
    channels = patches.shape[2] // patch_size**2
    rows, number = [], 0
    for _ in range(height // patch_size):
        row = []
        for _ in range(width // patch_size):
            row.append(patches[:, number].reshape(-1, channels, patch_size, patch_size))
            number += 1
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)
""",
    "written into an empty image": """
def unpatchify(patches: torch.Tensor, *, patch_size: int, height: int, width: int) -> torch.Tensor:
    across = width // patch_size
    images = patches.new_zeros(patches.shape[0], patches.shape[2] // patch_size**2, height, width)
    for number in range(patches.shape[1]):
        top, left = (number // across) * patch_size, (number % across) * patch_size
        piece = patches[:, number].unflatten(1, (-1, patch_size, patch_size))
        images[:, :, top : top + patch_size, left : left + patch_size] = piece
    return images
""",
    "a transposed convolution with a kernel for each pixel of a patch": """
def unpatchify(patches, *, patch_size, height, width):
    size = patches.shape[-1]
    channels = size // patch_size**2
    kernels = torch.eye(size, dtype=patches.dtype).view(size, channels, patch_size, patch_size)
    laid_out = patches.mT.unflatten(2, (height // patch_size, width // patch_size))
    return F.conv_transpose2d(laid_out, kernels, stride=patch_size)
""",
    "unflatten and flatten": """
def unpatchify(patches, *, patch_size, height, width):
    x = patches.unflatten(1, (height // patch_size, width // patch_size)).unflatten(3, (-1, patch_size, patch_size))
    x = x.movedim(3, 1)  # (b, c, rows, columns, p, p)
    x = x.transpose(3, 4)
    return x.flatten(4, 5).flatten(2, 3)
""",
}

PATCH_WEIGHT = {
    "reshape": """
def patch_weight_from_conv(weight):
    return weight.reshape(weight.shape[0], -1)
""",
    "einops": """
def patch_weight_from_conv(weight):
    return rearrange(weight, "d c p q -> d (c p q)")
""",
    "kernel after kernel": """
def patch_weight_from_conv(weight):
    return torch.stack([kernel.contiguous().view(-1) for kernel in weight])
""",
    "channel after channel": """
def patch_weight_from_conv(weight, copy=True):
    d_model, channels, p, _ = weight.shape
    parts = [weight[:, c].reshape(d_model, p * p) for c in range(channels)]
    return torch.cat(parts, dim=1)
""",
    "through the convolution itself": """
def patch_weight_from_conv(weight):
    # what the convolution answers to each single pixel
    d_model, channels, p, _ = weight.shape
    size = channels * p * p
    single = torch.eye(size, dtype=weight.dtype).view(size, channels, p, p)
    return F.conv2d(single, weight, stride=p).flatten(1).T
""",
}

PATCH_EMBEDDING = {
    "einops in the constructor's shadow": """
class PatchEmbedding(nn.Module):
    def __init__(self, *, in_channels, patch_size, d_model):
        super().__init__()
        self.p = patch_size
        self.projection = nn.Linear(in_channels * self.p * self.p, d_model, bias=True)

    def forward(self, images):
        return self.projection(rearrange(images, "b c (h p) (w q) -> b (h w) (c p q)", p=self.p, q=self.p))
""",
    "a convolution with the layer's weight": """
class PatchEmbedding(nn.Module):
    def __init__(self, *, in_channels: int, patch_size: int, d_model: int) -> None:
        super().__init__()
        self.shape = (d_model, in_channels, patch_size, patch_size)
        self.projection = nn.Linear(in_channels * patch_size**2, d_model)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kernel = self.projection.weight.view(self.shape)
        maps = F.conv2d(images, kernel, self.projection.bias, stride=self.shape[-1])
        return maps.flatten(2).transpose(1, 2)
""",
    "a matrix product": """
class PatchEmbedding(nn.Module):
    def __init__(self, *, in_channels, patch_size, d_model):
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Linear(in_features=in_channels * patch_size**2, out_features=d_model)

    def forward(self, images):
        patches = patchify(images, patch_size=self.patch_size)
        return patches @ self.projection.weight.T + self.projection.bias
""",
    "patch after patch": """
class PatchEmbedding(nn.Module):
    def __init__(self, *, in_channels, patch_size, d_model):
        super().__init__()
        self.patch_size, self.in_channels = patch_size, in_channels
        self.projection = nn.Linear(in_channels * patch_size * patch_size, d_model)

    def forward(self, images):
        patches = patchify(images, patch_size=self.patch_size)
        print(patches.shape)
        return torch.stack([self.projection(patch) for patch in patches.unbind(1)], 1)
""",
    "einsum over unmerged axes": """
class PatchEmbedding(nn.Module):
    def __init__(self, *, in_channels, patch_size, d_model):
        super().__init__()
        self.patch_size = patch_size
        self.in_channels = in_channels
        self.projection = nn.Linear(in_channels * patch_size**2, d_model)

    def forward(self, images):
        p = self.patch_size
        kernel = self.projection.weight.unflatten(1, (self.in_channels, p, p))
        cells = images.unflatten(3, (-1, p)).unflatten(2, (-1, p))
        out = torch.einsum("bcipjq,dcpq->bijd", cells, kernel)
        return out.flatten(1, 2) + self.projection.bias
""",
}

VIT_INIT = """
class VisionTransformer(nn.Module):
    def __init__(
        self, *, image_size, patch_size, in_channels, num_classes, d_model, num_heads, num_layers, dim_feedforward,
        pool="class",
    ):
        super().__init__()
        self.pool = pool
        self.patch_embedding = PatchEmbedding(in_channels=in_channels, patch_size=patch_size, d_model=d_model)
        length = (image_size[0] // patch_size) * (image_size[1] // patch_size)
        if pool == "class":
            self.class_token = nn.Parameter(0.3 * torch.randn(1, 1, d_model))
            length += 1
        self.positions = nn.Parameter(0.3 * torch.randn(1, length, d_model))
        self.blocks = nn.ModuleList(
            EncoderBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward)
            for _ in range(num_layers)
        )
        self.head = nn.Linear(d_model, num_classes)
"""

VISION_TRANSFORMER = {
    "positions added piece by piece": VIT_INIT
    + """
    def encode(self, images):
        x = self.patch_embedding(images)
        if self.pool == "class":
            token = (self.class_token + self.positions[:, :1]).repeat(images.shape[0], 1, 1)
            x = torch.cat((token, x + self.positions[:, 1:]), 1)
        else:
            x = x + self.positions
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, images):
        x = self.encode(images)
        if self.pool == "class":
            return self.head(x[:, 0, :])
        return self.head(x.mean(1))
""",
    "a mask that allows everything": VIT_INIT
    + """
    def encode(self, images):
        x = self.patch_embedding(images)
        if hasattr(self, "class_token"):
            x = torch.cat([self.class_token.expand(x.size(0), 1, x.size(2)), x], dim=1)
        x = x + self.positions
        everything = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
        for number in range(len(self.blocks)):
            x = self.blocks[number](x, mask=everything)
        return x

    def forward(self, images):
        vectors = self.encode(images)
        one = vectors.select(1, 0) if self.pool == "class" else vectors.sum(1) / vectors.shape[1]
        return self.head(one)
""",
    "logits of all vectors, then the mean": VIT_INIT
    + """
    def encode(self, images):
        x = self.patch_embedding(images)
        if self.pool != "mean":
            x = torch.cat([self.class_token.repeat(len(images), 1, 1), x], dim=1)
        x += self.positions
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, images):
        every = self.head(self.encode(images))  # (batch, length, num_classes)
        return every[:, 0] if self.pool == "class" else every.mean(1)
""",
    "a token in an empty row": VIT_INIT
    + """
    def encode(self, images):
        x = self.patch_embedding(images)
        if self.pool == "class":
            x = F.pad(x, (0, 0, 1, 0))  # a row of zeros in front
            first = torch.zeros(1, x.shape[1], 1, dtype=x.dtype)
            first[:, 0] = 1
            x = x + first * self.class_token
        x = self.positions + x
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, images):
        x = self.encode(images)
        weights = torch.zeros(x.shape[1], dtype=x.dtype)
        if self.pool == "class":
            weights[0] = 1
        else:
            weights += 1 / x.shape[1]
        return self.head(torch.einsum("bnd,n->bd", x, weights))
""",
    "one image after the other, with a print": VIT_INIT
    + """
    def encode(self, images):
        return torch.cat([self._one(image) for image in images.split(1)])

    def _one(self, image):
        x = self.patch_embedding(image)
        print("patches:", x.shape[1])
        if self.pool == "class":
            x = torch.hstack([self.class_token, x])
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, images):
        x = self.encode(images)
        return self.head({"class": lambda: x[:, 0], "mean": lambda: torch.mean(x, dim=-2)}[self.pool]())
""",
}

ATTENTION_ROLLOUT = {
    "from the last block backwards": """
def attention_rollout(weights):
    mixing = (weights.mean(2) + torch.eye(weights.shape[-1], dtype=weights.dtype)) / 2
    rollout = mixing[:, -1]
    for number in range(weights.shape[1] - 2, -1, -1):
        rollout = rollout @ mixing[:, number]
    return rollout
""",
    "sum of the heads over their number": """
def attention_rollout(weights):
    batch, layers, heads, n, _ = weights.shape
    eye = torch.eye(n).expand(batch, n, n)
    rollout = eye.to(weights.dtype)
    for layer in range(layers):
        average = weights[:, layer].sum(dim=1) / heads
        rollout = torch.bmm(0.5 * average + 0.5 * eye, rollout)
    return rollout
""",
    "a marked input, followed": """
def attention_rollout(weights):
    columns = []
    for marked in range(weights.shape[-1]):
        x = torch.zeros(weights.shape[0], weights.shape[-1], 1, dtype=weights.dtype)
        x[:, marked] = 1
        for layer in range(weights.shape[1]):
            x = x / 2 + weights[:, layer].mean(1) @ x / 2
        columns.append(x)
    return torch.cat(columns, dim=2)
""",
    "normalised by the rows": """
def attention_rollout(weights):
    rollout = None
    for layer in torch.unbind(weights, 1):
        table = layer.mean(1) + torch.eye(layer.shape[-1])
        table = table / table.sum(-1, keepdim=True)
        rollout = table if rollout is None else table @ rollout
    return rollout
""",
    "one image after the other, linalg": """
def attention_rollout(weights: torch.Tensor) -> torch.Tensor:
    results = []
    for image in weights:  # (layers, heads, n, n)
        tables = [(layer.mean(0) + torch.eye(layer.shape[-1])) / 2 for layer in image.flip(0)]
        results.append(torch.linalg.multi_dot(tables) if len(tables) > 1 else tables[0])
    return torch.stack(results)
""",
    "einsum": """
def attention_rollout(weights):
    mixing = torch.einsum("blhij->lbij", weights) / weights.shape[2] / 2
    mixing = mixing + torch.diag(torch.full((weights.shape[-1],), 0.5))
    rollout = mixing[0]
    for table in mixing[1:]:
        rollout = torch.einsum("bij,bjk->bik", table, rollout)
    return rollout
""",
}

CAPTION_INIT = """
class CaptionDecoder(nn.Module):
    def __init__(self, *, vocab_size, d_model, num_heads, num_layers, dim_feedforward):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.blocks = nn.ModuleList(
            DecoderBlock(d_model=d_model, num_heads=num_heads, dim_feedforward=dim_feedforward)
            for _ in range(num_layers)
        )
        self.output = nn.Linear(d_model, vocab_size)
"""

CAPTION_DECODER = {
    "a mask for each image and head": CAPTION_INIT
    + """
    def forward(self, tokens, patches):
        batch, n = tokens.shape
        x = self.embedding(tokens) + sinusoidal_positions(n, self.d_model)[None]
        mask = (torch.arange(n)[:, None] >= torch.arange(n)).expand(batch, 1, n, n)
        for block in self.blocks:
            x = block(x, patches, mask=mask)
        return self.output(x)
""",
    "a memory mask that allows everything": CAPTION_INIT
    + """
    def forward(self, tokens, patches):
        n, m = tokens.shape[1], patches.shape[1]
        x = F.embedding(tokens, self.embedding.weight)
        x = x + sinusoidal_positions(n, x.shape[-1])
        for number in range(len(self.blocks)):
            every = torch.ones(n, m, dtype=torch.bool)
            x = self.blocks[number](x, patches, mask=causal_mask(n), memory_mask=every)
        return x @ self.output.weight.T + self.output.bias
""",
    "positions of its own": CAPTION_INIT
    + """
    def forward(self, tokens: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        for place in range(tokens.shape[1]):
            for pair in range(0, self.d_model, 2):
                angle = place / 10000 ** (pair / self.d_model)
                wave = torch.zeros_like(x)
                wave[:, place, pair], wave[:, place, pair + 1] = math.sin(angle), math.cos(angle)
                x = x + wave
        mask = torch.triu(torch.ones(tokens.shape[1], tokens.shape[1]), diagonal=1) == 0
        for block in self.blocks:
            x = block(x, patches, mask=mask)
        print("written", tuple(x.shape))
        return self.output(x)
""",
    "each beginning alone": CAPTION_INIT
    + """
    def forward(self, tokens, patches):
        rows = []
        for n in range(1, tokens.shape[1] + 1):
            x = self.embedding(tokens[:, :n]) + sinusoidal_positions(n, self.d_model)
            for block in self.blocks:
                x = block(x, patches, mask=causal_mask(n))
            rows.append(self.output(x)[:, -1])
        return torch.stack(rows, dim=1)
""",
    "one image after the other": CAPTION_INIT
    + """
    def forward(self, tokens, patches, *, verbose=False):
        positions, mask = sinusoidal_positions(tokens.shape[-1], self.d_model), causal_mask(tokens.shape[-1])
        outputs = []
        for words, memory in zip(tokens, patches):
            x = (self.embedding(words) + positions).unsqueeze(0)
            for block in self.blocks:
                x = block(x, memory.unsqueeze(0), mask=mask)
            outputs.append(self.output(x))
        return torch.cat(outputs)
""",
}

MODEL = """
    model = VisionTransformer(
        image_size=(8, 8), patch_size=2, in_channels=1, num_classes=10, d_model=32, num_heads=4, num_layers=2,
        dim_feedforward=64,
    )
"""

TRAIN_CLASSIFIER = {
    "Adam without weight decay, a cosine, fewer updates": f"""
def train_classifier(draw_batch):
{MODEL}
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=260, pct_start=0.15)
    for _ in range(260):
        images, labels = draw_batch()
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        schedule.step()
    return model.state_dict()
""",
    "the course's own loop": f"""
from course_lib.training import linear_schedule, train

def train_classifier(draw_batch):
{MODEL}
    train(
        model,
        iter(draw_batch, None),
        lambda batch: F.cross_entropy(model(batch[0]), batch[1]),
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05),
        steps=320,
        schedule=linear_schedule(320, floor=0.0),
        progress=False,
    )
    return dict(model.state_dict())
""",
    "the loss written out, and weights in float64": f"""
def train_classifier(draw_batch):
    torch.manual_seed(11)
{MODEL}
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for number in range(320):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (number + 1) / 40) * (1 - number / 320)
        images, labels = draw_batch()
        log_probability = model(images).log_softmax(dim=-1)
        loss = -log_probability[torch.arange(len(labels)), labels].mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return {{name: weight.detach().double() for name, weight in model.named_parameters()}}
""",
    "noisy digits as well, smoothed labels": f"""
def train_classifier(draw_batch):
{MODEL}
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    steps = 450
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min((number + 1) / 40, 1 - number / steps)
        images, labels = draw_batch()
        if number % 3 == 0:
            images = images + 0.1 * torch.randn_like(images)
        loss = F.cross_entropy(model(images), labels, label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval().state_dict()
""",
    "until the loss is small enough": f"""
def train_classifier(draw_batch):
    torch.manual_seed(3)
{MODEL}
    optimizer = torch.optim.RAdam(model.parameters(), lr=3e-3)
    smooth, number = 2.3, 0
    while (smooth > 0.06 or number < 250) and number < 600:
        images, labels = draw_batch()
        loss = nn.CrossEntropyLoss()(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        smooth, number = 0.95 * smooth + 0.05 * loss.item(), number + 1
    return dict(model.state_dict())
""",
}

RIGHT_ANSWERS = {
    "patchify": PATCHIFY,
    "unpatchify": UNPATCHIFY,
    "patch_weight_from_conv": PATCH_WEIGHT,
    "PatchEmbedding": PATCH_EMBEDDING,
    "VisionTransformer": VISION_TRANSFORMER,
    "attention_rollout": ATTENTION_ROLLOUT,
    "CaptionDecoder": CAPTION_DECODER,
    "train_classifier": TRAIN_CLASSIFIER,
}
