"""BLEU against sacrebleu and by hand; alignment error rate by hand and by its properties; IoU and Dice against
scikit-learn; energy distance against SciPy, a double loop and its expectation."""

import math
from statistics import fmean

import pytest
import sacrebleu
import scipy.stats
import sklearn.metrics
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from course_lib.metrics import (
    alignment_error_rate,
    bleu_by_length,
    corpus_bleu,
    dice_score,
    energy_distance,
    exact_match,
    mean_iou,
    strongest_links,
)

WORDS = st.lists(st.sampled_from(["the", "cat", "sees", "a", "dog", "."]), max_size=9)


def sacre(hypotheses: list[list[str]], references: list[list[str]]) -> float:
    """sacrebleu on tokens as they are, without smoothing."""
    lines, wanted = ([" ".join(words) for words in side] for side in (hypotheses, references))
    return sacrebleu.corpus_bleu(lines, [wanted], smooth_method="none", force=True, tokenize="none").score


@given(pairs=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
@example(pairs=[([], ["the"])])
@example(pairs=[(["the"], [])])
@example(pairs=[(["the", "cat", "sees"], ["the", "cat", "sees"])])
@example(pairs=[(["the"] * 9, ["the"] * 5)])
@settings(max_examples=300, deadline=None)
def test_bleu_equals_sacrebleu(pairs: list[tuple[list[str], list[str]]]) -> None:
    hypotheses, references = [h for h, _ in pairs], [r for _, r in pairs]
    assert corpus_bleu(hypotheses, references) == pytest.approx(sacre(hypotheses, references), abs=1e-6)


@given(
    references=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=5, max_size=15), min_size=1, max_size=6),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_bleu_of_nearly_right_translations_equals_sacrebleu(references: list[list[str]], data: st.DataObject) -> None:
    hypotheses = []
    for reference in references:
        damaged = list(reference)
        place = data.draw(st.integers(0, len(damaged) - 1))
        if data.draw(st.booleans()):
            damaged[place] = "a"
        else:
            del damaged[place]
        hypotheses.append(damaged)
    assert corpus_bleu(hypotheses, references) == pytest.approx(sacre(hypotheses, references), abs=1e-6)


def test_bleu_of_one_sentence_is_worked_by_hand() -> None:
    hypothesis = ["the", "cat", "sits", "on", "the", "mat"]
    reference = ["the", "cat", "sits", "on", "a", "soft", "mat"]
    # 1-grams 5 of 6 (the second "the" is clipped), 2-grams 3 of 5, 3-grams 2 of 4, 4-grams 1 of 3; 6 words for 7.
    expected = 100 * math.exp(1 - 7 / 6) * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert corpus_bleu([hypothesis], [reference]) == pytest.approx(expected)


def test_an_ngram_counts_no_more_often_than_the_reference_holds_it() -> None:
    assert corpus_bleu([["the"] * 4], [["the", "cat"]], max_order=1) == pytest.approx(25)


def test_a_short_corpus_is_penalised_and_a_long_one_is_not() -> None:
    words = list("abcdefgh")
    assert corpus_bleu([words[:4]], [words]) == pytest.approx(100 * math.exp(1 - 8 / 4))
    assert corpus_bleu([words], [words[:4]], max_order=1) == pytest.approx(50)


def test_bleu_is_of_the_corpus_and_not_the_mean_of_its_sentences() -> None:
    good, bad = list("abcdefgh"), list("stuvwxyz")
    corpus = corpus_bleu([good, bad], [good, list("mnopqrst")])
    mean = (corpus_bleu([good], [good]) + corpus_bleu([bad], [list("mnopqrst")])) / 2
    assert corpus == pytest.approx(sacre([good, bad], [good, list("mnopqrst")])) and abs(corpus - mean) > 1


def test_bleu_takes_ids_as_well_as_words() -> None:
    assert corpus_bleu([[4, 5, 6, 7, 8]], [[4, 5, 6, 7, 8]]) == pytest.approx(100)


@pytest.mark.parametrize("measure", [corpus_bleu, exact_match])
def test_a_missing_reference_is_refused(measure: object) -> None:
    with pytest.raises(ValueError, match="2 hypotheses and 1 references"):
        measure([["a"], ["b"]], [["a"]])  # type: ignore[operator]


def test_exact_match_counts_whole_sentences() -> None:
    assert exact_match([["a", "b"], ("c",), ["d"]], [("a", "b"), ["c"], ["d", "e"]]) == pytest.approx(2 / 3)


def test_bleu_by_length_is_bleu_of_each_range() -> None:
    references = [list("abcde"), list("bcdef"), list("cdefg"), list("defgh")]
    hypotheses = [list("abcde"), list("bcdxf"), list("cdefg"), list("defg")]
    found = bleu_by_length(hypotheses, references, [4, 10, 11, 40], buckets=[(4, 10), (11, 16), (17, 39), (40, 40)])
    assert found == {
        (4, 10): corpus_bleu(hypotheses[:2], references[:2]),
        (11, 16): pytest.approx(100),
        (40, 40): pytest.approx(100 * math.exp(1 - 5 / 4)),
    }
    with pytest.raises(ValueError, match="4 sentences, but 2 source lengths"):
        bleu_by_length(hypotheses, references, [4, 4])


# Alignments

SURE = torch.tensor([[1, 0, 0], [0, 0, 1], [0, 0, 0]]).bool()
POSSIBLE = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 1, 0]]).bool()


def test_alignment_error_rate_is_worked_by_hand() -> None:
    found = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 1, 0]]).bool()
    # A ∩ S = 1, A ∩ P = 2, |A| = 3, |S| = 2
    assert alignment_error_rate(found, SURE, POSSIBLE) == pytest.approx(1 - 3 / 5)


def test_sure_links_alone_are_perfect_and_possible_ones_cost_nothing() -> None:
    assert alignment_error_rate(SURE, SURE, POSSIBLE) == 0
    assert alignment_error_rate(POSSIBLE, SURE, POSSIBLE) == 0
    assert alignment_error_rate(SURE, SURE, POSSIBLE & ~SURE) == 0


def test_no_link_in_common_costs_everything_and_no_link_at_all_nothing() -> None:
    assert alignment_error_rate(~POSSIBLE, SURE, POSSIBLE) == 1
    assert alignment_error_rate(torch.zeros_like(SURE), SURE, POSSIBLE) == 1
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert alignment_error_rate(nothing, nothing, nothing) == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_alignment_error_rate_equals_that_of_sets_and_ignores_padding(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    found, sure, possible = (torch.rand(2, 4, 5, generator=generator) < 0.3 for _ in range(3))
    a, s, p = ({tuple(link) for link in table.nonzero().tolist()} for table in (found, sure, possible | sure))
    expected = 1 - (len(a & s) + len(a & p)) / (len(a) + len(s)) if a or s else 0.0
    assert alignment_error_rate(found, sure, possible) == pytest.approx(expected)
    padded = [torch.nn.functional.pad(table, (0, 2, 0, 3)) for table in (found, sure, possible)]
    assert alignment_error_rate(*padded) == pytest.approx(expected)


def test_tables_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(3, 3\), \(3, 3\) and \(2, 3\)"):
        alignment_error_rate(SURE, SURE, POSSIBLE[:2])


def test_the_strongest_links_are_one_in_each_row_that_is_a_word() -> None:
    weights = torch.tensor([[[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], [[0.9, 0.1], [0.3, 0.7], [0.1, 0.9]]])
    valid = torch.tensor([[True, True, False], [True, True, True]])
    expected = [[[0, 1], [1, 0], [0, 0]], [[1, 0], [0, 1], [0, 1]]]
    assert strongest_links(weights, valid).int().tolist() == expected


@given(count=st.integers(2, 7), other_count=st.integers(2, 7), channels=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_energy_distance_equals_a_double_loop_over_pairs_of_different_points(
    count: int, other_count: int, channels: int, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(count, channels, generator=chance)
    y = 1 + torch.randn(other_count, channels, generator=chance)
    cross = [math.dist(a, b) for a in x.tolist() for b in y.tolist()]
    within = [
        [math.dist(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j]
        for z in (x.tolist(), y.tolist())
    ]
    assert energy_distance(x, y) == pytest.approx(2 * fmean(cross) - sum(map(fmean, within)), abs=1e-6)


@given(count=st.integers(2, 30), other_count=st.integers(2, 30), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_energy_distance_equals_scipys_on_a_line_once_a_point_counts_as_its_own_partner(
    count: int, other_count: int, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    x, y = torch.randn(count, 1, generator=chance), 2 * torch.randn(other_count, 1, generator=chance)
    # SciPy's mean runs over all pairs, a point with itself among them: its D is a V-statistic, and not squared
    own = [torch.pdist(z.double()).mean() / len(z) for z in (x, y)]
    squared = scipy.stats.energy_distance(x[:, 0].numpy(), y[:, 0].numpy()) ** 2
    assert energy_distance(x, y) + float(sum(own)) == pytest.approx(squared, abs=1e-5)


def test_energy_distance_of_one_distribution_with_itself_is_zero_on_average() -> None:
    chance = torch.Generator().manual_seed(0)
    values = torch.tensor(
        [
            energy_distance(torch.randn(20, 2, generator=chance), torch.randn(20, 2, generator=chance))
            for _ in range(400)
        ]
    )
    assert abs(values.mean()) < 4 * values.std() / 20
    assert 100 < (values > 0).sum() < 300


def test_energy_distance_looks_at_a_point_as_a_whole_whatever_its_shape() -> None:
    chance = torch.Generator().manual_seed(0)
    x, y = torch.rand(9, 1, 3, 4, generator=chance), torch.rand(5, 1, 3, 4, generator=chance)
    assert energy_distance(x, y) == pytest.approx(energy_distance(x.flatten(1), y.flatten(1)))
    assert energy_distance(x, y + 3) > energy_distance(x, y + 1) > 1


@pytest.mark.parametrize(("first", "second"), [((3, 2), (3, 4)), ((1, 2), (3, 2)), ((3, 2), (0, 2))])
def test_energy_distance_needs_two_points_of_each_and_one_shape(
    first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="at least two points of each"):
        energy_distance(torch.zeros(first), torch.zeros(second))


def label_maps(seed: int, *, classes: int, used: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores for so many classes, and labels; both maps hold only the first of them."""
    chance = torch.Generator().manual_seed(seed)
    predicted = torch.randint(used, (2, 3, 4), generator=chance)
    logits = F.one_hot(predicted, classes).permute(0, 3, 1, 2) + 0.5 * torch.rand(2, classes, 3, 4, generator=chance)
    return logits, torch.randint(used, (2, 3, 4), generator=chance)


@given(seed=st.integers(0, 1000), classes=st.integers(2, 6), used=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_iou_and_dice_equal_scikit_learns(seed: int, classes: int, used: int) -> None:
    logits, target = label_maps(seed, classes=classes, used=min(used, classes))
    predicted, there = logits.argmax(1).flatten().numpy(), target.flatten().numpy()
    dice = sklearn.metrics.f1_score(there, predicted, labels=range(classes), average=None, zero_division=1.0)
    assert dice_score(logits, target).tolist() == pytest.approx(dice.tolist())
    iou = sklearn.metrics.jaccard_score(there, predicted, average="macro")  # over the classes of either map
    assert mean_iou(logits, target) == pytest.approx(iou)


def test_iou_and_dice_by_hand() -> None:
    target = torch.tensor([[[0, 0, 1], [0, 1, 1]]])
    predicted = torch.tensor([[[0, 1, 1], [0, 0, 1]]])
    logits = F.one_hot(predicted, 3).permute(0, 3, 1, 2).float()
    assert mean_iou(logits, target) == pytest.approx((2 / 4 + 2 / 4) / 2)
    assert dice_score(logits, target).tolist() == pytest.approx([4 / 6, 4 / 6, 1.0])


def test_pixels_are_counted_over_the_batch_and_not_averaged_over_its_images() -> None:
    logits, target = label_maps(3, classes=3, used=3)
    parts = [mean_iou(logits[i : i + 1], target[i : i + 1]) for i in range(2)]
    assert mean_iou(logits, target) != pytest.approx(fmean(parts))


def test_scores_that_do_not_fit_the_labels_are_refused() -> None:
    for logits in (torch.zeros(2, 3, 4), torch.zeros(2, 3, 5, 4), torch.zeros(1, 3, 4, 5)):
        with pytest.raises(ValueError, match="do not fit labels of shape"):
            mean_iou(logits, torch.zeros(2, 4, 5, dtype=torch.long))
