"""What the controller and a worker tell each other: bytes in the course's own format, checked by whoever reads them.

Dask carries them and looks at nothing inside. No message holds an expected value, and none is a pickle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from course_lib.check.judge import FINAL
from course_lib.check.probe import Failure, Probe, Reply
from course_lib.check.values import ValueRefused, pack, unpack
from course_lib.grading.limits import Limits
from course_lib.runner.wire import HEADER


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Cells to run in one session, and all that is asked then.

    Attributes:
        cells: name and source of each.
        asked: the probes, a group for each exercise; one that ends an exercise ends its group.
        limits: of the submission.
        budget: seconds that its code may take altogether.
        spent: seconds of those that it took before, in other sessions.
        limits_hit: limits that it ran into before.
        seed: of the slot's random state.
        official: whether it must be run in the sandbox.
        course: what the worker must have too, by name.
    """

    cells: Sequence[tuple[str, str]]
    asked: Sequence[Sequence[Probe]]
    limits: Limits
    budget: float
    spent: float
    limits_hit: Sequence[str]
    seed: int
    official: bool
    course: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """The batch as a message."""
        head = {
            "cells": [list(cell) for cell in self.cells],
            "groups": [len(group) for group in self.asked],
            "limits": asdict(self.limits),
            "budget": self.budget,
            "spent": self.spent,
            "limits_hit": list(self.limits_hit),
            "seed": self.seed,
            "official": self.official,
            "course": dict(self.course),
        }
        probes = [probe.to_value() for group in self.asked for probe in group]
        return _join(pack(value, trusted=True) for value in [head, *probes])

    @classmethod
    def from_bytes(cls, message: bytes) -> Batch:
        """The batch that :meth:`to_bytes` described.

        Raises:
            ValueRefused: the message is none.
        """
        try:
            head, *probes = (unpack(part, trusted=True) for part in _split(message))
            groups = _grouped([Probe.from_value(probe) for probe in probes], head.pop("groups"))
            cells = [(str(name), str(source)) for name, source in head.pop("cells")]
            return cls(cells=cells, asked=groups, limits=Limits(**head.pop("limits")), **head)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueRefused(f"a batch that cannot be read ({error})") from error


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a worker says of a batch.

    Attributes:
        worker: its address.
        unfit: why it may not run the batch at all; then another worker has to.
        fault: why it could not run it, through no fault of the submission.
        replies: to the probes, in groups as they were asked; a group ends early at a reply that ends its exercise.
        errors: of the cells.
        spent: seconds that the submission's code has taken so far.
        limits_hit: limits that it has run into so far.
    """

    worker: str = ""
    unfit: str = ""
    fault: str = ""
    replies: Sequence[Sequence[Reply]] = ()
    errors: Mapping[str, Failure] = field(default_factory=dict)
    spent: float = 0.0
    limits_hit: Sequence[str] = ()

    def to_bytes(self) -> bytes:
        """The answers as a message."""
        head = {
            "worker": self.worker,
            "unfit": self.unfit,
            "fault": self.fault,
            "groups": [len(group) for group in self.replies],
            "errors": {name: Reply(failure=failure).to_value() for name, failure in self.errors.items()},
            "spent": self.spent,
            "limits_hit": list(self.limits_hit),
        }
        return _join([pack(head, trusted=True), *(pack(r.to_value()) for group in self.replies for r in group)])

    @classmethod
    def from_bytes(cls, message: object, *, batch: Batch) -> Answers:
        """The answers that :meth:`to_bytes` described.

        Args:
            message: what came back.
            batch: what was asked.

        Raises:
            ValueRefused: the message is none, or does not answer what was asked.
        """
        if not isinstance(message, bytes):
            raise ValueRefused(f"an answer of type {type(message).__name__}")
        try:
            first, *rest = _split(message)
            head = unpack(first, trusted=True)
            replies = _grouped([Reply.from_value(unpack(part)) for part in rest], head.pop("groups"))
            errors = {str(name): _failure(value) for name, value in head.pop("errors").items()}
            found = cls(replies=replies, errors=errors, **head)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueRefused(f"answers that cannot be read ({error})") from error
        if not (found.unfit or found.fault):
            found._check(batch)
        return found

    def _check(self, batch: Batch) -> None:
        if len(self.replies) != len(batch.asked):
            raise ValueRefused("answers to something else")
        for replies, asked in zip(self.replies, batch.asked, strict=True):
            whole = len(replies) == len(asked)
            ended = 0 < len(replies) <= len(asked) and ends_exercise(replies[-1])
            if not (whole or ended) or any(ends_exercise(reply) for reply in replies[:-1]):
                raise ValueRefused("answers that leave out what was asked")
        if not (isinstance(self.spent, float) and self.spent >= batch.spent):
            raise ValueRefused("answers that took no time")
        if not all(isinstance(limit, str) for limit in self.limits_hit):
            raise ValueRefused("limits without a name")


def ends_exercise(reply: Reply) -> bool:
    """Whether nothing more is asked of an exercise after this reply."""
    return reply.failure is not None and reply.failure.kind in FINAL


def _failure(value: Any) -> Failure:
    failure = Reply.from_value(value).failure
    if failure is None:
        raise ValueRefused("an error without one")
    return failure


def _grouped(items: list[Any], sizes: Sequence[int]) -> list[list[Any]]:
    left = iter(items)
    groups = [[next(left) for _ in range(size)] for size in sizes if size <= len(items)]
    if len(groups) != len(sizes) or next(left, None) is not None:
        raise ValueRefused("parts that do not add up")
    return groups


def _join(parts: Iterator[bytes] | Sequence[bytes]) -> bytes:
    return b"".join(HEADER.pack(len(part)) + part for part in parts)


def _split(message: bytes) -> Iterator[bytes]:
    view, at = memoryview(message), 0
    while at < len(view):
        if len(view) - at < HEADER.size:
            raise ValueRefused("a message that was cut off")
        (length,) = HEADER.unpack(view[at : at + HEADER.size])
        at += HEADER.size
        if length > len(view) - at:
            raise ValueRefused("a message that was cut off")
        yield bytes(view[at : at + length])
        at += length
