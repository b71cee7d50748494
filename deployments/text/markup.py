"""Markdown and HTML, as a reader reads them: labels of links, captions of images, no tags."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from deployments.text.rewritten import Edit, Rewritten

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")

# Names of HTML tags, and their replacements.
_PARAGRAPHS = (
    "p|div|h[1-6]|ul|ol|dl|table|thead|tbody|section|article|aside|header|footer|main|nav|blockquote|pre|hr|form|title|"
    "figure|figcaption|body|html|head"
)
_LINES = "br|li|tr|dt|dd|option|summary|caption"
_CELLS = "td|th"
_INLINE = (
    "a|abbr|b|big|bdi|bdo|button|center|cite|code|col|del|details|dfn|em|font|i|iframe|img|input|ins|kbd|label|link|"
    "mark|math|meta|q|s|samp|select|small|source|span|strike|strong|sub|sup|svg|time|tt|u|var|video|audio|wbr|"
    "speak|prosody|emphasis|say-as|voice|lang|phoneme"
)
_TAG = re.compile(
    rf"</?(?:(?P<paragraph>{_PARAGRAPHS})|(?P<line>{_LINES})|(?P<cell>{_CELLS})|(?P<inline>{_INLINE}))"
    r"(?P<attributes>(?:\s[^<>]*)?)/?>",
    re.IGNORECASE,
)
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_RAISED = re.compile(r"<(sup|sub)>([+−-]?[0-9]{1,9}[+−-]?|n)</\1>", re.IGNORECASE)
_RAISE = {
    "sup": str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ"),
    "sub": str.maketrans("0123456789+-−n", "₀₁₂₃₄₅₆₇₈₉₊₋₋ₙ"),
}
_HIDDEN = tuple(
    (re.compile(start, re.IGNORECASE), re.compile(end, re.IGNORECASE))
    for start, end in (("<!--", "-->"), (r"<script\b", "</script>"), (r"<style\b", "</style>"))
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_TARGET = r"""\(<?[^\s()<>]{0,2000}(?:\([^\s()<>]{0,200}\)[^\s()<>]{0,2000})?>?(?:\s{1,3}["'(][^\n"]{0,300}["')])?\)"""
_IMAGE = re.compile(rf"!\[([^\[\]\n]{{0,500}})\](?:{_TARGET}|\[[^\[\]\n]{{0,100}}\])")
_LINK = re.compile(rf"(?<![\w\]])\[([^\[\]\n]{{0,500}})\](?:{_TARGET}|\[[^\[\]\n]{{0,100}}\])")
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]{1,60}\]:?")
_DEFINITION = re.compile(r"^ {0,3}\[(?!\^)[^\[\]\n]{1,200}\]:[ \t]+\S[^\n]*$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*$", re.MULTILINE)
_QUOTE = re.compile(r"^[ \t]*>(?:[ \t]?>)*(?![ \t]?[\d=])[ \t]?", re.MULTILINE)
_CHECKBOX = re.compile(r"^([ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+)\[[ xX✓✔]?\](?=[ \t])", re.MULTILINE)
_ESCAPE = re.compile(r"\\([`*_{}\[\]()#+.!|~>$&%'\"-])")
_STRUCK = re.compile(r"~~(?=[^\s~])([^~\n]{1,500})(?<=\S)~~")
_EMOTICON = re.compile(
    r"[:;=(<xX^](?<!\S.)(?:(?<=[:;=])[-o']?[()DPpO3/\\*\]\[]|(?<=\()[:;]|(?<=<)3|(?<=[xX])D|(?<=\^)_\^|(?<=:)'\()(?=\s|[.,!?]|$)"
)


def plain(text: Rewritten) -> Rewritten:
    """`text` without its markup, its line ends as "\\n". Linear in its length."""
    text = text.sub(_LINE_ENDS, lambda m: "\n\n" if m[0] == "\u2029" else "\n")
    if "<" in text.text:
        text = text.edited(_hidden(text.text)).sub(_RAISED, lambda m: m[2].translate(_RAISE[m[1].lower()]))
        text = text.sub(_TAG, _tag)
    if "&" in text.text:
        text = text.sub(_ENTITY, lambda m: html.unescape(m[0]))
    if "```" in text.text or "~~~" in text.text:
        text = text.sub(_FENCE, lambda m: "")
    if "~~" in text.text:
        text = text.sub(_STRUCK, lambda m: m[1])
    if "[" in text.text:
        text = text.sub(_CHECKBOX, lambda m: m[1])
        text = text.sub(_DEFINITION, lambda m: "").sub(_FOOTNOTE, lambda m: "")
        text = text.sub(_IMAGE, lambda m: m[1]).sub(_LINK, lambda m: m[1])
    if ">" in text.text:
        text = text.sub(_QUOTE, lambda m: "")
    if "\\" in text.text:
        text = text.sub(_ESCAPE, lambda m: m[1])
    return text.sub(_EMOTICON, lambda m: "")


def _hidden(text: str) -> Iterator[Edit]:
    """Comments, scripts and styles. What is never closed stays."""
    spans: list[tuple[int, int]] = []
    for opening, closing in _HIDDEN:
        start = opening.search(text)
        while start and (end := closing.search(text, start.end())):
            spans.append((start.start(), end.end()))
            start = opening.search(text, end.end())
    at = 0
    for begin, end in sorted(spans):
        if begin >= at:
            yield begin, end, " "
            at = end


def _tag(m: re.Match[str]) -> str:
    if m["paragraph"]:
        return "\n\n"
    if m["line"]:
        return "\n"
    if m["cell"]:
        return "\t"
    if m["inline"].lower() == "img" and (alt := _ALT.search(m["attributes"])):
        return alt[1] or alt[2] or ""
    return ""
