"""Trains the letter-to-sound table on the pronouncing lexicon.

    python -m training.letters               writes letters.txt.gz
    python -m training.letters --evaluate    phone error rate on a tenth of the words, held out

misaki is needed, as for `training.lexicon`.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from deployments.text.english.letters import (
    CONTEXT,
    EDGE,
    LETTERS_FILE,
    LetterModel,
    context_of,
    load_letters,
    pad,
    sound_character,
)
from deployments.text.english.lexicon import VOWELS
from deployments.text.english.pronounce import Pronouncer
from training.lexicon import entries, misaki_data

Sound = tuple[str, ...]  # phones, a stressed vowel with its mark
Cost = Callable[[str, Sound], float]
_PHONES = re.compile("[ˈˌ]?.")


def first_cost(letter: str, sound: Sound) -> float:
    """Before anything is known: one phone a letter, vowels to vowels."""
    if not sound:
        return 1.0
    return 1.5 * (len(sound) - 1) + sum((phone[-1] in VOWELS) != (letter in "aeiouy") for phone in sound)


def align(word: str, phones: Sound, cost: Cost) -> list[Sound] | None:
    """Which of `phones` each letter gives (none, one or two), at least cost; None if there are too many."""
    best, back = {0: 0.0}, []
    for index, letter in enumerate(word):
        left = len(word) - index - 1
        new: dict[int, float] = {}
        came: dict[int, int] = {}
        for done, total in best.items():
            for end in range(done, min(done + 2, len(phones)) + 1):
                if len(phones) - end > 2 * left:
                    continue
                sum_ = total + cost(letter, phones[done:end])
                if end not in new or sum_ < new[end]:
                    new[end], came[end] = sum_, done
        back.append(came)
        best = new
    if len(phones) not in best:
        return None
    sounds, end = [], len(phones)
    for came in reversed(back):
        sounds.append(phones[came[end] : end])
        end = came[end]
    return sounds[::-1]


def align_all(words: Mapping[str, Sound], rounds: int = 4, sample: int = 12000) -> dict[str, list[Sound]]:
    """Costs by hard expectation-maximisation on a sample of the words, then one pass over all."""
    some = random.Random(0).sample(sorted(words), min(sample, len(words)))
    cost: Cost = first_cost
    for _ in range(rounds):
        counts: dict[str, Counter[Sound]] = defaultdict(Counter)
        for word in some:
            for letter, sound in zip(word, align(word, words[word], cost) or [], strict=False):
                counts[letter][sound] += 1
        logs = {
            letter: {sound: math.log(sum(found.values()) / n) for sound, n in found.items()}
            for letter, found in counts.items()
        }
        cost = lambda letter, sound, logs=logs: logs.get(letter, {}).get(sound, 12.0 + 2 * len(sound))  # noqa: E731
    return {word: sounds for word, phones in words.items() if (sounds := align(word, phones, cost))}


def train(aligned: Mapping[str, list[Sound]], support: int = 1) -> LetterModel:
    """The table of contexts. A longer context is kept only where it changes what the shorter one decides.

    support: how many letters of the words must agree on a context's sound.
    """
    common = Counter("".join(sound) for sounds in aligned.values() for sound in sounds)
    names = ["", *sorted(s for s, n in common.items() if s and n >= 3)]
    character = {s: sound_character(i) for i, s in enumerate(names)}
    counts: list[dict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(len(CONTEXT) + 1)]
    for word, sounds in aligned.items():
        signs = [character.get("".join(s), character[""]) for s in sounds]
        history = [EDGE, EDGE, *signs]
        padded = pad(word)
        for index, sign in enumerate(signs):
            context = context_of(padded, index, history[: index + 2])
            for length in range(1, len(context) + 1):
                counts[length][context[:length]][sign] += 1
    table: dict[str, str] = {}
    for level in counts:
        for context, found in level.items():
            best, times = found.most_common(1)[0]
            shorter = context[:-1]
            while shorter and shorter not in table:
                shorter = shorter[:-1]
            if not shorter or (times >= support and table[shorter] != best and times > found[table[shorter]]):
                table[context] = best
    return LetterModel(names, table)


def distance(a: Iterable[str], b: Iterable[str]) -> int:
    """Edit distance."""
    b = list(b)
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def sounds_of(phones: str) -> Sound:
    return tuple(_PHONES.findall(phones))


def trainable(found: Mapping[str, str]) -> dict[str, Sound]:
    return {word: sounds_of(phones) for word, phones in found.items() if re.fullmatch("[a-z]{2,}", word)}


def evaluate(found: Mapping[str, str], aligned: Mapping[str, list[Sound]], support: int) -> None:
    """Prints the errors on a tenth of the words, held out of the table and of the lexicon."""
    words = sorted(aligned)
    random.Random(1).shuffle(words)
    held = words[: len(words) // 10]
    unseen = set(held)
    model = train({w: aligned[w] for w in words[len(held) :]}, support)
    print(f"{len(model.table)} contexts")
    pronouncer = Pronouncer({w: p for w, p in found.items() if w not in unseen}, model)
    for name, guess in {"letters alone": model.phones, "with word parts": pronouncer.phones}.items():
        start = time.process_time()
        guessed = {word: guess(word) for word in held}
        spent = (time.process_time() - start) / len(held)
        for what, kept in (("phones", re.compile("[ˈˌ]")), ("phones and stress", re.compile("$^"))):
            want = {word: sounds_of(kept.sub("", found[word])) for word in held}
            errors = [distance(sounds_of(kept.sub("", guessed[word])), want[word]) for word in held]
            rate = sum(errors) / sum(map(len, want.values()))
            right = sum(not e for e in errors) / len(held)
            print(f"{name}, {what}: {len(held)} words, PER {rate:.2%}, words right {right:.1%}")
        print(f"{name}: {spent * 1e6:.0f} µs a word")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--support", type=int, default=1)
    args = parser.parse_args()
    found = entries(misaki_data())
    aligned = align_all(trainable(found))
    print(f"{len(found)} entries, {len(aligned)} aligned")
    if args.evaluate:
        evaluate(found, aligned, args.support)
    else:
        train(aligned, args.support).save()
        size = LETTERS_FILE.stat().st_size / 1024
        print(f"{LETTERS_FILE.name}: {size:.0f} KiB, {len(load_letters().table)} contexts")


if __name__ == "__main__":
    main()
