"""Memory: how much there is, how much this process holds, and giving back what is unused. Does not import torch."""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from typing import Any

import psutil

from deployments.contract.errors import DoesNotFit
from deployments.engine.device import cgroup

GB = 10**9  # as cards are sold by
# (memory from, suggested batch, most): the table that IndexTTS users know for its batched mode
SUGGESTIONS = ((12 * GB, 8, 12), (8 * GB, 6, 8), (0, 4, 6))

Usage = dict[str, int]


def suggest_batch(kind: str, memory_bytes: int) -> tuple[int, int]:
    """(suggested, most) segments at once for a device of `kind` ("cpu", "cuda", "musa") and its total memory."""
    size = 0 if kind == "cpu" else memory_bytes
    return next((suggested, most) for least, suggested, most in SUGGESTIONS if size >= least)


def total_bytes(device: Any) -> int:
    """Memory of a torch.device: the card's, or this machine's."""
    backend = _accelerator(device)
    return psutil.virtual_memory().total if backend is None else backend.mem_get_info(device)[1]


def free_bytes(device: Any) -> int:
    """What can still be allocated there: on the CPU no more than the container's limit leaves."""
    backend = _accelerator(device)
    if backend is not None:
        # what torch keeps for its next tensors
        kept = backend.memory_reserved(device) - backend.memory_allocated(device)
        return backend.mem_get_info(device)[0] + kept
    available, left = psutil.virtual_memory().available, cgroup.memory_left()
    return available if left is None else min(available, left)


def require(what: str, needed: int, device: Any, size: str) -> None:
    """Raises DoesNotFit (`size`) if `what`, a plural, needs more bytes than are free on `device`."""
    if needed > (free := free_bytes(device)):
        said = f"{what} need {readable(needed)}, {readable(free)} are free on {device}"
        raise DoesNotFit(said, size=size)


def readable(count: int) -> str:
    """1.5 GiB, 20 MiB"""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def usage() -> Usage:
    """What this process has now. rss_bytes: of the machine's memory; allocated, reserved: by torch, on a card."""
    said = {"rss_bytes": psutil.Process().memory_info().rss}
    for backend in _initialised():
        said["device_allocated_bytes"] = backend.memory_allocated()
        said["device_reserved_bytes"] = backend.memory_reserved()
    return said


def free() -> dict[str, Any]:
    """Gives back Python's garbage, torch's cached blocks and the C library's free pages.

    Returns {"pid", "before", "after"}, both as `usage`. Where a device thread works, call it there, between two steps.
    """
    before = usage()
    gc.collect()
    for backend in _initialised():
        backend.empty_cache()
    with suppress(AttributeError, OSError, TypeError):  # of another C library
        ctypes.CDLL(None).malloc_trim(0)
    return {"pid": os.getpid(), "before": before, "after": usage()}


def _accelerator(device: Any) -> Any:
    """torch.cuda or torch.musa, None for the CPU."""
    kind = device.type if hasattr(device, "type") else str(device).partition(":")[0]
    return None if kind == "cpu" else getattr(sys.modules["torch"], kind)


def _initialised() -> list[Any]:
    """torch.cuda and torch.musa, where this process has begun to use them."""
    backends = (getattr(sys.modules.get("torch"), kind, None) for kind in ("cuda", "musa"))
    return [backend for backend in backends if backend is not None and backend.is_initialized()]
