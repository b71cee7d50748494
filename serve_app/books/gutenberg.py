"""The header and footer that Project Gutenberg puts around a text, and the metadata in the header."""

from __future__ import annotations

import re

_START = re.compile(
    r"^[ \t]*\*{3}[ \t]*START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*(?:\n[^\n*]+){0,3}?\*{3}[ \t]*$|"
    r"^[ \t]*\*END\*?[ \t]*THE SMALL PRINT[^\n]*$",
    re.MULTILINE | re.IGNORECASE,
)
_END = re.compile(
    r"^[ \t]*\*{3}[ \t]*END OF (?:THE|THIS) PROJECT GUTENBERG|^[ \t]*End of (?:the |this )?Project Gutenberg",
    re.MULTILINE | re.IGNORECASE,
)
_FIELD = re.compile(
    r"^(Title|Author|Language):[ \t]*(\S[^\n]{0,300})(?:\n[ \t]+(\S[^\n]{0,300}))?", re.MULTILINE
)
_CREDITS = re.compile(
    r"\s*(?:Produced by|E-?text prepared by|This e-?(?:text|book) was (?:produced|prepared)|Transcribed (?:from|by))"
    r"(?:[^\n]+\n?)*",
    re.IGNORECASE,
)
_PICTURE = re.compile(r"^[ \t]*\[Illustration\][ \t]*$", re.MULTILINE)  # one with a caption is text
_HEAD = 20_000  # characters
_LANGUAGES = {
    "english": "en",
    "chinese": "zh",
    "french": "fr",
    "german": "de",
    "spanish": "es",
    "italian": "it",
}


def stripped(text: str) -> tuple[str, dict[str, str]]:
    """The text alone, and "title", "author" and "language" (BCP 47) if the header has them. Line ends are "\\n"."""
    start = _START.search(text, 0, _HEAD)
    if start is None:
        return text, {}
    about = {
        m[1].lower(): " ".join(filter(None, (m[2].strip(), m[3])))
        for m in _FIELD.finditer(text, 0, start.start())
    }
    if "language" in about:
        about["language"] = _LANGUAGES.get(about["language"].strip().lower(), "")
    end = _END.search(text, start.end())
    body = text[start.end() : end.start() if end else len(text)]
    if credits := _CREDITS.match(body):
        body = body[credits.end() :]
    return _PICTURE.sub("", body), {name: value for name, value in about.items() if value}
