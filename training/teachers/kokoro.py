"""Kokoro-82M, the natural teacher: phonemes and a style to speech with its alignment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.teachers.fetch import cache
from training.teachers.speakers import Speaker

RATE = 24000
FRAME = 600  # samples; a duration counts frames of 25 ms
LONGEST = 510  # phonemes
VOICED = 10.0  # Hz; the model produces no harmonics below


@dataclass(frozen=True)
class Spoken:
    """An utterance. The durations sum exactly to F, the number of frames of the waveform."""

    waveform: np.ndarray  # (F * FRAME,) float32 at RATE
    durations: np.ndarray  # (n + 2,) int64 frames: the silence before, each phoneme, the silence after
    f0: np.ndarray  # (2 F,) float32 Hz, below VOICED where unvoiced
    energy: np.ndarray  # (2 F,) float32, the model's own measure


def _session(path: Path) -> Any:
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Parts:
    """The graph in three parts (training/teachers/split.py), the decoder in bfloat16. Used like its session."""

    def __init__(self, folder: Path) -> None:
        import openvino  # pyright: ignore[reportMissingImports]

        self._prosody, self._sound = _session(folder / "prosody.onnx"), _session(folder / "sound.onnx")
        self._names = [output.name for output in self._prosody.get_outputs()]
        core = openvino.Core()
        options = {
            "INFERENCE_PRECISION_HINT": openvino.Type.bf16,
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": "0",  # of every length, gigabytes in all
        }
        self._decoder = core.compile_model(core.read_model(folder / "decoder.onnx"), "CPU", options)
        self._request = self._decoder.create_infer_request()

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        made = feed | dict(zip(self._names, self._prosody.run(self._names, feed), strict=True))
        inputs = [port.get_any_name() for port in self._decoder.inputs]
        self._request.infer({name: made[name] for name in inputs})
        spectrum = self._request.get_output_tensor(0).data.astype(np.float32)
        (made["audio"],) = self._sound.run(None, {self._sound.get_inputs()[0].name: spectrum})
        return [made[name] for name in names]


class Kokoro:
    """Uses one thread. The same arguments give the same samples, on the same kind of CPU."""

    def __init__(self, folder: Path | None = None, bfloat16: bool = False) -> None:
        """bfloat16: the decoder by OpenVINO, 2.5 times as fast on a CPU with AMX.

        Raises FileNotFoundError if `training.teachers.fetch` has not been run.
        """
        self.folder = folder or cache()
        self.vocabulary: dict[str, int] = json.loads((self.folder / "vocabulary.json").read_text("utf-8"))
        self._session = Parts(self.folder) if bfloat16 else _session(self.folder / "kokoro.onnx")
        self._voices: dict[str, np.ndarray] = {}

    def style(self, speaker: Speaker, phonemes: int) -> np.ndarray:
        """(1, 256) float32. A voice has a style for every length of an utterance."""
        rows = [weight * self._voice(name)[phonemes - 1] for name, weight in speaker.voices.items()]
        return np.stack(rows).sum(0, dtype=np.float32)[None]

    def say(self, phonemes: str, speaker: Speaker, speed: float = 1.0) -> Spoken:
        """Synthesises phonemes. speed: 1.1 is a tenth faster.

        Raises ValueError for more than LONGEST phonemes, for none, or for an unknown one.
        """
        if not 0 < len(phonemes) <= LONGEST:
            raise ValueError(f"{len(phonemes)} phonemes; 1 to {LONGEST} are allowed")
        if unknown := set(phonemes) - set(self.vocabulary):
            raise ValueError(f"phonemes unknown to the teacher: {' '.join(sorted(unknown))}")
        tokens = np.array([[0, *(self.vocabulary[phoneme] for phoneme in phonemes), 0]])
        feed = {
            "tokens": tokens,
            "style": self.style(speaker, len(phonemes)),
            "speed": np.array([speed], np.float32),
        }
        waveform, durations, f0, energy = self._session.run(["audio", "durations", "f0", "energy"], feed)
        return Spoken(*(np.asarray(value).reshape(-1) for value in (waveform, durations, f0, energy)))

    def _voice(self, name: str) -> np.ndarray:
        if name not in self._voices:
            values = np.fromfile(self.folder / "voices" / f"{name}.bin", np.float32)
            self._voices[name] = values.reshape(LONGEST, 256)
        return self._voices[name]
