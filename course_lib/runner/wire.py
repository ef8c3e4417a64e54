"""Messages on a stream socket: eight bytes of length, little-endian, then the bytes.

The other side may be hostile: a length above the limit is refused before anything is allocated, and
every wait has a deadline.
"""

from __future__ import annotations

import socket
import struct
import time

HEADER = struct.Struct("<Q")
CHUNK = 1 << 20


class Closed(Exception):
    """The other side has closed the connection, or does not keep to the protocol."""


class Late(Exception):
    """The deadline passed before the message was through."""


def send(connection: socket.socket, message: bytes, *, deadline: float | None = None) -> None:
    """Send one message.

    Args:
        deadline: in the time of :func:`time.monotonic`; ``None`` waits for ever.

    Raises:
        Closed, Late
    """
    view = memoryview(HEADER.pack(len(message)) + message)
    while view:
        _wait_at_most(connection, deadline)
        try:
            view = view[connection.send(view[:CHUNK]) :]
        except TimeoutError:
            raise Late from None
        except OSError as error:
            raise Closed(str(error)) from error


def receive(connection: socket.socket, *, limit: int, deadline: float | None = None) -> bytes:
    """Receive one message of at most ``limit`` bytes.

    Raises:
        Closed, Late
    """
    return receive_body(connection, _exactly(connection, HEADER.size, deadline), limit=limit, deadline=deadline)


def receive_body(connection: socket.socket, header: bytes, *, limit: int, deadline: float | None = None) -> bytes:
    """Receive the message that an already received header announces.

    Raises:
        Closed, Late
    """
    (length,) = HEADER.unpack(header)
    if length > limit:
        raise Closed(f"a message of {length} bytes was announced, {limit} are allowed")
    return _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, count: int, deadline: float | None) -> bytes:
    received = bytearray()
    while len(received) < count:
        _wait_at_most(connection, deadline)
        try:
            part = connection.recv(min(CHUNK, count - len(received)))
        except TimeoutError:
            raise Late from None
        except OSError as error:
            raise Closed(str(error)) from error
        if not part:
            raise Closed("the connection was closed")
        received += part
    return bytes(received)


def _wait_at_most(connection: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        connection.settimeout(None)
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise Late
    connection.settimeout(left)
