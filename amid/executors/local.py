"""The local executor: a pool of persistent single-thread workers on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from amid.executors import Job, Pool, Result, WorkerLost, forward_result, request_stop, unknown
from amid.io.processes import available_cores, die_with_parent

# A forked worker has torch imported already (3 s of a core for each). Elsewhere than on Linux
# system libraries do not stand it.
START_METHOD = "fork" if sys.platform == "linux" else "spawn"
LOCK_SECONDS = 0.2  # that the pool gets to take no more jobs before its workers are told to stop


def executor(value: str, environment: Mapping[str, str]) -> Local:
    if value != "local":
        raise unknown(value)
    return Local()


class Local:
    """One process a core, or a single one on a GPU.

    Jobs that are less than two a core get a process each: sharing the cores, three jobs on two of
    them take as long as one and a half, where the third would leave a core idle until it ends.
    """

    here = True

    def pool(self, workers: int, *, jobs: int, gpu: bool = False, processes: int = 1) -> LocalPool:
        usual = 1 if gpu else max(available_cores() // processes, 1)
        if not gpu and jobs < 2 * usual:
            usual = jobs
        return LocalPool(min(workers or usual, jobs))


class LocalPool(Pool):
    """Workers start with the first job. The caller must not have started threads by then: a fork
    copies one thread, and the locks that the others hold."""

    def __init__(self, workers: int) -> None:
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context(START_METHOD),
            initializer=_start_worker,
            initargs=(os.getpid(), sys.path),
        )

    def submit(self, function: Callable[[Job], Result], job: Job) -> Future[Result]:
        return forward_result(self._pool.submit(function, job), _translated)

    def close(self) -> None:
        left = workers = self._processes()
        ending = self._shut_down()
        while left:
            connection.wait([worker.sentinel for worker in left])
            left = [worker for worker in left if worker.is_alive()]
            if any(worker.exitcode for worker in workers if worker not in left):
                # The others may wait for ever for a lock that the one that was killed held.
                for worker in left:
                    worker.kill()
        ending.join()

    def stop(self, grace: float) -> None:
        alive = self._processes()
        ending = self._shut_down(cancel_futures=True)
        if grace:
            for process in alive:
                process.terminate()
            until = time.monotonic() + grace
            for process in alive:
                process.join(max(0.0, until - time.monotonic()))
        for process in alive:  # not at the end of their jobs: now
            process.kill()
        ending.join()

    def _shut_down(self, *, cancel_futures: bool = False) -> threading.Thread:
        """Begins to shut the pool down; the thread that does so ends after the workers, at latest.

        From Python 3.12 on, when a worker was killed, the pool holds the lock that this needs until
        the others have ended. They may never do so by themselves: to them SIGTERM is a request to
        save a run, and the one that was killed may have held the lock on their queue.
        """
        options = {"wait": False, "cancel_futures": cancel_futures}
        thread = threading.Thread(target=self._pool.shutdown, kwargs=options, daemon=True)
        thread.start()
        thread.join(LOCK_SECONDS)
        return thread

    def _processes(self) -> list[BaseProcess]:
        return list((self._pool._processes or {}).values())


def _translated(error: BaseException) -> BaseException:
    return WorkerLost() if isinstance(error, BrokenProcessPool) else error


def _start_worker(parent: int, path: list[str]) -> None:
    """Prepares a worker, which is killed when its stage is killed."""
    sys.path[:] = path
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's to handle
    signal.signal(signal.SIGTERM, request_stop)
    import amid.core.reproducible  # noqa: F401  pins the kernels before torch is imported
