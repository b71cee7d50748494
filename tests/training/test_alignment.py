"""The teacher's phonemes and durations as phones with times, and utterances cut at pauses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from training.next_voice import CODE_SAMPLES, HOP, PHONES, RATE
from training.pack import boundaries, longest_silence, pack, utterances
from training.shards import read
from training.teachers.alignment import Timed, syllables, timed


def symbols(phonemes: str, text: str, language: str) -> list[str]:
    made = timed(phonemes, [1] * (len(phonemes) + 2), text, language)
    assert sum(one.frames for one in made) == len(phonemes) + 2
    return [one.symbol for one in made]


def test_stress_belongs_to_its_vowel_and_a_space_to_what_precedes_it() -> None:
    made = timed("ʃi sˈW.", [5, 2, 3, 1, 2, 1, 3, 4, 2], "She saw.", "en")
    assert made == [
        Timed("^", 5),
        Timed("ʃ", 2),
        Timed("i", 4),
        Timed("s", 2),
        Timed("ˈW", 4),
        Timed(".", 6),
    ]


@pytest.mark.parametrize(
    ("phonemes", "expected"),
    [
        ("hˈO, hˈO!", "^ h ˈO , h ˈO !"),
        ("“hˈO?” hˈO", "^ h ˈO ? h ˈO ."),
        ("bˈɪTəɹ: ɐ kˈæt…", "^ b ˈɪ ɾ ə ɹ ; ə k ˈæ t …"),
    ],
)
def test_signs_name_their_pauses(phonemes: str, expected: str) -> None:
    assert symbols(phonemes, "", "en") == expected.split()


@pytest.mark.parametrize(
    ("text", "phonemes", "expected"),
    [
        ("西安离这里五公里。", "ɕi→a→n li↗ ꭧɤ↘li↓ u↓kʊ→ŋli↓.", "X I1 AN1 L I2 ZH E4 L I5 U3 G ONG1 L I3"),
        ("先进", "ɕjɛ→nʨi↘n", "X IAN1 J IN4"),
        ("你好", "ni↓xau↓", "N I2 H AO3"),  # the teacher's tones are those before sandhi
        ("一会儿", "i→xwei↘ɚ", "I2 H UEI4 ER5"),
        ("他在 schedule 上班", "tʰa→ ʦai↘ skˈɛʤˌul ʂa↘ŋpa→n", "T A1 Z AI4 s k ˈɛ ʤ ˌu l SH ANG4 B AN1"),
    ],
)
def test_mandarin_syllables_are_found_by_the_characters_readings(
    text: str, phonemes: str, expected: str
) -> None:
    assert symbols(phonemes, text, "zh")[1:-1] == expected.split()


def test_phonemes_of_another_text_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        syllables("ni↓xau↓", "再见")
    with pytest.raises(ValueError, match="durations"):
        timed("hˈO", [1], "Ho", "en")
    with pytest.raises(ValueError, match="unknown phones"):
        timed("h9", [1] * 4, "Ho", "en")


def spoken(*parts: tuple[float, bool]) -> np.ndarray:
    """A hum with silences: (seconds, whether it sounds)."""
    seconds = sum(length for length, _ in parts)
    hum = 0.1 * np.sin(2 * np.pi * 200 * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)
    at = 0.0
    for length, sounds in parts:
        if not sounds:
            hum[round(at * RATE) : round((at + length) * RATE)] = 0
        at += length
    return hum


# the teacher counts most of a pause as the phone before it
ENTRY = {
    "phonemes": "hˈO. hˈO!",
    "durations": [8, 4, 4, 28, 4, 4, 4, 4, 20, 8, 4],
    "text": "Ho. Ho!",
    "language": "en",
    "speaker": "ann",
    "speed": 1.1,
}
SOUND = spoken((0.2, False), (0.5, True), (0.5, False), (0.5, True), (0.6, False))


def test_pauses_are_measured() -> None:
    assert longest_silence(np.array([1, 0, 0, 1, 0, 0, 0, 1], bool)) == (4, 7)
    tokens = timed(ENTRY["phonemes"], ENTRY["durations"], ENTRY["text"], "en")
    edges = boundaries(tokens, np.abs(SOUND[: len(SOUND) // HOP * HOP].reshape(-1, HOP)).max(1) > 0.01)
    assert [one.symbol for one in tokens] == ["^", "h", "ˈO", ".", "h", "ˈO", "!"]
    assert edges[3] == pytest.approx([0.7, 1.2], abs=0.02)
    assert edges[2, 1] == edges[3, 0] and edges[4, 0] == edges[3, 1]


def test_an_utterance_is_cut_at_the_pauses_that_end_a_segment() -> None:
    first, second = utterances(ENTRY, SOUND, np.full(184, 200.0))
    assert [PHONES.symbols[i] for i in first.phones] == ["^", "h", "ˈO", "."]
    assert [PHONES.symbols[i] for i in second.phones] == ["^", "h", "ˈO", "!"]
    for one in (first, second):
        assert len(one.waveform) / RATE == pytest.approx(0.04 + 0.5 + 0.12, abs=0.08)
        assert one.ends[0] == pytest.approx(0.04, abs=0.04) and one.ends[-1] == len(one.waveform) / RATE
        assert np.sqrt(np.mean(one.waveform**2)) == pytest.approx(0.08, rel=0.01)
        assert len(one.f0) == len(one.waveform) // HOP and np.median(one.f0) == 200
        assert one.pace == 1.1
    quick = spoken((0.2, False), (0.75, True), (0.1, False), (0.65, True), (0.6, False))
    (whole,) = utterances(ENTRY, quick, np.full(184, 200.0))
    assert [PHONES.symbols[i] for i in whole.phones] == ["^", "h", "ˈO", ".", "h", "ˈO", "!"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two good lines, one with wrong durations and one that was dropped."""
    folder = tmp_path / "natural"
    for part in ("audio/000", "curves/000"):
        (folder / part).mkdir(parents=True)
    rows = [{"number": 1, "dropped": "silent"}]
    for number in (0, 2, 3):
        soundfile.write(folder / f"audio/000/{number:06d}.flac", SOUND, RATE)
        np.save(folder / f"curves/000/{number:06d}.npy", np.full((2, 184), 200, np.float16))
        rows.append(ENTRY | {"number": number, "file": f"audio/000/{number:06d}.flac"})
    rows[-1] = rows[-1] | {"durations": [1]}
    (folder / "index-0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_corpus_is_packed_and_bad_lines_are_left_out(corpus: Path, tmp_path: Path, capsys) -> None:
    pack(corpus, tmp_path / "packed", 58)
    assert "another number of durations" in capsys.readouterr().out
    (shard,) = (tmp_path / "packed").glob("*.safetensors")
    assert [one.text for one, _ in read(shard)] == ["Ho. Ho!"] * 4


def test_processes_share_the_lines_and_flac_keeps_every_sample(corpus: Path, tmp_path: Path) -> None:
    pack(corpus, tmp_path / "packed", 58, workers=2, lossless=True)
    shards = sorted((tmp_path / "packed").glob("*.safetensors"))
    assert [shard.name for shard in shards] == ["shard-0-000.safetensors", "shard-1-000.safetensors"]
    whole, _ = soundfile.read(corpus / "audio/000/000000.flac", dtype="float32")
    kept = utterances(ENTRY, whole, np.full(184, 200.0))
    for shard in shards:
        for (_, sound), own in zip(read(shard), kept, strict=True):
            assert np.abs(sound / 32768 - own.waveform).max() < 1.01 / 32768


def test_a_corpus_of_another_rate_is_resampled(corpus: Path, tmp_path: Path) -> None:
    for path in corpus.glob("audio/000/*.flac"):
        soundfile.write(path, soxr.resample(SOUND, RATE, 2 * RATE), 2 * RATE)
    pack(corpus, tmp_path / "packed", 58, lossless=True)
    (shard,) = (tmp_path / "packed").glob("*.safetensors")
    kept = utterances(ENTRY, SOUND, np.full(184, 200.0))
    for (one, sound), own in zip(read(shard), [*kept, *kept], strict=True):
        assert abs(len(sound) - len(own.waveform)) <= CODE_SAMPLES
        assert np.abs(one.ends - own.ends).max() < 0.03
