"""A replica's device and its priority on the node where Ray has placed it."""

from __future__ import annotations

import contextlib
import os
import threading

from deployments import assembly
from deployments.contract.device import Device
from deployments.contract.errors import ConfigError
from deployments.contract.family import FamilySpec
from deployments.contract.options import ModelOptions, ModelStage

HEAVY = 15  # niceness: see `make_way`


def device(options: ModelOptions, stage: ModelStage, spec: FamilySpec) -> Device:
    """As `assembly.device`, for the calling thread, which makes way if it will compute on the CPU.

    Raises ConfigError, too, if Ray has reserved a GPU and none can be used. Otherwise a node that claims a GPU which it
    lacks would serve on its CPU, and nobody would know why it is slow.
    """
    chosen, gpus = assembly.device(options, stage, spec), reserved_gpus()
    if gpus and chosen.kind == "cpu" and options.device.preference == "auto":
        message = (
            f"{stage}.num_gpus: Ray has reserved {gpus:g} GPU for this replica, and none can be used here "
            f"({'; '.join(chosen.reasons)}); correct the GPUs of the node, or set num_gpus: 0 or device.preference: cpu"
        )
        raise ConfigError(message, param=f"{stage}.num_gpus")
    if chosen.kind == "cpu":
        make_way()
    return chosen


def make_way() -> None:
    """Lowers the priority of this thread and of those that it starts, in favour of processes that only pass messages.

    With every CPU busy, a message would wait at each step of its way for a time slice of the models.
    """
    thread = threading.get_native_id()  # on Linux, each thread has its own
    with contextlib.suppress(OSError):
        usual = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(19, max(HEAVY, usual + 4)))


def reserved_gpus() -> float:
    """What Ray has reserved for this process, which is a worker of Ray; otherwise 0."""
    import ray
    from ray._private.worker import global_worker

    if not ray.is_initialized() or global_worker.mode != ray.WORKER_MODE:
        return 0.0
    return ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
