"""The process that decodes untrusted recordings: `python -m serve_app.audio.jail`, started by `sandbox`.

It imports the decoders once and stays single-threaded, so that it can fork a child for each file in milliseconds. A
child limits its own memory and time and gives up files and the network before it reads the first byte.

Standard input is a socket. Each message passes one end of a connection that carries one job:

    to the child      {"bytes", "min_seconds", "max_seconds", "param"}, a line of JSON, then the file
    from the child    BEGUN, then one line of JSON: {"rate", "samples", "warnings"} and the samples, int16,
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
from contextlib import suppress
from typing import Any

import numpy as np

from deployments.contract.errors import InvalidInput
from serve_app.audio.decode import decode_recording
from serve_app.audio.encode import open_encoder
from serve_app.audio.examine import examine

BEGUN = b"+"
CPU_S = 4  # a minute of 192 kHz stereo takes half a second
WALL_S = 30.0  # the CPU may be busy with speech
MEMORY = 512 * 2**20  # bytes, in addition to the bare process and two copies of the file
NICE = 10  # speech has priority
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def main() -> None:
    os.nice(NICE)
    with (
        suppress(OSError),
        open("/proc/self/autogroup", "w") as group,
    ):  # the session's, where it counts: sched(7)
        group.write(str(NICE))
    control = socket.socket(fileno=0)
    _warm_up()
    # the kernel reaps the children; the connection shows how they ended
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        with socket.socket(fileno=descriptors[0]) as job:  # closed on an error, which the parent sees
            try:
                if os.fork() == 0:
                    _child(job)
            except OSError as error:
                print(f"chorale: cannot fork to decode recordings: {error}", file=sys.stderr, flush=True)


def _warm_up() -> None:
    """Uses every decoder once, because a child cannot open files and so cannot import anything."""
    sweep = 0.3 * np.sin(np.cumsum(np.linspace(0.01, 0.03, 96_000))).astype(np.float32)
    for format in ("wav", "aac"):
        encoder = open_encoder(format, 24_000)
        data = encoder.encode(sweep) + encoder.finish()
        recording = decode_recording(data, min_seconds=1, max_seconds=60, param="")
        examine(recording.waveform, recording.rate, "")


def _child(job: socket.socket) -> None:
    """Never returns."""
    try:
        _leave_everything_but(job.fileno())
        job.sendall(BEGUN)
        with job.makefile("rb") as asked:
            request = json.loads(asked.readline())
            _limit(MEMORY + 2 * request["bytes"])
            data = asked.read(request["bytes"])
        said, samples = _answer(data, request)
        job.sendall(json.dumps(said).encode() + b"\n")
        job.sendall(samples)
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


def _limit(memory: int) -> None:
    """Allows `memory` more bytes, CPU_S and WALL_S seconds, and no new file, socket, process or core dump."""
    with open("/proc/self/statm") as statm:
        held = int(statm.read().split()[0]) * resource.getpagesize()
    signal.setitimer(signal.ITIMER_REAL, WALL_S)
    limits = {resource.RLIMIT_AS: held + memory, resource.RLIMIT_CPU: CPU_S}
    nothing = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE)
    for limit, most in (limits | dict.fromkeys(nothing, 0)).items():
        resource.setrlimit(limit, (most, most))


def _answer(data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The answer's JSON line and the bytes of the samples. Raises MemoryError."""
    param = request["param"]
    bounds = {name: request[name] for name in ("min_seconds", "max_seconds")}
    try:
        recording = decode_recording(data, **bounds, param=param)
        warnings = examine(recording.waveform, recording.rate, param) + recording.warnings
    except InvalidInput as error:
        return {"refused": error.message, "code": error.code}, b""
    except MemoryError:
        raise
    except Exception as error:
        return {"fault": repr(error)}, b""
    samples = recording.samples
    return {"rate": recording.rate, "samples": len(samples), "warnings": warnings}, samples.tobytes()


if __name__ == "__main__":
    main()
