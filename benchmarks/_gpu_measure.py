"""The measurements of benchmarks.gpu. Each public function is a step, which runs in its own process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import _bound, _gpu_family
from benchmarks._decoding import WARM_UP, decoded, step_s
from deployments.contract.device import Device
from deployments.contract.family import Family, GptModel, VocoderModel
from deployments.contract.speech import GptRequest, VocoderChunk
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.decode.shapes import Shapes
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread
from deployments.engine.graphs import GraphRunner

COPY_BYTES = {"cpu": 2**26}  # the size of the copied buffer
COPY_BYTES_ON_A_CARD = 2**30
FOLLOWED = (0, 8, 16, 24)  # codes of the fp32 run forced in half precision before it samples one


def card(device: str) -> dict[str, Any]:
    """The device, its memory, and its copy bandwidth."""
    chosen = choose_device(device)
    size = COPY_BYTES.get(chosen.kind, COPY_BYTES_ON_A_CARD)
    found = chosen.describe() | {
        "torch": torch.__version__,
        "copy_gb_per_s": round(_bound.copy_bandwidth(chosen.torch_device, size) / 1e9, 1),
    }
    if chosen.kind == "cuda":
        about = torch.cuda.get_device_properties(chosen.torch_device)
        found |= {"memory_gib": round(about.total_memory / 2**30, 1), "cuda": torch.version.cuda}
        found |= {"capability": f"{about.major}.{about.minor}", "cudnn": torch.backends.cudnn.version()}
    return found


def checkpoint(folder: str) -> dict[str, Any]:
    """Creates an IndexTTS 1.5 checkpoint of the published size with random weights."""
    from tests.golden.random_indextts import make

    made = make(Path(folder))
    return {"gib": round(sum(file.stat().st_size for file in made.iterdir()) / 2**30, 2)}


# the GPT


def decode(
    family: str,
    folder: str | None,
    device: str,
    batches: list[int],
    steps: int,
    rounds: int,
    copy_gb_per_s: float | None,
) -> dict[str, Any]:
    """Steps with CUDA graphs and eager steps, alternating, and the bandwidth bound."""

    def measure() -> dict[str, Any]:
        loaded, chosen = _gpu_family.load(family, folder), choose_device(device, threads=1)
        graphs, model = _decoder(loaded, chosen, batches, optimize=True)
        eager, _ = _decoder(loaded, chosen, batches, optimize=False)
        status, rows = graphs.status(), []
        for batch in batches:
            items = _items(loaded, batch)
            best = _best_of(
                rounds,
                {
                    "graphs": lambda items=items: step_s(graphs, items, steps),
                    "eager": lambda items=items: step_s(eager, items, steps),
                },
            )
            row: dict[str, Any] = {"batch": batch}
            for way, seconds in best.items():
                row[f"{way}_ms"] = round(1e3 * seconds, 3)
                row[f"{way}_codes_per_s"] = round(batch / seconds, 1)
            if copy_gb_per_s:
                payload: GptRequest = items[0].payload
                positions = len(payload.segment.token_ids) + batch + WARM_UP + steps // 2
                size = _bound.bytes_of_a_step(model, batch, positions)
                row["step_mib"] = round(size / 2**20, 1)
                row["share_of_bandwidth"] = round(size / (copy_gb_per_s * 1e9) / best["graphs"], 4)
            rows.append(row)
        captured = not status["optimize"] or len(status["captured"]) == len(batches)
        return {
            "weights": _weights(family, folder),
            "device": chosen.describe(),
            "status": status,
            "rows": rows,
            "checks": {"graphs where there is CUDA": _graphs_as_due(chosen, status) and captured},
        }

    return _on_device_thread(measure)


def half(
    family: str, folder: str | None, device: str, batches: list[int], steps: int, rounds: int, requests: int
) -> dict[str, Any]:
    """Half precision against fp32: milliseconds per step, and the code that each samples after the same codes."""

    def measure() -> dict[str, Any]:
        loaded = _gpu_family.load(family, folder)
        devices = {name: _gpu_family.device_of(device, half=name == "half") for name in ("fp32", "half")}
        decoders = {name: _decoder(loaded, chosen, batches, True)[0] for name, chosen in devices.items()}
        rows = []
        for batch in batches:
            items = _items(loaded, batch)
            ways = {
                name: lambda decoder=decoder, items=items: step_s(decoder, items, steps)
                for name, decoder in decoders.items()
            }
            best = _best_of(rounds, ways)
            rows.append(
                {"batch": batch, "times_fp32": round(best["fp32"] / best["half"], 3)}
                | {f"{name}_ms": round(1e3 * seconds, 3) for name, seconds in best.items()}
            )
        return {
            "weights": _weights(family, folder),
            "dtype": devices["half"].describe()["dtype"],
            "rows": rows,
            "difference": _difference(loaded, decoders, requests),
        }

    return _on_device_thread(measure)


def _difference(family: Family, decoders: dict[str, Decoder], requests: int) -> dict[str, Any]:
    """Compares the most likely next code and its frame when half precision continues the codes of fp32."""
    same, drawn, worst = 0, 0, 0.0
    for index in range(requests):
        greedy = _gpu_family.request(
            family, index, _gpu_family.prompt(family, index), temperature=0.0, max_tokens=FOLLOWED[-1] + 1
        )
        said = decoded(decoders["fp32"], [WorkItem("fp32", greedy)])["fp32"]
        for known in (known for known in FOLLOWED if known < len(said)):
            sampling = replace(greedy.sampling, max_tokens=known + 1)
            follow = replace(greedy, sampling=sampling, prefix=said.codes[:known] if known else None)
            run = decoded(decoders["half"], [WorkItem("half", follow)])["half"]
            same += np.array_equal(run.codes[0], said.codes[known])
            drawn += 1
            if run.frames is not None and said.frames is not None:
                apart = np.linalg.norm(run.frames[0] - said.frames[known])
                worst = max(worst, float(apart / np.linalg.norm(said.frames[known])))
    return {"same_next_code": f"{same} of {drawn}", "largest_relative_frame_difference": round(worst, 5)}


def _decoder(family: Family, device: Device, batches: list[int], optimize: bool) -> tuple[Decoder, GptModel]:
    """A decoder warmed up for the batches and the shortest length bucket, which suffices here."""
    slots = max(batches)
    model = family.gpt(device, slots)
    decoder = Decoder(model, device, optimize=optimize, batch_buckets=batches)
    shortest = Shapes(slots, model.context, batches).lengths[:1]
    decoder.warm_up(batches, shortest if decoder.status()["optimize"] else None)
    return decoder, model


def _items(family: Family, batch: int) -> list[WorkItem]:
    """Greedy requests: a step costs the same, and random weights do not sample an early end."""
    prompts = [_gpu_family.prompt(family, row) for row in range(batch)]
    return [
        WorkItem(str(row), _gpu_family.request(family, row, prompt, temperature=0.0))
        for row, prompt in enumerate(prompts)
    ]


# the vocoder


def vocoder(
    family: str, folder: str | None, device: str, batches: list[int], frames: list[int], rounds: int
) -> dict[str, Any]:
    """Graphs against the eager network, by shape: frames per row without context."""

    def measure() -> dict[str, Any]:
        loaded, chosen = _gpu_family.load(family, folder), choose_device(device, threads=1)
        model, runner, rows = loaded.vocoder(chosen), GraphRunner(chosen, "vocoder"), []
        for count in sorted(frames, reverse=True):
            for batch in sorted(batches, reverse=True):
                chunks = _chunks(loaded, model, batch, count)
                row: dict[str, Any] = {"batch": batch, "frames": count}
                try:
                    row |= _vocoder_row(loaded, model, runner, chosen, chunks, rounds)
                except Exception as error:  # the largest shape may not fit a small card
                    row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
                rows.append(row)
        status = runner.status()
        return {
            "weights": _weights(family, folder),
            "device": chosen.describe(),
            "status": status,
            "rows": rows[::-1],
            "checks": {
                "graphs where there is CUDA": _graphs_as_due(chosen, status),
                "every shape runs": not any("error" in row for row in rows),
                "graphs sound as eager does": all(row.get("difference", 0) < 1e-3 for row in rows),
            },
        }

    return _on_device_thread(measure)


def _vocoder_row(
    family: Family,
    model: VocoderModel,
    runner: GraphRunner,
    device: Device,
    chunks: list[VocoderChunk],
    rounds: int,
) -> dict[str, Any]:
    total = len(chunks[0].frames)
    inputs, key = model.collate(chunks, len(chunks), total), (len(chunks), total)
    runner.capture(key, model.forward, inputs)
    model.forward({name: value.to(device.torch_device) for name, value in inputs.items()})

    def sound(run: Callable[[], dict[str, torch.Tensor]]) -> list[np.ndarray]:
        outputs = {name: value.cpu() for name, value in run().items()}
        return [chunk.waveform for chunk in model.split(outputs, chunks)]

    ways = {
        "graphs": lambda: runner.call(key, model.forward, inputs),
        "eager": lambda: model.forward({name: t.to(device.torch_device) for name, t in inputs.items()}),
    }
    graphs, eager = sound(ways["graphs"]), sound(ways["eager"])
    best = _best_of(rounds, {name: lambda run=run: _seconds(run) for name, run in ways.items()})
    speech_s = sum(len(waveform) for waveform in graphs) / family.spec.sample_rate
    return {
        "graphs_ms": round(1e3 * best["graphs"], 3),
        "eager_ms": round(1e3 * best["eager"], 3),
        "graphs_rtf": round(best["graphs"] / speech_s, 6),
        "times_eager": round(best["eager"] / best["graphs"], 3),
        "difference": max(float(np.abs(a - b).max()) for a, b in zip(graphs, eager, strict=True)),
    }


def _chunks(family: Family, model: VocoderModel, batch: int, count: int) -> list[VocoderChunk]:
    """Chunks from the middle of a segment, with context on both sides."""
    left, right = family.spec.left_context, family.spec.right_context
    draw, shape = np.random.default_rng(0), (left + count + right, *model.frame_shape)
    found = []
    for row in range(batch):
        if issubclass(model.frame_dtype, np.integer):
            frames = draw.integers(0, getattr(family, "config").n_codes, shape)  # noqa: B009
        else:
            frames = draw.standard_normal(shape)
        prompt = _gpu_family.prompt(family, row)
        found.append(VocoderChunk(frames.astype(model.frame_dtype), left, right, left, prompt, seed=row))
    return found


# both


def _graphs_as_due(device: Device, status: dict[str, Any]) -> bool:
    return status["optimize"] == (device.kind == "cuda")


def _weights(family: str, folder: str | None) -> str:
    if family != "indextts":
        return "shipped"
    return "random, of the published size" if folder else "random, of a few megabytes (the golden set)"


def _on_device_thread(function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    thread = DeviceThread("gpu", threads=1)
    try:
        return thread.submit(function).result()
    finally:
        thread.close()


def _best_of(rounds: int, ways: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Alternates between the methods. Each returns seconds; the least counts."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            best[name] = min(way(), best.get(name, float("inf")))
    return best


def _seconds(run: Callable[[], Any]) -> float:
    _bound.synchronise()
    began = time.perf_counter()
    run()
    _bound.synchronise()
    return time.perf_counter() - began
