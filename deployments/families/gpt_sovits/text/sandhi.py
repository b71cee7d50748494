"""Tone sandhi of Mandarin as the published weights learnt it: the words are regrouped, then each word's tones change.

Source: the published rules (those of PaddleSpeech) for 不, 一, neutral and third tones, and for 儿. The word lists are
this project's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deployments.text.mandarin.pinyin import Syllable
from deployments.text.mandarin.readings import NEUTRAL, jieba

MARKS = frozenset("!?…,.-")

_PARTICLES = frozenset("吧呢啊呐噻嘛吖嗨哦哒滴哩哟喽啰耶喔诶的地得")
_COUNTING = frozenset("几有两半多各整每做是")
_WAYS = frozenset("上下进出回过起开")
_NEVER_NEUTRAL = frozenset(  # though doubled, or with 子 at the end
    "男子 女子 分子 原子 量子 莲子 石子 瓜子 电子 人人 虎虎 幺幺 干嘛 学子 哈哈 数数 袅袅 局地 以下 花花草草 留得 耕地 "
    "想想 熙熙 攘攘 卵子 死死 冉冉 恳恳 佼佼 吵吵 打打 考考 整整 莘莘 落地 算子 家家户户 青青".split()
)
_FULL_TONES = frozenset(
    "知道 记得 觉得 晓得 懂得 值得 显得 使得 舍得".split()
)  # with their tones in the training data
_NEUTRAL_WORDS = NEUTRAL - _FULL_TONES
# 儿 that is a syllable of its own: "child" or "young", and in short names of animals and plants
_CHILD_AFTER = frozenset("女男婴幼孤少患孩健血混宠弃育妻侄孙乞聋生产胎护救替一我俺花虫马鸟猪猫狗")
_ROLLED = frozenset("小院儿 胡同儿 媳妇儿 撒欢儿 老汉儿 范儿".split())


@dataclass(frozen=True, slots=True)
class Tagged:
    """A word and its part of speech, as jieba names it."""

    text: str
    kind: str


def regrouped(words: list[Tagged], tones_of: Callable[[str], list[int]]) -> list[Tagged]:
    """Joins the words whose tones change together. tones_of: the tones of a word before any change."""
    words = _joined(words, lambda last, word: last.text == "不" and word.text not in MARKS)
    words = _with_yi(words)
    words = _joined(words, lambda last, word: last.text == word.text and word.text not in MARKS)

    def thirds(text: str) -> list[bool]:
        return [tone == 3 for tone in tones_of(text)]

    def both_third(last: Tagged, word: Tagged) -> bool:
        return all(thirds(last.text)) and all(thirds(word.text))

    def meet_third(last: Tagged, word: Tagged) -> bool:
        return thirds(last.text)[-1] and thirds(word.text)[0]

    for meet in (both_third, meet_third):
        words = _joined_once(words, lambda last, word, meet=meet: _short(last, word) and meet(last, word))
    return _joined(words, lambda last, word: word.text == "儿" and last.text not in MARKS)


def changed(word: Tagged, syllables: list[Syllable]) -> list[Syllable]:
    """The spoken tones of a word. syllables: one for each character."""
    tones = [one.tone for one in syllables]
    for change in (_bu, _yi, _neutral, _thirds):
        tones = change(word, tones)
    return [one.toned(tone) for one, tone in zip(syllables, tones, strict=True)]


def rolled(word: Tagged, syllables: list[Syllable]) -> list[Syllable]:
    """A 儿 at the end that only colours the syllable before it takes that syllable's tone; another is er2."""
    if len(syllables) < 2 or word.text[-1] != "儿" or syllables[-1].final != "er":
        return syllables
    *rest, last = syllables
    last = last.toned(2) if last.tone == 1 else last
    apart = word.text[-2] in _CHILD_AFTER or word.kind in ("a", "j", "nr")
    if word.text not in _ROLLED and apart:
        return [*rest, last]
    return [*rest, last.toned(rest[-1].tone) if last.tone in (2, 5) else last]


def _joined(words: list[Tagged], belongs: Callable[[Tagged, Tagged], bool]) -> list[Tagged]:
    """Each word joined to the one before it if `belongs(before, word)`."""
    found: list[Tagged] = []
    for word in words:
        if found and belongs(found[-1], word):
            last = found.pop()
            kind = word.kind if last.text == "不" else last.kind
            word = Tagged(last.text + word.text, kind)
        found.append(word)
    return found


def _joined_once(words: list[Tagged], belongs: Callable[[Tagged, Tagged], bool]) -> list[Tagged]:
    """As `_joined`, but a word that was joined already takes no further one."""
    found: list[Tagged] = []
    free = False
    for word in words:
        if free and belongs(found[-1], word):
            found[-1], free = Tagged(found[-1].text + word.text, found[-1].kind), False
        else:
            found.append(word)
            free = True
    return found


def _with_yi(words: list[Tagged]) -> list[Tagged]:
    """看 一 看 becomes one word; another 一 joins the word behind it."""
    found: list[Tagged] = []
    at = 0
    while at < len(words):
        word, around = words[at], words[at : at + 3]
        if len(around) == 3 and around[1].text == "一" and word.text == around[2].text and word.kind == "v":
            found.append(Tagged(f"{word.text}一{word.text}", word.kind))
            at += 3
        elif word.text == "一" and len(around) > 1 and around[1].text not in MARKS:
            found.append(Tagged(word.text + around[1].text, around[1].kind))
            at += 2
        else:
            found.append(word)
            at += 1
    return found


def _short(last: Tagged, word: Tagged) -> bool:
    """Whether two words may share their third tones: three characters at most, the first word not a doubled one."""
    doubled = len(last.text) == 2 and last.text[0] == last.text[1]
    marks = last.text in MARKS or word.text in MARKS
    return not doubled and not marks and len(last.text) + len(word.text) <= 3


def _bu(word: Tagged, tones: list[int]) -> list[int]:
    text = word.text
    if len(text) == 3 and text[1] == "不":
        return [tones[0], 5, tones[2]]
    return [
        2 if character == "不" and tones[at + 1 : at + 2] == [4] else tones[at]
        for at, character in enumerate(text)
    ]


def _yi(word: Tagged, tones: list[int]) -> list[int]:
    text = word.text
    if "一" not in text or all(character.isnumeric() for character in text):
        return tones
    if len(text) == 3 and text[1] == "一" and text[0] == text[2]:
        return [tones[0], 5, tones[2]]
    if text.startswith("第一"):
        return [tones[0], 1, *tones[2:]]
    return [
        (2 if tones[at + 1] == 4 else 4) if character == "一" and at + 1 < len(text) else tones[at]
        for at, character in enumerate(text)
    ]


def _neutral(word: Tagged, tones: list[int]) -> list[int]:
    text, kind, found = word.text, word.kind, list(tones)
    if kind[:1] in ("n", "v", "a") and len(text) <= 3 and text not in _NEVER_NEUTRAL:
        for at in range(1, len(text)):
            found[at] = 5 if text[at] == text[at - 1] else found[at]
    counter = text.find("个")
    if _ends_neutral(text, kind):
        found[-1] = 5
    elif counter >= 1 and (text[counter - 1].isnumeric() or text[counter - 1] in _COUNTING) or text == "个":
        found[counter] = 5
    else:
        end = 0
        for part in _halves(text):
            end += len(part)
            if part in _NEUTRAL_WORDS or part[-2:] in _NEUTRAL_WORDS:
                found[end - 1] = 5
    return found


def _ends_neutral(text: str, kind: str) -> bool:
    last, long = text[-1], len(text) > 1
    return (
        last in _PARTICLES
        or (text in ("了", "着", "过") and kind in ("ul", "uz", "ug"))
        or (long and last in "们子" and kind in ("r", "n") and text not in _NEVER_NEUTRAL)
        or (long and last in "上下里" and kind in ("s", "l", "f"))
        or (long and last in "来去" and text[-2] in _WAYS)
        or text in _NEUTRAL_WORDS
        or text[-2:] in _NEUTRAL_WORDS
    )


def _thirds(word: Tagged, tones: list[int]) -> list[int]:
    text = word.text
    if len(text) == 2:
        return _pair(tones)
    if len(text) == 4:
        return _pair(tones[:2]) + _pair(tones[2:])
    if len(text) != 3:
        return tones
    cut = len(_halves(text)[0])
    if tones == [3, 3, 3]:
        return [2, 2, 3] if cut == 2 else [3, 2, 3]
    first, second = _pair(tones[:cut]), _pair(tones[cut:])
    if second and second != [3, 3] and second[0] == 3 and first[-1] == 3:
        first[-1] = 2
    return first + second


def _pair(tones: list[int]) -> list[int]:
    return [2, 3] if tones == [3, 3] else list(tones)


def _halves(text: str) -> list[str]:
    """The shortest word inside `text` and the rest of it, in order."""
    if len(text) < 2:
        return [text]
    shortest = min(jieba().cut_for_search(text), key=len)
    at = text.find(shortest)
    halves = [shortest, text[len(shortest) :]] if at == 0 else [text[: -len(shortest)], shortest]
    return [half for half in halves if half]
