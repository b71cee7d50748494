"""The self-check: the machine, the chosen options and the reasons, and whether the model works correctly on it."""

from __future__ import annotations

import platform
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import psutil
from rich.console import Console

from deployments import assembly
from deployments.contract.errors import ChoraleError
from deployments.engine.device import cgroup, memory
from serve_app.cli.speaker import Speaker
from serve_app.config.settings import Settings

TEXT = "The train to the coast leaves in twenty minutes."
MARKS = {True: "[green]ok[/]    ", False: "[red]FAILED[/]", None: "      "}


class Finding(NamedTuple):
    """One line of the report. ok: None for information without a verdict."""

    name: str
    detail: str
    ok: bool | None = None


def report(settings: Settings, models: Iterable[str], console: Console, broken: Mapping[str, str]) -> bool:
    """Prints findings as they become available; returns False if one failed. broken: why models cannot be loaded."""
    sound = True
    unusable = {name: [Finding("model", why, False)] for name, why in broken.items()}
    for part in (_software(), *(unusable.get(model) or _model(settings, model) for model in models)):
        for finding in _until_an_error(part):
            sound = sound and finding.ok is not False
            console.print(f"{MARKS[finding.ok]}  {finding.name:<12}", end="")
            console.print(finding.detail, markup=False, highlight=False, soft_wrap=True)
    console.print("All checks passed." if sound else "Some checks failed.", style="green" if sound else "red")
    return sound


def _until_an_error(part: Iterable[Finding]) -> Iterator[Finding]:
    try:
        yield from part
    except ChoraleError as error:
        yield Finding(f"{type(error).__name__}: ", error.message, False)


def _software() -> Iterator[Finding]:
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "torchaudio", "ray"))
    yield Finding("software", f"chorale {version('chorale')}, Python {platform.python_version()}, {packages}")
    size = memory.readable(psutil.virtual_memory().total)
    yield Finding("machine", f"{cgroup.cpus()} of {psutil.cpu_count()} CPUs, {size}, {platform.platform()}")


def _device(settings: Settings, model: str) -> Iterator[Finding]:
    from deployments.engine.device.choose import has_fft

    options = settings.options(model)
    device = assembly.device(options, "gpt", assembly.load_family(options).spec)
    for reason in device.reasons:
        yield Finding("device", reason)
    yield Finding("device", f"{device.torch_device}: {device.name}", True)
    yield Finding("precision", f"{str(device.dtype).removeprefix('torch.')}, {device.threads} CPU thread(s)")
    where = "on the device" if has_fft(device.torch_device) else "on the CPU (not available on this device)"
    yield Finding("FFT", where)
    total, free = memory.total_bytes(device.torch_device), memory.free_bytes(device.torch_device)
    yield Finding("memory", f"{memory.readable(free)} of {memory.readable(total)} free on {device.kind}")
    suggested, most = memory.suggest_batch(device.kind, total)
    slots = settings.served[model].gpt.slots
    yield Finding("slots", f"gpt.slots is {slots}; memory suggests {suggested}, at most {most}")
    wanted, cpus = sum(each.busy_threads() for each in settings.served.values()), cgroup.cpus()
    detail = f"{wanted} for all replicas of gpt and vocoder, on {cpus} CPU(s)"
    if wanted > cpus:
        detail += ": they slow each other down if they run on one machine (see device.threads)"
    yield Finding("threads", detail)


def _model(settings: Settings, model: str) -> Iterator[Finding]:
    """Raises ChoraleError if the check of this model cannot continue."""
    if len(settings.served) > 1:
        yield Finding("model", model)
    yield from _device(settings, model)
    before = _memory()
    with Speaker(settings, model) as speaker:
        held = memory.readable(_memory() - before)
        yield Finding("load", f"family {speaker.model.spec.name} in {speaker.load_s:.2f} s, {held}", True)
        yield from _graphs(speaker)
        yield from _speech(speaker)
        kept = [weakref.ref(worker) for worker in speaker.backend.workers.values()]
    used = _memory() - before
    del speaker
    memory.free()
    freed = all(ref() is None for ref in kept)
    left = memory.readable(max(0, _memory() - before))
    detail = f"{memory.readable(used)} in use after speaking, {left} after closing"
    yield Finding("clean-up", detail if freed else f"{detail}: the model is still in memory", freed)


def _graphs(speaker: Speaker) -> Iterator[Finding]:
    for name, worker in speaker.backend.workers.items():
        status: dict[str, Any] = worker.status()  # pyright: ignore[reportAttributeAccessIssue]
        captured = f", {len(status['captured'])} captured" if status["captured"] else ""
        step = f"; step: {status['step']}" if "step" in status else ""
        yield Finding("graphs", f"{name}: {status['reason']}{captured}{step}")


def _speech(speaker: Speaker) -> Iterator[Finding]:
    first, again, other = (speaker.say(TEXT, seed=seed) for seed in (1, 1, 2))
    loud = bool(np.isfinite(first.waveform).all() and np.abs(first.waveform).max() > 0.01)
    times = f"first sound after {first.first_s:.2f} s, RTF {first.rtf:.2f}"
    trouble = "" if loud else ": silence, or samples that are not finite"
    yield Finding("speech", f"{first.seconds:.2f} s of audio, {times}{trouble}", loud)
    for seed, said, same in (("the same", again, True), ("another", other, False)):
        equal = np.array_equal(first.waveform, said.waveform)
        samples = "the same samples" if equal else "different samples"
        yield Finding("seeds", f"{seed} seed gives {samples}", equal == same)


def _memory() -> int:
    """Bytes in use by this process: on the GPU if there is one, otherwise in RAM."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss
