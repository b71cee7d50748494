"""Align the phones of teachers that do not report times: python -m training.align

The phones of a text are aligned with the recogniser's output, each for at least one step of 20 ms. A pause without
silence is skipped. An utterance that does not match its phones stays unaligned, and the GPT is not trained on it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from deployments.text.phones import PAUSE_IDS
from training import ranks
from training.corpus import Corpus
from training.phone_net import RECOGNISER, load_phone_net
from training.recogniser import plain

WORST = -1.6  # least mean log probability of the phones along the best path; others are left out
SKIPPED = 1e-3  # seconds of a skipped pause, so that no step's middle falls into it


def path(heard: np.ndarray, phones: np.ndarray) -> tuple[np.ndarray, float]:
    """The most likely path through `phones` (P,): each takes one or more steps, inner pauses zero or more.

    heard: log probabilities (T, phones) -> the index of the phone at each step (T,), and their mean log probability,
    which is minus infinity if there are more phones than steps.
    """
    steps, count = len(heard), len(phones)
    sounds = heard[:, phones]  # (T, P)
    skippable = phones == PAUSE_IDS[0]
    skippable[[0, -1]] = False
    best = np.full(count, -np.inf)
    best[0] = sounds[0, 0]
    came = np.zeros((steps, count), np.int8)  # phones advanced: 0, 1 or 2
    for t in range(1, steps):
        ways = np.full((3, count), -np.inf)
        ways[0] = best
        ways[1, 1:] = best[:-1]
        ways[2, 2:] = np.where(skippable[1:-1], best[:-2], -np.inf)
        came[t] = ways.argmax(0)
        best = ways.max(0) + sounds[t]
    where = np.empty(steps, np.int64)
    at = count - 1
    for t in range(steps - 1, -1, -1):
        where[t] = at
        at -= came[t, at]
    return where, float(best[-1] / steps)


def ends_of(where: np.ndarray, count: int, step_s: float) -> np.ndarray:
    """The end times of the phones in seconds (P,)."""
    ends = np.zeros(count)
    for index in range(count):
        own = np.flatnonzero(where == index)
        ends[index] = (own[-1] + 1) * step_s if len(own) else (ends[index - 1] + SKIPPED if index else 0.0)
    return ends


@torch.inference_mode()
def align_part(rank: int, size: int, args: argparse.Namespace) -> None:
    """Aligns every `size`-th utterance whose teacher does not report times."""
    config, corpus, net = SmallConfig(), Corpus(args.data), load_phone_net(args.recogniser)
    mel, left_out, found = LogMel(config), Counter(), {}
    for index in [i for i in range(len(corpus)) if not corpus.timed(i)][rank::size]:
        logits, _ = net(mel(torch.from_numpy(corpus.waveform(index)).unsqueeze(0)))
        phones, _ = corpus.phones(index)
        where, score = path(logits[0].log_softmax(-1).numpy(), plain(phones))
        found[index] = torch.full((len(phones),), torch.nan)
        if score < WORST:
            left_out[corpus.speakers[index].split("-")[0]] += 1
        else:
            found[index] = torch.from_numpy(ends_of(where, len(phones), 1 / config.codes_per_second))
    torch.save(found, args.data / f"aligned.{rank}.pt")
    print(f"{len(found) - left_out.total()} aligned, left out: {dict(left_out)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("training/runs/data"))
    parser.add_argument("--recogniser", default=RECOGNISER, help="its checkpoint, or `shipped`")
    parser.add_argument("--ranks", type=int, default=2)
    args = parser.parse_args()
    ranks.launch(align_part, args.ranks, args)
    corpus = Corpus(args.data)
    for rank in range(args.ranks):
        part = args.data / f"aligned.{rank}.pt"
        for index, ends in torch.load(part).items():
            corpus.align(index, ends.numpy())
        part.unlink()
    corpus.store_ends()


if __name__ == "__main__":
    main()
