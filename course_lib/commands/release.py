"""`course release`."""

from __future__ import annotations

from course_lib.commands import CommandError, console
from course_lib.commands.choose import chosen
from course_lib.grading.release import check_release, release


def run(slug: str | None, *, check: bool = False) -> None:
    """Release one assignment or all; with ``check``, only compare."""
    stale = []
    for spec in chosen(slug):
        outcome = check_release(spec.slug) if check else release(spec.slug)
        if check and outcome.changed:
            stale.append(f"{spec.slug} ({', '.join(outcome.changed)})")
        state = ", ".join(outcome.changed) if outcome.changed else "up to date"
        console.print(f"[bold]{spec.slug}[/]  {outcome.folder}  {state}")
    if stale:
        raise CommandError(
            f"exercises/ differs from what the solutions give: {'; '.join(stale)}. Run `course release`."
        )
