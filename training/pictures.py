"""Draw the pictures of the documentation: python -m training.pictures --kept training/runs/judged

It draws training curves from training/runs/codec.log and gpt.log, and spectrograms of one sentence by the teacher,
through the codec and from the GPT, from the folder of `training.judge --keep`. They are written to docs/images/.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import soundfile
from matplotlib.figure import Figure
from PIL import Image

CODEC_CURVES = {
    "mel": "mel (helper head)",
    "wave_mel": "mel of the waveform",
    "stft": "STFT",
    "log_f0": "log F0",
    "phones": "phones heard",
}
GPT_CURVES = {
    "code": "code",
    "valid_code": "code, held out",
    "advance": "advance",
    "valid_advance": "advance, held out",
}


def curves(log: Path) -> dict[str, np.ndarray]:
    """The columns of a training log, in which each number follows its name."""
    rows = [
        dict(re.findall(r"(\w+) ([\d.]+)", line))
        for line in log.read_text().splitlines()
        if line[:4] == "step"
    ]
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def save(figure: Figure, path: Path, dpi: int) -> None:
    """Writes a PNG with 48 colours, a third of the size."""
    figure.savefig(path, dpi=dpi)
    Image.open(path).convert("RGB").quantize(48).save(path, optimize=True)


def draw_curves(runs: Path, out: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(11, 3.6))
    for panel, (stage, names) in zip(panels, (("codec", CODEC_CURVES), ("gpt", GPT_CURVES)), strict=True):
        data = curves(runs / f"{stage}.log")
        for name, label in names.items():
            panel.plot(data["min"], data[name], label=label, linewidth=1.2)
        panel.set(title=stage, xlabel="wall minutes", ylabel="loss")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    panels[0].set_ylim(0, 1.2)
    figure.tight_layout()
    save(figure, out / "training_curves.png", dpi=90)


def draw_spectrograms(kept: Path, voice: str, index: int, out: Path) -> None:
    kinds = {
        "teacher": f"teacher-{voice}",
        "through the codec": f"copy-{voice}",
        "from text": f"gpt-{voice}",
    }
    figure, panels = plt.subplots(len(kinds), 1, figsize=(10, 7.5), sharex=True)
    for panel, (title, folder) in zip(panels, kinds.items(), strict=True):
        waveform, rate = soundfile.read(kept / folder / f"{index:02d}.wav")
        panel.specgram(waveform + 1e-6, NFFT=512, Fs=rate, noverlap=384, vmin=-120, vmax=-35, cmap="magma")
        panel.set(title=f"{voice}: {title}", ylabel="Hz")
    panels[-1].set_xlabel("s")
    figure.tight_layout()
    save(figure, out / f"spectrogram_{voice}.png", dpi=75)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--kept", type=Path, default=Path("training/runs/judged"))
    parser.add_argument("--voices", nargs="+", default=["ross", "clara", "mei"])
    parser.add_argument("--sentence", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    draw_curves(args.runs, args.out)
    for voice in args.voices:
        draw_spectrograms(args.kept, voice, args.sentence, args.out)


if __name__ == "__main__":
    main()
