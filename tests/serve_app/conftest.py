"""A small real backend that speaks in tones, and the application on top of it.

Every letter is three codes, and every code a sine with its own pitch. The phase is the state between chunks. So the
exact sound of a text is known, independent of the order of work.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import uvicorn

from deployments.contract.controls import Value, drawing
from deployments.contract.errors import InvalidInput, Overloaded
from deployments.contract.family import FamilySpec
from deployments.contract.speech import (
    GptRequest,
    Reference,
    Run,
    Segment,
    VocodedChunk,
    VocoderChunk,
    VoicePrompt,
)
from deployments.engine.device import memory
from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.models import Model, Models
from serve_app.service import Service
from serve_app.synthesis.backend import Backend
from serve_app.synthesis.segment import segment_seed

RATE, PER_CODE, RUN = 16_000, 320, 16
PAUSE = 0.1

SPEC = FamilySpec(
    name="tones",
    sample_rate=RATE,
    codes_per_second=50.0,
    samples_per_code=PER_CODE,
    left_context=4,
    right_context=6,
    languages=("en",),
    max_tokens=1500,
    min_reference_seconds=1.0,
    max_reference_seconds=15.0,
    paces=(0.5, 2.0),
    controls=drawing(),
)


def codes_of(text: str, seed: int, temperature: float = 0.7) -> np.ndarray:
    """int64 (3 per letter,)."""
    letters = np.repeat(np.frombuffer(text.encode(), np.uint8).astype(np.int64), 3)
    wobble = np.random.default_rng(seed).integers(0, 5, len(letters)) if temperature else 0
    return letters * 8 + wobble


def tones(codes: np.ndarray, pitch: float, phase: float = 0.0) -> tuple[np.ndarray, float]:
    """(float32 (320 per code,), the phase after it). Samples depend only on their code and the phase."""
    steps = np.repeat((pitch + codes) * (2 * np.pi / RATE), PER_CODE)
    phases = phase + np.cumsum(steps)
    return (0.5 * np.sin(phases)).astype(np.float32), float(phases[-1] if len(phases) else phase)


@dataclass
class ToneBackend:
    """delay: seconds per run of codes. max_queue: segments in progress before a new request is refused."""

    delay: float = 0.0
    max_queue: int = 1000
    break_after: int | None = None  # chunks until the vocoder fails
    timed: bool = False  # whether it tells when each word is said
    spec: FamilySpec = SPEC
    encoded: int = 0
    chunks: int = 0
    active: set[str] = field(default_factory=set)
    most_active: int = 0
    cancelled: list[str] = field(default_factory=list)
    kept: list[str | None] = field(default_factory=list)  # the owner of each prompt
    forgotten: list[str] = field(default_factory=list)
    encoding: asyncio.Event | None = None  # encoding waits for it
    started: list[tuple[str, int, bool]] = field(default_factory=list)
    ready: bool = True
    reference: Reference | None = None  # the last one that was encoded
    text_controls: dict[str, Value] = field(default_factory=dict)  # of the last text

    async def check_text(self, text: str, language: str | None) -> None:
        if language not in (None, "en"):
            raise InvalidInput("Invalid 'language': must be en.", param="language")

    async def segments(
        self, text: str, language: str | None, controls: Mapping[str, Value] | None = None
    ) -> list[Segment]:
        await self.check_text(text, language)
        self.text_controls = dict(controls or {})
        found = re.finditer(r"[^.!?\s][^.!?]*[.!?]*", text)
        spoken = {match.span(): match[0] for match in found if re.search(r"[A-Za-z0-9]", match[0])}
        if not spoken and any(map(str.isalpha, text)):
            raise InvalidInput("Invalid 'input': it must be English.", param="input")
        if not spoken:
            raise InvalidInput(
                "Invalid 'input': nothing in it can be spoken.", param="input", code="nothing_to_speak"
            )
        return [self._segment(s, span) for span, s in spoken.items()]

    def _segment(self, text: str, span: tuple[int, int]) -> Segment:
        letters = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
        segment = Segment(text, letters, PAUSE, span=span)
        if not self.timed:
            return segment
        places = np.array([text.rfind(" ", 0, at) + 1 for at in range(len(text))], np.int32)
        return replace(segment, places=places, conditions={"letters": letters})

    async def symbols(self, segments: list[Segment]) -> list[list[str]]:
        return [list(segment.text) for segment in segments]

    async def encode_voice(self, reference: Reference, keep: str | None = None) -> VoicePrompt:
        self.encoded += 1
        self.kept.append(keep)
        await asyncio.sleep(0.01)
        if self.encoding is not None:
            await self.encoding.wait()
        self.reference = reference
        waveform, rate = reference.first
        spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
        pitch = np.round(np.fft.rfftfreq(len(waveform), 1 / rate)[spectrum.argmax()])
        return VoicePrompt.of("tones", {"pitch": np.array([pitch])})

    async def generate(
        self, request: GptRequest, *, id: str, priority: int, admitted: bool
    ) -> AsyncIterator[Run]:
        self.started.append((id, priority, admitted))
        if not admitted and len(self.active) >= self.max_queue:
            raise Overloaded("Too many requests wait.", retry_after=2.0)
        self.active.add(id)
        self.most_active = max(self.most_active, len(self.active))
        try:
            sampling = request.sampling
            codes = codes_of(request.segment.text, sampling.seed, sampling.controls["temperature"])[
                : sampling.max_tokens
            ]
            for start in range(0, len(codes), RUN):
                await asyncio.sleep(self.delay)
                yield Run(codes[start : start + RUN])
        finally:
            self.active.discard(id)

    async def vocode(self, chunk: VocoderChunk, *, id: str, priority: int) -> VocodedChunk:
        self.chunks += 1
        if self.break_after is not None and self.chunks > self.break_after:
            raise RuntimeError("secret detail /etc/passwd")
        await asyncio.sleep(self.delay)
        middle = chunk.frames[chunk.left : len(chunk.frames) - chunk.right]
        phase = float(chunk.state["phase"]) if chunk.state else 0.0
        waveform, phase = tones(middle, float(chunk.prompt.tensors["pitch"][0]), phase)
        attention = None
        if self.timed and chunk.timed:
            count, first = len(chunk.conditions["letters"]), chunk.first + chunk.left
            attention = np.eye(count, dtype=np.float16)[np.arange(first, first + len(middle)) // 3]
        return VocodedChunk(waveform, {"phase": np.array(phase)}, attention)

    async def cancel(self, id: str) -> None:
        self.cancelled.append(id)

    async def status(self) -> dict:
        return {"ready": self.ready, "device": {"name": "tones", "reason": "a test"}, "stages": {"gpt": {}}}

    async def forget(self, voice: str) -> None:
        self.forgotten.append(voice)

    async def free(self) -> list[dict]:
        return [{"stage": "gpt"} | memory.free()]

    def expected(self, text: str, seed: int, pitch: float, temperature: float = 0.7) -> np.ndarray:
        """The whole text without chunks: float32 (N,)."""
        sentences = [s.strip() for s in re.findall(r"[^.!?]+[.!?]*", text) if s.strip()]
        parts: list[np.ndarray] = []
        for index, sentence in enumerate(sentences):
            if index:
                parts.append(np.zeros(round(PAUSE * RATE), np.float32))
            parts.append(tones(codes_of(sentence, segment_seed(seed, index), temperature), pitch)[0])
        return np.concatenate(parts)


def wav(seconds: float = 2.0, pitch: float = 220.0, rate: int = RATE, level: float = 0.5) -> bytes:
    """A WAV file with one tone."""
    t = np.arange(round(seconds * rate)) / rate
    file = io.BytesIO()
    soundfile.write(file, level * np.sin(2 * np.pi * pitch * t), rate, "PCM_16", format="WAV")
    return file.getvalue()


def alone(backend: Backend, settings: Settings | None = None) -> Models:
    """One model, as `settings` describe it."""
    settings = settings or Settings.from_args({}, {})
    return Models([Model(settings.default, settings.options(), backend, settings.ingress)])


@pytest.fixture
def backend() -> ToneBackend:
    return ToneBackend()


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """Two shipped voices: ada (220 Hz) and bob (110 Hz)."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name, pitch, gender in (("ada", 220.0, "female"), ("bob", 110.0, "male")):
        (folder / f"{name}.wav").write_bytes(wav(pitch=pitch))
        meta = {"name": name, "language": "en", "gender": gender, "description": "a tone", "transcript": "la"}
        (folder / f"{name}.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture
def service(backend: ToneBackend, shipped: Path, tmp_path: Path) -> Service:
    settings = Settings.from_args({"data_dir": str(tmp_path / "data")}, {})
    return Service(settings, alone(backend), shipped)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def server(service: Service) -> Iterator[str]:
    """The address of the application on a real port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(service), log_level="error", lifespan="off", timeout_graceful_shutdown=1
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join(10)
    listener.close()
    assert not thread.is_alive()


@pytest.fixture
def make_wav():
    return wav
