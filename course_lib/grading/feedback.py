"""The page that a student gets back: scores, what was found, comments, and their own answers.

It is made from the autograded notebook, which holds no hidden input and no expected value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from nbconvert.exporters import Exporter
from nbformat import NotebookNode
from nbgrader.preprocessors import GetGrades

from course_lib.grading.pages import as_code, as_prose, render
from course_lib.grading.release import grade_cells
from course_lib.grading.solution import grade_id
from course_lib.grading.spec import Assignment, assignment

HEADING = re.compile(r"^#{2,3} +(.+?) *$", re.MULTILINE)
TEX = {r"\\sqrt\{(\w+)\}": r"√\1", r"\$": "", "`": ""}
NO_RESPONSE = "No response."
"""nbgrader's own comment on an untouched cell; the report says so already."""

NOTES = "course_notes"
"""Key of the notebook's metadata that holds sentences about the submission as a whole."""


@dataclass
class Part:
    """One exercise or written question on the page."""

    name: str
    heading: str
    score: float | None
    points: float
    written: bool
    answer: Markup
    report: Markup
    comment: Markup


class Grades(GetGrades):
    """nbgrader's, which also says of each score whether it still waits for a person."""

    def _get_score(self, cell: NotebookNode, resources: dict[str, Any]) -> None:
        super()._get_score(cell, resources)
        settings = cell.metadata["nbgrader"]
        grade = self.gradebook.find_grade(settings["grade_id"], self.notebook_id, self.assignment_id, self.student_id)
        settings["course_ungraded"] = grade.auto_score is None and grade.manual_score is None


class FeedbackExporter(Exporter):
    """nbgrader's feedback, rendered by the course's own template."""

    file_extension = ".html"

    def from_notebook_node(  # type: ignore[override]
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """The page of one autograded notebook, with the grades that nbgrader's GetGrades put into it."""
        nb, resources = super().from_notebook_node(nb, resources, **kw)
        about = resources["nbgrader"]
        spec = assignment(about["assignment"])
        page = render(
            "feedback.html.j2",
            title=spec.title,
            student=about["student"],
            score=about["score"],
            max_score=about["max_score"],
            late_penalty=about["late_penalty"],
            notes=nb.metadata.get(NOTES, []),
            parts=parts(spec, nb),
        )
        return page, resources


def parts(spec: Assignment, notebook: NotebookNode) -> list[Part]:
    """The exercises and written questions of an autograded notebook, in its order."""
    graded = grade_cells(spec, notebook)
    written = {question.name for question in spec.written}
    sources = {grade_id(cell): cell for cell in notebook.cells}
    found, heading = [], spec.title
    for cell in notebook.cells:
        name = str(grade_id(cell))
        if cell.cell_type == "markdown" and name not in written and (titles := HEADING.findall(cell.source)):
            heading = plain_heading(titles[0])
        if name in written:
            settings = cell.metadata["nbgrader"]
            score = None if settings["course_ungraded"] else settings["score"]
            answer = as_prose(cell.source)
            found.append(Part(name, heading, score, settings["points"], True, answer, Markup(), _comment(cell)))
        elif name in graded:
            settings, answer_cell = cell.metadata["nbgrader"], sources.get(graded[name])
            report = Markup("").join(Markup(o["data"]["text/html"]) for o in cell.outputs if "text/html" in o["data"])
            answer = as_code(answer_cell.source) if answer_cell else Markup()
            comment = _comment(answer_cell) if answer_cell else Markup()
            found.append(
                Part(graded[name], heading, settings["score"], settings["points"], False, answer, report, comment)
            )
    return found


def plain_heading(text: str) -> str:
    """A heading without its markup."""
    for pattern, plain in TEX.items():
        text = re.sub(pattern, plain, text)
    return text


def _comment(cell: NotebookNode) -> Markup:
    text = cell.metadata["nbgrader"].get("comment")
    return as_prose(text) if text and text != NO_RESPONSE else Markup()
