"""How results enter nbgrader: its own Autograde, with these parts in the place of a kernel.

nbgrader decides a score from a grade cell's outputs. A cell here gets two, written by the course: the
feedback for people, and one number. No notebook is executed, so nothing that a student wrote can add
an output. ``nbgrader autograde`` and the formgrader's button go the same way as ``course grade``.
"""

from __future__ import annotations

import hashlib
import html
import re
import shutil
import weakref
from pathlib import Path
from typing import Any, cast

from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.api import Grade, Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import compute_checksum, determine_grade, is_grade, is_solution
from traitlets import Bool

from course_lib.grading.classroom import Classroom
from course_lib.grading.commit import earned
from course_lib.grading.feedback import NO_RESPONSE, NOTES
from course_lib.grading.grade import grade_read
from course_lib.grading.groups import spec_of
from course_lib.grading.ingest import Submission, read_submission, rebuild
from course_lib.grading.lookup import find_result
from course_lib.grading.release import grade_cells
from course_lib.grading.results import Result, ResultStore
from course_lib.grading.solution import grade_id
from course_lib.grading.spec import Assignment, assignment
from course_lib.grading.standing import Commit, read_commit, write_commit

TAG = re.compile(r"<(?=[A-Za-z/!?])")
ZERO_WIDTH = "\u200b"
KEPT = {"timestamp.txt", "submission_secret.txt"}
"""Files of nbgrader's own; by the second, the student who handed in finds the feedback in the exchange."""


class GradebookError(Exception):
    """A gradebook that does not know the assignment as it is now."""


class _OnlyOne(NotebookNode):
    """A notebook that nobody else holds, so that it is its own copy: nbconvert makes eight on the way."""

    def __deepcopy__(self, memo: Any) -> _OnlyOne:
        return self


class SubmissionExporter(NotebookExporter):
    """Reads a submission through the course's reader; then nbgrader's own steps are sure of what they get."""

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """The notebook as text, after nbgrader's steps. It is used up: read from a file for this, or rebuilt."""
        return super().from_notebook_node(_OnlyOne(nb), resources, **kw)

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """The released notebook with the student's answers, for a submitted file; any other file as it is."""
        about = (resources or {})["nbgrader"]
        coursedir: CourseDirectory = cast(Any, self.parent).coursedir
        submitted, autograded = (
            Path(coursedir.format_path(step, about["student"], about["assignment"]))
            for step in (coursedir.submitted_directory, coursedir.autograded_directory)
        )
        if Path(filename).parent.resolve() != submitted.resolve():
            return super().from_filename(filename, resources, **kw)
        _drop_extra_files(autograded)
        classroom = Classroom(Path(coursedir.root))
        spec = spec_of(classroom, about["student"], assignment(about["assignment"]))
        notebook = rebuild(read_submission(Path(filename), spec=spec), spec)
        return self.from_notebook_node(notebook, resources, **kw)


class CommitResults(NbGraderPreprocessor):
    """Writes each exercise's result into its grade cell; grades the submission where there is no result yet."""

    unsafe_local = Bool(False, help="Grade without the sandbox where there is no result yet.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Fill the grade cells of one rebuilt notebook."""
        about = resources["nbgrader"]
        converter = self.parent.parent
        classroom = Classroom(Path(converter.coursedir.root))
        spec = spec_of(classroom, about["student"], assignment(about["assignment"]))
        path = classroom.submitted(about["student"], spec.slug) / f"{about['notebook']}.ipynb"
        submission = read_submission(path, spec=spec)
        result = self._result(classroom, spec, submission, about["student"])
        verdict = () if result.verdict == "graded" else (result.verdict[:1].upper() + result.verdict[1:],)
        nb.metadata[NOTES] = [*verdict, *result.notes]
        graded = grade_cells(spec, nb)
        written = {question.name for question in spec.written}
        for cell in nb.cells:
            name = str(grade_id(cell))
            if name in graded:
                _fill(cell, result, graded[name])
            elif name in written:
                cell.source = TAG.sub("<" + ZERO_WIDTH, cell.source)
        about["course_commit"] = Commit(
            result.key,
            submission.sha256,
            {name: earned(result, exercise) for name, exercise in graded.items()},
            {name: hashlib.sha256(submission.written.get(name, "").encode()).hexdigest() for name in written},
        )
        return nb, resources

    def _result(self, classroom: Classroom, spec: Assignment, submission: Submission, student: str) -> Result:
        store = ResultStore(classroom.results)
        found = find_result(store, submission, spec, secret=classroom.secret())
        if found is None:
            found = grade_read(submission, spec, secret=classroom.secret(), launcher=self._launcher())
            store.put(found, submission=f"{student}/{spec.slug}")
        return found

    def _launcher(self) -> Any:
        """The runner of this run of Autograde: started at the first submission that needs it, ended with the run."""
        from course_lib.grading.sandbox import Warming

        converter = self.parent.parent
        if not hasattr(converter, "course_sandbox"):
            converter.course_sandbox = Warming(unsafe_local=self.unsafe_local)
            weakref.finalize(converter, converter.course_sandbox.close)
        return converter.course_sandbox.launcher()


class SaveGrades(NbGraderPreprocessor):
    """Saves a notebook's scores as nbgrader's SaveAutoGrades does, with two differences.

    All scores of a notebook are written in one transaction. And a person's score stays settled for as long as
    what it was given for is the same, where nbgrader asks to look at it again after each regrade.
    """

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Save the scores, then remember what was committed."""
        about = resources["nbgrader"]
        classroom = Classroom(Path(self.parent.parent.coursedir.root))
        now: Commit = about["course_commit"]
        before = read_commit(classroom, about["student"], about["assignment"])
        same = now.unchanged_since(before)
        with Gradebook(about["db_url"]) as gradebook:
            names = about["notebook"], about["assignment"], about["student"]
            submitted = gradebook.find_submission_notebook(*names)
            grades = {grade.name: grade for grade in submitted.grades}
            comments = {comment.name: comment for comment in submitted.comments}
            for cell in nb.cells:
                name = str(grade_id(cell))
                if is_grade(cell):
                    if name not in grades:
                        raise GradebookError(
                            f"the gradebook knows no cell {name!r}; it holds another version of {names[1]}: run "
                            "`course grade`, which tells it of the new one"
                        )
                    _save(grades[name], determine_grade(cell, self.log)[0], settled=name in same)
                if is_solution(cell) and name in comments:
                    untouched = cell.metadata["nbgrader"].get("checksum") == compute_checksum(cell)
                    comments[name].auto_comment = NO_RESPONSE if untouched else None
            gradebook.db.commit()
        write_commit(classroom, about["student"], about["assignment"], now)
        return nb, resources


def _save(grade: Grade, score: float | None, *, settled: bool) -> None:
    """Give a cell its automatic score; a person is asked where there is none, or theirs was for something else."""
    asked = grade.needs_manual_grade
    grade.auto_score = score
    grade.needs_manual_grade = asked or not settled if grade.manual_score is not None else score is None


def _fill(cell: NotebookNode, result: Result, exercise: str) -> None:
    score = result.exercise(exercise)
    page = (score.html if score else "") or f"<p>{html.escape(result.verdict[:1].upper() + result.verdict[1:])}</p>"
    points = earned(result, exercise)
    cell.execution_count = None
    shown = {"text/html": page, "text/plain": f"{exercise}: {points:g} points"}
    number = {"text/plain": repr(points)}
    cell.outputs = [  # as nbformat's own maker does, which checks each by itself; nbconvert checks the whole
        NotebookNode(output_type="display_data", metadata=NotebookNode(), data=NotebookNode(shown)),
        NotebookNode(
            output_type="execute_result", metadata=NotebookNode(), data=NotebookNode(number), execution_count=None
        ),
    ]


def _drop_extra_files(folder: Path) -> None:
    """What else a student handed in goes no further: nbgrader would copy it into the feedback."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in KEPT:
            path.unlink()
