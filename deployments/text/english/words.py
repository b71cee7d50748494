"""Words that are not said as they are written: abbreviations, acronyms, Roman numerals, names with digits."""

from __future__ import annotations

import re
from collections.abc import Callable

from deployments.text.english.dates import MONTHS
from deployments.text.english.numbers import cardinal, identifier, plural, spelled
from deployments.text.english.vocabulary import (
    BARE,
    BEFORE_NUMBER,
    CLEAR_STATES,
    DIRECTIONS,
    DOTTED,
    HUMS,
    LOWER_ACRONYMS,
    READ_ACRONYMS,
    SHOUTED,
    SPELLED_ACRONYMS,
    STATES,
    TITLES,
)
from deployments.text.rules import letters

Known = Callable[[str], bool]

_BARE = re.compile(
    "(?:" + "|".join(re.escape(k) for k in sorted(BARE, key=len, reverse=True)) + ")(?![A-Za-z0-9]|/[A-Z])",
)
_BARE_STARTS = frozenset(key[0] for key in BARE)
_DOTTED = re.compile(r"((?:Ph|M|B|D|Ed|LL|a\.k)\.(?:D|Sc|Phil|B|M|a)(?![A-Za-z])|[A-Za-z]{1,6})\.")
_ROMAN_PAGE = re.compile(r"[ivxlIVXL]{1,7}(?![A-Za-z])")
_NUMBERED = re.compile(r"[Nn]os?\. ?\d")
_PLURAL = re.compile(r"[A-Za-z]{0,12}\d{1,4}s")  # MP3s
_DIGEST = re.compile(r"(?=[a-f]*\d[a-f]*\d)(?=\d*[a-f]+\d+[a-f])[0-9a-f]{7,40}")
_BARE_TITLE = re.compile(r"(?:Dr|St)(?![A-Za-z0-9.'&])")
_BARE_STREET = re.compile(r"(Ave|Blvd|Rd|Ln|Pkwy|Hwy)(?![A-Za-z0-9.'&])")
_DIRECTION = re.compile(
    r"([NSEW])\.(?=\s(?:\d{1,3}(?:st|nd|rd|th)|(?:[A-Z][a-z]+\s){1,2}(?:St|Ave|Blvd|Rd|Dr|Ln|Street|Avenue|Road|Drive)\b))"
)
_CAPITALS, _LETTERS = re.compile(r"\b[A-Z]{2,}\b"), re.compile(r"\b[A-Za-z]{2,}\b")
_INITIALS = re.compile(r"(?:[A-Za-z]\.){1,8}[A-Za-z](?:\.|(?![A-Za-z0-9.]))('s(?![A-Za-z]))?")
_INITIAL = re.compile(r"[A-Z]\.(?=\s?[A-Z])")
_MIXED = re.compile(r"[A-Za-z]+|\d+")
_ACRONYM = re.compile(r"([A-Z]{2,})('?s|'S)?")
_AROUND_O = re.compile(r"[A-Z]o[A-Z]{1,2}")  # IoT, PoE
_METAL = "Li|Na|Rb|Cs|Be|Mg|Ca|Sr|Ba|Al|Ga|In|Si|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|Ag|Au|Hg|Pb|Sn"
_COMPOUND = re.compile(rf"(?:{_METAL}|K|H|N|C|P|S|B)(?:F|Cl|Br|I|OH|O|S|N|P|As|H|CN|Se|Te)")
_FORMULA = re.compile(
    rf"(?=[A-Z]{{0,3}}(?:{_METAL}|Cl|Br))(?=.*\d)(?:(?:{_METAL}|Cl|Br|[HBCNOFPSKI])\d{{0,2}}){{2,8}}"
)
_CAMEL = re.compile(r"[A-Z]?[a-z']+|[A-Z]+(?![a-z])")
_VOWELS = frozenset("aeiouyAEIOUY")
_REPEATED = re.compile(r"(.)\1+")
_STRETCHED = re.compile(r"(.)\1{2,}")
_WITH_ACRONYM = re.compile("([a-z]{2,})([b-df-hj-np-tv-xz]{3,})")
# Consonants that an English word can begin or end with.
_BEGINNINGS = frozenset(
    "bh bl br ch chl chr cl cr dh dj dr dw fl fr gh gl gn gr kh kl kn kr kw mc ng ph phl phr pl pn pr ps pt rh sc "
    "sch scl "
    "scr sh shr sk sl sm sn sp sph spl spr sq st str sv sw th thr thw tr ts tw vl vr wh wr zh".split()
)
_ENDINGS = frozenset(
    "bs bt ch cht ck cks cs ct cts dd dh ds dth ff ft gg ggs gh ght gn gs hm hs kh ks lch ld lf lk lks ll lm ln lp "
    "ls lt "
    "lth mb mm mn mp mph mpt mps ms nc nch nct nd nds ng ngs ngth nk nks nn ns nst nt nth nts nx ph pp ps pt pts "
    "rb rc rch "
    "rd rds rf rg rk rks rl rm rn rp rph rr rs rst rt rth rts rv sc sh shh sk sks sm sp ss st sts tch th ths ts tt "
    "tz vs wd "
    "wk wks wl wn wp ws wt wth xt zz".split()
)
_SHORT_WORDS = frozenset("be go me do in on it us we my to or so up is as at an if of no he hi ya u".split())
_SYLLABLE = re.compile(r"([b-df-hj-np-tv-xz]*)[a-z]*?([b-df-hj-np-tv-xz]*)")
_BEFORE_MONTH = frozenset(m[:3] for m in MONTHS)


def abbreviation(text: str, at: int, before: list[str]) -> tuple[str, int] | None:
    """What is said for an abbreviation that starts at `at`, and where it ends. `before`: the words so far."""
    if text[at] in _BARE_STARTS and (m := _BARE.match(text, at)):
        return BARE[m[0]], m.end() + (m[0] in DOTTED and text.startswith(".", m.end()))
    if m := _INITIALS.match(text, at):
        spelled = m[0][: -len(m[1])] if m[1] else m[0]
        spoken = DOTTED.get(spelled.rstrip(".")) or letters(spelled)
        return spoken + ("'s" if m[1] else ""), m.end()
    if m := _BARE_TITLE.match(text, at):
        return _doctor_or_drive(m[0], text[m.end() : m.end() + 16].lstrip(), before), m.end()
    if (
        (m := _BARE_STREET.match(text, at))
        and before
        and (before[-1][0].isupper() or before[-1][0].isdigit())
    ):
        return DOTTED[m[1]], m.end()
    if m := _DIRECTION.match(text, at):
        return DIRECTIONS[m[1]], m.end()
    if m := _DOTTED.match(text, at):
        found = _dotted(m[1], text, at, m.end(), before)
        if found:
            return found, m.end()
    if (m := _INITIAL.match(text, at)) and (before or m[0] not in ("A.", "I.")):
        return m[0][0], m.end()
    return None


def _dotted(name: str, text: str, at: int, end: int, before: list[str]) -> str | None:
    following = text[end : end + 16].lstrip()
    if name in TITLES:
        return TITLES[name]
    if name in ("Dr", "St"):
        return _doctor_or_drive(name, following, before)
    if (
        name in STATES
        and before
        and (text[at - 2 : at] in (", ", "D-", "R-", "I-") or (name in CLEAR_STATES and before[-1].islower()))
    ):
        return STATES[name]
    if name == "Sec" and following.startswith("of "):
        return "secretary"
    if (
        name in ("ed", "eds")
        and following[:1].isupper()
        and not (before and before[-1][-2:] in ("st", "nd", "rd", "th"))
    ):
        return "edited by"
    if name == "est":
        return "established" if following[:1].isdigit() else "estimated"
    if name in BEFORE_NUMBER and following:
        if name in ("no", "No", "nos") and before and re.match(r"(?:is|was|are)\b|[A-Z]{1,4}-?\d", following):
            return BEFORE_NUMBER[name]
        if (
            following[:1].isdigit()
            or following[:1] == "#"
            or _NUMBERED.match(following)
            or _ROMAN_PAGE.match(following)
        ):
            return BEFORE_NUMBER[name]
        if name in ("Sat", "Sun") and (following[:3].lower() in _BEFORE_MONTH or following[:1] in ",-–"):
            return BEFORE_NUMBER[name]
        if name in ("Mar", "Dec") and following[:1] in ",-–":
            return BEFORE_NUMBER[name]
        return None
    return DOTTED.get(name)


def _doctor_or_drive(name: str, following: str, before: list[str]) -> str:
    person, street = ("doctor", "drive") if name == "Dr" else ("saint", "street")
    address = len(before) >= 2 and before[-1][:1].isupper() and before[-2][:1].isdigit()
    if following[:1].isupper() and not address:
        return person
    return street if before and (before[-1][:1].isupper() or before[-1][:1].isdigit()) else person


def is_shouting(text: str) -> bool:
    """Whether most words are in capitals, so that capitals do not mean letters."""
    capitals = len(_CAPITALS.findall(text))
    return capitals >= 3 and capitals >= 0.7 * len(_LETTERS.findall(text))


def is_spelled(word: str, shouting: bool, known: Known) -> bool:
    """Whether a word in capitals is said letter by letter."""
    lower = word.lower()
    if word in READ_ACRONYMS or known(word):  # the lexicon lists NATO in capitals
        return False
    if word in SPELLED_ACRONYMS:
        return not (shouting and known(lower))
    if not _VOWELS & set(word):
        return not known(lower)
    if not known(lower):
        return len(word) <= 5
    return len(word) <= 3 and not shouting and word not in SHOUTED


def plain_word(word: str, shouting: bool, known: Known) -> str:
    """A run of letters (perhaps with apostrophes) as words to be said."""
    lower = word.lower()
    if len(word) == 1:
        return lower if lower in "ai" else word.upper()
    if word.islower() or (word[0].isupper() and word[1:].islower()):
        return _lower(word, lower, known)
    if m := _ACRONYM.fullmatch(word):
        if is_spelled(m[1], shouting, known):
            return letters(m[1]) + ("'s" if m[2] else "")
        return m[1].lower() + (m[2] or "").lower()
    if word.isupper() or known(lower) or lower.startswith(("mc", "o'", "d'")):
        return lower
    if _AROUND_O.fullmatch(word):
        return letters(word)
    if _COMPOUND.fullmatch(word):
        return letters(word)  # NaCl
    parts = _CAMEL.findall(word)
    if "".join(parts) != word:
        return lower
    spoken = [p if len(p) == 1 else plain_word(p, shouting, known) for p in parts if p.strip("'")]
    return " ".join(p.upper() if len(p) == 1 else p for p in spoken)


def _lower(word: str, lower: str, known: Known) -> str:
    if word in TITLES:
        return TITLES[word]
    if known(lower):
        return lower
    stem = lower.removesuffix("'s")
    ending = lower[len(stem) :]
    if known(stem):
        return lower
    if found := hum(stem) or _unstretched(stem, known):
        return found + ending
    if stem.endswith("s") and stem[:-1] in LOWER_ACRONYMS:  # urls
        return letters(stem[:-1]) + "'s"
    if stem in LOWER_ACRONYMS or not _VOWELS & set(stem) or (word.islower() and _is_unpronounceable(stem)):
        return letters(stem) + ending
    if (joined := _WITH_ACRONYM.fullmatch(stem)) and known(joined[1]):  # chatgpt, mysql
        return f"{joined[1]} {letters(joined[2])}{ending}"
    return lower


def _is_unpronounceable(word: str) -> bool:
    """Whether a short word has consonants at either end that no word of English has: gpu, ocr, ttyl."""
    ends = _SYLLABLE.fullmatch(word) if len(word) < 5 and word.upper() not in READ_ACRONYMS else None
    if not ends:
        return False
    first, last = ends.groups()
    return (len(first) > 1 and first not in _BEGINNINGS) or (len(last) > 1 and last not in _ENDINGS)


def hum(word: str) -> str | None:
    """The listed form of a hum whose letters are drawn out: hmmm, shhhh, brrr."""
    squeezed = _REPEATED.sub(r"\1", word)
    return HUMS.get(squeezed) if squeezed != word else None


def _unstretched(word: str, known: Known) -> str | None:
    """The known word behind one with drawn-out letters: sooo, gooood, yesss."""
    if not _STRETCHED.search(word):
        return None
    forms = (_STRETCHED.sub(r"\1\1", word), _STRETCHED.sub(r"\1", word))
    return next((form for form in forms if known(form)), None)


def mixed_word(word: str, shouting: bool, known: Known) -> str:
    """Letters and digits in one: H200, MP3, B2B."""
    if _DIGEST.fullmatch(word):
        return spelled(word)
    if _FORMULA.fullmatch(word):  # CaCO3
        return " ".join(
            cardinal(int(p)) if p.isdigit() else p.upper() for p in re.findall(r"[A-Za-z]|\d+", word)
        )
    if _PLURAL.fullmatch(word):
        return plural(mixed_word(word[:-1], shouting, known))
    spoken = []
    pieces = _MIXED.findall(word)
    for piece in pieces:
        if piece.isdigit():
            spoken.append(identifier(piece))
        elif piece is not pieces[0] and len(piece) == 2 and piece.islower() and piece not in _SHORT_WORDS:
            spoken.append(letters(piece))  # 2ab
        elif (
            len(pieces) > 3
            and len(piece) < 3
            or len(piece) <= 3
            and (piece.isupper() or not known(piece.lower()))
        ):
            spoken.append(letters(piece))
        elif len(piece) == 1:
            spoken.append(piece.upper())
        else:
            spoken.append(plain_word(piece, shouting, known))
    return " ".join(spoken)
