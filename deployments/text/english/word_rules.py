"""Heteronyms with rules of their own: read, used to, live, close, wound.

A rule takes a sentence, the index of the word and the role that its neighbours suggest, and returns the part to use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deployments.text.english.roles import Sentence
from deployments.text.english.senses import DEFAULT
from deployments.text.english.word_classes import tag

Rule = Callable[[Sentence, int, str], str]

# Word classes that cannot follow an adjective before its noun.
NO_NOUN = ("", "preposition", "be", "have", "modal", "conjunction", "relative", "subordinator", "adverb")

_PAST_WORDS = frozenset(
    "yesterday ago last once earlier previously was were had said went came told gave found took made knew thought "
    "saw got left felt sat kept began wrote heard then bought drove ran spoke stood fell met paid lost sent brought "
    "held ate drank slept woke grew taught cried died broke chose".split()
)
_EARLIER = frozenset(["before", "already", "once", "twice", "when"])
_HABITS = frozenset("every always usually often daily rarely sometimes days weekly seldom regularly".split())


def _read(sentence: Sentence, index: int, role: str) -> str:
    direct, distance = sentence.before(index), sentence.past_adverbs(index)
    before, earlier = sentence.before(index, distance), sentence.before(index, distance + 1)
    kind = tag(before)
    if sentence.after(index) == "only" and kind != "have":
        return DEFAULT  # read-only
    if before in ("well", "widely") or kind in ("be", "have") or sentence.after(index) == "by":
        return "past"
    if before.endswith("'d") and not _EARLIER.isdisjoint(sentence.all):
        return "past"  # she had read it before
    if before == "to" or kind in ("modal", "object") or sentence.asked(index) or tag(earlier) == "modal":
        return DEFAULT
    if direct in ("just", "already", "finally") or before in ("he", "she", "it") or kind == "noun":
        return "past"  # the present would be "he reads"
    if kind == "subject" and tag(earlier) == "have":
        return "past"
    if kind == "conjunction" and sentence.role(index - distance - 1) == "verb":
        return DEFAULT
    if kind in ("subject", "plural", "conjunction", "it", "subordinator") or (
        kind == "relative" and role == "verb"
    ):
        told = not _PAST_WORDS.isdisjoint(sentence.all) or sentence.has_past
        return "past" if told and _HABITS.isdisjoint(sentence.all) else DEFAULT
    return DEFAULT


_THINGS = frozenset(
    "tool tools method methods technique techniques software money data material materials word words term terms "
    "device devices equipment machine machines phrase weapon drug drugs code knife".split()
)


def _used(sentence: Sentence, index: int, role: str) -> str:
    """We used to, and are used to it; but it is used to make glass."""
    if sentence.after(index) != "to":
        return DEFAULT
    distance = sentence.past_adverbs(index)
    before, earlier = sentence.before(index, distance), sentence.before(index, distance + 1)
    if tag(before) != "be":
        return DEFAULT if before in _THINGS else "past"
    if before.startswith("g") or earlier in ("i", "you", "we", "they", "he", "she"):
        return "past"
    what = sentence.after(index, 2)
    familiar = what.endswith("ing") or tag(what) in ("determiner", "object", "it", "plural", "subject")
    return "past" if familiar or before in ("i'm", "you're", "we're", "they're") else DEFAULT


def _use(sentence: Sentence, index: int, role: str) -> str:
    habit = sentence.after(index) == "to" and (sentence.before(index) == "didn't" or role == "verb")
    return "noun" if habit and not _DID.isdisjoint(sentence.all) else role  # did you use to


_DID = frozenset(["did", "didn't"])

_EVENTS = frozenset(
    "music concert concerts show shows broadcast broadcasts stream streams streaming performance performances tv "
    "television radio coverage audience audiences wire wires ammunition ammo chat bait album version animals birth "
    "births event events feed feeds update updates score scores data demo session sessions recording band bands "
    "theatre theater video action entertainment news football sport sports game games match matches blog report "
    "debate translation webinar streamed streamer".split()
)
_BEFORE_LIVE = frozenset(
    "go going goes went gone broadcast streamed televised recorded performed perform play played a the this".split()
)
_ON_AIR = frozenset("tv television radio air stage channel youtube twitch instagram".split())


def _live(sentence: Sentence, index: int, role: str) -> str:
    before, after = sentence.before(index), sentence.after(index)
    kind = tag(before)
    if before == "to" or kind in ("modal", "subject", "object"):
        return "verb"
    if (
        after in _EVENTS
        or before in _BEFORE_LIVE
        or kind in ("be", "determiner", "degree")
        or after in _ON_AIR
    ):
        return DEFAULT
    if after in ("on", "from") and sentence.after(index, 2) in (*_ON_AIR, "the") and kind != "plural":
        return DEFAULT
    return "verb" if role == "verb" or _EVENTS.isdisjoint(sentence.all) else DEFAULT


_LIVING = frozenset(
    "in on with at near here there alone next by up down across far to for happily under and off like as only just "
    "outside inside between among above below opposite upstairs downstairs within together".split()
)
_SPENT = frozenset(
    "save saves saved saving cost costs lost lose claim claimed risk risks risked change changed".split()
)


def _lives(sentence: Sentence, index: int, role: str) -> str:
    before = sentence.before(index)
    if role or not before or before in _SPENT:
        return role
    return "verb" if sentence.after(index) in _LIVING else DEFAULT


_NEAR = frozenset(
    "to friend friends relative relatives call calls look attention range tie ties contact second third family race "
    "enough together behind by proximity eye watch relationship links finish game match contest election".split()
)
_NEARING = frozenset(
    "come comes came coming stay stays stayed keep kept stand stood hold draw drew so too very".split()
)


def _close(sentence: Sentence, index: int, role: str) -> str:
    before, after = sentence.before(index), sentence.after(index)
    closes = before == "to" or tag(before) in ("modal", "subject")
    if not closes and (after in _NEAR or before in _NEARING or _is_result(sentence, index)):
        return DEFAULT
    if role == "noun" and after != "of" and (after or before not in ("a", "the")):
        return "adjective"
    return role


_RESULTS = frozenset(
    "keep keeps kept hold held make made leave left find found consider declared stay".split()
)


def _is_result(sentence: Sentence, index: int) -> bool:
    """At the end of "keep them separate"."""
    return not sentence.after(index) and not _RESULTS.isdisjoint(sentence.all)


def _mostly_adjective(sentence: Sentence, index: int, role: str) -> str:
    """No verb between a plural and a noun: the page displays appropriate ads."""
    if role != "verb" or tag(sentence.before(index)) != "plural":
        return role
    described = tag(sentence.after(index)) in ("noun", "plural", "adjective")
    return DEFAULT if described or _is_result(sentence, index) else role


def _mostly_verb(sentence: Sentence, index: int, role: str) -> str:
    """An adjective at the start of a clause and before a noun: deliberate mistakes."""
    return role or ("adjective" if tag(sentence.after(index)) in ("noun", "plural") else DEFAULT)


def _noun_alone(sentence: Sentence, index: int, role: str) -> str:
    """A noun where no other noun follows, otherwise an adjective: an upset, an upset stomach."""
    before, after = sentence.before(index), sentence.after(index)
    alone = tag(after) in NO_NOUN or after in ("who", "lay", "sat", "lived")
    described = tag(before) in ("determiner", "adjective", "number") or before.endswith("ing")
    return "noun" if role == "noun" and alone and described else DEFAULT


_WINDING = frozenset(
    "road roads river rivers path paths trail trails street streets stream lane lanes stairs steps staircase "
    "track".split()
)


def _wind(sentence: Sentence, index: int, role: str) -> str:
    before = sentence.before(index)
    toy = tag(before) == "determiner" and sentence.after(index) == "up"
    return "verb" if role == "verb" or toy or before in _WINDING else DEFAULT


_AROUND = frozenset(
    "up down around round through along on its his her the a an back into past it them my their across".split()
)


def _wound(sentence: Sentence, index: int, role: str) -> str:
    before = sentence.before(index, sentence.past_adverbs(index))
    if before == "to" or tag(before) in ("modal", "determiner", "adjective", "preposition"):
        return DEFAULT
    turned = (
        tag(before) == "subject" or sentence.before(index).endswith("ly") or sentence.after(index) in _AROUND
    )
    return "past" if turned else DEFAULT


_DIVING = frozenset(
    "into in under off for down deep through from headfirst beneath behind straight right to toward below".split()
)


def _dove(sentence: Sentence, index: int, role: str) -> str:
    before = sentence.before(index)
    acts = tag(before) in ("noun", "plural", "conjunction") and before not in ("turtle", "mourning", "rock")
    return "verb" if role == "verb" or (acts and sentence.after(index) in _DIVING) else DEFAULT


def _content(sentence: Sentence, index: int, role: str) -> str:
    before, after = sentence.before(index), sentence.after(index)
    joined = before == "and" and tag(sentence.before(index, 2)) == "adjective"
    pleased = before == "not" or joined or (after in ("with", "to") and role != "noun")
    return DEFAULT if pleased or role in ("adjective", "verb") else "noun"


_MATURED = frozenset("cheese wine beef steak whisky whiskey rum vinegar ham oak leather cheddar".split())


def _aged(sentence: Sentence, index: int, role: str) -> str:
    old = tag(sentence.before(index)) == "determiner" and tag(sentence.after(index)) not in (
        "number",
        "preposition",
    )
    return "adjective" if old and _MATURED.isdisjoint(sentence.all) else DEFAULT


def _blessed(sentence: Sentence, index: int, role: str) -> str:
    kind, after = tag(sentence.before(index)), sentence.after(index)
    holy = (
        kind == "determiner" or (kind == "be" and tag(after) == "noun") or (not kind and tag(after) == "be")
    )
    return "adjective" if holy else DEFAULT


def _proceeds(sentence: Sentence, index: int, role: str) -> str:
    onward = sentence.after(index) in ("with", "without", "to", "as", "at", "through", "in")
    return "verb" if onward and not role and sentence.before(index) else role


def _only_as(part: str) -> Rule:
    return lambda _sentence, _index, role: role if role == part else DEFAULT


RULES: Mapping[str, Rule] = {
    "read": _read,
    "used": _used,
    "use": _use,
    "live": _live,
    "lives": _lives,
    "close": _close,
    "upset": _noun_alone,
    "invalid": _noun_alone,
    "wind": _wind,
    "winds": _wind,
    "wound": _wound,
    "dove": _dove,
    "content": _content,
    "aged": _aged,
    "blessed": _blessed,
    "proceeds": _proceeds,
    "deliberate": _mostly_verb,
    "elaborate": _mostly_verb,
    "minute": _only_as("adjective"),
    **dict.fromkeys(["does", "learned", "closer"], _only_as("other")),
    **dict.fromkeys(
        "absent appropriate compact frequent intimate legitimate moderate perfect separate".split(),
        _mostly_adjective,
    ),
}
