"""A line of the natural corpus to phones with their times.

The teacher's phonemes are regrouped to the symbols of the phone set `stressed`: a stress mark belongs to its vowel, a
tone to its final, a space to what precedes it. Mandarin syllables get the tones that our frontend speaks, because the
teacher's are those of the dictionary, before tone sandhi.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from deployments.families.small.phones import OPENING, PHONE_SETS
from deployments.text.english.lexicon import CONSONANTS, STRESS, VOWELS
from deployments.text.mandarin.pinyin import Syllable, syllable, words

SIGNS = {",": ",", "(": ",", ")": ",", ";": ";", ":": ";", "—": "—", "…": "…", ".": ".", "?": "?", "!": "!"}
SILENT = frozenset(" “”\"'")
TONES = {"→": 1, "↗": 2, "↓": 3, "↘": 4}  # none: the neutral tone
_LETTERS = frozenset(CONSONANTS + VOWELS + STRESS + "ɐT")

# misaki's IPA of initials, and of finals before and after the tone mark
_INITIALS: dict[str, str] = {}
_PAIRS = "b=p c=ʦʰ ch=ꭧʰ d=t f=f g=k h=x j=ʨ k=kʰ l=l m=m n=n p=pʰ q=ʨʰ r=ɻ s=s sh=ʂ t=tʰ x=ɕ z=ʦ zh=ꭧ"
for _pair in _PAIRS.split():
    _name, _sounds = _pair.split("=")
    _INITIALS[_name] = _sounds
_FINALS: dict[str, list[tuple[str, str]]] = {}
for _pair in (
    "a=a| o=wo| o=ɔ| o=jɔ| e=ɤ| eh=ɛ| ih=ɨ| iw=ɨ| ai=ai| ei=ei| ao=au| ou=ou| an=a|n en=ə|n en=ŋ| en=n| en=m| "
    "ang=a|ŋ eng=ə|ŋ ong=ʊ|ŋ er=ɚ| i=i| ia=ja| ie=je| iao=jau| iou=jou| ian=jɛ|n in=i|n iang=ja|ŋ ing=i|ŋ iong=jʊ|ŋ "
    "u=u| ua=wa| uo=wo| uai=wai| uei=wei| uan=wa|n uen=wə|n uang=wa|ŋ ueng=wə|ŋ v=y| ve=ɥe| van=ɥɛ|n vn=y|n"
).split():
    _name, _sounds = _pair.split("=")
    _before, _after = _sounds.split("|")
    _FINALS.setdefault(_name, []).append((_before, _after))

_ITEM = re.compile(r"[\u4e00-\u9fff]|[A-Za-z][A-Za-z'’^-]*(?:[ ,]+[A-Za-z][A-Za-z'’^-]*)*")
_HANZI = re.compile(r"[\u4e00-\u9fff]+")


@dataclass(frozen=True)
class Timed:
    symbol: str
    frames: int


@dataclass(frozen=True)
class Read:
    """A syllable as the teacher read it: its characters in the phonemes, from `start` to `stop`."""

    syllable: Syllable
    start: int
    stop: int

    @property
    def middle(self) -> int:
        """The first character of the final."""
        return self.start + len(_INITIALS.get(self.syllable.initial, ""))


def timed(phonemes: str, durations: list[int], text: str, language: str) -> list[Timed]:
    """The opening, phones and signs of an utterance with their frames, which sum to those of `durations`.

    Raises ValueError if the phonemes do not fit the text.
    """
    if len(durations) != len(phonemes) + 2:
        raise ValueError("another number of durations than phonemes")
    read = (
        {} if language == "en" else {one.start: one for one in spoken_tones(syllables(phonemes, text), text)}
    )
    made = [Timed(OPENING, durations[0])]
    at, held, mark = 0, 0, ""  # held: frames of a stress mark
    while at < len(phonemes):
        phoneme, frames = phonemes[at], durations[at + 1]
        if at in read:
            one = read[at]
            edges = [one.start, one.middle, one.stop][1 - bool(one.syllable.initial) :]
            for symbol, (a, b) in zip(one.syllable.phones, pairwise(edges), strict=True):
                made.append(Timed(symbol, sum(durations[a + 1 : b + 1])))
            at = one.stop
            continue
        if phoneme in STRESS:
            mark, held = phoneme, held + frames
        elif phoneme in SIGNS and made[-1].symbol not in SIGNS.values():
            made.append(Timed(SIGNS[phoneme], frames))
        elif phoneme in SILENT or phoneme in SIGNS:
            made[-1] = Timed(made[-1].symbol, made[-1].frames + frames)
        else:
            symbols = PHONE_SETS["stressed"].english(mark + phoneme)
            made += [Timed(symbol, frames + held) for symbol in symbols]
            mark, held = "", 0
        at += 1
    if made[-1].symbol not in SIGNS.values():
        made.append(Timed(".", 0))
    made[-1] = Timed(made[-1].symbol, made[-1].frames + held + durations[-1])
    if unknown := {one.symbol for one in made} - set(PHONE_SETS["stressed"].symbols):
        raise ValueError(f"unknown phones: {' '.join(sorted(unknown))}")
    return made


def syllables(phonemes: str, text: str) -> list[Read]:
    """The syllable of every Chinese character of the text, in order.

    Syllables are not separated in the phonemes, so the characters' readings decide where one ends. English words in the
    text may have any phonemes. Raises ValueError if no way fits.
    """
    items: list[str] = _ITEM.findall(text)
    came: dict[tuple[int, int], tuple[tuple[int, int], Read | None]] = {(0, 0): ((0, 0), None)}
    waiting: list[list[int]] = [
        [] for _ in range(len(phonemes) + 1)
    ]  # the items that may begin at a position
    waiting[0].append(0)

    def reach(at: int, item: int, back: tuple[int, int], read: Read | None = None) -> None:
        if (at, item) not in came:
            came[at, item] = back, read
            waiting[at].append(item)

    for at, phoneme in enumerate(phonemes):
        for item in waiting[at]:
            here = at, item
            if phoneme in SILENT or phoneme in SIGNS:
                reach(at + 1, item, here)
            if item == len(items):
                continue
            if len(items[item]) == 1 and _HANZI.match(items[item]):
                for one in _matches(phonemes, at, items[item]):
                    reach(one.stop, item + 1, here, one)
            elif phoneme in _LETTERS or phoneme in SILENT or phoneme in SIGNS:
                reach(at + 1, item + 1, here)  # the last sound of an English run
                reach(at + 1, item, here)
    here = len(phonemes), len(items)
    if here not in came:
        raise ValueError("the phonemes do not fit the characters")
    found = []
    while here != (0, 0):
        here, read = came[here]
        if read:
            found.append(read)
    return found[::-1]


def spoken_tones(read: list[Read], text: str) -> list[Read]:
    """The syllables with the tones of our frontend where both read a character alike."""
    ours: list[Syllable | None] = []
    for run in _HANZI.findall(text):
        own = [one for _, said in words(run) for one in said]
        ours += own if len(own) == len(run) else [None] * len(run)
    if len(ours) != len(read):
        return read
    made = []
    for one, own in zip(read, ours, strict=True):
        alike = own and (own.initial, own.final) == (one.syllable.initial, one.syllable.final)
        made.append(Read(own, one.start, one.stop) if alike and own else one)
    return made


def _matches(phonemes: str, at: int, character: str) -> list[Read]:
    """The readings of a character that stand at a position, with any tone; the longest first."""
    from pypinyin import Style, pinyin

    found = []
    for letters in pinyin(character, style=Style.NORMAL, heteronym=True, v_to_u=False)[0]:
        base = syllable(letters + "5")
        if base is None:
            continue
        for before, after in _FINALS[base.final]:
            head = _INITIALS.get(base.initial, "") + before
            stop = at + len(head)
            if not phonemes.startswith(head, at):
                continue
            tone = TONES.get(phonemes[stop : stop + 1], 5)
            stop += tone != 5
            if phonemes.startswith(after, stop):
                found.append(Read(base.toned(tone), at, stop + len(after)))
    return sorted(set(found), key=lambda one: -one.stop)
