"""Vocoder part of v1, v2, v2Pro and v2ProPlus: codes to sound by the VITS decoder, whole or in chunks.

The encoder attends over all codes that it sees, so its output near the end of a chunk changes once more are known. A
chunk therefore takes two things over from the one before: the codes before its own context, for the encoder, and the
generator's input around the join, which then fades into the chunk's own. Each chunk sees the whole text. A segment in
one chunk is decoded as the published code decodes it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deployments.contract.family import Packing
from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.engine.noise import normal
from deployments.families.gpt_sovits.vits.encoder import FRAMES_PER_CODE
from deployments.families.gpt_sovits.vits.packed import packed
from deployments.families.gpt_sovits.vits.synthesizer import Synthesizer

CONTEXT = 6  # codes to each side, which the generator reaches over
REACH = CONTEXT * FRAMES_PER_CODE  # frames
HISTORY = 100  # codes before the context that the encoder sees: 4 s
MAX_PHONES = 512  # of a segment
_SIGNALS = 6  # of a stage's size, alive at its peak

Inputs = dict[str, Tensor]


class VitsVocoder:
    """Implements VocoderModel. Takes `net` over: it is moved to `device`. Always float32, but for `bf16`.

    noise_scale: of the prior's standard deviation. bf16: in the generator's convolutions, by oneDNN on a CPU.
    """

    frame_shape: tuple[int, ...] = ()
    frame_dtype = np.int64

    def __init__(
        self, net: Synthesizer, device: torch.device, noise_scale: float = 0.5, bf16: bool = False
    ) -> None:
        self.net = net.float().eval().to(device)
        self.noise_scale, self.on_cpu = noise_scale, device.type == "cpu"
        if bf16:
            packed(self.net.dec)
        self.samples_per_code = FRAMES_PER_CODE * net.samples_per_frame
        self.packing = Packing(paddable=self.paddable)  # on a CPU, `exactly` goes row by row

    def paddable(self, chunk: VocoderChunk) -> bool:
        """False if the chunk waits for the state of the one before, which is in the same batch."""
        return bool(chunk.state) or chunk.first + chunk.left == 0

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> Inputs:
        """codes (B, HISTORY + N): `past` (B,) of them are the history, at the end of its part, and `count` (B,) the
        chunk's; `place` (B,): of its first code in the segment; `left`, `right` (B,): its context; phones (B, P) of
        `phone_count` (B,); speaker (B, G); seed (B,); state (B, I, 2 REACH): the generator's input around the join,
        where it is `continued` (B,).

        Raises ValueError if a chunk does not fit.
        """
        phones = [np.asarray(chunk.conditions.get("phones", np.zeros(1)), np.int64) for chunk in chunks]
        width = max(map(len, phones)) if self.on_cpu else MAX_PHONES
        if max(map(len, phones)) > width or max(len(chunk.frames) for chunk in chunks) > frames:
            raise ValueError(f"a chunk does not fit into {frames} codes and {width} phones")
        numbers = ("past", "count", "place", "left", "right", "phone_count", "seed")
        inputs: Inputs = {name: torch.zeros(batch, dtype=torch.int64) for name in numbers}
        inputs |= {
            "codes": torch.zeros(batch, HISTORY + frames, dtype=torch.int64),
            "phones": torch.zeros(batch, width, dtype=torch.int64),
            "speaker": torch.zeros(batch, self.net.speaker_width),
            "state": torch.zeros(batch, self.net.channels, 2 * REACH),
            "continued": torch.zeros(batch, dtype=torch.bool),
        }
        inputs["count"] += 1  # in unused rows too, because attention over nothing is not finite
        inputs["phone_count"] += 1
        for row, (chunk, spoken) in enumerate(zip(chunks, phones, strict=True)):
            past = np.zeros(0, np.int64)
            if chunk.state:
                past = chunk.state["codes"]
                inputs["state"][row] = torch.from_numpy(np.ascontiguousarray(chunk.state["z"]))
                inputs["continued"][row] = True
            codes = torch.from_numpy(np.concatenate([past, chunk.frames]))
            inputs["codes"][row, HISTORY - len(past) : HISTORY - len(past) + len(codes)] = codes
            inputs["phones"][row, : len(spoken)] = torch.from_numpy(spoken)
            inputs["speaker"][row] = torch.from_numpy(
                np.ascontiguousarray(chunk.prompt.tensors["ge"], np.float32)
            )
            own = (
                len(past),
                len(chunk.frames),
                chunk.first,
                chunk.left,
                chunk.right,
                len(spoken),
                chunk.seed,
            )
            for name, value in zip(numbers, own, strict=True):
                inputs[name][row] = value
        return inputs

    def forward(self, inputs: Inputs) -> Inputs:
        """waveform (B, N * samples_per_code) of the chunk with its context; state (B, I, 2 REACH) for the next one;
        attention (B, 2 N, P)."""
        return self.exactly(inputs) if self.on_cpu else self.together(inputs)

    def together(self, inputs: Inputs) -> Inputs:
        """All rows at once, padded, with masks."""
        length, phones = inputs["codes"].shape[1], inputs["phones"].shape[1]
        device = inputs["codes"].device
        frames = torch.arange(FRAMES_PER_CODE * length, device=device) - FRAMES_PER_CODE * HISTORY
        past, count = (FRAMES_PER_CODE * inputs[name][:, None] for name in ("past", "count"))
        mask = ((frames >= -past) & (frames < count))[:, None].float()  # (B, 1, T)
        phone_mask = (torch.arange(phones, device=device) < inputs["phone_count"][:, None])[:, None].float()
        z, attention = self._z(inputs, frames, mask, phone_mask)
        inside = mask[:, :, FRAMES_PER_CODE * HISTORY :]
        waveform = self.net.dec(z * inside, inputs["speaker"].unsqueeze(-1), inside)
        return {"waveform": waveform, "state": self._state(z, inputs), "attention": attention}

    def exactly(self, inputs: Inputs) -> Inputs:
        """Row by row, without padding: on a CPU, a batch saves no time. The context stays silent."""
        rows, length = inputs["codes"].shape
        waveform = torch.zeros(rows, (length - HISTORY) * self.samples_per_code)
        states = torch.zeros_like(inputs["state"])
        frames, width = FRAMES_PER_CODE * (length - HISTORY), inputs["phones"].shape[1]
        attentions = torch.zeros(rows, frames, width, dtype=torch.float16)
        for row in range(rows):
            own = {name: value[row : row + 1] for name, value in inputs.items()}
            past, count, phones = (int(own[name]) for name in ("past", "count", "phone_count"))
            own["codes"] = own["codes"][:, HISTORY - past : HISTORY + count]
            own["phones"] = own["phones"][:, :phones]
            z, attention = self._z(own, torch.arange(-FRAMES_PER_CODE * past, FRAMES_PER_CODE * count))
            left, right = int(own["left"]), int(own["right"])
            context = FRAMES_PER_CODE * left, FRAMES_PER_CODE * right
            sound = self.net.dec(z, own["speaker"].unsqueeze(-1), context=context)
            begin = left * self.samples_per_code
            waveform[row, begin : begin + sound.shape[1]] = sound[0]
            states[row] = self._state(z, own)[0]
            attentions[row, : attention.shape[1], :phones] = attention[0]
        return {"waveform": waveform, "state": states, "attention": attentions}

    def split(self, outputs: Inputs, chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        results = []
        for row, chunk in enumerate(chunks):
            end = len(chunk.frames) - chunk.right  # the first code of the next chunk
            samples = slice(chunk.left * self.samples_per_code, end * self.samples_per_code)
            waveform = outputs["waveform"][row, samples].numpy().copy()
            state = {}
            if chunk.right:  # another chunk follows; its context begins CONTEXT codes before its own
                known = np.concatenate(
                    [chunk.state["codes"] if chunk.state else chunk.frames[:0], chunk.frames]
                )
                until = max(0, len(known) - chunk.right - CONTEXT)
                state = {
                    "codes": known[:until][-HISTORY:].astype(np.int64),
                    "z": outputs["state"][row].numpy().copy(),
                }
            span = slice(FRAMES_PER_CODE * chunk.left, FRAMES_PER_CODE * end)
            phones = len(chunk.conditions.get("phones", ()))
            attention = outputs["attention"][row, span, :phones].numpy().copy() if phones else None
            results.append(VocodedChunk(waveform, state, attention))
        return results

    def activation_bytes(self, batch: int, frames: int) -> int:
        """_SIGNALS buffers of the generator's largest stage, and the scores of a layer of the encoder."""
        rows = 1 if self.on_cpu else batch
        largest = max(rate * channels for rate, channels in self.net.dec.sizes)
        scores = 4 * self.net.enc_p.heads * FRAMES_PER_CODE * (HISTORY + frames) ** 2
        return 4 * rows * FRAMES_PER_CODE * (_SIGNALS * largest * frames + scores)

    def _z(
        self, inputs: Inputs, frames: Tensor, mask: Tensor | None = None, phone_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The generator's input from the chunk's first code on, (B, I, T), and the attention to the phones (B, T, P).

        frames (history + T,): counted from there.
        """
        codes, speaker, channels = inputs["codes"], inputs["speaker"], self.net.channels
        latents, attention = self.net.latents(codes, inputs["phones"], speaker, mask, phone_mask)
        places = FRAMES_PER_CODE * inputs["place"][:, None] + frames  # (B, T), in the segment
        counter = places[:, None] * channels + torch.arange(channels, device=codes.device)[:, None]
        noise = self.noise_scale * normal(inputs["seed"][:, None, None], counter)
        own = len(frames) - int((frames >= 0).sum()) if self.on_cpu else FRAMES_PER_CODE * HISTORY
        z = self.net.z(latents, speaker, noise, mask)[:, :, own:]

        # the chunk before continues: its own input up to the join, then a fade
        since = (
            torch.arange(z.shape[2], device=z.device) - FRAMES_PER_CODE * inputs["left"][:, None]
        )  # (B, T)
        share = (1 - since.clamp(min=0) / REACH).clamp(min=0) * inputs["continued"][:, None]
        share = share[:, None].to(z.dtype)
        z = torch.where(share > 0, share * _taken(inputs["state"], since + REACH) + (1 - share) * z, z)
        return z, attention[:, own:].half()

    def _state(self, z: Tensor, inputs: Inputs) -> Tensor:
        """z around the join with the next chunk: (B, I, 2 REACH)"""
        join = FRAMES_PER_CODE * (inputs["count"] - inputs["right"])[:, None]
        return _taken(z, join + torch.arange(-REACH, REACH, device=z.device))


def _taken(signal: Tensor, frames: Tensor) -> Tensor:
    """signal (B, C, T) at frames (B, S), clamped to it -> (B, C, S)"""
    places = frames.clamp(0, signal.shape[2] - 1)[:, None].expand(-1, signal.shape[1], -1)
    return signal.gather(2, places)
