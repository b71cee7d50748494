"""The load of a card as a whole, from all programs that use it. Does not import torch."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

Load = dict[str, Any]


def load(device: Any) -> Load:
    """The memory use and the utilization of the card: {} for the CPU, whose load is the machine's.

    device: a torch.device or its name. id: the same for one card in every process; memory_used_bytes,
    memory_total_bytes; utilization: the percentage of recent time in which the card was busy, None if the
    driver does not report it.
    """
    kind = str(device).partition(":")[0]
    backend = getattr(sys.modules.get("torch"), kind, None) if kind != "cpu" else None
    if backend is None:
        return {}
    free, total = backend.mem_get_info(device)
    busy = None
    with suppress(Exception):  # NVML, and torch's use of it, fail in many ways; a figure may be missing
        busy = float(backend.utilization(device))
    id = str(getattr(backend.get_device_properties(device), "uuid", device))
    return {"id": id, "memory_used_bytes": total - free, "memory_total_bytes": total, "utilization": busy}
