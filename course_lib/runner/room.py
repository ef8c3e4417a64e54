"""Hold a slot to a given amount of new memory, so that the kernel says whether an answer needs more.

A process knows how much it holds, and a student's code could make it say anything. So nothing is asked: the
slot is given room for so many bytes, for good, before it sees the submission, and what needs more fails.

RLIMIT_DATA counts the private writable memory that a process has mapped, touched or not. The rest here keeps
it from growing past that: what the process could already use or give back does not become room
(:func:`fence_free_memory`, :func:`seal`), and :func:`call_filter` shuts off the kinds of memory that
are not counted, and other programs, which begin with less. Children and threads inherit all of it. A child has
as much room again, but no process can hold at one time what does not fit.
"""

from __future__ import annotations

import ctypes
import errno
import resource
from pathlib import Path

import pyseccomp

from course_lib.runner import confine

KIB, MIB = 1 << 10, 1 << 20
LARGEST_FENCE, SMALLEST_FENCE = 1 << 30, 64 * KIB
MAPPED_APART = 4 * KIB
THREAD_STACK = 512 * KIB
MAIN_STACK = 8 * MIB

M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -2, -3, -4, -8
DEFAULT_MMAP_MAX = 65_536
PROT_NONE = 0
MAP_SHARED, MAP_GROWSDOWN = 0x01, 0x100
MSEAL = 462  # since Linux 6.10, under the same number everywhere
ATTRIBUTES = 128  # bytes, more than any C library's pthread_attr_t


def hold(room_bytes: int) -> None:
    """Give this process room for so many bytes beside what it holds now; it can never have more."""
    fence_free_memory()
    _small_thread_stacks()
    _limit(resource.RLIMIT_STACK, MAIN_STACK)
    _limit(resource.RLIMIT_DATA, confine.data_size() + room_bytes)
    seal()


def fence_free_memory() -> None:
    """Take what lies free in the heap out of use, so that an array of 64 KiB or more has to be new memory.

    The warm server has tens of MiB there. From now on each array of 4 KiB or more is mapped apart: in the heap,
    where aligned blocks leave gaps that the next ones miss by a little, many small arrays would use up the room.
    """
    libc = confine.libc
    page = resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    libc.malloc.restype = ctypes.c_void_p
    libc.mallopt(M_ARENA_MAX, 1)
    libc.mallopt(M_MMAP_MAX, 0)
    resource.setrlimit(resource.RLIMIT_DATA, (confine.data_size(), before[1]))
    size, blocks = LARGEST_FENCE, []
    while size >= SMALLEST_FENCE:
        if (start := libc.malloc(ctypes.c_size_t(size))) is None:
            size //= 2
        else:
            blocks.append((-(-start // page) * page, (start + size) // page * page))
    for start, end in blocks:  # memory that may not be written does not count, and counts again if ever it may
        libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(end - start), PROT_NONE)
    resource.setrlimit(resource.RLIMIT_DATA, before)
    libc.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
    libc.mallopt(M_MMAP_THRESHOLD, MAPPED_APART)
    libc.mallopt(M_TOP_PAD, SMALLEST_FENCE)


def seal() -> bool:
    """Make what is mapped now stay mapped, where the kernel can: it could be given back to make room.

    Returns:
        Whether the kernel can.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if fields[1] == "rw-p" and fields[-1] != "[stack]":
            start, end = (int(text, 16) for text in fields[0].split("-"))
            failed = confine.libc.syscall(MSEAL, ctypes.c_void_p(start), ctypes.c_size_t(end - start), 0)
            if failed and ctypes.get_errno() == errno.ENOSYS:
                return False
    return True


def call_filter() -> pyseccomp.SyscallFilter:
    """The filter of system calls of a slot that is held to some room."""
    rules = confine.call_filter()
    for name in ("execve", "execveat", "remap_file_pages", "shmat"):
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    for flag in (MAP_SHARED, MAP_GROWSDOWN):  # neither counts as data
        rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "mmap", pyseccomp.Arg(3, pyseccomp.MASKED_EQ, flag, flag))
    return rules


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _small_thread_stacks() -> None:
    """A thread's stack counts whole; the usual 8 MiB would leave no room for an answer that starts a few."""
    attributes = ctypes.create_string_buffer(ATTRIBUTES)
    confine.libc.pthread_attr_init(attributes)
    confine.libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(THREAD_STACK))
    confine.libc.pthread_setattr_default_np(attributes)
