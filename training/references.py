"""Make the voices' references: python -m training.references --out training/runs/next/voices

Each of the teacher's voices speaks two sentences that are not in the corpus. `--strangers 40` makes recordings of
unseen speakers instead: all ten voices and some of the blends. Needs `training.teachers.fetch`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile

from training.teachers.kokoro import RATE, Kokoro
from training.teachers.phonemes import Reader
from training.teachers.speakers import Speaker, strangers
from training.utterances import LOUDNESS

VOICES = {  # name: the teacher's voice, language, gender, description
    "clara": ("af_heart", "en", "female", "American woman"),
    "nora": ("af_bella", "en", "female", "American woman"),
    "lily": ("bf_emma", "en", "female", "British woman"),
    "emma": ("af_sarah", "en", "female", "American woman"),
    "ross": ("am_michael", "en", "male", "American man"),
    "ben": ("am_liam", "en", "male", "American man"),
    "angus": ("bm_george", "en", "male", "British man"),
    "kai": ("am_onyx", "en", "male", "American man"),
    "mei": ("zf_xiaoxiao", "zh", "female", "女声"),
    "lan": ("zf_xiaobei", "zh", "female", "女声"),
    "xue": ("zf_xiaoyi", "zh", "female", "女声"),
    "wei": ("zm_yunjian", "zh", "male", "男声"),
    "jun": ("zm_yunyang", "zh", "male", "男声"),
    "tao": ("zm_yunxi", "zh", "male", "男声"),
}
PEAK = 0.95  # at most
SENTENCES = {
    "en": ("The quick brown fox jumps over the lazy dog.", "A cold wind blew across the open field tonight."),
    "zh": ("小河的水很清，河边有几只白鹅。", "窗外的风很大，树叶落了一地。"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("training/runs/next/voices"))
    parser.add_argument("--strangers", type=int, help="this number of unseen speakers, at least 10")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kokoro = Kokoro()
    reader = Reader(kokoro.folder)
    for name, speaker in (unseen(args.strangers) if args.strangers else shipped()).items():
        sentences = SENTENCES[speaker.home]
        waveform = np.concatenate(
            [kokoro.say(reader.phonemes(sentence, speaker.home), speaker).waveform for sentence in sentences]
        )
        waveform *= min(LOUDNESS / np.sqrt(np.mean(waveform**2)), PEAK / np.abs(waveform).max())
        file = args.out / f"{name}.flac"
        soundfile.write(file, waveform, RATE, "PCM_16", format="FLAC", compression_level=1.0)
        if name in VOICES:
            card = json.dumps(described(name), indent=2, ensure_ascii=False)
            (args.out / f"{name}.json").write_text(card + "\n")
        print(f"{name}: {len(waveform) / RATE:.2f} s")


def shipped() -> dict[str, Speaker]:
    return {name: Speaker(voice, language, {voice: 1.0}) for name, (voice, language, *_) in VOICES.items()}


def unseen(count: int) -> dict[str, Speaker]:
    """The reserved voices, and blends at equal distances in their list."""
    every = strangers()
    voices = [one for one in every if len(one.voices) == 1]
    blends = [one for one in every if len(one.voices) > 1]
    if count < len(voices):
        raise SystemExit(f"--strangers: at least {len(voices)}")
    places = np.linspace(0, len(blends) - 1, count - len(voices)).round().astype(int)
    return {one.name: one for one in [*voices, *(blends[place] for place in places)]}


def described(name: str) -> dict[str, str]:
    _, language, gender, description = VOICES[name]
    return {
        "name": name,
        "language": language,
        "gender": gender,
        "description": description,
        "transcript": " ".join(SENTENCES[language]),
        "consent": "synthetic teacher voice",
    }


if __name__ == "__main__":
    main()
