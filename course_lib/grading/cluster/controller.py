"""The controller's side of a cluster: send each session to a worker as one task, and hand its replies to the judge.

A task is stateless, so if its worker dies Dask gives it to another. Expected values stay here.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from course_lib.check.probe import Failure, Probe, Reply
from course_lib.check.values import ValueRefused
from course_lib.grading.cluster.messages import Answers, Batch
from course_lib.grading.cluster.worker import answer, course_here, examine
from course_lib.grading.launcher import Cells, RunnerFault
from course_lib.grading.limits import Limits
from course_lib.grading.sandbox import SandboxMissing
from course_lib.grading.session import Budget, Session

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10
WORKER_SECONDS = 60.0
"""How long a cluster without any worker is waited for."""
POLL_SECONDS = 0.5
LOOK_SECONDS = 5.0
UNFIT_RETRIES = 3
QUEUED = 2
"""Submissions for each thread of the workers: one is run while another is judged here."""


class ClusterFault(RunnerFault):
    """There is no cluster to grade on, or not any more; the message says what to do."""


class Cluster:
    """The workers of a Dask scheduler, to grade on; the counterpart of :class:`course_lib.grading.sandbox.Warming`.

    Args:
        address: of the scheduler, such as ``tcp://node1:8786``; ``tls://`` with Dask's security settings.
        unsafe_local: workers run students' code without a sandbox; each result says so.
    """

    def __init__(self, address: str, *, unsafe_local: bool = False) -> None:
        self.address, self.unsafe_local = address, unsafe_local
        self._client: Client | None = None
        self._launcher: ClusterLauncher | None = None

    def start(self) -> None:
        """Nothing: the workers are there already."""

    def try_out(self) -> None:
        """Nothing: a worker without the sandbox refuses what it is given."""

    def at_once(self) -> int:
        """How many submissions keep the workers busy.

        Raises:
            ClusterFault: there is no scheduler, or no worker.
        """
        client = self._connected()
        with self._still_there():
            workers = client.scheduler_info()["workers"].values()
        return max(1, QUEUED * sum(int(worker["nthreads"]) for worker in workers))

    def launcher(self) -> ClusterLauncher:
        """Runs sessions on the workers; each worker has been tried out.

        Raises:
            ClusterFault: there is no scheduler, or no worker.
            SandboxMissing: a worker must not grade; the message names it.
        """
        if self._launcher is None:
            client = self._connected()
            with self._still_there():
                found = client.run(examine, course_here(), official=not self.unsafe_local, on_error="return")
            unfit = {name: str(why) for name, why in found.items() if why}
            if unfit:
                name, why = next(iter(unfit.items()))
                more = f" ({len(unfit)} of {len(found)} workers are unfit)" if len(found) > 1 else ""
                raise SandboxMissing(f"the worker {name} must not grade{more}: {why.rstrip('.')}. Mend it or stop it")
            self._launcher = ClusterLauncher(client, self.address, official=not self.unsafe_local)
        return self._launcher

    def close(self) -> None:
        """Leave the cluster; its workers stay."""
        if self._launcher is not None:
            self._launcher.close()
        elif self._client is not None:
            self._client.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _still_there(self) -> Iterator[None]:
        """Whatever Dask says of a connection that has gone, in the course's words."""
        try:
            yield
        except Exception as error:
            raise ClusterFault(f"the scheduler at {self.address} does not answer any more: {error}") from error

    def _connected(self) -> Client:
        if self._client is None:
            from distributed import Client

            for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
                logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said by this command
            try:
                self._client = Client(self.address, timeout=CONNECT_SECONDS, set_as_default=False, name="course")
            except (OSError, ValueError) as error:
                raise ClusterFault(
                    f"no scheduler answers at {self.address} ({error}); start one with `dask scheduler`, or look at "
                    "the address, the firewall and the certificates"
                ) from error
            try:
                self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
            except TimeoutError as error:
                raise ClusterFault(
                    f"no worker has joined the scheduler at {self.address} within {WORKER_SECONDS:g} s; start some "
                    f"with `dask worker {self.address}`"
                ) from error
        return self._client


class ClusterLauncher:
    """Runs sessions on the workers of a cluster, as a :class:`course_lib.grading.launcher.Launcher` does here."""

    def __init__(self, client: Client, address: str, *, official: bool) -> None:
        self.name = "sandbox" if official else "unsafe-local"
        self._client, self._address, self._official = client, address, official
        self._executor = client.get_executor(pure=False)
        self._looking = threading.Lock()
        self._looked = self._seen = time.monotonic()
        self._unfit: set[str] = set()
        self._over = ""

    def session(
        self,
        cells: Cells,
        *,
        limits: Limits,
        budget: Budget,
        seed: int = 0,
        asked: Sequence[Sequence[Probe]] = (),
    ) -> Session:
        """Run the cells on a worker and put all probes there; the session then has the replies.

        Raises:
            ClusterFault: the cluster has gone.
            RunnerFault: the worker could not run them.
        """
        batch = Batch(
            cells=[(name, source) for name, source in cells],
            asked=asked,
            limits=limits,
            budget=budget.seconds,
            spent=float(budget.spent),
            limits_hit=budget.limits_hit,
            seed=seed,
            official=self._official,
            course=course_here(),
        )
        answers = self._answers(batch)
        budget.spent = answers.spent
        budget.limits_hit[:] = answers.limits_hit
        return Answered(asked, answers)

    def close(self) -> None:
        """Leave the cluster; whoever waits for a reply gets none."""
        if not self._over:
            self._over = "grading was stopped"
        self._client.close(timeout=2)

    def _answers(self, batch: Batch) -> Answers:
        message = batch.to_bytes()
        why = ""
        for _ in range(UNFIT_RETRIES):
            try:
                answers = Answers.from_bytes(self._result(self._submit(message)), batch=batch)
            except ValueRefused as error:
                raise RunnerFault(f"a worker sent {error}") from error
            if answers.fault:
                raise RunnerFault(f"the worker {answers.worker} failed: {answers.fault}")
            if not answers.unfit:
                return answers
            self._unfit.add(answers.worker)
            why = f"the worker {answers.worker}, which joined later, must not grade: {answers.unfit}"
        raise RunnerFault(why)

    def _submit(self, message: bytes) -> Future[Any]:
        if self._over:
            raise ClusterFault(self._over)
        options: dict[str, Any] = {}
        try:
            if self._unfit:
                fit = set(self._client.scheduler_info()["workers"]) - self._unfit
                options = {"workers": sorted(fit), "allow_other_workers": True} if fit else {}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sending large graph")
                return self._executor.submit(answer, message, **options)
        except Exception as error:  # whatever Dask says of a connection that has gone
            raise self._lost(error) from error

    def _result(self, future: Future[Any]) -> object:
        while True:
            try:
                return future.result(timeout=POLL_SECONDS)
            except CancelledError as error:
                raise self._lost(error) from error
            except TimeoutError as error:
                if future.done():
                    raise RunnerFault(f"a worker failed: {error}") from error
            except Exception as error:
                raise RunnerFault(f"a worker failed: {type(error).__name__}: {error}") from error
            if self._over:
                raise ClusterFault(self._over)
            self._look()

    def _look(self) -> None:
        """See now and then whether there is still a scheduler, and any worker.

        Raises:
            ClusterFault: there is not.
        """
        if self._client.status != "running":
            raise self._lost(None)
        if not self._looking.acquire(blocking=False):
            return
        try:
            now = time.monotonic()
            if now < self._looked + LOOK_SECONDS:
                return
            self._looked = now
            try:
                if self._client.scheduler_info()["workers"]:
                    self._seen = now
            except Exception as error:  # whatever Dask says of a connection that has gone
                raise self._lost(error) from error
            if now > self._seen + WORKER_SECONDS:
                self._over = f"no worker is left at {self._address}; start some with `dask worker {self._address}`"
                raise ClusterFault(self._over)
        finally:
            self._looking.release()

    def _lost(self, error: BaseException | None) -> ClusterFault:
        """The connection has gone; nothing more is sent, since whoever answers may know nothing of what was asked."""
        if not self._over:
            detail = f" ({error})" if error is not None and str(error) else ""
            self._over = f"the scheduler at {self._address} has gone or was started again{detail}"
        return ClusterFault(self._over)


class Answered:
    """A session that is over: it has the replies to what was asked, in that order."""

    def __init__(self, asked: Sequence[Sequence[Probe]], answers: Answers) -> None:
        self.errors: dict[str, Failure] = dict(answers.errors)
        self._left: Iterator[tuple[Probe, Reply]] = iter(
            [
                pair
                for probes, replies in zip(asked, answers.replies, strict=True)
                for pair in zip(probes, replies, strict=False)
            ]
        )

    def ask(self, probe: Probe) -> Reply:
        """The reply to a probe; they must be asked for in the order in which they were put.

        Raises:
            RunnerFault: it was not put.
        """
        asked, reply = next(self._left, (None, Reply()))
        if asked is not probe:
            raise RunnerFault("a question that was not sent to the worker; this is a fault of the course")
        return reply

    def close(self) -> None:
        """Nothing is left to end."""
