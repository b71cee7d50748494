"""Speak with the exported weights: python -m training.synthesize "Good morning to you all." --voice clara

Phones come from flite, the vector of the voice from its shipped reference, the rest from
deployments/families/small/weights.
"""

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
from deployments.families.small.gpt_net import GptNet
from deployments.families.small.phones import closing_pause, phone_ids
from deployments.families.small.speaker import SpeakerEncoder
from deployments.families.small.vocoder_net import VocoderNet
from training.generate import generate
from training.teachers import read

FAMILY = Path("deployments/families/small")
Net = TypeVar("Net", bound=nn.Module)


def flite_phones(text: str) -> Tensor:
    """Phone ids of a sentence, (P,) int64."""
    return torch.tensor(phone_ids([*read(text)[:-1], closing_pause(text)]))


class Speaker:
    """The three nets, loaded as serving loads them."""

    def __init__(self, weights: Path = FAMILY / "weights") -> None:
        self.config = SmallConfig.from_dict(json.loads((weights / "small.json").read_text()))
        state = {key: value.float() for key, value in load_file(weights / "small.safetensors").items()}
        self.mel = LogMel(self.config)
        self.encoder = self._load(SpeakerEncoder(self.config), state, "speaker.")
        self.vocoder = self._load(VocoderNet(self.config), state, "vocoder.")
        self.gpt = self._load(GptNet(self.config), state, "gpt.")

    @staticmethod
    def _load(net: Net, state: dict[str, Tensor], prefix: str) -> Net:
        net.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        return net.eval()

    @torch.inference_mode()
    def voice(self, name: str) -> Tensor:
        """Speaker vector (S,) of a shipped voice."""
        waveform, _ = soundfile.read(FAMILY / "voices" / f"{name}.wav", dtype="float32")
        return self.encoder(torch.from_numpy(waveform).unsqueeze(0))[0]

    @torch.inference_mode()
    def sound(self, codes: Tensor, vector: Tensor, seed: int = 0) -> np.ndarray:
        """One utterance whole: codes (T,) -> waveform (N,)."""
        zero = torch.zeros(1, dtype=torch.int64)
        chunk = (zero + seed, zero, zero, zero + len(codes), torch.zeros(1, dtype=torch.float64))
        waveform, _ = self.vocoder(codes.unsqueeze(0), vector.unsqueeze(0), torch.ones(1, len(codes)), *chunk)
        return waveform[0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("--voice", default="clara")
    parser.add_argument("--temperature", type=float, default=SmallConfig().temperature)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("speech.wav"))
    args = parser.parse_args()

    speaker = Speaker()
    vector = speaker.voice(args.voice)
    codes = generate(
        speaker.gpt,
        vector.unsqueeze(0),
        [flite_phones(args.text)],
        temperature=args.temperature,
        seed=args.seed,
    )[0]
    soundfile.write(args.out, speaker.sound(codes, vector, args.seed), speaker.config.sample_rate)
    print(f"{args.out}: {len(codes) / speaker.config.codes_per_second:.2f} s")


if __name__ == "__main__":
    main()
