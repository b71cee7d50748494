"""What the container allows: a cgroup's memory and CPUs, in version 2 and in version 1 of the kernel's interface.

Files and their meaning: the kernel's documentation, admin-guide/cgroup-v2 and admin-guide/cgroup-v1.
"""

import os
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIPS = Path("/proc/self/cgroup")
UNLIMITED = 1 << 60  # version 1 reports no limit as a number near 2**63


def memory_left() -> int | None:
    """Bytes until the limit, including the reclaimable page cache; None without a limit."""
    for folder, limit, used in (
        (_folder(""), "memory.max", "memory.current"),
        (_folder("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        most, taken = _number(folder / limit), _number(folder / used)
        if most is not None and taken is not None and most < UNLIMITED:
            words = _text(folder / "memory.stat").split()
            statistics = dict(zip(words[::2], words[1::2], strict=False))
            return max(0, most - taken + int(statistics.get("inactive_file", 0)))
    return None


def cpus() -> int:
    """CPUs that this process may use: its affinity, or the quota of its cgroup where that is smaller. At least 1."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # no such call on macOS
        allowed = os.cpu_count() or 1
    quota = _text(_folder("") / "cpu.max").split()
    if len(quota) != 2:
        both = (_text(_folder("cpu") / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        quota = " ".join(both).split()
    if len(quota) == 2 and quota[0].isdecimal() and int(quota[1]):
        allowed = min(allowed, int(quota[0]) // int(quota[1]))
    return max(1, allowed)


def _folder(controller: str) -> Path:
    """This process's own group, or the root of what a container sees. `controller`: empty for version 2."""
    mount = MOUNT / controller if controller else MOUNT
    for line in _text(MEMBERSHIPS).splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if controller in names.split(",") and (own := mount / path.lstrip("/")).is_dir():
            return own
    return mount


def _number(path: Path) -> int | None:
    word = _text(path).strip()
    return int(word) if word.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # missing or not readable: no limit is known
        return ""
