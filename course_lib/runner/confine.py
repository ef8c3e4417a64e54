"""What separates a slot from everything else.

The server stands in a user namespace of its own, so that it may give each slot its own namespaces.
The slot, freshly forked, applies the rest to itself: fresh file systems, a user namespace in which its
processes are counted, limits, no privileges and no way to gain any, and a filter of system calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyseccomp

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWCGROUP = 0x40000000, 0x04000000, 0x02000000
NAMESPACES = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 24, 38, 47
CAPABILITY_VERSION = 0x20080522
LAST_CAPABILITY = 63

HOME = "/home/student"
STUDENT = 1000

FORBIDDEN = (  # noqa: SIM905 - a list of sixty strings would hide what belongs together
    # other processes
    "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_open pidfd_getfd pidfd_send_signal "
    # mounts and namespaces
    "mount umount2 pivot_root chroot move_mount open_tree fsopen fsmount fsconfig fspick mount_setattr unshare setns "
    # the kernel's own machinery
    "keyctl add_key request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register "
    "kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff acct quotactl syslog "
    "open_by_handle_at name_to_handle_at iopl ioperm modify_ldt lookup_dcookie personality vhangup "
    # networks, and memory that no process is charged for; a socketpair is all that a notebook needs
    "socket memfd_create memfd_secret shmget msgget mq_open"
).split()


class ConfineError(OSError):
    """A protection that could not be put in place; the slot must not run."""


def own_user_namespace(*, inside: int) -> None:
    """Enter a new user namespace in which this process, until it gives them up, has all privileges."""
    user, group = os.getuid(), os.getgid()
    _check(libc.unshare(CLONE_NEWUSER), "a user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {group} 1")


def own_process_namespace() -> None:
    """Continue as the first process of a namespace that belongs to this process's user namespace.

    Only then may it give its children process namespaces again and again. The process that was there
    before waits and ends as this one ends.
    """
    _check(libc.unshare(CLONE_NEWPID | CLONE_NEWNS), "process and mount namespaces")
    pid = os.fork()
    if pid != 0:
        _, status = os.waitpid(pid, 0)
        os._exit(min(abs(os.waitstatus_to_exitcode(status)), 255))
    _check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    _mount("proc", "/proc", "")


@contextlib.contextmanager
def next_child_first_of_its_own() -> Iterator[None]:
    """A child forked inside is the first process of a new process namespace: when it ends, all in it end."""
    here = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(libc.unshare(CLONE_NEWPID), "a process namespace")
        try:
            yield
        finally:
            _check(libc.setns(here, CLONE_NEWPID), "the process namespace that was left")
    finally:
        os.close(here)


def enter_namespaces() -> None:
    """Leave the server's mounts, shared memory, network and host name."""
    _check(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS), "new namespaces")


def mount_private_places(*, scratch_bytes: int) -> None:
    """Empty /tmp, /dev/shm and home of a limited size, and a /proc that shows this slot only."""
    _check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    for place, mode in (("/tmp", "1777"), ("/dev/shm", "1777"), (HOME, "0700")):
        options = f"size={scratch_bytes},nr_inodes=20000,mode={mode}"
        _mount("tmpfs", place, options)
    _mount("proc", "/proc", "subset=pid,hidepid=2")
    os.chdir(HOME)


def give_up_privileges() -> None:
    """No capability, and no way to gain one."""
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    _check(libc.prctl(PR_CAP_AMBIENT, 4, 0, 0, 0), "no ambient capabilities")
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # beyond the kernel's last one it fails, rightly
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()), "no capabilities")


def limit_resources(limits: Mapping[str, int], *, own_processes: bool) -> None:
    """The kernel's limits for this process and its children.

    Args:
        limits: the fields of :class:`course_lib.grading.limits.Limits`.
        own_processes: whether the number of processes is counted for this slot alone; otherwise it
            would count everything that the user runs.
    """
    data = data_size() + limits["memory_bytes"]
    values = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_DATA: data,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if own_processes:
        values[resource.RLIMIT_NPROC] = limits["processes"]
    for kind, value in values.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_seconds"], limits["cpu_seconds"] + 1))


def call_filter() -> pyseccomp.SyscallFilter:
    """The filter of system calls, to be loaded by a slot. What it forbids fails with EPERM."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in FORBIDDEN:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    # the flags of clone can be looked at; those of clone3 cannot, and the C library does without it
    for flag in (1 << bit for bit in range(32) if NAMESPACES & 1 << bit):
        rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, "clone3") >= 0:
        rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    return rules


def _mount(kind: str, place: str, options: str) -> None:
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    _check(libc.mount(kind.encode(), place.encode(), kind.encode(), flags, options.encode()), f"a private {place}")


def data_size() -> int:
    """Bytes of private writable memory that this process has mapped, as RLIMIT_DATA counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmData:"))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise ConfineError(number, f"{what}: {os.strerror(number)}")
