"""How good translations, alignments, label maps and samples are.

Each kind stands in a file of its own, so that what is kept of one kind does not go out of date with another.
"""

from course_lib.metrics.samples import energy_distance
from course_lib.metrics.segmentation import dice_score, mean_iou
from course_lib.metrics.translation import (
    LENGTH_BUCKETS,
    alignment_error_rate,
    bleu_by_length,
    corpus_bleu,
    exact_match,
    ngram_counts,
    strongest_links,
)

__all__ = [
    "LENGTH_BUCKETS",
    "alignment_error_rate",
    "bleu_by_length",
    "corpus_bleu",
    "dice_score",
    "energy_distance",
    "exact_match",
    "mean_iou",
    "ngram_counts",
    "strongest_links",
]
