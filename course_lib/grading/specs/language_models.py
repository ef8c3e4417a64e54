"""Assignment 06 · Language models and decoding."""

from __future__ import annotations

from course_lib.grading.spec import Assignment, Written
from course_lib.grading.specs import _language_models_filters as filters
from course_lib.grading.specs import _language_models_model as model
from course_lib.grading.specs import _language_models_text as text
from course_lib.grading.specs import _language_models_writing as writing

STAND_INS = {
    "temperature_softmax": """
def temperature_softmax(logits, *, temperature=1.0):
    if not temperature > 0:
        raise ValueError(f"a temperature is above 0, not {temperature}")
    return F.softmax(logits / temperature, dim=-1)
""",
    "top_k_filter": """
def top_k_filter(logits, *, k):
    if k < 1:
        raise ValueError(f"at least one token must stay, but k is {k}")
    values, places = logits.topk(min(k, logits.shape[-1]), dim=-1)
    return torch.full_like(logits, -torch.inf).scatter(-1, places, values)
""",
    "top_p_filter": """
def top_p_filter(logits, *, p):
    if not 0 < p <= 1:
        raise ValueError(f"p is a probability above 0 and at most 1, not {p}")
    probabilities = logits.softmax(-1)
    likelier = probabilities[..., None, :] > probabilities[..., :, None]
    before = (likelier * probabilities[..., None, :]).sum(-1)
    return torch.where(before < p, logits, -torch.inf)
""",
}

EQUIVALENT = {
    "CharTokenizer": {
        "return ''.join((self.characters[i] for i in ids))": "The entries of a tensor of whole numbers serve as "
        "indices too.",
    },
    "top_k_filter": {
        "border = logits.topk(k).values[..., -1:]": "topk takes the last axis by itself.",
    },
    "top_p_filter": {
        "ordered, places = logits.sort(descending=True)": "sort takes the last axis by itself.",
        "kept = ordered.masked_fill(before > p, -torch.inf)": "It differs only where the likelier tokens hold exactly "
        "p, to the last digit.",
        "return logits.scatter(-1, places, kept)": "Every place is written to, so it does not matter what stood there.",
    },
    "CachedAttention": {
        "keys[:, :, position] = key[:, :, -1]": "There is one new position, the first and the last.",
        "values[:, :, position] = value[:, :, -1]": "There is one new position, the first and the last.",
    },
    "beam_search": {
        "written = torch.ones(beam_width, 0, dtype=torch.long)": "It has no entries yet.",
        "total[-1] = 0.0": "At the start all rows are equal, so any of them may be the one that counts.",
        "best, best_total, best_score = (written, -torch.inf, -torch.inf)": "Some text is always finished and takes "
        "its place.",
        "best, best_total, best_score = (written[0], torch.inf, -torch.inf)": "Some text is always finished and takes "
        "its place.",
        "best, best_total, best_score = (written[-1], -torch.inf, -torch.inf)": "Some text is always finished and "
        "takes its place.",
        "for length in range(1, max_length + 2):": "After max_length steps no beginning is left.",
        "score = total[row] / length ** length_power": "A tensor of one number compares as the number does.",
        "if score >= best_score:": "It differs only where two texts have the same score, to the last digit.",
    },
}

ASSIGNMENT = Assignment(
    slug="06-language-models",
    notebook="language-models",
    title="Language models and decoding",
    exercises=[
        text.char_tokenizer,
        text.get_batch,
        model.transformer_lm,
        text.perplexity,
        filters.temperature_softmax,
        filters.top_k_filter,
        filters.top_p_filter,
        writing.sample,
        model.cached_attention,
        writing.beam_search,
    ],
    written=[Written(name="the_likeliest_text", points=3)],
    stand_ins=STAND_INS,
    equivalent=EQUIVALENT,
)
