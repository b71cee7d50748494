"""The GPT stage: segments to runs of codes, by continuous batching on one device thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from deployments import families
from deployments.engine.work import StageWorker
from deployments.replica import LeasedReplica

log = logging.getLogger("ray.serve")


class Gpt(LeasedReplica):
    """Args: the family's name and options; `device`: preference, half, threads; the rest as in `Decoder`."""

    def __init__(
        self,
        family: str,
        options: Mapping[str, Any],
        device: Mapping[str, Any],
        *,
        optimize: bool = True,
        slots: int = 8,
        first_emit: int | None = None,
        emit_every: int = 16,
        stuck_after_s: float = 60.0,
    ) -> None:
        def load() -> tuple[StageWorker, dict[str, Any]]:
            from deployments.engine.chunks import first_run
            from deployments.engine.decode import Decoder
            from deployments.engine.device import choose_device

            chosen = choose_device(**device)
            log.info("Gpt: %s", chosen.describe())
            loaded = families.load(family, options)
            first = first_emit or first_run(loaded.spec)
            model = loaded.gpt(chosen, slots)
            decoder = Decoder(model, chosen, optimize=optimize, first_emit=first, emit_every=emit_every)
            decoder.warm_up()
            return decoder, {"device": chosen.describe()}

        super().__init__("gpt", load, threads=device.get("threads"), stuck_after_s=stuck_after_s)
