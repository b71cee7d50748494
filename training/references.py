"""Make the voices' references: python -m training.references --out training/runs/next/voices

Each is a voice of the teacher, or a blend, and speaks two sentences that are not in the corpus. `--strangers 40`
makes recordings of unseen speakers instead: all ten voices and some of the blends. Needs `training.teachers.fetch`.
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

# The vocoder loses more of a high voice than of a low one (docs/voice.md), so the women's voices are the teacher's
# lowest, and blends where those are high.
VOICES = {  # name: the teacher's voices with their weights, language, gender, description
    "clara": ({"af_sky": 1.0}, "en", "female", "American woman"),
    "nora": ({"af_nova": 1.0}, "en", "female", "American woman"),
    "lily": ({"af_alloy": 0.67, "bf_emma": 0.33}, "en", "female", "gentle woman"),
    "emma": ({"af_alloy": 1.0}, "en", "female", "deep American woman"),
    "ross": ({"am_michael": 1.0}, "en", "male", "American man"),
    "ben": ({"am_liam": 1.0}, "en", "male", "American man"),
    "angus": ({"bm_daniel": 1.0}, "en", "male", "British man"),
    "kai": ({"am_onyx": 1.0}, "en", "male", "deep American man"),
    "mei": ({"zm_yunyang": 0.37, "zf_xiaoxiao": 0.27, "zf_xiaobei": 0.36}, "zh", "female", "低沉的女声"),
    "lan": ({"zf_xiaobei": 1.0}, "zh", "female", "明亮的女声"),
    "xue": ({"zf_xiaobei": 0.68, "zm_yunxi": 0.32}, "zh", "female", "中音女声"),
    "wei": ({"zm_yunjian": 1.0}, "zh", "male", "沉稳的男声"),
    "jun": ({"zm_yunyang": 1.0}, "zh", "male", "低沉的男声"),
    "tao": ({"zm_yunxi": 1.0}, "zh", "male", "明快的男声"),
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
    return {name: Speaker(name, language, voices) for name, (voices, language, *_) in VOICES.items()}


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
