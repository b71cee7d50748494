"""Phones of the small voice: the sequence that the GPT reads, and its ids.

English: the US set that CMU's flite speaks (ARPAbet in lower case, with `ax` for schwa, no stress marks). Mandarin: the
initials and the finals of pinyin in capitals, a final with its tone as it is said: "ni hao" is `N I2 H AO3`.

A segment's sequence is flite's own, precisely:

- it starts with `pau`;
- one `pau` stands at every phrase break inside (comma, semicolon, colon, dash, bracket), never two in a row;
- words simply follow each other: there is no word boundary symbol;
- it ends with one closing pause that tells how the sentence ends: `pau?` after a question mark, `pau!` after an
  exclamation mark, `pau` otherwise. A comma or nothing at the end of a segment counts as `pau`.

"Is this it?" is `pau ih z dh ih s ih t pau?`. Several sentences in one segment are joined with a single `pau`
(`pau?` and `pau!` may stand inside too, but the model has heard them at the end only).

The audio of a segment keeps 40 ms of the first pause and 120 ms of the last one; what silence belongs between
segments is the caller's to add.
"""

Phones = tuple[str, ...]

PAD = "_"
PAUSE, QUESTION, EXCLAMATION = "pau", "pau?", "pau!"

_SPEECH = (
    "aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh"
).split()

INITIALS: tuple[str, ...] = tuple("b p m f d t n l g k h j q x zh ch sh r z c s".split())
# `ih` is the vowel of zi, ci, si; `iw` that of zhi, chi, shi, ri; `eh` is ê, `v` is ü
FINALS: tuple[str, ...] = tuple(
    "a o e eh ih iw ai ei ao ou an en ang eng ong er i ia ie iao iou ian in iang ing iong u ua uo uai uei uan uen uang "
    "ueng v ve van vn".split()
)
TONES = (1, 2, 3, 4, 5)  # 5 is the neutral one

ENGLISH_PHONES: tuple[str, ...] = (PAD, PAUSE, QUESTION, EXCLAMATION, *_SPEECH)
MANDARIN_PHONES: tuple[str, ...] = (
    *(initial.upper() for initial in INITIALS),
    *(f"{final}{tone}".upper() for final in FINALS for tone in TONES),
)
PHONES: tuple[str, ...] = ENGLISH_PHONES + MANDARIN_PHONES
PHONE_TO_ID: dict[str, int] = {phone: index for index, phone in enumerate(PHONES)}
PAUSE_IDS: tuple[int, ...] = tuple(PHONE_TO_ID[p] for p in (PAUSE, QUESTION, EXCLAMATION))

CLOSING_PAUSE: dict[str, str] = {"?": QUESTION, "!": EXCLAMATION, ".": PAUSE}


def phone_ids(phones: list[str]) -> list[int]:
    """Ids of a phone sequence; an unknown phone raises KeyError."""
    return [PHONE_TO_ID[phone] for phone in phones]


def closing_pause(text: str) -> str:
    """The pause symbol that closes the phones of `text`, from its last sentence punctuation."""
    stripped = text.rstrip(" \t\n\"')]”’")
    return CLOSING_PAUSE.get(stripped[-1:], PAUSE)
