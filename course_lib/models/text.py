"""Text to numbers, four ways: one-hot vectors, bags of words, TF-IDF, learned embeddings.

A document is a sequence of word ids. The first three are counted; the last is learned, here by skip-gram: the
vector of a word is trained to predict the words that stand near it.

Sources:
    Spärck Jones, "A statistical interpretation of term specificity and its application in retrieval", 1972
        (inverse document frequency).
    Bengio et al., "A Neural Probabilistic Language Model", 2003, section 2 (a shared table of word vectors).
    Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality", 2013,
        section 2 (skip-gram).

Chapter: 01-sequences.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def one_hot(ids: Tensor, *, vocab_size: int) -> Tensor:
    """A vector of zeros with a single one, at the id of the word.

    Args:
        ids: word ids, integers of any shape (...).
        vocab_size: number of words, the width of a vector.

    Returns:
        Floating-point numbers (of PyTorch's default type), (..., vocab_size), ready for a matrix product.

    Raises:
        ValueError: if an id is negative or not below vocab_size.

    Source: Bengio et al. 2003, section 2.
    Chapter: 01-sequences.
    """
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size:
        raise ValueError(
            f"The ids run from {int(ids.min())} to {int(ids.max())}, but a vocabulary of {vocab_size} words has the "
            f"ids 0 .. {vocab_size - 1}: encode the text with the same vocabulary."
        )
    return (ids[..., None] == torch.arange(vocab_size)).to(torch.get_default_dtype())


def bag_of_words(documents: Sequence[Sequence[int]], *, vocab_size: int) -> Tensor:
    """How often each word occurs in each document: the sum of the document's one-hot vectors. Order is lost.

    Args:
        documents: word ids of each document; lengths may differ, an empty document is a row of zeros.
        vocab_size: number of words.

    Returns:
        Counts as floating-point numbers, (num_documents, vocab_size).

    Raises:
        ValueError: if an id is not in the vocabulary.

    Chapter: 01-sequences.
    """
    rows = [one_hot(torch.tensor(document, dtype=torch.long), vocab_size=vocab_size) for document in documents]
    return torch.stack([row.sum(dim=0) for row in rows])


def tf_idf(counts: Tensor) -> Tensor:
    """Counts weighted by how rare a word is among the documents: tf · idf.

        tf = the raw count,  idf = ln(N / df)

    with N documents, df of which hold the word. A word that every document holds gets 0, and so does a word
    that none holds. scikit-learn's TfidfVectorizer differs: by default its idf is ln((1 + N) / (1 + df)) + 1 and
    each row is scaled to length 1; with smooth_idf=False and norm=None it gives tf · (ln(N / df) + 1), which is
    this function's result plus the counts.

    Args:
        counts: how often each word occurs in each document, (num_documents, vocab_size).

    Returns:
        (num_documents, vocab_size).

    Source: Spärck Jones 1972 (there with a base-2 logarithm).
    Chapter: 01-sequences.
    """
    document_frequency = (counts > 0).sum(dim=0)  # (vocab_size,)
    return counts * (counts.shape[0] / document_frequency.clamp(min=1)).log() * (document_frequency > 0)


def embedding_lookup(ids: Tensor, weight: Tensor) -> Tensor:
    """The row of a table that belongs to each word: one_hot(ids) W, without ever making the one-hot vectors.

    Args:
        ids: word ids, integers of any shape (...).
        weight: one row for each word, (vocab_size, d_model).

    Returns:
        (..., d_model).

    Source: Bengio et al. 2003, section 2.
    Chapter: 01-sequences.
    """
    return weight[ids]


def cooccurrence_counts(documents: Sequence[Sequence[int]], *, vocab_size: int, window: int) -> Tensor:
    """How often one word stands at most `window` places before or behind another, in the same document.

    Args:
        documents: word ids of each document.
        vocab_size: number of words.
        window: the largest distance that counts.

    Returns:
        Counts as floating-point numbers, (vocab_size, vocab_size); symmetric.

    Source: Mikolov et al. 2013, section 2 (the pairs that skip-gram is trained on).
    Chapter: 01-sequences.
    """
    counts = torch.zeros(vocab_size, vocab_size)
    for document in documents:
        for position, centre in enumerate(document):
            for neighbour in document[position + 1 : position + 1 + window]:
                counts[centre, neighbour] += 1
                counts[neighbour, centre] += 1
    return counts


def train_skip_gram(
    counts: Tensor, *, d_model: int, steps: int, generator: torch.Generator, learning_rate: float = 0.05
) -> Tensor:
    """Learn a vector for each word from which the words near it can be predicted.

        p(neighbour | centre) = softmax(E Uᵀ)

    The loss is -log p, averaged over all pairs of a word and its neighbour. E, the table of embeddings, is kept;
    U, its counterpart for neighbours, is thrown away. The softmax runs over the whole vocabulary, which a small
    one affords (large ones take a few random words instead).

    Args:
        counts: how often each pair occurs, (vocab_size, vocab_size), from `cooccurrence_counts`.
        d_model: width of a vector.
        steps: number of updates by Adam; each uses all pairs.
        generator: the source of the first, random vectors.
        learning_rate: of Adam.

    Returns:
        The embeddings E, (vocab_size, d_model).

    Source: Mikolov et al. 2013, section 2, equations 1 and 2.
    Chapter: 01-sequences.
    """
    shape = (counts.shape[0], d_model)
    embedding = (0.1 * torch.randn(shape, generator=generator)).requires_grad_()
    neighbour = (0.1 * torch.randn(shape, generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([embedding, neighbour], lr=learning_rate)
    pairs = counts / counts.sum()
    for _ in range(steps):
        optimizer.zero_grad()
        log_probability = (embedding @ neighbour.T).log_softmax(dim=-1)  # (vocab_size, vocab_size)
        loss = -(pairs * log_probability).sum()
        loss.backward()
        optimizer.step()
    return embedding.detach()
