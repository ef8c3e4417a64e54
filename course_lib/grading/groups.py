"""The groups of a class: which variants were released for it, who is in which group, and what seals a notebook.

``variants.json`` in the class's folder is written by ``course release --variant``: the seed of each group, by
assignment. ``groups.csv`` is written by the instructor: a line ``student,group`` for each student. Which variant a
submission is graded as follows from these two alone; what a notebook says of itself is only compared with them.
"""

from __future__ import annotations

import csv
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from course_lib.grading.classroom import Classroom
from course_lib.grading.results import write_atomically
from course_lib.grading.spec import Assignment, Variant
from course_lib.grading.variant import vary

VARIANTS, GROUPS = "variants.json", "groups.csv"
COLUMNS = ("student", "group")
SEAL_DIGITS = 32


class GroupError(Exception):
    """Groups that contradict themselves; the message says where and what to do."""


@dataclass(frozen=True)
class Groups:
    """A class's groups, read at one go.

    Attributes:
        variants: of each assignment that was released for groups, by slug.
        members: the group of each student.
        secret: of the class; nobody else can seal a notebook.
    """

    variants: Mapping[str, tuple[Variant, ...]]
    members: Mapping[str, str]
    secret: bytes = field(repr=False)

    def variant(self, slug: str, group: str) -> Variant:
        """A group's variant, with the others of the class as its company."""
        variants = self.variants[slug]
        own = next((variant for variant in variants if variant.group == group), Variant(""))
        others = tuple(variant for variant in variants if variant != own)
        seals = {variant.group: seal(self.secret, slug, variant) for variant in variants}
        return replace(own, others=others if own.group else (), seals=seals)

    def spec_of(self, student: str, spec: Assignment) -> Assignment:
        """The assignment as a student has it: the variant of their group, where it was released for groups.

        A student without a group, or of a group for which nothing was released, has a variant without a name.
        """
        if spec.slug not in self.variants:
            return spec
        return vary(spec, self.variant(spec.slug, self.members.get(student, "")))


def read_groups(classroom: Classroom) -> Groups:
    """The groups of a class; without ``variants.json`` there are none.

    Raises:
        GroupError: a file cannot be read, or contradicts itself.
    """
    path = classroom.folder / VARIANTS
    if not path.exists():
        return Groups({}, {}, b"")
    variants = {slug: tuple(Variant(*pair) for pair in seeds.items()) for slug, seeds in _read_variants(path).items()}
    return Groups(variants, _read_members(classroom.folder / GROUPS), classroom.secret())


def spec_of(classroom: Classroom, student: str, spec: Assignment) -> Assignment:
    """The assignment as a student of this class has it. Raises what :func:`read_groups` raises."""
    return read_groups(classroom).spec_of(student, spec)


def add_variant(classroom: Classroom, spec: Assignment, variant: Variant) -> Variant:
    """Note that a variant is released for this class; returns it with the seal of its notebook.

    Raises:
        GroupError: the group has another variant of the assignment already.
    """
    path = classroom.folder / VARIANTS
    known = _read_variants(path) if path.exists() else {}
    seeds = known.setdefault(spec.slug, {})
    if seeds.setdefault(variant.group, variant.seed) != variant.seed:
        before = Variant(variant.group, seeds[variant.group])
        raise GroupError(
            f"group {variant.group} of this class has variant {before} of {spec.slug}, and its students may have that "
            f"notebook; release {before} again, or take the line out of {path} first"
        )
    classroom.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return replace(variant, seals={variant.group: seal(classroom.secret(), spec.slug, variant)})


def write_members(classroom: Classroom, members: Mapping[str, str]) -> None:
    """Write who is in which group, by student."""
    lines = [",".join(COLUMNS), *(f"{student},{group}" for student, group in sorted(members.items()))]
    write_atomically(classroom.folder / GROUPS, ("\n".join(lines) + "\n").encode())


def seal(secret: bytes, slug: str, variant: Variant) -> str:
    """What only this class can write into a notebook of a variant."""
    return hmac.digest(secret, f"variant\n{slug}\n{variant}".encode(), "sha256").hex()[:SEAL_DIGITS]


def _read_variants(path: Path) -> dict[str, dict[str, str]]:
    try:
        return {
            str(slug): {str(group): str(seed) for group, seed in seeds.items()}
            for slug, seeds in json.loads(path.read_text()).items()
        }
    except (OSError, ValueError, AttributeError) as error:
        raise GroupError(
            f"{path} cannot be read ({error}); take it from a copy, or release the variants again"
        ) from error


def _read_members(path: Path) -> dict[str, str]:
    """The group of each student in a CSV file with the columns ``student`` and ``group``; without it, nobody's."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            rows = [
                {str(name).strip().lower(): str(value).strip() for name, value in row.items()}
                for row in csv.DictReader(file, delimiter=";" if heading.count(";") > heading.count(",") else ",")
            ]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, csv.Error) as error:
        raise GroupError(f"{path} cannot be read: {error}") from error
    members: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if not set(COLUMNS) <= set(row):
            raise GroupError(f"{path} needs a first line with the headings {' and '.join(COLUMNS)}")
        student, group = row["student"], row["group"]
        if members.setdefault(student, group) != group:
            raise GroupError(f"{path}, line {number}: {student} is in group {members[student]} already")
    return members
