"""The vocoder stage by batch size and length: RTF, and the difference from the whole utterance.

Four methods vocode the same frames, decoded by the family's own GPT, and alternate in one run:

    whole    the baseline: each utterance whole and alone, by the eager network (`use_vocoder_optimization: false`)
    padded   the eager network on a batch of whole utterances, padded to the longest (if the family can pad them)
    chunked  in chunks, one utterance at a time
    batched  in chunks, all utterances at once, as in the service

For each method, the table shows the largest difference of its samples, in -1..1, from the baseline.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import _common, _stage
from benchmarks._plot import panels
from deployments.contract.family import Family, VocoderModel
from deployments.contract.speech import GptRequest, VocodedChunk, VocoderChunk
from deployments.contract.work import WorkItem
from deployments.engine.device.choose import choose_device
from deployments.engine.vocode.worker import VocodeWorker
from serve_app.cli.speaker import Speaker
from serve_app.config.settings import Settings

WHOLE, PADDED, CHUNKED, BATCHED = WAYS = ("whole", "padded", "chunked", "batched")
SPEECH = "speech"  # whole sentences of different lengths
LENGTHS = (0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

Way = Callable[[list[VocoderChunk]], list[VocodedChunk]]


@dataclass(frozen=True, slots=True)
class Spoken:
    text: str
    chunk: VocoderChunk  # the whole utterance


async def frames_of(speaker: Speaker, text: str, voice: str, seed: int) -> list[VocoderChunk]:
    """One chunk for each segment of the text."""
    backend, chunks = speaker.backend, []
    prompt = await speaker.prompt_of(voice)
    for index, segment in enumerate(await backend.segments(text, None)):
        request = GptRequest(segment, prompt, backend.spec.sampling(seed=seed + index))
        runs = backend.generate(request, id=f"{voice}.{seed}.{index}", priority=0, admitted=True)
        frames = np.concatenate([run.spoken async for run in runs])
        chunks.append(VocoderChunk(frames, 0, 0, 0, prompt, seed))
    return chunks


def spoken(options: argparse.Namespace) -> tuple[Family, list[Spoken]]:
    """The sentences in the shipped voices, in turn."""
    family = {"name": options.family, "options": options.options}
    settings = Settings.from_args({"family": family, "device": {"threads": options.threads}})
    with Speaker(settings) as speaker:
        voices = _common.english_voices(speaker)
        said = []
        for index, text in enumerate(_common.sentences(max(options.sentences, *options.batch))):
            voice = voices[index % len(voices)]
            for chunk in speaker.run(frames_of(speaker, text, voice, seed=100 * index)):
                said.append(Spoken(text, chunk))
        return speaker.backend.family, said


def of_length(said: Sequence[Spoken], frames: int, count: int) -> list[VocoderChunk]:
    """`count` utterances of `frames` frames each, from the sentences in turn."""
    made = []
    for row in range(count):
        own = said[row % len(said)].chunk
        following = [
            said[(row + index) % len(said)].chunk.frames for index in range(1 + frames // len(own.frames) * 2)
        ]
        made.append(replace(own, frames=np.concatenate(following)[:frames], seed=row))
    return made


def through(worker: VocodeWorker) -> Way:
    def run(chunks: list[VocoderChunk]) -> list[VocodedChunk]:
        waiting, made = deque(enumerate(chunks)), {}
        while waiting or worker.active:
            while waiting and worker.active < worker.slots:
                index, chunk = waiting.popleft()
                worker.admit(WorkItem(str(index), chunk))
            for event in worker.step():
                if event.error is not None:
                    raise event.error
                made[int(event.id)] = event.value
        return [made[index] for index in range(len(chunks))]

    return run


def padded(model: VocoderModel, device: torch.device) -> Way:
    def run(chunks: list[VocoderChunk]) -> list[VocodedChunk]:
        inputs = model.collate(chunks, len(chunks), max(len(chunk.frames) for chunk in chunks))
        outputs = model.forward({name: value.to(device) for name, value in inputs.items()})
        return model.split({name: value.cpu() for name, value in outputs.items()}, chunks)

    return run


class Bench:
    """Runs on the device thread."""

    def __init__(self, family: Family, options: argparse.Namespace) -> None:
        self.device = choose_device(options.device, threads=options.threads)
        self.spec, self.prompt = family.spec, family.example_prompt()
        self.model = family.vocoder(self.device)
        self.rounds = options.rounds

    def ways(self, batch: int, chunks: list[VocoderChunk]) -> dict[str, Way]:
        def worker(slots: int, optimize: bool = True) -> Way:
            made = VocodeWorker(
                self.model, self.device, self.spec, max_batch=slots, batch_buckets=[slots], optimize=optimize
            )
            made.warm_up(self.prompt)
            return through(made)

        ways = {WHOLE: worker(1, optimize=False), CHUNKED: worker(1), BATCHED: worker(batch)}
        if all(self.model.packing.paddable(chunk) for chunk in chunks):
            ways[PADDED] = padded(self.model, self.device.torch_device)
        return {name: ways[name] for name in WAYS if name in ways}

    def measure(self, batch: int, length: float | str, chunks: list[VocoderChunk]) -> list[dict[str, Any]]:
        ways = self.ways(batch, chunks)
        best: dict[str, float] = {}
        sounds: dict[str, list[VocodedChunk]] = {}
        for _ in range(self.rounds):
            for name, way in ways.items():
                began = time.perf_counter()
                sounds[name] = way(chunks)
                taken = time.perf_counter() - began
                best[name] = min(taken, best.get(name, taken))
        seconds = (
            sum(len(chunk.frames) for chunk in chunks) * self.spec.samples_per_code / self.spec.sample_rate
        )
        return [
            {
                "batch": batch,
                "length_s": length,
                "way": name,
                "rtf": round(best[name] / seconds, 6),
                "times_whole": round(best[WHOLE] / best[name], 3),
                "times_padded": round(best[PADDED] / best[name], 3) if PADDED in best else None,
                "largest_difference": float(f"{difference(sounds[name], sounds[WHOLE]):.2g}"),
            }
            for name in ways
        ]

    def heard(self, said: Sequence[Spoken], batch: int) -> dict[str, float]:
        """The word error rates of the baseline and of the service's method."""
        chunks = [one.chunk for one in said]
        ways, wer = self.ways(batch, chunks), {}
        for name in (WHOLE, BATCHED):
            listener = _common.Listener()
            waveforms = [vocoded.waveform for vocoded in ways[name](chunks)]
            texts = [one.text for one in said]
            for text in dict.fromkeys(texts):  # the segments of a text are transcribed together
                own = [waveform for said, waveform in zip(texts, waveforms, strict=True) if said == text]
                listener.hear(text, np.concatenate(own), self.spec.sample_rate)
            wer[name] = round(listener.wer(), 4)
        return wer


def difference(some: list[VocodedChunk], others: list[VocodedChunk]) -> float:
    return max(float(np.abs(a.waveform - b.waveform).max()) for a, b in zip(some, others, strict=True))


def measure(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """On the device thread."""
    family, said = spoken(options)
    bench, rows = Bench(family, options), []
    for batch in options.batch:
        speech = [said[index % len(said)].chunk for index in range(batch)]
        cases: list[tuple[float | str, list[VocoderChunk]]] = [(SPEECH, speech)]
        for length in options.length:
            frames = max(1, round(length * bench.spec.codes_per_second))
            cases.append((length, of_length(said, frames, batch)))
        for length, chunks in cases:
            console.print(f"batch {batch}, {length}", end="   \r")
            rows += bench.measure(batch, length, chunks)
    heard = bench.heard(said, max(options.batch)) if options.sentences else {}
    return {
        "device": bench.device.describe(),
        "family": options.family,
        "rounds": options.rounds,
        "speech_s": [round(len(one.chunk.frames) / bench.spec.codes_per_second, 2) for one in said],
        "rows": rows,
        "sentences": options.sentences,
        "wer": heard,
    }


def ways_of(result: dict[str, Any]) -> list[str]:
    return [way for way in WAYS if any(row["way"] == way for row in result["rows"])]


def show(result: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Vocoder of {result['family']} on {result['device']['name']}: RTF, and times whole")
    table.add_column("batch", justify="right")
    table.add_column("length", justify="right")
    found = ways_of(result)
    for way in found:
        table.add_column(way, justify="right")
    table.add_column("largest difference", justify="right")
    cases = {(row["batch"], row["length_s"]): {} for row in result["rows"]}
    for row in result["rows"]:
        cases[row["batch"], row["length_s"]][row["way"]] = row
    for (batch, length), ways in cases.items():
        cells = [
            f"{ways[way]['rtf']:.4f} {ways[way]['times_whole']:.2f}x" if way in ways else "" for way in found
        ]
        apart = max(ways[way]["largest_difference"] for way in (CHUNKED, BATCHED))
        table.add_row(str(batch), f"{length} s" if length != SPEECH else SPEECH, *cells, f"{apart:.1e}")
    console.print(table)
    for way, rate in result["wer"].items():
        console.print(f"{way}: WER {rate:.1%} of {result['sentences']} sentences")


def plot(out: Path, result: dict[str, Any]) -> None:
    batches = sorted({row["batch"] for row in result["rows"]})
    many = 8 if 8 in batches else batches[-1]
    with panels(out, "Vocoder stage", "RTF of sentences", f"RTF by length, batch {many}") as (left, right):
        for way in ways_of(result):
            rows = [row for row in result["rows"] if row["way"] == way]
            speech = [(row["batch"], row["rtf"]) for row in rows if row["length_s"] == SPEECH]
            others = [row for row in rows if row["length_s"] != SPEECH and row["batch"] == many]
            lengths = [(row["length_s"], row["rtf"]) for row in others]
            for axis, points in ((left, speech), (right, lengths)):
                axis.plot([x for x, _ in sorted(points)], [rtf for _, rtf in sorted(points)], "o-", label=way)
        left.set_xlabel("utterances at once")
        right.set_xlabel("seconds of sound each")
        for axis in (left, right):
            axis.set_xscale("log", base=2)
            axis.set_ylim(bottom=0)
        left.legend(fontsize=8)


def main() -> None:
    parser = _stage.arguments("stage_vocoder", __doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="utterances at once")
    parser.add_argument(
        "--length", type=float, nargs="*", default=list(LENGTHS), help="seconds of sound of each"
    )
    _stage.run("stage_vocoder", parser.parse_args(), measure, show, plot)


if __name__ == "__main__":
    main()
