"""Vocoder part of v3 and v4: segments of codes to sound by flow matching (see `cfm/decoder.py`).

A segment is decoded whole, and requests share the calls of the decoder. Of a voice's prompt it takes `ge`, `codes`,
`phones` and `mel` (see `cfm/mel.py`). The prompt's features are kept by its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.family import Call, Packing, Tensors
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.families.gpt_sovits.ap_bwe import ApBwe
from deployments.families.gpt_sovits.bigvgan import read_bigvgan
from deployments.families.gpt_sovits.cfm.decoder import CfmDecoder, Spoken, Voice
from deployments.families.gpt_sovits.cfm.dit import Dit
from deployments.families.gpt_sovits.cfm.features import Features
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS
from deployments.families.gpt_sovits.cfm.solver import directly
from deployments.families.gpt_sovits.cfm.sound import BigVganVocoder, HifiGanVocoder, MelVocoder
from deployments.families.gpt_sovits.checkpoints import SovitsFile
from deployments.families.gpt_sovits.hifigan import read_hifigan
from deployments.families.gpt_sovits.vits.encoder import FRAMES_PER_CODE
from deployments.families.gpt_sovits.weights import without_weight_norm

PACKED = 1000  # codes of a batch: eight chunks after a full prompt
KEPT_VOICES = 64  # 1.2 MB each
_SIGNALS = 6  # of the vocoder's largest, and of a block's, alive at its peak


class CfmVocoder:
    """Implements StagedVocoder."""

    frame_shape: tuple[int, ...] = ()
    frame_dtype = np.int64

    def __init__(self, decoder: CfmDecoder) -> None:
        self.decoder, self.layout = decoder, decoder.layout
        on_cpu = decoder.device.type == "cpu"  # there, requests gain nothing by sharing a call
        self.packing = Packing(frames=1 if on_cpu else PACKED, kind=self.steps_of)
        self.samples_per_code = self.layout.samples_per_code * (1 if decoder.extension is None else 2)
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
        plain, on = without_weight_norm(tensors, sovits.name), device.torch_device
        sound: MelVocoder
        if sovits.version == "v3":
            sound = BigVganVocoder(read_bigvgan(vocoder), on)
        else:
            sound = HifiGanVocoder(read_hifigan(vocoder), on)
        features, net = Features.load(sovits, plain, LAYOUTS[sovits.version]), Dit.load(plain, sovits.name)
        wider = ApBwe.load(extension) if extension is not None else None
        # fp16 is closer to fp32 here than bf16, and what the published code uses: the norms keep the numbers small. No
        # CPU multiplies it faster than fp32.
        dtype = torch.float16 if device.half and device.kind != "cpu" else torch.float32
        return cls(CfmDecoder(features, net, sound, on, dtype, wider))

    def steps_of(self, chunk: VocoderChunk) -> int:
        return int(chunk.controls.get(self.layout.control.name, self.layout.steps))

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> Tensors:
        """A row for each chunk, all of one number of steps; `batch` and `frames` have no effect.

        codes, phones (B, _) of `codes_count`, `phones_count` (B,); prompt_codes, prompt_phones and mel (B, _, M)
        likewise; ge (B, G); seed, voice, speed (B,); steps (). Raises InvalidInput for steps that the solver does not
        take, and for a voice without a transcript.
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
            "speed": torch.tensor([chunk.speed for chunk in chunks], dtype=torch.float64),
            "steps": torch.tensor(steps),
        }
        for name, arrays in ragged.items():
            dtype = np.float32 if name == "mel" else np.int64
            inputs[name] = pad_sequence(
                [torch.from_numpy(np.array(array, dtype)) for array in arrays], batch_first=True
            )
            inputs[f"{name}_count"] = torch.tensor([len(array) for array in arrays])
        return inputs

    def forward(self, inputs: Tensors) -> Tensors:
        """waveform (_,), of one row after the other, and the samples of each: `sizes` (B,). Row by row, unpadded.
        attention (_,) likewise, of 2 N rows for the phones of a segment.
        """
        return self.staged(inputs, (), directly)

    def staged(self, inputs: Tensors, batches: Sequence[int], call: Call) -> Tensors:
        """The same in padded rows, up to the last of `batches` at once."""
        on_device = {name: value.to(self.decoder.device, non_blocking=True) for name, value in inputs.items()}

        def of(name: str, row: int) -> Tensor:
            return on_device[name][row, : int(inputs[f"{name}_count"][row])]

        segments = []
        for row, key in enumerate(inputs["voice"].tolist()):
            if key not in self._voices:
                prompt = of("prompt_codes", row), of("prompt_phones", row)
                self._voices[key] = self.decoder.voice(*prompt, on_device["ge"][row], of("mel", row))
            seed, speed = on_device["seed"][row], float(inputs["speed"][row])
            segments.append(Spoken(of("codes", row), of("phones", row), self._voices[key], seed, speed))
        decoded = self.decoder.decode(segments, int(inputs["steps"]), batches, call)
        sizes = torch.tensor([len(waveform) for waveform, _ in decoded])
        waveform = torch.cat([waveform for waveform, _ in decoded])
        attention = torch.cat([attention.flatten() for _, attention in decoded])
        return {"waveform": waveform, "sizes": sizes, "attention": attention}

    def rehearse(self, batches: Sequence[int], call: Call) -> None:
        self.decoder.rehearse(batches, call)

    def split(self, outputs: Tensors, chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        """v3's frames do not divide a code: a segment's end may lack 8 ms, which are silence."""
        results, begin = [], 0
        parts = outputs["waveform"].split(outputs["sizes"].tolist())
        for waveform, chunk in zip(parts, chunks, strict=True):
            missing = len(chunk.frames) * self.samples_per_code - len(waveform) if chunk.speed == 1 else 0
            phones = len(chunk.conditions.get("phones", ())) or 1
            end = begin + FRAMES_PER_CODE * len(chunk.frames) * phones
            attention = None
            if chunk.timed:
                attention = outputs["attention"][begin:end].view(-1, phones).numpy().copy()
            begin = end
            results.append(VocodedChunk(np.pad(waveform.numpy(), (0, max(0, missing))), {}, attention))
        return results

    def activation_bytes(self, batch: int, frames: int) -> int:
        """_SIGNALS buffers of the vocoder's largest signal, and of the widest layer of the transformer."""
        decoder, rows = self.decoder, batch if self.packing.frames > 1 else 1
        shape, size = decoder.net.shape, decoder.net.proj_out.weight.element_size()
        inside = _SIGNALS * size * self.layout.most * max(shape.ff, 3 * shape.dim)
        return rows * (inside + 4 * _SIGNALS * decoder.window * decoder.vocoder.largest())


def _number(prompt: VoicePrompt) -> int:
    """A number for the prompt's key, which is a hash."""
    return int(prompt.key[:15], 16)
