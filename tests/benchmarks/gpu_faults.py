"""Failing steps for test_gpu.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time


def works(said: str) -> dict:
    return {"said": said, "checks": {"it works": True}}


def is_wrong() -> dict:
    return {"value": 1, "checks": {"one is two": False}}


def raises() -> dict:
    raise ValueError("no such card")


def hangs(file: str) -> dict:
    """Hangs with a child process, whose id it writes to `file`."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(file, "w") as out:
        out.write(str(child.pid))
    print("waiting for the card", flush=True)
    time.sleep(600)
    return {}


def dies() -> dict:
    print("out of memory", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}
