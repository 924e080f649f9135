"""The ray executor: jobs are tasks of a cluster, repeated on another node if one dies."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import amid
from amid.core.reproducible import PINS
from amid.errors import AmidError
from amid.executors import (
    VARIABLE,
    Call,
    Job,
    Pool,
    Result,
    WorkerLost,
    clear_stop,
    forward_result,
    need,
    request_stop,
    unknown,
)
from amid.io.processes import available_cores

LOOPBACK = "127.0.0.1"
TRIES = 5  # again, when a job's worker or node dies


def executor(value: str, environment: Mapping[str, str]) -> Ray:
    """ "ray": a cluster of this machine for the time of a pool; "ray:auto": the one that runs here;
    "ray:HOST:PORT": the one of this head, which this machine is a node of; "ray://HOST:PORT": the
    same from outside, through ray's client."""
    found = re.fullmatch(
        r"ray(?:(?P<client>://[\w.-]+:\d+)|:(?P<address>auto|[\w.-]+:\d+))?", value
    )
    if found is None:
        raise unknown(value)
    need("ray", value)
    if found["client"]:
        need("grpc", value)
    return Ray(value if found["client"] else found["address"])


class Ray:
    """address: of a cluster, None for one of this machine's own."""

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.here = address is None

    def pool(self, workers: int, *, jobs: int, gpu: bool = False, processes: int = 1) -> RayPool:
        """Of a cluster that runs already its CPUs are the limit, not `workers`."""
        cpus = min(workers or available_cores(), jobs * processes)
        return RayPool(self.address, max(cpus, processes), gpu, processes)


class RayPool(Pool):
    """One CPU a job, or one GPU. The nodes get this copy of amid, the pins of its kernels and
    nothing else: no data, no runs, no credentials."""

    def __init__(self, address: str | None, cpus: int, gpu: bool, processes: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Else ray takes away the GPUs of tasks that ask for none, and warns of it.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray
        from ray.exceptions import AuthenticationError

        given: dict[str, Any] = {}
        if address is None:
            given = {"num_cpus": cpus, "include_dashboard": False, "_node_ip_address": LOOPBACK}
        else:
            _need_token(address, os.environ)
            # times that ray tries to connect, each of which takes 41 s where nobody answers
            os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address or "local",
                runtime_env={"py_modules": [str(Path(amid.__file__).parent)], "env_vars": PINS},
                logging_level="WARNING",
                **given,
            )
        except (ConnectionError, TimeoutError, RuntimeError, AuthenticationError) as error:
            raise AmidError(
                f"{VARIABLE} asks for the ray cluster {address or 'of this machine'}, which does "
                f"not answer ({str(error).splitlines()[0]}): start it, and set RAY_AUTH_MODE and "
                "RAY_AUTH_TOKEN as it has them (docs/scale.md)."
            ) from None
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # ray's own would end a stage unsaved
        kind = "GPU" if gpu else "CPU"
        most = max((node["Resources"].get(kind, 0) for node in ray.nodes()), default=0)
        if most < processes:  # another may join: no error
            print(
                f"warning: a job needs {processes} {kind}s of one node, and no node of the cluster "
                f"has more than {most:g}: jobs wait until one joins.",
                file=sys.stderr,
            )
        needs = {"num_cpus": 0, "num_gpus": processes} if gpu else {"num_cpus": processes}
        self._task = ray.remote(_perform).options(
            **needs, max_retries=TRIES, retry_exceptions=False, scheduling_strategy="SPREAD"
        )
        self._futures: dict[Any, Future] = {}

    def submit(self, function: Callable[[Job], Result], job: Job) -> Future[Result]:
        reference = self._task.remote(Call.of(function, job))
        self._futures[reference] = forward_result(reference.future(), _translated)
        return self._futures[reference]

    def close(self) -> None:
        import ray

        wait(self._futures.values())
        ray.shutdown()

    def stop(self, grace: float) -> None:
        import ray

        until = time.monotonic() + grace
        unfinished = [ref for ref, future in self._futures.items() if not future.done()]
        try:
            for reference in unfinished:
                ray.cancel(reference)
            wait([self._futures[ref] for ref in unfinished], max(0.0, until - time.monotonic()))
        finally:  # also of a cluster that no longer answers
            ray.shutdown()  # takes the workers of this driver along


def _need_token(address: str, environment: Mapping[str, str]) -> None:
    """Raises AmidError for a cluster with tokens where ray would find none; through ray's client it
    waits for an answer until a timeout instead."""
    if environment.get("RAY_AUTH_MODE", "").lower() != "token":
        return
    file = Path(environment.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not environment.get("RAY_AUTH_TOKEN") and not file.is_file():
        raise AmidError(
            f"{VARIABLE} asks for the ray cluster {address} with RAY_AUTH_MODE=token, but there is "
            "no token: set RAY_AUTH_TOKEN to what `ray get-auth-token` prints on the head, or "
            f"save it in {file} (docs/scale.md)."
        )


def _perform(call: Call) -> Any:
    clear_stop()  # ray uses workers again
    signal.signal(signal.SIGINT, request_stop)  # which is how ray cancels a task
    return call()


def _translated(error: BaseException) -> BaseException:
    """What the job raised, or WorkerLost in place of ray's own errors."""
    from ray.exceptions import RayError, RayTaskError

    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        return error.cause
    return WorkerLost(str(error)) if isinstance(error, RayError) else error
