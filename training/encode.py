"""Turn the corpus into GPT training data: python -m training.encode

The trained codec gives the codes and the speaker vector of every aligned utterance, and the alignment gives the phone
in the middle of every code. They are written to training/runs/codes.pt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from training import ranks
from training.codec import load_codec
from training.corpus import Corpus, continuous_pitch


def encode_part(rank: int, size: int, args: argparse.Namespace) -> None:
    """Encodes every `size`-th aligned utterance into codes.<rank>.pt."""
    config, corpus, codec = SmallConfig(), Corpus(args.data), load_codec(args.codec)
    mel, rows, valid = LogMel(config), [], set(corpus.valid)
    with torch.inference_mode():
        for index in filter(corpus.aligned, [*corpus.train, *corpus.valid][rank::size]):
            waveform = torch.from_numpy(corpus.waveform(index)).unsqueeze(0)
            frames = mel(waveform)  # (1, F, M)
            log_f0, voiced, mean_log_f0 = continuous_pitch(corpus.f0(index))
            pitch = torch.from_numpy(log_f0).unsqueeze(0), torch.from_numpy(voiced).unsqueeze(0)
            _, codes = codec.encode(frames, *pitch, frames.mean(1), torch.tensor([mean_log_f0]))
            phones, _ = corpus.phones(index)
            pointer = corpus.pointer(index, codes.shape[1], config.codes_per_second)
            rows.append(
                {
                    "codes": codes[0].to(torch.int16),
                    "pointer": torch.from_numpy(pointer.astype(np.int16)),
                    "phones": torch.from_numpy(phones.astype(np.int16)),
                    "speaker": codec.speaker(waveform)[0].clone(),
                    "name": corpus.speakers[index],
                    "pace": corpus.paces[index],
                    "held": index in valid,
                }
            )
    torch.save(rows, args.out.with_suffix(f".{rank}.pt"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("training/runs/data"))
    parser.add_argument("--codec", default="training/runs/codec.pt", help="its checkpoint, or `shipped`")
    parser.add_argument("--out", type=Path, default=Path("training/runs/codes.pt"))
    parser.add_argument("--ranks", type=int, default=2)
    args = parser.parse_args()

    ranks.launch(encode_part, args.ranks, args)
    parts = [torch.load(args.out.with_suffix(f".{rank}.pt")) for rank in range(args.ranks)]
    rows = sorted(
        (row for part in parts for row in part), key=lambda row: row["held"]
    )  # the validation set, last
    torch.save(rows, args.out)
    for rank in range(args.ranks):
        args.out.with_suffix(f".{rank}.pt").unlink()
    used = torch.cat([row["codes"] for row in rows]).unique().numel()
    print(f"{len(rows)} utterances, {sum(len(r['codes']) for r in rows)} codes, {used} different")


if __name__ == "__main__":
    main()
