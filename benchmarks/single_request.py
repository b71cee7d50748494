"""One request at a time on one core: RTF, and the time to the first sound.

It speaks the sentences of tests/data as a stream, like the service. The baseline, in the same run with the same engine,
is the whole utterance: all codes first, then one vocoder call. With --url, the stream comes over HTTP from a running
service, whose cores are not pinned.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import _common, _whole
from serve_app.cli.speaker import Said, Speaker

STREAMED, WHOLE, HTTP = "streamed", "whole utterance", "over HTTP"
HTTP_RATE = 24000  # Hz, of the service's pcm


@dataclass
class Series:
    """The figures of one method, sentence by sentence."""

    name: str
    listener: _common.Listener
    rtf: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, text: str, spoken: Said) -> None:
        self.seconds += spoken.seconds
        self.rtf.append(spoken.rtf)
        self.first_s.append(spoken.first_s)
        self.share.append(spoken.first_s / spoken.total_s)
        self.listener.hear(text, spoken.waveform, spoken.rate)

    def figures(self) -> dict[str, Any]:
        return {
            "rtf": _common.summary(self.rtf),
            "ttfa_s": _common.summary(self.first_s),
            "ttfa_share": _common.summary(self.share),
            "audio_s": round(self.seconds, 2),
            "wer": round(self.listener.wer(), 4),
        }


def streamed(speaker: Speaker, text: str, voice: str, seed: int, temperature: float | None) -> Said:
    sampling: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    return speaker.say(text, voice, seed=seed, controls=sampling)


def whole(speaker: Speaker, text: str, voice: str, seed: int, temperature: float | None) -> Said:
    sampling = speaker.backend.spec.sampling({"temperature": temperature}, seed=seed)
    return speaker.run(_whole.whole(speaker, text, voice, sampling))


def over_http(client: httpx.Client, text: str, voice: str, seed: int, temperature: float | None) -> Said:
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
    waveform = np.frombuffer(bytes(data), "<i2").astype(np.float32) / 32768
    return Said(waveform, HTTP_RATE, first_s, total_s, voice, seed)


def measure(
    ways: dict[str, Callable[[str, str], Said]], texts: list[str], voices: list[str], console: Console
) -> tuple[dict[str, Series], float]:
    """Every method speaks every sentence; they alternate in going first. Also returns their largest difference."""
    series = {name: Series(name, _common.Listener()) for name in ways}
    difference = 0.0
    for voice in voices:
        for way in ways.values():
            way("Warm up once.", voice)
        for index, text in enumerate(texts):
            order = list(ways) if index % 2 == 0 else list(reversed(ways))
            spoken = {name: ways[name](text, voice) for name in order}
            for name in ways:
                series[name].add(text, spoken[name])
            if STREAMED in spoken and WHOLE in spoken:
                difference = max(difference, _difference(spoken[STREAMED].waveform, spoken[WHOLE].waveform))
            console.print(f"{voice}: {index + 1} of {len(texts)}", end="\r")
    return series, difference


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max()) if len(a) == len(b) else float("inf")


def main() -> None:
    parser = _common.arguments("single_request", __doc__)
    parser.add_argument("--sentences", type=int, default=10, help="of tests/data/sentences.txt (10)")
    parser.add_argument("--voice", action="append", help="repeatable; default: every shipped one")
    parser.add_argument("--temperature", type=float, help="default: the model's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", help="of a running service, to measure over HTTP too")
    parser.add_argument("--all-cores", action="store_true", help="do not pin to one core")
    options = parser.parse_args()

    console = Console()
    origin = _common.origin("single_request")
    core = None if options.all_cores else _common.pin_to_one_core()
    with Speaker() as speaker:
        voices = options.voice or _common.english_voices(speaker)
        rest = (options.seed, options.temperature)
        ways: dict[str, Callable[[str, str], Said]] = {
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
        **origin,
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
    _common.finish(options.out, result, console)


if __name__ == "__main__":
    main()
