"""Text to the words that are said."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from deployments.text.english import addresses, dates, maths, measures, money, order, signs, telephone
from deployments.text.english.nouns import is_plural
from deployments.text.english.roman import numeral
from deployments.text.english.units import BARE_UNITS, PER, UNIT, UNITS
from deployments.text.english.vocabulary import BARE, DOTTED, OPERATORS, STATES
from deployments.text.english.words import Known, abbreviation, is_shouting, mixed_word, plain_word
from deployments.text.mandarin import script as mandarin
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.rules import Rule, shape, worth_trying
from deployments.text.words import CLAUSE, COMMA, ELLIPSIS, Word

# A word between blanks, perhaps followed by a comma: most are said as they are written.
_SIMPLE = re.compile(r"([A-Za-z][a-z]*(?:'[a-z]+)?)(?: |(,) |(\.?)[!?]*[\"')]*\s*\Z)")
_RULED = re.compile(
    r"[A-Za-z]|[ivxl]+|(?:[Jj]an|[Ff]eb|[Mm]ar|[Aa]pr|[Mm]ay|[Jj]une?|[Jj]uly?|[Aa]ug|[Ss]ept?|[Oo]ct|[Nn]ov|[Dd]ec)[a-z]*"
    r"|Sat|Sun|Mon|Wed|Ave|Blvd|Rd|Ln|Pkwy|Hwy|Dr|St|Rs|kr|Fr"
    r"|Ctrl|ctrl|Cmd|cmd|Command|Control|Alt|alt|Shift|shift|Option|Opt|Win|Windows|Meta|Super|Fn"
)
_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+){0,3}")
_MIXED = re.compile(r"(?=[A-Za-z]{0,60}\d)[A-Za-z0-9]+")
_SQUARED = re.compile(r"(?<=[A-Za-z0-9)])\^([23])(?![\d.A-Za-z])")
_DOTS = re.compile(r"\.{2,}|…+")
_HAN = re.compile(f"[{HANZI}]")
_MAYBE_ADDRESS = re.compile(r"\w\.[A-Za-z]|@\w|://|www\.|[A-Za-z]:\\|(?:^|[\s(\"~.])/[\w.-]", re.ASCII)
_OPENERS = "([{<\"'"
_EACH = frozenset("per a an one each every slash".split())  # the unit behind is a single one

_rules_for = worth_trying(order.DIGIT_RULES)
_PER_UNIT = re.compile(rf"/({UNIT}|{PER})(?![A-Za-z0-9/])")
_POINTED = DOTTED.keys() | STATES.keys()
_IDENTIFIER = re.compile(
    r"[A-Z0-9]{1,8}-[A-Z0-9]|[A-Z]{2}\d\d[ \dA-Z]|[A-Z]\.\d|[A-Fa-f][0-9A-Fa-f]{0,3}:[0-9A-Fa-f:]"
)
_CALENDAR = frozenset(name[:3] for name in (*dates.MONTHS, *dates.DAYS))


def normalise(text: str, known: Known, chinese: bool = False) -> list[Word]:
    """The words of cleaned `text`, in order. known: returns True for a word in the lexicon.

    chinese: read numbers in Chinese if `text` has no letters.
    """
    return _Scanner(text, known, chinese).run()


@lru_cache(maxsize=8)
def _simple(known: Known) -> Callable[[str], str | None]:
    """What is said for a word that nothing around it changes; None for one that has rules of its own."""

    @lru_cache(maxsize=32768)
    def spoken(word: str) -> str | None:
        if _RULED.fullmatch(word) or word in BARE or word in BARE_UNITS:
            return None
        said = plain_word(word, False, known)
        return None if " " in said else said

    return spoken


class _Scanner:
    def __init__(self, text: str, known: Known, chinese: bool) -> None:
        self.text = text
        self.known = known
        self.shouting = is_shouting(text)
        self.words: list[Word] = []
        self.written: list[str] = []  # the words as written in the text
        mixed = chinese or (not text.isascii() and _HAN.search(text))
        self.scripts = mandarin.Scripts(text, chinese) if mixed else None
        self.addresses = bool(_MAYBE_ADDRESS.search(text))

    def run(self) -> list[Word]:
        text, words, written = self.text, self.words, self.written
        simple, match, size = _simple(self.known), _SIMPLE.match, len(self.text)
        at = 0
        while at < size:
            m = match(text, at)
            if m is None:
                at = self.step(at)
                continue
            word, comma, point = m.groups()
            spoken = None if point and word in _POINTED else simple(word)
            if spoken is None:
                if not self.is_plain_letter(word, m.end()):
                    at = self.step(at)
                    continue
                spoken = word.lower()
            words.append(Word(spoken, at, m.end(1), COMMA if comma else 0))
            written.append(word)
            at = m.end()
        return words

    def is_plain_letter(self, word: str, end: int) -> bool:
        """Whether "a" is the article, "I" the pronoun."""
        if not self.text[end : end + 1].islower() or self.text[end - 1] != " " or self.text[end - 2] == ",":
            return False
        if word == "I":
            return not self.written or self.written[-1].islower()
        return word == "a" or (word == "A" and not self.words)

    def say(self, spoken: str, start: int, end: int) -> int:
        """Adds the words of `spoken`, which share the span from `start` to `end`; "," is a pause."""
        if " " not in spoken and spoken != ",":
            if spoken:
                self.words.append(Word(spoken, start, end))
                self.written.append(self.text[start:end])
            return end
        parts = spoken.split()
        size = max(1, len(parts) - parts.count(","))
        done = 0
        for part in parts:
            if part == ",":
                self.pause(COMMA)
                continue
            left, right = start + (end - start) * done // size, start + (end - start) * (done + 1) // size
            self.words.append(Word(part, left, right))
            done += 1
        if done:
            self.written.append(self.text[start:end])
        return end

    def pause(self, strength: int) -> None:
        if self.words:
            self.words[-1].pause = max(self.words[-1].pause, strength)

    def peek(self, at: int) -> str:
        """The character at `at`; a blank before the start and past the end."""
        return self.text[at] if 0 <= at < len(self.text) else " "

    def rules(self, rules: tuple[Rule, ...], at: int) -> int | None:
        text = self.text
        for rule in rules:
            match = rule.pattern.match(text, at)
            if match and (spoken := rule.say(match)) is not None:
                return self.say(spoken, at, match.end())
        return None

    def step(self, at: int) -> int:
        char, before = self.text[at], self.peek(at - 1)
        if char.isspace():
            if char == "\t":
                self.pause(COMMA)  # cells of a table
            return at + 1
        if self.scripts and (run := self.scripts.run(at)):
            return self.chinese(run[0], at, run[1])
        fresh = before.isspace() or before in _OPENERS
        if self.addresses and (fresh or self.is_behind_chinese(at)) and (end := self.address(at)):
            return end
        if self.scripts and (letters := self.scripts.letters(at)):
            name = letters[0].rstrip("-")
            return self.say(BARE.get(name) or mixed_word(name, self.shouting, self.known), at, letters.end())
        if char.isdecimal() or (char == "." and self.peek(at + 1).isdecimal() and not before.isalnum()):
            return self.number(at)
        if char.isalpha() and char.isascii():
            return self.word(at, fresh)
        if char in "+(*#" and (end := self.rules(telephone.SIGN_RULES, at)):
            return end
        if char in money.SIGNS and (end := self.rules((money.money,), at)):
            return end
        if char == "'" and fresh and (found := abbreviation(self.text, at, self.written)):
            return self.say(found[0], at, found[1])
        return self.sign(at, char, before)

    def is_behind_chinese(self, at: int) -> bool:
        return self.scripts is not None and bool(mandarin.BEHIND.search(self.text, max(0, at - 3), at))

    def chinese(self, spoken: str, at: int, end: int) -> int:
        """Adds the words of a Chinese run. They share its span in proportion to their characters."""
        words, done = mandarin.said(spoken), 0
        size = max(1, sum(len(word) for word, _ in words))
        for word, phones in words:
            left, right = (at + (end - at) * part // size for part in (done, done + len(word)))
            self.words.append(Word(word, left, right, phones=phones))
            done += len(word)
        if words:
            self.written.append(self.text[at:end])
        return end

    def address(self, at: int) -> int | None:
        found = addresses.address(self.text, at, self.known)
        return self.say(found[0], at, found[1]) if found else None

    def number(self, at: int) -> int:
        end = self.rules(_rules_for(shape(self.text, at)), at)
        if end:
            if "x" not in self.text[end : end + 4].lower():
                return end
            return self.rules((telephone.extension,), end) or end
        if match := _MIXED.match(self.text, at):
            return self.say(mixed_word(match[0], self.shouting, self.known), at, match.end())
        return at + 1

    def word(self, at: int, fresh: bool) -> int:
        text, char = self.text, self.text[at]
        if (
            char in money.STARTS
            and money.STARTS_WITH_LETTER.match(text, at)
            and (end := self.rules(money.SIGN_RULES, at))
        ):
            return end
        if text[at : at + 3].lower() in _CALENDAR and (end := self.rules(dates.WORD_RULES, at)):
            return end
        if char == "A" and (end := self.rules((dates.era_first,), at)):
            return end
        if _IDENTIFIER.match(text, at) and (end := self.rules(order.IDENTIFIER_RULES, at)):
            return end
        if (
            self.scripts is None
            and text[at + 1 : at + 2] == "("
            and fresh
            and (end := self.rules(maths.LETTER_RULES, at))
        ):
            return end
        if found := numeral(text, at, self.written):
            return self.say(found[0], at, found[1])
        if found := abbreviation(text, at, self.written):
            return self.say(found[0], at, found[1])
        if end := self.rules(order.WORD_RULES if text.isascii() else order.SIGNED_WORD_RULES, at):
            return end
        if match := _MIXED.match(text, at):
            if end := self.rules(order.MIXED_RULES, at):
                return end
            return self.say(mixed_word(match[0], self.shouting, self.known), at, match.end())
        match = _WORD.match(text, at)
        assert match
        return self.say(self.plain(match[0], at, match.end()), at, match.end())

    def plain(self, word: str, at: int, end: int) -> str:
        following = self.text[end : end + 3].lstrip()[:1]
        if word in ("a", "A"):
            alone = not following.isalnum() and following not in "\"'([$£€¥" or not following
            label = (
                word == "A" and at > 0 and bool(self.words) and not self.shouting and not following.isupper()
            )
            return "A" if alone or (label and not self.words[-1].pause) else "a"
        if (
            word == "x"
            and following.isdecimal()
            and self.text[at - 1 : at] == self.text[end : end + 1] == " "
        ):
            return "by"  # 5 cm x 3 cm
        if word in BARE_UNITS and self.peek(end) not in "/-":
            each = bool(self.words) and self.words[-1].text in _EACH
            return UNITS[word][0 if each else 1]
        return plain_word(word, self.shouting, self.known)

    def sign(self, at: int, char: str, before: str) -> int:
        after = self.peek(at + 1)
        if operator := signs.operator(self.text, at):
            return self.say(OPERATORS[operator], at, at + len(operator))
        if match := _DOTS.match(self.text, at):
            self.pause(ELLIPSIS)
            return match.end()
        if char in CLAUSE:
            if char == ":" and before.isdecimal() and after.isdecimal():
                return self.say("to", at, at + 1)
            if char == "!" and (spoken := signs.symbol(self.text, at, "")):
                return self.say(spoken, at, at + 1)
            self.pause(CLAUSE[char])
            return at + 1
        if char in "-–":
            return self.dash(at)
        if char == ".":
            if before.isalnum() and after.isalnum() and (before + after).isascii():
                return self.say("dot", at, at + 1)
            if spoken := signs.symbol(self.text, at, ""):
                return self.say(spoken, at, at + 1)
            self.pause(COMMA)
            return at + 1
        if char in maths.SUPERSCRIPTS + "²³":
            spoken, end = maths.raised(self.text, at)
            return self.say(spoken, at, end) if spoken else end
        if char == "§" == after:
            return self.say("sections", at, at + 2)
        if match := _SQUARED.match(self.text, at):
            return self.say("squared" if match[1] == "2" else "cubed", at, match.end())
        if after == char:  # a run of signs is a line or an ornament
            return at + 1
        if (
            char == "/"
            and (match := _PER_UNIT.match(self.text, at))
            and self.written
            and (is_plural(self.written[-1]) or (self.written[-1].isupper() and len(self.written[-1]) > 1))
        ):
            return self.say(f"per {measures.per_name(match[1])}", at, match.end())  # cells/µL
        if char == "/" and not (before + self.text[at + 1 : at + 3].lstrip()[:1]).isascii():
            self.pause(COMMA)  # 男/女
            return at + 1
        spoken = signs.symbol(self.text, at, self.words[-1].text if self.words else "")
        return self.say(spoken, at, at + 1) if spoken else at + 1

    def dash(self, at: int) -> int:
        spoken, pause, end = signs.dash(self.text, at, self.words[-1].text if self.words else "")
        if spoken:
            return self.say(spoken, at, end)
        self.pause(pause)
        return end
