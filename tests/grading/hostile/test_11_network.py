"""11. Network: no socket can be opened, so that nothing outside hears of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from course_lib.grading.results import to_json
from tests.grading.hostile.conftest import Attack


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[dict[str, socket.socket]]:
    """Somebody who would hear: TCP, UDP, a Unix socket with a path and one with an abstract name."""
    found = {
        "tcp": socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "unix": socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "abstract": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
    }
    found["tcp"].bind(("127.0.0.1", 0))
    found["tcp"].listen()
    found["udp"].bind(("127.0.0.1", 0))
    found["unix"].bind(str(tmp_path / "socket"))
    found["unix"].listen()
    found["abstract"].bind(b"\0course-hostile-" + tmp_path.name.encode())
    for listener in found.values():
        listener.setblocking(False)
    yield found
    for listener in found.values():
        listener.close()


ATTEMPTS = {
    "tcp": "s = socket.create_connection({tcp}, timeout=1); s.send(b'x')",
    "udp": "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', {udp})",
    "unix": "s = socket.socket(socket.AF_UNIX); s.connect({unix}); s.send(b'x')",
    "abstract": "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b'x', {abstract})",
    "dns": "socket.getaddrinfo('example.org', 443)",
    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "urllib": "import urllib.request; urllib.request.urlopen('http://{tcp[0]}:{tcp[1]}', timeout=1)",
    "a listener": "s = socket.create_server(('', 0))",
    "a program": "import subprocess; subprocess.run(['bash', '-c', 'echo x > /dev/tcp/{tcp[0]}/{tcp[1]}'], check=True)",
    "the system call": "import ctypes; libc = ctypes.CDLL(None); assert libc.socket(2, 1, 0) >= 0",
    "io_uring": "import ctypes; libc = ctypes.CDLL(None); assert libc.syscall(425, 8, ctypes.create_string_buffer(200)) >= 0",
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_nobody_hears(attack: Attack, listeners: dict[str, socket.socket], name: str) -> None:
    addresses = {k: v.getsockname() for k, v in listeners.items()}
    code = ATTEMPTS[name].format(**{k: a if k in ("tcp", "udp") else repr(a) for k, a in addresses.items()})
    source = (
        f"import socket\ndef attempt():\n    try:\n        {code}\n        return 'open'\n"
        "    except BaseException:\n        return 'closed'\n"
        "def double(x):\n    raise ValueError('the way out is ' + attempt())\n"
    )
    assert "the way out is closed" in to_json(attack(source))
    for listener in listeners.values():
        with pytest.raises(BlockingIOError):
            listener.accept() if listener.type == socket.SOCK_STREAM else listener.recv(10)
