"""Mutants: which changes are made, and that a solution's other words stay as they are."""

import ast

from course_lib.grading.mutants import mutants

SOURCE = '''
def scores(query: Tensor, key: Tensor | None = None, *, scale: float = 0.5) -> Tensor:
    """query @ key"""
    if key is None:
        raise ValueError("1 + 1")
    weights = (query @ key[..., 0::2]).softmax(dim=-1)
    return weights * scale
'''


def changed_lines() -> set[str]:
    return {mutant.after for mutant in mutants(SOURCE)}


def test_operators_comparisons_constants_axes_indices_calls_keywords_and_statements_are_changed() -> None:
    assert {
        "return weights / scale",
        "if key is not None:",
        "weights = (query @ key[..., 1::2]).softmax(dim=-1)",
        "weights = (query @ key[..., 0::3]).softmax(dim=-1)",
        "weights = (query @ key[..., 0::2]).softmax(dim=-2)",
        "weights = (query @ key[..., 0::2]).softmax(dim=0)",
        "weights = (query @ key).softmax(dim=-1)",
        "weights = query @ key[..., 0::2]",
        "weights = (query @ key[..., 0::2]).log_softmax(dim=-1)",
        "weights = (query @ key[..., 0::2]).softmax()",
        "pass",
    } <= changed_lines()


def test_a_default_is_changed_and_annotations_documentation_and_errors_are_not() -> None:
    signatures = {line for line in changed_lines() if line.startswith("def")}
    assert signatures == {"def scores(query: Tensor, key: Tensor | None=None, *, scale: float=1.0) -> Tensor:"}
    for mutant in mutants(SOURCE):
        assert "query @ key" in (ast.get_docstring(ast.parse(mutant.source).body[0]) or "")
        assert "1 + 1" in mutant.source or mutant.after == "pass"


def test_each_mutant_differs_from_the_source_and_from_all_others() -> None:
    sources = [mutant.source for mutant in mutants(SOURCE)]
    assert len(set(sources)) == len(sources)
    assert ast.unparse(ast.parse(SOURCE)) not in sources


def test_each_mutant_is_python() -> None:
    for mutant in mutants(SOURCE):
        ast.parse(mutant.source)
