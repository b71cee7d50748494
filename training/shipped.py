"""The shipped networks, or others of the same kind, loaded as in the service, for the judges."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from deployments.families.small.frontend import SmallFrontend
from deployments.families.small.gpt_net import GptNet
from deployments.families.small.speaker import SpeakerEncoder
from deployments.families.small.timbre import Timbre
from deployments.families.small.vocoder_net import VocoderNet
from training.generate import generate

FAMILY = Path("deployments/families/small")
WEIGHTS = FAMILY / "weights"
VOICES = FAMILY / "voices"
Net = TypeVar("Net", bound=nn.Module)


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Adds the argument `--weights`."""
    parser.add_argument(
        "--weights",
        type=Path,
        default=WEIGHTS,
        help="a folder written by training.export (default: the shipped one)",
    )


def reference(voice: str) -> np.ndarray:
    """The waveform (N,) of a shipped voice's reference."""
    return soundfile.read(VOICES / f"{voice}.wav", dtype="float32")[0]


class Shipped:
    """Frontend, speaker encoder, GPT and vocoder from a folder of weights."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self.config = SmallConfig(**json.loads((weights / "small.json").read_text()))
        state = {key: value.float() for key, value in load_file(weights / "small.safetensors").items()}
        self.frontend = SmallFrontend(languages=self.config.languages)
        self.mel = LogMel(self.config)
        self.encoder = self._load(SpeakerEncoder(self.config), state, "speaker.")
        self.vocoder = self._load(VocoderNet(self.config), state, "vocoder.")
        self.gpt = self._load(GptNet(self.config), state, "gpt.")
        self.timbre = Timbre(self.vocoder, state["timbre.codes"].long(), self.mel)

    @staticmethod
    def _load(net: Net, state: dict[str, Tensor], prefix: str) -> Net:
        net.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        return net.eval()

    @torch.inference_mode()
    def vector(self, reference: np.ndarray) -> Tensor:
        """The speaker vector and timbre, (S + bins,), of a 16 kHz waveform (N,)."""
        waveform = torch.from_numpy(reference).unsqueeze(0)
        vector = self.encoder(waveform)[0]
        return torch.cat([vector, self.timbre(vector, self.mel(waveform)[0])])

    def phones(self, text: str) -> Tensor:
        """The phone ids (P,) of a text of one segment."""
        (segment,) = self.frontend.segments(text)
        return torch.from_numpy(segment.token_ids)

    @torch.inference_mode()
    def say(
        self,
        texts: list[str],
        vector: Tensor,
        temperature: float,
        seed: int = 0,
        pace: float = 1.0,
        batch: int = 8,
    ) -> list[np.ndarray]:
        """The waveform (N,) of each text, with the pauses between its segments.

        A batch of texts starts at seed + the index of its first text; each of its segments takes the next seed.
        """
        made: list[np.ndarray] = []
        for first in range(0, len(texts), batch):
            read = [self.frontend.segments(text) for text in texts[first : first + batch]]
            phones = [
                torch.from_numpy(s.token_ids) for segments in read for s in segments if len(s.token_ids)
            ]
            vectors, top_k = vector[: self.config.speaker_dim].expand(len(phones), -1), self.config.top_k
            codes = generate(self.gpt, vectors, phones, temperature, top_k, seed + first, pace)
            sounds = iter([self.sound(row, vector, seed + first + i) for i, row in enumerate(codes)])
            for segments in read:
                parts: list[np.ndarray] = []
                for segment in segments:
                    if len(segment.token_ids):
                        parts.append(next(sounds))
                    silence = round(segment.pause_after / pace * self.config.sample_rate)
                    parts.append(np.zeros(silence if segment is not segments[-1] else 0, np.float32))
                made.append(np.concatenate(parts))
        return made

    @torch.inference_mode()
    def sound(self, codes: Tensor, vector: Tensor, seed: int = 0) -> np.ndarray:
        """One utterance whole: codes (T,) -> waveform (N,)."""
        zero = torch.zeros(1, dtype=torch.int64)
        chunk = (zero + seed, zero, zero, zero + len(codes), torch.zeros(1, dtype=torch.float64))
        size = self.config.speaker_dim
        rows = codes.unsqueeze(0), vector[:size].unsqueeze(0), torch.ones(1, len(codes))
        waveform, _ = self.vocoder(*rows, *chunk, timbre=vector[size:].unsqueeze(0))
        return waveform[0].numpy()
