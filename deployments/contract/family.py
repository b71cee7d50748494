"""The interface between the engine and a model family: a folder with four parts, each usable alone.

    frontend   text                      -> segments of token ids
    voice      reference audio           -> voice prompt
    gpt        segments + prompts        -> codes and frames, one decode step at a time
    vocoder    chunks of frames + prompts -> waveform

This module imports no torch, so that processes without a device stay small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from deployments.contract.controls import Controls, Value, chosen
from deployments.contract.speech import (
    GptRequest,
    Reference,
    Sampling,
    Segment,
    VocodedChunk,
    VocoderChunk,
    VoicePrompt,
)

if TYPE_CHECKING:
    import torch

    from deployments.contract.device import Device


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """What the rest of the service must know about a family before any weight is loaded."""

    name: str
    sample_rate: int  # Hz
    codes_per_second: float
    samples_per_code: int
    # frames before and after a chunk that the vocoder must see for chunked to equal whole; 0 if chunking is whole
    left_context: int
    right_context: int
    languages: tuple[str, ...]
    max_tokens: int  # of a segment, if a request does not set it
    min_reference_seconds: float
    max_reference_seconds: float
    # the range of Sampling.speed that the GPT follows, and the range of the rest that the vocoder follows; beyond both,
    # the tempo of the finished sound is changed
    paces: tuple[float, float] = (1.0, 1.0)
    vocoder_paces: tuple[float, float] = (1.0, 1.0)
    window: int | None = None  # the most segments of a request in progress at once, if the family limits them
    # the plausible range of codes per token of a segment
    plausible_codes: tuple[float, float] | None = None
    controls: Controls = ()
    # "stream": the vocoder takes a segment's frames in chunks; "whole": all at once, as each sample depends on all
    chunking: Literal["stream", "whole"] = "stream"
    # "caller": a chunk's state travels with the next chunk; "replica": it stays, because it is too large
    state_home: Literal["caller", "replica"] = "caller"
    frontend_device: bool = False  # whether the frontend runs a model on a device thread
    needs_transcript: bool = False  # whether a voice needs the text of its recording
    half_on_cpu: bool = False  # whether `device.half: true` is obeyed on a CPU that multiplies bf16
    super_resolution: bool = False  # whether its sound is extended to a higher rate than its vocoder makes
    mixes: tuple[str, ...] = ()  # tensors of a prompt whose mean over several voices is a mixed timbre
    text_controls: tuple[
        str, ...
    ] = ()  # those of `controls` that the frontend reads: see `ControlledFrontend`

    def sampling(
        self,
        controls: Mapping[str, object] | None = None,
        model: str | None = None,
        *,
        seed: int = 0,
        speed: float = 1.0,
        max_tokens: int | None = None,
    ) -> Sampling:
        """The sampling of a request that sets `controls`. model: the name for errors, by default the family's.

        Raises InvalidInput (see `controls.chosen`).
        """
        values = chosen(self.controls, controls or {}, model or self.name)
        return Sampling(seed, max_tokens or self.max_tokens, speed, values)

    def context(self, speed: float) -> tuple[int, int]:
        """Frames before and after a chunk at a speed of the vocoder (see `faster_context`)."""
        return faster_context(self.left_context, speed), faster_context(self.right_context, speed)

    @property
    def defaults(self) -> dict[str, Value]:
        """The value of each control if a request does not set it."""
        return {control.name: control.default for control in self.controls}

    def of_text(self, controls: Mapping[str, Value]) -> dict[str, Value]:
        """Those of `controls` that the frontend reads."""
        return {name: controls[name] for name in self.text_controls if name in controls}


def faster_context(frames: int, speed: float) -> int:
    """As much sound as `frames` are at a speed of 1 takes more of them when it is faster."""
    return math.ceil(frames * max(1.0, speed))


class StepOutput(NamedTuple):
    """The result of a decode step. codes: (B, *code_shape); done: bool (B,), true on a row's last code.

    frames: (B, *frame_shape) and kept: bool (B,), or None, as in Run. Where the model produced NaN or Inf, the code is
    negative or not finite.
    """

    codes: torch.Tensor
    done: torch.Tensor
    frames: torch.Tensor | None = None
    kept: torch.Tensor | None = None


class Frontend(Protocol):
    def segments(self, text: str, language: str | None = None) -> list[Segment]:
        """Raises InvalidInput, param "input" or "language".

        If nothing in `text`, which may be a part of a text, can be spoken: code nothing_to_speak or empty_input.
        """
        ...

    def symbols(self, segment: Segment) -> list[str]:
        """The segment's tokens by name: phones, or pieces of words."""
        ...

    def check(self, text: str, language: str | None = None) -> None:
        """Raises what `segments` would raise, without reading the text: quick for a text of any length."""


class ControlledFrontend(Frontend, Protocol):
    """The frontend of a family with `FamilySpec.text_controls`."""

    def segments(
        self, text: str, language: str | None = None, controls: Mapping[str, Value] | None = None
    ) -> list[Segment]:
        """controls: the values of the text controls, None for the defaults. Raises InvalidInput as a `Frontend`."""
        ...


def read_segments(
    frontend: Frontend, text: str, language: str | None, controls: Mapping[str, Value] | None
) -> list[Segment]:
    """The segments of `text`. controls: as `FamilySpec.of_text` returns them; empty or None for a plain frontend."""
    if not controls:
        return frontend.segments(text, language)
    return cast(ControlledFrontend, frontend).segments(text, language, controls)


class VoiceEncoder(Protocol):
    def encode(self, reference: Reference) -> VoicePrompt:
        """Raises InvalidInput (param "reference_audio")."""
        ...


Prefill = Generator[None, None, int]  # yields between pieces of work, returns how many positions are taken


class GptModel(Protocol):
    """A GPT with static slots. Slot `slots` (one past the last) is scratch: padding rows of a batch point at it."""

    slots: int
    context: int  # positions that a slot holds: prefix and codes together
    max_codes: int  # of a segment

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        """Overwrites the slot's cache and state, in pieces that take about as long as a step.

        Other slots may step between the pieces; this one only after the generator has returned.
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

    def wipe(self, slot: int) -> None:
        """Clears the slot's cache after NaN or Inf in its sequence."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How the chunks of a vocoder share a call.

    frames: chunks of any lengths share a call up to this many frames together, without padding; 0: as rows of one
    padded length, on accelerators. paddable: whether a chunk sounds the same in a longer row; else it runs alone.
    forward: a faster equivalent of `VocoderModel.forward`, which is the fallback. kind: only chunks of one kind share a
    call.
    """

    frames: int = 0
    paddable: Callable[[VocoderChunk], bool] = lambda chunk: True
    forward: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]] | None = None
    kind: Callable[[VocoderChunk], Hashable] = lambda chunk: None


class VocoderModel(Protocol):
    """A vocoder over padded batches. `forward` alone touches the device, with fixed shapes, and may be captured."""

    frame_shape: tuple[int, ...]
    frame_dtype: type  # numpy's
    packing: Packing

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> dict[str, torch.Tensor]:
        """Host tensors of `batch` rows of `frames` frames, the given chunks in the first of them, padded.

        Raises InvalidInput, or any other error, for a chunk that must not reach the device.
        """
        ...

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]: ...

    def split(self, outputs: dict[str, torch.Tensor], chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        """From host tensors back to one result per chunk."""
        ...

    def activation_bytes(self, batch: int, frames: int) -> int:
        """The peak allocation of a call of `forward`, within a factor of 2."""
        ...


Tensors = dict[str, "torch.Tensor"]
Call = Callable[[Hashable, Callable[[Tensors], Tensors], Tensors], Tensors]


@runtime_checkable
class StagedVocoder(VocoderModel, Protocol):
    """A vocoder of several calls, some of them repeated, as a solver's steps are: each shape of each is a graph.

    `call(key, function, inputs)` is `function(inputs)` on the device; key stands for the function and its shapes. The
    outputs are valid until the next call. batches: the numbers of rows that calls may have, ascending.
    """

    def staged(self, inputs: Tensors, batches: Sequence[int], call: Call) -> Tensors:
        """`forward` by such calls. inputs: as collated, on the host."""
        ...

    def rehearse(self, batches: Sequence[int], call: Call) -> None:
        """Makes each call of `staged` once in every shape."""
        ...


class Family(Protocol):
    """`spec` needs no torch; neither does the frontend of a family without `spec.frontend_device`. The other parts load
    their weights onto `device`.
    """

    spec: FamilySpec  # set by the engine to one with the configuration's defaults, before any part is made
    folder: Path  # where its weights are

    def frontend(self, device: Device | None = None) -> Frontend:
        """device: None unless `spec.frontend_device`."""
        ...

    def example_prompt(self) -> VoicePrompt:
        """A prompt of the right shapes and no meaning, to warm a stage up with."""
        ...

    def voice_encoder(self, device: Device) -> VoiceEncoder: ...

    def gpt(self, device: Device, slots: int) -> GptModel: ...

    def vocoder(self, device: Device) -> VocoderModel: ...
