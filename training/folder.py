"""Make a corpus of your own recordings: python -m training.folder RECORDINGS --speaker ann --out training/runs/mine

RECORDINGS contains NAME.wav (or .flac) and its transcript NAME.txt for each sentence, at any rate, by one speaker. The
phones come from the service's frontend, F0 is measured, and silence at the edges is trimmed. `training.align` then
finds the times of the phones. Unusable recordings are reported and skipped. `--append` adds another speaker.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr

from deployments.contract.errors import InvalidInput
from deployments.families.small.frontend import SmallFrontend
from deployments.text.phones import phone_ids
from training.pitch import measured_f0
from training.utterances import (
    LEAD,
    LONGEST,
    RATE,
    TAIL,
    Utterance,
    levelled,
    next_shard,
    sounding,
    store,
)

KINDS = (".wav", ".flac")
SHORTEST = 1.0  # seconds, at least a crop of the codec's training


def utterance(sound: Path, speaker: str, frontend: SmallFrontend) -> Utterance:
    """Raises ValueError with the reason if the recording or its text is unusable."""
    words = sound.with_suffix(".txt")
    if not words.exists():
        raise ValueError(f"{words.name} is missing")
    text = words.read_text("utf-8").strip()
    try:
        waveform, rate = soundfile.read(sound, dtype="float32", always_2d=True)
        phones = frontend.phones_of(text)
    except soundfile.LibsndfileError:
        raise ValueError("it is not a readable recording") from None
    except InvalidInput as error:
        raise ValueError(f"its text cannot be spoken: {error}") from None
    waveform = soxr.resample(waveform.mean(1), rate, RATE)
    if not len(waveform) or not np.abs(waveform).max() > 1e-3:
        raise ValueError("it is silent")
    begin, end = sounding(waveform)
    if not SHORTEST <= end - begin <= LONGEST - LEAD - TAIL:
        raise ValueError(
            f"it lasts {end - begin:.1f} s; {SHORTEST:g} to {LONGEST - LEAD - TAIL:g} s are allowed"
        )
    waveform = levelled(waveform[int(max(0.0, begin - LEAD) * RATE) : int((end + TAIL) * RATE)])
    ids = np.array(phone_ids(phones), np.int16)
    ends = np.full(len(ids), np.nan, np.float32)
    return Utterance(speaker, text, waveform, measured_f0(waveform), ids, ends, pace=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--speaker", help="name; default: the folder's name")
    parser.add_argument("--out", type=Path, default=Path("training/runs/mine"))
    parser.add_argument(
        "--append", action="store_true", help="append to the folder instead of replacing its content"
    )
    args = parser.parse_args()

    made, frontend = [], SmallFrontend()
    for sound in sorted(path for path in args.recordings.glob("*") if path.suffix.lower() in KINDS):
        try:
            made.append(utterance(sound, args.speaker or args.recordings.resolve().name, frontend))
        except ValueError as error:
            print(f"skipped: {sound.name}: {error}", file=sys.stderr)
    if not made:
        raise SystemExit(f"{args.recordings} contains no usable recording")
    store(made, args.out, next_shard(args.out, args.append))
    seconds = sum(len(one.waveform) for one in made) / RATE
    print(f"{args.out}: {len(made)} utterances, {seconds / 60:.1f} min")


if __name__ == "__main__":
    main()
