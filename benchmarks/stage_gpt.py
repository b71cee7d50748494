"""The GPT stage by batch size: codes per second, compared with plain eager code and with the memory bandwidth bound.

Every method decodes the same texts with the engine's decode loop, on one CPU thread or on the GPU:

    plain     the baseline: torch's own linear layers, eager, with batches and lengths padded as for graphs
    served    what the engine does on this device: CUDA graphs, or the batch-invariant step as one program
    eager     that step without the program, as with optimize: false (CPU)
    compiled  plain through torch.compile, one shape at a time (CPU; needs a C++ compiler)
    bf16      plain in bfloat16 (CPU)

The bound is the number of bytes that a step must read (weights once, keys and values of every row), divided by the
bandwidth at which this machine reads a buffer of that size, measured in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import _bound, _common, _stage
from benchmarks._decoding import WARM_UP, step_s
from benchmarks._plot import panels
from deployments import families
from deployments.contract.device import Device
from deployments.contract.family import Family
from deployments.contract.speech import GptRequest, Reference, Segment, VocoderChunk, VoicePrompt
from deployments.contract.work import StageWorker, WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.device.choose import choose_device
from deployments.engine.graphs import doublings
from deployments.engine.invariant import Linear
from deployments.engine.vocode.worker import VocodeWorker
from serve_app.service import SHIPPED_VOICES

BASELINE, SERVED = "plain", "served"
OF_THE_CPU = ("eager", "compiled", "bf16")
LENGTH = 512  # positions, for graphs and compilers; every text here fits


class Compiler:
    """A graph backend that compiles instead; the rest of the decode loop is unchanged."""

    def warm_up(self, function: Callable[[], Any]) -> None:
        torch._dynamo.config.recompile_limit = 64

    def capture(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        compiled = torch.compile(function, dynamic=False)
        outputs = compiled()

        def replay() -> None:
            for name, value in compiled().items():
                outputs[name].copy_(value)

        return replay, outputs


@dataclass(frozen=True, slots=True)
class Way:
    name: str
    model: Any
    decoder: Decoder
    tensors: Callable[[], Any]  # the context manager of a step
    made_s: float  # to load and warm up, including captures and compilation


@contextmanager
def ordinary_tensors() -> Iterator[None]:
    """Without inference mode, because compilers copy inference tensors that change in place."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def plain_layers() -> AbstractContextManager[Any]:
    """The linear layers made meanwhile are torch's own, which compilers can see into."""
    return patch.object(Linear, "_make_invariant", lambda layer: None)


def make_way(name: str, family: Family, device: Device, batches: list[int], prompt: VoicePrompt) -> Way:
    tensors = ordinary_tensors if name == "compiled" else nullcontext
    began = time.perf_counter()
    if name == "bf16":
        device = replace(device, dtype=torch.bfloat16)
    invariant = name in (SERVED, "eager")
    with tensors(), nullcontext() if invariant else plain_layers():
        model: Any = family.gpt(device, max(batches))
        model.cache.static |= not invariant
        buckets = sorted({min(LENGTH, model.context), model.context})
        decoder = Decoder(
            model,
            device,
            optimize=name in (SERVED, "compiled"),
            length_buckets=buckets,
            backend=Compiler() if name == "compiled" else None,
        )
        decoder.warm_up(batches, buckets[:1])
    return Way(name, model, decoder, tensors, time.perf_counter() - began)


def longest_segment(family: Family) -> Segment:
    """The longest of the test sentences, so that it does not end during the measurement."""
    text = " ".join(_common.sentences(40))
    return max(family.frontend().segments(text, None), key=lambda segment: len(segment.token_ids))


def requests(family: Family, segment: Segment, prompt: VoicePrompt, count: int) -> list[WorkItem]:
    return [
        WorkItem(str(row), GptRequest(segment, prompt, family.spec.sampling(seed=row)))
        for row in range(count)
    ]


def spoken(family: Family, worker: StageWorker, way: Way, texts: list[str], prompt: VoicePrompt) -> list[Any]:
    """Decodes the sentences together, then vocodes each as a whole: [(text, codes, waveform)]"""
    frontend, found, codes = family.frontend(), [], {}
    segments = [(text, segment) for text in texts for segment in frontend.segments(text, None)[:1]]
    left = [
        WorkItem(str(i), GptRequest(segment, prompt, family.spec.sampling(seed=i)))
        for i, (_, segment) in enumerate(segments)
    ]
    runs: dict[str, list[Any]] = {item.id: [] for item in left}
    with way.tensors():
        while left or way.decoder.active:
            while left and way.decoder.active < min(8, way.decoder.slots):
                way.decoder.admit(left.pop(0))
            for event in way.decoder.step():
                if event.value is not None:
                    runs[event.id].append(event.value)
    for i, (text, _) in enumerate(segments):
        frames = np.concatenate([run.spoken for run in runs[str(i)]])
        codes[i] = np.concatenate([run.codes for run in runs[str(i)]])
        worker.admit(WorkItem(f"v{i}", VocoderChunk(frames, 0, 0, 0, prompt, seed=i)))
        events = []
        while not events:
            events = worker.step()
        found.append((text, codes[i], events[0].value.waveform))
    return found


def clara(family: Family, device: Device) -> VoicePrompt:
    waveform, rate = soundfile.read(SHIPPED_VOICES / "clara.flac", dtype="float32")
    return family.voice_encoder(device).encode(Reference.of(waveform, rate))


def figures(
    ways: list[Way], taken: dict[str, dict[int, float]], device: Device, positions: int, rate: float
) -> Iterator[dict[str, Any]]:
    """One row for each batch and method. taken[way][batch]: seconds per step. rate: codes per second of speech."""
    for batch in taken[BASELINE]:
        for way in ways:
            seconds, size = taken[way.name][batch], _bound.bytes_of_a_step(way.model, batch, positions)
            bound = size / _bound.read_bandwidth(device.torch_device, size)
            yield {
                "batch": batch,
                "way": way.name,
                "step_ms": round(seconds * 1000, 3),
                "codes_per_s": round(batch / seconds, 1),
                "streams_in_real_time": round(batch / seconds / rate, 2),
                "times_plain": round(taken[BASELINE][batch] / seconds, 2),
                "bound_codes_per_s": round(batch / bound, 1),
                "share_of_bound": round(bound / seconds, 3),
            }


def heard(
    family: Family, device: Device, ways: list[Way], sentences: int, prompt: VoicePrompt
) -> dict[str, dict[str, Any]]:
    """For each method, its word error rate, and how often its codes equal those of the first method."""
    worker = VocodeWorker(family.vocoder(device), device, family.spec, optimize=False)
    reference: list[np.ndarray] | None = None
    rows = {}
    for way in ways:
        listener = _common.Listener()
        found = spoken(family, worker, way, _common.sentences(sentences), prompt)
        for text, _, waveform in found:
            listener.hear(text, waveform, family.spec.sample_rate)
        reference = reference or [codes for _, codes, _ in found]
        same = sum(np.array_equal(a, b) for a, (_, b, _) in zip(reference, found, strict=True))
        rows[way.name] = {
            "wer": round(listener.wer(), 4),
            "same_codes_as_plain": f"{same} of {len(found)}",
        }
    return rows


def measure(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """On the device thread."""
    device = choose_device(options.device, threads=options.threads)
    family = families.load(options.family, options.options)
    batches = options.batch or doublings(1, 32)
    prompt, segment = clara(family, device), longest_segment(family)
    ways = []
    for name in (BASELINE, SERVED, *(OF_THE_CPU if device.kind == "cpu" else ())):
        if name in options.without:
            continue
        try:
            ways.append(make_way(name, family, device, batches, prompt))
        except Exception as error:  # without a compiler or bfloat16, the other methods are still measured
            console.print(f"{name}: left out ({type(error).__name__})")
    taken: dict[str, dict[int, float]] = {way.name: {} for way in ways}
    for batch in batches:
        items = requests(family, segment, prompt, batch)
        for _ in range(options.rounds):
            for way in ways:
                with way.tensors():
                    found = step_s(way.decoder, items, options.steps)
                taken[way.name][batch] = min(found, taken[way.name].get(batch, found))
            console.print(f"batch {batch}", end="\r")
    positions = len(segment.token_ids) + WARM_UP + options.steps // 2
    rows = list(figures(ways, taken, device, positions, family.spec.codes_per_second))
    return {
        "device": device.describe(),
        "family": options.family,
        "positions": positions,
        "rounds": options.rounds,
        "steps": options.steps,
        "made_s": {way.name: round(way.made_s, 1) for way in ways},
        "rows": rows,
        "heard": heard(family, device, ways, options.sentences, prompt) if options.sentences else {},
    }


def show(result: dict[str, Any], console: Console) -> None:
    table = Table(
        title=f"GPT stage of {result['family']} on {result['device']['name']}: the best of the rounds"
    )
    for column in ("batch", "way", "step", "codes/s", "streams", "x plain", "bound codes/s", "of it"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for row in result["rows"]:
        table.add_row(
            str(row["batch"]),
            row["way"],
            f"{row['step_ms']:.2f} ms",
            f"{row['codes_per_s']:.0f}",
            f"{row['streams_in_real_time']:.1f}",
            f"{row['times_plain']:.2f}",
            f"{row['bound_codes_per_s']:.0f}",
            f"{row['share_of_bound']:.0%}",
        )
    console.print(table)
    for name, one in result["heard"].items():
        console.print(f"{name}: WER {one['wer']:.1%}, same codes as plain: {one['same_codes_as_plain']}")


def plot(out: Path, result: dict[str, Any]) -> None:
    with panels(out, "GPT stage", "codes per second", "milliseconds per step") as (left, right):
        for name in result["made_s"]:
            mine = [row for row in result["rows"] if row["way"] == name]
            left.plot([row["batch"] for row in mine], [row["codes_per_s"] for row in mine], "o-", label=name)
            right.plot([row["batch"] for row in mine], [row["step_ms"] for row in mine], "o-", label=name)
        for axis in (left, right):
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xlabel("batch")
        left.legend(fontsize=8)


def main() -> None:
    parser = _stage.arguments("stage_gpt", __doc__)
    parser.add_argument("--batch", type=int, action="append", help="repeatable; 1 to 32")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--without", action="append", default=[], choices=OF_THE_CPU)
    _stage.run("stage_gpt", parser.parse_args(), measure, show, plot)


if __name__ == "__main__":
    main()
