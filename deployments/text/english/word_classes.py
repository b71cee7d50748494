"""Word classes: of frequent words from lists, of the rest from their endings."""

from __future__ import annotations

from functools import lru_cache

_TAGS: dict[str, str] = {"": ""}
for _tag, _words in {
    "determiner": "a an the this that these those my your his her its our their whose some any no every each another "
    "either neither both all such many several few much less own same whatever enough half",
    "number": "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy "
    "eighty ninety hundred thousand million billion first third fourth fifth last next",
    "preposition": "of to for with from by in on at about into onto over under without between against during through "
    "per via across around behind beyond despite except inside outside near toward towards upon within throughout "
    "among amid beneath beside above below off out versus unlike concerning regarding",
    "modal": "will would can could shall should may might must do does did don't doesn't didn't won't wouldn't can't "
    "cannot couldn't shouldn't mustn't needn't let's gonna wanna gotta i'll you'll he'll she'll it'll we'll they'll "
    "that'll who'll i'd you'd he'd she'd we'd they'd help helps helped please",
    "subject": "i you we they he she who",
    "object": "me him us them itself himself herself myself yourself yourselves ourselves themselves",
    "it": "it everything something anything nothing everyone everybody someone somebody anyone anybody nobody",
    "be": "is are was were be been being am isn't aren't wasn't weren't i'm you're we're they're it's that's he's "
    "she's there's what's here's who's seem seems seemed became becoming look looks looked feel feels "
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
    "adjective": "good bad new old big small large little long short great high low young early late major main common "
    "biggest greatest largest smallest highest lowest longest strongest oldest youngest official former "
    "mental ordinary military secondary different other various certain hot cold warm cool fresh clear deep "
    "wide dark light black white red green blue yellow brown grey clean dry wet soft hard strong weak rich "
    "poor free full empty easy true false fast slow real rough sharp flat thick thin strange famous huge tiny "
    "nice local single double modern public private daily weekly monthly annual foreign armed secret human "
    "best worst latest recent odd key raw favourite favorite fair fine safe simple sudden rapid entire whole",
}.items():
    _TAGS.update((word, _tag) for word in _words.split())

_ADJECTIVE_ENDINGS = ("ous", "ful", "able", "ible", "ical", "less", "tive", "sive", "ual", "istic")
_NOT_PLURAL = frozenset(
    "news physics mathematics maths politics economics series species gas bus lens thanks".split()
)
# Plurals that stand before a noun as they are: the sales record.
MODIFIERS = frozenset("sales sports arts goods customs savings police".split())


@lru_cache(maxsize=8192)
def tag(word: str) -> str:
    """The word class of a listed word; otherwise what the ending says, or "noun". "" for no word."""
    if (found := _TAGS.get(word)) is not None:
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
