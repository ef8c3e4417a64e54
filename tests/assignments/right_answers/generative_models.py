"""Right answers to assignment 10, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

AUTOENCODER = {
    "silu written out": """
class Autoencoder(nn.Module):
    def __init__(self, *, in_features, hidden_size, latent_size):
        super().__init__()
        self.encoder1, self.encoder2 = nn.Linear(in_features, hidden_size), nn.Linear(hidden_size, latent_size)
        self.decoder1, self.decoder2 = nn.Linear(latent_size, hidden_size), nn.Linear(hidden_size, in_features)

    def _through(self, first, second, x):
        hidden = first(x)
        return second(hidden * torch.sigmoid(hidden))

    def encode(self, x):
        return self._through(self.encoder1, self.encoder2, x)

    def decode(self, z):
        return self._through(self.decoder1, self.decoder2, z)

    def forward(self, x):
        z = self.encode(x)
        return self.decode(z)
""",
    "a module for the activation, and layers made in a loop": """
class Autoencoder(nn.Module):
    def __init__(self, in_features, hidden_size, latent_size):
        super().__init__()
        widths = [in_features, hidden_size, latent_size, hidden_size, in_features]
        for name, a, b in zip(("encoder1", "encoder2", "decoder1", "decoder2"), widths, widths[1:]):
            setattr(self, name, nn.Linear(a, b))
        self.activation = nn.SiLU()

    def encode(self, x):
        return self.encoder2(self.activation(self.encoder1(x)))

    def decode(self, z):
        return self.decoder2(self.activation(self.decoder1(z)))

    def forward(self, x):
        return self.decode(self.encode(x))
""",
    "matrix products": """
class Autoencoder(nn.Module):
    def __init__(self, *, in_features, hidden_size, latent_size):
        super().__init__()
        self.encoder1 = nn.Linear(in_features, hidden_size)
        self.encoder2 = nn.Linear(hidden_size, latent_size)
        self.decoder1 = nn.Linear(latent_size, hidden_size)
        self.decoder2 = nn.Linear(hidden_size, in_features)

    @staticmethod
    def affine(layer, x):
        return x @ layer.weight.T + layer.bias

    def encode(self, x):
        a = self.affine(self.encoder1, x)
        return self.affine(self.encoder2, a / (1 + torch.exp(-a)))

    def decode(self, z):
        a = self.affine(self.decoder1, z)
        return self.affine(self.decoder2, a / (1 + torch.exp(-a)))

    def forward(self, x):
        print("rebuilding", tuple(x.shape))
        return self.decode(self.encode(x))
""",
    "weights started at small values, which is allowed": """
class Autoencoder(nn.Module):
    def __init__(self, *, in_features, hidden_size, latent_size):
        super().__init__()
        self.encoder1 = nn.Linear(in_features, hidden_size)
        self.encoder2 = nn.Linear(hidden_size, latent_size)
        self.decoder1 = nn.Linear(latent_size, hidden_size)
        self.decoder2 = nn.Linear(hidden_size, in_features)
        for p in self.parameters():
            nn.init.normal_(p, std=0.02)

    def encode(self, x):
        return self.encoder2(nn.functional.silu(self.encoder1(x)))

    def decode(self, z):
        return self.decoder2(nn.functional.silu(self.decoder1(z)))

    def forward(self, x):
        return self.decode(self.encode(x))
""",
    "row by row": """
class Autoencoder(nn.Module):
    def __init__(self, *, in_features, hidden_size, latent_size):
        super().__init__()
        self.encoder1 = nn.Linear(in_features, hidden_size)
        self.encoder2 = nn.Linear(hidden_size, latent_size)
        self.decoder1 = nn.Linear(latent_size, hidden_size)
        self.decoder2 = nn.Linear(hidden_size, in_features)

    def encode(self, x):
        rows = [self.encoder2(F.silu(self.encoder1(row))) for row in x.reshape(-1, x.shape[-1])]
        return torch.stack(rows).reshape(*x.shape[:-1], -1)

    def decode(self, z):
        rows = [self.decoder2(F.silu(self.decoder1(row))) for row in z.reshape(-1, z.shape[-1])]
        return torch.stack(rows).reshape(*z.shape[:-1], -1)

    def forward(self, x):
        return self.decode(self.encode(x))
""",
}

GAUSSIAN_KL = {
    "one line": """
def gaussian_kl(mean, log_variance):
    return (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(-1) / 2
""",
    "the paper's sign": """
def gaussian_kl(mean, log_variance):
    return -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp(), dim=-1)
""",
    "expm1 and einsum": """
def gaussian_kl(mean, log_variance):
    squares = torch.einsum("...i,...i->...", mean, mean)
    return 0.5 * (squares + (torch.expm1(log_variance) - log_variance).sum(-1))
""",
    "through the standard deviation": """
def gaussian_kl(mean, log_variance, verbose=False):
    log_sigma = log_variance / 2
    sigma = torch.exp(log_sigma)
    return (-log_sigma + (sigma * sigma + mean * mean) / 2 - 0.5).sum(dim=-1)
""",
    "a loop over the entries": """
def gaussian_kl(mean, log_variance):
    total = torch.zeros(mean.shape[:-1], dtype=mean.dtype)
    for i in range(mean.shape[-1]):
        m, lv = mean[..., i], log_variance[..., i]
        total = total + 0.5 * (m**2 + math.e**lv - 1 - lv)
    return total
""",
}

REPARAMETERIZE = {
    "the exponential of a half": """
def reparameterize(mean, log_variance, noise):
    return mean + torch.exp(log_variance / 2) * noise
""",
    "the root of the variance": """
def reparameterize(mean, log_variance, noise):
    return log_variance.exp().sqrt() * noise + mean
""",
    "addcmul": """
def reparameterize(mean, log_variance, noise):
    std = log_variance.mul(0.5).exp()
    return torch.addcmul(mean, std, noise)
""",
    "lerp between the mean and one deviation further": """
def reparameterize(mean, log_variance, noise):
    one_further = mean + (log_variance * 0.5).exp()
    return torch.lerp(mean, one_further, noise)
""",
    "powers of e, with a print": """
def reparameterize(mean, log_variance, noise):
    sigma = math.e ** (0.5 * log_variance)
    print("largest deviation", float(sigma.max()))
    return mean + noise * sigma
""",
}

NEGATIVE_ELBO = {
    "one expression": """
def negative_elbo(x, reconstruction, mean, log_variance, *, sigma=1.0):
    d = x.shape[-1]
    error = ((x - reconstruction) ** 2).sum(-1) / (2 * sigma**2) + d / 2 * math.log(2 * math.pi * sigma**2)
    return torch.mean(error + gaussian_kl(mean, log_variance))
""",
    "two means": """
def negative_elbo(x, reconstruction, mean, log_variance, *, sigma=1.0):
    z = (x - reconstruction) / sigma
    nll = 0.5 * z * z + math.log(sigma) + 0.5 * math.log(2 * math.pi)
    return nll.sum(dim=1).mean() + gaussian_kl(mean, log_variance).mean()
""",
    "mse_loss, scaled back": """
def negative_elbo(x, reconstruction, mean, log_variance, *, sigma=1.0):
    batch, width = x.shape
    squares = F.mse_loss(reconstruction, x, reduction="sum") / batch / (2 * sigma**2)
    return squares + width * 0.5 * math.log(2 * math.pi * sigma**2) + gaussian_kl(mean, log_variance).mean()
""",
    "row by row": """
def negative_elbo(x, reconstruction, mean, log_variance, *, sigma=1.0):
    total = 0.0
    for row in range(len(x)):
        for j in range(x.shape[1]):
            total = total + (x[row, j] - reconstruction[row, j]) ** 2 / (2 * sigma**2)
            total = total + 0.5 * math.log(2 * math.pi * sigma**2)
        total = total + gaussian_kl(mean[row], log_variance[row])
    return total / len(x)
""",
    "sigma as a tensor, and the divergence written again": """
def negative_elbo(x, reconstruction, mean, log_variance, *, sigma=1.0, weight=1.0):
    s = torch.as_tensor(sigma, dtype=x.dtype)
    log_density = -((x - reconstruction) / s).pow(2) / 2 - s.log() - math.log(math.tau) / 2
    kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp())
    return -(log_density.sum(-1) - weight * kl.sum(-1)).mean()
""",
}

AUTOREGRESSIVE_SAMPLE = {
    "only what is known is given, padded": """
def autoregressive_sample(model, *, count, length, generator):
    known = torch.empty(count, 0, dtype=torch.long)
    for place in range(length):
        padded = F.pad(known, (0, length - place))
        p = F.softmax(model(padded)[:, place], dim=1)
        known = torch.cat([known, torch.multinomial(p, 1, generator=generator)], dim=1)
    return known
""",
    "uniform numbers against the cumulated probabilities": """
def autoregressive_sample(model, *, count, length, generator):
    ids = torch.zeros(count, length, dtype=torch.int64)
    for t in range(length):
        edges = model(ids)[:, t].softmax(-1).cumsum(-1)
        u = torch.rand(count, 1, generator=generator)
        ids[:, t] = (u > edges[:, :-1]).sum(-1)
    return ids
""",
    "Gumbel noise and argmax": """
def autoregressive_sample(model, *, count, length, generator):
    ids = torch.zeros(count, length, dtype=torch.long)
    for t in range(length):
        logits = model(ids)[:, t, :]
        u = torch.rand(logits.shape, generator=generator).clamp_min(1e-12)
        ids[:, t] = (logits - torch.log(-torch.log(u))).argmax(dim=-1)
    return ids
""",
    "exponentials are weights enough for multinomial": """
def autoregressive_sample(model, *, count, length, generator):
    ids = torch.ones((count, length)).long() * 0
    with torch.no_grad():
        for t in range(length):
            ids[:, t : t + 1] = model(ids)[:, t].exp().multinomial(1, generator=generator)
    return ids
""",
    "anything may stand where nothing is drawn yet": """
def autoregressive_sample(model, *, count, length, generator):
    rows = [[1] * length for _ in range(count)]
    for t in range(length):
        p = torch.softmax(model(torch.tensor(rows))[:, t], -1)
        for row, value in zip(rows, torch.multinomial(p, 1, generator=generator).flatten().tolist()):
            row[t] = value
    return torch.tensor(rows)
""",
}

GAN_LOSSES = {
    "cross-entropies with logits": """
def gan_losses(real_logits, fake_logits, *, saturating=False):
    bce = F.binary_cross_entropy_with_logits
    on_fake = bce(fake_logits, torch.zeros_like(fake_logits))
    d = bce(real_logits, torch.ones_like(real_logits)) + on_fake
    g = -on_fake if saturating else bce(fake_logits, torch.ones_like(fake_logits))
    return d, g
""",
    "logsigmoid": """
def gan_losses(real_logits, fake_logits, *, saturating=False):
    log_d_real, log_d_fake = F.logsigmoid(real_logits), F.logsigmoid(fake_logits)
    log_not_fake = F.logsigmoid(-fake_logits)
    return -log_d_real.mean() - log_not_fake.mean(), log_not_fake.mean() if saturating else -log_d_fake.mean()
""",
    "logaddexp": """
def gan_losses(real_logits, fake_logits, *, saturating=False):
    def loss(logits):  # -ln sigmoid
        return torch.logaddexp(torch.zeros_like(logits), -logits).sum() / logits.numel()

    generator = -loss(-fake_logits) if saturating else loss(fake_logits)
    return loss(real_logits) + loss(-fake_logits), generator
""",
    "1 - D is D minus the logit": """
def gan_losses(real_logits, fake_logits, *, saturating=False):
    minus_log_d = F.softplus(-fake_logits)
    minus_log_not_d = minus_log_d + fake_logits
    generator = torch.mean(-minus_log_not_d if saturating else minus_log_d)
    return F.softplus(-real_logits).mean() + minus_log_not_d.mean(), generator
""",
    "a table of both forms, and a list": """
def gan_losses(real_logits, fake_logits, *, saturating=False):
    fake = fake_logits.reshape(-1)
    forms = {False: F.softplus(-fake).mean(), True: F.softplus(fake).mean().neg()}
    both = [F.softplus(-real_logits.reshape(-1)).mean() + F.softplus(fake).mean(), forms[bool(saturating)]]
    return tuple(both)
""",
}

_CONSTRUCTOR = """
class VAE(nn.Module):
    def __init__(self, *, in_features, hidden_size, latent_size, sigma=1.0):
        super().__init__()
        self.sigma = sigma
        self.encoder1 = nn.Linear(in_features, hidden_size)
        self.encoder2 = nn.Linear(hidden_size, 2 * latent_size)
        self.decoder1 = nn.Linear(latent_size, hidden_size)
        self.decoder2 = nn.Linear(hidden_size, in_features)
"""

VAE = {
    "slices, and everything unpacked": _CONSTRUCTOR
    + """
    def encode(self, x):
        out = self.encoder2(F.silu(self.encoder1(x)))
        half = out.shape[-1] // 2
        return out[..., :half], out[..., half:]

    def decode(self, z):
        return self.decoder2(F.silu(self.decoder1(z)))

    def forward(self, x, noise):
        mean, log_variance = self.encode(x)
        return self.decode(reparameterize(mean, log_variance, noise)), mean, log_variance

    def loss(self, x, noise):
        return negative_elbo(x, *self.forward(x, noise), sigma=self.sigma)

    def sample(self, noise):
        return self.decode(noise)
""",
    "split, and the draw written again": _CONSTRUCTOR
    + """
    def encode(self, x):
        hidden = self.encoder1(x)
        return torch.split(self.encoder2(hidden * hidden.sigmoid()), self.decoder1.in_features, dim=-1)

    def decode(self, z):
        hidden = self.decoder1(z)
        return self.decoder2(hidden * hidden.sigmoid())

    def forward(self, x, noise):
        mean, log_variance = self.encode(x)
        z = mean + noise * torch.exp(0.5 * log_variance)
        return (self.decode(z), mean, log_variance)

    def loss(self, x, noise):
        rebuilt, mean, log_variance = self(x, noise)
        return negative_elbo(x, rebuilt, mean, log_variance, sigma=self.sigma)

    def sample(self, noise):
        return self.decode(z=noise)
""",
    "two halves of the weights": _CONSTRUCTOR
    + """
    def encode(self, x):
        hidden = F.silu(self.encoder1(x))
        weights, biases = self.encoder2.weight.chunk(2), self.encoder2.bias.chunk(2)
        return tuple(F.linear(hidden, w, b) for w, b in zip(weights, biases))

    def decode(self, z):
        return F.linear(F.silu(self.decoder1(z)), self.decoder2.weight, self.decoder2.bias)

    def forward(self, x, noise):
        code = self.encode(x)
        return self.decode(reparameterize(*code, noise)), *code

    def loss(self, x, noise):
        out = self(x, noise)
        return negative_elbo(x, out[0], out[1], out[2], sigma=self.sigma)

    def sample(self, noise):
        return self.decode(noise)
""",
    "the loss written out": _CONSTRUCTOR
    + """
    def encode(self, x):
        mean, log_variance = self.encoder2(F.silu(self.encoder1(x))).unflatten(-1, (2, -1)).unbind(-2)
        return mean, log_variance

    def decode(self, z):
        return self.decoder2(F.silu(self.decoder1(z)))

    def forward(self, x, noise):
        mean, log_variance = self.encode(x)
        return self.decode(reparameterize(mean, log_variance, noise)), mean, log_variance

    def loss(self, x, noise):
        rebuilt, mean, log_variance = self(x, noise)
        error = ((x - rebuilt) / self.sigma).square().sum(-1) / 2
        error = error + x.shape[-1] * (math.log(self.sigma) + 0.5 * math.log(2 * math.pi))
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
        return (error + kl).mean()

    def sample(self, noise):
        return self.decoder2(F.silu(self.decoder1(noise)))
""",
    "row by row, with prints": _CONSTRUCTOR
    + """
    def encode(self, x):
        rows = [self.encoder2(F.silu(self.encoder1(row))) for row in x]
        both = torch.stack(rows)
        width = both.shape[1] // 2
        return both[:, :width], both[:, width:]

    def decode(self, z):
        return torch.stack([self.decoder2(F.silu(self.decoder1(row))) for row in z])

    def forward(self, x, noise):
        mean, log_variance = self.encode(x)
        print("mean of the means", float(mean.mean()))
        z = reparameterize(mean, log_variance, noise)
        return self.decode(z), mean, log_variance

    def loss(self, x, noise):
        losses = []
        for row, e in zip(x, noise):
            losses.append(negative_elbo(row[None], *self(row[None], e[None]), sigma=self.sigma))
        return sum(losses) / len(losses)

    def sample(self, noise):
        return self.decode(noise)
""",
}

RIGHT_ANSWERS = {
    "Autoencoder": AUTOENCODER,
    "gaussian_kl": GAUSSIAN_KL,
    "reparameterize": REPARAMETERIZE,
    "negative_elbo": NEGATIVE_ELBO,
    "autoregressive_sample": AUTOREGRESSIVE_SAMPLE,
    "gan_losses": GAN_LOSSES,
    "VAE": VAE,
}
