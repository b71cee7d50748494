"""The process that decodes untrusted recordings: `python -m serve_app.audio.jail`, started by `sandbox`."""

from __future__ import annotations

from typing import Any

import numpy as np

from serve_app.audio.decode import decode_recording
from serve_app.audio.encode import open_encoder
from serve_app.audio.examine import examine
from serve_app.sandbox.jail import Jail, serve

CPU_S = 4  # a minute of 192 kHz stereo takes half a second
WALL_S = 30.0  # the CPU may be busy with speech
MEMORY = 512 * 2**20


def _warm_up() -> None:
    sweep = 0.3 * np.sin(np.cumsum(np.linspace(0.01, 0.03, 96_000))).astype(np.float32)
    for format in ("wav", "aac"):
        encoder = open_encoder(format, 24_000)
        data = encoder.encode(sweep) + encoder.finish()
        recording = decode_recording(data, min_seconds=1, max_seconds=60, param="")
        examine(recording.waveform, recording.rate, "")


def _answer(data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """request: the arguments of `decode_recording`. The answer: rate, samples, warnings, and the samples as int16."""
    param = request["param"]
    bounds = {name: request[name] for name in ("min_seconds", "max_seconds")}
    recording = decode_recording(data, **bounds, param=param)
    warnings = examine(recording.waveform, recording.rate, param) + recording.warnings
    samples = recording.samples
    return {"rate": recording.rate, "samples": len(samples), "warnings": warnings}, samples.tobytes()


JAIL = Jail(CPU_S, WALL_S, MEMORY, _warm_up, _answer)

if __name__ == "__main__":
    serve(JAIL)
