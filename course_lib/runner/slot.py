"""One slot: the process that runs a submission's cells and answers probes about them.

Everything from here on shares a process with the student's code, so nothing that it sends is
trusted; the controller checks each message and compares every array with its own.
"""

from __future__ import annotations

import random
import socket
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from course_lib.check.probe import Failure, Probe, Reply, execute
from course_lib.check.values import MAX_BYTES, ValueRefused, pack, unpack
from course_lib.runner import wire
from course_lib.runner.cells import fresh_namespace, run_cell


def serve(connection: socket.socket, *, seed: int) -> None:
    """Say "ready", run the cells that the first message holds, report on each, then answer probes until the end.

    Args:
        seed: of the generators that a notebook may use without seeding them.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the student's code may use the global generator
    torch.manual_seed(seed)
    scope = fresh_namespace()
    wire.send(connection, pack("ready"))
    for name, source in unpack(wire.receive(connection, limit=MAX_BYTES), trusted=True):
        started = time.monotonic()
        failure = run_cell(name, source, scope)
        seconds = time.monotonic() - started
        wire.send(connection, pack({"cell": name, "failure": failure and asdict(failure), "seconds": seconds}))
    while True:
        number, probe = unpack(wire.receive(connection, limit=MAX_BYTES), trusted=True)
        wire.send(connection, _answer(number, Probe.from_value(probe), scope))


def _answer(number: int, probe: Probe, scope: dict[str, Any]) -> bytes:
    try:
        reply = execute(probe, scope)
    except KeyboardInterrupt:
        reply = Reply(failure=Failure("raised", "KeyboardInterrupt"))
    try:
        return pack([number, reply.to_value()])
    except ValueRefused as error:
        return pack([number, Reply(failure=Failure("refused", "ValueRefused", str(error))).to_value()])
