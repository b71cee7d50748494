"""One request at a time on one core: RTF, and how early the first sound comes.

Speaks the sentences of tests/data streamed, as the service does, and beside it, in the same run and with the same
engine, the whole utterance at once: all codes first, then one vocoder call. With --url the streamed way goes over HTTP
to a service that is already up (its cores are its own, not pinned by this program).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import _common
from deployments.families.base import GptRequest, VocoderChunk
from serve_app.speaker import Speaker
from serve_app.synthesis import segment_seed

STREAMED, WHOLE, HTTP = "streamed", "whole utterance", "over HTTP"
HTTP_RATE = 24000  # Hz, of the service's pcm


@dataclass(frozen=True, slots=True)
class Timed:
    """waveform: float32 (N,); first_s, total_s: until the first and the last sound."""

    waveform: np.ndarray
    rate: int
    first_s: float
    total_s: float


@dataclass
class Series:
    """One way of speaking, sentence by sentence."""

    name: str
    listener: _common.Listener
    rtf: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, text: str, timed: Timed) -> None:
        seconds = len(timed.waveform) / timed.rate
        self.seconds += seconds
        self.rtf.append(timed.total_s / seconds)
        self.first_s.append(timed.first_s)
        self.share.append(timed.first_s / timed.total_s)
        self.listener.hear(text, timed.waveform, timed.rate)

    def figures(self) -> dict[str, Any]:
        return {
            "rtf": _common.summary(self.rtf),
            "ttfa_s": _common.summary(self.first_s),
            "ttfa_share": _common.summary(self.share),
            "audio_s": round(self.seconds, 2),
            "wer": round(self.listener.wer(), 4),
        }


def streamed(speaker: Speaker, text: str, voice: str, seed: int, temperature: float | None) -> Timed:
    sampling: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    spoken = speaker.say(text, voice, seed=seed, **sampling)
    return Timed(spoken.waveform, spoken.rate, spoken.first_s, spoken.total_s)


def whole(speaker: Speaker, text: str, voice: str, seed: int, temperature: float | None) -> Timed:
    """The baseline: no sound before the last code is there."""
    return speaker.run(_whole(speaker, text, voice, seed, temperature))


async def _whole(speaker: Speaker, text: str, voice: str, seed: int, temperature: float | None) -> Timed:
    backend, pieces = speaker.backend, []
    chosen = {} if temperature is None else {"temperature": temperature}
    began = time.perf_counter()
    prompt = await speaker.prompt_of(voice)
    for index, segment in enumerate(await backend.segments(text, None)):
        sampling = replace(backend.spec.sampling, **chosen, seed=segment_seed(seed, index))
        request = GptRequest(segment, prompt, sampling)
        runs = [
            run.spoken
            async for run in backend.generate(request, id=f"whole.{index}", priority=0, admitted=True)
        ]
        frames = np.concatenate(runs)
        chunk = VocoderChunk(frames, 0, 0, 0, prompt, sampling.seed)
        vocoded = await backend.vocode(chunk, id=f"whole.{index}.0", priority=0)
        pieces.append(vocoded.waveform)
        pieces.append(np.zeros(round(segment.pause_after * backend.spec.sample_rate), np.float32))
    total_s = time.perf_counter() - began
    return Timed(np.concatenate(pieces[:-1]), backend.spec.sample_rate, total_s, total_s)


def over_http(client: httpx.Client, text: str, voice: str, seed: int, temperature: float | None) -> Timed:
    body: dict[str, Any] = {"model": "tts-1", "input": text, "voice": voice, "seed": seed}
    body |= {"response_format": "pcm", "stream_format": "audio"}
    body |= {} if temperature is None else {"temperature": temperature}
    data, first_s = bytearray(), 0.0
    began = time.perf_counter()
    with client.stream("POST", "/v1/audio/speech", json=body) as answer:
        if answer.status_code != 200:
            raise SystemExit(f"HTTP {answer.status_code}: {answer.read().decode()}")
        for piece in answer.iter_raw():
            data += piece
            first_s = first_s or time.perf_counter() - began
    total_s = time.perf_counter() - began
    return Timed(np.frombuffer(bytes(data), "<i2").astype(np.float32) / 32768, HTTP_RATE, first_s, total_s)


def measure(
    ways: dict[str, Callable[[str, str], Timed]], texts: list[str], voices: list[str], console: Console
) -> tuple[dict[str, Series], float]:
    """Every way speaks every sentence; they take turns in going first. Also the largest difference between them."""
    series = {name: Series(name, _common.Listener()) for name in ways}
    difference = 0.0
    for voice in voices:
        for way in ways.values():
            way("Warm up once.", voice)
        for index, text in enumerate(texts):
            order = list(ways) if index % 2 == 0 else list(reversed(ways))
            timed = {name: ways[name](text, voice) for name in order}
            for name in ways:
                series[name].add(text, timed[name])
            if STREAMED in timed and WHOLE in timed:
                difference = max(difference, _difference(timed[STREAMED].waveform, timed[WHOLE].waveform))
            console.print(f"{voice}: {index + 1} of {len(texts)}", end="\r")
    return series, difference


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max()) if len(a) == len(b) else float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.single_request", description=__doc__)
    parser.add_argument("--sentences", type=int, default=10, help="of tests/data/sentences.txt (10)")
    parser.add_argument(
        "--voice", action="append", help="may be given more than once; default: every shipped one"
    )
    parser.add_argument("--temperature", type=float, help="default: the model's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="of a service that is up, to measure over HTTP too")
    parser.add_argument("--all-cores", action="store_true", help="do not pin to one core")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/single_request.json"))
    options = parser.parse_args()

    console = Console()
    where = _common.machine()
    core = None if options.all_cores else _common.pin_to_one_core()
    with Speaker() as speaker:
        voices = options.voice or [voice.name for voice in speaker.context.voices.list() if voice.shipped]
        rest = (options.seed, options.temperature)
        ways: dict[str, Callable[[str, str], Timed]] = {
            STREAMED: lambda text, voice: streamed(speaker, text, voice, *rest),
            WHOLE: lambda text, voice: whole(speaker, text, voice, *rest),
        }
        with httpx.Client(base_url=options.url or "http://localhost", timeout=120) as client:
            if options.url:
                ways[HTTP] = lambda text, voice: over_http(client, text, voice, *rest)
            series, difference = measure(ways, _common.sentences(options.sentences), voices, console)
        status = speaker.run(speaker.backend.status())

    figures = {name: one.figures() for name, one in series.items()}
    result = {
        **_common.provenance("benchmarks.single_request"),
        "machine": where,
        "pinned_to_core": core,
        "device": status["device"],
        "voices": voices,
        "sentences": options.sentences,
        "temperature": options.temperature,
        "largest_difference": difference,
        "figures": figures,
    }
    table = Table(title=f"{options.sentences} sentences x {len(voices)} voices, one request at a time")
    for column in ("", "RTF mean", "RTF p90", "TTFA p50", "TTFA of the whole time", "WER"):
        table.add_column(column, justify="right" if column else "left")
    for name, one in figures.items():
        table.add_row(
            name,
            f"{one['rtf']['mean']:.3f}",
            f"{one['rtf']['p90']:.3f}",
            f"{one['ttfa_s']['p50'] * 1000:.0f} ms",
            f"{one['ttfa_share']['mean']:.0%}",
            f"{one['wer']:.1%}",
        )
    console.print(table)
    faster = statistics.fmean(series[WHOLE].first_s) / statistics.fmean(series[STREAMED].first_s)
    console.print(
        f"First sound {faster:.1f} x earlier; streamed and whole differ by {difference:.1e} at most."
    )
    _common.save(options.out, result)
    console.print(f"Load of the machine before: {where['load']}. Written: {options.out}")


if __name__ == "__main__":
    main()
