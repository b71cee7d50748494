"""Characters of the input: which are refused, which are folded to ASCII, and which are kept as symbols."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from deployments.contract.errors import InvalidInput
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.mandarin.readings import readable

LONGEST_WORD = 60  # letters

# Kept unchanged, because the normaliser can say them.
SYMBOLS = frozenset("£€¥₹₩₽¢°²³×÷±≈≠≤≥∞√§©–—…•µΩ")

FOLDS = {
    "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ß": "ss", "ẞ": "SS", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i", "ŋ": "ng", "Ŋ": "Ng", "ə": "a",
    "ɪ": "i", "ʃ": "sh", "ʒ": "zh", "ɛ": "e", "ɔ": "o", "ʊ": "u", "ɑ": "a", "ʌ": "u",
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "ʼ": "'", "ʻ": "'", "`": "'", "´": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "«": '"', "»": '"', "‹": '"', "›": '"',
    "‐": "-", "‑": "-", "−": "-", "⁃": "-", "‒": "–", "―": "—", "⸺": "—", "⸻": "—",
    "⁄": "/", "∕": "/", "⁓": "~", "‰": " per mille ", "µ": "µ", "μ": "µ", "º": "°", "Ω": "Ω",
    "，": ", ", "、": ", ", "。": ". ", "！": "! ", "？": "? ", "：": ": ", "；": "; ", "（": " (", "）": ") ",
    "¡": "", "¿": "", "‧": "", "·": " ", "∙": "•", "▪": "•", "◦": "•", "●": "•", "‣": "•",
    "½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅕": " 1/5", "⅖": " 2/5", "⅗": " 3/5",
    "⅘": " 4/5", "⅙": " 1/6", "⅚": " 5/6", "⅐": " 1/7", "⅛": " 1/8", "⅜": " 3/8", "⅝": " 5/8", "⅞": " 7/8",
    "⅑": " 1/9", "⅒": " 1/10", "℃": "°C", "℉": "°F", "№": "No. ", "℮": "e", "™": "", "℠": "", "®": "",
    "\u2028": "\n", "\u2029": "\n\n", "\r": "\n", "\f": "\n", "\v": "\n", "\x85": "\n",
}  # fmt: skip

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma tau "
    "upsilon phi chi psi omega"
).split()

_LONG_WORD = re.compile(rf"[A-Za-z]{{{LONGEST_WORD + 1}}}")
_PLAIN = re.compile(r"[\n\t !-_a-~]*")
_GREEK_MARK = "\ufdd0"  # a non-character, so no text contains it
_HANZI = re.compile(f"[{HANZI}]")
_PICTURES = re.compile("[\U0001f000-\U0001faff]")
_SPEAKABLE = re.compile(f"[A-Za-z0-9{HANZI}]")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Folded text, and the index in the original for each of its characters and for its end."""

    text: str
    origin: range | list[int]


def clean(text: str, hanzi: bool = False) -> Cleaned:
    """Folds accents, typographic signs and look-alikes to ASCII and `SYMBOLS`, and drops emoji and invisible marks.

    hanzi: whether Chinese characters are spoken. They are not changed.

    Raises InvalidInput (param "input") for control characters, words of another script, over-long words, and
    text without a single letter or digit.
    """
    if not text.strip():
        raise InvalidInput("input is empty", param="input", code="empty_input")
    cleaned = Cleaned(text, range(len(text) + 1)) if _PLAIN.fullmatch(text) else _fold(text, hanzi)
    if not _SPEAKABLE.search(cleaned.text):
        raise InvalidInput(
            "input has only punctuation, symbols or emoji; it needs letters or digits",
            param="input",
            code="nothing_to_speak",
        )
    long = _LONG_WORD.search(cleaned.text)
    if long:
        raise InvalidInput(
            f"input has a word of more than {LONGEST_WORD} letters ({long[0][:12]}...): "
            f"at most {LONGEST_WORD} are allowed",
            param="input",
            code="word_too_long",
        )
    return cleaned


def _fold(text: str, hanzi: bool) -> Cleaned:
    pieces: list[str] = []
    origin: list[int] = []
    for index, char in enumerate(text):
        if "A" <= char <= "z" and char.isalnum():
            piece = char
        elif hanzi and (chinese := _chinese(char)):
            if unread := next((c for c in chinese if not c.isascii() and not readable(c)), None):
                _refuse_unread(unread, index)
            piece = chinese
        elif (
            char == "："
            and text[max(0, index - 1) : index].isdecimal()
            and text[index + 1 : index + 2].isdecimal()
        ):
            piece = ":"  # a time
        elif char == "\r" and text[index + 1 : index + 2] == "\n":
            piece = ""
        else:
            piece = _fold_character(char)
            if piece is None:
                _refuse(text, index, hanzi)
            elif piece.startswith(_GREEK_MARK):
                neighbours = text[max(0, index - 1) : index] + text[index + 1 : index + 2]
                if any(unicodedata.name(c, "").startswith("GREEK") for c in neighbours):
                    _refuse(text, index, hanzi)
                piece = piece.replace(_GREEK_MARK, " ")
        pieces.append(piece)
        origin.extend([index] * len(piece))
    origin.append(len(text))
    return Cleaned("".join(pieces), origin)


@lru_cache(maxsize=4096)
def _chinese(char: str) -> str:
    """The usual characters for a Chinese, radical or enclosed character; "" for any other."""
    if char == "〇":
        return "零"
    folded = unicodedata.normalize("NFKC", char)
    chinese = _HANZI.search(folded) and all(c.isascii() or _HANZI.match(c) for c in folded)
    return folded if chinese or script_of(char) == "Han" else ""


def _refuse_unread(char: str, index: int) -> NoReturn:
    raise InvalidInput(
        f"input contains a Chinese character without a known reading, U+{ord(char):04X} at character {index + 1}",
        param="input",
        code="unsupported_script",
    )


@lru_cache(maxsize=4096)
def _fold_character(char: str) -> str | None:
    """The replacement for `char`, or None if it is refused."""
    if char in FOLDS:
        return FOLDS[char]
    if char in SYMBOLS or " " <= char <= "~" or char in "\n\t":
        return char
    category = unicodedata.category(char)
    if category == "Cn" and _PICTURES.match(char):
        return " "  # an emoji that is newer than Python's Unicode tables
    if category in ("Cc", "Cs", "Co", "Cn"):
        return None
    if category in ("Cf", "Mn", "Me", "Mc", "Sk", "Lm"):
        return ""
    if category == "Zs":
        return " "
    if category in ("Nd", "No"):
        value = unicodedata.numeric(char, -1.0)
        return str(int(value)) if value == int(value) >= 0 else " "
    name = unicodedata.name(char, "")
    if name.startswith("GREEK") and category[0] == "L":
        return _greek_letter(name)
    folded = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
    if folded and folded != char and len(folded) <= 8:
        parts = [_fold_character(c) for c in folded]
        return None if None in parts else "".join(part or "" for part in parts)
    if category[0] in "PS":
        return " "
    if name.startswith("LATIN") and " LETTER " in name:
        letter = name.split(" LETTER ")[1].split()[-1 if "WITH" not in name else 0][0].lower()
        return letter.upper() if category == "Lu" else letter
    return None


def _greek_letter(name: str) -> str:
    spelled = next((word.lower() for word in name.split() if word.lower() in GREEK), "")
    spelled = "lambda" if "LAMDA" in name else spelled
    return f"{_GREEK_MARK}{spelled}{_GREEK_MARK}"


def _refuse(text: str, index: int, hanzi: bool) -> NoReturn:
    char = text[index]
    point = f"U+{ord(char):04X}"
    category = unicodedata.category(char)
    if category[0] == "L" or category[0] == "N":
        script = script_of(char)
        raise InvalidInput(
            f"input contains {script} script ({point} at character {index + 1}): "
            f"this voice speaks English, in Latin script{', and Mandarin, in Chinese characters' * hanzi}",
            param="input",
            code="unsupported_script",
        )
    kind = "control character" if category == "Cc" else "character that is not text"
    raise InvalidInput(
        f"input contains a {kind}, {point} at character {index + 1}: "
        "only line breaks and tabs are allowed besides text",
        param="input",
        code="invalid_character",
    )


def script_of(char: str) -> str:
    """The script of a letter, from its Unicode name: Han, Hangul, Cyrillic, Arabic ..."""
    name = unicodedata.name(char, "unknown").split()
    return "Han" if name[0] in ("CJK", "KANGXI") else name[0].capitalize()
