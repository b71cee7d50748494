"""The GPT stage: segments to runs of codes, by continuous batching on one device thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from deployments import families
from deployments.contract.work import StageWorker
from deployments.replica import LeasedReplica

log = logging.getLogger("ray.serve")


class Gpt(LeasedReplica):
    """Args: the family's name and options; `device`: preference, half, threads; the rest as in `Decoder`.

    slots: None takes what the device's memory suggests. chunks: as `ChunkSchedule.of` takes them; codes are
    sent on as soon as they complete one.
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
        emit_every: int = 16,
        first_sound_first: int = 0,
        batch_buckets: Sequence[int] | None = None,
        length_buckets: Sequence[int] | None = None,
        stuck_after_s: float = 60.0,
    ) -> None:
        def load() -> tuple[StageWorker, dict[str, Any]]:
            from deployments.engine.decode import Decoder
            from deployments.engine.device.choose import choose_device
            from deployments.engine.device.memory import suggest_batch, total_bytes
            from deployments.engine.vocode.schedule import ChunkSchedule

            chosen = choose_device(**device)
            log.info("Gpt: %s", chosen.describe())
            loaded = families.load(family, options)
            suggested, most = suggest_batch(chosen.kind, total_bytes(chosen.torch_device))
            schedule = ChunkSchedule.of(loaded.spec, **chunks) if chunks else ChunkSchedule()
            model, spec = loaded.gpt(chosen, slots or suggested), loaded.spec
            run_ends = schedule.run_ends(spec, model.max_codes)
            decoder = Decoder(
                model,
                chosen,
                optimize=optimize,
                emit_at=run_ends,
                emit_every=emit_every,
                first_sound_first=first_sound_first,
                batch_buckets=batch_buckets,
                length_buckets=length_buckets,
            )
            decoder.warm_up()
            return decoder, {
                "device": chosen.describe(),
                "slots_suggested": {"suggested": suggested, "most": most},
            }

        super().__init__("gpt", load, threads=device.get("threads"), stuck_after_s=stuck_after_s)
