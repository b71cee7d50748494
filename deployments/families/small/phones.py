"""Phones of the small voice: the sequence that the GPT reads, and its ids.

The set is the US English one that CMU's flite speaks (ARPAbet in lower case, with `ax` for schwa, no stress marks).

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

PAD = "_"
PAUSE, QUESTION, EXCLAMATION = "pau", "pau?", "pau!"

_SPEECH = (
    "aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh"
).split()

PHONES: tuple[str, ...] = (PAD, PAUSE, QUESTION, EXCLAMATION, *_SPEECH)
PHONE_TO_ID: dict[str, int] = {phone: index for index, phone in enumerate(PHONES)}
PAUSE_IDS: tuple[int, ...] = tuple(PHONE_TO_ID[p] for p in (PAUSE, QUESTION, EXCLAMATION))

CLOSING_PAUSE: dict[str, str] = {"?": QUESTION, "!": EXCLAMATION, ".": PAUSE}


def phone_ids(phones: list[str]) -> list[int]:
    """Ids of a phone sequence; an unknown phone raises KeyError."""
    return [PHONE_TO_ID[phone] for phone in phones]


def closing_pause(text: str) -> str:
    """The pause symbol that closes the phones of `text`, from its last sentence punctuation."""
    stripped = text.rstrip().rstrip("\"')]”’")
    return CLOSING_PAUSE.get(stripped[-1:], PAUSE)
