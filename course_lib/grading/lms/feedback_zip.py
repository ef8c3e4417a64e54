"""The class's feedback pages as Moodle takes them in at one go: *Upload multiple feedback files in a zip*."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from course_lib.grading.classroom import Classroom
from course_lib.grading.intake.roster import folded
from course_lib.grading.lms.fill import Row
from course_lib.grading.lms.layout import MOODLE, Layout, participant
from course_lib.grading.lms.table import Table, TableError
from course_lib.grading.results import write_atomically
from course_lib.grading.spec import Assignment

UNSAFE = re.compile(r'[\x00-\x1f/\\:*?"<>|_]+')
"""What a folder's name cannot hold; Moodle looks for its number after the first underscore."""

WHEN = (2000, 1, 1, 0, 0, 0)
"""The same pages give the same archive."""


def write_feedback_zip(
    path: Path, table: Table, layout: Layout, rows: Sequence[Row], classroom: Classroom, spec: Assignment
) -> tuple[int, list[str]]:
    """Write the archive; return how many pages it holds, and who has none.

    Raises:
        TableError: the table is no grading worksheet, and so does not know Moodle's numbers.
    """
    if layout.system != MOODLE:
        raise TableError("feedback files go by the numbers in Moodle's grading worksheet, and this is " + layout.system)
    full = next((n for n, text in enumerate(layout.headings) if folded(text) == "fullname"), None)
    data, count, without = io.BytesIO(), 0, []
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            page = classroom.feedback(row.student, spec.slug) / f"{spec.notebook}.html"
            number = participant(table, row.number)
            if not page.is_file() or not number:
                without.append(row.student)
                continue
            name = UNSAFE.sub(" ", table.value(row.number, full) if full is not None else row.student).strip(" .")
            entry = zipfile.ZipInfo(f"{name or 'student'}_{number}_assignsubmission_file_/{page.name}", WHEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, page.read_bytes())
            count += 1
    write_atomically(path, data.getvalue())
    return count, without
