"""How good a translation and an alignment are: BLEU, exact matches, alignment error rate.

Sources:
    Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002, section 2.
    Och and Ney, "A Systematic Comparison of Various Statistical Alignment Models", 2003, section 4.1.

Chapters: 02-seq2seq, 03-rnn-attention.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from torch import Tensor

Sentences = Sequence[Sequence[Hashable]]

# Source lengths, in words, over which the scoreboard reports.
LENGTH_BUCKETS = ((4, 10), (11, 16), (17, 22), (23, 28), (29, 34), (35, 40))


def ngram_counts(sentence: Sequence[Hashable], order: int) -> Counter[tuple[Hashable, ...]]:
    """How often each run of `order` neighbouring tokens occurs in a sentence."""
    return Counter(tuple(sentence[i : i + order]) for i in range(len(sentence) - order + 1))


def corpus_bleu(hypotheses: Sentences, references: Sentences, *, max_order: int = 4) -> float:
    """BLEU of a whole corpus, from 0 to 100: geometric mean of n-gram precisions times a brevity penalty.

        BLEU = 100 · min(1, exp(1 - r / c)) · (p_1 p_2 p_3 p_4)^(1/4)

    p_n is the share of the hypotheses' n-grams that their references hold; an n-gram counts at most as often as
    it stands in the reference (clipping). Matches, n-grams and the lengths c (hypotheses) and r (references) are
    added up over the corpus before anything is divided. Nothing is smoothed: without a single match of some
    order, BLEU is 0.

    Args:
        hypotheses: the translations, each a sequence of tokens.
        references: one reference for each, in the same order.
        max_order: the longest n-gram.

    Returns:
        BLEU, between 0 and 100.

    Raises:
        ValueError: if there are not as many references as hypotheses.

    Source: Papineni et al. 2002, section 2.3.
    Chapter: 02-seq2seq.
    """
    _check_pairs(hypotheses, references)
    matches, totals = [0] * max_order, [0] * max_order
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        for order in range(1, max_order + 1):
            found, wanted = ngram_counts(hypothesis, order), ngram_counts(reference, order)
            matches[order - 1] += (found & wanted).total()  # & keeps the smaller count of each n-gram
            totals[order - 1] += found.total()
    if min(matches) == 0:
        return 0.0
    hypothesis_length, reference_length = (sum(map(len, side)) for side in (hypotheses, references))
    log_precision = sum(math.log(match / total) for match, total in zip(matches, totals, strict=True)) / max_order
    log_brevity = min(0.0, 1 - reference_length / hypothesis_length)
    return 100 * math.exp(log_brevity + log_precision)


def exact_match(hypotheses: Sentences, references: Sentences) -> float:
    """The share of sentences, from 0 to 1, that equal their reference token for token.

    Args:
        hypotheses: the translations, each a sequence of tokens.
        references: one reference for each, in the same order.

    Returns:
        The share; 0 for an empty corpus.

    Raises:
        ValueError: if there are not as many references as hypotheses.

    Chapter: 02-seq2seq.
    """
    _check_pairs(hypotheses, references)
    equal = sum(list(found) == list(wanted) for found, wanted in zip(hypotheses, references, strict=True))
    return equal / max(len(references), 1)


def bleu_by_length(
    hypotheses: Sentences,
    references: Sentences,
    source_lengths: Sequence[int],
    *,
    buckets: Iterable[tuple[int, int]] = LENGTH_BUCKETS,
) -> dict[tuple[int, int], float]:
    """Corpus BLEU of the sentences in each range of source lengths.

    Args:
        hypotheses: the translations, each a sequence of tokens.
        references: one reference for each, in the same order.
        source_lengths: words of each source.
        buckets: ranges (first, last), both included.

    Returns:
        BLEU for each range that holds a sentence.

    Raises:
        ValueError: if the three do not have one entry for each sentence.

    Source: the curve of Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and
        Translate", 2015, figure 2.
    Chapter: 02-seq2seq.
    """
    _check_pairs(hypotheses, references)
    if len(source_lengths) != len(references):
        raise ValueError(
            f"There are {len(references)} sentences, but {len(source_lengths)} source lengths: give one each."
        )
    scores = {}
    for first, last in buckets:
        rows = [i for i, length in enumerate(source_lengths) if first <= length <= last]
        if rows:
            scores[first, last] = corpus_bleu([hypotheses[i] for i in rows], [references[i] for i in rows])
    return scores


def alignment_error_rate(alignment: Tensor, sure: Tensor, possible: Tensor) -> float:
    """How far the links of an alignment are from those of a careful reader; 0 is perfect, 1 shares none.

        AER = 1 - (|A ∩ S| + |A ∩ P|) / (|A| + |S|)

    A missing sure link and a link that is not even possible cost; a possible link costs nothing, found or not.
    The sums run over all sentences given.

    Args:
        alignment: the links found, A, boolean, (..., target_length, source_length); padding is False.
        sure: the links that must be found, S, of the same shape.
        possible: the links that may be found, P, of the same shape; sure links are possible whether or not they
            are among them.

    Returns:
        The rate, between 0 and 1; 0 where there is no link at all.

    Raises:
        ValueError: if the shapes differ.

    Source: Och and Ney 2003, section 4.1, equation 31.
    Chapter: 03-rnn-attention.
    """
    if not alignment.shape == sure.shape == possible.shape:
        raise ValueError(
            f"The tables of links have shapes {tuple(alignment.shape)}, {tuple(sure.shape)} and "
            f"{tuple(possible.shape)}: give all three (..., target_length, source_length)."
        )
    links = int(alignment.sum() + sure.sum())
    agreed = int((alignment & sure).sum() + (alignment & (sure | possible)).sum())
    return 1 - agreed / links if links else 0.0


def strongest_links(weights: Tensor, valid: Tensor) -> Tensor:
    """The alignment in a table of attention weights: each target word with the source word it attends to most.

    Args:
        weights: (..., target_length, source_length); blocked source positions hold 0.
        valid: True for the rows that are words, (..., target_length); others get no link.

    Returns:
        Boolean, of the shape of the weights: one link in each valid row.

    Chapter: 03-rnn-attention.
    """
    links = weights.new_zeros(weights.shape).bool()
    return links.scatter(-1, weights.argmax(dim=-1, keepdim=True), valid[..., None])


def _check_pairs(hypotheses: Sentences, references: Sentences) -> None:
    if len(hypotheses) != len(references):
        raise ValueError(
            f"There are {len(hypotheses)} hypotheses and {len(references)} references: give one reference for each."
        )
