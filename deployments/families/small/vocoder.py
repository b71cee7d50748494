"""Vocoder part of the small family: chunks of units to padded batches and back."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from deployments.contract.errors import SynthesisFailed
from deployments.contract.family import Packing
from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.engine.device.choose import has_fft
from deployments.families.small.cpu_vocoder import CpuChunk, CpuVocoder
from deployments.families.small.spans import AFTER, BEFORE, Extent
from deployments.families.small.vocoder_net import VocoderNet

_PACKED_FRAMES = 256  # units: enough rows for fast products, few enough for the cache
_PACKED_SIGNALS, _PADDED_SIGNALS = 8, 13  # floats for each sample of a frame's window, at the peak (measured)


class SmallVocoder:
    """Implements VocoderModel. Always float32: the phase of the pulses accumulates while speech is voiced.

    packed: whether `packing.forward` packs chunks of any lengths, as pays on a CPU, and only there.
    """

    frame_shape: tuple[int, ...] = ()
    frame_dtype = np.int64

    def __init__(self, net: VocoderNet, device: torch.device, packed: bool | None = None) -> None:
        self.net = net.float().eval().to(device)
        self.net.source_filter.matmul_dft = not has_fft(device)
        self.config = net.config
        self.cpu = CpuVocoder(self.net) if (device.type == "cpu" if packed is None else packed) else None
        self.packing = (
            Packing(_PACKED_FRAMES, forward=partial(self._packed, self.cpu)) if self.cpu else Packing()
        )

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> dict[str, Tensor]:
        """Rows [left | units | right | padding], masked. Raises SynthesisFailed for a unit that does not exist."""
        inputs = {
            "units": torch.zeros(batch, frames, dtype=torch.int64),
            "speaker": torch.zeros(batch, self.config.speaker_dim),
            "timbre": torch.zeros(batch, self.config.n_bins),
            "mask": torch.zeros(batch, frames),
            "seed": torch.zeros(batch, dtype=torch.int64),
            "first_code": torch.zeros(batch, dtype=torch.int64),
            "left": torch.zeros(batch, dtype=torch.int64),
            "n": torch.zeros(batch, dtype=torch.int64),
            "phase": torch.zeros(batch, dtype=torch.float64),
            "chain": torch.zeros(batch, batch, dtype=torch.float64),
        }
        if self.cpu is not None:
            inputs["ahead"] = torch.full((batch,), -1)
            inputs["kept"] = torch.empty(batch, self.cpu.most_kept, self.config.vocoder_dim)
        for row, chunk in enumerate(chunks):
            units = torch.from_numpy(np.ascontiguousarray(chunk.frames))
            count = len(units)
            if count and not 0 <= int(units.min()) <= int(units.max()) < self.config.n_units:
                raise SynthesisFailed(f"the vocoder received a unit outside 0..{self.config.n_units - 1}")
            inputs["units"][row, :count] = units
            inputs["speaker"][row] = torch.from_numpy(np.ascontiguousarray(chunk.prompt.tensors["speaker"]))
            if (timbre := chunk.prompt.tensors.get("timbre")) is not None:
                inputs["timbre"][row] = torch.from_numpy(np.ascontiguousarray(timbre))
            inputs["mask"][row, :count] = 1.0
            inputs["seed"][row] = chunk.seed
            inputs["first_code"][row] = chunk.first
            inputs["left"][row] = chunk.left
            inputs["n"][row] = count - chunk.left - chunk.right
            if (before := chunk.follows) is not None:
                inputs["chain"][row] = inputs["chain"][before]
                inputs["chain"][row, before] = 1.0
                inputs["phase"][row] = inputs["phase"][before]
            elif chunk.state is not None:
                inputs["phase"][row] = float(chunk.state["phase"])
                if self.cpu is not None and "kept" in chunk.state:
                    self._take_up(self.cpu, chunk, chunk.state, inputs["kept"][row], inputs["ahead"][row])
        return inputs

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """waveform (B, frames * samples_per_code), aligned with the units; phase (B,) after them."""
        waveform, phase = self.net(**{name: inputs[name] for name in inputs if name not in ("ahead", "kept")})
        return {"waveform": waveform, "phase": phase}

    def activation_bytes(self, batch: int, frames: int) -> int:
        slots = batch * (frames * self.config.frames_per_code + BEFORE + AFTER)
        return 4 * slots * self.config.n_fft * (_PACKED_SIGNALS if self.cpu else _PADDED_SIGNALS)

    def split(self, outputs: dict[str, Tensor], chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        waveforms, phases = outputs["waveform"].numpy(), outputs["phase"].numpy()
        per_code = self.config.samples_per_code
        results = []
        for row, chunk in enumerate(chunks):
            stop = (len(chunk.frames) - chunk.right) * per_code
            waveform = waveforms[row, chunk.left * per_code : stop].copy()
            state = {"phase": phases[row].copy()}
            if "kept" in outputs and (count := int(outputs["kept_rows"][row])):
                state |= {"ahead": np.array(chunk.right), "kept": outputs["kept"][row, :count].numpy().copy()}
            results.append(VocodedChunk(waveform, state))
        return results

    @staticmethod
    def _take_up(
        cpu: CpuVocoder, chunk: VocoderChunk, state: Mapping[str, np.ndarray], kept: Tensor, ahead: Tensor
    ) -> None:
        """Uses the steps that the previous chunk kept, if they have the expected shape; else they are recomputed."""
        given, right = torch.from_numpy(np.ascontiguousarray(state["kept"])), int(state["ahead"])
        if not 0 < right <= cpu.config.right_context:
            return
        count = sum(cpu.shape.kept(right, chunk.left))
        if given.shape == (count, kept.shape[1]) and given.dtype == kept.dtype:
            kept[:count] = given
            ahead.fill_(right)

    def _packed(self, cpu: CpuVocoder, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Like `forward`, for the first rows, which hold chunks."""
        left, counts = inputs["left"].tolist(), inputs["n"].tolist()
        lengths, used = inputs["mask"].sum(1).long().tolist(), sum(count > 0 for count in counts)
        seeds, firsts = inputs["seed"].tolist(), inputs["first_code"].tolist()
        ahead = [right if right >= 0 else None for right in inputs["ahead"].tolist()]
        chunks = [
            CpuChunk(
                inputs["units"][row],
                Extent(left[row], counts[row], lengths[row] - left[row] - counts[row], ahead[row]),
                firsts[row],
                seeds[row],
                inputs["speaker"][row],
                inputs["timbre"][row],
                None if ahead[row] is None else inputs["kept"][row],
            )
            for row in range(used)
        ]
        per_code = self.config.samples_per_code
        waveform = torch.zeros(len(left), inputs["units"].shape[1] * per_code)
        phase = inputs["phase"].clone()
        made, phase[:used], saved = cpu(chunks, phase[:used], inputs["chain"][:used, :used])
        kept, kept_rows = torch.empty(len(left), cpu.most_kept, self.config.vocoder_dim), [0] * len(left)
        for row, (part, rest) in enumerate(zip(made, saved, strict=True)):
            waveform[row, left[row] * per_code :][: len(part)] = part
            kept_rows[row] = len(rest)
            kept[row, : len(rest)] = rest
        return {"waveform": waveform, "phase": phase, "kept": kept, "kept_rows": torch.tensor(kept_rows)}
