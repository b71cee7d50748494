"""A family of random weights that takes every part of the contract that the shipped families do without.

Named in a configuration, it runs wherever they do: tests register it as "tiny".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F

from deployments.contract.controls import Control, Value, drawing
from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.family import FamilySpec, Packing
from deployments.contract.speech import Reference, Segment, VocodedChunk, VocoderChunk, VoicePrompt
from deployments.families.options import checked
from tests.tiny.gpt import CODES, PATCH, TEXT, WIDTH, TinyGpt, TinyPatchGpt

AROUND = 3  # frames that the streaming vocoder sees on each side
PHONES = 7


class TinyOptions(BaseModel):
    """patches: continuous codes; whole: segments are vocoded whole; reads: the frontend runs a model; state: the
    vocoder depends on the sum of all frames so far, which stays in the replica. joins: a control of the frontend
    says how many sentences a segment has.
    """

    model_config = ConfigDict(extra="forbid")
    rate: int = 16_000
    kv_heads: int = 4
    patches: bool = False
    whole: bool = False
    reads: bool = False
    state: bool = False
    needs_transcript: bool = False
    joins: bool = False


class TinyFrontend:
    """Sentences to letters. With a model (`table`), the letters come from its output and not from the text."""

    def __init__(self, table: Tensor | None) -> None:
        self.table = table

    def check(self, text: str, language: str | None = None) -> None:
        if language not in (None, "en"):
            raise InvalidInput("Invalid 'language': must be en.", param="language")

    def segments(
        self, text: str, language: str | None = None, controls: Mapping[str, Value] | None = None
    ) -> list[Segment]:
        self.check(text, language)
        count = int((controls or {}).get("sentences", 1))
        found = [match[0].strip() for match in re.finditer(r"[^.!?]*\w[^.!?]*[.!?]*", text)]
        if not found:
            raise InvalidInput("Invalid 'input': nothing to speak.", param="input", code="nothing_to_speak")
        joined = (" ".join(found[at : at + count]) for at in range(0, len(found), count))
        return [self._segment(sentence) for sentence in joined]

    def symbols(self, segment: Segment) -> list[str]:
        return [str(index) for index in segment.token_ids]

    def _segment(self, sentence: str) -> Segment:
        ids = np.frombuffer(sentence.encode(), np.uint8).astype(np.int64) % TEXT
        if self.table is not None:
            ids = self.table[torch.from_numpy(ids).to(self.table.device)].cpu().numpy()
        return Segment(sentence, ids, conditions={"phones": (ids % PHONES).astype(np.int16)})


class TinyVoiceEncoder:
    """The mean level of all waveforms, and the transcript's length."""

    def encode(self, reference: Reference) -> VoicePrompt:
        level = np.mean([np.abs(waveform).mean() for waveform, _ in reference.waveforms])
        voice = np.full(WIDTH, level, np.float32)
        voice[0] += len(reference.transcript or "") / 100
        return VoicePrompt.of("tiny", {"voice": voice})


class TinyVocoder:
    """Frames, the voice and the segment's phones to sound: a streaming one sees AROUND frames, another all of them."""

    def __init__(self, options: TinyOptions, per_code: int) -> None:
        make = torch.Generator().manual_seed(5)
        self.frame_shape = PATCH if options.patches else ()
        self.frame_dtype = np.float32 if options.patches else np.int64
        self.packing = Packing(paddable=lambda chunk: not options.whole)
        self.whole, self.state, self.per_code = options.whole, options.state, per_code
        size = PATCH[0] * PATCH[1] if options.patches else CODES
        self.table = torch.randn(size, WIDTH, generator=make)
        self.phones = torch.randn(PHONES, WIDTH, generator=make)
        self.mix = torch.randn(WIDTH, WIDTH, 2 * AROUND + 1, generator=make) * 0.05
        self.out = torch.randn(WIDTH, per_code, generator=make) * 0.05

    def collate(self, chunks: list[VocoderChunk], batch: int, frames: int) -> dict[str, Tensor]:
        inputs = {
            "x": torch.zeros(batch, frames, WIDTH),
            "mask": torch.zeros(batch, frames, 1),
            "side": torch.zeros(batch, 1, WIDTH),
            "sum": torch.zeros(batch, 1, WIDTH, dtype=torch.float64),
        }
        for row, chunk in enumerate(chunks):
            own = torch.from_numpy(chunk.frames)
            embedded = own.flatten(1) @ self.table if own.is_floating_point() else self.table[own]
            phones = torch.from_numpy(chunk.conditions["phones"].astype(np.int64))
            inputs["x"][row, : len(own)] = embedded
            inputs["mask"][row, : len(own)] = 1
            if self.state and chunk.state is not None:
                inputs["sum"][row, 0] = torch.from_numpy(chunk.state["sum"])
            inputs["side"][row] = self.phones[phones].mean(0) + torch.from_numpy(
                chunk.prompt.tensors["voice"]
            )
        return inputs

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = (inputs["x"] + inputs["side"]) * inputs["mask"]
        if self.whole:
            x = x - x.sum(1, keepdim=True) / inputs["mask"].sum(1, keepdim=True).clamp_min(1)
        elif self.state:
            x = inputs["sum"] + 0.2 * x.double().cumsum(1)
            return {"waveform": torch.tanh(x.float() @ self.out).flatten(1), "sum": x[:, -1]}
        else:
            x = torch.tanh(F.conv1d(x.transpose(1, 2), self.mix, padding=AROUND)).transpose(1, 2)
        return {"waveform": torch.tanh(x @ self.out).flatten(1)}

    def split(self, outputs: dict[str, Tensor], chunks: list[VocoderChunk]) -> list[VocodedChunk]:
        results = []
        for row, chunk in enumerate(chunks):
            stop = (len(chunk.frames) - chunk.right) * self.per_code
            sound = outputs["waveform"][row, chunk.left * self.per_code : stop]
            state = {"sum": outputs["sum"][row].numpy().copy()} if self.state else {}
            results.append(VocodedChunk(sound.numpy().copy(), state))
        return results

    def activation_bytes(self, batch: int, frames: int) -> int:
        return 4 * batch * frames * (WIDTH + self.per_code)


class TinyFamily:
    folder = Path(__file__).parent

    def __init__(self, options: TinyOptions) -> None:
        self.options = options
        around = 0 if options.whole or options.state else AROUND
        self.spec = FamilySpec(
            name="tiny",
            sample_rate=options.rate,
            codes_per_second=25.0,
            samples_per_code=options.rate // 25,
            left_context=around,
            right_context=around,
            languages=("en",),
            max_tokens=120,
            min_reference_seconds=0.5,
            max_reference_seconds=30.0,
            controls=(
                *drawing(top_k=20),
                Control("warmth", "number", 0.5, "spread of continuous codes", 0, 2),
                Control("depth", "integer", 1, "of the model, set at load", 1, 4, scope="load"),
                *([Control("sentences", "integer", 1, "of a segment", 1, 9)] if options.joins else []),
            ),
            text_controls=("sentences",) if options.joins else (),
            chunking="whole" if options.whole else "stream",
            state_home="replica" if options.state else "caller",
            frontend_device=options.reads,
            needs_transcript=options.needs_transcript,
        )

    def frontend(self, device: Device | None) -> TinyFrontend:
        assert (device is not None) == self.options.reads
        if device is None:
            return TinyFrontend(None)
        make = torch.Generator().manual_seed(1)
        return TinyFrontend(torch.randperm(TEXT, generator=make).to(device.torch_device))

    def example_prompt(self) -> VoicePrompt:
        return VoicePrompt.of("tiny", {"voice": np.zeros(WIDTH, np.float32)})

    def voice_encoder(self, device: Device) -> TinyVoiceEncoder:
        return TinyVoiceEncoder()

    def gpt(self, device: Device, slots: int) -> TinyGpt:
        kind = TinyPatchGpt if self.options.patches else TinyGpt
        model = kind(slots, 256, device.torch_device, self.options.kv_heads)
        model.stop_above = 2.5  # longer segments than the engine tests have: several chunks
        model.depth = int(self.spec.defaults["depth"])
        return model

    def vocoder(self, device: Device) -> TinyVocoder:
        return TinyVocoder(self.options, self.spec.samples_per_code)


def load(options: dict[str, Any]) -> TinyFamily:
    return TinyFamily(checked(TinyOptions, options))
