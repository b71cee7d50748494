"""Sizes of the voice that the recipe trains: those of a small.json that CHORALE_VOICE names, or of a wider voice."""

from __future__ import annotations

import json
import os
from pathlib import Path

from deployments.families.small.config import SmallConfig
from deployments.families.small.phones import PHONE_SETS

_WIDE = SmallConfig(
    phone_set="stressed",
    n_phones=len(PHONE_SETS["stressed"].symbols),
    sample_rate=24000,
    hop=240,
    n_fft=768,
    n_mels=100,
    top_harmonic=11900.0,
    phase_filter=True,
    vocoder_phones=True,
    paces=(0.8, 1.25),
)
_given = os.environ.get("CHORALE_VOICE")
NEXT = SmallConfig(**json.loads(Path(_given).read_text())) if _given else _WIDE
PHONES = NEXT.phones
RATE, HOP, CODE_SAMPLES = NEXT.sample_rate, NEXT.hop, NEXT.samples_per_code
