"""The encoding of a text file: a byte order mark, UTF-8, UTF-16 without a mark, else detected."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from serve_app.books.limits import refused
from serve_app.books.lines import CJK

ALLOWED = "UTF-8, UTF-16, GB18030, Big5, Shift_JIS, EUC-JP, EUC-KR, Windows-1250 to 1252, KOI8-R"
_CODECS = "gb18030 big5 shift_jis euc_jp euc_kr cp949 cp1250 cp1251 cp1252 cp1253 koi8_r".split()
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 64 * 1024  # bytes that decide
_RARE = 1e-3  # share of characters that may be damaged
_MOST = 0.9
_USUAL = re.compile(f"[\t\n\r -~\xa0-\xff\u2010-\u2027{CJK}]")
_JAPANESE = 0.25  # share of hiragana among characters that are not ASCII
_HIRAGANA = re.compile("[\u3041-\u3096]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")


def decoded(data: bytes) -> tuple[str, list[str]]:
    """The text and warnings. Raises InvalidInput if it is not text or its encoding is not known."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _lenient(data[len(bom) :], encoding)
    if encoding := _utf16(data[:_SAMPLE]):
        return _lenient(data, encoding)
    if 0 in data:
        raise refused("it is not a text file (it contains NUL bytes)")
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    if damaged <= _RARE * (len(text) - len(text.encode("ascii", "ignore"))):
        return _lenient(data, "utf-8")
    return _lenient(data, _detected(data))


def _utf16(sample: bytes) -> str | None:
    """UTF-16 without a mark: in the right byte order, nearly all of it is ASCII or Chinese."""
    if 0 not in sample or len(sample) % 2:
        return None
    for encoding in ("utf-16-le", "utf-16-be"):
        text = sample.decode(encoding, "replace")
        if len(_USUAL.findall(text)) > _MOST * len(text):
            return encoding
    return None


def _detected(data: bytes) -> str:
    begin = next((i for i, byte in enumerate(data) if byte > 127), 0)
    begin = data.rfind(b"\n", 0, begin) + 1
    end = len(data) if len(data) - begin <= _SAMPLE else data.rfind(b"\n", begin, begin + _SAMPLE)
    sample = data[begin:end] if end > begin else data[begin : begin + _SAMPLE]
    for encoding in ("shift_jis", "euc_jp"):  # otherwise detected as Korean
        text = sample.decode(encoding, "replace")
        if len(_HIRAGANA.findall(text)) > _JAPANESE * (len(text) - len(text.encode("ascii", "ignore"))):
            return encoding
    best = from_bytes(sample, cp_isolation=[*_CODECS]).best()
    if best is None:
        raise refused(f"its encoding is not known (allowed: {ALLOWED})", "unknown_encoding")
    return best.encoding


def _lenient(data: bytes, encoding: str) -> tuple[str, list[str]]:
    try:
        return _clean(data.decode(encoding), [])
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
    return _clean(
        text, [f"some of its characters are not {encoding.upper().replace('_', '-')} and were left out"]
    )


def _clean(text: str, warnings: list[str]) -> tuple[str, list[str]]:
    if len(_CONTROL.findall(text)) > _RARE * len(text) + 1:
        raise refused(f"its encoding is not known (allowed: {ALLOWED})", "unknown_encoding")
    return _CONTROL.sub("", text), warnings
