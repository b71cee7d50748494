"""Encoded utterances in a file: python -m training.codes --corpus PACKED --codec codec.pt --out codes.npz

A GPT is trained from it with `training.voice --stage gpt --codes codes.npz`, without the corpus, which is hundreds of
times as large. The encoder's weights decide what a code means, so a file belongs to one encoder; this is not checked.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from training.codec import load_codec
from training.corpus import Corpus, shards_in
from training.encode import Encoded, encode, stays
from training.next_voice import NEXT, PHONES

VECTORS = 4  # at most, of each speaker
_NAMES = " ".join(PHONES.symbols)


def store(rows: Encoded, path: Path) -> None:
    """Writes all rows, and up to VECTORS vectors of each speaker, as fp16."""
    lengths = list(zip(rows.steps.tolist(), rows.phones_of.tolist(), strict=True))
    codes, pointer, phones = (part.cpu().numpy() for part in (rows.codes, rows.pointer, rows.phones))
    spent = [
        np.bincount(one[:steps], minlength=count)
        for one, (steps, count) in zip(pointer, lengths, strict=True)
    ]
    kept: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(rows.names):
        if len(kept[name]) < VECTORS:
            kept[name].append(index)
    about = {"phones": _NAMES, "names": rows.names, "of": [name for name, own in kept.items() for _ in own]}
    vectors = rows.speaker.cpu().numpy()[[index for own in kept.values() for index in own]]
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            codes=np.concatenate([one[:steps] for one, (steps, _) in zip(codes, lengths, strict=True)]),
            phones=np.concatenate([one[:count] for one, (_, count) in zip(phones, lengths, strict=True)]),
            spent=np.concatenate(spent).astype(np.uint8),
            lengths=np.array(lengths, np.int32),
            vectors=vectors.astype(np.float16),
            pace=rows.pace.cpu().numpy().astype(np.float32),
            held=rows.held,
        )


def load(paths: Sequence[Path], device: torch.device) -> Encoded:
    """The rows of several files. Raises ValueError if one was made for another phone set or its arrays do not fit,
    KeyError if one is missing."""
    names: list[str] = []
    made: dict[str, list[torch.Tensor]] = defaultdict(list)
    lengths, held = [], []
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        about = json.loads(found["about"].tobytes())
        if about["phones"] != _NAMES:
            raise ValueError(f"{path.name} was made for another phone set")
        steps, counts = found["lengths"].T.astype(np.int64)
        if not _fits(found, steps, counts, len(about["names"])):
            raise ValueError(f"{path.name}: its arrays do not fit")
        spent = np.split(found["spent"].astype(np.int64), np.cumsum(counts)[:-1])
        made["codes"] += torch.from_numpy(found["codes"]).split(steps.tolist())
        made["phones"] += torch.from_numpy(found["phones"]).split(counts.tolist())
        made["pointer"] += [torch.from_numpy(np.repeat(np.arange(len(one)), one)) for one in spent]
        made["pace"] += torch.from_numpy(found["pace"]).unbind()
        own: dict[str, list[torch.Tensor]] = defaultdict(list)
        for name, vector in zip(about["of"], torch.from_numpy(found["vectors"]).float(), strict=True):
            own[name].append(vector)
        made["speaker"] += [own[name][i % len(own[name])] for i, name in enumerate(about["names"])]
        names += about["names"]
        lengths.append(found["lengths"])
        held.append(found["held"])
    steps, counts = np.concatenate(lengths).T.astype(np.int64)

    def padded(rows: list[torch.Tensor]) -> torch.Tensor:
        return pad_sequence(rows, batch_first=True).short().to(device)

    return Encoded(
        codes=padded(made["codes"]),
        pointer=padded(made["pointer"]),
        stay=padded([stays(one) for one in made["pointer"]]),
        phones=padded(made["phones"]),
        speaker=torch.stack(made["speaker"]).to(device),
        pace=torch.stack(made["pace"]).to(device),
        steps=steps,
        phones_of=counts,
        names=names,
        held=np.concatenate(held),
    )


def _fits(found: dict[str, np.ndarray], steps: np.ndarray, counts: np.ndarray, rows: int) -> bool:
    """Whether all lengths agree, also those of each utterance, and all ids are known."""
    ends = np.cumsum(counts)
    if not len(steps) == len(found["pace"]) == len(found["held"]) == rows or counts.min() < 1:
        return False
    if len(found["codes"]) != steps.sum() or not len(found["phones"]) == len(found["spent"]) == ends[-1]:
        return False
    spent = np.add.reduceat(found["spent"].astype(np.int64), ends - counts)
    ids = ((found["codes"], NEXT.n_codes), (found["phones"], NEXT.n_phones))
    return np.array_equal(spent, steps) and all(x.min() >= 0 and x.max() < limit for x, limit in ids)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, nargs="+", default=[Path("training/runs/packed")])
    parser.add_argument("--codec", type=Path, default=Path("training/runs/next/codec.pt"))
    parser.add_argument("--out", type=Path, default=Path("training/runs/codes.npz"))
    args = parser.parse_args()
    corpus = Corpus(shards_in(args.corpus), torch.device("cpu"))
    rows = encode(corpus, load_codec(args.codec))
    store(rows, args.out)
    print(f"{args.out}: {len(rows.names)} utterances, {args.out.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
