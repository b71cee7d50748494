"""Phones: initials and finals of Mandarin, and the set `flite` of the small voice, which its shipped GPT reads.

English uses the US set of CMU's flite (ARPAbet in lower case, `ax` for schwa, no stress marks). Mandarin uses the
initials and finals of pinyin in capitals; a final carries its spoken tone: "ni hao" is `N I2 H AO3`.

The sequence of a segment is the same as flite's:

- It starts with `pau`.
- One `pau` marks each phrase break inside (comma, semicolon, colon, dash, bracket), never two in a row.
- There is no symbol between words.
- It ends with one closing pause: `pau?` after a question mark, `pau!` after an exclamation mark, `pau` otherwise, also
  after a comma or nothing.

"Is this it?" is `pau ih z dh ih s ih t pau?`. A single `pau` joins several sentences in one segment. (`pau?` and
`pau!` may occur inside, but the model was trained with them at the end only.)

The audio of a segment keeps 40 ms of the first pause and 120 ms of the last. The caller adds the silence between
segments.
"""

Phones = tuple[str, ...]

PAD = "_"
PAUSE, QUESTION, EXCLAMATION = "pau", "pau?", "pau!"

_SPEECH = (
    "aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh"
).split()

INITIALS: tuple[str, ...] = tuple("b p m f d t n l g k h j q x zh ch sh r z c s".split())
# `ih` is the vowel of zi, ci, si; `iw` is that of zhi, chi, shi, ri; `eh` is ê; `v` is ü
FINALS: tuple[str, ...] = tuple(
    "a o e eh ih iw ai ei ao ou an en ang eng ong er i ia ie iao iou ian in iang ing iong u ua uo uai uei uan uen uang "
    "ueng v ve van vn".split()
)
TONES = (1, 2, 3, 4, 5)  # 5 is the neutral tone

ENGLISH_PHONES: tuple[str, ...] = (PAD, PAUSE, QUESTION, EXCLAMATION, *_SPEECH)
MANDARIN_PHONES: tuple[str, ...] = (
    *(initial.upper() for initial in INITIALS),
    *(f"{final}{tone}".upper() for final in FINALS for tone in TONES),
)
PHONES: tuple[str, ...] = ENGLISH_PHONES + MANDARIN_PHONES
PHONE_TO_ID: dict[str, int] = {phone: index for index, phone in enumerate(PHONES)}
