"""Runs requests through the engine's decode loop: the time of a step, and the decoded codes."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from benchmarks import _bound
from deployments.contract.speech import Run
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder

WARM_UP = 5  # steps


def step_s(decoder: Decoder, items: Sequence[WorkItem], steps: int) -> float:
    """The seconds of one step with all items running."""
    for item in items:
        decoder.admit(item)
    while decoder.stats()["running"] < len(items):  # prefills
        decoder.step()
    for _ in range(WARM_UP):
        decoder.step()
    before = decoder.stats()["steps"]
    _bound.synchronise()
    began = time.perf_counter()
    for _ in range(steps):
        decoder.step()
    _bound.synchronise()
    taken = (time.perf_counter() - began) / (decoder.stats()["steps"] - before)
    assert decoder.active == len(items), "a sequence ended while it was measured"
    for item in items:
        decoder.cancel(item.id)
    while decoder.active:
        decoder.step()
    return taken


def decoded(decoder: Decoder, items: Sequence[WorkItem]) -> dict[str, Run]:
    """All codes and frames of each item by its id, for at most as many items as slots.

    Raises the error of a failed item.
    """
    runs: dict[str, list[Run]] = {item.id: [] for item in items}
    for item in items:
        decoder.admit(item)
    while decoder.active:
        for event in decoder.step():
            if event.error is not None:
                raise event.error
            if event.value is not None:
                runs[event.id].append(event.value)
    return {name: _joined(parts) for name, parts in runs.items()}


def _joined(runs: list[Run]) -> Run:
    frames = [run.frames for run in runs if run.frames is not None]
    codes = np.concatenate([run.codes for run in runs])
    return Run(codes, np.concatenate(frames) if frames else None, cut=runs[-1].cut)
