"""Whether the GPT runs away or loses words: python -m training.judges.runaways --seeds 48

Every held-out sentence of a language is decoded with many seeds, in batches, at the default settings. Only the GPT
runs: its units contain the phone of each code, so each phone's time is known exactly.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deployments.contract.speech import GptRequest, Segment
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

    segments: int
    runaways: list[str]
    lost: list[str]
    lengths: np.ndarray


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
    backend, codes = speaker.backend, speaker.backend.family.config.n_codes  # pyright: ignore[reportAttributeAccessIssue]
    async with room:
        request = GptRequest(segment, await speaker.prompt_of(voice), backend.spec.sampling(seed=seed))
        runs = backend.generate(request, id=f"{id(segment)} {seed}", priority=0, admitted=True)
        return np.concatenate([run.spoken async for run in runs]) // codes


async def count(speaker: Speaker, language: str, sentences: int, seeds: int) -> Count:
    voices = [name for name, (_, home, *_) in VOICES.items() if home == language]
    found, lengths, room = Count(0, [], [], np.zeros(0)), [], asyncio.Semaphore(BATCH)
    for number, text in enumerate(held_out(language)[:sentences]):
        (voice,) = turn(voices, number, 1)
        for segment in await speaker.backend.segments(text.text, None):
            phones = segment.token_ids.tolist()
            work = [spoken(speaker, segment, voice, seed, room) for seed in range(seeds)]
            spent = np.stack([times(said, phones) for said in await asyncio.gather(*work)])  # (S, P)
            typical = np.median(spent, axis=0)
            length = spent.sum(1) / np.median(spent.sum(1))
            lengths.append(length)
            found.segments += seeds
            for seed in range(seeds):
                where = f"{voice}, seed {seed}: {segment.text}"
                if length[seed] > LONG:
                    found.runaways.append(f"{where} ({length[seed]:.2f} of the median)")
                if (place := lost_group(spent[seed], typical)) is not None:
                    found.lost.append(
                        f"{where} (from phone {place}: {spent[seed][place : place + GROUP].tolist()})"
                    )
    found.lengths = np.concatenate(lengths)
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
        for language in args.language:
            found = speaker.run(count(speaker, language, args.count, args.seeds))
            low, high = found.lengths.min(), found.lengths.max()
            print(f"{language}: {found.segments} segments, {low:.2f} to {high:.2f} of their median length,")
            print(
                f"  {len(found.runaways)} runaways, {len(found.lost)} with a lost group of phones", flush=True
            )
            for line in found.runaways + found.lost:
                print(f"  {line}")


if __name__ == "__main__":
    main()
