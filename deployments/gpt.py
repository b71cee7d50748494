"""The GPT stage: segments to runs of codes, by continuous batching on one device thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from deployments import families
from deployments.engine.work import StageWorker
from deployments.replica import LeasedReplica

log = logging.getLogger("ray.serve")


class Gpt(LeasedReplica):
    """Args: the family's name and options; `device`: preference, half, threads; the rest as in `Decoder`.

    slots: None takes what the device's memory suggests. chunks: as `ChunkSchedule.of` takes them; `first_emit`, if
    not given, is what the first chunk takes.
    """

    def __init__(
        self,
        family: str,
        options: Mapping[str, Any],
        device: Mapping[str, Any],
        *,
        optimize: bool = True,
        slots: int | None = 8,
        chunks: Mapping[str, Any] | None = None,
        first_emit: int | None = None,
        emit_every: int = 16,
        head_start: int = 0,
        batch_buckets: Sequence[int] | None = None,
        length_buckets: Sequence[int] | None = None,
        stuck_after_s: float = 60.0,
    ) -> None:
        def load() -> tuple[StageWorker, dict[str, Any]]:
            from deployments.engine.decode import Decoder
            from deployments.engine.device import choose_device
            from deployments.engine.memory import suggest_batch, total_bytes
            from deployments.engine.schedule import ChunkSchedule

            chosen = choose_device(**device)
            log.info("Gpt: %s", chosen.describe())
            loaded = families.load(family, options)
            suggested, most = suggest_batch(chosen.kind, total_bytes(chosen.torch_device))
            schedule = ChunkSchedule.of(loaded.spec, **chunks) if chunks else ChunkSchedule()
            decoder = Decoder(
                loaded.gpt(chosen, slots or suggested),
                chosen,
                optimize=optimize,
                first_emit=first_emit or schedule.first_run(loaded.spec),
                emit_every=emit_every,
                head_start=head_start,
                batch_buckets=batch_buckets,
                length_buckets=length_buckets,
            )
            decoder.warm_up()
            return decoder, {
                "device": chosen.describe(),
                "slots_suggested": {"suggested": suggested, "most": most},
            }

        super().__init__("gpt", load, threads=device.get("threads"), stuck_after_s=stuck_after_s)
