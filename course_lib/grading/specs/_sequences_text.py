"""Assignment 01, text to numbers: exercises 1 to 4."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from course_lib.check.probe import Probe
from course_lib.grading.spec import Constant, Exercise, Line, Misconception, random_tensor
from course_lib.models import text as reference


def _ids(rng: np.random.Generator, *shape: int, vocab_size: int) -> torch.Tensor:
    return torch.from_numpy(rng.integers(vocab_size, size=shape))


def _one_hot(
    *settings: tuple[tuple[int, ...], int], beyond: tuple[int, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (shape of the ids, vocab_size).

    ``beyond`` replaces the first id of each case: below 0 as it is, else by that much above the last one.
    """

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for number, (shape, vocab_size) in enumerate(settings):
            ids = _ids(rng, *shape, vocab_size=vocab_size)
            if beyond:
                ids.view(-1)[0] = beyond[number] if beyond[number] < 0 else vocab_size - 1 + beyond[number]
            probes.append(Probe(target="one_hot", args=(ids,), kwargs={"vocab_size": vocab_size}))
        return probes

    return cases


CONVERT = "return equal.to(torch.get_default_dtype())"
REFUSE = "((ids < 0) | (ids >= vocab_size))"

one_hot = Exercise(
    name="one_hot",
    reference=reference.one_hot,
    banned=("F.one_hot",),
    lines=[
        Line(
            name="output",
            text="ids of any shape, also a single one",
            points=1,
            cases=_one_hot(((5,), 7), ((2, 3), 5), ((2, 3, 4), 6), ((), 9)),
        ),
        Line(
            name="negative",
            text="ValueError for an id below 0",
            points=0.5,
            cases=_one_hot(((4,), 6), ((2, 3), 5), beyond=(-1, -3)),
        ),
        Line(
            name="too_large",
            text="ValueError for an id that is not below vocab_size",
            points=0.5,
            cases=_one_hot(((4,), 6), ((2, 3), 5), beyond=(1, 3)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="whole_numbers",
            says="Your vectors hold whole numbers, and a product with a matrix of floating-point numbers refuses "
            "them; convert them at the end.",
            line="output",
            edits=[(CONVERT, "return equal.long()")],
        ),
        Misconception(
            name="booleans",
            says="Your vectors hold True and False; convert them to floating-point numbers.",
            line="output",
            edits=[(CONVERT, "return equal")],
        ),
        Misconception(
            name="counted_from_one",
            says="Your first word has its one at place 1 of a vector; ids and places both start at 0.",
            line="output",
            edits=[("torch.arange(vocab_size)", "torch.arange(vocab_size) - 1")],
        ),
        Misconception(
            name="words_along_the_columns",
            says="Your vectors stand in columns; the axis of the vocabulary comes last, so that each vector is a row.",
            line="output",
            edits=[(CONVERT, f"{CONVERT}.movedim(-1, 0)")],
        ),
        Misconception(
            name="one_vector_for_all",
            says="You add the ones of all words into one vector; each word has a vector of its own.",
            line="output",
            edits=[(CONVERT, f"{CONVERT}.reshape(-1, vocab_size).sum(0)")],
        ),
        Misconception(
            name="negative_counts_from_the_end",
            says="An id of -1 gives you the last word, as Python's indices do; it is the id of no word: raise "
            "ValueError.",
            line="negative",
            edits=[
                (f"{REFUSE}.any()", "(ids >= vocab_size).any()"),
                ("ids[..., None] ==", "(ids % vocab_size)[..., None] =="),
            ],
        ),
        Misconception(
            name="too_large_gives_zeros",
            says="An id beyond the vocabulary gives you a vector without a one; raise ValueError.",
            line="too_large",
            edits=[(f"{REFUSE}.any()", "(ids < 0).any()")],
        ),
        Misconception(
            name="last_id_refused_too_late",
            says="The id vocab_size is accepted; the last word's id is vocab_size - 1.",
            line="too_large",
            edits=[("ids >= vocab_size", "ids > vocab_size")],
        ),
    ],
)


def _documents(
    *settings: tuple[tuple[int, ...], int],
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (lengths of the documents, vocab_size); words repeat, the last word is never used."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for lengths, vocab_size in settings:
            documents = [rng.integers(vocab_size - 1, size=length).tolist() for length in lengths]
            for document in documents:
                document[1:2] = document[:1] if len(document) > 1 else []
            probes.append(Probe(target="bag_of_words", args=(documents,), kwargs={"vocab_size": vocab_size}))
        return probes

    return cases


SUM = "vectors.sum(dim=0)"
STACK = "return torch.stack(rows)"

bag_of_words = Exercise(
    name="bag_of_words",
    reference=reference.bag_of_words,
    uses=("one_hot",),
    lines=[
        Line(
            name="output",
            text="documents of different length, with words that repeat",
            points=1.5,
            cases=_documents(((7, 3, 5), 6), ((4, 9), 5), ((6,), 8)),
        ),
        Line(
            name="empty",
            text="an empty document is a row of zeros",
            points=0.5,
            cases=_documents(((4, 0, 6), 7), ((0, 5), 4)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="presence",
            says="A word counts once in your bag, however often it occurs; count each occurrence: `row[ids] += 1` "
            "writes an entry once, even where an id repeats.",
            line="output",
            edits=[(SUM, f"{SUM}.clamp(max=1)")],
        ),
        Misconception(
            name="shares",
            says="Your rows sum to one; the exercise asks for counts, not for shares.",
            line="output",
            edits=[(SUM, f"{SUM} / max(len(document), 1)")],
        ),
        Misconception(
            name="whole_numbers",
            says="Your counts are whole numbers by type; return floating-point numbers.",
            line="output",
            edits=[(STACK, f"{STACK}.long()")],
        ),
        Misconception(
            name="one_bag_for_all",
            says="You put all documents into one bag; each document has a row of its own.",
            line="output",
            edits=[(STACK, f"{STACK}.sum(dim=0)")],
        ),
        Misconception(
            name="words_by_documents",
            says="Your rows are words and your columns documents; exchange the axes.",
            line="output",
            edits=[(STACK, f"{STACK}.T")],
        ),
        Misconception(
            name="scaled_to_length_one",
            says="Your rows have length one; leave the counts as they are.",
            line="output",
            edits=[(STACK, "return F.normalize(torch.stack(rows), dim=-1)")],
        ),
        Misconception(
            name="empty_document_dropped",
            says="The empty document has no row; a document without words is a row of zeros.",
            line="empty",
            edits=[("    for document in documents:\n", "    for document in filter(len, documents):\n")],
        ),
        Misconception(
            name="empty_document_is_nan",
            says="The empty document is a row of NaN: something divides by its length. There is nothing to divide.",
            line="empty",
            edits=[(SUM, "vectors.mean(dim=0) * len(document)")],
        ),
    ],
)


def _counts(
    *settings: tuple[int, int], everywhere: int = 0, nowhere: int = 0
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (documents, words): ``everywhere`` words in all documents, ``nowhere`` in none.

    Each other word occurs in some documents and is missing from some, and somewhere occurs more than once.
    """

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for num_documents, vocab_size in settings:
            counts = rng.integers(1, 5, size=(num_documents, vocab_size))
            for word in range(everywhere, vocab_size - nowhere):
                missing = rng.choice(num_documents, size=rng.integers(1, num_documents), replace=False)
                counts[missing, word] = 0
                present = np.flatnonzero(counts[:, word])
                counts[present[0], word] = rng.integers(2, 5)
            counts[:, vocab_size - nowhere :] = 0
            order = rng.permutation(vocab_size)
            probes.append(Probe(target="tf_idf", args=(torch.from_numpy(counts[:, order]).double(),)))
        return probes

    return cases


LOGARITHM = "(num_documents / document_frequency).log()"
FREQUENCY = "(counts > 0).sum(dim=0)"
GUARD = "    idf = torch.where(document_frequency > 0, idf, 0.0)\n"


def _tf_idf_to_base(base: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda counts: reference.tf_idf(counts) / math.log(base)


tf_idf = Exercise(
    name="tf_idf",
    reference=reference.tf_idf,
    lines=[
        Line(
            name="output",
            text="words that some documents hold and some do not",
            points=1.5,
            cases=_counts((5, 7), (4, 3), (3, 6)),
        ),
        Line(
            name="in_every_document",
            text="a word that every document holds gets 0",
            points=0.5,
            cases=_counts((5, 7), (4, 6), everywhere=2),
        ),
        Line(
            name="in_no_document",
            text="a word that no document holds gets 0",
            points=1,
            cases=_counts((5, 7), (4, 6), nowhere=2),
        ),
    ],
    misconceptions=[
        Misconception(
            name="idf_inverted",
            says="Your fraction is upside down, so rare words get less instead of more; it is N / df.",
            line="output",
            edits=[(LOGARITHM, "(document_frequency / num_documents).log().nan_to_num(neginf=0.0)")],
        ),
        Misconception(
            name="log_base_2",
            says="Your logarithm is to base 2; take the natural one.",
            line="output",
            edits=[(LOGARITHM, LOGARITHM.replace("log()", "log2()"))],
        ),
        Misconception(
            name="log_base_10",
            says="Your logarithm is to base 10; take the natural one.",
            line="output",
            edits=[(LOGARITHM, LOGARITHM.replace("log()", "log10()"))],
        ),
        Misconception(
            name="no_logarithm",
            says="You multiply by N / df itself; its logarithm belongs there.",
            line="output",
            edits=[(LOGARITHM, "num_documents / document_frequency")],
        ),
        Misconception(
            name="occurrences_counted",
            says="Your df adds up occurrences; it is the number of documents that hold the word, each counted once.",
            line="output",
            edits=[(FREQUENCY, "counts.sum(dim=0)")],
        ),
        Misconception(
            name="df_of_the_document",
            says="Your df counts the words of each document; it counts, for each word, the documents that hold it: "
            "the sum runs over axis 0.",
            line="output",
            edits=[(FREQUENCY, "(counts > 0).sum(dim=1, keepdim=True)")],
        ),
        Misconception(
            name="words_for_documents",
            says="Your N is the number of words; it is the number of documents.",
            line="output",
            edits=[("counts.shape[0]", "counts.shape[1]")],
        ),
        Misconception(
            name="tf_is_a_share",
            says="You divide each count by the length of its document; tf is the count itself.",
            line="output",
            edits=[("return counts * idf", "return counts / counts.sum(dim=1, keepdim=True).clamp(min=1) * idf")],
        ),
        Misconception(
            name="tf_is_presence",
            says="Your result ignores how often a word occurs in a document; multiply by the count.",
            line="output",
            edits=[("return counts * idf", "return (counts > 0) * idf")],
        ),
        Misconception(
            name="rows_of_length_one",
            says="You scale each row to length one; leave the products as they are.",
            line="output",
            edits=[("return counts * idf", "return F.normalize(counts * idf, dim=-1)")],
        ),
        Misconception(
            name="one_added_to_the_logarithm",
            says="You add one to the logarithm, as some libraries do; a word in every document must get 0.",
            line="in_every_document",
            edits=[(LOGARITHM, f"{LOGARITHM} + 1")],
        ),
        Misconception(
            name="smoothed",
            says="You add one to N and df, and one to the logarithm, as some libraries do; the formula here is "
            "ln(N / df).",
            line="output",
            edits=[(LOGARITHM, "((1 + num_documents) / (1 + document_frequency)).log() + 1")],
        ),
        Misconception(
            name="one_added_to_both",
            says="You add one to N and to df, as some libraries do; treat the words that no document holds on their "
            "own.",
            line="output",
            edits=[(LOGARITHM, "((1 + num_documents) / (1 + document_frequency)).log()")],
        ),
        Misconception(
            name="one_added_to_df",
            says="You add one to df, which changes every number; treat the words that no document holds on their own.",
            line="output",
            edits=[(LOGARITHM, "(num_documents / (1 + document_frequency)).log()")],
        ),
        Misconception(
            name="unused_word_is_nan",
            says="A word that no document holds gives you NaN, since 0 · ∞ is not a number; its result is 0.",
            line="in_no_document",
            edits=[(GUARD, "")],
        ),
    ],
    constants=[
        Constant(
            argument="base",
            plain=math.e,
            choices=[3, 4, 5, 6, 7, 8],
            line="output",
            reference=_tf_idf_to_base,
            worked=[
                lambda base: f"$[{2 * math.log(3, base):.3f}, 0, 0, 0]$",
                lambda base: f"$[0, 0, {math.log(3, base):.3f}, 0]$",
                lambda base: f"{math.log(base, 2):.3f} or {math.log(base, 10):.3f}:*",
            ],
            code=[(").log()", lambda base: f").log().div(math.log({base}))")],
            wording=[
                ("the logarithm is the natural one", lambda base: f"the logarithm is to base {base}"),
                (r"\ln\frac{N}", lambda base: rf"\log_{base}\frac{{N}}"),
                ("ln(N / df)", lambda base: f"log_{base}(N / df)"),
                ("take the natural one", lambda base: f"take the one to base {base}"),
            ],
        )
    ],
)


def _lookup(
    *settings: tuple[tuple[int, ...], int, int], gradients: tuple[str, ...] = ()
) -> Callable[[np.random.Generator], list[Probe]]:
    """Cases for settings (shape of the ids, vocab_size, d_model). Where there are several ids, the first is 0."""

    def cases(rng: np.random.Generator) -> list[Probe]:
        probes = []
        for shape, vocab_size, d_model in settings:
            ids = _ids(rng, *shape, vocab_size=vocab_size)
            if shape:
                ids.view(-1)[0] = 0
            args = (ids, random_tensor(rng, vocab_size, d_model))
            probes.append(Probe(target="embedding_lookup", args=args, gradients=gradients))
        return probes

    return cases


ROWS = "return weight[ids]"

embedding_lookup = Exercise(
    name="embedding_lookup",
    reference=reference.embedding_lookup,
    banned=("F.embedding", "nn.Embedding"),
    uses=("one_hot",),
    lines=[
        Line(
            name="output",
            text="ids of any shape, also a single one",
            points=1.5,
            cases=_lookup(((5,), 7, 3), ((2, 3), 6, 4), ((2, 3, 4), 5, 6), ((), 8, 5)),
        ),
        Line(
            name="gradients",
            text="the gradient by the table, where a word repeats",
            points=0.5,
            cases=_lookup(((7,), 4, 3), ((2, 5), 3, 4), gradients=("1",)),
        ),
    ],
    misconceptions=[
        Misconception(
            name="columns_of_the_table",
            says="You take columns of the table; a word chooses a row.",
            line="output",
            edits=[(ROWS, "return weight[:, ids % weight.shape[1]]")],
        ),
        Misconception(
            name="counted_from_one",
            says="You fetch the row above the right one; ids start at 0, like the rows.",
            line="output",
            edits=[(ROWS, "return weight[ids - 1]")],
        ),
        Misconception(
            name="scaled_by_the_root_of_the_width",
            says="You multiply by the root of d_model, as the transformer does later; a lookup returns the rows as "
            "they are.",
            line="output",
            edits=[(ROWS, "return weight[ids] * math.sqrt(weight.shape[1])")],
        ),
        Misconception(
            name="first_word_is_zero",
            says="Id 0 gives you zeros, as a padding id would; here it is a word like any other.",
            line="output",
            edits=[(ROWS, "return weight[ids] * (ids > 0)[..., None]")],
        ),
        Misconception(
            name="summed_over_the_words",
            says="You add up the rows of a sentence; return one row for each word.",
            line="output",
            edits=[(ROWS, "return weight[ids].reshape(-1, weight.shape[1]).sum(0)")],
        ),
        Misconception(
            name="graph_cut",
            says="The numbers are right and no gradient reaches the table, so its rows could not be learned; leave "
            "out `.data`, `.detach()`, `.numpy()` and `torch.tensor`.",
            line="gradients",
            edits=[(ROWS, "return weight.detach()[ids]")],
        ),
    ],
)
