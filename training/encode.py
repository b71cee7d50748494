"""The trained codec turns the corpus into the GPT's training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training import ranks
from training.codec import WHOLE, mean_mel
from training.codec_net import Codec
from training.corpus import Corpus
from training.next_voice import NEXT

REFERENCE = 250  # codes of the utterance that give its speaker vector
FASTEST = 3  # phones from one code to the next


@dataclass(frozen=True)
class Encoded:
    """Rows of utterances, padded with zeros, on the training device.

    codes, pointer, stay (R, T) int16; phones (R, P) int16; speaker (R, S); pace (R,); steps, phones_of (R,) int64:
    lengths; names: of the speakers; held: of validation.
    """

    codes: Tensor
    pointer: Tensor
    stay: Tensor
    phones: Tensor
    speaker: Tensor
    pace: Tensor
    steps: np.ndarray
    phones_of: np.ndarray
    names: list[str]
    held: np.ndarray


@torch.no_grad()
def encode(corpus: Corpus, codec: Codec, rank: int = 0, size: int = 1) -> Encoded:
    """All utterances whose phones are not too fast for the pointer, nor too many for the GPT.

    The ranks share the work.
    """
    device, every = corpus.device, corpus.pointer.cpu()
    own_pointer = [every[at : at + count] for at, count in zip(corpus.codes_at, corpus.codes, strict=True)]
    usable = [i for i in (*corpus.train, *corpus.valid) if _fits(own_pointer[i], len(corpus.phones[i]))]
    usable.sort(key=lambda i: int(corpus.codes[i]))
    made, vectors = [], []
    for some in np.array_split(np.array(usable), -(-len(usable) // WHOLE))[rank::size]:
        own, steps = torch.from_numpy(some).to(device), int(corpus.codes[some].max())
        zeros = np.zeros(len(some), np.int64)
        whole = corpus.crop(some, zeros, steps)
        mel = codec.log_mel(whole["waveform"])
        means = mean_mel(mel, whole["real"]), corpus.mean_log_f0[own]
        _, codes = codec.encode(mel, whole["log_f0"], whole["voiced"], *means, mask=whole["real"])
        made.append((codes * whole["real"].long()).short())
        vectors.append(codec.speaker(corpus.crop(some, zeros, REFERENCE)["waveform"]))
    made, vectors = ranks.gather(made), ranks.gather(vectors)
    longest = max(part.shape[1] for part in made)
    codes = torch.cat([torch.nn.functional.pad(part, (0, longest - part.shape[1])) for part in made])
    pointers = [own_pointer[i] for i in usable]
    phones = [torch.from_numpy(corpus.phones[i]) for i in usable]
    valid = set(corpus.valid)
    return Encoded(
        codes=codes,
        pointer=_padded(pointers).short().to(device),
        stay=_padded([stays(one) for one in pointers]).short().to(device),
        phones=_padded(phones).short().to(device),
        speaker=torch.cat(vectors).clone(),
        pace=torch.tensor([corpus.paces[i] for i in usable], device=device),
        steps=corpus.codes[usable],
        phones_of=np.array([len(one) for one in phones]),
        names=[corpus.speakers[i] for i in usable],
        held=np.array([i in valid for i in usable]),
    )


def stays(pointer: Tensor) -> Tensor:
    """Steps already spent at the current phone: pointer (T,) -> (T,)."""
    steps = torch.arange(len(pointer))
    entered = torch.cat([torch.ones(1, dtype=torch.bool), pointer[1:] != pointer[:-1]])
    return steps - torch.cummax(torch.where(entered, steps, torch.zeros_like(steps)), 0).values


def _fits(pointer: Tensor, phones: int) -> bool:
    if not 2 <= len(pointer) <= NEXT.max_codes or phones > NEXT.max_phones:
        return False
    return int(pointer.diff().max()) <= FASTEST and int(stays(pointer).max()) < NEXT.max_stay


def _padded(rows: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
