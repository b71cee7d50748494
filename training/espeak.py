"""The Mandarin teacher: espeak-ng's shared library, which reports phone times. Only for making training data.

A process has one espeak. It reads pinyin syllables with the tones from our frontend.
"""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
import soxr

from deployments.text.mandarin.pinyin import Syllable
from deployments.text.phones import PAUSE
from training.teachers.classic import Said
from training.utterances import RATE

LANGUAGE = "cmn-latn-pinyin"
VARIANTS = (  # of espeak-ng's voices
    "f1 f2 f3 f4 f5 Andrea Annie linda belinda steph anika grandma "
    "m1 m2 m3 m4 m5 m6 m7 Michael David Lee Gene john max rob paul Diogo"
).split()
_END, _WORD, _PHONE = 0, 1, 7  # kinds of event
_RATE, _PITCH, _RANGE = 1, 3, 4  # parameters
_USUAL = {_RATE: 165, _PITCH: 50, _RANGE: 50}
_SYNCHRONOUS, _PHONE_EVENTS, _UTF8 = 2, 1, 1
_PAUSES = ("_:", "_", "_!", "_::")
_WRITTEN_ALONE = {
    "i": "yi", "in": "yin", "ing": "ying", "u": "wu", "v": "yu", "ve": "yue", "van": "yuan", "vn": "yun",
    **{final: "y" + final[1:] for final in ("ia", "ie", "iao", "iou", "ian", "iang", "iong")},
    **{final: "w" + final[1:] for final in ("ua", "uo", "uai", "uei", "uan", "uen", "uang", "ueng")},
}  # fmt: skip
_WRITTEN_BEHIND = {"iou": "iu", "uei": "ui", "uen": "un", "ih": "i", "iw": "i", "eh": "ê"}


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("text", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("name", _Name),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def written(one: Syllable) -> str:
    """A syllable as pinyin with its tone digit."""
    final = one.final
    if not one.initial:
        return f"{_WRITTEN_ALONE.get(final, final)}{one.tone}"
    final = _WRITTEN_BEHIND.get(final, final)
    if one.initial in ("j", "q", "x") and final.startswith("v"):
        final = "u" + final[1:]
    return f"{one.initial}{final}{one.tone}"


class Espeak:
    """Raises OSError if libespeak-ng is not installed."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONE_EVENTS)
        self._sound: list[np.ndarray] = []
        self._events: list[
            tuple[int, int, int, str]
        ] = []  # kind, place in the text, sample, name of the phone
        self._callback = _CALLBACK(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(
        self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        if count > 0 and samples:
            self._sound.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].kind != _END:
            event = events[index]
            name = event.name.text.decode(errors="replace")
            self._events.append((event.kind, event.text_position, event.sample, name))
            index += 1
        return 0

    def say(self, clauses: list[list[Syllable]], variant: str, pace: float = 1.0, pitch: float = 1.0) -> Said:
        """Speaks clauses with pauses in between. Raises ValueError if espeak speaks other syllables."""
        if self._library.espeak_SetVoiceByName(f"{LANGUAGE}+{variant}".encode()):
            raise ValueError(f"espeak-ng has no voice {variant}")
        for parameter, usual in _USUAL.items():
            factor = {_RATE: pace, _PITCH: pitch}.get(parameter, 1.0)
            self._library.espeak_SetParameter(parameter, round(usual * factor), 0)
        self._sound, self._events = [], []
        text = ", ".join(" ".join(map(written, clause)) for clause in clauses) + "."
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None)
        waveform = np.concatenate(self._sound).astype(np.float32) / 32768
        phones, starts = self._phones([one for clause in clauses for one in clause])
        ends = np.array([*starts[1:], len(waveform)]) / self.rate
        return Said(soxr.resample(waveform, self.rate, RATE), phones, ends)

    def _phones(self, spoken: list[Syllable]) -> tuple[list[str], list[int]]:
        """Our phones and their first samples, with a pause at each end."""
        words: list[list[tuple[str, int]]] = []  # the phones of each word that espeak reports
        last = 0  # the position of the last word, from 1; a surplus event without a position may follow at the end
        for kind, place, sample, name in self._events:
            if kind == _WORD and place > last:
                words.append([])
                last = place
            elif kind == _PHONE and words and name not in ("_|", ""):
                words[-1].append((name, sample))
        if len(words) != len(spoken):
            raise ValueError(f"{len(spoken)} syllables were requested, {len(words)} were spoken")
        phones, starts = [PAUSE], [0]
        for one, word in zip(spoken, words, strict=True):
            sounds = [(name, at) for name, at in word if name not in _PAUSES]
            if len(sounds) < len(one.phones):
                raise ValueError(f"{written(one)} was spoken as {[name for name, _ in sounds]}")
            for phone, (_, at) in zip(one.phones, sounds, strict=False):
                phones.append(phone)
                starts.append(at)
            if silence := next((at for name, at in word if name in _PAUSES), None):
                phones.append(PAUSE)
                starts.append(silence)
        if phones[-1] != PAUSE:
            raise ValueError("no pause at the end")
        return phones, starts


@cache
def espeak() -> Espeak:
    """The espeak of this process."""
    return Espeak()
