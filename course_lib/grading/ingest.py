"""Read a submitted notebook: the student's own sources and nothing else.

What counts is the text of the answer cells, found by their nbgrader id. Metadata, tags, outputs,
the order of cells and edits to the others are dropped. A file that cannot be read gives a verdict in
words, a file with small damage gives the answers and a note of what was repaired; nothing raises.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import hmac
import json
import os
import stat
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_lib.grading import solution
from course_lib.grading.solution import grade_id, is_answer, read_solution
from course_lib.grading.spec import Assignment, SpecError
from course_lib.grading.variant import find, rewrite

MIB = 1024 * 1024
MAX_FILE = 80 * MIB
MAX_PARTS = 1_000_000
MAX_CELLS = 5_000
MAX_SOURCE = 100_000
MAX_ADDED = 100

MARK = "course_variant"
"""Key of a notebook's metadata that says of which group it is, with its seal."""
WRONG_NOTEBOOK = "this is not your group's notebook"
HAND_IN_OWN = "put your own answers into the notebook that you were given, and hand in that."
NO_GROUP = "nobody has said which group you are in"
NO_MARK = "The notebook does not say which group it is of"


class Unreadable(Exception):
    """A file that is no notebook; the message is the verdict."""


@dataclass(frozen=True)
class Added:
    """A code cell that the student added or a given one that was changed, and the answer cell it follows."""

    after: str | None
    source: str


@dataclass(frozen=True)
class Submission:
    """What a submitted notebook holds.

    Attributes:
        cells: sources of the answer cells that are there, by grade_id.
        written: texts of the written questions that are there, by grade_id.
        added: further code cells, in order.
        notes: what was repaired, as sentences.
        verdict: ``"ok"``, or a sentence that says why nothing can be graded.
        sha256: of the sources; of verdict and file where it cannot be read.

    A notebook of another group has a verdict, and its sources all the same.
    """

    cells: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    added: Sequence[Added] = ()
    notes: Sequence[str] = ()
    verdict: str = "ok"
    sha256: str = ""


def read_submission(path: Path, *, spec: Assignment) -> Submission:
    """Read a submitted notebook, whatever it is.

    Args:
        path: the file as it was handed in.
        spec: of the assignment, which says which cells to look for.
    """
    data = b""
    notes: list[str] = []
    try:
        data = _read_bytes(path)
        notebook = _parse(data, notes)
        cells = _cells(notebook, notes)
        submission = _sort_out(cells, spec, notes)
        verdict = _group_verdict(notebook, spec, notes)
        return replace(submission, verdict=verdict, notes=tuple(notes))
    except Unreadable as error:
        verdict = str(error)
    except (RecursionError, MemoryError) as error:
        verdict = f"the file cannot be read: it is nested too deeply or too large ({type(error).__name__})."
    digest = hashlib.sha256(verdict.encode() + b"\n" + data).hexdigest()
    return Submission(verdict=verdict, notes=tuple(notes), sha256=digest)


def rebuild(submission: Submission, spec: Assignment) -> NotebookNode:
    """The released notebook with the student's answers in it, and nothing else of the submission."""
    notebook = handed_out(spec)
    for cell in notebook.cells:
        name = str(grade_id(cell))
        answers = submission.cells if cell.cell_type == "code" else submission.written
        if name in answers:
            cell.source = answers[name]
    return notebook


@cache
def _read_released(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def released(slug: str, notebook: str) -> NotebookNode:
    """The notebook as students got it. Do not change it: it is shared.

    Raises:
        SpecError: the assignment has not been released.
    """
    return _read_released(_released_path(slug, notebook))


def handed_out(spec: Assignment) -> NotebookNode:
    """A copy of the notebook as students got it, of a variant with its constants."""
    notebook = copy.deepcopy(released(spec.slug, spec.notebook))
    rewrite(spec, notebook.cells)
    return notebook


def _released_path(slug: str, notebook: str) -> Path:
    path = solution.ROOT / "exercises" / slug / f"{notebook}.ipynb"
    if not path.is_file():
        raise SpecError(f"{path} is not there; release the assignment first: course release {slug}")
    return path


def _read_bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise Unreadable("the file is a symbolic link; hand in the notebook itself.") from error
        raise Unreadable(f"the file cannot be opened: {error.strerror}.") from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise Unreadable("this is a folder, not a notebook.")
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("this is not an ordinary file.")
        if status.st_size > MAX_FILE:
            size = status.st_size / MIB
            raise Unreadable(f"the file has {size:.0f} MiB, {MAX_FILE / MIB:.0f} are accepted; clear its outputs.")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE + 1)
    finally:
        os.close(descriptor)
    if not data.strip(b" \t\r\n\0"):
        raise Unreadable("the file is empty.")
    return data


def _parse(data: bytes, notes: list[str]) -> Any:
    if data.count(b"{") + data.count(b"[") > MAX_PARTS:
        raise Unreadable("the file has more parts than a notebook can have; clear its outputs.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", errors="replace")
        notes.append("The file was saved as UTF-16; it was read as such.")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("utf-8-sig", errors="replace")
            notes.append("The file holds bytes that are no text; they were replaced.")
        if data.startswith(b"\xef\xbb\xbf"):
            notes.append("The file begins with a byte order mark; it was left out.")
    if "\0" in text:
        text = text.replace("\0", "")
        notes.append("The file holds NUL characters; they were left out.")
    try:
        return json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg:
            raise Unreadable("the file is cut off before its end; hand it in again.") from error
        raise Unreadable(f"the file is not a notebook: {error.msg} in line {error.lineno}.") from error
    except ValueError as error:
        raise Unreadable("the file is not a notebook: it holds a number that is too long.") from error


def _cells(notebook: Any, notes: list[str]) -> list[dict[str, Any]]:
    """The cells of any version of the format, as dicts with ``cell_type``, ``source`` and ``metadata``."""
    if not isinstance(notebook, dict):
        raise Unreadable("the file is JSON, but not a notebook.")
    found = notebook.get("cells")
    if found is None and isinstance(notebook.get("worksheets"), list):
        notes.append("The notebook is of format 3; it was converted.")
        found = [
            cell
            for sheet in notebook["worksheets"]
            if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
            for cell in sheet["cells"]
        ]
    if not isinstance(found, list):
        raise Unreadable("the file is JSON, but not a notebook: it has no cells.")
    if len(found) > MAX_CELLS:
        raise Unreadable(f"the notebook has {len(found)} cells, {MAX_CELLS} are accepted.")
    _note_language(notebook, notes)
    cells, damaged, too_long, nul = [], 0, 0, 0
    for cell in found:
        source = cell.get("source", cell.get("input", "")) if isinstance(cell, dict) else None
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            damaged += 1
            continue
        if len(source) > MAX_SOURCE:
            too_long += 1
            continue
        nul += "\0" in source
        settings = _dict(_dict(cell.get("metadata")).get("nbgrader"))
        name = settings.get("grade_id")
        metadata = {"nbgrader": {"grade_id": name}} if isinstance(name, str) else {}
        kind = cell.get("cell_type") if cell.get("cell_type") in ("code", "markdown") else "raw"
        cells.append({"cell_type": kind, "source": _normalise(source), "metadata": metadata})
    if damaged:
        notes.append(f"{damaged} damaged cell(s) were left out.")
    if too_long:
        notes.append(f"{too_long} cell(s) of more than {MAX_SOURCE} characters were left out.")
    if nul:
        notes.append(f"NUL characters in {nul} cell(s) were left out.")
    return cells


def _note_language(notebook: dict[str, Any], notes: list[str]) -> None:
    metadata = _dict(notebook.get("metadata"))
    kernel = _dict(metadata.get("kernelspec"))
    language = kernel.get("language") or _dict(metadata.get("language_info")).get("name") or "python"
    if str(language).lower() not in ("python", "python3", "ipython"):
        notes.append(f"The notebook was saved with a kernel for {str(language)[:40]}; it was graded as Python.")


def _sort_out(cells: list[dict[str, Any]], spec: Assignment, notes: list[str]) -> Submission:
    stubs, answer_names, given, grade_cells = _handed_out(spec.full_name, _released_path(spec.slug, spec.notebook))
    written_names = [question.name for question in spec.written]
    named: dict[str, list[dict[str, Any]]] = {}
    added: list[Added] = []
    last: str | None = None
    for cell in cells:
        name = grade_id(cell)
        if name is None or name not in answer_names + written_names:
            name = _claimed(cell, answer_names, cells, notes) if cell["cell_type"] == "code" else None
        if name is not None:
            named.setdefault(name, []).append(cell)
            last = name if name in answer_names else last
        elif cell["cell_type"] == "code" and cell["source"].strip() not in given and grade_id(cell) not in grade_cells:
            added.append(Added(last, cell["source"]))
    if not named:
        raise Unreadable(f"the notebook holds no answer cell of {spec.slug}; is it the notebook of another assignment?")
    if len(added) > MAX_ADDED:
        notes.append(f"Of {len(added)} added cells, the first {MAX_ADDED} were kept.")
    answers = {n: _join(n, named[n], stubs.get(n, ""), notes) for n in answer_names if n in named}
    written = {n: _join(n, named[n], stubs.get(n, ""), notes) for n in written_names if n in named}
    missing = [n for n in answer_names + written_names if n not in named]
    if missing:
        notes.append(f"The notebook lacks the cell(s) {', '.join(missing)}; they count as not answered.")
    kept = tuple(added[:MAX_ADDED])
    return Submission(answers, written, kept, tuple(notes), "ok", _digest(answers, written, kept))


@cache
def _handed_out(full_name: str, path: Path) -> tuple[Mapping[str, str], list[str], Set[str], Set[str]]:
    """Stubs by id, ids of the answers, sources that are not the student's, ids of the grade cells."""
    solved, blank = read_solution(full_name).cells, copy.deepcopy(_read_released(path)).cells
    rewrite(find(full_name), blank)
    stubs = {str(grade_id(c)): _normalise(c["source"]) for c in blank}
    given = {""} | {_normalise(c["source"]).strip() for c in solved if not is_answer(c)}
    given |= {_normalise(c["source"]).strip() for c in blank}
    grade_cells = {str(grade_id(c)) for c in solved if c.metadata.get("nbgrader", {}).get("grade")}
    return stubs, [str(grade_id(c)) for c in solved if is_answer(c)], given, grade_cells


def _group_verdict(notebook: dict[str, Any], spec: Assignment, notes: list[str]) -> str:
    """``"ok"`` where a notebook is that of the student's group, whose variant ``spec`` is; else what it is instead."""
    mark = _dict(_dict(notebook.get("metadata")).get(MARK))
    says, seal = str(mark.get("group", "")), str(mark.get("seal", ""))
    if spec.variant is None:
        if mark:
            return (
                f"{WRONG_NOTEBOOK}: it says that it is a group's, and {spec.slug} has no groups in this class; "
                f"{HAND_IN_OWN}"
            )
        return "ok"
    own, seals = spec.variant.group, spec.variant.seals
    if not own:
        return f"{NO_GROUP}; your instructor writes it down, and then your notebook is graded as it is."
    genuine = says in seals and hmac.compare_digest(_normalise(seal).encode(), seals[says].encode())
    if not mark:
        notes.append(f"{NO_MARK}; it was graded as your group's, {own}.")
    elif not genuine:
        return f"{WRONG_NOTEBOOK}: what it says about its group was changed, or is of another class; {HAND_IN_OWN}"
    elif says != own:
        return f"{WRONG_NOTEBOOK}: it is that of group {says}, and you are in group {own}; {HAND_IN_OWN}"
    return "ok"


def _claimed(cell: dict[str, Any], names: Sequence[str], cells: Sequence[Any], notes: list[str]) -> str | None:
    """The answer that a cell without its id defines, where no cell has that id."""
    present = {grade_id(other) for other in cells}
    wanted = [name for name in names if name not in present]
    if not wanted:
        return None
    try:
        body = ast.parse(cell["source"]).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    defined = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    name = next((name for name in wanted if name in defined), None)
    if name is not None:
        notes.append(f"The cell that defines {name} had lost its id; it was found by what it defines.")
    return name


def _join(name: str, cells: list[dict[str, Any]], stub: str, notes: list[str]) -> str:
    """One source from the cells of one id: copies and untouched stubs once, a split cell in its order."""
    if any(cell["cell_type"] == "raw" for cell in cells):
        notes.append(f"The cell {name} was of another type; its text was used.")
    sources = list(dict.fromkeys(cell["source"] for cell in cells))
    if len(sources) > 1:
        sources = [source for source in sources if source.strip() != stub.strip()] or sources[:1]
    if len(cells) > 1:
        how = "they were joined in their order" if len(sources) > 1 else "one was used"
        notes.append(f"{len(cells)} cells have the id {name}; {how}.")
    return "\n\n".join(sources)


def _normalise(source: str) -> str:
    text = source.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _digest(answers: Mapping[str, str], written: Mapping[str, str], added: Sequence[Added]) -> str:
    parts = [dict(answers), dict(written), [[a.after, a.source] for a in added]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
