"""Train the small family's voice: python -m training.voice --corpus training/runs/packed --minutes 9

The whole recipe on one machine: it reads packed shards, trains the codec and then the GPT, and exports weights that the
family loads. On a GPU it uses bfloat16, elsewhere two single-threaded processes. Every line of output has the losses,
also of held-out utterances. A killed run resumes from its checkpoints, and more `--minutes` continue a finished one.
`--start` begins with the networks of another run and keeps its codes, unless `--new-codes` trains its encoders too.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import lru_cache
from pathlib import Path

import torch

from training import codec, codes, gpt, ranks
from training.corpus import Corpus, shards_in
from training.encode import Encoded, encode
from training.export import export

SHARE = 0.62  # of the minutes, for the codec
RESERVE = 0.8  # of the minutes on a GPU, for reading, encoding and exporting


def corpus_of(args: argparse.Namespace) -> Corpus:
    return _corpus(tuple(shards_in(args.corpus)), args.device)


@lru_cache(maxsize=1)
def _corpus(shards: tuple[Path, ...], device: str) -> Corpus:
    """Kept between the stages if they run in one process."""
    return Corpus(shards, torch.device(device))


def train_codec(rank: int, size: int, args: argparse.Namespace) -> None:
    corpus = corpus_of(args)
    if rank == 0:
        speakers = len(set(corpus.speakers))
        print(f"{len(corpus)} utterances, {corpus.hours:.2f} h, {speakers} speakers", flush=True)
    start = args.start and args.start / "codec.pt"
    how = args.codec_minutes, args.codec_rate, args.crops, args.width, start, args.steps, args.new_codes
    codec.train(rank, corpus, args.out / "codec.pt", *how)


def train_gpt(rank: int, size: int, args: argparse.Namespace) -> None:
    start = args.start and args.start / "gpt.pt"
    rows = encoded(args, rank, size)
    how = args.gpt_minutes, args.gpt_rate, args.tokens, start, args.steps
    gpt.train(rank, size, rows, args.out / "gpt.pt", *how)


def encoded(args: argparse.Namespace, rank: int = 0, size: int = 1) -> Encoded:
    if args.codes:
        return codes.load(args.codes, torch.device(args.device))
    corpus = corpus_of(args)
    return encode(corpus, codec.load_codec(args.out / "codec.pt").to(corpus.device), rank, size)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, nargs="+", default=[Path("training/runs/packed")])
    parser.add_argument(
        "--codes", type=Path, nargs="+", help="of training.codes, for the stages gpt and export"
    )
    parser.add_argument("--out", type=Path, default=Path("training/runs/next"))
    parser.add_argument("--start", type=Path, help="the `--out` of another run, whose networks to begin with")
    parser.add_argument("--new-codes", action="store_true", help="with --start: train the encoders too")
    parser.add_argument("--minutes", type=float, default=9.0, help="of wall-clock time (9)")
    parser.add_argument("--steps", type=int, help="of each training, instead of the minutes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--ranks", type=int, help="single-threaded processes on a CPU (2)")
    parser.add_argument("--stage", choices=["codec", "gpt", "export"], help="only one stage")
    parser.add_argument("--codec-rate", type=float, help="peak learning rate")
    parser.add_argument("--gpt-rate", type=float, help="peak learning rate")
    parser.add_argument("--crops", type=int, help="crops of the codec per rank and step")
    parser.add_argument("--tokens", type=int, help="codes of the GPT per rank and step")
    parser.add_argument("--width", type=int, help="channels of the critics")
    return parser


GPU = {"ranks": 1, "codec_rate": 8e-4, "gpt_rate": 1.5e-3, "crops": 48, "tokens": 24000, "width": 24}
CPU = {"ranks": 2, "codec_rate": 1e-3, "gpt_rate": 1.5e-3, "crops": 6, "tokens": 1600, "width": 8}


def main() -> None:
    parser = arguments()
    args = parser.parse_args()
    if args.codes and args.stage not in ("gpt", "export"):
        parser.error("--codes: only with --stage gpt or export; a codec is trained on sound")
    gpu = torch.device(args.device).type == "cuda"
    for name, value in (GPU if gpu else CPU).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if gpu:
        args.ranks = 1
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    minutes = args.minutes - RESERVE * gpu
    args.codec_minutes, args.gpt_minutes = SHARE * minutes, (1 - SHARE) * minutes
    args.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    if args.stage in (None, "codec"):
        ranks.launch(train_codec, args.ranks, args)
    if args.stage in (None, "gpt"):
        ranks.launch(train_gpt, args.ranks, args)
    if args.stage in (None, "export"):
        size = export(
            codec.load_codec(args.out / "codec.pt"),
            gpt.load_gpt(args.out / "gpt.pt"),
            encoded(args),
            args.out,
        )
        print(f"{args.out}/small.safetensors: {size / 2**20:.2f} MiB", flush=True)
    print(json.dumps({"minutes": round((time.monotonic() - begun) / 60, 2), "device": args.device}))


if __name__ == "__main__":
    main()
