"""A process that reads untrusted files: a module passes its `Jail` to `serve`, and `process` starts the module.

It imports its readers once and stays single-threaded, so that it can fork a child for each file in milliseconds. A
child limits its own memory and time and gives up files and the network before it reads the first byte.

Standard input is a socket. Each message passes one end of a connection that carries one job:

    to the child      {"bytes", "param", …}, a line of JSON, then the file
    from the child    BEGUN, then one line of JSON and what follows it: {"bytes", …} and so many bytes,
                      or {"refused", "code"}, or {"fault"}; nothing if it exceeded its limits

The process and its children end when the input ends.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from deployments.contract.errors import InvalidInput

BEGUN = b"+"
NICE = 19  # speech has priority
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


@dataclass(frozen=True, slots=True)
class Jail:
    """cpu_s, wall_s: of a child; memory: bytes, in addition to the bare process and two copies of the file.

    warm_up: uses every reader once, because a child cannot open files and so cannot import anything; answer: given the
    file and the request, the fields of the answer and the bytes that follow them. It may raise InvalidInput.
    """

    cpu_s: int
    wall_s: float
    memory: int
    warm_up: Callable[[], None]
    answer: Callable[[bytes, dict[str, Any]], tuple[dict[str, Any], bytes]]


def serve(jail: Jail) -> None:
    os.nice(NICE)
    with (
        suppress(OSError),
        open("/proc/self/autogroup", "w") as group,
    ):  # the session's, where it counts: sched(7)
        group.write(str(NICE))
    control = socket.socket(fileno=0)
    jail.warm_up()
    # the kernel reaps the children; the connection shows how they ended
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        with socket.socket(fileno=descriptors[0]) as job:  # closed on an error, which the parent sees
            try:
                if os.fork() == 0:
                    _child(job, jail)
            except OSError as error:
                print(f"chorale: cannot fork to read a file: {error}", file=sys.stderr, flush=True)


def _child(job: socket.socket, jail: Jail) -> None:
    """Never returns."""
    try:
        _leave_everything_but(job.fileno())
        job.sendall(BEGUN)
        with job.makefile("rb") as asked:
            request = json.loads(asked.readline())
            limit(jail, 2 * request["bytes"])
            data = asked.read(request["bytes"])
        said, following = _answer(jail, data, request)
        job.sendall(json.dumps({**said, "bytes": len(following)}).encode() + b"\n")
        job.sendall(following)
    finally:  # if memory ran out, the closed connection is the answer
        os._exit(0)


def _leave_everything_but(job: int) -> None:
    """Ends this process with its parent, closes all descriptors but `job`, and redirects standard streams to null."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor != job:
            with suppress(OSError):  # the descriptor of the listing itself is closed already
                os.close(descriptor)


def limit(jail: Jail, more: int = 0) -> None:
    """Allows this process the jail's memory and `more` bytes, its time, and no new file, socket, process or dump."""
    with open("/proc/self/statm") as statm:
        held = int(statm.read().split()[0]) * resource.getpagesize()
    signal.setitimer(signal.ITIMER_REAL, jail.wall_s)
    limits = {resource.RLIMIT_AS: held + jail.memory + more, resource.RLIMIT_CPU: jail.cpu_s}
    nothing = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE)
    for name, most in (limits | dict.fromkeys(nothing, 0)).items():
        resource.setrlimit(name, (most, most))


def _answer(jail: Jail, data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Raises MemoryError."""
    try:
        return jail.answer(data, request)
    except InvalidInput as error:
        return {"refused": error.message, "code": error.code}, b""
    except MemoryError:
        raise
    except Exception as error:
        return {"fault": repr(error)[:1000]}, b""
