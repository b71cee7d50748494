"""The rules in the order in which they are tried: the first that returns a reading wins."""

from __future__ import annotations

from deployments.text.english import (
    amounts,
    codes,
    dates,
    identifiers,
    maths,
    measures,
    money,
    streets,
    telephone,
)
from deployments.text.english.shortcuts import shortcut
from deployments.text.rules import Rule

# At a digit.
DIGIT_RULES: tuple[Rule, ...] = (
    dates.iso_time, *identifiers.RULES, *codes.RULES, *dates.NUMERIC_RULES, money.money_behind, money.pence,
    *telephone.RULES, *dates.RULES, *streets.RULES, *measures.SCIENTIFIC_RULES, *maths.RULES, *amounts.RULES,
)  # fmt: skip
# At a letter; then those for a word with digits inside.
IDENTIFIER_RULES = identifiers.WORD_RULES
WORD_RULES: tuple[Rule, ...] = (shortcut, dates.from_noon, *amounts.WORD_RULES)
SIGNED_WORD_RULES: tuple[Rule, ...] = (shortcut, dates.from_noon, *maths.WORD_RULES, *amounts.WORD_RULES)
MIXED_RULES = codes.WORD_RULES
