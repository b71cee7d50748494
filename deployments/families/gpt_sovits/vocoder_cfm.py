"""Vocoder part of v3 and v4: codes to features, features to a mel by flow matching, and the mel to sound.

A segment is decoded whole. Its features come from all its codes and phones. They are cut into chunks that are solved
together with those of other segments, each after the frames of the voice's prompt; what is solved from the same noise
is faded from one chunk to the next, and one mel is vocoded. A segment of one chunk is solved as the published code
solves it.

Of a voice's prompt it takes `ge`, `codes`, `phones` and `mel` (see `cfm/mel.py`). Its features are kept by its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.family import Call, Packing
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.engine.noise import normal
from deployments.families.gpt_sovits.ap_bwe import ApBwe
from deployments.families.gpt_sovits.bigvgan import read_bigvgan
from deployments.families.gpt_sovits.cfm.chunks import chunks as cut
from deployments.families.gpt_sovits.cfm.chunks import joined
from deployments.families.gpt_sovits.cfm.dit import Dit
from deployments.families.gpt_sovits.cfm.features import Features
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS, STEPS
from deployments.families.gpt_sovits.cfm.mel import restored
from deployments.families.gpt_sovits.cfm.solver import Rows, directly, solve
from deployments.families.gpt_sovits.cfm.sound import (
    WINDOW,
    BigVganVocoder,
    HifiGanVocoder,
    MelVocoder,
    shared_call,
    sounds,
)
from deployments.families.gpt_sovits.checkpoints import SovitsFile
from deployments.families.gpt_sovits.hifigan import read_hifigan
from deployments.families.gpt_sovits.weights import without_weight_norm

PACKED = 1000  # codes of a batch: eight chunks after a full prompt
KEPT_VOICES = 64  # 1.2 MB each
LENGTHS = (0.5, 0.75, 1.0)  # of the longest row, to which rows are padded
_MULTIPLE = 8  # frames of a padded row, as fast attention kernels want it
_SIGNALS = 6  # of the vocoder's largest, and of a block's, alive at its peak

Inputs = dict[str, Tensor]
Voice = tuple[Tensor, Tensor]  # the prompt's features (T, C) and normalised mel (T, M)


@dataclass(frozen=True, slots=True)
class Row:
    """One chunk of a segment: frames start..stop of its features, after the frames of its voice."""

    segment: int
    start: int
    stop: int
    length: int


class CfmVocoder:
    """Implements StagedVocoder. Takes the networks over: they are moved to `device` and prepared there.

    The transformer is of the device's dtype, the rest is float32.
    """

    frame_shape: tuple[int, ...] = ()
    frame_dtype = np.int64

    def __init__(
        self,
        features: Features,
        net: Dit,
        vocoder: MelVocoder,
        device: Device,
        extension: ApBwe | None = None,
    ) -> None:
        self.device = device.torch_device
        self.features, self.layout = features.to(self.device), features.layout
        self.net = net.to(self.device).prepare(STEPS, device.dtype)
        self.vocoder = vocoder
        self.extension = None if extension is None else extension.to(self.device)
        self.samples_per_code = self.layout.samples_per_code * (1 if extension is None else 2)
        self.mels, self.window = net.shape.mels, WINDOW
        self.packing = Packing(frames=1 if device.kind == "cpu" else PACKED, kind=self.steps_of)
        self.lengths = sorted(
            {-(-round(part * self.layout.most) // _MULTIPLE) * _MULTIPLE for part in LENGTHS}
        )
        self._voices: LRUCache[int, Voice] = LRUCache(KEPT_VOICES)

    @classmethod
    def load(
        cls,
        sovits: SovitsFile,
        tensors: Mapping[str, Tensor],
        vocoder: Path,
        device: Device,
        extension: Path | None = None,
    ) -> Self:
        """tensors: of the s2 file, with a LoRA file merged. vocoder: BigVGAN's folder for v3, HiFi-GAN's file for v4.
        extension: for v3, the folder of the bandwidth extension.

        Raises CheckpointError, which names file and tensor, if something is missing or does not fit.
        """
        plain, layout, on = without_weight_norm(tensors), LAYOUTS[sovits.version], device.torch_device
        sound: MelVocoder
        if sovits.version == "v3":
            sound = BigVganVocoder(read_bigvgan(vocoder), on)
        else:
            sound = HifiGanVocoder(read_hifigan(vocoder), on)
        features = Features.load(sovits, plain, layout)
        wider = ApBwe.load(extension) if extension is not None else None
        return cls(features, Dit.load(plain, sovits.name), sound, device, wider)

    def steps_of(self, chunk: VocoderChunk) -> int:
        return int(chunk.controls.get(self.layout.control.name, self.layout.steps))

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> Inputs:
        """A row for each chunk, all of one number of steps; `batch` and `frames` have no effect.

        codes, phones (B, _) of `codes_count`, `phones_count` (B,); prompt_codes, prompt_phones and mel (B, _, M)
        likewise; ge (B, G); seed, voice (B,); steps (). Raises InvalidInput for steps that the solver does not take,
        and for a voice without a transcript.
        """
        steps = self.steps_of(chunks[0])
        self.layout.control.checked(steps)
        if any(not len(chunk.prompt.tensors["codes"]) for chunk in chunks):
            raise InvalidInput(
                "This model needs the transcript of a voice's recording.", param="reference_text"
            )
        none = np.zeros(1, np.int64)
        ragged = {
            "codes": [chunk.frames for chunk in chunks],
            "phones": [chunk.conditions.get("phones", none) for chunk in chunks],
            "prompt_codes": [chunk.prompt.tensors["codes"] for chunk in chunks],
            "prompt_phones": [chunk.prompt.tensors["phones"] for chunk in chunks],
            "mel": [chunk.prompt.tensors["mel"] for chunk in chunks],
        }
        inputs = {
            "ge": torch.from_numpy(np.stack([chunk.prompt.tensors["ge"] for chunk in chunks])),
            "seed": torch.tensor([chunk.seed for chunk in chunks]),
            "voice": torch.tensor([_number(chunk.prompt) for chunk in chunks]),
            "steps": torch.tensor(steps),
        }
        for name, arrays in ragged.items():
            dtype = np.float32 if name == "mel" else np.int64
            inputs[name] = torch.nn.utils.rnn.pad_sequence(
                [torch.from_numpy(np.array(array, dtype)) for array in arrays], batch_first=True
            )
            inputs[f"{name}_count"] = torch.tensor([len(array) for array in arrays])
        return inputs

    def forward(self, inputs: Inputs) -> Inputs:
        """waveform (_,), of one row after the other, and the samples of each: `sizes` (B,). Row by row, unpadded."""
        return self.staged(inputs, (), directly)

    def staged(self, inputs: Inputs, batches: Sequence[int], call: Call) -> Inputs:
        """The same in padded rows, up to the last of `batches` at once."""
        given = {name: value.to(self.device, non_blocking=True) for name, value in inputs.items()}
        voices = [self._voice(inputs, given, row) for row in range(len(inputs["seed"]))]
        features = [self._features(inputs, given, row) for row in range(len(voices))]
        rows = []
        for segment, (own, (prompt, _)) in enumerate(zip(features, voices, strict=True)):
            most = self.layout.most - len(prompt)
            rows += [Row(segment, *ends, len(prompt) + ends[1] - ends[0]) for ends in cut(len(own), most)]
        solved = self._solved(rows, features, voices, given["seed"], int(inputs["steps"]), batches, call)
        mels = [
            restored(joined([mel for row, mel in zip(rows, solved, strict=True) if row.segment == segment]))
            for segment in range(len(voices))
        ]
        waveforms = [
            self._extended(sound) for sound in sounds(self.vocoder, mels, self.window, batches, call)
        ]
        return {
            "waveform": torch.cat(waveforms),
            "sizes": torch.tensor([len(waveform) for waveform in waveforms]),
        }

    def rehearse(self, batches: Sequence[int], call: Call) -> None:
        channels, steps = self.features.channels, STEPS[0]
        for batch in reversed(batches):
            for length in reversed(self.lengths):
                zeros = [
                    torch.zeros(batch, length, width, device=self.device) for width in (channels, self.mels)
                ]
                ones = torch.ones(batch, length, 1, device=self.device)
                solve(self.net, Rows(zeros[0], zeros[1], zeros[1], ones, ones), steps, call)
            mel = torch.zeros(batch, self.window, self.mels, device=self.device)
            shared_call(self.vocoder, mel, torch.ones_like(mel[:, :, :1]), call)

    def split(self, outputs: Inputs, chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        """v3's frames do not divide a code: a segment's end may lack 8 ms, which are silence."""
        results = []
        parts = outputs["waveform"].split(outputs["sizes"].tolist())
        for waveform, chunk in zip(parts, chunks, strict=True):
            missing = len(chunk.frames) * self.samples_per_code - len(waveform)
            results.append(VocodedChunk(np.pad(waveform.numpy(), (0, max(0, missing))), {}))
        return results

    def activation_bytes(self, batch: int, frames: int) -> int:
        """_SIGNALS buffers of the vocoder's largest signal, and of the widest layer of the transformer."""
        rows = batch if self.packing.frames > 1 else 1
        shape, size = self.net.shape, self.net.proj_out.weight.element_size()
        inside = _SIGNALS * size * self.layout.most * max(shape.ff, 3 * shape.dim)
        return rows * (inside + 4 * _SIGNALS * self.window * self.vocoder.largest())

    def _voice(self, inputs: Inputs, given: Inputs, row: int) -> Voice:
        """The last frames of a voice that both its features and its mel have, as many as fit a prompt."""
        key = int(inputs["voice"][row])
        if key not in self._voices:
            codes, phones, mel = (
                given[name][row : row + 1, : int(inputs[f"{name}_count"][row])]
                for name in ("prompt_codes", "prompt_phones", "mel")
            )
            features = self.features(codes, phones, given["ge"][row : row + 1])
            shared = min(mel.shape[1], features.shape[1])
            last = slice(max(0, shared - self.layout.most_prompt), shared)
            self._voices[key] = (features[0, last].clone(), mel[0, last].clone())
        return self._voices[key]

    def _extended(self, sound: Tensor) -> Tensor:
        """To 48 kHz, and no louder than full scale, if that is wanted."""
        if self.extension is None:
            return sound
        wide = self.extension(sound[None])[0]
        return wide / wide.abs().max().clamp(min=1)

    def _features(self, inputs: Inputs, given: Inputs, row: int) -> Tensor:
        """Of a segment: (F, C)"""
        codes, phones = (
            given[name][row : row + 1, : int(inputs[f"{name}_count"][row])] for name in ("codes", "phones")
        )
        return self.features(codes, phones, given["ge"][row : row + 1])[0]

    def _solved(
        self,
        rows: Sequence[Row],
        features: Sequence[Tensor],
        voices: Sequence[Voice],
        seeds: Tensor,
        steps: int,
        batches: Sequence[int],
        call: Call,
    ) -> list[Tensor]:
        """The normalised mel (stop - start, M) of each row."""
        found: dict[int, Tensor] = {}
        order = sorted(range(len(rows)), key=lambda index: rows[index].length)
        most = batches[-1] if batches else 1
        for start in range(0, len(order), most):
            group = order[start : start + most]
            longest = rows[group[-1]].length
            length, size = longest, 1
            if batches:
                length = next(length for length in self.lengths if length >= longest)
                size = next(batch for batch in batches if batch >= len(group))
            filled = self._filled([rows[index] for index in group], features, voices, seeds, size, length)
            if not batches:
                filled = filled._replace(mask=None)
            solution = solve(self.net, filled, steps, call)
            for place, index in enumerate(group):
                row = rows[index]
                found[index] = solution[place, row.length - (row.stop - row.start) : row.length]
        return [found[index] for index in range(len(rows))]

    def _filled(
        self,
        rows: Sequence[Row],
        features: Sequence[Tensor],
        voices: Sequence[Voice],
        seeds: Tensor,
        size: int,
        length: int,
    ) -> Rows:
        """`rows` as the first of `size` rows of `length` frames. The others are all prompt, of zeros."""
        like = features[0]
        texts = like.new_zeros(size, length, like.shape[1])
        prompts, noise = (like.new_zeros(size, length, self.mels) for _ in range(2))
        new, mask = like.new_zeros(size, length, 1), like.new_zeros(size, length, 1)
        mask[len(rows) :] = 1  # attention over nothing is not finite
        bins = torch.arange(self.mels, device=like.device)
        for place, row in enumerate(rows):
            features_before, mel_before = voices[row.segment]
            begin = len(mel_before)
            texts[place, :begin], prompts[place, :begin] = features_before, mel_before
            texts[place, begin : row.length] = features[row.segment][row.start : row.stop]
            frames = torch.arange(row.start, row.stop, device=like.device)[:, None]
            noise[place, begin : row.length] = normal(seeds[row.segment], frames * self.mels + bins)
            new[place, begin : row.length] = mask[place, : row.length] = 1
        return Rows(texts, prompts, noise, new, mask)


def _number(prompt: VoicePrompt) -> int:
    """A number for the prompt's key, which is a hash."""
    return int(prompt.key[:15], 16)
