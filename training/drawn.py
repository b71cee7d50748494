"""Codes that the GPT draws for the corpus, so that the vocoder learns from what it gets in the service.

The codec's own codes fit the sound exactly, and a vocoder that knows no others trusts them even where the GPT has drawn
a code of another phone.
"""

from __future__ import annotations

import numpy as np
import torch

from training.codec import Drawn
from training.codec_net import Codec
from training.corpus import Corpus
from training.encode import encode
from training.gpt import Batches
from training.gpt_net import StructuredGpt

VERSIONS = 2  # drawn ones, beside the codec's own
TEMPERATURE = 0.5
ROWS = 16  # utterances at a time


@torch.no_grad()
def drawn(corpus: Corpus, codec: Codec, gpt: StructuredGpt, rank: int = 0, size: int = 1) -> Drawn:
    """The corpus' codes in several versions, (1 + VERSIONS, codes) int64, and the utterances that have them.

    The first are the codec's own. The second are drawn with these as the past, the third with the second, and so on,
    which comes closer to what the GPT draws without a given past, and stays in time with the sound (parallel scheduled
    sampling, Mihaylova and Martins 2019). Utterances that are too fast for the GPT have none. Each rank draws
    its own.
    """
    rows = encode(corpus, codec, rank, size)
    batches = Batches(rows, 0, 0, 1, seed=rank)
    generator = torch.Generator(corpus.device).manual_seed(rank)
    versions = torch.zeros(1 + VERSIONS, len(corpus.pointer), dtype=torch.int64, device=corpus.device)
    for start in range(0, len(rows.steps), ROWS):
        some = np.arange(start, min(start + ROWS, len(rows.steps)))
        batch = batches.collate(some)
        past, inputs = batch["codes"], [batch[name] for name in ("speaker", "phones", "pace")]
        made = [rows.codes[start : start + len(some), : past.shape[1]].long()]
        for _ in range(VERSIONS):
            logits, _ = gpt(*inputs, past, batch["pointer"], batch["stay"])
            share = (logits.float() / TEMPERATURE).softmax(-1)
            made.append(torch.multinomial(share.flatten(0, 1), 1, generator=generator).view_as(past))
            past = torch.cat([past[:, :1], made[-1][:, :-1]], dim=1)
        for version, codes in enumerate(made):
            for row, index in enumerate(some):
                place, count = int(corpus.codes_at[rows.indices[index]]), int(rows.steps[index])
                versions[version, place : place + count] = codes[row, :count]
    return versions, rows.indices
