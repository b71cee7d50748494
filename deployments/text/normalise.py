"""Text to spoken words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deployments.text.english import addresses, amounts, dates
from deployments.text.english.dates import DAYS, MONTHS
from deployments.text.english.vocabulary import BARE, OPERATORS, SYMBOL_WORDS
from deployments.text.english.words import (
    Known,
    abbreviation,
    is_shouting,
    mixed_word,
    plain_word,
    roman_numeral,
)
from deployments.text.mandarin import script as mandarin
from deployments.text.phones import Phones
from deployments.text.rules import Rule

NO_PAUSE, SHORT_PAUSE, LONG_PAUSE = 0, 1, 2

_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+){0,2}")
_MIXED = re.compile(r"(?=[A-Za-z]{0,60}\d)[A-Za-z0-9]+")
_DIGITS = re.compile(r"\d+")
_DOTS = re.compile(r"\.{2,}|…")
_OPENERS = "([{<\"'"
_OPERATOR = re.compile(
    rf"(?:{'|'.join(map(re.escape, OPERATORS))})(?![-=<>+*/&|!])(?= ?[\w(\[\"'+-])", re.ASCII
)
_OPERAND_ENDS = re.compile(r"[\w)\]\"'] ?$", re.ASCII)
_ROW = re.compile(r"[^\n]*[|\t][^\n]*\n")  # of a table
_CLAUSE = {
    ",": SHORT_PAUSE, ";": LONG_PAUSE, ":": LONG_PAUSE, "(": SHORT_PAUSE, ")": SHORT_PAUSE, "[": SHORT_PAUSE,
    "]": SHORT_PAUSE, "{": SHORT_PAUSE, "}": SHORT_PAUSE, "—": LONG_PAUSE, "…": LONG_PAUSE, "•": LONG_PAUSE,
    "!": LONG_PAUSE, "?": LONG_PAUSE, "|": SHORT_PAUSE,
}  # fmt: skip

DIGIT_RULES: tuple[Rule, ...] = addresses.PHONE_RULES + dates.DIGIT_RULES + amounts.DIGIT_RULES


@dataclass(slots=True)
class Word:
    """One spoken word: lower case, or a capital for a letter's name. start, end: its span in the text.

    pause: after the word: none, short (a comma) or long (a semicolon, a dash).
    """

    text: str
    start: int
    end: int
    pause: int = NO_PAUSE
    phones: Phones | None = None  # set for Chinese words


def normalise(text: str, known: Known, chinese: bool = False) -> list[Word]:
    """The words of cleaned `text`, in order. known: returns True for a word in the lexicon.

    chinese: read numbers in Chinese if `text` has no letters.
    """
    return _Scanner(text, known, chinese).run()


class _Scanner:
    def __init__(self, text: str, known: Known, chinese: bool) -> None:
        self.text = text
        self.known = known
        self.shouting = is_shouting(text)
        self.words: list[Word] = []
        self.written: list[str] = []  # the words as written in the text
        self.scripts = mandarin.Scripts(text, chinese)

    def run(self) -> list[Word]:
        at = 0
        while at < len(self.text):
            at = self.step(at)
        return self.words

    def say(self, spoken: str, start: int, end: int) -> int:
        """Adds the words of `spoken`, which share the span from `start` to `end`; "," is a pause."""
        parts = spoken.split()
        size = max(1, sum(part != "," for part in parts))
        done = 0
        for part in parts:
            if part == ",":
                self.pause(SHORT_PAUSE)
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
        """The character at `at`; a space before the start and after the end."""
        return self.text[at] if 0 <= at < len(self.text) else " "

    def blank(self, at: int, char: str) -> None:
        """Adds pauses between the cells and rows of a table."""
        if char == "\t":
            self.pause(SHORT_PAUSE)
        elif char == "\n" and _ROW.fullmatch(self.text, self.text.rfind("\n", 0, at) + 1, at + 1):
            self.pause(LONG_PAUSE)

    def rules(self, rules: tuple[Rule, ...], at: int) -> int | None:
        for rule in rules:
            match = rule.pattern.match(self.text, at)
            if match and (spoken := rule.say(match)) is not None:
                return self.say(spoken, at, match.end())
        return None

    def step(self, at: int) -> int:
        char, before = self.text[at], self.peek(at - 1)
        if char.isspace():
            self.blank(at, char)
            return at + 1
        fresh = before.isspace() or before in _OPENERS
        if run := self.scripts.run(at):
            return self.chinese(run[0], at, run[1])
        if (fresh or mandarin.BEHIND.search(self.text, max(0, at - 3), at)) and (end := self.address(at)):
            return end
        if letters := self.scripts.letters(at):
            name = letters[0].rstrip("-")
            return self.say(BARE.get(name) or mixed_word(name, self.shouting, self.known), at, letters.end())
        if char.isdecimal() or (char == "." and self.peek(at + 1).isdigit() and not before.isalnum()):
            return self.number(at)
        if char in "+(" and (end := self.rules(addresses.PHONE_RULES, at)):
            return end
        if char in "$£€¥₹₩₽" and (end := self.rules(amounts.SIGN_RULES, at)):
            return end
        if char.isalpha() and char.isascii():
            return self.word(at, fresh)
        if char == "'" and fresh and (found := abbreviation(self.text, at, self.written)):
            return self.say(found[0], at, found[1])
        return self.sign(at, char, before)

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
        match = addresses.ADDRESS.match(self.text, at)
        if not match:
            return None
        whole = match[0].rstrip(".,;:!?)]'*_-")
        pieces = addresses.address_pieces(whole)
        if len(pieces) < 3:
            return None
        spoken = []
        for piece in pieces:
            if piece.isdigit():
                spoken.append(mixed_word(piece, False, self.known))
            else:
                lower = piece.lower()
                is_word = self.known(lower) and len(piece) > 1 or lower in ("a", "i")
                spoken.append(
                    lower if is_word else plain_word(piece if piece != "www" else "W W W", False, self.known)
                )
        return self.say(" ".join(spoken), at, at + len(whole))

    def number(self, at: int) -> int:
        end = self.rules(DIGIT_RULES, at)
        if end:
            return end
        if match := _MIXED.match(self.text, at):
            return self.say(mixed_word(match[0], self.shouting, self.known), at, match.end())
        return at + 1

    def word(self, at: int, fresh: bool) -> int:
        if end := self.rules(amounts.SIGN_RULES + dates.WORD_RULES, at):
            return end
        if found := abbreviation(self.text, at, self.written):
            return self.say(found[0], at, found[1])
        if match := _MIXED.match(self.text, at):
            return self.say(mixed_word(match[0], self.shouting, self.known), at, match.end())
        match = _WORD.match(self.text, at)
        assert match
        end = match.end()
        numeral = (
            roman_numeral(match[0], self.written, self.text[end : end + 3]) if match[0].isupper() else None
        )
        return self.say(numeral or self.plain(match[0], at, end), at, end)

    def plain(self, word: str, at: int, end: int) -> str:
        if word in ("a", "A"):
            following = self.text[end : end + 3].lstrip()[:1]
            alone = not following.isalnum() and following not in "\"'([$£€¥" or not following
            label = (
                word == "A" and at > 0 and bool(self.words) and not self.shouting and not following.isupper()
            )
            return "A" if alone or (label and not self.words[-1].pause) else "a"
        return plain_word(word, self.shouting, self.known)

    def sign(self, at: int, char: str, before: str) -> int:
        after = self.peek(at + 1)
        if operator := self.operator(at, before):
            return self.say(OPERATORS[operator], at, at + len(operator))
        if match := _DOTS.match(self.text, at):
            self.pause(LONG_PAUSE)
            return match.end()
        if char in _CLAUSE:
            if char == ":" and before.isdigit() and after.isdigit():
                return self.say("to", at, at + 1)
            self.pause(_CLAUSE[char])
            return at + 1
        if char in "-–":
            return self.dash(at, before, after)
        if char == ".":
            if before.isalnum() and after.isalnum() and (before + after).isascii():
                return self.say("dot", at, at + 1)
            self.pause(LONG_PAUSE)
            return at + 1
        if after == char:  # a run of equal signs is decoration
            return at + 1
        spoken = self.symbol(at, char, before, after)
        return self.say(spoken, at, at + 1) if spoken else at + 1

    def operator(self, at: int, before: str) -> str | None:
        """One of OPERATORS between operands, with spaces on both sides or on neither. **bold** is not an operator."""
        match = _OPERATOR.match(self.text, at)
        if not match or before.isspace() != self.peek(match.end()).isspace():
            return None
        return match[0] if _OPERAND_ENDS.search(self.text[max(0, at - 2) : at]) else None

    def dash(self, at: int, before: str, after: str) -> int:
        if after in "-–":
            while self.peek(at + 1) in "-–":
                at += 1
            self.pause(LONG_PAUSE)
            return at + 1
        number_follows = after.isdigit() or after in "$£€¥." and self.peek(at + 2).isdigit()
        if number_follows and (before.isspace() or before in "([=<>$£€,"):
            return self.say("minus", at, at + 1)
        if number_follows and is_range(self.text, at):
            return self.say("to", at, at + 1)
        if before.isspace() and after.isspace():
            self.pause(LONG_PAUSE)
        elif self.text[at] == "–":
            last = self.words[-1].text if self.words else ""
            if last in MONTHS or last in DAYS:
                return self.say("to", at, at + 1)
            self.pause(LONG_PAUSE)
        return at + 1

    def symbol(self, at: int, char: str, before: str, after: str) -> str | None:
        """The spoken form of a single sign; None for decoration."""
        if char == "#":
            return "number" if after.isdigit() else "hashtag" if after.isalpha() else None
        digits_around = self.text[max(0, at - 2) : at].rstrip(" ")[-1:].isdigit()
        next_char = self.text[at + 1 : at + 3].lstrip()[:1]
        if char == "*":
            spaced = before == after == " " and bool(_OPERAND_ENDS.search(self.text[max(0, at - 2) : at]))
            named = bool(
                _FACTOR.search(self.text[max(0, at - 2) : at]) and _FACTOR_AHEAD.match(self.text, at + 1)
            )
            if spaced and self.words and self.words[-1].text == "select":  # SELECT * FROM
                return "star"
            factors = digits_around and next_char.isdigit() or named or (spaced and next_char.isalnum())
            return "times" if factors else None
        if char == "^":
            return "to the power of" if before.isalnum() and after.isalnum() else None
        if char in "<>":
            alone = (
                (before == " " or before.isdigit())
                and (after == " " or after.isdigit())
                and next_char.isalnum()
            )
            return {"<": "less than", ">": "greater than"}[char] if alone else None
        if char == "~":
            return ("to" if digits_around else "about") if after.isdigit() else None
        if char == "/" and not (before + next_char).isascii():
            self.pause(SHORT_PAUSE)  # 男/女
            return None
        if char in "+=/@&\\":
            touching = (before.isalnum() or before in " )") and (
                next_char.isalnum() or next_char in "($£€" and next_char
            )
            return SYMBOL_WORDS[char] if touching else None
        return SYMBOL_WORDS.get(char)


# a*b, 2*x; but not f*ck
_FACTOR = re.compile(r"(?:^|[^A-Za-z0-9])[A-Za-z]$|\d$")
_FACTOR_AHEAD = re.compile(r"[A-Za-z0-9](?![A-Za-z])|\d")
_RANGE_START = re.compile(r"(?:(:\d\d|\d\s?[ap]\.?m\.?)|(\d{1,9})(?:°?[CF]|[%°€])?)$", re.IGNORECASE)
_RANGE_END = re.compile(r"[$£€¥]?(\d{1,9})")


def is_range(text: str, at: int) -> bool:
    """True if the dash at `at` means "to": between times, or between numbers of which the first is smaller."""
    left = _RANGE_START.search(text[max(0, at - 12) : at])
    right = _RANGE_END.match(text, at + 1)
    if not left or not right:
        return False
    return bool(left[1]) or text[at] == "–" or int(left[2]) < int(right[1])
