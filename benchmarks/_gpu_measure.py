"""Steps of benchmarks.gpu, each in its own process: the card, checkpoints, and decode steps of the GPT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import _bound, _gpu_checkpoints, _gpu_family
from benchmarks._decoding import WARM_UP, decoded, step_s
from benchmarks._gpu_common import best_of, graphs_as_due, on_device_thread, weights
from deployments.contract.device import Device
from deployments.contract.family import Family, GptModel
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.decode.shapes import Shapes
from deployments.engine.device.choose import choose_device

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


def checkpoint(family: str, folder: str) -> dict[str, Any]:
    """Creates a checkpoint of the published size with random weights."""
    return {"gib": _gpu_checkpoints.gib(_gpu_checkpoints.published_size(family, Path(folder)))}


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
        graphs, model, shapes = _decoder(loaded, chosen, batches, steps, optimize=True)
        eager, *_ = _decoder(loaded, chosen, batches, steps, optimize=False)
        status, rows = graphs.status(), []
        for batch in batches:
            items = _items(loaded, batch)
            best = best_of(
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
            if copy_gb_per_s and family != "voxcpm":  # whose step reads the flow's weights several times
                positions = _gpu_family.positions(items[0].payload) + batch + WARM_UP + steps // 2
                size = _bound.bytes_of_a_step(model, batch, positions)
                row["step_mib"] = round(size / 2**20, 1)
                row["share_of_bandwidth"] = round(size / (copy_gb_per_s * 1e9) / best["graphs"], 4)
            rows.append(row)
        captured = not status["optimize"] or len(status["captured"]) == shapes
        return {
            "weights": weights(folder),
            "device": chosen.describe(),
            "status": status,
            "rows": rows,
            "checks": {"graphs where there is CUDA": graphs_as_due(chosen, status) and captured},
        }

    return on_device_thread(measure)


def half(
    family: str, folder: str | None, device: str, batches: list[int], steps: int, rounds: int, requests: int
) -> dict[str, Any]:
    """Half precision against fp32: milliseconds per step, and the code that each samples after the same codes."""

    def measure() -> dict[str, Any]:
        loaded = _gpu_family.load(family, folder)
        devices = {name: _gpu_family.device_of(device, half=name == "half") for name in ("fp32", "half")}
        decoders = {
            name: _decoder(loaded, chosen, batches, steps, optimize=True)[0]
            for name, chosen in devices.items()
        }
        rows = []
        for batch in batches:
            items = _items(loaded, batch)
            ways = {
                name: lambda decoder=decoder, items=items: step_s(decoder, items, steps)
                for name, decoder in decoders.items()
            }
            best = best_of(rounds, ways)
            rows.append(
                {"batch": batch, "times_fp32": round(best["fp32"] / best["half"], 3)}
                | {f"{name}_ms": round(1e3 * seconds, 3) for name, seconds in best.items()}
            )
        return {
            "weights": weights(folder),
            "dtype": devices["half"].describe()["dtype"],
            "rows": rows,
            "difference": _difference(loaded, decoders, requests),
        }

    return on_device_thread(measure)


def _difference(family: Family, decoders: dict[str, Decoder], requests: int) -> dict[str, Any]:
    """Compares the most likely next code, or the patch, and its frame when half precision continues the codes of fp32.

    The noise of a patch is that of its seed and place, so both have the same.
    """
    same, drawn, worst, steady = 0, 0, 0.0, _gpu_family.lasting(family)
    for index in range(requests):
        prompt = _gpu_family.prompt(family, index)
        request = _gpu_family.request(family, index, prompt, max_tokens=FOLLOWED[-1] + 1, **steady)
        said = decoded(decoders["fp32"], [WorkItem("fp32", request)])["fp32"]
        numbers = np.issubdtype(said.codes.dtype, np.integer)
        for known in (known for known in FOLLOWED if known < len(said)):
            sampling = replace(request.sampling, max_tokens=known + 1)
            follow = replace(request, sampling=sampling, prefix=said.codes[:known] if known else None)
            run = decoded(decoders["half"], [WorkItem("half", follow)])["half"]
            same += numbers and np.array_equal(run.codes[0], said.codes[known])
            drawn += numbers
            if run.frames is not None and said.frames is not None:
                worst = max(worst, _apart(run.frames[0], said.frames[known]))
            elif not numbers:
                worst = max(worst, _apart(run.codes[0], said.codes[known]))
    found = {"same_next_code": f"{same} of {drawn}"} if drawn else {}
    return {**found, "largest_relative_frame_difference": round(worst, 5)}


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def _decoder(
    family: Family, device: Device, batches: list[int], steps: int, *, optimize: bool
) -> tuple[Decoder, GptModel, int]:
    """A decoder warmed up for the batches and the lengths that `steps` steps reach, and how many shapes these are."""
    slots = max(batches)
    model = family.gpt(device, slots)
    decoder = Decoder(model, device, optimize=optimize, batch_buckets=batches)
    shapes = Shapes(slots, model.context, batches)
    start = _gpu_family.positions(_items(family, 1)[0].payload)
    ends = start + 1, start + slots + WARM_UP + steps, FOLLOWED[-1] + start + 1
    lengths = sorted({shapes.length(end, padded=True) for end in (1, *ends)})
    decoder.warm_up(batches, lengths if decoder.status()["optimize"] else None)
    return decoder, model, len(batches) * len(lengths)


def _items(family: Family, batch: int) -> list[WorkItem]:
    """Requests whose steps cost the same."""
    steady = _gpu_family.lasting(family)
    prompts = [_gpu_family.prompt(family, row) for row in range(batch)]
    return [
        WorkItem(str(row), _gpu_family.request(family, row, prompt, **steady))
        for row, prompt in enumerate(prompts)
    ]
