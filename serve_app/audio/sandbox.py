"""Decodes untrusted recordings in a restricted process, which runs `jail`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from deployments.contract.errors import InvalidInput, Overloaded, SynthesisFailed, Unavailable
from serve_app.audio.decode import LOWEST_RATE
from serve_app.audio.examine import WARNINGS
from serve_app.audio.jail import BEGUN, WALL_S
from serve_app.audio.recording import MAX_RATE, Recording

log = logging.getLogger("chorale.audio")

WORKERS = 2  # recordings decoded at once
WAITING = 16  # recordings that may wait
RETRY_AFTER_S = 2.0
START_S = 60.0  # for the jail to import its decoders on a busy machine
GRACE_S = 5.0  # to wait after a child's time limit
_LINE = 64 * 1024  # most bytes of an answer's first line


class Sandbox:
    """Decodes and examines recordings in child processes with limits. Safe to use from any thread and event loop."""

    def __init__(self, workers: int = WORKERS, waiting: int = WAITING) -> None:
        self._pool = ThreadPoolExecutor(workers, "recordings")
        self._room = threading.BoundedSemaphore(workers + waiting)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Starts the jail without waiting for it, so that it is warm for the first recording."""
        with self._lock:
            self._running()

    async def read(self, data: bytes, *, min_seconds: float, max_seconds: float, param: str) -> Recording:
        """Runs `decode_recording` and `examine`. Raises as they do, and InvalidInput where a file exceeds the limits.

        Raises Overloaded if too many recordings wait, Unavailable if no process can be started.
        """
        if not data:
            raise InvalidInput(f"Invalid '{param}': the file is empty.", param=param)
        if not self._room.acquire(blocking=False):
            message = "Too many recordings are waiting to be decoded; try again later."
            raise Overloaded(message, retry_after=RETRY_AFTER_S)
        request = {"min_seconds": min_seconds, "max_seconds": max_seconds, "param": param}
        future = self._pool.submit(self._read, data, request)
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)

    def _read(self, data: bytes, request: dict[str, Any]) -> Recording:
        for _ in range(2):
            process = None
            try:
                with self._lock:
                    process, control = self._running()
                answer = _ask(control, data, request)
                if answer is not None or process.poll() is None:
                    return _recording(answer, request["param"])
            except OSError as error:
                log.warning("the process that decodes recordings failed: %r", error)
            with self._lock:  # the jail has died, or cannot fork
                if process is self._process:
                    self._stop()
        raise Unavailable("recordings cannot be decoded at the moment")

    def _running(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Raises OSError."""
        if self._process is None or self._control is None or self._process.poll() is not None:
            self._stop()
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            # only the search paths for modules and libraries: this process's own environment may hold secrets
            environ = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
            environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "serve_app.audio.jail"],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=environ,
                    start_new_session=True,  # an interrupt at the terminal must not reach it
                )
        return self._process, self._control

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None


@cache
def shared() -> Sandbox:
    """The sandbox of this process."""
    return Sandbox()


def _ask(control: socket.socket, data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
    """The first line and the samples of the answer, None if it broke off. Raises OSError if no child read the file."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as answer:
        ours.settimeout(START_S)
        with theirs:
            socket.send_fds(control, [b"+"], [theirs.fileno()])
        if answer.read(1) != BEGUN:
            raise ConnectionError("the jail did not start a child")
        try:
            ours.settimeout(WALL_S + GRACE_S)
            ours.sendall(json.dumps({**request, "bytes": len(data)}).encode() + b"\n")
            ours.sendall(data)
            said = json.loads(answer.readline(_LINE))
            most = int(request["max_seconds"] * MAX_RATE) + MAX_RATE
            return said, answer.read(2 * min(int(said.get("samples", 0)), most))
        except (OSError, ValueError, TypeError, AttributeError):
            return None


def _recording(answer: tuple[dict[str, Any], bytes] | None, param: str) -> Recording:
    """Checks every field of the answer, because the file may have taken control of the child."""
    message = f"Invalid '{param}': decoding it exceeds the limits on memory or time, or crashes the decoder."
    broken = InvalidInput(message, param=param)
    if answer is None:
        raise broken
    said, samples = answer
    if "refused" in said:
        raise InvalidInput(str(said["refused"]), param=param, code=str(said.get("code")))
    if "fault" in said:
        log.error("a recording could not be decoded: %s", said["fault"])
        raise SynthesisFailed("the recording could not be decoded")
    try:
        if not (LOWEST_RATE <= said["rate"] <= MAX_RATE and 0 < 2 * said["samples"] == len(samples)):
            raise broken
        warnings = tuple(name for name in said["warnings"] if name in WARNINGS)
        return Recording(np.frombuffer(samples, "<i2"), said["rate"], warnings)
    except (KeyError, TypeError, ValueError):
        raise broken from None
