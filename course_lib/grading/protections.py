"""What the sandbox keeps students' code from on this machine, tried out.

:func:`protections` does not ask what the machine has: it puts a hostile notebook into the sandbox and
looks at what it could do. Each attempt is harmless where it succeeds, since it may run where there are
no walls, as root: it asks whether it might write instead of writing, mounts what cannot be mounted.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from course_lib.check.probe import Probe, Reply
from course_lib.grading.launcher import Launcher, RunnerFault
from course_lib.grading.limits import MIB, Limits
from course_lib.grading.places import ROOT
from course_lib.grading.sandbox import INSTALL, SandboxMissing, sandboxed
from course_lib.grading.session import Budget, Session

ALLOW = (
    "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, on Ubuntu 24.04 also an AppArmor profile for "
    "bwrap; in a container, run it with the right to make namespaces"
)
REPORT = "this should not happen where the sandbox starts; do not grade here, and report it"


@dataclass(frozen=True)
class Protection:
    """One protection: whether it holds here, what was seen, and what to do where it does not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def protections(launcher: Launcher | None = None) -> list[Protection]:
    """Try each protection of the sandbox.

    Args:
        launcher: the one to try; a fresh one where none is given.
    """
    try:
        tried = launcher or sandboxed()
    except SandboxMissing as error:
        return [Protection("sandbox", False, str(error), INSTALL)]
    try:
        return [Protection("sandbox", True, "it starts"), *_attack(tried)]
    except RunnerFault as error:
        return [Protection("sandbox", False, str(error)[:500], ALLOW)]
    finally:
        if launcher is None:
            tried.close()


def _attack(launcher: Launcher) -> list[Protection]:
    """All attacks side by side, each kind in a session of its own."""
    limits = replace(Limits(), memory_bytes=300 * MIB)
    budget = Budget(120.0)

    @contextmanager
    def open_session() -> Iterator[Session]:
        session = launcher.session([("attacks", ATTACKS)], limits=limits, budget=budget)
        try:
            yield session
        finally:
            session.close()

    def attempts() -> list[Protection]:
        with open_session() as session:
            return [_try(session, name, target, args) for name, target, args in _attempts()]

    def neighbours() -> list[Protection]:
        with open_session() as session, open_session() as neighbour:
            name = f"course-doctor-{secrets.token_hex(8)}"
            session.ask(Probe(target="leave_traces", args=(name,)))
            seen = neighbour.ask(Probe(target="find_traces", args=(name,)))
            session.ask(Probe(target="remove_traces", args=(name,)))
            return [_protection("slots are apart", seen)]

    def limit(name: str, target: str, kinds: set[str]) -> list[Protection]:
        with open_session() as session:
            return [_limit(name, session, target, kinds)]

    def room() -> list[Protection]:
        with open_session() as session:
            return [_protection("limit on room", session.ask(Probe(target="outgrow_room", room_bytes=32 * MIB)))]

    with ThreadPoolExecutor() as pool:
        groups = [
            pool.submit(attempts),
            pool.submit(neighbours),
            pool.submit(limit, "memory", "fill_memory", {"memory"}),
            pool.submit(limit, "processes", "fork_for_ever", {"died", "raised"}),
            pool.submit(limit, "wall time", "hang", {"timeout"}),
            pool.submit(room),
        ]
        return [protection for group in groups for protection in group.result()]


def _attempts() -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        ("no network", "reach_network", ()),
        ("no reference code", "import_reference", ()),
        ("no sight of this machine's files", "read_files", (str(ROOT), str(Path.home()), "/etc/passwd", "/root")),
        ("nothing can be written but private places", "write_files", (sys.prefix, sys.base_prefix)),
        ("no other processes", "see_processes", (str(os.getpid()),)),
        ("no privileges", "have_privileges", ()),
        ("system calls are filtered", "call_kernel", ()),
    ]


def _try(session: Session, name: str, target: str, args: tuple[str, ...]) -> Protection:
    return _protection(name, session.ask(Probe(target=target, args=args)))


def _protection(name: str, reply: Reply) -> Protection:
    """An attack returns the list of what it managed to do."""
    if reply.failure is not None:
        return Protection(name, False, f"it could not be tried: {reply.failure.message}", REPORT)
    done = [str(item) for item in reply.output] if isinstance(reply.output, list) else ["an answer that is no list"]
    return Protection(name, not done, "; ".join(done)[:300] or "tried, and refused", REPORT if done else "")


def _limit(name: str, session: Session, target: str, kinds: set[str]) -> Protection:
    reply = session.ask(Probe(target=target, seconds=0.5 if "timeout" in kinds else 20.0))
    stopped = reply.failure is not None and reply.failure.kind in kinds
    detail = "it was not stopped" if reply.failure is None else f"stopped: {reply.failure.message}"
    return Protection(f"limit on {name}", stopped, detail, "" if stopped else REPORT)


ATTACKS = """
import ctypes, errno, importlib, mmap, os, resource, signal, socket, subprocess, time

def managed(attempts):
    done = []
    for what, attempt in attempts:
        try:
            result = attempt()
        except BaseException:
            continue
        if result is not False:
            done.append(what)
    return done

def reach_network():
    families = ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK")
    kinds = [(f, k) for f in families if hasattr(socket, f) for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
    opened = [(f"opened {f}", lambda f=f, k=k: socket.socket(getattr(socket, f), k).close()) for f, k in kinds]
    return managed([*opened, ("found a host", lambda: socket.getaddrinfo("example.org", 80))])

def import_reference():
    names = ("models", "grading", "grading.specs", "cli", "models.attention")
    return managed([(f"imported {n}", lambda n=n: importlib.import_module("course_lib." + n) and None) for n in names])

def read_files(*places):
    return managed([(f"found {place}", lambda place=place: seen(place)) for place in places])

def seen(place):
    if os.path.isfile(place):
        return True
    for at, folders, files in os.walk(place):
        if is_python(at):
            folders.clear()
        elif files:
            return True
    return False

def is_python(at):
    import sys
    return any(at.startswith(p) for p in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)))

def write_files(*places):
    import torch, course_lib
    folders = ["/", "/usr", "/dev", "/home", "/course", "/var", "/run", "/etc", *places]
    folders += [os.path.dirname(torch.__file__), *course_lib.__path__]
    return [f"may write into {folder}" for folder in folders if os.access(folder, os.W_OK)]

def see_processes(pid):
    others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    found = [f"saw process {name}" for name in others]
    return found + managed([(f"signalled {pid}", lambda: os.kill(int(pid), 0))])

def have_privileges():
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16, "CapBnd": "0" * 16}
    found = [f"{name} is {status[name].strip()}" for name, value in wanted.items() if status[name].strip() != value]
    return found + managed([("became root", lambda: os.setuid(0))])

def call_kernel():
    libc = ctypes.CDLL(None, use_errno=True)
    calls = {
        "unshare": (0,),
        "ptrace": (9999, 0, 0, 0),
        "chroot": (b"/",),
        "mount": (b"none", b"/nowhere", b"nothing", 0, None),
        "setns": (-1, 0),
        "memfd_create": (b"canary", 0),
    }
    done = []
    for name, args in calls.items():
        ctypes.set_errno(0)
        if getattr(libc, name)(*args) >= 0 or ctypes.get_errno() != errno.EPERM:
            done.append(f"the kernel answered {name}")
    return done

PLACES = ("/tmp", "/dev/shm", os.path.expanduser("~"))

def leave_traces(name):
    return [os.close(os.open(os.path.join(p, name), os.O_CREAT | os.O_EXCL, 0o600)) for p in PLACES]

def find_traces(name):
    return [f"found a neighbour's file in {p}" for p in PLACES if os.path.exists(os.path.join(p, name))]

def remove_traces(name):
    return [os.unlink(os.path.join(p, name)) for p in PLACES]

def fill_memory():
    kept = []
    while True:
        part = mmap.mmap(-1, 16 << 20)
        part.write(b"x" * (16 << 20))
        kept.append(part)

def outgrow_room():
    def lift():
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return managed([
        ("held 64 MiB", lambda: len(bytearray(64 << 20))),
        ("shared 64 MiB", lambda: mmap.mmap(-1, 64 << 20).close()),
        ("lifted the limit", lift),
        ("ran another program", lambda: subprocess.run(["/bin/sh", "-c", ":"]) and None),
    ])

def fork_for_ever():
    children = 0
    for _ in range(500):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        children += 1
    return children

def hang():
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    while True:
        pass
"""
