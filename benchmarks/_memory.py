"""The memory of a service's processes, by their role."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field

import psutil

from benchmarks._service import Service

REPLICA = re.compile(r"ray::ServeReplica:[^:]*:(\w+)")
ACTOR = re.compile(r"ray::(\w+)")
MIB = 2**20
RAY = "Ray: the rest"  # idle workers and small helpers
DAEMONS = {"gcs_server": "gcs_server", "/raylet": "raylet", "dashboard": "dashboard", "monitor": "monitors"}
OF_RAY = frozenset({RAY, "ServeController", "ProxyActor", "DashboardAgent", "RuntimeEnvAgent"}) | {
    f"Ray: {name}" for name in DAEMONS.values()
}


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes. rss counts shared pages in full, pss proportionally, uss not at all."""

    rss: int = 0
    pss: int = 0
    uss: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(self.rss + other.rss, self.pss + other.pss, self.uss + other.uss)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. parts: memory by part of the service. pids: the service's processes."""

    parts: dict[str, Held]
    pids: frozenset[int]
    device_bytes: int | None = None

    @property
    def total(self) -> Held:
        return sum(self.parts.values(), Held())

    @property
    def ours(self) -> Held:
        """The sum over the processes that run this project's code."""
        return sum((held for name, held in self.parts.items() if name not in OF_RAY), Held())


@dataclass(slots=True)
class Watch:
    """Samples a service. The name of each process is read once."""

    service: Service
    names: dict[int, str] = field(default_factory=dict)

    def sample(self) -> Sample:
        parts: dict[str, Held] = {}
        pids = set[int]()
        for process in self.service.processes():
            try:
                memory = process.memory_full_info()
                name = self._name(process)
            except psutil.Error:
                continue  # it has ended
            parts[name] = parts.get(name, Held()) + Held(memory.rss, memory.pss, memory.uss)
            if name != RAY:
                pids.add(process.pid)
        return Sample(parts, frozenset(pids), device_bytes())

    def _name(self, process: psutil.Process) -> str:
        name = self.names.get(process.pid, RAY)
        if name == RAY:  # an idle worker of Ray may become a replica
            name = self.names[process.pid] = part_of(process.cmdline(), process == self.service.process)
        return name


def part_of(command: Iterable[str], is_root: bool = False) -> str:
    """The part of the service that runs under this command line."""
    line = " ".join(command)
    if is_root:
        return "chorale serve"
    if found := REPLICA.search(line):
        return found[1]
    if (found := ACTOR.search(line)) and found[1] != "IDLE":
        return found[1]
    name = next((name for part, name in DAEMONS.items() if part in line.split(" --")[0]), None)
    return f"Ray: {name}" if name else RAY


def device_bytes() -> int | None:
    """Memory in use on all GPUs by all processes, or None if it cannot be measured."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return sum(int(line) for line in done.stdout.split()) * MIB
