"""2. Forged thrift: an answer that holds the whole table of weights cannot hide it, whatever it patches or borrows."""

from __future__ import annotations

import ctypes
import errno
from dataclasses import dataclass, replace

import pytest

from course_lib.check.compare import Finding, compare
from course_lib.check.judge import Case
from course_lib.check.probe import Reply
from course_lib.grading.draw import draw
from course_lib.grading.launcher import Launcher
from course_lib.grading.limits import Limits
from course_lib.grading.session import Budget
from course_lib.grading.solution import given_cells
from course_lib.grading.spec import assignment
from course_lib.runner.room import MSEAL

SLUG, NAME = "04-attention-layer", "tiled_attention"

DENSE = """
import ctypes, math, mmap, os, resource, subprocess, sys
import torch

DTYPE = torch.float64
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p

def place(count):
    return torch.empty(count, dtype=DTYPE)

def at(address, count):
    if address in (None, 2**64 - 1):
        raise MemoryError
    return torch.frombuffer((ctypes.c_char * (count * DTYPE.itemsize)).from_address(address), dtype=DTYPE)

def mapped(count, *, protection=3, flags=0x22):
    return libc.mmap(None, ctypes.c_size_t(count * DTYPE.itemsize), protection, flags, -1, ctypes.c_long(0))

def mappings(kind):
    for line in open("/proc/self/maps"):
        fields = line.split()
        if fields[1] == kind:
            start, end = (int(text, 16) for text in fields[0].split("-"))
            yield end - start, start, fields[5:]

def dense(query, key, value, table):
    query, key, value = (x.to(table.dtype) for x in (query, key, value))
    torch.matmul(query / math.sqrt(query.shape[-1]), key.mT, out=table)
    table -= table.amax(-1, keepdim=True)
    table.exp_()
    return (table @ value) / table.sum(-1, keepdim=True)

def tiled_attention(query, key, value, *, tile_size):
    n, m = query.shape[-2], key.shape[-2]
    return dense(query, key, value, place(n * m).view(n, m))
"""

ATTACKS = {
    "nothing but a dense answer": "",
    "a single table in single precision": "DTYPE = torch.float32\n",
    "a patched watcher": """
import course_lib.check.probe as probe
class Blind:
    largest, multiplications, operations = 0, 0, set()
    __enter__ = lambda self: self
    __exit__ = lambda self, *error: None
probe.Watcher = Blind
""",
    "patched replies": """
from dataclasses import replace
import course_lib.check.probe as probe, course_lib.runner.slot as slot
right = slot.execute
slot.execute = probe.execute = lambda question, scope: replace(right(question, scope), largest=0, operations=())
""",
    "limits lifted": """
import course_lib.runner.room as room
room.hold = lambda room_bytes: None
for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS, resource.RLIMIT_STACK):
    for limit in (resource.RLIM_INFINITY, 1 << 40):
        try:
            resource.setrlimit(kind, (limit, limit))
            resource.prlimit(os.getpid(), kind, (limit, limit))
        except (ValueError, OSError):
            pass
libc.unshare(0x10000000)
""",
    "memory taken before the question": """
early = torch.empty(2400 * 4000, dtype=DTYPE)
def place(count):
    return early[:count]
""",
    "shared memory": "def place(count):\n    return torch.frombuffer(mmap.mmap(-1, 8 * count), dtype=DTYPE)\n",
    "a file": """
DTYPE = torch.float32
def place(count):
    file = open("/dev/shm/table", "w+b")
    file.truncate(4 * count)
    return torch.frombuffer(mmap.mmap(file.fileno(), 4 * count), dtype=DTYPE)
""",
    "memory that grows down": "def place(count):\n    return at(mapped(count, flags=0x122), count)\n",
    "memory that becomes writable later": """
def place(count):
    start = mapped(count, protection=0)
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(8 * count), 3):
        raise MemoryError
    return at(start, count)
""",
    "what lies free in the heap": """
DTYPE = torch.float32
libc.mallopt(-4, 0)
libc.mallopt(-3, 1 << 30)
""",
    "what was fenced off": """
DTYPE = torch.float32
def place(count):
    for size, start, name in mappings("---p"):
        if size >= 4 * count and libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), 3) == 0:
            return at(start, count)
    return torch.empty(count, dtype=DTYPE)
""",
    "modules dropped": """
import gc
DTYPE = torch.float32
for name in [n for n in sys.modules if n.startswith(("matplotlib", "sklearn", "scipy", "IPython"))]:
    del sys.modules[name]
gc.unfreeze()
gc.collect()
libc.malloc_trim(0)
""",
    "a child": """
import numpy as np
def tiled_attention(query, key, value, *, tile_size):
    n, m = query.shape[-2], key.shape[-2]
    there, here = os.pipe()
    if os.fork() == 0:
        try:
            os.write(here, dense(query, key, value, place(n * m).view(n, m)).numpy().tobytes())
        finally:
            os._exit(0)
    os.close(here)
    with open(there, "rb") as pipe:
        return torch.from_numpy(np.frombuffer(pipe.read()).copy()).view(n, -1)
""",
    "another program": """
import numpy as np
PROGRAM = '''
import sys
import numpy as np
n, m, d = map(int, sys.argv[1:])
numbers = np.frombuffer(sys.stdin.buffer.read())
query, key, value = (part.reshape(-1, w) for part, w in zip(np.split(numbers, [n * d, (n + m) * d]), (d, d, 1)))
table = query @ key.T / d**0.5
table -= table.max(-1, keepdims=True)
np.exp(table, out=table)
sys.stdout.buffer.write((table @ value / table.sum(-1, keepdims=True)).tobytes())
'''
def tiled_attention(query, key, value, *, tile_size):
    given = b"".join(x.contiguous().numpy().tobytes() for x in (query, key, value))
    sizes = [str(size) for size in (query.shape[-2], key.shape[-2], query.shape[-1])]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *sizes], input=given, capture_output=True, check=True)
    return torch.from_numpy(np.frombuffer(done.stdout).copy()).view(query.shape[-2], 1)
""",
}

BUFFERS_GIVEN_BACK = """
DTYPE = torch.float32
buffers = [(start, size) for size, start, name in mappings("rw-p") if size == 32 << 20 and not name]
for start, size in buffers:
    libc.munmap(ctypes.c_void_p(start), ctypes.c_size_t(size))
assert buffers, "NumPy's and SciPy's BLAS have taken none"
"""


def kernel_seals() -> bool:
    """Whether this kernel can keep a process from giving memory back (Linux 6.10)."""
    ctypes.CDLL(None, use_errno=True).syscall(MSEAL, None, ctypes.c_size_t(0), 0)
    return ctypes.get_errno() != errno.ENOSYS


@dataclass(frozen=True)
class Question:
    """The case for which the kernel decides, and the cells around the answer."""

    case: Case
    cells: list[tuple[str, str]]


@pytest.fixture(scope="module")
def large() -> Question:
    """For the whole module: each test stands in the tiny assignment."""
    spec = assignment(SLUG)
    line = next(x for x in draw(spec, spec.exercise(NAME), seed=b"hostile").lines if x.name == "memory")
    return Question(next(case for case in line.cases if case.probe.room_bytes is not None), given_cells(SLUG))


def ask(launcher: Launcher, source: str, large: Question, *, room: bool = True) -> tuple[Reply, Finding | None]:
    """What a dense answer with this attack replies, and what is wrong with it."""
    cells = [(name, DENSE + source if name == NAME else given) for name, given in large.cells]
    session = launcher.session(cells, limits=Limits(), budget=Budget(60.0))
    try:
        reply = session.ask(large.case.probe if room else replace(large.case.probe, room_bytes=None))
    finally:
        session.close()
    return reply, compare(large.case.expected, reply)


@pytest.mark.parametrize("name", ATTACKS)
def test_no_dense_answer_finds_room_for_its_table(sandboxed: Launcher, large: Question, name: str) -> None:
    _, finding = ask(sandboxed, ATTACKS[name], large)
    assert finding is not None and finding.kind in ("too_large", "raised", "shape"), finding
    _, without = ask(sandboxed, ATTACKS[name], large, room=False)
    assert without is None, f"the attack does not even work where there is room: {without}"


@pytest.mark.skipif(not kernel_seals(), reason="the kernel is older than 6.10")
def test_memory_that_the_process_began_with_cannot_be_given_back_to_make_room(
    sandboxed: Launcher, large: Question
) -> None:
    _, finding = ask(sandboxed, BUFFERS_GIVEN_BACK, large)
    assert finding is not None and finding.kind == "too_large"
    assert ask(sandboxed, BUFFERS_GIVEN_BACK, large, room=False)[1] is None


def test_a_table_of_half_the_precision_fits_and_is_too_coarse(sandboxed: Launcher, large: Question) -> None:
    reply, finding = ask(sandboxed, "DTYPE = torch.float16\n", large)
    assert reply.failure is None
    assert compare(large.case.expected, Reply(reply.output.float())).kind == "values"  # type: ignore[union-attr]
    assert finding is not None and finding.kind == "dtype"
