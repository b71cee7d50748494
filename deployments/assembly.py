"""Makes the workers of a model's stages from its options. torch is imported only on the thread that owns the device."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments import families
from deployments.contract.controls import configured
from deployments.contract.device import Device
from deployments.contract.errors import ConfigError, DoesNotFit
from deployments.contract.family import Family, FamilySpec
from deployments.contract.options import ModelOptions, ModelStage
from deployments.engine.device import cgroup, memory
from deployments.engine.vocode.schedule import ChunkSchedule
from deployments.prompts import PromptStore, fingerprint

if TYPE_CHECKING:
    from deployments.engine.decode import Decoder
    from deployments.engine.vocode.worker import VocodeWorker

log = logging.getLogger("ray.serve")

EDGE = 2**16  # bytes

_OPTIONS = {  # that decide on the sizes of `DoesNotFit`
    "slots": "gpt.slots",
    "buckets": "gpt.length_buckets",
    "max_batch": "vocoder.max_batch",
    "first_chunk": "chunks.first",
}


@contextmanager
def _named_options() -> Iterator[None]:
    """Turns DoesNotFit into a ConfigError that names the option at fault."""
    try:
        yield
    except DoesNotFit as error:
        option = _OPTIONS[error.size]
        raise ConfigError(f"{option}: {error.message}", param=option) from None


def load_family(options: ModelOptions) -> Family:
    """The family, with the options' sampling as its defaults. Raises ConfigError for what is unknown or wrong."""
    family = families.load(options.family.name, options.family.options)
    wanted, spec = options.sampling, family.spec
    controls = configured(spec.controls, wanted.model_extra or {}, spec.name)
    family.spec = replace(spec, controls=controls, max_tokens=wanted.max_tokens or spec.max_tokens)
    return family


def threads(options: ModelOptions, stage: ModelStage) -> int:
    """CPU threads of a replica of `stage`, on the machine that asks."""
    wanted = getattr(options, stage).threads or options.device.threads
    return max(1, cgroup.cpus() // options.busy_replicas) if wanted == "auto" else wanted


def device(options: ModelOptions, stage: ModelStage, spec: FamilySpec) -> Device:
    """Raises ConfigError if the requested device cannot be used."""
    from deployments.engine.device.choose import choose_device

    wanted = options.device
    count = threads(options, stage)
    chosen = choose_device(wanted.preference, wanted.half, count, half_on_cpu=spec.half_on_cpu)
    log.info("%s: %s", stage, chosen.describe())
    return chosen


@_named_options()
def schedule(options: ModelOptions, spec: FamilySpec) -> ChunkSchedule:
    """Raises ConfigError if the chunks do not fit the family."""
    chunks = options.chunks
    return ChunkSchedule.of(spec, options.vocoder_chunk_size, chunks.first, chunks.growth)


@_named_options()
def decoder(options: ModelOptions, family: Family, on: Device, least_slots: int = 1) -> Decoder:
    """Not warmed up; has at least `least_slots`. Raises ConfigError for what does not fit family or memory."""
    from deployments.engine.decode import Decoder

    wanted = options.gpt
    usual = suggested_slots(on)["suggested"] if wanted.slots == "auto" else wanted.slots
    slots = usual + wanted.burst_slots
    model = family.gpt(on, max(slots, least_slots))
    return Decoder(
        model,
        on,
        optimize=options.optimize,
        emit_at=schedule(options, family.spec).run_ends(family.spec, model.max_codes),
        emit_every=wanted.emit_every,
        first_sound_first=wanted.first_sound_first,
        batch_buckets=wanted.batch_buckets if model.slots == slots else None,
        length_buckets=wanted.length_buckets,
    )


@_named_options()
def vocoder(options: ModelOptions, family: Family, on: Device) -> VocodeWorker:
    """Not warmed up. Raises ConfigError for what does not fit the device's memory."""
    from deployments.engine.vocode.worker import VocodeWorker

    wanted = options.vocoder
    worker = VocodeWorker(
        family.vocoder(on),
        on,
        family.spec,
        max_batch=wanted.max_batch,
        optimize=options.optimize and options.use_vocoder_optimization,
        chunk_frames=ChunkSchedule.longest(family.spec, options.vocoder_chunk_size),
        frame_buckets=wanted.frame_buckets,
        batch_buckets=wanted.batch_buckets,
    )
    what = f"calls of {wanted.max_batch} of the longest chunks"
    memory.require(what, worker.bytes, on.torch_device, "max_batch")
    return worker


def weights_digest(folder: Path) -> str:
    """Identifies a model's files by their names, sizes and the EDGE bytes at both ends of each: they are gigabytes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)}:{size}:".encode())
        with path.open("rb") as file:
            digest.update(file.read(EDGE))
            file.seek(max(0, size - EDGE))
            digest.update(file.read(EDGE))
    return digest.hexdigest()[:32]


def prompt_store(options: ModelOptions, family: Family, on: Device) -> PromptStore | None:
    """Where the family's voice prompts are kept on disk."""
    if options.prompts is None:
        return None
    name = fingerprint(family, options.family.options, on)
    kept = options.voice_encoder
    root = Path(options.prompts).expanduser()
    return PromptStore(root, family.spec.name, name, kept.disk_cache, kept.disk_cache_bytes)


def suggested_slots(on: Device) -> dict[str, Any]:
    """{"suggested", "most"} by the device's memory."""
    suggested, most = memory.suggest_batch(on.kind, memory.total_bytes(on.torch_device))
    return {"suggested": suggested, "most": most}
