"""The translation task that runs through the book: English to Italian, from 4 to 40 words.

Pairs come from the grammar of `course_lib.data.grammar`, or from a file of a reader's own language pair
(`course_lib.data.bilingual`). Either way they become a `TranslationData`: pairs for training and for testing,
the two vocabularies, and batches in which all sources have the same length, so that no source is padded.

Chapters: 02-seq2seq, 03-rnn-attention, 05-transformer.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from course_lib.data.grammar import SentencePair, draw_pair

PAD, START, END, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")
LENGTHS = range(4, 41)


class Vocabulary:
    """Words and their ids: the four specials first, then each word in the order in which it first appears.

    Args:
        sentences: the training sentences, each a sequence of words.
        min_count: words seen less often are left out, and become `<unk>`.

    Attributes:
        words: the word of each id.
        index: the id of each word.

    Chapter: 02-seq2seq.
    """

    def __init__(self, sentences: Iterable[Sequence[str]], *, min_count: int = 1) -> None:
        counts = Counter(word for sentence in sentences for word in sentence)
        self.words = (*SPECIALS, *(word for word, count in counts.items() if count >= min_count))
        self.index = {word: i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, sentence: Sequence[str]) -> list[int]:
        """The id of each word; a word that is not in the vocabulary becomes `<unk>`."""
        return [self.index.get(word, UNK) for word in sentence]

    def decode(self, ids: Iterable[int] | Tensor) -> list[str]:
        """The words of one sentence: up to the first `<end>`, without `<pad>` and `<start>`."""
        words = []
        for i in ids.tolist() if isinstance(ids, Tensor) else ids:
            if i == END:
                break
            if i not in (PAD, START):
                words.append(self.words[i])
        return words


@dataclass(frozen=True)
class Batch:
    """Pairs as ids.

    Attributes:
        source: (batch, source_length), padded with `<pad>`.
        source_lengths: (batch,), words of each source.
        target: (batch, target_length), each row ends with `<end>` and is padded with `<pad>`.
        pairs: the pairs themselves, one for each row.
    """

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    pairs: tuple[SentencePair, ...]


@dataclass(frozen=True)
class TranslationData:
    """Pairs for training and testing, with the vocabularies of the training pairs."""

    train: tuple[SentencePair, ...]
    test: tuple[SentencePair, ...]
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary

    @classmethod
    def from_pairs(
        cls, train: Iterable[SentencePair], test: Iterable[SentencePair], *, min_count: int = 1
    ) -> "TranslationData":
        """Build the vocabularies from the training pairs; the test pairs add no word."""
        train, test = tuple(train), tuple(test)
        return cls(
            train,
            test,
            Vocabulary((pair.source for pair in train), min_count=min_count),
            Vocabulary((pair.target for pair in train), min_count=min_count),
        )

    def collate(self, pairs: Sequence[SentencePair]) -> Batch:
        """Turn pairs into ids, padded at the end to the longest of each side."""
        source = [torch.tensor(self.source_vocabulary.encode(pair.source)) for pair in pairs]
        target = [torch.tensor([*self.target_vocabulary.encode(pair.target), END]) for pair in pairs]
        return Batch(
            source=pad_sequence(source, batch_first=True, padding_value=PAD),
            source_lengths=torch.tensor([len(ids) for ids in source]),
            target=pad_sequence(target, batch_first=True, padding_value=PAD),
            pairs=tuple(pairs),
        )

    def draw_batches(
        self, rng: np.random.Generator, *, batch_size: int, length_power: float = 1.0, max_length: int | None = None
    ) -> Iterator[Batch]:
        """Training batches without end; in each, all sources have one length n, drawn with p(n) ∝ n^(-length_power).

        Args:
            rng: the source of chance.
            batch_size: rows of a batch; a length with fewer pairs gives them all.
            length_power: 0 draws every length equally often, 1 favours short sentences.
            max_length: the longest source to draw; None for no limit.

        Yields:
            Batches; within one, no pair appears twice.
        """
        groups = by_source_length(pair for pair in self.train if max_length is None or len(pair.source) <= max_length)
        lengths = np.array(list(groups))
        weights = lengths ** -float(length_power)
        while True:
            group = groups[int(rng.choice(lengths, p=weights / weights.sum()))]
            chosen = rng.choice(len(group), size=min(batch_size, len(group)), replace=False)
            yield self.collate([group[i] for i in chosen])

    def test_batches(self, *, batch_size: int = 64) -> Iterator[Batch]:
        """Each test pair once, shortest sources first; in each batch all sources have one length."""
        for group in by_source_length(self.test).values():
            for start in range(0, len(group), batch_size):
                yield self.collate(group[start : start + batch_size])


def by_source_length(pairs: Iterable[SentencePair]) -> dict[int, list[SentencePair]]:
    """Group pairs by the number of source words, shortest first."""
    groups: dict[int, list[SentencePair]] = defaultdict(list)
    for pair in pairs:
        groups[len(pair.source)].append(pair)
    return dict(sorted(groups.items()))


def translation_data(
    rng: np.random.Generator,
    *,
    lengths: Iterable[int] = LENGTHS,
    train_per_length: int = 200,
    test_per_length: int = 30,
) -> TranslationData:
    """Build the English–Italian task: the same number of pairs for each source length.

    No test sentence is a training sentence. Half of the test sentences of each length hold one
    adjective–noun combination that no training sentence holds (`SentencePair.held_out`).

    Args:
        rng: the source of chance.
        lengths: English lengths in words, each 4 or more.
        train_per_length, test_per_length: pairs of each length.

    Returns:
        The data, shortest sentences first.

    Raises:
        ValueError: if there are not that many different sentences of some length.

    Chapter: 02-seq2seq.
    """
    train: list[SentencePair] = []
    test: list[SentencePair] = []
    for length in lengths:
        new = test_per_length // 2
        known = draw_different_pairs(rng, length, count=train_per_length + test_per_length - new)
        train += known[:train_per_length]
        test += known[train_per_length:]
        test += draw_different_pairs(rng, length, count=new, held_out=True)
    return TranslationData.from_pairs(train, test)


def draw_different_pairs(
    rng: np.random.Generator, length: int, *, count: int, held_out: bool = False
) -> list[SentencePair]:
    """Pairs of one source length, no two with the same source; `held_out` is that of `draw_pair`.

    Raises:
        ValueError: if there are not that many different sentences of this length.
    """
    pairs: dict[tuple[str, ...], SentencePair] = {}
    for _ in range(20 * count + 100):
        if len(pairs) == count:
            return list(pairs.values())
        pair = draw_pair(rng, length, held_out=held_out)
        pairs.setdefault(pair.source, pair)
    raise ValueError(
        f"Of {count} different sentences of {length} words, {len(pairs)} were found in {20 * count + 100} draws: "
        "ask for fewer of them, or for longer sentences."
    )


def alignment_matrices(pairs: Sequence[SentencePair]) -> tuple[Tensor, Tensor]:
    """The links of pairs as tables like those of attention: rows are target words, columns source words.

    Args:
        pairs: the pairs.

    Returns:
        The sure and the possible links, boolean, (batch, target_length, source_length) each, padded with False.
        `<end>` has no row.

    Chapter: 03-rnn-attention.
    """
    shape = (len(pairs), max(len(pair.target) for pair in pairs), max(len(pair.source) for pair in pairs))
    sure = torch.zeros(shape, dtype=torch.bool)
    possible = torch.zeros(shape, dtype=torch.bool)
    for row, pair in enumerate(pairs):
        for table, links in ((sure, pair.sure), (possible, pair.possible)):
            if links:
                i, j = zip(*links, strict=True)
                table[row, list(i), list(j)] = True
    return sure, possible


def statistics(pairs: Sequence[SentencePair]) -> dict[str, float]:
    """Numbers that describe a set of pairs.

    Args:
        pairs: at least one pair.

    Returns:
        Under these names: "pairs"; "source words" and "target words", the different ones; "mean source length"
        and "mean target length" in words; "target shorter" and "target longer", shares of the pairs; "crossing",
        the share of pairs whose sure links cross, so that word by word would be wrong; "held out", the share
        with a combination that training never shows.

    Chapter: 02-seq2seq.
    """
    count = len(pairs)
    return {
        "pairs": count,
        "source words": len({word for pair in pairs for word in pair.source}),
        "target words": len({word for pair in pairs for word in pair.target}),
        "mean source length": sum(len(pair.source) for pair in pairs) / count,
        "mean target length": sum(len(pair.target) for pair in pairs) / count,
        "target shorter": sum(len(pair.target) < len(pair.source) for pair in pairs) / count,
        "target longer": sum(len(pair.target) > len(pair.source) for pair in pairs) / count,
        "crossing": sum(links_cross(pair) for pair in pairs) / count,
        "held out": sum(len(pair.held_out) > 0 for pair in pairs) / count,
    }


def links_cross(pair: SentencePair) -> bool:
    """True where two sure links cross: the order of the words differs between the languages."""
    sources = [j for _, j in sorted(pair.sure)]
    return any(later < earlier for earlier, later in pairwise(sources))


def examples(
    pairs: Iterable[SentencePair], rng: np.random.Generator, *, lengths: Sequence[int] = (4, 8, 12, 20, 40)
) -> list[SentencePair]:
    """One pair of each of these source lengths, drawn with `rng`; a length without pairs is left out."""
    groups = by_source_length(pairs)
    return [groups[n][int(rng.integers(len(groups[n])))] for n in lengths if n in groups]


def written(words: Iterable[str]) -> str:
    """Words as a line of text: nothing between l' and its noun, nor before a full stop.

    Chapter: 02-seq2seq.
    """
    return re.sub(r"' | (?=[.,;:!?])", lambda gap: gap.group().strip(), " ".join(words))
