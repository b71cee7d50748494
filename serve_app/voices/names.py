"""Voice names: which are allowed, the id derived from a name, and OpenAI's names for the shipped voices."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.contract.errors import InvalidInput

if TYPE_CHECKING:
    from serve_app.voices.library import Voice

LONGEST = 64  # characters
UNPACKED = 4 * LONGEST  # that many may become LONGEST when normalised
INNER = (
    " _.-'\u2019\u00b7\u30fb"  # with the curly apostrophe, and the dots between the parts of foreign names
)
NAME_RULE = (
    "1 to 64 letters (of any script), digits, spaces, '_', '.', '-', '·' or apostrophes; "
    "the first must be a letter or digit, and the last must not be a space or '.'"
)
ID = re.compile(r"voice_[0-9a-f]{20}")

# Letters and marks by category that are invisible (of Unicode's Default_Ignorable_Code_Point).
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# OpenAI's names are aliases of shipped voices of the same gender, so that its clients work unchanged
OPENAI_VOICES = dict.fromkeys(
    ("alloy", "coral", "marin", "nova", "sage", "shimmer"), "female"
) | dict.fromkeys(("ash", "ballad", "cedar", "echo", "fable", "onyx", "verse"), "male")


def normalised(name: str) -> str:
    """The name as it is stored and shown (NFC): é is one character however it was typed."""
    return unicodedata.normalize("NFC", name) if len(name) <= UNPACKED else name  # which is too long anyway


def is_allowed(name: str) -> bool:
    """True if a normalised name follows NAME_RULE."""
    if not 1 <= len(name) <= LONGEST or name[-1] in " ." or INVISIBLE.search(name):
        return False
    kinds = [unicodedata.category(char) for char in name]
    if not _starts(kinds[0]) or normalised(name) != name:
        return False
    return all(
        _starts(kind) or kind in ("Mn", "Mc") or char in INNER for char, kind in zip(name, kinds, strict=True)
    )


def check(name: str) -> None:
    """Raises InvalidInput (param "name") if a new voice must not have this normalised name."""
    if not is_allowed(name):
        raise InvalidInput(f"Invalid 'name': must be {NAME_RULE}.", param="name")
    if is_like_id(name):
        message = "Invalid 'name': 'voice_' followed by 20 hexadecimal digits is reserved for ids."
        raise InvalidInput(message, param="name", code="voice_name_reserved")


def key(name: str) -> str:
    """What two spellings of one name share: letter case and compatibility forms (ＺＯＥ, zoe) do not count."""
    folded = unicodedata.normalize("NFD", name).casefold()  # Unicode's compatibility caseless match (D146)
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).casefold())


def is_like_id(name: str) -> bool:
    """True if the name could be mistaken for an id, ignoring case and spaces."""
    return ID.fullmatch("".join(key(name).split())) is not None


def id_of(name: str) -> str:
    """The id of an uploaded voice. It depends on `key`, so two processes cannot both accept the same name."""
    return f"voice_{hashlib.sha256(key(name).encode()).hexdigest()[:20]}"


def openai_aliases(shipped: Sequence[Voice]) -> dict[str, str]:
    """OpenAI's names -> ids of shipped English voices of the same gender. The assignment is deterministic."""
    own = {key(voice.name) for voice in shipped}
    english = [voice for voice in shipped if voice.language in (None, "en")] or list(shipped)
    aliases: dict[str, str] = {}
    for gender in ("female", "male"):
        fitting = [voice for voice in english if voice.gender == gender] or english
        names = [name for name, kind in OPENAI_VOICES.items() if kind == gender and name not in own]
        if fitting:
            aliases |= {name: fitting[i % len(fitting)].id for i, name in enumerate(names)}
    return dict(sorted(aliases.items()))


def _starts(category: str) -> bool:
    return category[0] == "L" or category == "Nd"
