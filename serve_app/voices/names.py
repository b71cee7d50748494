"""Voice names: which are allowed, the id derived from a name, and OpenAI's names for the shipped voices."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.contract.errors import InvalidInput

if TYPE_CHECKING:
    from serve_app.voices.library import Voice

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
NAME_RULE = (
    "1 to 64 letters, digits, spaces, '_', '.' or '-'; the first must be a letter or digit, "
    "and the last must not be a space or '.'"
)
ID = re.compile(r"voice_[0-9a-f]{20}")

# OpenAI's names are aliases of shipped voices of the same gender, so that its clients work unchanged
OPENAI_VOICES = dict.fromkeys(
    ("alloy", "coral", "marin", "nova", "sage", "shimmer"), "female"
) | dict.fromkeys(("ash", "ballad", "cedar", "echo", "fable", "onyx", "verse"), "male")


def check(name: str) -> None:
    """Raises InvalidInput (param "name") if a new voice must not have this name."""
    if not NAME.fullmatch(name) or name[-1] in " .":
        raise InvalidInput(f"Invalid 'name': must be {NAME_RULE}.", param="name")
    if is_like_id(name):
        message = "Invalid 'name': 'voice_' followed by 20 hexadecimal digits is reserved for ids."
        raise InvalidInput(message, param="name", code="voice_name_reserved")


def is_like_id(name: str) -> bool:
    """True if the name could be mistaken for an id, ignoring case and spaces."""
    return ID.fullmatch("".join(name.split()).casefold()) is not None


def id_of(name: str) -> str:
    """The id of an uploaded voice. It ignores case, so two processes cannot both accept the same name."""
    return f"voice_{hashlib.sha256(name.casefold().encode()).hexdigest()[:20]}"


def openai_aliases(shipped: Sequence[Voice]) -> dict[str, str]:
    """OpenAI's names -> ids of shipped English voices of the same gender. The assignment is deterministic."""
    own = {voice.name.casefold() for voice in shipped}
    english = [voice for voice in shipped if voice.language in (None, "en")] or list(shipped)
    aliases: dict[str, str] = {}
    for gender in ("female", "male"):
        fitting = [voice for voice in english if voice.gender == gender] or english
        names = [name for name, kind in OPENAI_VOICES.items() if kind == gender and name not in own]
        if fitting:
            aliases |= {name: fitting[i % len(fitting)].id for i, name in enumerate(names)}
    return dict(sorted(aliases.items()))
