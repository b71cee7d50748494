"""What follows a number: whether it is counted, so that the number is a quantity and neither a year nor a code."""

from __future__ import annotations

import re

_NEXT = re.compile(r"[ -]([A-Za-z]+)(?:[ -]([A-Za-z]+))?([ ,.;:!?)]|$)")
_PLURALS = frozenset(
    "people men women children feet mice sheep cattle fish police teeth geese aircraft deer personnel folks "
    "lives wolves "
    "dollars euros pounds yen francs percent calories participants staff crew spacecraft species series data".split()
)
_NOT_PLURALS = frozenset(
    "is was has does its his this us as yes thus plus perhaps always sometimes besides yours ours hers theirs across "
    "leaves departs arrives runs costs lands flies stops boards includes requires says works reads contains "
    "covers offers "
    "expires follows leads lists serves connects goes lasts weighs measures equals exceeds applies "
    "less towards afterwards news gas bus status focus basis crisis analysis bias business process access success "
    "congress progress press loss class mass glass boss cross address express address sees brings marks saw "
    "begins ends "
    "starts comes goes gives looks seems makes takes shows remains needs means gets becomes happens feels "
    "sounds proves "
    "holds stands belongs opens closes deserves represents jones james paris texas christmas series".split()
) - {"series"}
# Events of a year: "the 2016 elections" are not two thousand of them.
_OF_A_YEAR = frozenset(
    "elections budgets awards finals models editions riots floods protests championships playoffs results "
    "figures prices levels taxes standings rules guidelines estimates statistics earnings sales polls primaries "
    "hearings "
    "attacks bombings fires earthquakes reforms treaties talks accords numbers forecasts recommendations regulations "
    "midterms oscars emmys grammys".split()
)
_MEASURED = frozenset(
    "new more other different additional total registered square cubic metric nautical small large big young "
    "old active free "
    "extra local american british german french chinese us light human male female live wild red blue green "
    "white black "
    "daily weekly monthly paid unpaid full empty single individual unique separate armed wounded dead homeless armed "
    "electric used fresh whole hungry angry excited happy loyal skilled foreign russian ukrainian japanese "
    "indian".split()
)


def is_counted(text: str, at: int, cautious: bool = False) -> bool:
    """Whether what follows the number that ends at `at` is a plural, perhaps behind an adjective.

    cautious: the number may well be a year, so that "elections" do not count.
    """
    m = _NEXT.match(text, at)
    if not m:
        return False
    first, second = m[1], m[2] or ""
    if is_plural(first):
        return not (cautious and first in _OF_A_YEAR)
    return first.lower() in _MEASURED and is_plural(second)


def is_plural(word: str) -> bool:
    """Whether `word`, in lower case, looks like the plural of a noun."""
    if word in _PLURALS:
        return True
    return (
        len(word) > 3
        and word.islower()
        and word.endswith("s")
        and not word.endswith(("ss", "us", "is", "ous"))
        and word not in _NOT_PLURALS
    )
