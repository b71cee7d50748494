"""Text to misaki's phonemes, which Kokoro was trained with.

English is looked up in misaki's American lexicon here, because misaki's own reader needs spaCy to determine parts of
speech. The texts state those that matter: `read^VBD`. Mandarin is read by `misaki.zh`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

Entry = str | dict[str, str | None]

NAMES = {  # missing in both lexicons
    "Chen": "ʧˈɛn",
    "Clara": "klˈɛɹə",
    "Davidson": "dˈAvədsən",
    "Eleanor": "ˈɛlənˌɔɹ",
    "Emily": "ˈɛməli",
    "Eric": "ˈɛɹək",
    "Gallagher": "ɡˈæləɡəɹ",
    "Garcia": "ɡɑɹsˈiə",
    "Hannah": "hˈænə",
    "Hugo": "hjˈuɡO",
    "Isabel": "ˈɪzəbˌɛl",
    "Jefferson": "ʤˈɛfəɹsən",
    "Katherine": "kˈæθɹən",
    "Lucas": "lˈukəs",
    "Margaret": "mˈɑɹɡɹət",
    "Microsoft": "mˈIkɹəsˌɔft",
    "Nathan": "nˈAθən",
    "Newman": "nˈumən",
    "O'Brien": "ObɹˈIən",
    "Olivia": "əlˈɪviə",
    "Quinn": "kwˈɪn",
    "Robinson": "ɹˈɑbənsən",
    "Simon": "sˈImən",
    "Sullivan": "sˈʌləvən",
    "Vaughan": "vˈɔn",
    "Walsh": "wˈɔlʃ",
    "Whitaker": "wˈɪTəkəɹ",
    "Zoe": "zˈOi",
}

_MARK = re.compile(r"\^[A-Z]+")
_TOKEN = re.compile(r"([A-Za-z]+(?:['’][A-Za-z]+)*)(?:\^([A-Z]+))?|([;:,.!?—…“”])|(\s+)|(-)|(.)")
_ENGLISH = re.compile(r"[A-Za-z][A-Za-z'’^-]*(?:[ ,]+[A-Za-z][A-Za-z'’^-]*)*")
_VOWELS = frozenset("AIOQWYaiuæɑɐɒɔəɛɜɪʊʌᵻ")
_FLAPPING = frozenset("AIOWYiuæɑəɛɪɹʊʌ")  # a t after these becomes a flap before -ed and -ing
_PARENTS = {"VBD": "VERB", "VBN": "VERB", "VBP": "VERB"}
_BEFORE_VOWEL = {"the": ("ðə", "ði"), "to": ("tə", "tʊ")}
_FIXED = {"a": "ɐ", "an": "ɐn", "i": "ˌI"}


def plain(text: str) -> str:
    """The text without part-of-speech tags."""
    return _MARK.sub("", text)


class English:
    """Raises KeyError for a word that is in neither lexicon."""

    def __init__(self, gold: dict[str, Entry], silver: dict[str, Entry]) -> None:
        self._gold, self._silver = NAMES | gold, silver

    def __call__(self, text: str) -> str:
        pieces: list[str] = []
        after: str | None = None  # the sound that follows the word within its phrase
        following = ""
        for word, tag, pause, space, hyphen, other in reversed(_TOKEN.findall(text)):
            if other:
                raise KeyError(other)
            if space or hyphen:
                pieces.append("" if hyphen else " ")
            elif pause:
                pieces.append(pause)
                after = None if pause not in "“”" else after
            else:
                sounds = self.word(word.replace("’", "'"), tag, after, following)
                pieces.append(sounds)
                after, following = sounds.lstrip("ˈˌ")[0], word.lower()
        return "".join(reversed(pieces)).replace("ɾ", "T").replace("ʔ", "t")

    def word(self, word: str, tag: str = "", after: str | None = None, following: str = "") -> str:
        """after: the first sound of the next word, None before a pause. following: the next word."""
        lower = word.lower()
        if lower in _FIXED and not tag:
            return _FIXED[lower]
        if lower in _BEFORE_VOWEL and after is not None:
            return _BEFORE_VOWEL[lower][after in _VOWELS]
        if lower == "in":
            return "ɪn" if after is not None else "ˈɪn"
        if lower == "am" and after is not None:
            return "ɐm"
        if lower == "used" and following == "to":
            tag = "VBD"
        sounds = self._known(word, tag, after is None) or self._derived(word, tag)
        if sounds is None:
            raise KeyError(word)
        return sounds

    def _known(self, word: str, tag: str, final: bool) -> str | None:
        forms = dict.fromkeys((word, word.lower(), word.capitalize()))
        entries = (
            lexicon[form] for lexicon in (self._gold, self._silver) for form in forms if form in lexicon
        )
        entry = next(entries, None)
        if isinstance(entry, dict):
            tags = ["None"] * final + [tag, _PARENTS.get(tag, tag), "DEFAULT"]
            return next((sounds for name in tags if (sounds := entry.get(name))), None)
        return entry

    def _derived(self, word: str, tag: str) -> str | None:
        """A word with -s, -'s, -ed or -ing whose stem is known."""
        lower = word.lower()
        for ending, stems, join in (
            ("'s", [lower[:-2]], _plural),
            ("s'", [lower[:-1]], lambda stem: stem),
            ("s", [lower[:-1], lower[:-2], lower[:-3] + "y"], _plural),
            ("ed", [lower[:-1], lower[:-2], lower[:-3], lower[:-3] + "y"], _past),
            ("ing", [lower[:-3], lower[:-3] + "e", lower[:-4]], _progressive),
        ):
            if lower.endswith(ending):
                for stem in stems:
                    if len(stem) > 1 and (sounds := self._known(stem, tag, False)):
                        return join(sounds)
        return None


def _plural(stem: str) -> str:
    if stem[-1] in "ptkfθ":
        return stem + "s"
    return stem + ("ᵻz" if stem[-1] in "szʃʒʧʤ" else "z")


def _past(stem: str) -> str:
    if stem[-1] in "pkfθʃsʧ":
        return stem + "t"
    if stem[-1] == "t":
        return (stem[:-1] + "ɾᵻd") if stem[-2] in _FLAPPING else stem + "ᵻd"
    return stem + ("ᵻd" if stem[-1] == "d" else "d")


def _progressive(stem: str) -> str:
    return (stem[:-1] + "ɾɪŋ") if stem[-1] == "t" and stem[-2] in _FLAPPING else stem + "ɪŋ"


def mixed(text: str, english: Callable[[str], str], mandarin: Callable[[str], str]) -> str:
    """The phonemes of a Mandarin text with English words. Each part is read by the reader for its language."""
    pieces, start = [], 0
    for found in _ENGLISH.finditer(text):
        pieces += [_read(mandarin, text[start : found.start()]), _read(english, found[0])]
        start = found.end()
    pieces.append(_read(mandarin, text[start:]))
    joined = " ".join(piece for piece in pieces if piece)
    return re.sub(r"\s+([;:,.!?…”])", r"\1", re.sub(r"\s+", " ", joined)).strip()


def _read(reader: Callable[[str], str], text: str) -> str:
    return reader(text.strip()) if text.strip() else ""


class Reader:
    """Reads both languages. folder: filled by `training.teachers.fetch`. Mandarin needs the extra `train`."""

    def __init__(self, folder: Path) -> None:
        lexicons = [
            json.loads((folder / f"us_{name}.json").read_text("utf-8")) for name in ("gold", "silver")
        ]
        self.gold: dict[str, Entry] = lexicons[0]
        self.english = English(*lexicons)

    def phonemes(self, text: str, language: str) -> str:
        """language: en, or zh, which may contain English words. Raises KeyError for an unknown English word."""
        if language == "en":
            return self.english(text)
        return mixed(text, self.english, _mandarin)


def _mandarin(text: str) -> str:
    import jieba  # pyright: ignore[reportMissingImports]
    from misaki.zh import ZHG2P  # pyright: ignore[reportMissingImports]

    jieba.setLogLevel("WARNING")
    return ZHG2P.legacy_call(ZHG2P.map_punctuation(text))
