"""Vocoder part of v1, v2, v2Pro and v2ProPlus: codes to sound by the VITS decoder, whole or in chunks.

The encoder attends over all codes that it sees, so its output near the end of a chunk changes once more are known. A
chunk therefore takes two things over from the one before: the codes before its own context, for the encoder, and the
generator's input around the join, which then fades into the chunk's own. Each chunk sees the whole text. A segment in
one chunk is decoded as the published code decodes it.

At another speed than 1, the latents between encoder and flow are interpolated (see `pace.py`), as published. Such a
chunk has a length of its own, so it runs alone.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from deployments.contract.family import Packing, faster_context
from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.engine.noise import normal
from deployments.families.gpt_sovits.pace import Frames
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
        """False if the chunk waits for the state of the one before, which is in the same batch, or is not at a speed
        of 1."""
        return chunk.speed == 1 and (bool(chunk.state) or chunk.first + chunk.left == 0)

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> Inputs:
        """codes (B, HISTORY + N): `past` (B,) of them are the history, at the end of its part, and `count` (B,) the
        chunk's; `place` (B,): of its first code in the segment; `left`, `right` (B,): its context; phones (B, P) of
        `phone_count` (B,); speaker (B, G); seed (B,); state (B, I, 2 REACH): the generator's input around the join,
        where it is `continued` (B,); speed (B,), if one is not 1.

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
        if any(chunk.speed != 1 for chunk in chunks):
            inputs["speed"] = torch.tensor([chunk.speed for chunk in chunks], dtype=torch.float64)
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
        return self.exactly(inputs) if self.on_cpu or "speed" in inputs else self.together(inputs)

    def together(self, inputs: Inputs) -> Inputs:
        """All rows at once, padded, with masks."""
        length, phones = inputs["codes"].shape[1], inputs["phones"].shape[1]
        device = inputs["codes"].device
        frames = torch.arange(FRAMES_PER_CODE * length, device=device) - FRAMES_PER_CODE * HISTORY
        past, count = (FRAMES_PER_CODE * inputs[name][:, None] for name in ("past", "count"))
        mask = ((frames >= -past) & (frames < count))[:, None].float()  # (B, 1, T)
        phone_mask = (torch.arange(phones, device=device) < inputs["phone_count"][:, None])[:, None].float()
        codes, own = inputs["codes"], FRAMES_PER_CODE * HISTORY
        latents, attention = self.net.latents(codes, inputs["phones"], inputs["speaker"], mask, phone_mask)
        places = FRAMES_PER_CODE * inputs["place"][:, None] + frames  # (B, T), in the segment
        z = self._z(latents, inputs, places, own, FRAMES_PER_CODE * inputs["left"][:, None], mask)
        inside = mask[:, :, own:]
        waveform = self.net.dec(z * inside, inputs["speaker"].unsqueeze(-1), inside)
        state = _around(z, FRAMES_PER_CODE * (inputs["count"] - inputs["right"])[:, None])
        return {"waveform": waveform, "state": state, "attention": attention[:, own:].half()}

    def exactly(self, inputs: Inputs) -> Inputs:
        """Row by row, without padding: on a CPU, a batch saves no time. The context stays silent."""
        rows = range(len(inputs["codes"]))
        made = [self._row({name: value[row : row + 1] for name, value in inputs.items()}) for row in rows]
        waveforms, states, attentions = zip(*made, strict=True)
        width = inputs["phones"].shape[1]
        seen = [F.pad(attention, (0, width - attention.shape[1])) for attention in attentions]
        return {
            "waveform": pad_sequence(list(waveforms), batch_first=True),
            "state": torch.stack(states),
            "attention": pad_sequence(seen, batch_first=True),
        }

    def _row(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        """Of one row: waveform (N,), state (I, 2 REACH), attention (2 N, P)."""
        past, count, place, left, right, phones = (
            int(inputs[name]) for name in ("past", "count", "place", "left", "right", "phone_count")
        )
        speed = float(inputs["speed"]) if "speed" in inputs else 1.0
        frames = Frames.of(place, past, count, left, right, speed)
        codes = inputs["codes"][:, HISTORY - past : HISTORY + count]
        latents, attention = self.net.latents(codes, inputs["phones"][:, :phones], inputs["speaker"])
        places = torch.arange(frames.history, frames.end, device=codes.device)
        before = frames.own - frames.chunk
        z = self._z(frames.interpolated(latents), inputs, places, frames.chunk - frames.history, before)
        # slow speech has a longer context than the generator reaches over
        spare = max(0, before - REACH), max(0, frames.end - frames.right - REACH)
        sound = self.net.dec(
            z[:, :, spare[0] : z.shape[2] - spare[1]],
            inputs["speaker"].unsqueeze(-1),
            context=(before - spare[0], frames.end - frames.right - spare[1]),
        )
        waveform = F.pad(sound[0], (before * self.net.samples_per_frame, 0))
        state = _around(z, torch.tensor([[frames.right - frames.chunk]], device=z.device))
        return waveform, state[0], attention[0, FRAMES_PER_CODE * past :].half()

    def split(self, outputs: Inputs, chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        results = []
        for row, chunk in enumerate(chunks):
            count = len(chunk.frames)
            frames = Frames.of(chunk.first, 0, count, chunk.left, chunk.right, chunk.speed)
            begin, end = (
                (at - frames.chunk) * self.net.samples_per_frame for at in (frames.own, frames.right)
            )
            waveform = outputs["waveform"][row, begin:end].numpy().copy()
            state = {}
            if chunk.right:  # another chunk follows; its context begins that many codes before its own
                known = np.concatenate(
                    [chunk.state["codes"] if chunk.state else chunk.frames[:0], chunk.frames]
                )
                until = max(0, len(known) - chunk.right - faster_context(CONTEXT, chunk.speed))
                state = {
                    "codes": known[:until][-HISTORY:].astype(np.int64),
                    "z": outputs["state"][row].numpy().copy(),
                }
            span = slice(FRAMES_PER_CODE * chunk.left, FRAMES_PER_CODE * (count - chunk.right))
            phones, attention = len(chunk.conditions.get("phones", ())), None
            if chunk.timed and phones:
                attention = outputs["attention"][row, span, :phones].numpy().copy()
            results.append(VocodedChunk(waveform, state, attention))
        return results

    def activation_bytes(self, batch: int, frames: int) -> int:
        """_SIGNALS buffers of the generator's largest stage, and the scores of a layer of the encoder."""
        rows = 1 if self.on_cpu else batch
        largest = max(rate * channels for rate, channels in self.net.dec.sizes)
        scores = 4 * self.net.enc_p.heads * FRAMES_PER_CODE * (HISTORY + frames) ** 2
        return 4 * rows * FRAMES_PER_CODE * (_SIGNALS * largest * frames + scores)

    def _z(
        self,
        latents: Tensor,
        inputs: Inputs,
        places: Tensor,
        own: int,
        left: Tensor | int,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The generator's input from the chunk's first frame on: (B, I, T) of latents (B, C, own + T).

        places: of the frames in the segment, (B, own + T) or (own + T,); left: frames of the left context, (B, 1).
        """
        channels = self.net.channels
        counter = places.unsqueeze(-2) * channels + torch.arange(channels, device=places.device)[:, None]
        noise = self.noise_scale * normal(inputs["seed"][:, None, None], counter)
        z = self.net.z(latents, inputs["speaker"], noise, mask)[:, :, own:]

        # the chunk before continues: its own input up to the join, then a fade
        since = torch.arange(z.shape[2], device=z.device) - left  # (B, T) or (T,)
        share = (1 - since.clamp(min=0) / REACH).clamp(min=0) * inputs["continued"][:, None]
        share = share[:, None].to(z.dtype)
        before = _taken(inputs["state"], (since + REACH).expand(len(z), -1))
        return torch.where(share > 0, share * before + (1 - share) * z, z)


def _around(z: Tensor, join: Tensor) -> Tensor:
    """z (B, I, T) around the join with the next chunk, at frame `join` (B, 1): (B, I, 2 REACH)"""
    return _taken(z, join + torch.arange(-REACH, REACH, device=z.device))


def _taken(signal: Tensor, frames: Tensor) -> Tensor:
    """signal (B, C, T) at frames (B, S), clamped to it -> (B, C, S)"""
    places = frames.clamp(0, signal.shape[2] - 1)[:, None].expand(-1, signal.shape[1], -1)
    return signal.gather(2, places)
