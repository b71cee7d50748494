"""Whether the GPT runs away or loses words: python -m training.judges.runaways --seeds 48

Every held-out sentence of a language is decoded with many seeds, in batches, at the default settings. Only the GPT
runs: its units contain the phone of each code, so each phone's time is known exactly.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deployments.contract.speech import GptRequest, Segment
from deployments.families.small.family import SmallFamily
from serve_app.cli.speaker import Speaker
from serve_app.config.settings import Settings
from training.judges.render import turn
from training.references import VOICES
from training.teachers.texts import held_out

GROUP = 6  # phones: about two short words
LOST = 1 / 3  # of a group's median time
LONG = 1.5  # of a segment's median time
FURTHEST = 3  # phones that one step may move: gpt_net.py
BATCH = 8


@dataclass
class Count:
    """Of one language. segments: all that were decoded; lengths: each relative to the median of its text."""

    segments: int = 0
    runaways: list[str] = field(default_factory=list)
    repeats: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)

    def add(self, said: list[np.ndarray], phones: Sequence[int], where: str) -> None:
        """One segment with every seed: the phone of every code (T,), and the phones (P,)."""
        spent = {}  # codes of each phone (P,) by seed
        for seed, one in enumerate(said):
            try:
                spent[seed] = times(one, phones)
            except ValueError as error:
                self.repeats.append(f"{where}, seed {seed}: {error}")
        self.segments += len(said)
        if not spent:
            return
        typical = np.median(list(spent.values()), axis=0)
        usual = np.median([own.sum() for own in spent.values()])
        for seed, own in spent.items():
            self.lengths.append(float(own.sum() / usual))
            if self.lengths[-1] > LONG:
                self.runaways.append(f"{where}, seed {seed}: {self.lengths[-1]:.2f} of the median")
            if (place := lost_group(own, typical)) is not None:
                group = own[place : place + GROUP].tolist()
                self.lost.append(f"{where}, seed {seed}: {group} codes from phone {place}")


def times(said: np.ndarray, phones: Sequence[int]) -> np.ndarray:
    """The phone of every code (T,), and the phones (P,) -> the codes of each phone (P,) int.

    Raises ValueError if they are not said in this order with at most two left out at a time: a repeat.
    """
    spent, place = np.zeros(len(phones), int), 0
    for step, phone in enumerate(said):
        if step == 0 or phone != phones[place]:
            ahead = range(place + (step > 0), min(place + FURTHEST + 1, len(phones)))
            place = next((one for one in ahead if phones[one] == phone), -1)
            if place < 0:
                raise ValueError(f"code {step} says phone {phone} out of order")
        spent[place] += 1
    return spent


def lost_group(spent: np.ndarray, typical: np.ndarray) -> int | None:
    """The first group of GROUP phones that has less than LOST of its typical time, or of a code per phone.

    spent, typical: (P,) codes.
    """
    ones = np.ones(min(GROUP, len(spent)))
    least = np.maximum(LOST * np.convolve(typical, ones, "valid"), len(ones))
    short = np.flatnonzero(np.convolve(spent, ones, "valid") < least)
    return int(short[0]) if len(short) else None


async def spoken(
    speaker: Speaker, segment: Segment, voice: str, seed: int, room: asyncio.Semaphore
) -> np.ndarray:
    """The phone of every code (T,)."""
    backend = speaker.backend
    assert isinstance(backend.family, SmallFamily)
    async with room:
        request = GptRequest(segment, await speaker.prompt_of(voice), backend.spec.sampling(seed=seed))
        runs = backend.generate(request, id=f"{id(segment)} {seed}", priority=0, admitted=True)
        return np.concatenate([run.spoken async for run in runs]) // backend.family.config.n_codes


async def count(speaker: Speaker, language: str, sentences: int, seeds: int) -> Count:
    voices = [name for name, (_, home, *_) in VOICES.items() if home == language]
    found, room = Count(), asyncio.Semaphore(BATCH)
    for number, text in enumerate(held_out(language)[:sentences]):
        (voice,) = turn(voices, number, 1)
        for segment in await speaker.backend.segments(text.text, None):
            work = [spoken(speaker, segment, voice, seed, room) for seed in range(seeds)]
            said = await asyncio.gather(*work)
            found.add(said, segment.token_ids.tolist(), f"{voice}, {segment.text!r}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=48)
    parser.add_argument("--count", type=int, default=40, help="sentences per language")
    parser.add_argument("--language", choices=["en", "zh"], nargs="*", default=["en", "zh"])
    parser.add_argument("--weights", type=Path, help="a folder written by training.voice (the shipped one)")
    args = parser.parse_args()
    options = {"weights": str(args.weights)} if args.weights else {}
    settings = {"device": {"preference": "cpu"}, "family": {"name": "small", "options": options}}
    with Speaker(Settings.from_args(settings), slots=BATCH) as speaker:
        family = speaker.backend.family
        if not (isinstance(family, SmallFamily) and family.config.vocoder_phones):
            parser.error("--weights: the units of these weights do not contain phones (vocoder_phones)")
        for language in args.language:
            found = speaker.run(count(speaker, language, args.count, args.seeds))
            low, high = min(found.lengths, default=0.0), max(found.lengths, default=0.0)
            print(f"{language}: {found.segments} segments, {low:.2f} to {high:.2f} of their median length")
            print(f"  {len(found.runaways)} runaways, {len(found.repeats)} repeats,", end=" ")
            print(f"{len(found.lost)} with a lost group of phones", flush=True)
            for line in found.runaways + found.repeats + found.lost:
                print(f"  {line}")


if __name__ == "__main__":
    main()
