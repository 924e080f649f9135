"""What guarded children are given to do. They import this module, each of them: it stays light."""

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from amid.errors import AmidError
from amid.media.guard import Limits, guarded

LIMITS = Limits(seconds=0.5, memory=1 << 30)


def work(task):
    kind, value = task
    match kind:
        case "tell":
            os.write(1, b"%d\n" % os.getpid())
            ctypes.PyDLL(None).sleep(600)  # with the interpreter's lock
        case "hang":
            time.sleep(60)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(value)
        case "hungry":
            np.ones(1 << 28)  # 2 GiB
        case "torch":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "once":  # too much only as long as others work
            if not (flag := Path(value)).exists():
                flag.touch()
                os.abort()
        case "bug":
            raise ZeroDivisionError("division by zero")
        case "mistake":
            raise AmidError(value)
    return os.getpid() if kind == "pid" else value


def hang():
    """Prints the numbers of two processes and waits for them, which takes minutes."""
    list(guarded(work, [("tell", 0), ("tell", 0)], ["a", "b"], workers=2))


def length(word: str) -> int:
    return len(word)
