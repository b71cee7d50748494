"""Readings that the topic decides, not the part of speech: lead the metal, bass the fish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.text.english.roles import Sentence

# How far off, in words, a clue counts that stands beside the word: one word, or two joined by _.
BESIDE = {1: 1, 2: 5}
FAR = 40  # words: all clues farther off are equally far
DEFAULT = ""  # the most frequent reading

# A word, its reading and what calls for it: words just before (two joined by _), just after, or in the sentence.
_TABLE = """
lead default; after singer guitarist time role engineer story author actor
lead other; before of contain contains containing molten swallow; after free pipe pipes paint poisoning acid shot bullet
  bullets weight weights glass apron ore levels exposure; near contains petrol gasoline unleaded zinc copper mercury tin
  metal metals toxic plumbing paint pencil pencils asbestos arsenic bullets
bass default; after player players guitar guitars guitarist line lines clarinet drum solo clef
bass other; before sea striped largemouth smallmouth; after fishing boat; near fish fishing fisherman caught catch lake
  lakes pond river trout salmon grilled fried baked fillet bait lure hooked landed
bow default; after and tie; near arrow arrows ribbon hair violin cello strings target
bow verb; before take_a takes_a took_a taking_a make_a made_a with_a final deep slight low polite formal
  starboard port;
  near ship ship's boat boat's stern vessel hull deck waves anchor yacht canoe ferry captain iceberg
row default; before in_a front back second third top bottom; after of
row other; before had_a have_a having_a terrible blazing bitter furious huge diplomatic heated; after over about erupted
sewer other; before keen skilled experienced talented; near sewing fabric needle needles thread stitch stitches quilt
  quilts dress dresses clothes
number default; before a phone any; after of one two three four five six seven eight nine ten
number other; before grew grow feel felt feeling getting; near toes fingers frostbite
axes other; near chop chopped chopping wood tree trees forest lumberjack lumberjacks firefighters firemen sharp sharpen
  sharpened blunt sword swords handles vikings throw throwing battle stone hammers saws tools weapons spears
bases other; before legal scientific theoretical philosophical moral factual ethical logical empirical; after for
putting other; before about of his her my; after green greens; near golf golfer putter
sake default; before the; after of
sake other; near sushi japanese drink drank drinking bottle cup bar tokyo brewed
does noun; before the two three four several bucks_and stags_and
closer noun; near inning pitcher pitched bullpen deal deals baseball
tear default; before shed_a shedding_a single; after gas; near eye eyes cheek cheeks cried crying
tear verb; before wear_and; after along apart open off down up; near muscle fabric cloth sleeve jeans shirt coat sail
  ligament tendon meniscus knee shoulder hamstring cartilage tissue seam trousers jacket dress tent paper net hole
tears default; after ran run rolled rolling streamed streaming fell flowed flowing welled came; near eye eyes cheek
  cheeks cried crying burst
tears verb; after open apart easily up down off at through; near muscle fabric cloth shirt jeans paper ligament tendon
wicked verb; after away moisture sweat water
moped verb; after about around
refuse noun; before household kitchen garden domestic; after collection collector collectors truck trucks lorry bin bins
  bag bags dump tip heap disposal
produce noun; before fresh organic; after section aisle market markets stand
combine noun; after harvester harvesters
minute adjective; after amount amounts detail details trace traces particle particles quantity quantities difference
  differences change changes fraction fractions crack cracks dose doses
learned adjective; before a very most; after man woman men judge judges friend colleague colleagues professor scholar
  scholars society gentleman counsel journal journals profession
"""


@dataclass(frozen=True)
class Sense:
    part: str
    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()

    def beside(self, sentence: Sentence, index: int) -> int:
        """How many words the clue beside the word at `index` has; 0 for none."""
        before = sentence.before(index)
        if sentence.after(index) in self.after or before in self.before:
            return 1
        return 2 if f"{sentence.before(index, 2)}_{before}" in self.before else 0


def nearest(senses: tuple[Sense, ...], sentence: Sentence, index: int) -> Sense | None:
    """The sense with the clue closest to the word at `index`; after it rather than before."""
    best, distance = None, float("inf")
    begin = max(0, index - FAR)
    around = sentence.words[begin : index + FAR]
    for sense in senses:
        closest = BESIDE.get(sense.beside(sentence, index), distance)
        if not sense.near.isdisjoint(sentence.all):
            places = (abs(at - index - 0.4) for at, word in enumerate(around, begin) if word in sense.near)
            closest = min(closest, FAR, *places)
        if closest < distance:
            best, distance = sense, closest
    return best


def _parsed(table: str) -> Mapping[str, tuple[Sense, ...]]:
    """Senses of each word. The one with the nearest clue counts."""
    senses: dict[str, tuple[Sense, ...]] = {}
    for row in table.replace("\n ", " ").strip().split("\n"):
        head, *clues = row.split(";")
        word, part = head.split()
        places = {place: frozenset(words) for place, *words in map(str.split, clues)}
        senses[word] = (*senses.get(word, ()), Sense(DEFAULT if part == "default" else part, **places))
    return senses


SENSES = _parsed(_TABLE)
