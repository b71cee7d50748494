"""What the model families said when their samples were last recorded: `make samples` records them again.

The samples of a seed are the same bits on every run, but not on every CPU: kernels sum in different orders. So hashes
are kept for each kind of CPU. On a kind without hashes, codes and sound are compared with those of the recording.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
import soxr
import torch

from serve_app.config.file import default_config_path, load_config
from serve_app.config.settings import Settings
from tests.golden.indextts_set import SHIPPED

FOLDER = Path(__file__).parent / "data" / "samples"
HASHES, CODES = FOLDER / "hashes.json", FOLDER / "codes.json"
RECORDING = bool(os.environ.get("RECORD_SAMPLES"))
REFERENCE = (SHIPPED / "reference.wav").read_bytes()
RATE, KEPT_RATE = 24_000, 8_000
# on another kind of CPU: a code may tip, and the rest of its segment is then another reading of the text
SAME_CODES, SAME_SOUND, SAME_LEVEL_DB = 0.9, 0.99, 0.5


@dataclass(frozen=True)
class Case:
    """A text for one family. voice: a name; None: cloned from `REFERENCE`."""

    family: str
    name: str
    text: str
    seed: int
    voice: str | None = None
    max_tokens: int | None = None
    controls: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.family}-{self.name}"


SMALL = [
    Case("small", "english", "The train leaves at half past seven.", 3, "ross"),
    Case("small", "mandarin", "今天的天气很好，我们去公园吧。", 5, "mei"),
    Case(
        "small", "segments", "Good morning. Is anyone there? 有人在吗？ It is 7:30, so hurry up!", 7, "emma"
    ),
    Case("small", "cloned", "Nothing is certain but the weather.", 11),
]
DRAWN, GREEDY = {"temperature": 0.8}, {"temperature": 0}
INDEXTTS = [
    Case("indextts", "english", "Where's the key? It is 3 miles from here.", 2, max_tokens=40, controls=DRAWN),
    Case("indextts", "mandarin", "请把窗户打开，让风吹进来。", 3, max_tokens=40, controls=GREEDY),
    Case("indextts", "segments", "请把窗户打开，让风吹进来。Where's the key? It is 3 miles from here. The boat left "
         "before dawn, and we will meet at nine o'clock at the station.", 6, max_tokens=40, controls=DRAWN),
]  # fmt: skip


def settings_of(family: str, data: Path) -> Settings:
    """As the configuration of the family says, and as `tests/serve` deploys it: one thread, on the CPU."""
    file = {"small": "default.yaml", "indextts": "indextts.yaml"}[family]
    settings = load_config(default_config_path().with_name(file))[1]
    args = settings.to_args() | {"data_dir": str(data), "device": {"preference": "cpu", "threads": 1}}
    if family == "indextts":
        options = {"model_dir": str(SHIPPED / "checkpoint"), "positions": "published"}
        args |= {"family": {"name": family, "options": options}, "vocoder_chunk_size": 60}
    return Settings.from_args(args, {})


def cpu() -> str:
    """The kind of CPU: what decides on the kernels of torch, oneDNN, MKL and FBGEMM."""
    able = torch.backends.cpu.get_cpu_capability()
    more = [name for name in ("avx512_bf16", "amx_tile") if getattr(torch.cpu, f"_is_{name}_supported")()]
    dnn = "onednn" if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled else ""
    words = [_vendor(), able, *more, dnn, f"torch {torch.__version__.split('+')[0]}"]
    return " ".join(word for word in words if word)


def _vendor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "")


def check_sound(case: Case, sound: np.ndarray, record: bool = RECORDING) -> None:
    """sound: int16 (N,) at 24 kHz. Compares it with what was recorded, or records it."""

    def keep() -> None:
        soundfile.write(_file(case), _kept(sound), KEPT_RATE, format="OGG", subtype="VORBIS")

    digest = _digest(sound.astype("<i2"))
    _check(f"{case.key} sound", digest, lambda: compare_sound(case, sound), keep if record else None)


def check_codes(case: Case, codes: list[np.ndarray], record: bool = RECORDING) -> None:
    """codes: of each segment, int64 (N,). Compares them with what was recorded, or records them."""

    def keep() -> None:
        _write(CODES, _read(CODES) | {case.key: [part.tolist() for part in codes]})

    digest = _digest(*(part.astype("<i8") for part in codes))
    _check(f"{case.key} codes", digest, lambda: compare_codes(case, codes), keep if record else None)


def _check(key: str, digest: str, compare: Callable[[], None], keep: Callable[[], None] | None) -> None:
    """Against the hash of this kind of CPU, or without one against the reference.

    keep: writes the reference. Another kind of CPU only adds its hash. If the bits of this kind have changed, the
    reference is replaced, and the hashes of the other kinds are dropped.
    """
    hashes = _read(HASHES)
    known = hashes.get(cpu(), {}).get(key)
    if known is None and any(key in of_kind for of_kind in hashes.values()):
        compare()
    elif keep is None or known == digest:
        assert known == digest, f"other bits than those recorded for {key} on this kind of CPU"
    else:
        for of_kind in hashes.values():
            of_kind.pop(key, None)
        keep()
    if keep is not None:
        hashes[cpu()] = dict(sorted((hashes.get(cpu(), {}) | {key: digest}).items()))
        _write(HASHES, hashes)


def compare_codes(case: Case, codes: list[np.ndarray]) -> None:
    """Without the hash: nearly all codes are those recorded."""
    wanted = _read(CODES)[case.key]
    assert len(codes) == len(wanted)
    same = sum(int(np.sum(a[: len(b)] == np.array(b)[: len(a)])) for a, b in zip(codes, wanted, strict=True))
    assert same >= SAME_CODES * max(sum(map(len, codes)), sum(map(len, wanted)))


def compare_sound(case: Case, sound: np.ndarray) -> None:
    """Without the hash: the sound correlates with the one recorded, at the same level."""
    wanted, _ = soundfile.read(_file(case))
    found = _kept(sound)
    assert len(found) == len(wanted)
    correlation = float(found @ wanted / np.sqrt((found @ found) * (wanted @ wanted)))
    level = 10 * np.log10(float(found @ found) / float(wanted @ wanted))
    assert correlation >= SAME_SOUND, correlation
    assert abs(level) <= SAME_LEVEL_DB, level


async def check_http(address: str, case: Case) -> None:
    """Asks a service twice, for a whole file and for a stream. Compares the sound with what was recorded locally."""
    body = {"model": f"chorale-{case.family}", "input": case.text, "seed": case.seed, **case.controls}
    body["max_tokens"] = case.max_tokens
    if case.voice is None:
        body["reference_audio"] = base64.b64encode(REFERENCE).decode()
    else:
        body["voice"] = case.voice
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        for form in ({"response_format": "wav"}, {"response_format": "pcm", "stream_format": "audio"}):
            answer = await client.post("/v1/audio/speech", json=body | form)
            assert answer.status_code == 200, answer.text
            wav = form["response_format"] == "wav"
            sound = soundfile.read(io.BytesIO(answer.content), dtype="int16")[0] if wav else None
            check_sound(case, np.frombuffer(answer.content, "<i2") if sound is None else sound, record=False)


def _file(case: Case) -> Path:
    return FOLDER / f"{case.key}.ogg"


def _kept(sound: np.ndarray) -> np.ndarray:
    return soxr.resample(sound / 32768, RATE, KEPT_RATE)


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(len(array).to_bytes(8, "little") + array.tobytes())
    return digest.hexdigest()[:32]


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def _write(file: Path, content: dict[str, Any]) -> None:
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(content.items()))
    file.write_text(f"{{\n{lines}\n}}\n", "utf-8")
