"""The interface between the engine and a model family.

A family is one folder that offers four parts, each usable alone in a plain Python shell:

    frontend   text                      -> segments of token ids
    voice      reference audio           -> voice prompt
    gpt        segments + prompts        -> codes and frames, one decode step at a time
    vocoder    chunks of frames + prompts -> waveform

A code is what a decode step draws and feeds back: a number, or a patch of continuous latents. A frame is what the
vocoder takes for it. In some families they are the same; in others the frame is the GPT's hidden state.

The engine knows no family by name. Types that cross process boundaries hold numpy arrays, never torch tensors, and
this module imports no torch, so that processes without a device stay small.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

if TYPE_CHECKING:
    import torch

    from deployments.engine.device import Device


@dataclass(frozen=True, slots=True)
class Sampling:
    """How codes are drawn. `speed` scales durations (2.0 is twice as fast); `max_tokens` bounds a segment's codes."""

    seed: int = 0
    temperature: float = 0.7
    top_k: int = 25
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_tokens: int = 1500
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """What the rest of the service must know of a family without loading a weight."""

    name: str
    sample_rate: int  # Hz
    codes_per_second: float
    samples_per_code: int
    left_context: int  # frames before a chunk that the vocoder must see for chunked to equal whole
    right_context: int  # frames after it
    languages: tuple[str, ...]
    sampling: Sampling  # defaults
    min_reference_seconds: float
    max_reference_seconds: float
    # least and greatest Sampling.speed that the GPT follows; what is beyond, the finished sound's tempo makes up for
    paces: tuple[float, float] = (1.0, 1.0)
    window: int | None = None  # segments of a request in work at once, where the family has a say in it
    # codes for each token of a segment: fewer or more are a fault
    plausible_codes: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text that is synthesised as one.

    token_ids: int64 (T,); pause_after: silence that follows, in seconds; features: whatever else the GPT needs.
    """

    text: str
    token_ids: np.ndarray
    pause_after: float = 0.0
    features: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """The features of a voice: named arrays, and `key`, the hash of their content (it names the prompt in caches)."""

    family: str
    tensors: Mapping[str, np.ndarray]
    key: str

    @classmethod
    def of(cls, family: str, tensors: Mapping[str, np.ndarray]) -> VoicePrompt:
        arrays = {name: np.ascontiguousarray(value) for name, value in sorted(tensors.items())}
        return cls(family, arrays, hashlib.sha256(save_tensors(arrays)).hexdigest())

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in self.tensors.values())

    def to_bytes(self) -> bytes:
        """A safetensors file that names the family and the key."""
        return save_tensors(dict(self.tensors), {"family": self.family, "key": self.key})

    @classmethod
    def from_bytes(cls, family: str, data: bytes) -> VoicePrompt:
        """Raises ValueError for what `to_bytes` did not make: damaged, of another family, or something else."""
        try:
            prompt = cls.of(family, load_tensors(data))
            said = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"no voice prompt ({type(error).__name__})") from None
        if said != {"family": family, "key": prompt.key}:
            raise ValueError("a voice prompt whose content or family is another than it says")
        return prompt


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive decode steps of one segment.

    codes: (n, *code_shape); frames: (n, *frame_shape), None where the codes themselves are the frames; kept: bool (n,),
    false where a step makes no sound (a stop token, surplus silence), None where all do; cut: no more codes may follow,
    though the model had not come to an end.
    """

    codes: np.ndarray
    frames: np.ndarray | None = None
    kept: np.ndarray | None = None
    cut: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, part: slice) -> Run:
        frames = None if self.frames is None else self.frames[part]
        return Run(self.codes[part], frames, None if self.kept is None else self.kept[part], self.cut)

    @property
    def spoken(self) -> np.ndarray:
        """The frames for the vocoder: (m, *frame_shape), m <= n."""
        frames = self.codes if self.frames is None else self.frames
        return frames if self.kept is None else frames[self.kept]


@dataclass(frozen=True, slots=True)
class GptRequest:
    """One segment for the GPT. `prefix` holds the codes that a listener already has: (N, *code_shape)."""

    segment: Segment
    prompt: VoicePrompt
    sampling: Sampling
    prefix: np.ndarray | None = None

    def resume(self, delivered: Sequence[Run]) -> GptRequest:
        """The same request, to be continued behind `delivered` (consecutive runs) on another replica."""
        runs = ([] if self.prefix is None else [self.prefix]) + [run.codes for run in delivered]
        return replace(self, prefix=np.concatenate(runs) if runs else None)


@dataclass(frozen=True, slots=True)
class VocoderChunk:
    """Frames with their context: (left + n + right, *frame_shape); n of them are turned into sound.

    first: index in the segment of frames[0]; state: what the segment's chunk before returned, None for the first.
    Fewer than the spec's context on a side means that the segment begins or ends there.
    """

    frames: np.ndarray
    left: int
    right: int
    first: int
    prompt: VoicePrompt
    seed: int
    state: Mapping[str, np.ndarray] | None = None

    def resume(self, delivered: Sequence[object]) -> VocoderChunk:
        """A chunk is delivered whole or not at all, so it is simply done again."""
        return self


@dataclass(frozen=True, slots=True)
class VocodedChunk:
    """waveform: float32 (n * samples_per_code,), in -1..1; state: for the next chunk of the segment."""

    waveform: np.ndarray
    state: Mapping[str, np.ndarray]


class StepOutput(Protocol):
    """What a decode step leaves behind. codes: (B, *code_shape); done: bool (B,), true on a row's last code.

    frames: (B, *frame_shape) and kept: bool (B,), or None, as in Run. A row that lost its numbers says so by a code
    that is negative or not finite.
    """

    @property
    def codes(self) -> torch.Tensor: ...

    @property
    def done(self) -> torch.Tensor: ...

    @property
    def frames(self) -> torch.Tensor | None: ...

    @property
    def kept(self) -> torch.Tensor | None: ...


class Frontend(Protocol):
    def segments(self, text: str, language: str | None = None) -> list[Segment]:
        """Raises InvalidInput, param "input" or "language".

        Its code where nothing in `text` can be spoken, which may be but a piece: nothing_to_speak or empty_input.
        """
        ...

    def check(self, text: str, language: str | None = None) -> None:
        """Raises what `segments` would, of a text too long to be read at once. Quick: it reads nothing."""
        ...


class VoiceEncoder(Protocol):
    def encode(self, waveform: np.ndarray, rate: int, transcript: str | None = None) -> VoicePrompt:
        """waveform: float32 (N,) mono at `rate` Hz. Raises InvalidInput (param "reference_audio")."""
        ...


Prefill = Generator[None, None, int]  # yields between pieces of work, returns how many positions are taken


class GptModel(Protocol):
    """A GPT with static slots. Slot `slots` (one past the last) is scratch: padding rows of a batch point at it."""

    slots: int
    context: int  # positions that a slot holds: prefix and codes together
    max_codes: int  # of a segment

    def compile(self) -> str:
        """Makes the steps to come cheaper on this device, to the bit the same, and says how; "" where it cannot.

        Called once, before any step, and not where nothing is to be optimised.
        """
        ...

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        """Fills the slot's cache and state, whatever was there, in pieces that take no longer than a step or so.

        Other slots may step between the pieces; this one may once the generator has returned.
        """
        ...

    def step(self, rows: torch.Tensor, length: int) -> StepOutput:
        """One decode step of the slots `rows` (int64 (B,)): forward, sample, update the slots' state in place.

        `length` bounds the positions that are attended to (host integer, at least every row's position + 1). Static
        shapes, no allocation that outlives the step, no host synchronisation: a CUDA graph per (B, length) holds it.
        """
        ...

    def force(self, slot: int, code: np.ndarray) -> None:
        """Replaces the code that the last step drew in `slot` (used to follow a known prefix)."""
        ...

    def wipe(self, slot: int) -> None:
        """Forgets what may not be finite in the slot's cache: its sequence has lost its numbers."""
        ...


class VocoderModel(Protocol):
    """A vocoder over padded batches. `forward` alone touches the device, with fixed shapes, and may be captured."""

    frame_shape: tuple[int, ...]
    frame_dtype: type  # numpy's
    pile: int  # frames of chunks of any lengths that a call takes at no cost for padding; 0: rows must be of one length

    def paddable(self, chunk: VocoderChunk) -> bool:
        """Whether the chunk's sound is the same in a longer row. One that is not runs alone, at its own length."""
        ...

    def collate(
        self,
        chunks: Sequence[VocoderChunk],
        batch: int,
        frames: int,
        follows: Sequence[int | None] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Host tensors of `batch` rows of `frames` frames, the given chunks in the first of them, padded.

        follows: for each chunk the earlier row whose chunk it continues, so that it needs no state; None if it has its
        own. Raises InvalidInput, or any other error, for a chunk that must not reach the device.
        """
        ...

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]: ...

    def plain(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The same sound by the simplest way: what serves where nothing is to be optimised, or where that failed."""
        ...

    def split(self, outputs: dict[str, torch.Tensor], chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        """From host tensors back to one result per chunk."""
        ...

    def activation_bytes(self, batch: int, frames: int) -> int:
        """About how much a call of `forward` allocates at its peak (the true figure is within a factor of 2)."""
        ...


class Family(Protocol):
    """`spec` and `frontend()` need no torch; the other three load their weights onto `device`."""

    spec: FamilySpec
    folder: Path  # where its weights are

    def frontend(self) -> Frontend: ...

    def example_prompt(self) -> VoicePrompt:
        """A prompt of the right shapes and no meaning, to warm a stage up with."""
        ...

    def voice_encoder(self, device: Device) -> VoiceEncoder: ...

    def gpt(self, device: Device, slots: int) -> GptModel: ...

    def vocoder(self, device: Device) -> VocoderModel: ...
