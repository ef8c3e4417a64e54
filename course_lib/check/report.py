"""What a student reads after a check or with a grade: a page fragment, and the same as plain text.

``reveal`` says whether arrays, calls and error messages may be shown as they are: for the public
cases in the student's own notebook, yes; for hidden cases, no.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from course_lib.check.compare import Finding
from course_lib.check.judge import FINAL, Case, ExerciseResult, LineResult
from course_lib.check.pictures import as_html, as_text, panel
from course_lib.check.probe import Failure
from course_lib.check.report_style import STYLE
from course_lib.check.symptoms import symptoms
from course_lib.check.values import Code, Seed

MAX_HTML = 56_000
MAX_TEXT = 400
MAX_PRINTED = 4_000
FIGURES = re.compile(r"[-−]?\d*\.\d[\d_]*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\d{6,}")


def render_html(result: ExerciseResult, *, reveal: bool, notes: Sequence[str] = (), printed: str = "") -> str:
    """The report as HTML with its own style: no script, nothing loaded, every text escaped.

    Args:
        result: what was judged.
        reveal: show arrays, calls and error messages; only for public cases.
        notes: sentences to put at the end, as text.
        printed: what the student's code printed meanwhile; shown folded.
    """
    head = f"<style>{STYLE}</style><p class=cc-head><b>{_escape(result.exercise.name)}</b> {_score(result)}</p>"
    tail = "".join(f"<p class=cc-note>{_escape(_sentence(note))}</p>" for note in notes)
    if printed:
        tail += (
            f"<details><summary>Printed meanwhile</summary><pre>{_escape(_clip(printed, MAX_PRINTED))}</pre></details>"
        )
    stopped = _stopped_at_once(result)
    if stopped is not None:
        lines = "".join(_line_html(r, "") for r in result.lines)
        body = f"<div class=cc-box>{_details_html(result, stopped, reveal=reveal, room=0)}</div><ul>{lines}</ul>"
    else:
        boxes = "".join(f"<p>{_escape(_mistake(result, name))}</p>" for name in result.mistakes)
        body = f"<div class=cc-box><p><b>A known mistake</b></p>{boxes}</div>" if boxes else ""
        body += f"<ul>{''.join(_lines_html(result, reveal, MAX_HTML - len(head) - len(tail) - len(body)))}</ul>"
    label = html.escape(f"Check of {_clean(result.exercise.name)}", quote=True)
    return f'<section class=course-check role=region aria-label="{label}">{head}{body}{tail}</section>'


def render_text(result: ExerciseResult, *, reveal: bool = False, notes: Sequence[str] = (), printed: str = "") -> str:
    """The report as plain text, with the same content as :func:`render_html`."""
    lines = [f"{_clean(result.exercise.name)}: {_score(result)}"]
    stopped = _stopped_at_once(result)
    if stopped is not None:
        lines += ["  " + text for text in _details_text(result, stopped, reveal=reveal)]
    else:
        lines += [f"  A known mistake: {_clean(_mistake(result, name))}" for name in result.mistakes]
    for line in result.lines:
        lines.append(f"  {'✓' if _right(line) else '✗'} {_points(line)}  {_clean(line.line.text)}")
        if stopped is None and not _right(line):
            lines += ["      " + text for text in _details_text(result, line, reveal=reveal)]
    lines += [f"  Note: {_clean(_sentence(note))}" for note in notes]
    if printed:
        lines += ["  Printed meanwhile:"] + ["    " + text for text in _clean(_clip(printed, MAX_PRINTED)).splitlines()]
    return "\n".join(lines)


def _lines_html(result: ExerciseResult, reveal: bool, room: int) -> list[str]:
    """One item for each rubric line; pictures as long as there is room."""
    items: list[str] = []
    room -= 600 * len(result.lines)
    for line in result.lines:
        details = "" if _right(line) else _details_html(result, line, reveal=reveal, room=room)
        items.append(_line_html(line, details))
        room -= len(details)
    return items


def _line_html(line: LineResult, details: str) -> str:
    kind, word = ("cc-right", "right") if _right(line) else ("cc-wrong", "not yet")
    sign = "✓" if _right(line) else "✗"
    return (
        f"<li class={kind}><span class=cc-sign role=img aria-label='{word}'>{sign}</span>"
        f"<span>{_escape(line.line.text)}</span><span class=cc-points>{_points(line)}</span>{details}</li>"
    )


def _details_html(result: ExerciseResult, line: LineResult, *, reveal: bool, room: int) -> str:
    finding = line.finding
    if finding is None:
        return ""
    if (repeated := _repeats(result, line)) is not None:
        return f"<div class=cc-details><p>{repeated}</p></div>"
    parts = [f"<p>{_escape(text)}</p>" for text in _explanation(result, line, reveal=reveal)]
    if finding.failure is not None and finding.failure.frames and finding.kind != "not_written":
        rows = "".join(f"<li>{_frame_html(f)}</li>" for f in _frames(finding.failure))
        parts.append(f"<ol class=cc-frames>{rows}</ol>")
    if reveal:
        shown = panel(finding.expected, finding.actual)
        picture = "" if shown is None else as_html(shown, _clean(finding.part))
        if len(picture) <= room:
            parts.append(picture)
        elif picture:
            parts.append("<p class=cc-small>Mend what is shown above first, then check again to see the arrays.</p>")
        call = _call(result, line)
        if call:
            parts.append(f"<p class=cc-small>Called as <code>{_escape(call)}</code></p>")
    return f"<div class=cc-details>{''.join(parts)}</div>"


def _details_text(result: ExerciseResult, line: LineResult, *, reveal: bool) -> list[str]:
    finding = line.finding
    if finding is None:
        return []
    if (repeated := _repeats(result, line)) is not None:
        return [repeated]
    lines = [_clean(text) for text in _explanation(result, line, reveal=reveal)]
    if finding.failure is not None and finding.kind != "not_written":
        lines += [f"{place}{code and ': '}{code}" for place, code in _frames(finding.failure)]
    if reveal:
        shown = panel(finding.expected, finding.actual)
        lines += [] if shown is None else as_text(shown, _clean(finding.part))
        call = _call(result, line)
        lines += [f"called as {_clean(call)}"] if call else []
    return lines


def _repeats(result: ExerciseResult, line: LineResult) -> str | None:
    """What to say instead of the details where an earlier line has given them: a mistake or an error said once."""
    above = result.lines[: next(i for i, other in enumerate(result.lines) if other is line)]
    if line.mistake is not None and any(other.mistake == line.mistake for other in above):
        return "The same mistake as above."
    if line.finding is not None and line.finding.failure is not None:
        failures = [other.finding.failure for other in above if other.finding and other.finding.failure]
        if any(_same_error(failure, line.finding.failure) for failure in failures):
            return "The same error as above."
    return None


def _same_error(first: Failure, second: Failure) -> bool:
    """Of one type at one place; where no place is known, with one message."""
    if first.frames and second.frames:
        return (first.type, first.frames) == (second.type, second.frames)
    return first == second


def _explanation(result: ExerciseResult, line: LineResult, *, reveal: bool) -> list[str]:
    """What was found, then how it is related to what is right; a known mistake has been explained already."""
    finding = line.finding
    if finding is None:
        return []
    if finding.kind == "not_written":
        return [_not_written(result, finding)]
    said = [_sentence(finding.message if reveal else veil(finding.message))]
    relation = None if line.mistake else symptoms(finding.expected, finding.actual)
    return said if relation is None else [*said, relation]


def _not_written(result: ExerciseResult, finding: Finding) -> str:
    frames = finding.failure.frames if finding.failure is not None else ()
    function = frames[-1].function if frames else result.exercise.name
    own = {case.probe.method for line in result.exercise.lines for case in line.cases}
    if function in (result.exercise.name, "forward", "<module>", "<lambda>", *own) or function.startswith("__"):
        return "Not written yet."
    return f"It calls {_clean(function)}, which is not written yet."


def veil(message: str) -> str:
    """A message without figures that could be values of a hidden case, as an error may quote them; shapes stay."""
    return FIGURES.sub("…", message.split("\n", 1)[0][:200])


def _stopped_at_once(result: ExerciseResult) -> LineResult | None:
    """The first line, if its finding ended the exercise and is that of all lines: then it is said once."""
    first = result.lines[0] if result.lines else None
    if first is None or first.finding is None or first.finding.kind not in FINAL:
        return None
    return first if all(line.finding == first.finding for line in result.lines) else None


def _mistake(result: ExerciseResult, name: str) -> str:
    return _sentence(result.exercise.mistakes[name].says)


def _frames(failure: Failure) -> list[tuple[str, str]]:
    """The innermost places of an error in the student's own code, in words, with the code there."""
    places = []
    for frame in failure.frames[-3:]:
        inside = f" of {_clean(frame.function)}" if frame.function not in ("<module>", "") else ""
        places.append((f"in line {frame.line}{inside}", _clean(frame.text)))
    return places


def _frame_html(place: tuple[str, str]) -> str:
    where, code = place
    return html.escape(where) + (f": <code>{html.escape(code)}</code>" if code else "")


def _call(result: ExerciseResult, line: LineResult) -> str:
    """How the object was called in the case that failed: shapes for arrays, values for the rest."""
    if line.case is None or line.finding is None or line.finding.kind == "not_written":
        return ""
    return describe_call(result.exercise.name, line.line.cases[line.case])


def describe_call(name: str, case: Case) -> str:
    """The call of a case as Python, with an array's shape in its place."""
    probe = case.probe
    called = _arguments(probe.args, probe.kwargs)
    if probe.init is None:
        return f"{name}({called})"
    method = "" if probe.method == "__call__" else f".{probe.method}"
    return f"{name}({_arguments((), probe.init)}){method}({called})"


def _arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    return ", ".join([_argument(value) for value in args] + [f"{name}={_argument(v)}" for name, v in kwargs.items()])


def _argument(value: Any) -> str:
    if isinstance(value, Tensor):
        kind = "" if value.is_floating_point() else f" {str(value.dtype).removeprefix('torch.')}"
        return f"<{' × '.join(map(str, value.shape)) or 'number'}{kind}>"
    if isinstance(value, Code):
        return value.name
    if isinstance(value, Seed):
        return f"torch.Generator().manual_seed({value.value})"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(_argument, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    return _clip(repr(value), MAX_TEXT)


def _score(result: ExerciseResult) -> str:
    if result.earned == result.points:
        return f"all {_plural(result.points)}"
    return f"{_number(result.earned)} of {_plural(result.points)}"


def _points(line: LineResult) -> str:
    return f"{_number(line.earned)} of {_number(line.line.points)}"


def _right(line: LineResult) -> bool:
    return line.finding is None


def _plural(points: float) -> str:
    return f"{_number(points)} point{'' if points == 1 else 's'}"


def _number(points: float) -> str:
    return f"{points:g}"


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a name of code, and a full stop."""
    first = text.split(" ", 1)[0].rstrip(":,")
    if first.isalpha() and first.islower():
        text = text[:1].upper() + text[1:]
    return text if not text or text.rstrip()[-1:] in ".?:!…" else text + "."


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _clean(text: str) -> str:
    """Text that any page, pipe and terminal takes: no control characters and no half characters."""
    kept = "".join(c if c in "\n\t" or c.isprintable() else "�" for c in str(text))
    return kept.encode("utf-8", "replace").decode("utf-8")


def _escape(text: str) -> str:
    return html.escape(_clean(text), quote=True)
