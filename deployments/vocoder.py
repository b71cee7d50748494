"""The vocoder stage: chunks of codes to sound, batched across requests on one device thread."""

from typing import Any

from deployments import assembly, placement
from deployments.contract.options import ModelOptions
from deployments.contract.work import StageWorker
from deployments.replica import LeasedReplica


class Vocoder(LeasedReplica):
    def __init__(self, options: ModelOptions) -> None:
        def load() -> tuple[StageWorker, dict[str, Any]]:
            family = assembly.load_family(options)
            device = placement.device(options, "vocoder", family.spec)
            worker = assembly.vocoder(options, family, device)
            worker.warm_up(family.example_prompt())
            return worker, {"device": device.describe()}

        super().__init__(
            "vocoder", load, assembly.threads(options, "vocoder"), options.vocoder.stuck_after_s, options.name
        )
