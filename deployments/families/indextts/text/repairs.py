"""Rewrites text that `wetext` is known to misread. Other text is unchanged.

Each repair is a plain substitution before the grammar (or, for one English word, after it), so that the grammar is used
as shipped.
"""

import re

_DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
_NAMES = "zero one two three four five six seven eight nine".split()
_WIDE = {wide: wide - 0xFEE0 for wide in map(ord, "０１２３４５６７８９％＄")} | {
    wide: wide - 0xFEE0 for first, last in ("ＡＺ", "ａｚ") for wide in range(ord(first), ord(last) + 1)
}
# The grammars put a backslash before a straight quote or a backslash, and the English one does not know square brackets
# and the minus sign. These characters are replaced as the character map would replace them, or removed.
_SIGNS = str.maketrans({'"': "'", "\\": " ", "[": "(", "]": ")", "−": "-"}) | _WIDE

_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!,?\d)")
_CHINESE_PHONE = re.compile(r"(?<![\d.])[(（]?(0\d{2,3})[)）]?[-－–— ]?(\d{7,8})(?![\d-]|\.\d)", re.ASCII)
_SERIAL = re.compile(r"(?<![\d.])\d{13,}(?<!000)(?!\.?\d)", re.ASCII)
_SCORE = re.compile(r"(比分[是为：:]?\s?)(\d{1,3})[-－–—:：](\d{1,3})(?![\d-])")
_RANGE = re.compile(
    r"(?<![\w.\-/])(\d{1,6}(?:\.\d{1,4})?)[-–](\d{1,6}(?:\.\d{1,4})?)"
    r"(?!\.?\d|[\-/%:]|\s?=|\s?[\u4e00-\u9fff])",
    re.ASCII,
)
_NTH_RANGE = re.compile(r"第(\d{1,6})[-–—](\d{1,6})(?![\d-])")
_MODEL_NUMBER = re.compile(r"(?:(?<=[A-Z])|(?<=[A-Za-z]{2}))-(?=\d)")
_NUMBER_SIGN = re.compile(r"(?<![A-Za-z])[Nn]o\.\s?(?=\d)|№\s?(?=\d)")

_NO = re.compile(r"(?<![A-Za-z])([Nn]o)\.(?!\s?\d)")
_ENGLISH_PHONE = re.compile(
    r"(?<![\w.-])(?<!\d )(?<!\))(?<!\) )(?:(0\d{2,3})-(\d{3,4})(\d{4})|(\d{3})-(\d{4})(?<!00))(?![\w-]|\.\d)",
    re.ASCII,
)
_DECADE = re.compile(r"(?<![\d.,])(1\d|20)([1-9]0)['’]?s(?![A-Za-z])")
_HASH_NUMBER = re.compile(r"(?<!\S)#(?=\d)")
_THOUSAND = re.compile(
    r"((?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    r"|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred)[ -])?\bthousand\b"
)


def before_chinese(text: str) -> str:
    """Rewrites what the Chinese grammar would misread: "0373-8850893" and "1998-2004" as differences, "$1,234" as one
    dollar, "GPT-4" as minus 4, card numbers as quantities, "No. 5" as a word and a number."""
    text = _CHINESE_PHONE.sub(lambda m: _read_out(m[1] + m[2]), text.translate(_SIGNS))
    text = _GROUPED.sub(lambda m: m[0].replace(",", ""), text)
    text = _SERIAL.sub(lambda m: _read_out(m[0]), text)
    text = _SCORE.sub(r"\1\2比\3", text)
    text = _NTH_RANGE.sub(r"第\1到\2", text)
    text = _RANGE.sub(lambda m: f"{m[1]}到{m[2]}" if float(m[1]) < float(m[2]) else m[0], text)
    text = _MODEL_NUMBER.sub(" ", text)
    return _NUMBER_SIGN.sub("第", text)


def before_english(text: str) -> str:
    """Rewrites what the English grammar would misread: "No." at a sentence's end as "number", "No. 5" as "number." with
    a stop, "555-1234" as a range, "the 1990s" as seconds."""
    text = _NUMBER_SIGN.sub("number ", text.translate(_SIGNS))
    text = _NO.sub(r"\1。", text)  # the grammar ignores this stop, and the character map turns it back
    text = _HASH_NUMBER.sub("number ", text)
    text = _ENGLISH_PHONE.sub(_english_phone, text)
    return _DECADE.sub(r"\1 \2s", text)


def after_english(spoken: str, text: str) -> str:
    """Inserts the "one" that the grammar omits for 1,200 ("thousand two hundred"), unless `text` has that word."""
    if "thousand" in text.lower():
        return spoken
    return _THOUSAND.sub(lambda m: m[0] if m[1] else "one thousand", spoken)


def _read_out(digits: str) -> str:
    return "".join(_DIGITS[digit] for digit in digits)


def _english_phone(m: re.Match[str]) -> str:
    return ", ".join(" ".join(_NAMES[int(digit)] for digit in group) for group in m.groups() if group)
