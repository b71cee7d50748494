"""Make the frontend's word lists from flite, and measure the frontend against flite.

    python -m training.lexicon --build               writes lexicon.txt.gz and letters.txt.gz
    python -m training.lexicon --evaluate            letter-to-sound on held-out words
    python -m training.lexicon --compare FILE        phone error rate against flite, one sentence per line

The words come from a word list (Debian's wamerican by default), flite's own lexicon, and contractions. Their phones
are flite's and derive from the CMU Pronouncing Dictionary: see LICENSE-lexicon.txt next to the files.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import random
import re
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

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
from deployments.text.english.lexicon import LEXICON_FILE, encode, save_lexicon
from deployments.text.english.pronounce import Pronouncer

Phones = tuple[str, ...]
DICTIONARY = Path("/usr/share/dict/words")
VERB, ADJECTIVE = "v", "j"
UNLIKE_FLITE = {  # flite drops some apostrophes and finds another word; others it does not know well
    "we're": "w ih r",
    "we'll": "w iy l",
    "i'll": "ay l",
    "he'll": "hh iy l",
    "she'll": "sh iy l",
    "you'll": "y uw l",
    "they'll": "dh ey l",
    "they're": "dh eh r",
    "you're": "y ao r",
    "who're": "hh uw er",
    "what're": "w ah t er",
    "it'll": "ih t ax l",
    "hmm": "hh ax m",
    "mm": "ax m",
    "mmm": "ax m",
    "shh": "sh ax",
    "ugh": "ah g",
    "brr": "b er",
    "psst": "p ih s t",
    "tsk": "t ih s k",
    "nth": "eh n th",
    "online": "aa n l ay n",
    "app": "ae p",
    "apps": "ae p s",
    "blog": "b l aa g",
    "emoji": "ih m ow jh iy",
    "wifi": "w ay f ay",
    "hertz": "hh er t s",
    "missus": "m ih s ih z",
    "gigabyte": "g ih g ax b ay t",
    "gigabytes": "g ih g ax b ay t s",
    "gigabit": "g ih g ax b ih t",
    "kilobit": "k ih l ax b ih t",
    "gigahertz": "g ih g ax hh er t s",
    "kilojoule": "k ih l ax jh uw l",
    "milliamp": "m ih l iy ae m p",
    "nanometer": "n ae n ow m iy t er",
    "nanosecond": "n ae n ow s eh k ax n d",
    "jeon": "jh ah n",
    "webpage": "w eh b p ey jh",
    "livestream": "l ay v s t r iy m",
    "javascript": "jh aa v ax s k r ih p t",
    "github": "g ih t hh ah b",
    "blockchain": "b l aa k ch ey n",
    "linux": "l ih n ax k s",
    "nvidia": "eh n v ih d iy ax",
    "pytorch": "p ay t ao r ch",
    "tensorflow": "t eh n s er f l ow",
    "ransomware": "r ae n s ax m w eh r",
    "ubuntu": "uw b uh n t uw",
    "celsius": "s eh l s iy ax s",
}
CONTRACTIONS = """
don't doesn't didn't won't wouldn't can't couldn't shouldn't isn't aren't wasn't weren't hasn't haven't
hadn't mustn't
needn't mightn't shan't ain't oughtn't i'm i've i'd you've you'd he's he'd she's she'd it's it'd we've we'd
they've they'd
that's that'll that'd there's there'd there'll here's who's who'd who'll who've what's what'd what'll
where's where'd
when's why's how's how'd let's o'clock y'all ma'am could've should've would've might've must've not've
""".split()


class Flite:
    """flite's lexicon, through its shared libraries."""

    def __init__(self) -> None:
        self._flite = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL("libflite_usenglish.so.1", mode=ctypes.RTLD_GLOBAL)
        self._cmulex = ctypes.CDLL("libflite_cmulex.so.1", mode=ctypes.RTLD_GLOBAL)
        self._flite.flite_init()
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        signatures = {
            "lex_lookup": (pointer, [pointer, text, text, pointer]),
            "val_car": (pointer, [pointer]),
            "val_cdr": (pointer, [pointer]),
            "val_string": (text, [pointer]),
            "delete_val_list": (None, [pointer]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(self._flite, name)
            function.restype, function.argtypes = result, arguments
        self._cmulex.cmu_lex_init.restype = pointer
        self._lexicon = self._cmulex.cmu_lex_init()

    def lookup(self, word: str, part_of_speech: str = "0") -> Phones:
        """The phones of a lower-case word without stress, from flite's letter rules if its lexicon lacks the word."""
        values = node = self._flite.lex_lookup(self._lexicon, word.encode(), part_of_speech.encode(), None)
        phones = []
        while node:
            phones.append(self._flite.val_string(self._flite.val_car(node)).decode().rstrip("012"))
            node = self._flite.val_cdr(node)
        if values:
            self._flite.delete_val_list(values)
        return tuple(phones)

    def own_words(self) -> dict[str, set[str]]:
        """The words of flite's lexicon with their parts of speech."""
        size = ctypes.c_int.in_dll(self._cmulex, "cmu_lex_num_bytes").value
        data = bytes((ctypes.c_ubyte * size).in_dll(self._cmulex, "cmu_lex_data"))
        table = (ctypes.c_char_p * 256).in_dll(self._cmulex, "cmu_lex_entries_huff_table")
        words: dict[str, set[str]] = defaultdict(set)
        for record in data.split(b"\0"):
            if b"\xff" in record:
                entry = b"".join(table[c] or b"" for c in record.split(b"\xff", 1)[1]).decode()
                words[entry[1:]].add(entry[0])
        return words


def say(text: str, voice: str = "rms") -> list[str]:
    """The phones that flite speaks for `text`."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", file.name]
        spoken = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [item.rsplit(":", 1)[0] for item in spoken.split()]


def collect(dictionary: Path) -> dict[str, Phones]:
    """Every entry of the lexicon."""
    flite = Flite()
    own = flite.own_words()
    words = {w.lower() for w in dictionary.read_text().split()} | own.keys()
    words = {w for w in words if re.fullmatch("[a-z]{2,40}", w)}
    entries = {w: phones for w in sorted(words) if (phones := flite.lookup(w))}
    for word, parts in own.items():
        for part in parts & {VERB, ADJECTIVE}:
            variant = flite.lookup(word, part)
            if word in entries and variant != entries[word]:
                entries[f"{word}/{part}"] = variant
    entries |= {"a": ("ax",), "i": ("ay",)}
    entries |= {letter.upper(): flite.lookup(letter) for letter in "bcdefghijklmnopqrstuvwxyz"}
    entries["A"] = ("ey",)
    entries |= {word: tuple(say(word + ".")[1:-1]) for word in CONTRACTIONS}
    entries |= {word: tuple(phones.split()) for word, phones in UNLIKE_FLITE.items()}
    return entries


# Letter-to-sound --------------------------------------------------------------------

Sound = tuple[str, ...]
Cost = Callable[[str, Sound], float]
VOWELS = frozenset("aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw".split())


def first_cost(letter: str, sound: Sound) -> float:
    """The initial cost: one phone per letter, vowels to vowels."""
    if not sound:
        return 1.0
    return 1.5 * (len(sound) - 1) + sum((phone in VOWELS) != (letter in "aeiouy") for phone in sound)


def align(word: str, phones: Phones, cost: Cost) -> list[Sound] | None:
    """The phones of each letter (zero to two) at the least cost; None if there are too many phones."""
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


def align_all(entries: Mapping[str, Phones], rounds: int = 4, sample: int = 12000) -> dict[str, list[Sound]]:
    """Estimates costs by hard expectation-maximisation on a sample of the words, then aligns all words."""
    some = random.Random(0).sample(sorted(entries), min(sample, len(entries)))
    cost: Cost = first_cost
    for _ in range(rounds):
        counts: dict[str, Counter[Sound]] = defaultdict(Counter)
        for word in some:
            for letter, sound in zip(word, align(word, entries[word], cost) or [], strict=False):
                counts[letter][sound] += 1
        logs = {
            letter: {sound: math.log(sum(found.values()) / n) for sound, n in found.items()}
            for letter, found in counts.items()
        }
        cost = lambda letter, sound, logs=logs: logs.get(letter, {}).get(sound, 12.0 + 2 * len(sound))  # noqa: E731
    return {word: sounds for word, phones in entries.items() if (sounds := align(word, phones, cost))}


def train_letters(aligned: Mapping[str, list[Sound]]) -> LetterModel:
    """The table of contexts. A longer one is kept only if it changes the decision of the shorter one."""
    common = Counter(encode(sound) for sounds in aligned.values() for sound in sounds)
    names = ["", *sorted(s for s, n in common.items() if s and n >= 3)]
    character = {s: sound_character(i) for i, s in enumerate(names)}
    counts: list[dict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(len(CONTEXT) + 1)]
    for word, sounds in aligned.items():
        signs = [character.get(encode(s), character[""]) for s in sounds]
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
            if not shorter or (table[shorter] != best and times > found[table[shorter]]):
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


def trainable(entries: Mapping[str, Phones]) -> dict[str, Phones]:
    return {word: phones for word, phones in entries.items() if re.fullmatch("[a-z]{2,}", word)}


def evaluate(entries: Mapping[str, Phones], aligned: Mapping[str, list[Sound]], share: float = 0.05) -> None:
    """Prints the error on words held out of the table and, for the whole frontend, out of the lexicon."""
    words = sorted(aligned)
    random.Random(1).shuffle(words)
    held = words[: int(len(words) * share)]
    model = train_letters({w: aligned[w] for w in words[len(held) :]})
    rest = {w: encode(p) for w, p in entries.items() if w not in set(held)}
    pronouncer = Pronouncer(rest, model)
    for name, guess in {"letters alone": model.phones, "with word parts": pronouncer.phones}.items():
        start = time.process_time()
        errors = [distance(guess(w), entries[w]) for w in held]
        spent = (time.process_time() - start) / len(held)
        total = sum(len(entries[w]) for w in held)
        right = sum(not e for e in errors) / len(held)
        rates = f"PER {sum(errors) / total:.2%}, words right {right:.1%}"
        print(f"{name}: {len(held)} words, {rates}, {spent * 1e6:.0f} µs a word")


# Against flite ----------------------------------------------------------------------


def compare(file: Path, limit: int, show: int) -> float:
    """Prints and returns the phone error rate of the frontend against flite over the sentences of `file`."""
    from deployments.families.small.frontend import phones_of

    sentences = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    sentences = random.Random(0).sample(sentences, min(limit, len(sentences)))
    errors = total = 0
    differing: Counter[str] = Counter()
    for sentence in sentences:
        want = say(sentence)
        got = [phone.rstrip("?!") for phone in phones_of(sentence)]
        wrong = distance(got, want)
        errors, total = errors + wrong, total + len(want)
        if wrong:
            differing[f"{sentence}\n  flite    {' '.join(want)}\n  frontend {' '.join(got)}"] = wrong
    for text, _ in differing.most_common(show):
        print(text)
    print(f"{len(sentences)} sentences, {total} phones, PER against flite {errors / total:.2%}")
    return errors / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dictionary", type=Path, default=DICTIONARY)
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--compare", type=Path, metavar="FILE")
    parser.add_argument("--limit", type=int, default=300, help="sentences to compare")
    parser.add_argument("--show", type=int, default=20, help="worst sentences to print")
    args = parser.parse_args()
    if args.build or args.evaluate:
        entries = collect(args.dictionary)
        aligned = align_all(trainable(entries))
        print(f"{len(entries)} entries, {len(aligned)} aligned")
        if args.build:
            save_lexicon(entries)
            train_letters(aligned).save()
            for path in (LEXICON_FILE, LETTERS_FILE):
                print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")
            print(f"{len(load_letters().table)} contexts")
        if args.evaluate:
            evaluate(entries, aligned)
    if args.compare:
        compare(args.compare, args.limit, args.show)


if __name__ == "__main__":
    main()
