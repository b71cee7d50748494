"""The options of a model's stages, each declared once: a new one is a field here and a line where it is used.

The configuration composes them (serve_app/config), and `deployments.assembly` makes the workers from them.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


def _ascending(buckets: list[int]) -> list[int]:
    if not buckets or sorted(set(buckets)) != buckets:
        raise ValueError(f"must be ascending numbers, at least one, none twice (is {buckets})")
    return buckets


def _ending_at(key: str, more: str = "") -> AfterValidator:
    """more: a further key whose number is added, if it is not 0."""

    def check(buckets: list[int], info: ValidationInfo) -> list[int]:
        most, added = info.data.get(key), info.data.get(more, 0)  # absent where they are wrong themselves
        if most == "auto":
            raise ValueError(f"cannot be listed while {key} is auto: give {key} a number, or omit the list")
        named = f"the sum of {key} and {more}" if added else key
        if most is not None and buckets[-1] != most + added:
            raise ValueError(f"must end at {named}, {most + added} (is {buckets})")
        return buckets

    return AfterValidator(check)


Positive = Annotated[int, Field(gt=0, le=2**40)]
Threads = Annotated[int, Field(gt=0, le=1024)]
Seconds = Annotated[float, Field(gt=0, le=1_000_000)]
Buckets = Annotated[list[Positive], AfterValidator(_ascending)]
ChunkSize = Annotated[int, Field(ge=20, le=100_000)]  # frames of 10 ms
ModelStage = Literal["text_frontend", "voice_encoder", "gpt", "vocoder"]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FamilyOptions(Options):
    """`options`: the family's own, which it checks itself."""

    name: str = "small"
    options: dict[str, Any] = {}


class DeviceOptions(Options):
    """half: true and false force it. threads: CPU threads of a model replica; "auto" shares the machine's out."""

    preference: Literal["auto", "musa", "cuda", "cpu"] = "auto"
    half: Literal["auto"] | bool = "auto"
    threads: Threads | Literal["auto"] = 1


class ChunkOptions(Options):
    """`first`: codes in a segment's first chunk, "whole" for as many as the longest has; `growth`: of the others."""

    first: Positive | Literal["whole"] = 10
    growth: Annotated[float, Field(ge=1, le=100)] = 2.0


class StageOptions(Options):
    """`threads`: CPU threads of a replica; None is `device.threads`."""

    threads: Threads | None = None


class LeaseOptions(StageOptions):
    """Of a stage that works under leases. `stuck_after_s`: a device step that takes longer fails the health check."""

    stuck_after_s: Seconds = 60.0


class GptOptions(LeaseOptions):
    """emit_every: the most codes in a run that is sent on; one is also sent as soon as it completes a vocoder chunk.

    first_segment_share: the share of a replica's slots that first segments get at once, before later segments.
    first_sound_first: with this many active segments, those that have produced sound pause for those that have not.
    slots: "auto" takes what the device's memory suggests. burst_slots: further ones, which only first segments take,
    when the others are taken and no request was rejected just before. batch_buckets, length_buckets: the shapes that
    graphs are captured for; if not given, powers of two up to all slots, and doublings from 256 up to the context.
    """

    slots: Annotated[int, Field(gt=0, le=100_000)] | Literal["auto"] = 8
    burst_slots: Annotated[int, Field(ge=0, le=100_000)] = 0
    batch_buckets: Annotated[Buckets, _ending_at("slots", "burst_slots")] | None = None
    length_buckets: Buckets | None = None
    emit_every: Positive = 16
    first_segment_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    first_sound_first: Annotated[int, Field(ge=0, le=100_000)] = 0


class VocoderOptions(LeaseOptions):
    """batch_buckets, frame_buckets: the shapes that graphs are captured for, frames without their context."""

    max_batch: Annotated[int, Field(gt=0, le=256)] = 8
    batch_buckets: Annotated[Buckets, _ending_at("max_batch")] | None = None
    frame_buckets: Buckets | None = None


class VoiceEncoderOptions(StageOptions):
    """Voice prompts kept by the content of the reference: `cache_size` in a replica's memory, and on disk, for all
    replicas and over restarts, up to `disk_cache` of them and `disk_cache_bytes` together; 0 keeps none there.
    Those of recordings that come with a request are kept in memory alone, unless `keep_request_references`.
    """

    cache_size: Annotated[int, Field(ge=0)] = 64
    disk_cache: Annotated[int, Field(ge=0)] = 10_000
    disk_cache_bytes: Annotated[int, Field(ge=0)] = 2**30
    keep_request_references: bool = False


class SamplingOptions(Options):
    """Defaults over the family's. Other keys are the family's controls, which are checked where it is loaded."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float | int | bool | None] = {}  # pyright: ignore[reportIncompatibleVariableOverride]

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    max_tokens: Positive | None = None


class ModelSection(Options):
    """The options of one model that concern several stages.

    `optimize`: use graphs or programs where they can run. `vocoder_chunk_size`: frames of 10 ms in the longest chunk.
    """

    family: FamilyOptions = FamilyOptions()
    device: DeviceOptions = DeviceOptions()
    optimize: bool = True
    use_vocoder_optimization: bool = True
    vocoder_chunk_size: ChunkSize = 200
    chunks: ChunkOptions = ChunkOptions()
    sampling: SamplingOptions = SamplingOptions()


class ModelOptions(ModelSection):
    """All options of the stages of one model.

    `name`: the model's. `prompts`: the folder of voice prompts on disk, None for memory alone. `busy_replicas`: of Gpt
    and Vocoder together, among which `threads: auto` shares a machine out.
    """

    text_frontend: StageOptions = StageOptions()
    gpt: GptOptions = GptOptions()
    vocoder: VocoderOptions = VocoderOptions()
    voice_encoder: VoiceEncoderOptions = VoiceEncoderOptions()
    name: str = ""
    prompts: str | None = None
    busy_replicas: Positive = 2
