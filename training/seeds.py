"""Check seeds for runaways, repetitions and omissions: python -m training.seeds --seeds 48

Every test sentence is spoken with `--seeds` seeds of its own, in the shipped voices in turn, eight seeds each. Two
judges check each utterance. First, the phones of the text are aligned with the phone recogniser's output. Sound that
matches none of them (inserted or repeated) and phones without sound (omitted) are reported. The codec was trained with
this recogniser, so training/listener.py also transcribes the phones without knowing the text, and missing or surplus
phones between two matching places are reported. So are lengths far from the sentence's median.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import jiwer
import numpy as np
import soundfile
import torch

from deployments.text.phones import PHONES
from training.align import path
from training.listener import load_listener, sounds
from training.phone_net import PhoneNet, load_phone_net
from training.recogniser import plain
from training.shipped import Shipped, add_weights, reference
from training.utterances import RATE
from training.voices import SENTENCES, VOICES
from training.warm import SHIPPED

UNHEARD = -4.0  # a lower mean log probability of a phone or step means that it is not heard
DROPPED = 4  # consecutive phones
PUT_IN_S = 0.24
LENGTHS = 0.6, 1.6  # relative to the sentence's median over all voices and seeds
MISSING = 3  # phones fewer or more than in the text, between matching places
_SOUNDS = np.array([name.rstrip("12345") for name in PHONES])
# Tones are ignored, because a wrong tone omits nothing. Many speakers pronounce "dog" with the vowel of "lot".
_HEARD = np.where(_SOUNDS == "ao", "aa", _SOUNDS)
ALIKE = (_HEARD[:, None] == _HEARD).astype(np.float32)


@dataclass(frozen=True)
class Fit:
    """How a sound matches its phones. dropped: the most consecutive phones that are not heard. put_in: the most
    consecutive seconds that match no phone. seconds: the length. missing, added: phones in one place, by the
    transcript."""

    dropped: int
    put_in: float
    seconds: float
    missing: int = 0
    added: int = 0

    @property
    def fault(self) -> str:
        if self.dropped >= DROPPED:
            return f"{self.dropped} consecutive phones are not heard"
        if self.put_in >= PUT_IN_S:
            return f"{self.put_in:.2f} s match none of its phones"
        if self.missing >= MISSING:
            return f"{self.missing} phones are missing in one place"
        return f"{self.added} surplus phones in one place" if self.added >= MISSING else ""


def longest_run(flags: np.ndarray) -> int:
    """The length of the longest run of True."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((ends[1::2] - ends[::2]).max(initial=0))


@torch.inference_mode()
def fit(net: PhoneNet, mel: torch.nn.Module, waveform: np.ndarray, phones: np.ndarray) -> Fit:
    guesses = net(mel(torch.from_numpy(waveform).unsqueeze(0)))[0][0].softmax(-1).numpy()
    heard = np.log(guesses @ ALIKE + 1e-12)
    phones = plain(phones)
    where, score = path(heard, phones)
    seconds = len(waveform) / RATE
    if not np.isfinite(score):
        return Fit(len(phones), seconds, seconds)
    steps = heard[np.arange(len(where)), phones[where]]
    means = np.array([steps[where == i].mean() if (where == i).any() else 0.0 for i in range(len(phones))])
    return Fit(longest_run(means < UNHEARD), longest_run(steps < UNHEARD) * seconds / len(where), seconds)


def gaps(meant: list[str], heard: list[str]) -> tuple[int, int]:
    """The most missing and the most surplus phones in one gap between matches, aligned with the fewest edits."""
    if not heard:
        return len(meant), 0
    apart = [0]
    for chunk in jiwer.process_words(" ".join(meant), " ".join(heard)).alignments[0]:
        if chunk.type == "equal":
            apart.append(0)
        apart[-1] += (chunk.ref_end_idx - chunk.ref_start_idx) - (chunk.hyp_end_idx - chunk.hyp_start_idx)
    return max(0, *apart), max(0, *(-one for one in apart))


def faults(fits: list[Fit]) -> list[str]:
    """The fault of each utterance of one sentence; "" if there is none."""
    usual = float(np.median([one.seconds for one in fits]))
    result = []
    for one in fits:
        ratio = one.seconds / usual
        result.append(
            one.fault or ("" if LENGTHS[0] <= ratio <= LENGTHS[1] else f"{ratio:.2f} times the usual length")
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=48)
    parser.add_argument("--count", type=int, default=40, help="sentences per language")
    parser.add_argument("--languages", nargs="+", default=list(SENTENCES), choices=list(SENTENCES))
    parser.add_argument("--temperature", type=float, help="default: the model's")
    parser.add_argument(
        "--runs", type=Path, default=Path("training/runs"), help="folder with the judge's checkpoint"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for faulty utterances")
    add_weights(parser)
    args = parser.parse_args()

    torch.set_num_threads(1)
    shipped, net = Shipped(args.weights), load_phone_net(SHIPPED)
    listener = load_listener(args.runs / "listener.pt")
    heat = shipped.config.temperature if args.temperature is None else args.temperature
    result: dict[str, dict] = {}
    for language in args.languages:
        voices = [name for name, voice in VOICES.items() if voice.language == language]
        vectors = {name: shipped.vector(reference(name)) for name in voices}
        found, said = [], 0
        for index, text in enumerate(SENTENCES[language].read_text("utf-8").splitlines()[: args.count]):
            phones, made = shipped.phones(text).numpy(), []
            for first in range(0, args.seeds, 8):
                texts = [text] * min(8, args.seeds - first)
                name = voices[(index + first // 8) % len(voices)]
                made += shipped.say(texts, vectors[name], heat, seed=1000 * index + first)
            meant, fits = _SOUNDS[sounds(plain(phones))].tolist(), []
            for waveform in made:
                missing, added = gaps(meant, _SOUNDS[listener.hear(waveform)].tolist())
                one = fit(net, shipped.mel, waveform, phones)
                fits.append(replace(one, missing=missing, added=added))
            said += len(fits)
            for seed, fault in enumerate(faults(fits)):
                if not fault:
                    continue
                voice = voices[(index + seed // 8) % len(voices)]
                found.append({"text": text, "voice": voice, "seed": 1000 * index + seed, "fault": fault})
                print(f"{voice}, seed {1000 * index + seed}: {fault}: {text}", flush=True)
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    soundfile.write(args.keep / f"{language}-{index}-{seed}.wav", made[seed], RATE)
        result[language] = {"said": said, "at_fault": len(found), "faults": found}
        print(f"{language}: {len(found)} of {said} at fault", flush=True)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
