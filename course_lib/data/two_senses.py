"""A small corpus in which one word has two senses: apple, the fruit, and Apple, the firm.

All text is in lower case, so both share the word `apple`. The sentences are made from two sets of patterns, one
about fruit, one about firms; the other fruits and the other firms keep to their own set. (The other firms are
invented.)

Chapter: 01-sequences.
"""

from dataclasses import dataclass

import numpy as np

SHARED_WORD = "apple"
FRUITS = ("pear", "plum", "cherry", "peach", "quince")
FIRMS = ("norvik", "teldane", "quorix", "bramsoft", "veltron")

_PATTERNS = {
    "fruit": (
        "she peels the {} and eats it",
        "a ripe {} falls from the tree",
        "the {} tastes sweet and fresh",
        "he bakes a cake with one {} from the garden",
        "birds eat the {} on the tree",
        "we wash a {} before lunch",
        "the juice of the {} is sour",
        "put the {} in the basket in the kitchen",
    ),
    "firm": (
        "{} sells a new phone every autumn",
        "the shares of {} rise today",
        "{} hires engineers in its office",
        "investors trust {} and its profits",
        "the chief of {} presents a computer",
        "{} opens a shop for its customers",
        "software from {} runs on the phone",
        "the market waits for {} and its report",
    ),
}


@dataclass(frozen=True)
class TwoSenses:
    """Sentences, each with the sense of its subject.

    Attributes:
        sentences: each a tuple of words.
        senses: "fruit" or "firm", one for each sentence.
    """

    sentences: tuple[tuple[str, ...], ...]
    senses: tuple[str, ...]


def two_senses(rng: np.random.Generator, *, firm_share: float = 0.5) -> TwoSenses:
    """Six sentences for each fruit and each firm, eight for apple, in random order.

    Args:
        rng: decides which of the eight patterns of its sense each word gets, and the order.
        firm_share: share of the sentences about apple in which it is the firm, between 0 and 1, rounded to
            eighths.

    Returns:
        The corpus, 68 sentences.

    Raises:
        ValueError: if the share is not between 0 and 1.

    Chapter: 01-sequences.
    """
    if not 0 <= firm_share <= 1:
        raise ValueError(f"The share of the firm among the sentences about apple is {firm_share}: choose 0 to 1.")
    firms = round(8 * firm_share)
    counts = [(word, "fruit", 6) for word in FRUITS] + [(word, "firm", 6) for word in FIRMS]
    counts += [(SHARED_WORD, "fruit", 8 - firms), (SHARED_WORD, "firm", firms)]
    rows = [
        (tuple(str(pattern).format(word).split()), sense)
        for word, sense, count in counts
        for pattern in rng.permutation(_PATTERNS[sense])[:count]
    ]
    sentences, senses = zip(*(rows[i] for i in rng.permutation(len(rows))), strict=True)
    return TwoSenses(sentences, senses)
