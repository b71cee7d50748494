"""The lexicon's phones in the notation of this family's weights: ARPAbet without stress."""

import re
from functools import lru_cache

from deployments.text.english.lexicon import STRESS
from deployments.text.phones import Phones

_TABLE = (
    "ɜɹ er, əɹ er, A ey, I ay, O ow, W aw, Y oy, ə ax, ᵊ ax, i iy, u uw, ɑ aa, ɔ ao, ɛ eh, ɜ er, ɪ ih, ᵻ ih, ʊ uh, "
    "ʌ ah, æ ae, b b, d d, f f, h hh, j y, k k, l l, m m, n n, p p, s s, t t, v v, w w, z z, ɡ g, ŋ ng, ɹ r, ʃ sh, "
    "ʒ zh, ð dh, θ th, ʤ jh, ʧ ch, ɾ t, ʔ t"
)
_ARPABET: dict[str, str] = {pair.split()[0]: pair.split()[1] for pair in _TABLE.split(", ")}
_PHONE = re.compile("[əɜ]ɹ|.")
_WEAK = {"ʌv": ("ax", "v")}


@lru_cache(maxsize=8192)
def arpabet(phones: str) -> Phones:
    return _WEAK.get(phones) or tuple(
        _ARPABET[phone] for phone in _PHONE.findall(phones.translate(dict.fromkeys(map(ord, STRESS))))
    )
