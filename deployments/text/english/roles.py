"""The part of speech of a word, guessed from its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

_TAGS: dict[str, str] = {}
for _tag, _words in {
    "determiner": "a an the this that these those my your his her its our their whose some any no every each another "
    "either neither both all such many several few much less own same whatever enough half",
    "number": "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy "
    "eighty ninety hundred thousand million billion first third fourth fifth last next",
    "preposition": "of for with from by in on at about into onto over under without between against during through "
    "per via across around behind beyond despite except inside outside near toward towards upon within throughout "
    "among amid beneath beside above below off out versus unlike concerning regarding",
    "modal": "will would can could shall should may might must do does did don't doesn't didn't won't wouldn't can't "
    "cannot couldn't shouldn't mustn't needn't let's gonna wanna gotta i'll you'll he'll she'll it'll we'll they'll "
    "that'll who'll i'd you'd he'd she'd we'd they'd help helps helped please",
    "subject": "i you we they he she who",
    "object": "me him us them itself himself herself myself yourself yourselves ourselves themselves",
    "it": "it everything something anything nothing everyone everybody someone somebody anyone anybody nobody",
    "be": "is are was were be been being am isn't aren't wasn't weren't i'm you're we're they're it's that's he's "
    "she's there's what's here's who's seem seems seemed become becomes became becoming look looks looked feel feels "
    "felt remain remains remained sound sounds sounded stay stays stayed get gets got getting grew",
    "have": "have has had having haven't hasn't hadn't i've you've we've they've",
    "adverb": "not never always often usually rarely seldom sometimes ever also just still only really even already "
    "soon now then simply probably perhaps maybe hardly ago well here there together again once twice today tomorrow "
    "yesterday tonight alone abroad forever away back up down too either however therefore thus instead otherwise "
    "merely barely nearly almost fully further better",
    "degree": "very so quite more most extremely rather fairly pretty somewhat too as how increasingly",
    "conjunction": "and or but nor",
    "subordinator": "if when because while although though unless until since whenever before after whereas than what "
    "where why whether like",
    "relative": "which that",
    "verb": "make makes made take takes took give gives gave buy buys bought sell sells sold include includes included "
    "contain contains contained require requires required provide provides provided keep keeps kept bring brings "
    "brought want wants wanted need needed avoid avoids avoided create creates created receive receives received "
    "reduce reduces reduced add adds added lose loses lost find finds found send sends sent eat eats ate drink drank "
    "write writes wrote pay pays paid put puts mean means meant say says said allow allows allowed offer offered "
    "cause caused see sees saw become becomes wear wears wore speak speaks spoke know knows knew",
    "noun": "family reply supply fly july italy assembly lily jelly belly butterfly monopoly",
    "plural": "people men women children police mice geese teeth feet fish sheep deer cattle parents others",
    "adjective": "good bad new old big small large little long short great high low young early late major main "
    "common biggest greatest largest smallest highest lowest longest strongest oldest youngest official former mental ordinary military secondary different other various certain hot cold warm cool fresh clear deep wide dark light black white red green blue yellow brown grey clean "
    "dry wet soft hard strong weak rich poor free full empty easy true false fast slow real rough sharp flat thick "
    "thin strange famous huge tiny nice local single double modern public private daily weekly monthly annual "
    "foreign armed secret human best worst latest recent odd key raw "
    "favourite favorite fair fine safe simple sudden rapid entire whole",
}.items():
    _TAGS.update((word, _tag) for word in _words.split())

_ADJECTIVE_ENDINGS = ("ous", "ful", "able", "ible", "ical", "less", "tive", "sive", "ual", "istic")
_NOT_PLURAL = frozenset("news physics mathematics maths politics economics series species gas bus lens thanks".split())
# Plurals that stand before a noun as they are: the sales record.
_MODIFIERS = frozenset("sales sports arts goods customs savings police".split())
# Behind these, "to" is a preposition.
_BEFORE_PREPOSITION_TO = frozenset(
    "according due thanks access response addition contrast damage regard relation prior addicted exposed attached "
    "similar close closer promoted appointed subject object ".split()
)
_HELPERS = frozenset("let lets make makes made help helped saw see watch watched hear heard had have".split())
_QUESTION_STARTS = frozenset("subordinator relative conjunction degree".split())
_AUXILIARIES = frozenset(
    "do does did don't doesn't didn't will would can could shall should may might must won't can't "
    "couldn't wouldn't".split()
)
_TIMES = frozenset("week month year morning afternoon evening night day time summer winter spring autumn one".split())
# What follows a noun, but hardly ever a verb in its base form.
_AFTER_NOUN = frozenset("of is are was were has had will would can could may might must should".split())
_OBJECT_STARTS = frozenset(["determiner", "object", "it", "number"])


@lru_cache(maxsize=8192)
def tag(word: str) -> str:
    """The word class of a listed word; otherwise what the ending says, "noun" for the rest."""
    if found := _TAGS.get(word):
        return found
    if word.endswith("'s"):
        return "determiner"
    if word.endswith("ly") and len(word) > 4:
        return "adverb"
    if word.endswith(_ADJECTIVE_ENDINGS) and len(word) > 6:
        return "adjective"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in _NOT_PLURAL:
        return "plural"
    return "noun"


def is_plural_or_third(word: str) -> bool:
    """Whether an s has been added: never behind "to", always behind "it", as a verb."""
    return word.endswith("s") and not word.endswith("ss")


class Sentence:
    """The words of a sentence, in lower case. `ends`: whether a pause follows each word."""

    def __init__(self, words: Sequence[str], ends: Sequence[bool]) -> None:
        self.words = words
        self.ends = ends

    @cached_property
    def all(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def has_past(self) -> bool:
        return any(len(word) > 4 and word.endswith("ed") for word in self.all)

    def before(self, index: int, distance: int = 1) -> str:
        """The word that many places before, within the same phrase; otherwise an empty string."""
        at = index - distance
        return "" if at < 0 or any(self.ends[at:index]) else self.words[at]

    def after(self, index: int, distance: int = 1) -> str:
        at = index + distance
        return "" if at >= len(self.words) or any(self.ends[index:at]) else self.words[at]

    def role(self, index: int) -> str:
        """ "verb", "noun", "adjective", or "" where the neighbours do not tell."""
        return _from_left(self, index) or _from_subject(self, index)

    def past_adverbs(self, index: int) -> int:
        """How far before `index` the nearest word stands that is no adverb."""
        distance = 1
        while distance < 4 and tag(self.before(index, distance)) == "adverb":
            distance += 1
        return distance

    def object_follows(self, index: int) -> bool:
        """Whether a determiner or a pronoun follows, and not one of time: this week."""
        after, second = self.after(index), self.after(index, 2)
        return tag(after) in _OBJECT_STARTS and after != "one" and second not in _TIMES

    def opening(self, index: int) -> str:
        """The first word of the phrase, or the one four places before."""
        at = index
        while at > max(0, index - 4) and not self.ends[at - 1]:
            at -= 1
        return self.words[at]

    def asked(self, index: int) -> bool:
        """Whether an auxiliary before the subject makes the word a verb: did your sister read."""
        for distance in range(2, 7):
            word = self.before(index, distance)
            if not word:
                return False
            if word in _AUXILIARIES:
                opens = self.opening(index - distance)
                inverted = opens == word or tag(opens) in _QUESTION_STARTS
                return inverted and tag(self.before(index, distance - 1)) != "subject"
            if tag(word) in ("modal", "be", "have", "object"):
                return False
        return False


def _from_left(sentence: Sentence, index: int) -> str:
    """What the words just before say."""
    direct = sentence.before(index)
    if tag(direct) == "degree":
        return "adjective"
    distance = sentence.past_adverbs(index)
    word = sentence.before(index, distance)
    earlier = sentence.before(index, distance + 1)
    kind = tag(word) if word else ""
    after = sentence.after(index)
    third_person = is_plural_or_third(sentence.words[index])
    if word == "to":
        return "noun" if third_person or earlier in _BEFORE_PREPOSITION_TO else "verb"
    if kind in ("subject", "it") and tag(earlier) == "be" and not sentence.before(index, distance + 2):
        return "adjective"
    if kind in ("modal", "subject", "object"):
        return "verb"
    if word == "her" and earlier in _HELPERS:
        return "verb"
    if kind == "it":
        return "verb" if third_person or earlier in _HELPERS or earlier in _AUXILIARIES else ""
    if kind == "relative" and third_person and tag(after) in ("be", "have", "modal"):
        return "noun"
    if kind == "relative" and (word == "which" or third_person or tag(earlier) == "plural"):
        return "verb"
    if kind in ("be", "have"):
        return "adjective"
    if word in ("this", "that") and third_person:
        return "verb"
    if word in ("all", "both", "each") and (tag(earlier) in ("modal", "subject") or sentence.object_follows(index)):
        return "verb"
    if kind == "number" and after in ("it", "them", "him", "me", "us"):  # first record it
        return "verb"
    if kind in ("determiner", "number", "preposition", "adjective", "relative", "verb"):
        return "noun"
    if word == "what":
        return "verb" if third_person and sentence.object_follows(index) else "noun"
    if kind == "plural" and tag(earlier) in ("it", "subject"):  # she needs
        return "noun"
    if kind == "subordinator" and not sentence.after(index):  # before use
        return "noun"
    if kind in ("", "conjunction", "subordinator", "adverb"):
        return _at_start(sentence, index, distance if kind == "conjunction" else 0)
    return ""


def _at_start(sentence: Sentence, index: int, conjunction: int) -> str:
    """At the start of a clause: a command, unless the words before the conjunction say otherwise."""
    after = sentence.after(index)
    if after in _AFTER_NOUN or after.endswith("'s"):
        return "noun"
    if sentence.object_follows(index) or after == "that":
        return "verb"
    if conjunction and sentence.before(index, conjunction + 1):
        return _from_left(sentence, index - conjunction - 1)
    return ""


def _from_subject(sentence: Sentence, index: int) -> str:
    """Whether the noun before is a subject, so that this is its verb."""
    word, after = sentence.words[index], sentence.after(index)
    distance = sentence.past_adverbs(index)
    before, earlier = sentence.before(index, distance), sentence.before(index, distance + 1)
    kind = tag(before)
    if not before or kind not in ("noun", "plural"):
        return ""
    if after in _AFTER_NOUN:
        return "noun"
    if sentence.asked(index):
        return "verb"
    starts_object = sentence.object_follows(index)
    if is_plural_or_third(word):
        if after == "for" or (kind == "plural" and earlier != "of"):
            return "noun"
        if starts_object or tag(after) in ("adverb", "degree") or after in ("to", "by"):
            return "verb"
        return "" if after or tag(sentence.opening(index)) in ("subordinator", "degree") else "noun"
    if kind == "plural" and before in _MODIFIERS and tag(earlier) in ("determiner", "adjective", "number"):
        return "noun"
    if earlier == "of" and tag(sentence.before(index, distance + 2)) == "plural" and after in ("with", "between"):
        return "verb"
    if kind == "plural" or starts_object:
        return "verb"
    return "" if earlier == "and" or distance > 1 else "noun"  # a single noun has no verb without s
