"""Characters of the input: what is refused, what is folded to ASCII, what is kept as a symbol."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NoReturn

from deployments.contract.errors import InvalidInput
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.mandarin.readings import readable
from deployments.text.rewritten import Rewritten

LONGEST_WORD = 60  # letters

# Kept: the normaliser knows how to say them.
SYMBOLS = frozenset("£€¥₹₩₽₺₪₫฿₴₦₱₿¢°×÷±≈≠≤≥∞√§¶©–—…•µΩ−∈∉∪∩⊂∑∫∝²³¹⁰⁴⁵⁶⁷⁸⁹⁺⁻ⁿˣ₀₁₂₃₄₅₆₇₈₉₊₋ₙ")

FOLDS = {
    "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ß": "ss", "ẞ": "SS", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i", "ŋ": "ng", "Ŋ": "Ng", "ə": "a",
    "ɪ": "i", "ʃ": "sh", "ʒ": "zh", "ɛ": "e", "ɔ": "o", "ʊ": "u", "ɑ": "a", "ʌ": "u",
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "ʼ": "'", "ʻ": "'", "`": "'", "´": "'",
    "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "《": '"', "》": '"', "«": '"', "»": '"', "‹": '"', "›": '"',
    "‐": "-", "‑": "-", "⁃": "-", "‒": "–", "―": "—", "⸺": "—", "⸻": "—",
    "∶": ":", "⁄": "/", "∕": "/", "⁓": "~", "‰": " per mille ", "µ": "µ", "μ": "µ", "º": "°", "Ω": "Ω",
    "，": ", ", "、": ", ", "。": ". ", "！": "! ", "？": "? ", "：": ": ", "；": "; ", "（": " (", "）": ") ",
    "¡": "", "¿": "", "‧": "", "∙": "•", "▪": "•", "◦": "•", "●": "•", "‣": "•",
    "½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅕": " 1/5", "⅖": " 2/5", "⅗": " 3/5",
    "⅘": " 4/5", "⅙": " 1/6", "⅚": " 5/6", "⅐": " 1/7", "⅛": " 1/8", "⅜": " 3/8", "⅝": " 5/8", "⅞": " 7/8",
    "⅑": " 1/9", "⅒": " 1/10", "℃": "°C", "℉": "°F", "№": "No. ", "℮": "e", "™": "", "℠": "", "®": "",
    "⌘": "Cmd+", "⌥": "Option+", "⇧": "Shift+", "⌃": "Ctrl+", "⋅": "·", "·": "·",
}  # fmt: skip

FOLDS |= {chr(0x2460 + i): f" {i + 1}, " for i in range(20)}  # ①

GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma tau "
    "upsilon phi chi psi omega"
).split()

_LONG_WORD = re.compile(rf"[A-Za-z]{{{LONGEST_WORD + 1}}}")
_RARE = re.compile(r"[^\n\t !-_a-~]")  # what may have to be folded
_RARE_BESIDE_HANZI = re.compile(r"[^\n\t !-_a-~\u4e00-\u9fff]")  # most Chinese characters stay as they are
_NARROW_BLANK = re.compile(r"(?<=\d)[\u00a0\u2007\u2009\u202f](?=\d{3}(?!\d))")  # between thousands
_GREEK_MARK = "\ufdd0"  # not a character of any text
_HANZI = re.compile(f"[{HANZI}]")
_OPERAND = re.compile("(?:[)²³⁰-⁹]|(?<![A-Za-z])[A-Za-z])$")
_PICTURES = re.compile("[\U0001f000-\U0001faff]")
_SPEAKABLE = re.compile(f"[A-Za-z0-9{HANZI}]")


def folded(text: Rewritten, hanzi: bool = False) -> Rewritten:
    """Accents, typographic signs and look-alikes folded to ASCII and `SYMBOLS`; emoji, invisible marks dropped.

    hanzi: whether Chinese characters are spoken; they stay as they are.

    Raises InvalidInput (param "input") for control characters, words of another script, over-long words.
    """
    text = text if text.text.isascii() else text.sub(_NARROW_BLANK, lambda m: ",")
    rare = _RARE_BESIDE_HANZI if hanzi and _all_read(text.text) else _RARE
    result = text.sub(rare, lambda m: _fold(text, m.start(), hanzi))
    if long := _LONG_WORD.search(result.text):
        raise InvalidInput(
            f"input has a word of more than {LONGEST_WORD} letters ({long[0][:12]}...): "
            f"at most {LONGEST_WORD} are allowed",
            param="input",
            code="word_too_long",
        )
    return result


def is_speakable(text: str) -> bool:
    """Whether folded `text` has a letter, a digit or a Chinese character."""
    return bool(_SPEAKABLE.search(text))


def nothing_to_speak() -> InvalidInput:
    return InvalidInput(
        "input has only punctuation, symbols or emoji; it needs letters or digits",
        param="input",
        code="nothing_to_speak",
    )


def _fold(rewritten: Rewritten, index: int, hanzi: bool) -> str:
    text, char = rewritten.text, rewritten.text[index]
    if hanzi and (chinese := _chinese(char)):
        if unread := next((c for c in chinese if not c.isascii() and not readable(c)), None):
            _refuse_unread(unread, rewritten.origin(index))
        return chinese
    if (
        char == "："
        and text[max(0, index - 1) : index].isdecimal()
        and text[index + 1 : index + 2].isdecimal()
    ):
        return ":"  # a time
    if char == "−" and not (_between_operands(text, index) and not _has_hanzi(text)):
        return "-"
    piece = "n" if char == "ⁿ" and text[index + 1 : index + 2] == "ᵈ" else _fold_character(char)  # 2ⁿᵈ
    if piece is None:
        _refuse(char, rewritten.origin(index), hanzi)
    if piece.startswith(_GREEK_MARK):
        neighbours = text[max(0, index - 1) : index] + text[index + 1 : index + 2]
        if any(unicodedata.name(c, "").startswith("GREEK") for c in neighbours):
            _refuse(char, rewritten.origin(index), hanzi)
        raised = text[index + 1 : index + 2] in tuple("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹ⁿˣ")
        piece = piece.replace(_GREEK_MARK, " ").rstrip() + " " * (not raised)
    return piece


@lru_cache(maxsize=4)
def _has_hanzi(text: str) -> bool:
    return bool(_HANZI.search(text))


def _between_operands(text: str, index: int) -> bool:
    """Whether the minus sign at `index` is that of a difference: 2x − 1, x−1, x² − y."""
    before, after = text[max(0, index - 2) : index], text[index + 1 : index + 2]
    if before.endswith(" "):
        return after == " "
    return bool(_OPERAND.search(before)) and after not in ("", " ")


def _all_read(text: str) -> bool:
    """Whether every common Chinese character in `text` stays unchanged and has a reading."""
    return text.isascii() or all(_stays(char) for char in set(text) if "\u4e00" <= char <= "\u9fff")


@lru_cache(maxsize=32768)
def _stays(char: str) -> bool:
    return _chinese(char) == char and readable(char)


@lru_cache(maxsize=4096)
def _chinese(char: str) -> str:
    """The usual characters for a Chinese one, a radical or an enclosed one; "" for what is none of these."""
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
    """The replacement for `char`; None if it is rejected."""
    if char in FOLDS:
        return FOLDS[char]
    if char in SYMBOLS or " " <= char <= "~" or char in "\n\t":
        return char
    category = unicodedata.category(char)
    if category == "Cn" and _PICTURES.match(char):
        return " "  # an emoji that is newer than the interpreter's tables
    if category in ("Cc", "Cs", "Co", "Cn"):
        return None
    if category in ("Cf", "Mn", "Me", "Mc", "Sk", "Lm"):
        raised = unicodedata.normalize("NFKD", char) if category == "Lm" else ""
        return raised if raised.isalpha() and raised.isascii() else ""  # 1ˢᵗ
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


def _refuse(char: str, index: int, hanzi: bool) -> NoReturn:
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
