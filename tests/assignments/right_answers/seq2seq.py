"""Right answers to assignment 02, each written in another way. All must earn full marks.

The keys say what is unusual about an answer. Helpers, extra arguments, prints, warnings and odd dtypes are on purpose.
"""

BUILD_VOCABULARY = {
    "setdefault": """
def build_vocabulary(sentences):
    index = dict(zip(SPECIALS, range(4)))
    for sentence in sentences:
        for word in sentence:
            index.setdefault(word, len(index))
    return index
""",
    "the keys of a dict, numbered at the end": """
def build_vocabulary(sentences):
    words = dict.fromkeys(word for sentence in sentences for word in sentence)
    return {word: i for i, word in enumerate([*SPECIALS, *words])}
""",
    "a list and its index": """
def build_vocabulary(sentences):
    words = list(SPECIALS)
    for word in sum([list(sentence) for sentence in sentences], []):
        if words.count(word) == 0:
            words.append(word)
    return {word: words.index(word) for word in words}
""",
    "a counter of numbers and a default": """
from collections import defaultdict
from itertools import chain, count

def build_vocabulary(sentences):
    numbers = count()
    index = defaultdict(lambda: next(numbers))
    for word in chain(SPECIALS, *sentences):
        index[word]
    print(len(index), "words")
    return dict(index)
""",
    "sorted by the place of first appearance": """
def build_vocabulary(sentences, *, specials=("<pad>", "<start>", "<end>", "<unk>")):
    flat = [word for sentence in sentences for word in sentence]
    order = sorted(set(flat), key=flat.index)
    index = {special: i for i, special in enumerate(specials)}
    index.update({word: i + len(specials) for i, word in enumerate(order)})
    return index
""",
    "numpy numbers": """
def build_vocabulary(sentences):
    words = list(dict.fromkeys(list(SPECIALS) + [w for s in sentences for w in s]))
    return dict(zip(words, np.arange(len(words))))
""",
}

PAD_BATCH = {
    "a table that is filled": """
def pad_batch(sequences, *, pad=0):
    lengths = torch.tensor(list(map(len, sequences)))
    ids = torch.full((len(sequences), max(map(len, sequences))), pad)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
    return ids, lengths
""",
    "F.pad and stack": """
def pad_batch(sequences, *, pad=0):
    rows = [torch.tensor(sequence) for sequence in sequences]
    longest = max(len(row) for row in rows)
    ids = torch.stack([F.pad(row, (0, longest - len(row)), value=pad) for row in rows])
    return ids, torch.tensor([len(row) for row in rows], dtype=torch.int32)
""",
    "zip_longest": """
from itertools import zip_longest

def pad_batch(sequences, *, pad=0):
    columns = list(zip_longest(*sequences, fillvalue=pad))
    return torch.tensor(columns).T, torch.tensor([len(s) for s in sequences])
""",
    "numpy": """
def pad_batch(sequences, *, pad=0):
    lengths = np.array([len(s) for s in sequences])
    table = np.full((lengths.size, lengths.max()), pad, dtype=np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate(sequences)
    return torch.from_numpy(table), torch.from_numpy(lengths)
""",
    "append until it is long enough": """
def pad_batch(sequences, *, pad=0):
    copies = [list(sequence) for sequence in sequences]
    longest = len(max(copies, key=len))
    for copy in copies:
        while len(copy) < longest:
            copy.append(pad)
    return torch.LongTensor(copies), torch.LongTensor([len(sequence) for sequence in sequences])
""",
    "a pair in a list": """
def pad_batch(sequences, *, pad=0):
    longest = max(len(s) for s in sequences)
    ids = [[s[t] if t < len(s) else pad for t in range(longest)] for s in sequences]
    return [torch.tensor(ids), torch.tensor([len(s) for s in sequences])]
""",
}

SHIFT_RIGHT = {
    "rolled and overwritten": """
def shift_right(target, *, start=1):
    shifted = torch.roll(target, 1, dims=-1)
    shifted[:, 0] = start
    return shifted
""",
    "F.pad": """
def shift_right(target, *, start=1):
    return F.pad(target, (1, -1), value=start)
""",
    "an empty table": """
def shift_right(target, *, start=1):
    tokens = torch.empty_like(target)
    tokens[:, 0] = start
    tokens[:, 1:] = target[:, :-1]
    return tokens
""",
    "row by row": """
def shift_right(target, *, start=1):
    return torch.tensor([[start, *row[:-1]] for row in target.tolist()])
""",
    "columns stacked": """
def shift_right(target, *, start=1):
    columns = [torch.full((target.size(0),), start)] + [target[:, i] for i in range(target.size(1) - 1)]
    return torch.stack(columns, 1)
""",
}

MASKED_CROSS_ENTROPY = {
    "only the words, by a boolean index": """
def masked_cross_entropy(logits, target, *, pad=0):
    keep = target != pad
    logits, target = logits[keep], target[keep]
    return (logits.logsumexp(-1) - logits[torch.arange(len(target)), target]).mean()
""",
    "one-hot targets": """
def masked_cross_entropy(logits, target, *, pad=0):
    p = torch.softmax(logits, dim=2)
    one_hot = F.one_hot(target, logits.shape[2])
    losses = -torch.log((p * one_hot).sum(2))
    mask = (target != pad).to(losses.dtype)
    return torch.sum(losses * mask) / torch.sum(mask)
""",
    "exponentials by hand": """
def masked_cross_entropy(logits, target, *, pad=0):
    top = logits.max(dim=-1, keepdim=True).values
    log_sum = (logits - top).exp().sum(-1, keepdim=True).log() + top
    losses = (log_sum - logits.gather(2, target.unsqueeze(2)))[..., 0]
    return losses.masked_fill(target == pad, 0.0).sum() / (target.ne(pad)).sum()
""",
    "a loop over sentences and words": """
def masked_cross_entropy(logits, target, *, pad=0):
    losses = []
    for sentence, words in zip(logits, target):
        for row, word in zip(sentence, words):
            if word != pad:
                losses.append(-row.log_softmax(0)[word])
    return torch.stack(losses).mean()
""",
    "nanmean": """
def masked_cross_entropy(logits, target, *, pad=0):
    losses = -torch.take_along_dim(F.log_softmax(logits, -1), target[:, :, None], dim=-1)[:, :, 0]
    return losses.where(target != pad, math.nan).nanmean()
""",
    "in float32": """
def masked_cross_entropy(logits, target, *, pad=0):
    flat, words = logits.float().reshape(-1, logits.size(-1)), target.reshape(-1)
    weights = (words != pad).float()
    return -(flat.log_softmax(1)[range(len(words)), words] @ weights) / weights.sum()
""",
}

_ENCODER = """
class Encoder(nn.Module):
    def __init__(self, *, vocab_size, d_model, hidden_size, num_layers=1):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model, hidden_size, num_layers, batch_first=True)
"""

ENCODER = {
    "a sentence at a time": _ENCODER
    + """
    def forward(self, source, lengths):
        states = torch.zeros(*source.shape, self.rnn.hidden_size)
        h, c = [], []
        for row, n in enumerate(lengths.tolist()):
            out, (hn, cn) = self.rnn(self.embedding(source[row : row + 1, :n]))
            states[row, :n] = out[0]
            h.append(hn)
            c.append(cn)
        return states, (torch.cat(h, 1), torch.cat(c, 1))
""",
    "step by step, ended sentences keep their state": _ENCODER
    + """
    def forward(self, source, lengths):
        shape = (self.rnn.num_layers, len(source), self.rnn.hidden_size)
        h = c = torch.zeros(shape)
        states = []
        for time in range(source.shape[1]):
            out, (new_h, new_c) = self.rnn(self.embedding(source[:, time])[:, None], (h, c))
            runs = (time < lengths)[:, None]
            h, c = torch.where(runs, new_h, h), torch.where(runs, new_c, c)
            states.append(out[:, 0] * runs)
        return torch.stack(states, 1), (h, c)
""",
    "packed words, embedded afterwards": _ENCODER
    + """
    def forward(self, source, lengths):
        packed = pack_padded_sequence(source, lengths.tolist(), batch_first=True, enforce_sorted=False)
        packed = packed._replace(data=self.embedding(packed.data))
        out, state = self.rnn(packed)
        unpacked, _ = pad_packed_sequence(out, batch_first=True)
        missing = source.shape[1] - unpacked.shape[1]
        return F.pad(unpacked, (0, 0, 0, missing)), state
""",
    "sorted by hand": _ENCODER
    + """
    def forward(self, source, lengths):
        order = torch.argsort(lengths, descending=True)
        back = torch.argsort(order)
        packed = pack_padded_sequence(self.embedding(source[order]), lengths[order], batch_first=True)
        out, (h, c) = self.rnn(packed)
        states = pad_packed_sequence(out, batch_first=True, total_length=source.size(1))[0]
        return states[back], (h[:, back], c[:, back])
""",
    "time first": _ENCODER
    + """
    def forward(self, source, lengths, *, verbose=False):
        packed = pack_padded_sequence(self.embedding(source).transpose(0, 1), lengths, enforce_sorted=False)
        out, last = self.rnn(packed)
        states = pad_packed_sequence(out, total_length=source.size(1))[0].transpose(0, 1)
        if verbose:
            print(states.shape)
        return states, last
""",
    "the pair in a list": _ENCODER
    + """
    def forward(self, source, lengths):
        x = F.embedding(source, self.embedding.weight)
        states, (h, c) = self.rnn(pack_padded_sequence(x, lengths, True, False))
        return pad_packed_sequence(states, True, 0.0, source.shape[1])[0], [h, c]
""",
}

_DECODER = """
class DecoderStep(nn.Module):
    def __init__(self, *, vocab_size, d_model, hidden_size, d_context, num_layers=1):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.rnn = nn.LSTM(d_model + d_context, hidden_size, num_layers, batch_first=True)
        self.output = nn.Linear(hidden_size, vocab_size)
"""

DECODER_STEP = {
    "the logits from the new h": _DECODER
    + """
    def forward(self, token, state, context):
        x = torch.hstack((self.embedding(token), context)).unsqueeze(1)
        _, (h, c) = self.rnn(x, state)
        return self.output(h[-1]), (h, c)
""",
    "the step as an axis from the start": _DECODER
    + """
    def forward(self, token, state, context):
        x = torch.cat((self.embedding(token.view(-1, 1)), context[:, None, :]), 2)
        out, state = self.rnn(x, state)
        return self.output(out).squeeze(1), state
""",
    "linear by hand": _DECODER
    + """
    def forward(self, token, state, context):
        x = torch.cat([self.embedding.weight[token], context], 1)
        out, state = self.rnn(x.reshape(len(token), 1, -1), tuple(state))
        return out[:, -1] @ self.output.weight.T + self.output.bias, state
""",
    "without a batch axis, one sentence after the other": _DECODER
    + """
    def forward(self, token, state, context):
        h, c = state
        logits, hs, cs = [], [], []
        for row in range(len(token)):
            x = torch.cat([self.embedding(token[row]), context[row]])[None]
            out, (hn, cn) = self.rnn(x, (h[:, row], c[:, row]))
            logits.append(self.output(out[0]))
            hs.append(hn)
            cs.append(cn)
        return torch.stack(logits), (torch.stack(hs, 1), torch.stack(cs, 1))
""",
    "lstm_cell, layer by layer": _DECODER
    + """
    def forward(self, token, state, context):
        x = torch.cat([self.embedding(token), context], dim=-1)
        new = []
        for layer in range(self.rnn.num_layers):
            weights = [getattr(self.rnn, f"{n}_l{layer}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            h, c = torch.lstm_cell(x, (state[0][layer], state[1][layer]), *weights)
            new.append((h, c))
            x = h
        return self.output(x), (torch.stack([h for h, _ in new]), torch.stack([c for _, c in new]))
""",
}

GREEDY_DECODE = {
    "a table that is cut off": """
def greedy_decode(step, state, *, batch_size, max_length, start=1, end=2, pad=0):
    table = torch.full((batch_size, max_length), pad)
    token, running = torch.full((batch_size,), start), torch.ones(batch_size, dtype=torch.bool)
    for number in range(max_length):
        logits, state = step(token, state)
        token = torch.argmax(logits, 1)
        table[running, number] = token[running]
        running &= token != end
        if not running.any():
            return table[:, : number + 1]
    return table
""",
    "padding at the end, from the first end": """
def greedy_decode(step, state, *, batch_size, max_length, start=1, end=2, pad=0):
    columns = [torch.full((batch_size,), start)]
    while len(columns) <= max_length:
        logits, state = step(columns[-1], state)
        columns.append(logits.max(-1).indices)
        seen = torch.stack(columns[1:], 1) == end
        if seen.any(1).all():
            break
    ids = torch.stack(columns[1:], 1)
    behind = (ids == end).long().cumsum(1) - (ids == end).long() > 0
    return ids.masked_fill(behind, pad)
""",
    "softmax first": """
def greedy_decode(step, state, *, batch_size, max_length, start=1, end=2, pad=0):
    token = start * torch.ones(batch_size, dtype=torch.long)
    done = [False] * batch_size
    rows = [[] for _ in range(batch_size)]
    for _ in range(max_length):
        logits, state = step(token, state)
        best = logits.softmax(-1).topk(1).indices.squeeze(-1).tolist()
        for i, word in enumerate(best):
            rows[i].append(pad if done[i] else word)
            done[i] = done[i] or word == end
        token = torch.tensor([row[-1] for row in rows])
        if all(done):
            break
    return torch.tensor(rows)
""",
    "recursion": """
def greedy_decode(step, state, *, batch_size, max_length, start=1, end=2, pad=0):
    def go(token, state, ended, left):
        if left == 0 or bool(ended.all()):
            return []
        logits, state = step(token, state)
        token = logits.argmax(1).masked_fill(ended, pad)
        return [token, *go(token, state, ended | token.eq(end), left - 1)]

    first = torch.full([batch_size], start)
    return torch.stack(go(first, state, torch.zeros(batch_size).bool(), max_length), -1)
""",
    "cat of columns, with no_grad": """
@torch.no_grad()
def greedy_decode(step, state, *, batch_size, max_length, start=1, end=2, pad=0, show=False):
    token = torch.tensor([start] * batch_size)
    ended = token == end
    out = torch.empty(batch_size, 0, dtype=torch.int64)
    for _ in range(max_length):
        logits, state = step(token, state)
        token = torch.where(ended, torch.tensor(pad), torch.argmax(logits, dim=-1))
        out = torch.cat([out, token[:, None]], 1)
        ended = torch.logical_or(ended, token == end)
        if show:
            print(out)
        if int(ended.sum()) == batch_size:
            break
    return out
""",
}

REVERSE_SOURCE = {
    "row by row": """
def reverse_source(source, lengths):
    result = source.clone()
    for row, n in enumerate(lengths.tolist()):
        result[row, :n] = source[row, :n].flip(0)
    return result
""",
    "lists": """
def reverse_source(source, lengths):
    rows = [row[:n][::-1] + row[n:] for row, n in zip(source.tolist(), lengths.tolist())]
    return torch.tensor(rows)
""",
    "flipped, then rolled": """
def reverse_source(source, lengths):
    width = source.shape[1]
    return torch.stack([row.flip(0).roll(int(n) - width) for row, n in zip(source, lengths)])
""",
    "an index for rows and places": """
def reverse_source(source, lengths):
    time = torch.arange(source.size(1)).expand_as(source)
    places = torch.where(time < lengths.unsqueeze(1), lengths.unsqueeze(1) - time - 1, time)
    return source[torch.arange(source.size(0)).unsqueeze(1), places]
""",
    "numpy": """
def reverse_source(source, lengths):
    array, result = source.numpy(), source.numpy().copy()
    for row in range(len(array)):
        n = int(lengths[row])
        result[row, :n] = array[row, n - 1 :: -1] if n else []
    return torch.from_numpy(result)
""",
    "sorted by a key": """
def reverse_source(source, lengths):
    time = torch.arange(source.shape[1])
    key = torch.where(time < lengths[:, None], -time, time)
    return source.take_along_dim(key.argsort(dim=1), dim=1)
""",
}

CORPUS_BLEU = {
    "logarithms": """
def corpus_bleu(hypotheses, references, *, max_order=4):
    log_bleu = 0.0
    for n in range(1, max_order + 1):
        match = total = 0
        for h, r in zip(hypotheses, references):
            found = Counter(zip(*[h[i:] for i in range(n)]))
            wanted = Counter(zip(*[r[i:] for i in range(n)]))
            match += sum(min(count, wanted[gram]) for gram, count in found.items())
            total += sum(found.values())
        if match == 0:
            return 0.0
        log_bleu += math.log(match / total) / max_order
    c, r = sum(map(len, hypotheses)), sum(map(len, references))
    return 100 * math.exp(log_bleu + min(0, 1 - r / c))
""",
    "matches crossed off a list": """
def corpus_bleu(hypotheses, references, *, max_order=4):
    def grams(words, n):
        return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]

    precisions = []
    for n in range(1, max_order + 1):
        match, total = 0, 0
        for h, r in zip(hypotheses, references):
            left = grams(r, n)
            for gram in grams(h, n):
                total += 1
                if gram in left:
                    left.remove(gram)
                    match += 1
        if not match:
            return 0.0
        precisions.append(match / total)
    c = sum(len(h) for h in hypotheses)
    r = sum(len(x) for x in references)
    penalty = 1.0 if c >= r else math.exp(1 - r / c)
    product = 1.0
    for p in precisions:
        product *= p
    return penalty * product ** (1 / max_order) * 100
""",
    "numpy, with zeros let through": """
def corpus_bleu(hypotheses, references, *, max_order=4):
    counts = np.zeros((max_order, 2))
    for h, r in zip(hypotheses, references):
        for n in range(max_order):
            a = Counter(tuple(h[i : i + n + 1]) for i in range(len(h) - n))
            b = Counter(tuple(r[i : i + n + 1]) for i in range(len(r) - n))
            counts[n] += (a & b).total(), a.total()
    with np.errstate(all="ignore"):
        p = np.nan_to_num(counts[:, 0] / counts[:, 1])
        c, r = (sum(len(s) for s in side) for side in (hypotheses, references))
        return float(100 * np.exp(min(0, 1 - r / max(c, 1))) * np.exp(np.log(p).mean()))
""",
    "a tensor is returned": """
def corpus_bleu(hypotheses, references, *, max_order=4):
    match, total = torch.zeros(max_order), torch.zeros(max_order)
    for i in range(len(hypotheses)):
        for n in range(1, max_order + 1):
            grams = [tuple(hypotheses[i][k : k + n]) for k in range(len(hypotheses[i]) - n + 1)]
            others = [tuple(references[i][k : k + n]) for k in range(len(references[i]) - n + 1)]
            match[n - 1] += sum(min(grams.count(g), others.count(g)) for g in set(grams))
            total[n - 1] += len(grams)
    c, r = sum(len(h) for h in hypotheses), sum(len(h) for h in references)
    if (match == 0).any():
        return torch.tensor(0.0)
    return 100 * (match / total).log().mean().exp() * math.exp(min(0.0, 1 - r / c))
""",
    "fractions": """
from fractions import Fraction

def corpus_bleu(hypotheses, references, *, max_order=4):
    product = Fraction(1)
    for n in range(1, max_order + 1):
        top = bottom = 0
        for h, r in zip(hypotheses, references, strict=True):
            found = Counter(tuple(h[i : i + n]) for i in range(max(len(h) - n + 1, 0)))
            wanted = Counter(tuple(r[i : i + n]) for i in range(max(len(r) - n + 1, 0)))
            top += sum((found & wanted).values())
            bottom += max(len(h) - n + 1, 0)
        product *= Fraction(top, bottom) if bottom else 0
    if product == 0:
        return 0
    c, r = sum(map(len, hypotheses)), sum(map(len, references))
    return 100 * min(1, math.exp(1 - r / c)) * float(product) ** (1 / max_order)
""",
}

TRAIN_TRANSLATOR = {
    "the whole target in one call of the LSTM": """
def train_translator(draw_batch, *, source_size, target_size):
    encoder = Encoder(vocab_size=source_size, d_model=32, hidden_size=64)
    decoder = DecoderStep(vocab_size=target_size, d_model=32, hidden_size=64, d_context=64)
    translator = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    optimizer = torch.optim.Adam(translator.parameters(), lr=0.015)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=400)
    for _ in range(400):
        source, lengths, target = draw_batch()
        _, (h, c) = encoder(source, lengths)
        words = decoder.embedding(shift_right(target))
        context = h[-1][:, None].expand(-1, words.shape[1], -1)
        states, _ = decoder.rnn(torch.cat([words, context], -1), (h, c))
        loss = F.cross_entropy(decoder.output(states).transpose(1, 2), target, ignore_index=PAD)
        translator.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(translator.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return {name: weight.detach().clone() for name, weight in translator.state_dict().items()}
""",
    "with a layer of its own kind, AdamW and a constant rate": """
def train_translator(draw_batch, *, source_size, target_size):
    encoder = Encoder(vocab_size=source_size, d_model=32, hidden_size=64)
    decoder = DecoderStep(vocab_size=target_size, d_model=32, hidden_size=64, d_context=64)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=1e-4)
    for number in range(450):
        source, lengths, target = draw_batch()
        state = encoder(source, lengths)[1]
        words = decoder.embedding(F.pad(target, (1, -1), value=START))
        context = state[0][-1].unsqueeze(1).repeat(1, target.size(1), 1)
        logits = decoder.output(decoder.rnn(torch.cat([words, context], 2), state)[0])
        loss = -logits.log_softmax(-1).gather(2, target[..., None])[..., 0][target != PAD].mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_value_(parameters, 0.5)
        optimizer.step()
        if number % 100 == 0:
            print(number, loss.item())
    weights = {f"encoder.{name}": weight for name, weight in encoder.state_dict().items()}
    return weights | {f"decoder.{name}": weight for name, weight in decoder.state_dict().items()}
""",
    "the course's own loop, and the state_dict as it is": """
from course_lib.training import linear_schedule, train

def train_translator(draw_batch, *, source_size, target_size):
    encoder = Encoder(vocab_size=source_size, d_model=32, hidden_size=64)
    decoder = DecoderStep(vocab_size=target_size, d_model=32, hidden_size=64, d_context=64)
    translator = nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def loss(batch):
        source, lengths, target = batch
        _, state = encoder(source, lengths)
        context, logits = state[0][-1], []
        for token in shift_right(target).unbind(1):
            row, state = decoder(token, state, context)
            logits.append(row)
        return masked_cross_entropy(torch.stack(logits, 1), target)

    optimizer = torch.optim.Adam(translator.parameters(), lr=0.015)
    train(
        translator,
        iter(draw_batch, None),
        loss,
        optimizer=optimizer,
        steps=400,
        schedule=linear_schedule(400),
        progress=False,
    )
    return translator.state_dict()
""",
    "fewer updates on double batches, a warm-up, and weights in float64": """
def train_translator(draw_batch, *, source_size, target_size):
    encoder = Encoder(vocab_size=source_size, d_model=32, hidden_size=64)
    decoder = DecoderStep(vocab_size=target_size, d_model=32, hidden_size=64, d_context=64)
    translator = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    rate = 0.02
    optimizer = torch.optim.Adam(translator.parameters(), lr=rate)
    for number in range(320):
        optimizer.param_groups[0]["lr"] = rate * min((number + 1) / 20, 1 - number / 320)
        halves = [draw_batch(), draw_batch()]
        source = torch.cat([half[0] for half in halves])
        lengths = torch.cat([half[1] for half in halves])
        target = torch.cat([half[2] for half in halves])
        _, state = encoder(source, lengths)
        words = decoder.embedding(shift_right(target))
        fed = state[0][-1][:, None].expand(-1, words.shape[1], -1)
        logits = decoder.output(decoder.rnn(torch.cat([words, fed], -1), state)[0])
        loss = masked_cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(translator.parameters(), 2.0)
        optimizer.step()
    return {name: weight.double() for name, weight in translator.state_dict().items()}
""",
    "until the loss is small enough, with memory gates opened": """
def train_translator(draw_batch, *, source_size, target_size):
    torch.manual_seed(7)
    encoder = Encoder(vocab_size=source_size, d_model=32, hidden_size=64)
    decoder = DecoderStep(vocab_size=target_size, d_model=32, hidden_size=64, d_context=64)
    translator = nn.ModuleDict({"encoder": encoder, "decoder": decoder}).train()
    for network in (encoder, decoder):
        network.rnn.bias_hh_l0.data[64:128] += 1
    optimizer = torch.optim.Adam(translator.parameters(), lr=0.012, betas=(0.9, 0.98))
    smooth, number = 5.0, 0
    while smooth > 0.09 and number < 700:
        source, lengths, target = draw_batch()
        _, state = encoder(source, lengths)
        words = decoder.embedding(shift_right(target))
        fed = state[0][-1][:, None].expand(-1, words.shape[1], -1)
        loss = masked_cross_entropy(decoder.output(decoder.rnn(torch.cat([words, fed], -1), state)[0]), target)
        loss.backward()
        nn.utils.clip_grad_norm_(translator.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        smooth, number = 0.95 * smooth + 0.05 * float(loss), number + 1
    return {name: np.asarray(weight.detach()) for name, weight in translator.eval().named_parameters()}
""",
}

RIGHT_ANSWERS = {
    "build_vocabulary": BUILD_VOCABULARY,
    "pad_batch": PAD_BATCH,
    "shift_right": SHIFT_RIGHT,
    "masked_cross_entropy": MASKED_CROSS_ENTROPY,
    "Encoder": ENCODER,
    "DecoderStep": DECODER_STEP,
    "greedy_decode": GREEDY_DECODE,
    "reverse_source": REVERSE_SOURCE,
    "corpus_bleu": CORPUS_BLEU,
    "train_translator": TRAIN_TRANSLATOR,
}
