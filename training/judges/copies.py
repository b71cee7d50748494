"""Copy speech through a codec: python -m training.judges.copies TEACHER --codec FILE --voices FOLDER --out COPIES

For the judges. TEACHER is a folder of `training.judges.render --by teacher`. The speaker vector comes from the
speaker's recording in `--voices`, F0 is measured, and the times of the phones are found by the codec, so that the
difference to TEACHER is what the codec loses. Set CHORALE_VOICE as in the codec's training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from deployments.families.small.frontend import SmallFrontend
from serve_app.voices.library import recordings
from training.align import aligned
from training.codec import load_codec
from training.codec_net import Codec
from training.corpus import continuous_pitch, pointer
from training.judges.samples import load, store
from training.next_voice import HOP, NEXT, PHONES, RATE
from training.utterances import levelled

SEED = 1  # of the vocoder's noise


def heard(path: Path) -> np.ndarray:
    """(N,) float32 at RATE, at the common loudness."""
    waveform, rate = soundfile.read(path, dtype="float32")
    return levelled(soxr.resample(waveform, rate, RATE) if rate != RATE else waveform)


@torch.inference_mode()
def copied(codec: Codec, waveform: np.ndarray, phones: np.ndarray, recording: np.ndarray) -> np.ndarray:
    """The waveform (N,), in which the phones (P,) are said, through encoder and vocoder, in the voice of the recording.

    Returns (N,).
    """
    f0, ends, _ = aligned(codec, waveform, phones)
    f0 = np.pad(f0, (0, max(0, len(waveform) // HOP - len(f0))))[: len(waveform) // HOP]
    log_f0, voiced, mean = continuous_pitch(f0)

    def row(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).unsqueeze(0)

    mel, speaker = codec.log_mel(row(waveform)), codec.speaker(row(recording))
    _, codes = codec.encode(mel, row(log_f0), row(voiced), mel.mean(1), torch.tensor([mean]))
    count, zero = codes.shape[1], torch.zeros(1, dtype=torch.int64)
    said = torch.from_numpy(phones[pointer(ends, count)]) if NEXT.vocoder_phones else zero
    phase, mask = torch.zeros(1, dtype=torch.float64), torch.ones(1, count)
    made, _ = codec.vocoder(
        codes + said * NEXT.n_codes, speaker, mask, zero + SEED, zero, zero, zero + count, phase
    )
    return made[0, : count * NEXT.samples_per_code].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--codec", type=Path, default=Path("training/runs/next/codec.pt"))
    parser.add_argument("--voices", type=Path, required=True, help="recordings NAME.flac or NAME.wav")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if (args.out / "index.jsonl").exists():
        parser.error(f"{args.out} already contains speech")
    codec, frontend = load_codec(args.codec), SmallFrontend(phones=PHONES)
    voices = {path.stem: heard(path) for path in recordings(args.voices)}
    for sample in load(args.teacher):
        phones = np.array(PHONES.ids(tuple(frontend.phones_of(sample.text))))
        made = copied(codec, heard(args.teacher / sample.file), phones, voices[sample.speaker])
        store(args.out, sample, made, RATE)
    print(args.out)


if __name__ == "__main__":
    main()
