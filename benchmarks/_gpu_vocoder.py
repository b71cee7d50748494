"""The vocoder step of benchmarks.gpu: graphs against the eager network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks import _gpu_family
from benchmarks._gpu_common import best_of, graphs_as_due, on_device_thread, seconds_of, weights
from deployments.contract.device import Device
from deployments.contract.family import Family, VocoderModel
from deployments.contract.speech import VocoderChunk
from deployments.engine.device.choose import choose_device
from deployments.engine.graphs import GraphRunner
from deployments.engine.vocode.worker import LONGEST_S


def vocoder(
    family: str, folder: str | None, device: str, batches: list[int], frames: list[int], rounds: int
) -> dict[str, Any]:
    """Graphs against the eager network, by shape: frames per row without context."""

    def measure() -> dict[str, Any]:
        loaded, chosen = _gpu_family.load(family, folder), choose_device(device, threads=1)
        model, runner, rows = loaded.vocoder(chosen), GraphRunner(chosen, "vocoder"), []
        most = max(min(frames), round(LONGEST_S * loaded.spec.codes_per_second))
        for count in sorted((count for count in frames if count <= most), reverse=True):
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
            "weights": weights(folder),
            "device": chosen.describe(),
            "status": status,
            "rows": rows[::-1],
            "checks": {
                "graphs where there is CUDA": graphs_as_due(chosen, status),
                "every shape runs": not any("error" in row for row in rows),
                "graphs sound as eager does": all(row.get("difference", 0) < 1e-3 for row in rows),
            },
        }

    return on_device_thread(measure)


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
    best = best_of(rounds, {name: lambda run=run: seconds_of(run) for name, run in ways.items()})
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
            frames = draw.integers(0, _gpu_family.codes_of(family), shape)
        else:
            frames = draw.standard_normal(shape)
        prompt, conditions = _gpu_family.prompt(family, row), _gpu_family.segment(family, row).conditions
        chunk = VocoderChunk(frames.astype(model.frame_dtype), left, right, left, prompt, seed=row)
        found.append(replace(chunk, conditions=conditions))
    return found
