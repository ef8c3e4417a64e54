"""`course release`."""

from __future__ import annotations

from pathlib import Path

from course_lib.commands import CommandError, console
from course_lib.commands.choose import chosen, classroom
from course_lib.grading.groups import add_variant, read_groups
from course_lib.grading.release import Release, check_release, release, release_variant
from course_lib.grading.spec import Assignment, Exercise, Variant
from course_lib.grading.variant import constants_of, parse, vary


def run(slug: str | None, *, check: bool = False) -> None:
    """Release one assignment or all; with ``check``, only compare."""
    stale = []
    for spec in chosen(slug):
        outcome = check_release(spec.slug) if check else release(spec.slug)
        if check and outcome.changed:
            stale.append(f"{spec.slug} ({', '.join(outcome.changed)})")
        _say(outcome)
    if stale:
        raise CommandError(
            f"exercises/ differs from what the solutions give: {'; '.join(stale)}. Run `course release`."
        )


def run_variant(slug: str | None, text: str, *, into: Path | None = None, folder: Path | None = None) -> None:
    """Release a variant of one assignment, or of all, for a group of a class.

    Args:
        text: the group and the seed, ``GROUP/SEED``.
        into: where the students' folders go; ``release/`` in the class's folder where it is not given.
    """
    room, variant = classroom(folder), parse(text)
    for spec in chosen(slug):
        varied = vary(spec, add_variant(room, spec, variant))
        _say(release_variant(varied, into.resolve() if into else room.folder / "release"))
        drawn = [
            f"{exercise.name}: {argument} = {value:g}"
            for exercise in spec.exercises
            for argument, (_, value) in constants_of(spec, exercise, variant).items()
        ]
        console.print(
            f"  variant {variant}: other public cases{''.join(f'; {item}' for item in drawn)}", soft_wrap=True
        )
        for other in read_groups(room).variants[spec.slug]:
            same = [e.name for e in spec.exercises if other != variant and _shares(spec, e, variant, other)]
            if same:
                console.print(f"  group {other.group} has the same constant in {', '.join(same)}", soft_wrap=True)


def _shares(spec: Assignment, exercise: Exercise, one: Variant, other: Variant) -> bool:
    """Whether two variants have drawn the same constants for an exercise."""
    mine, theirs = (constants_of(spec, exercise, variant) for variant in (one, other))
    return bool(mine) and mine == theirs


def _say(outcome: Release) -> None:
    state = ", ".join(outcome.changed) if outcome.changed else "up to date"
    console.print(f"[bold]{outcome.slug}[/]  {outcome.folder}  {state}")
