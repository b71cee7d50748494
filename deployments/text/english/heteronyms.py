"""Words that are written alike and read differently: lead, read, live, Polish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deployments.text.english.lexicon import NAME
from deployments.text.english.roles import Sentence, tag

DEFAULT = ""
_PHRASE_ENDS = frozenset(["", "preposition", "be", "have", "modal", "conjunction", "relative", "subordinator", "adverb"])


def reading(sentence: Sentence, index: int, written: str, parts: Mapping[str, str]) -> str:
    """The part (a key of `parts`) that a word has here, or `DEFAULT`, its most frequent reading.

    written: the word as it stands in the text, with its capitals.
    """
    word = sentence.words[index]
    if NAME in parts and written.istitle() and _is_name(sentence, index):
        return NAME
    role = sentence.role(index)
    if role != "verb":
        for sense in SENSES.get(word, ()):
            if sense.fits(sentence, index):
                return sense.part
    if special := SPECIAL.get(word):
        return special(sentence, index, role)
    if role in parts or role in ("verb", DEFAULT) or "verb" in parts:
        return role
    # The default is the verb, or not: deliberate, but arithmetic.
    return "noun" if role == "adjective" else "adjective" if word.endswith(("ate", "use")) else DEFAULT


@dataclass(frozen=True)
class Sense:
    """A reading with the words that call for it: just before (one, or two joined by _), just after, or in the sentence."""

    part: str
    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()

    def fits(self, sentence: Sentence, index: int) -> bool:
        before = sentence.before(index)
        return (
            sentence.after(index) in self.after
            or before in self.before
            or f"{sentence.before(index, 2)}_{before}" in self.before
            or not self.near.isdisjoint(sentence.all)
        )


def _sense(part: str, before: str = "", after: str = "", near: str = "") -> Sense:
    return Sense(part, *(frozenset(words.split()) for words in (before, after, near)))


_LIQUID = "away moisture sweat water"
_TORN = (
    "muscle fabric cloth sleeve jeans shirt coat sail ligament tendon meniscus knee shoulder hamstring cartilage "
    "tissue seam pants trousers jacket dress tent paper curtain net hole"
)
_SHIP = "ship ship's boat boat's stern vessel hull deck waves anchor yacht canoe ferry captain iceberg"
SENSES: Mapping[str, tuple[Sense, ...]] = {
    "lead": (
        _sense(DEFAULT, after="singer guitarist time role engineer story author actor"),
        _sense(
            "other",
            before="of contain contains containing molten swallow",
            after="pipe pipes paint poisoning acid shot bullet bullets weight weights glass apron ore levels exposure",
            near="contains petrol gasoline unleaded zinc copper mercury tin metal metals toxic plumbing paint pencil pencils asbestos arsenic bullets",
        ),
    ),
    "bass": (
        _sense(
            "other",
            before="sea striped largemouth smallmouth",
            after="fishing boat",
            near="fish fishing fisherman caught catch lake lakes pond river trout salmon grilled fried baked fillet "
            "bait lure",
        ),
    ),
    "bow": (
        _sense(DEFAULT, after="and tie", near="arrow arrows ribbon hair violin cello strings target"),
        _sense(
            "verb",
            before="take_a takes_a took_a taking_a make_a made_a with_a final deep slight low polite formal",
            near=_SHIP,
        ),
    ),
    "row": (
        _sense(DEFAULT, before="in_a front back second third top bottom", after="of"),
        _sense(
            "other",
            before="had_a have_a having_a terrible blazing bitter furious huge diplomatic heated",
            after="over about erupted",
        ),
    ),
    "sewer": (
        _sense(
            "other",
            before="keen skilled experienced talented",
            near="sewing fabric needle needles thread stitch stitches quilt quilts dress dresses clothes",
        ),
    ),
    "number": (
        _sense(DEFAULT, after="of one two three four five six seven eight nine ten", before="a phone any"),
        _sense("other", before="grew grow feel felt feeling getting", near="toes fingers frostbite"),
    ),
    "axes": (
        _sense(
            "other",
            near="chop chopped chopping wood tree trees lumberjack lumberjacks firefighters firemen sharp sharpen "
            "sharpened sword swords handles vikings throw throwing battle stone hammers saws tools weapons spears",
        ),
    ),
    "bases": (
        _sense(
            "other",
            before="legal scientific theoretical philosophical moral factual ethical logical empirical",
            after="for",
        ),
    ),
    "putting": (_sense("other", before="about of his her my", after="green greens", near="golf golfer putter"),),
    "sake": (
        _sense(DEFAULT, after="of", before="the"),
        _sense("other", near="sushi japanese drink drank drinking bottle cup bar tokyo brewed"),
    ),
    "does": (_sense("noun", before="two three four several", near="buck bucks fawn fawns stag stags antlers"),),
    "closer": (_sense("noun", near="inning pitcher pitched bullpen deal deals baseball"),),
    "tear": (
        _sense(DEFAULT, after="gas", near="eye eyes cheek cheeks cried crying"),
        _sense("verb", before="wear_and", after="along apart open off down up", near=_TORN),
    ),
    "tears": (
        _sense(DEFAULT, near="eye eyes cheek cheeks cried crying burst"),
        _sense("verb", after="open apart easily up down off at through", near=_TORN),
    ),
    "wicked": (_sense("verb", after=_LIQUID),),
    "moped": (_sense("verb", after="about around"),),
    "refuse": (
        _sense(
            "noun",
            before="household kitchen garden domestic",
            after="collection collector collectors truck trucks lorry bin bins bag bags dump tip heap disposal",
        ),
    ),
    "produce": (_sense("noun", before="fresh organic", after="section aisle market markets stand"),),
    "combine": (_sense("noun", after="harvester harvesters"),),
    "minute": (
        _sense(
            "adjective",
            after="amount amounts detail details trace traces particle particles quantity quantities difference "
            "differences change changes fraction fractions crack cracks dose doses",
        ),
    ),
    "learned": (
        _sense(
            "adjective",
            before="a very most",
            after="man woman men judge judges friend colleague colleagues professor scholar scholars society "
            "gentleman counsel journal journals profession",
        ),
    ),
}
_WINDING = frozenset(
    "road roads river rivers path paths trail trails street streets stream lane lanes stairs steps staircase track "
    "roads".split()
)
_PARTICLES = frozenset(
    "up down around round through along on its his her the a an back into past it them my their across".split()
)
_DIVING = frozenset(
    "into in under off for down deep through from headfirst beneath behind straight right to toward below".split()
)
_LIVE_EVENTS = frozenset(
    "music concert concerts show shows broadcast broadcasts stream streams streaming performance performances tv "
    "television radio coverage audience audiences wire wires ammunition chat bait album version animals birth births "
    "event events feed feeds update updates score scores data demo session sessions recording band bands theatre "
    "theater video action entertainment news football sport sports game games match matches blog report debate "
    "translation crab lobster rounds".split()
)
_LIVE_BEFORE = frozenset(
    "go going goes went gone broadcast streamed televised performed perform play played a the this very".split()
)
_ON_AIR = frozenset("tv television radio air stage channel youtube twitch instagram".split())
_LIVING = frozenset(
    "in on with at near here there alone next by up down across far to for happily under and off like as only just "
    "outside inside between among above below opposite upstairs downstairs within together".split()
)
_SPENT = frozenset("save saves saved saving cost costs lost lose claim claimed risk risks risked change changed".split())
_CLOSE_TO = frozenset(
    "to friend friends relative relatives call calls look attention range tie ties contact second third family race "
    "enough together behind by proximity eye watch relationship links finish game match contest election".split()
)
_NEARING = frozenset("come comes came coming stay stays stayed keep kept stand stood hold draw drew so too very".split())
_RESULTS = frozenset("keep keeps kept hold held make made leave left find found consider declared stay".split())
_MATURED = frozenset("cheese wine beef steak whisky whiskey rum vinegar ham oak leather cheddar".split())
_THINGS = frozenset(
    "tool tools method methods technique techniques software money data material materials word words term terms "
    "device devices equipment machine machines phrase weapon drug drugs code knife".split()
)
_PAST_WORDS = frozenset(
    "yesterday ago last once earlier previously was were had said went came told gave found took made knew thought "
    "saw got left felt sat kept began wrote heard then bought drove ran spoke stood fell met paid lost sent brought held "
    "ate drank slept woke grew taught cried died broke chose".split()
)
_HABITS = frozenset("every always usually often daily rarely sometimes days weekly seldom regularly".split())


def _is_name(sentence: Sentence, index: int) -> bool:
    word, before, after = sentence.words[index], sentence.before(index), sentence.after(index)
    if word == "polish":
        polishes = sentence.role(index) == "verb" and (not before or tag(after) == "determiner")
        return before not in ("shoe", "nail", "floor", "furniture") and not polishes
    if word in ("reading", "mobile", "nice"):
        return after == "alabama" or (
            before in ("in", "to", "from", "near", "at", "outside", "via")
            and tag(after) in _PHRASE_ENDS | {"number"}
        )
    return True


def _read(sentence: Sentence, index: int, role: str) -> str:
    distance = sentence.past_adverbs(index)
    before, earlier = sentence.before(index, distance), sentence.before(index, distance + 1)
    kind = tag(before) if before else ""
    if before in ("well", "widely") or (kind in ("be", "have")) or sentence.after(index) == "by":
        return "past"
    if before == "to" or kind in ("modal", "object") or sentence.asked(index):
        return DEFAULT
    if sentence.before(index) in ("just", "already", "finally"):
        return "past"
    if before in ("he", "she", "it") and tag(earlier) != "modal":
        return DEFAULT if earlier in _AUX else "past"
    if kind == "noun" or (kind == "subject" and tag(earlier) == "have"):
        return "past"
    if kind in ("subject", "plural", "conjunction", "it", "subordinator") or (kind == "relative" and role == "verb"):
        if earlier in _AUX or (kind == "conjunction" and sentence.role(index - distance - 1) == "verb"):
            return DEFAULT
        return "past" if _in_the_past(sentence) else DEFAULT
    return DEFAULT


_AUX = frozenset("do does did don't doesn't didn't will would can could shall should may might must let".split())


def _in_the_past(sentence: Sentence) -> bool:
    if not _HABITS.isdisjoint(sentence.all):
        return False
    return not _PAST_WORDS.isdisjoint(sentence.all) or sentence.has_past


def _used(sentence: Sentence, index: int, role: str) -> str:
    if sentence.after(index) != "to":
        return DEFAULT
    distance = sentence.past_adverbs(index)
    before, earlier = sentence.before(index, distance), sentence.before(index, distance + 1)
    if before in _THINGS:
        return DEFAULT
    if tag(before) != "be" or before.startswith("g") or earlier in ("i", "you", "we", "they", "he", "she"):
        return "past"
    target = sentence.after(index, 2)
    familiar = target.endswith("ing") or tag(target) in ("determiner", "object", "it", "plural", "subject")
    return "past" if familiar or before in ("i'm", "you're", "we're", "they're") else DEFAULT


def _use(sentence: Sentence, index: int, role: str) -> str:
    if sentence.after(index) == "to" and sentence.asked(index) or sentence.before(index) == "didn't":
        return "noun" if sentence.after(index) == "to" else role
    return role


def _live(sentence: Sentence, index: int, role: str) -> str:
    before, after = sentence.before(index), sentence.after(index)
    if before == "to" or tag(before) in ("modal", "subject", "object"):
        return "verb"
    if after in _LIVE_EVENTS or before in _LIVE_BEFORE or tag(before) in ("be", "determiner"):
        return DEFAULT
    if after in _ON_AIR or (after in ("on", "from") and (sentence.after(index, 2) in _ON_AIR | {"the"}) and tag(before) != "plural"):
        return DEFAULT
    if not _LIVE_EVENTS.isdisjoint(sentence.all) and role != "verb":
        return DEFAULT
    return "verb"


def _lives(sentence: Sentence, index: int, role: str) -> str:
    before, after = sentence.before(index), sentence.after(index)
    if role in ("noun", "verb"):
        return role
    return "verb" if after in _LIVING and before and before not in _SPENT else DEFAULT


def _close(sentence: Sentence, index: int, role: str) -> str:
    before, after = sentence.before(index), sentence.after(index)
    forced = before == "to" or tag(before) in ("modal", "subject")
    if not forced and (after in _CLOSE_TO or before in _NEARING):
        return DEFAULT
    if role == "noun":
        return "noun" if after == "of" or (not after and before == "a") or (before == "the" and not after) else DEFAULT
    return DEFAULT if role == "adjective" or _is_result(sentence, index) else role


def _is_result(sentence: Sentence, index: int) -> bool:
    """At the end of "keep them separate"."""
    return not sentence.after(index) and not _RESULTS.isdisjoint(sentence.all)


def _mostly_adjective(sentence: Sentence, index: int, role: str) -> str:
    """Behind a plural a verb only with its object: many programs show appropriate messages."""
    if role == "verb" and tag(sentence.before(index)) == "plural" and not sentence.object_follows(index):
        return DEFAULT
    return role


def _wind(sentence: Sentence, index: int, role: str) -> str:
    before = sentence.before(index)
    return "verb" if role == "verb" or before in _WINDING else DEFAULT


def _wound(sentence: Sentence, index: int, role: str) -> str:
    distance = sentence.past_adverbs(index)
    before = sentence.before(index, distance)
    kind = tag(before) if before else ""
    if before == "to" or kind == "modal":
        return DEFAULT
    if kind == "subject" or sentence.before(index).endswith("ly"):
        return "past"
    return "past" if sentence.after(index) in _PARTICLES and kind not in ("determiner", "adjective", "preposition") else DEFAULT


def _dove(sentence: Sentence, index: int, role: str) -> str:
    before = sentence.before(index)
    acts = tag(before) in ("noun", "plural", "conjunction") and before not in ("", "turtle", "mourning", "rock")
    return "verb" if role == "verb" or (acts and sentence.after(index) in _DIVING) else DEFAULT


def _content(sentence: Sentence, index: int, role: str) -> str:
    before, after = sentence.before(index), sentence.after(index)
    if role in ("adjective", "verb") or before == "not" or (after in ("with", "to") and role != "noun"):
        return DEFAULT
    joined = before == "and" and tag(sentence.before(index, 2)) == "adjective"
    return DEFAULT if joined else "noun"


def _noun_alone(sentence: Sentence, index: int, role: str) -> str:
    """A noun where no other noun follows, otherwise an adjective: an upset, an upset stomach."""
    after = sentence.after(index)
    alone = not after or tag(after) in _PHRASE_ENDS or after in ("who", "lay", "sat", "lived")
    before = sentence.before(index)
    stands = tag(before) in ("determiner", "adjective", "number") or before.endswith("ing")
    return "noun" if role == "noun" and stands and alone else DEFAULT


def _aged(sentence: Sentence, index: int, role: str) -> str:
    before = sentence.before(index)
    old = tag(before) == "determiner" and tag(sentence.after(index)) not in ("number", "preposition")
    return "adjective" if old and _MATURED.isdisjoint(sentence.all) else DEFAULT


def _blessed(sentence: Sentence, index: int, role: str) -> str:
    before, after = sentence.before(index), sentence.after(index)
    if tag(before) == "determiner" or (not before and after in ("are", "is", "be")):
        return "adjective"
    return "adjective" if tag(before) == "be" and after and tag(after) == "noun" else DEFAULT


def _minute(sentence: Sentence, index: int, role: str) -> str:
    return role if role == "adjective" else DEFAULT


def _proceeds(sentence: Sentence, index: int, role: str) -> str:
    goes = sentence.after(index) in ("with", "without", "to", "as", "at", "through", "in")
    verb = role == "verb" or (goes and role != "noun" and sentence.before(index) != "")
    return "verb" if verb else DEFAULT


def _only_senses(sentence: Sentence, index: int, role: str) -> str:
    return DEFAULT


SPECIAL: Mapping[str, Callable[[Sentence, int, str], str]] = {
    "read": _read,
    "used": _used,
    "use": _use,
    "live": _live,
    "lives": _lives,
    "close": _close,
    "wind": _wind,
    "winds": _wind,
    "wound": _wound,
    "dove": _dove,
    "content": _content,
    "upset": _noun_alone,
    "invalid": _noun_alone,
    "aged": _aged,
    "blessed": _blessed,
    "minute": _minute,
    "proceeds": _proceeds,
    **dict.fromkeys(
        "absent appropriate compact frequent intimate legitimate moderate perfect separate".split(), _mostly_adjective
    ),
    "does": _only_senses,
    "learned": _only_senses,
    "closer": _only_senses,
}
