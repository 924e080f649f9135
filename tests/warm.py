"""Stages that start fast: for tests that run dozens of them, each of which would import torch and
MLflow for seconds, which says nothing about them.

`started` gives a folder with a `python` in it, one for all workers of a session. As
`python -m stages.NAME ...` that is a fork of a process which has imported what is not the
project's; the stage's own modules are imported by the fork, from the folder or the PYTHONPATH that
it is called with. Any other words go to this Python.
Processes of their own from beginning to end are the stages of the campaigns, of one of the
reproducibility gate's two clones, and of all tests that do not name this.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import psutil

IMPORTS = (
    "cv2 matplotlib.pyplot networkx pandas psutil pyarrow.dataset pydantic ruamel.yaml safetensors",
    "scipy.stats soundfile torch torch._dynamo tqdm",
    "mlflow mlflow.store.tracking.sqlalchemy_store",
)
CLIENT = """#!{python} -SE
import json, os, signal, socket, sys
words = sys.argv[1:]
if words[:1] != ["-m"] or not words[1:2] or not words[1].startswith("stages."):
    os.execv({python!r}, [{python!r}, *words])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
job = json.dumps([os.getcwd(), dict(os.environ), words[1:]]).encode()
socket.send_fds(server, [len(job).to_bytes(8, "big")], [0, 1, 2])
server.sendall(job)
answers = server.makefile("r")
stage = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(stage, number))
code = int(answers.readline() or -9)
sys.exit(code if code >= 0 else 128 - code)
"""


_running: list[Path] = []


def python() -> str:
    """The fast `python` of a test that uses the fixture `warm`, else this Python."""
    return str(_running[-1] / "python") if _running else sys.executable


@contextlib.contextmanager
def started() -> Iterator[Path]:
    """A folder to be the first of a PATH; its `python` works until the session ends."""
    from amid.tracking.client import silence_mlflow  # not for the process that has nothing of amid
    from tests.once import once

    silence_mlflow()  # which would start a thread when it is imported
    _running.append(once("warm", _start, of_copies=True) / "bin")
    try:
        yield _running[-1]
    finally:
        _running.clear()


def _start(folder: Path) -> None:
    """The server, which lives as long as the session, and its program in folder/bin."""
    from tests.once import leader

    folder.mkdir()
    address, said = folder.with_name("socket"), folder.with_name("warm.log")
    with said.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, __file__, str(address), str(leader())],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while not address.exists():
        assert server.poll() is None, said.read_text()
        time.sleep(0.05)
    program = folder / "bin" / "python"
    program.parent.mkdir()
    program.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)


def serve(address: str, leader: int) -> list[str]:
    """Forks for each caller, until the session's folder or its leader is gone. Returns in the
    process that is to be a stage, with its words."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{address}.new")
    listening.listen()
    os.rename(f"{address}.new", address)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for a stage
    listening.settimeout(1.0)
    while True:
        try:
            caller, _ = listening.accept()
        except TimeoutError:
            if os.path.exists(address) and psutil.pid_exists(leader):
                continue
            os._exit(0)
        caller.setblocking(True)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            head, streams, *_ = socket.recv_fds(caller, 8, 3)
            with caller.makefile("rb") as file:
                folder, environment, words = json.loads(file.read(int.from_bytes(head, "big")))
            stage = os.fork()
            if stage == 0:
                caller.close()
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                    os.close(stream)
                os.chdir(folder)
                os.environ.clear()
                os.environ.update(environment)
                time.tzset()
                return words
            caller.sendall(f"{stage}\n".encode())
            code = os.waitstatus_to_exitcode(os.waitpid(stage, 0)[1])
            with contextlib.suppress(OSError):  # who called may have been killed
                caller.sendall(f"{code}\n".encode())
            os._exit(0)
        caller.close()


def main(address: str, leader: int) -> None:
    for modules in IMPORTS:
        for module in modules.split():
            __import__(module)
    gc.collect()
    gc.freeze()  # a fork's collector would touch, and so copy, all that was imported
    module, *words = serve(address, leader)
    below = os.environ.get("PYTHONPATH", "")
    sys.path[:1] = [os.getcwd(), *filter(None, below.split(os.pathsep))]
    sys.argv = [module, *words]
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    # As Python ends, but for taking apart what was imported.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
