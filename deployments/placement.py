"""Whether the node on which Ray has placed a replica is what the cluster says."""

from __future__ import annotations

from deployments import assembly
from deployments.contract.device import Device
from deployments.contract.errors import ConfigError
from deployments.contract.options import ModelOptions, ModelStage


def device(options: ModelOptions, stage: ModelStage) -> Device:
    """As `assembly.device`. Raises ConfigError, too, if Ray has reserved a GPU and none can be used.

    Otherwise a node that claims a GPU which it lacks would serve on its CPU, and nobody would know why it is slow.
    """
    chosen, gpus = assembly.device(options, stage), reserved_gpus()
    if gpus and chosen.kind == "cpu" and options.device.preference == "auto":
        message = (
            f"{stage}.num_gpus: Ray has reserved {gpus:g} GPU for this replica, and none can be used here "
            f"({'; '.join(chosen.reasons)}); correct the GPUs of the node, or set num_gpus: 0 or device.preference: cpu"
        )
        raise ConfigError(message, param=f"{stage}.num_gpus")
    return chosen


def reserved_gpus() -> float:
    """What Ray has reserved for this process, which is a worker of Ray; otherwise 0."""
    import ray

    if not ray.is_initialized() or ray._private.worker.global_worker.mode != ray.WORKER_MODE:
        return 0.0
    return ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
