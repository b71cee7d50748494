"""Reads untrusted files in a restricted process, which runs `jail`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from deployments.contract.errors import InvalidInput, Overloaded, SynthesisFailed, Unavailable
from serve_app.sandbox.jail import BEGUN

log = logging.getLogger("chorale.sandbox")

RETRY_AFTER_S = 2.0
START_S = 60.0  # for the jail to import its readers on a busy machine
GRACE_S = 5.0  # to wait after a child's time limit
_LINE = 64 * 1024  # most bytes of an answer's first line

Answer = tuple[dict[str, Any], bytes]


class JailedProcess:
    """Reads files in child processes with limits. Safe to use from any thread and event loop.

    module: calls `jail.serve`; kind: what the files are, for messages; wall_s: the jail's; workers: files read at once;
    waiting: files that may wait.
    """

    def __init__(self, module: str, kind: str, wall_s: float, workers: int, waiting: int) -> None:
        self._module, self._kind, self._wall_s = module, kind, wall_s
        self._pool = ThreadPoolExecutor(workers, f"{kind}s")
        self._room = threading.BoundedSemaphore(workers + waiting)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Starts the jail without waiting for it, so that it is warm for the first file."""
        with self._lock:
            self._running()

    async def ask(self, data: bytes, request: Mapping[str, Any], most: int) -> Answer:
        """The child's answer, of which nothing is checked: the file may have taken control of the child.

        request: "param" and what `Jail.answer` needs; most: bytes that may follow the answer's fields.

        Raises InvalidInput if the child refuses the file or exceeds its limits, Overloaded if too many files wait,
        Unavailable if no process can be started, SynthesisFailed for a fault of the reader.
        """
        future = self._submitted(data, request, most)
        return self._checked(await asyncio.wrap_future(future), request["param"])

    def ask_blocking(self, data: bytes, request: Mapping[str, Any], most: int) -> Answer:
        """As `ask`, for a thread without an event loop."""
        return self._checked(self._submitted(data, request, most).result(), request["param"])

    def _submitted(self, data: bytes, request: Mapping[str, Any], most: int) -> Future[Answer | None]:
        if not self._room.acquire(blocking=False):
            message = f"Too many {self._kind}s are waiting to be read; try again later."
            raise Overloaded(message, retry_after=RETRY_AFTER_S)
        future = self._pool.submit(self._read, data, request, most)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _read(self, data: bytes, request: Mapping[str, Any], most: int) -> Answer | None:
        for _ in range(2):
            process = None
            try:
                with self._lock:
                    process, control = self._running()
                answer = _ask(control, data, request, most, self._wall_s + GRACE_S)
                if answer is not None or process.poll() is None:
                    return answer
            except OSError as error:
                log.warning("the process that reads %ss failed: %r", self._kind, error)
            with self._lock:  # the jail has died, or cannot fork
                if process is self._process:
                    self._stop()
        raise Unavailable(f"{self._kind}s cannot be read at the moment")

    def _checked(self, answer: Answer | None, param: str) -> Answer:
        if answer is None:
            raise broken(param)
        said, _ = answer
        if "refused" in said:
            raise InvalidInput(str(said["refused"]), param=param, code=str(said.get("code")))
        if "fault" in said:
            log.error("a %s could not be read: %s", self._kind, said["fault"])
            raise SynthesisFailed(f"the {self._kind} could not be read")
        return answer

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
                    [sys.executable, "-P", "-m", self._module],
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


def broken(param: str) -> InvalidInput:
    """The error for a file whose child fails, or whose answer is malformed."""
    message = f"Invalid '{param}': reading it exceeds the limits on memory or time, or crashes its decoder."
    return InvalidInput(message, param=param)


def _ask(
    control: socket.socket, data: bytes, request: Mapping[str, Any], most: int, seconds: float
) -> Answer | None:
    """The answer, None if it broke off. Raises OSError if no child read the file."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as answer:
        ours.settimeout(START_S)
        with theirs:
            socket.send_fds(control, [b"+"], [theirs.fileno()])
        if answer.read(1) != BEGUN:
            raise ConnectionError("the jail did not start a child")
        try:
            ours.settimeout(seconds)
            ours.sendall(json.dumps({**request, "bytes": len(data)}).encode() + b"\n")
            ours.sendall(data)
            said = json.loads(answer.readline(_LINE))
            size = int(said["bytes"])
            following = answer.read(size) if 0 <= size <= most else b""
            return (said, following) if len(following) == size else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
