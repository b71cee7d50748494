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
            return max(0, most - taken + _statistic(folder / "memory.stat", "inactive_file"))
    return None


def cpus() -> int:
    """CPUs that this process may use: its affinity, or the quota of its cgroup where that is smaller. At least 1."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # no such call on macOS
        allowed = os.cpu_count() or 1
    quota = _words(_folder("") / "cpu.max")
    if len(quota) != 2:
        quota = [
            word for name in ("quota", "period") for word in _words(_folder("cpu") / f"cpu.cfs_{name}_us")
        ]
    if len(quota) == 2 and quota[0].isdecimal() and int(quota[1]):
        allowed = min(allowed, int(quota[0]) // int(quota[1]))
    return max(1, allowed)


def _folder(controller: str) -> Path:
    """This process's own group, or the root of what a container sees. `controller`: empty for version 2."""
    mount = MOUNT / controller if controller else MOUNT
    for line in _lines(MEMBERSHIPS):
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if controller in names.split(",") and (own := mount / path.lstrip("/")).is_dir():
            return own
    return mount


def _statistic(path: Path, name: str) -> int:
    found = (line.split() for line in _lines(path))
    return next((int(words[1]) for words in found if len(words) == 2 and words[0] == name), 0)


def _number(path: Path) -> int | None:
    words = _words(path)
    return int(words[0]) if words and words[0].isdecimal() else None


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # missing or not readable: no limit is known
        return []
