"""The sentences of the natural corpus by number. The same seed and number always give the same text.

    python -m training.teachers.texts --language en --count 20     prints some

They are made from our own templates (`texts_en`, `texts_zh`) and the words of two free lexicons.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from training.teachers import texts_en, texts_zh
from training.teachers.phonemes import Entry, plain

LONGEST = {"en": 230, "zh": 70}  # characters, about 16 s
KINDS = {  # the frequency of each kind
    "STATEMENTS": 22,
    "QUESTIONS": 13,
    "EXCLAMATIONS": 8,
    "SHORT": 6,
    "LISTINGS": 5,
    "NUMBERS": 8,
    "DIALOGUE": 9,
    "RARE": 25,
    "PROSE": 4,
}
PARAGRAPHS = 0.18  # the share of utterances with two or three sentences
Vocabulary = dict[str, list[str]]  # the rare words of each slot

_ENDINGS = {
    "noun": "tion sion ness ment ity ism ance ence ship hood graphy logy age",
    "adjective": "ous ful ive able ible less ical ish ant ary ic",
    "adverb": "ly",
    "doing": "ing",
}
_TAGS = {"n": "noun", "v": "verb", "a": "adj", "nr": "name", "ns": "place_name", "i": "idiom"}  # of jieba
# The spelling of a word that begins with a vowel sound.
_VOWEL = r"(?!eu|ewe|one\b|once\b|u[bcfhkrst][aeiou]|unani|uni(?![dmn]))[aeiou]|hour|heir|hon(?!ey|k)"


@dataclass(frozen=True)
class Text:
    """marked: with part-of-speech tags for `phonemes`. language: en, zh, or mix (Mandarin with English)."""

    marked: str
    language: str

    @property
    def text(self) -> str:
        return plain(self.marked)


class Writer:
    """Sentences of one language."""

    def __init__(self, language: str, vocabulary: Vocabulary, seed: int = 1) -> None:
        """vocabulary: the words for the slots of rare words."""
        self.language, self.seed = language, seed
        source = texts_en if language == "en" else texts_zh
        self._lists = {name: values.split(",") for name, values in source.LISTS.items()}
        self._kinds = {kind: getattr(source, kind).splitlines() for kind in KINDS}
        self._mixed = texts_zh.MIXED.splitlines()
        self._held_out = {sentence.text for sentence in held_out(language)}
        self._rare = {slot: _shuffled(words, f"{seed} {slot}") for slot, words in vocabulary.items()}

    def text(self, number: int, mixed: bool = False) -> Text:
        """The text with this number. mixed: Mandarin with English words."""
        rng = random.Random(f"{self.seed} {self.language} {number}")
        while True:
            paragraph = not mixed and rng.random() < PARAGRAPHS
            sentences = [
                self._sentence(rng, number, mixed) for _ in range(rng.randint(2, 3) if paragraph else 1)
            ]
            marked = (" " if self.language == "en" else "").join(sentences)
            text = Text(marked, "mix" if mixed else self.language)
            kept_out = self._held_out.intersection(map(plain, sentences))
            if len(text.text) <= LONGEST[self.language] and not kept_out:
                return text

    def _sentence(self, rng: random.Random, number: int, mixed: bool) -> str:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        text = rng.choice(self._mixed if mixed else self._kinds[kind])
        said: set[str] = set()
        while slot := re.search(r"\{(\w+)\}", text):
            choices = [self._fill(slot[1], rng, number) for _ in range(12)]
            chosen = next((choice for choice in choices if choice not in said), choices[0])
            said.add(chosen)
            text = text[: slot.start()] + chosen + text[slot.end() :]
        return english_sentence(text) if self.language == "en" else mandarin_sentence(text)

    def _fill(self, slot: str, rng: random.Random, number: int) -> str:
        if slot in self._lists:
            return rng.choice(self._lists[slot])
        words = self._rare[slot]  # near `number`, so that consecutive numbers use all words
        return words[(4 * number + rng.randrange(4)) % len(words)]


def english_sentence(text: str) -> str:
    """Corrects a and an, capitals and the full stop."""
    text = re.sub(rf"\b([Aa]) (?={_VOWEL})", r"\1n ", text)
    text = re.sub(r"([.?!])([,.])(?=”)", r"\1", text)
    start = 1 if text[0] == "“" else 0
    text = text[:start] + text[start].upper() + text[start + 1 :]
    return text if text[-1] in ".?!" or text[-2:] in (".”", "?”", "!”") else text + "."


def mandarin_sentence(text: str) -> str:
    return text if text[-1] in "。？！" or text[-2:] in ("。”", "？”", "！”") else text + "。"


def held_out(language: str) -> list[Text]:
    """The 40 held-out sentences of a language."""
    source = texts_en if language == "en" else texts_zh
    return [Text(sentence, language) for sentence in source.HELD_OUT.splitlines()]


def english_vocabulary(gold: dict[str, Entry]) -> Vocabulary:
    """The rare words of misaki's better lexicon, by the part of speech that their endings indicate.

    Words with several readings are left out.
    """
    words = [word for word, entry in gold.items() if isinstance(entry, str)]
    lower = sorted(w for w in words if re.fullmatch(r"[a-z]{4,13}", w))
    slots = {
        slot: [word for word in lower if len(word) > 5 and word.endswith(tuple(endings.split()))]
        for slot, endings in _ENDINGS.items()
    }
    return slots | {"word": lower, "proper": sorted(w for w in words if re.fullmatch(r"[A-Z][a-z]{2,12}", w))}


def mandarin_vocabulary(dictionary: Iterable[tuple[str, int, str]], read: set[str]) -> Vocabulary:
    """dictionary: jieba's words with counts and parts of speech. read: the words with an unambiguous reading."""
    slots: Vocabulary = {slot: [] for slot in _TAGS.values()}
    for word, count, tag in dictionary:
        slot = _TAGS.get(tag)
        length, least = ("{4}", 3) if slot == "idiom" else ("{2,4}", 20)
        if slot and word in read and count >= least and re.fullmatch(rf"[\u4e00-\u9fff]{length}", word):
            slots[slot].append(word)
    return slots


def _shuffled(words: list[str], seed: str) -> list[str]:
    return random.Random(seed).sample(words, len(words))


@cache
def vocabularies() -> dict[str, Vocabulary]:
    """The vocabularies of both languages. Needs `training.teachers.fetch` and the extra `train`."""
    import json

    import jieba  # pyright: ignore[reportMissingImports]
    from pypinyin.constants import PHRASES_DICT, PINYIN_DICT

    from training.teachers.fetch import cache as folder

    gold = json.loads((folder() / "us_gold.json").read_text("utf-8"))
    with jieba.get_dict_file() as file:
        rows = [line.decode("utf-8").split() for line in file]
    single = {chr(code) for code, readings in PINYIN_DICT.items() if "," not in readings}
    words = ((word, int(count), tag) for word, count, tag in rows)
    read = {word for word, _, _ in rows if word in PHRASES_DICT or set(word) <= single}
    return {"en": english_vocabulary(gold), "zh": mandarin_vocabulary(words, read)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--language", choices=["en", "zh"], default="en")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--mixed", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    writer = Writer(args.language, vocabularies()[args.language], args.seed)
    for number in range(args.count):
        print(writer.text(number, args.mixed).text)


if __name__ == "__main__":
    main()
