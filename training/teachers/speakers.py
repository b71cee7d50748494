"""The speakers of the natural corpus: Kokoro's voices and blends of them.

A voice is a vector, so a mixture of two or three voices, or a small extrapolation beyond one of them, is a new
natural-sounding speaker. English voices speak both languages. Mandarin voices speak only Mandarin, because their
accent in English is strong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

ENGLISH = (
    "af_alloy af_aoede af_bella af_heart af_nova af_sarah af_sky am_adam am_fenrir am_liam am_michael am_onyx "
    "am_santa bf_emma bf_isabella bf_lily bm_daniel bm_fable bm_george"
).split()  # without af_nicole, who whispers
MANDARIN = "zf_xiaobei zf_xiaoxiao zf_xiaoyi zm_yunjian zm_yunxi zm_yunyang".split()
# Unseen speakers: these voices do not occur in the corpus, not even in a blend.
ENGLISH_STRANGERS = "af_jessica af_kore af_river am_echo am_eric am_puck bf_alice bm_lewis".split()
MANDARIN_STRANGERS = "zf_xiaoni zm_yunxia".split()


@dataclass(frozen=True)
class Speaker:
    """home: the language of the voices. voices: their weights, which sum to 1; one may be negative."""

    name: str
    home: str
    voices: dict[str, float]


def speakers() -> list[Speaker]:
    """All speakers of the corpus: the voices, and 300 English and 100 Mandarin blends."""
    return [
        *_plain(ENGLISH, "en"),
        *_blends(ENGLISH, "en", 300),
        *_plain(MANDARIN, "zh"),
        *_blends(MANDARIN, "zh", 100),
    ]


def strangers() -> list[Speaker]:
    """Speakers outside the corpus: the held-out voices, and 90 English and 30 Mandarin blends of them.

    A blend may include a voice of the corpus with less than half the weight.
    """
    return [
        *_plain(ENGLISH_STRANGERS, "en"),
        *_blends(ENGLISH_STRANGERS, "en", 90, ENGLISH),
        *_plain(MANDARIN_STRANGERS, "zh"),
        *_blends(MANDARIN_STRANGERS, "zh", 30, MANDARIN),
    ]


def _plain(names: Sequence[str], home: str) -> list[Speaker]:
    return [Speaker(name, home, {name: 1.0}) for name in names]


def _blends(
    names: Sequence[str], home: str, count: int, guests: Sequence[str] | None = None
) -> list[Speaker]:
    """Four fifths are mixtures, the others extrapolate by up to 0.3 beyond a voice. `guests` get less than half."""
    rng = random.Random("blends of " + " ".join(names))
    blends = []
    for number in range(count):
        first, second = rng.sample(names, 2)
        third = rng.choice([name for name in guests or names if name not in (first, second)])
        if number % 5 == 4:
            step = round(rng.uniform(0.1, 0.3), 2)
            weights = {first: round(1 + step, 2), second: -step}
        elif number % 5 in (0, 1) and guests is None:
            share = round(rng.uniform(0.25, 0.75), 2)
            weights = {first: share, second: round(1 - share, 2)}
        else:
            guest = round(rng.uniform(0.2, 0.45), 2)
            share = round((1 - guest) * rng.uniform(0.3, 0.7), 2)
            weights = {first: share, second: round(1 - guest - share, 2), third: guest}
        prefix = "stranger" if guests is not None else "blend"
        blends.append(Speaker(f"{prefix}_{home}_{number:03d}", home, weights))
    return blends
