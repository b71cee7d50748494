"""The GPT stage: segments to runs of codes, with continuous batching on one device thread."""

from typing import Any

from deployments import assembly, placement
from deployments.contract.options import ModelOptions
from deployments.contract.work import StageWorker
from deployments.replica import LeasedReplica


class Gpt(LeasedReplica):
    def __init__(self, options: ModelOptions) -> None:
        def load() -> tuple[StageWorker, dict[str, Any]]:
            family = assembly.load_family(options)
            device = placement.device(options, "gpt", family.spec)
            decoder = assembly.decoder(options, family, device)
            decoder.warm_up()
            return decoder, {"device": device.describe(), "slots_suggested": assembly.suggested_slots(device)}

        super().__init__(
            "gpt", load, assembly.threads(options, "gpt"), options.gpt.stuck_after_s, options.name
        )
