"""The progress of a job, its speed, and the time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from serve_app.jobs.segments import Counts

BATCHES = 3  # whose mean gives the time left
SHARE = 0.1  # of the time so far, which a batch lasts at least: with a long job, batches grow and the estimate settles


def spoken_time(seconds: float | None) -> str | None:
    """A duration for people: in seconds below a minute, in minutes below an hour, else in hours."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


@dataclass
class Batches:
    """The work of one runner on a job. A batch ends when `size` more segments are spoken and SHARE has passed."""

    size: int
    last: deque[tuple[float, int]] = field(
        default_factory=lambda: deque(maxlen=BATCHES)
    )  # seconds, characters
    characters: int = 0
    audio_seconds: float = 0.0
    _began: float | None = None
    _batch_began: float = 0.0
    _segments: int = 0
    _characters: int = 0

    def begin(self) -> None:
        """Starts the clock: segments are spoken from now on."""
        now = time.monotonic()
        self._began, self._batch_began = self._began or now, now

    def add(self, characters: int, audio_seconds: float) -> None:
        """A segment has been spoken."""
        self.characters += characters
        self.audio_seconds += audio_seconds
        self._segments += 1
        self._characters += characters
        now = time.monotonic()
        least = SHARE * self.seconds
        if self._segments >= self.size and now - self._batch_began >= least:
            self.last.append((now - self._batch_began, self._characters))
            self._batch_began, self._segments, self._characters = now, 0, 0

    @property
    def seconds(self) -> float:
        """Since the first segment was begun."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def remaining(self, characters: int) -> float | None:
        """Seconds for this many more characters, None before the first batch ends."""
        spoken = sum(count for _, count in self.last)
        return characters * sum(seconds for seconds, _ in self.last) / spoken if spoken else None


@dataclass
class Conversion:
    """How long the files of a job take after its last segment. share: of the duration of its sound.

    The default is that of an M4B on one core of a small server, until a job of this process was converted.
    """

    share: float = 0.007

    def measured(self, seconds: float, audio_seconds: float) -> None:
        """Files with `audio_seconds` of sound in all took `seconds`."""
        if audio_seconds:
            self.share = seconds / audio_seconds


def figures(
    total: Counts, batches: Batches, chapter: str | None, rate: int, conversion: Conversion, copies: int = 1
) -> dict[str, Any]:
    """What a runner stores with its job.

    total: of all segments; rate: of their sound, in Hz; copies: how often the files have the sound (twice with a
    read-along).
    """
    speed = realtime = None
    spoken = total.samples / rate if rate else 0.0
    remaining = batches.remaining(total.characters - total.characters_done)
    if remaining is not None:
        whole = spoken * total.characters / max(1, total.characters_done)
        remaining += conversion.share * whole * copies
    if batches.audio_seconds and batches.seconds:
        speed = round(batches.characters / batches.seconds, 2)
        realtime = round(batches.seconds / batches.audio_seconds, 4)
    return {
        "segments": total.segments,
        "segments_done": total.spoken + total.faulty,
        "characters": total.characters,
        "characters_done": total.characters_done,
        "faults": total.faulty,
        "chapter": chapter,
        "audio_seconds": round(spoken, 3),
        "remaining_seconds": remaining,
        "batch_seconds": [round(seconds, 3) for seconds, _ in batches.last],
        "characters_per_second": speed,
        "real_time_factor": realtime,
    }


def machine() -> dict[str, Any]:
    """The memory of this process, and the memory and CPU of this machine."""
    memory = psutil.virtual_memory()
    return {
        "process": {"memory_bytes": psutil.Process().memory_info().rss},
        "system": {
            "memory_used_bytes": memory.used,
            "memory_total_bytes": memory.total,
            "cpu_percent": psutil.cpu_percent(),
        },
    }


def device(status: Mapping[str, Any], system: Mapping[str, Any]) -> dict[str, Any]:
    """The device of a model. status: from `Backend.status`; system: from `machine`.

    memory_used_bytes: on cards, what all processes of the model hold there; memory_total_bytes: of all its cards;
    utilization: their mean in percent. On a CPU all three are the machine's. None for what is not reported.
    """
    stages = [stage for stage in (status.get("stages") or {}).values() if isinstance(stage, Mapping)]
    replicas = [replica for stage in stages for replica in (stage.get("replicas") or {}).values()]
    holders = [holder for holder in (status, *replicas) if isinstance(holder, Mapping)]
    memories = [holder.get("memory") or {} for holder in holders]
    held = [memory["device_reserved_bytes"] for memory in memories if "device_reserved_bytes" in memory]
    cards = {load["id"]: load for holder in holders if (load := holder.get("load"))}
    busy = [load["utilization"] for load in cards.values() if load["utilization"] is not None]
    about = status.get("device") or {}
    if about.get("kind") == "cpu":
        used, total, share = (
            system[name] for name in ("memory_used_bytes", "memory_total_bytes", "cpu_percent")
        )
    else:
        used = sum(held) if held else None
        total = sum(load["memory_total_bytes"] for load in cards.values()) or None
        share = round(sum(busy) / len(busy), 1) if busy else None
    return {
        "name": about.get("name") or None,
        "memory_used_bytes": used,
        "memory_total_bytes": total,
        "utilization": share,
    }


def progress(state: str, figures: Mapping[str, Any], worked: float) -> dict[str, Any]:
    """The progress of a job as clients see it. worked: seconds that runners have spent on it."""
    done, characters = figures.get("characters_done", 0), figures.get("characters", 0)
    share = done / characters if characters else 0.0
    finished = state in ("done", "done_with_faults")
    remaining = figures.get("remaining_seconds") if state == "generating" else None
    return {
        "percent": 100.0 if finished else round(min(100 * share, 99.9), 1),
        "segments": figures.get("segments", 0),
        "segments_done": figures.get("segments_done", 0),
        "characters": characters,
        "characters_done": done,
        "chapter": figures.get("chapter"),
        "audio_seconds": figures.get("audio_seconds", 0.0),
        "elapsed_seconds": round(worked, 1),
        "remaining_seconds": None if remaining is None else round(remaining, 1),
        "elapsed": spoken_time(worked),
        "remaining": spoken_time(remaining),
        "batch_seconds": figures.get("batch_seconds", []),
        "characters_per_second": figures.get("characters_per_second"),
        "real_time_factor": figures.get("real_time_factor"),
    }
