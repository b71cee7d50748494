"""Where a text is cut: paragraphs, lines, sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deployments.text.english.dates import DAYS, MONTHS
from deployments.text.english.vocabulary import CLEAR_STATES, STARTERS, STATES

_PARAGRAPH = re.compile(r"\n[ \t]*(?:\n[ \t]*)+|\n(?=[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t])")
_STOP = re.compile(r"(?<![.!?…])(?P<mark>[.!?…]++)(?P<closing>[\"')\]*_~]*+)\s++")
_WORD_BEFORE = re.compile(r"(?<![A-Za-z0-9.&])(?:[A-Za-z]+(?:[.&'-][A-Za-z]+)*)$")
_WORD_BEHIND = re.compile(r"[\"'(*_]*([A-Za-z]+(?:'[A-Za-z]+)?)(\.?)")
_ITEM_NUMBER = re.compile(r"\s*(?:\d{1,3}|[A-Za-z]|[ivx]{1,5}|[IVX]{1,5})\s*")
_TO_NUMBER = re.compile(r"[\"'(]?(?:[\d#$£€]|[A-Z]{1,4}-?\d)")
_TO_ROMAN = re.compile(r"[IVXLC]{2,7}\b|[VXLC]\b|I(?=[–-][IVX]|,? (?:and|to|or) [IVX])")
_ADDRESS = re.compile(r"(?:Apt|Ste|Suite|Unit|Floor|Fl|Room|Rm|Box|NW|NE|SW|SE|[NSEW])\b|[\d#]|[A-Z]{2}\b")
_OF_TIME = re.compile(
    r"(?:Eastern|Central|Pacific|Mountain|Atlantic|Greenwich|Local|London|[A-Z]{2,4}|Sharp|New York)\b"
)
_TIMES = frozenset(["a.m", "p.m", "A.M", "P.M"])
_CALENDAR = frozenset(name[:size].capitalize() for name in (*DAYS, *MONTHS) for size in (3, 4, 5, len(name)))
_DAY_OR_MONTH = re.compile(
    r"(?:Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri|Sat|Sun|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)",
    re.IGNORECASE,
)
# Never the last word of a sentence: in capitals before a name, in any case before anything.
_TITLES = frozenset(
    "Mr Mrs Ms Mx Dr Prof Messrs St Mt Ft Fr Gen Col Capt Maj Lt Sgt Cpl Pvt Cmdr Adm Rev Sen Rep Gov Pres Hon "
    "Supt Insp "
    "Det Drs Wm Chas Thos".split()
)
_LEADING = frozenset("attn vs v cf ca approx e.g i.e viz".split())
_BEFORE_NUMBER = frozenset(
    "no nos vol vols fig figs pp p ch chap sec art eq ed eds par para pt ver tel ext op ref lot cat max min approx est "
    "ca c rs kr fr temp col cols pop".split()
)
_STREETS = frozenset("st ave blvd rd hwy ln ct pl sq pkwy apt ste bldg fl rm".split())
_NAMES = frozenset(  # what a name may follow, or a new sentence
    "inc corp co ltd llc jr sr bros dept univ assn govt intl natl mfg ft mt ed eds".split()
)
_DIRECTIONS = frozenset("NSEW")
_UNITS = frozenset(
    "doz in ft yd mi oz lb lbs hr hrs sec min mins tsp tbsp pt qt gal kg km cm mm ml wk wks mo yr yrs".split()
)
_LOWER = (
    frozenset(map(str.lower, _TITLES)) | _LEADING | _BEFORE_NUMBER | _STREETS | _NAMES | _UNITS
    | frozenset("etc al misc incl excl resp cont mgr asst assoc dir ppl msg recd reqd pop pkg".split())
)  # fmt: skip


def paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Spans between blank lines; a list item begins a paragraph, too."""
    start = 0
    for match in _PARAGRAPH.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def line_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of the lines of text[start:end], line ends included."""
    while (stop := text.find("\n", start, end)) >= 0:
        yield start, stop + 1
        start = stop + 1
    if start < end:
        yield start, end


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of the sentences of text[start:end], white space included."""
    begin = start
    for match in _STOP.finditer(text, start, end):
        if match.end() < end and _ends(text, begin, match, begin == start):
            yield begin, match.end()
            begin = match.end()
    if begin < end:
        yield begin, end


def _ends(text: str, begin: int, stop: re.Match[str], opens: bool) -> bool:
    """Whether a sentence that began at `begin` ends at `stop`. opens: it is a paragraph's first."""
    at = stop.end()
    following = text[at]
    if following in "–-,;)=":
        return False
    goes_on = following.islower()
    mark = stop["mark"]
    if goes_on and ")" in stop["closing"]:
        return False
    if mark[-1] in "!?":
        return not (goes_on and stop["closing"])
    if len(mark) > 1 or mark == "…":
        return not goes_on
    if opens and _ITEM_NUMBER.fullmatch(text, begin, stop.start()):
        return False
    last = text[max(begin, stop.start() - 24) : stop.start()].rpartition(" ")[2]
    if last.islower() and last.isalpha() and len(last) > 1 and last not in _LOWER:
        return True  # most sentences
    found = _WORD_BEFORE.search(text, max(begin, stop.start() - 24), stop.start())
    if found is None or stop["closing"].strip("*_~"):
        return True
    return not _abbreviated(found[0], text, at, begin, found.start())


def _abbreviated(word: str, text: str, at: int, begin: int, start: int) -> bool:
    """Whether the sentence continues at `at`, after the point behind the `word` at `start`."""
    lower, following = word.lower(), text[at]
    behind = _WORD_BEHIND.match(text, at)
    name = behind[1] if behind else ""
    number = bool(_TO_NUMBER.match(text, at))
    calendar = bool(_DAY_OR_MONTH.fullmatch(word))
    dotted = "." in word
    if word[:2] in ("D-", "R-", "I-") and word[2:] in STATES:
        return True  # (D-Ariz.)
    state = word in STATES and (word in CLEAR_STATES or text[start - 2 : start] == ", ")
    if following.islower():
        return (
            state
            or dotted
            or calendar
            or lower in _LOWER
            or (len(word) == 1 and word.isupper() and word != "I")
        )
    starter = name in STARTERS and not (len(name) == 1 and behind and behind[2])
    if word in _TIMES or lower in ("am", "pm"):
        return number is False and (name in _CALENDAR or bool(_OF_TIME.match(text, at)) or following == "(")
    if word in _DIRECTIONS and number and start > begin:
        return True  # W. 34th St.
    if state and number:
        return True
    if lower in _BEFORE_NUMBER and _TO_ROMAN.match(text, at):
        return True
    if number and (lower in _BEFORE_NUMBER or lower in _STREETS or calendar):
        return True
    if lower == "st" and _is_street(text, begin, start):
        return bool(_ADDRESS.match(text, at)) and not starter
    if word in _TITLES and not (word == "St" and starter) or lower in _LEADING:
        return True
    if calendar:
        return name in _CALENDAR
    if lower in _STREETS:
        return bool(_ADDRESS.match(text, at)) and not starter
    if dotted or (len(word) == 1 and word.isupper() and (word != "I" or start == begin)):
        return bool(name) and not starter
    return (state or lower in _NAMES) and bool(name) and not starter


def _is_street(text: str, begin: int, start: int) -> bool:
    """Whether a number and a capitalised word precede "St.": 5 Main St."""
    return bool(
        re.search(r"\d\w* (?:[NSEW]\.? )?(?:[A-Z0-9]\w* ){1,3}$", text[max(begin, start - 40) : start])
    )
