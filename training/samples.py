"""Samples for the documentation: python -m training.samples --kept training/runs/judged

It writes a test sentence in every shipped voice, from the folder of `training.judge --keep`, to docs/samples/ as MP3,
and prints the list with the sentences and the judge's transcripts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile

from training.voices import SENTENCES, VOICES


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kept", type=Path, default=Path("training/runs/judged"))
    parser.add_argument("--out", type=Path, default=Path("docs/samples"))
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    said = dict.fromkeys(SENTENCES, 0)
    for name, voice in VOICES.items():
        index = said[voice.language]  # a different one for every voice of a language
        said[voice.language] += 1
        folder = args.kept / f"gpt-{name}"
        waveform, rate = soundfile.read(folder / f"{index:02d}.wav")
        soundfile.write(args.out / f"{name}.mp3", waveform, rate, format="MP3", subtype="MPEG_LAYER_III")
        text, heard = (folder / "heard.txt").read_text("utf-8").splitlines()[index].split(" | ")
        print(f"| [{name}](samples/{name}.mp3) | {voice.description} | {text} | {heard} |")


if __name__ == "__main__":
    main()
