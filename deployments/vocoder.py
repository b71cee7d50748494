"""The vocoder stage: chunks of codes to sound, batched over requests on one device thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from deployments import families
from deployments.contract.work import StageWorker
from deployments.replica import LeasedReplica

log = logging.getLogger("ray.serve")


class Vocoder(LeasedReplica):
    """Args: the family's name and options; `device`: preference, half, threads; the rest as in `VocodeWorker`.

    chunk_size: frames of 10 ms in the longest chunk.
    """

    def __init__(
        self,
        family: str,
        options: Mapping[str, Any],
        device: Mapping[str, Any],
        *,
        optimize: bool = True,
        max_batch: int = 8,
        chunk_size: int = 500,
        frame_buckets: Sequence[int] | None = None,
        batch_buckets: Sequence[int] | None = None,
        stuck_after_s: float = 60.0,
    ) -> None:
        def load() -> tuple[StageWorker, dict[str, Any]]:
            from deployments.engine.device.choose import choose_device
            from deployments.engine.device.memory import require
            from deployments.engine.vocode.schedule import ChunkSchedule
            from deployments.engine.vocode.worker import VocodeWorker

            chosen = choose_device(**device)
            log.info("Vocoder: %s", chosen.describe())
            loaded = families.load(family, options)
            worker = VocodeWorker(
                loaded.vocoder(chosen),
                chosen,
                loaded.spec,
                max_batch=max_batch,
                optimize=optimize,
                chunk_frames=ChunkSchedule.longest(loaded.spec, chunk_size),
                frame_buckets=frame_buckets,
                batch_buckets=batch_buckets,
            )
            require(
                f"calls of {max_batch} of the longest chunks",
                worker.bytes,
                chosen.torch_device,
                "vocoder.max_batch",
            )
            worker.warm_up(loaded.example_prompt())
            return worker, {"device": chosen.describe()}

        super().__init__("vocoder", load, threads=device.get("threads"), stuck_after_s=stuck_after_s)
