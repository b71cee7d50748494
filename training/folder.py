"""Pack your own recordings for training: python -m training.folder RECORDINGS --codec training/runs/next/codec.pt

RECORDINGS contains NAME.wav (or .flac) and its transcript NAME.txt for each sentence, at any rate, by one speaker. The
phones come from the service's frontend. F0 is measured, the codec finds the times of the phones, and silence at the
edges is trimmed. Unusable recordings are reported and skipped.
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
from training.align import aligned
from training.codec import load_codec
from training.codec_net import Codec
from training.next_voice import PHONES, RATE
from training.shards import write
from training.utterances import LEAD, LONGEST, TAIL, Utterance, levelled, sounding

KINDS = (".wav", ".flac")
SHORTEST = 1.0  # seconds
WORST = -2.5  # least mean log probability of the phones; below, the text is not what was said


def utterance(sound: Path, speaker: str, frontend: SmallFrontend, codec: Codec, worst: float) -> Utterance:
    """Raises ValueError with the reason if the recording or its text is unusable."""
    words = sound.with_suffix(".txt")
    if not words.exists():
        raise ValueError(f"{words.name} is missing")
    text = words.read_text("utf-8").strip()
    try:
        waveform, rate = soundfile.read(sound, dtype="float32", always_2d=True)
        phones = PHONES.ids(tuple(frontend.phones_of(text)))
    except soundfile.LibsndfileError:
        raise ValueError("it is not a readable recording") from None
    except InvalidInput as error:
        raise ValueError(f"its text cannot be spoken: {error}") from None
    waveform = soxr.resample(waveform.mean(1), rate, RATE)
    begin, end = sounding(waveform)
    if not SHORTEST <= end - begin <= LONGEST - LEAD - TAIL:
        raise ValueError(
            f"it lasts {end - begin:.1f} s; {SHORTEST:g} to {LONGEST - LEAD - TAIL:g} s are allowed"
        )
    waveform = levelled(waveform[int(max(0.0, begin - LEAD) * RATE) : int((end + TAIL) * RATE)])
    ids = np.array(phones, np.int16)
    f0, ends, score = aligned(codec, waveform, ids.astype(np.int64))
    if score < worst:
        raise ValueError(f"its text does not seem to be what is said ({score:.1f})")
    language = "zh" if any(char > "\u2e7f" for char in text) else "en"
    return Utterance(speaker, language, text, waveform, f0, ids, ends.astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--codec", type=Path, default=Path("training/runs/next/codec.pt"))
    parser.add_argument("--speaker", help="name; default: the folder's name")
    parser.add_argument("--out", type=Path, default=Path("training/runs/mine.safetensors"))
    parser.add_argument("--worst", type=float, default=WORST, help="least log probability of the phones")
    args = parser.parse_args()

    codec, frontend = load_codec(args.codec), SmallFrontend(phones=PHONES)
    speaker, made = args.speaker or args.recordings.resolve().name, []
    for sound in sorted(path for path in args.recordings.glob("*") if path.suffix.lower() in KINDS):
        try:
            made.append(utterance(sound, speaker, frontend, codec, args.worst))
        except ValueError as error:
            print(f"skipped: {sound.name}: {error}", file=sys.stderr)
    if not made:
        raise SystemExit(f"{args.recordings} contains no usable recording")
    seconds = write(made, args.out)
    print(f"{args.out}: {len(made)} utterances, {seconds / 60:.1f} min")


if __name__ == "__main__":
    main()
