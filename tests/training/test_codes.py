"""A file of encoded utterances gives the GPT what the corpus gave it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training import codes
from training.encode import Encoded, stays
from training.next_voice import NEXT

CPU = torch.device("cpu")
STEPS, PHONES = (40, 70, 90), (9, 14, 20)


def rows(seed: int, names: list[str]) -> Encoded:
    make = np.random.default_rng(seed)
    pointers = [
        torch.from_numpy(np.sort(np.r_[0, make.integers(0, count, steps - 2), count - 1]))
        for steps, count in zip(STEPS, PHONES, strict=True)
    ]

    def padded(values: list[torch.Tensor]) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(values, batch_first=True).short()

    return Encoded(
        codes=padded([torch.from_numpy(make.integers(0, NEXT.n_codes, steps)) for steps in STEPS]),
        pointer=padded(pointers),
        stay=padded([stays(one) for one in pointers]),
        phones=padded([torch.from_numpy(make.integers(1, NEXT.n_phones, count)) for count in PHONES]),
        speaker=torch.from_numpy(make.normal(size=(len(STEPS), NEXT.speaker_dim))).float(),
        pace=torch.from_numpy(make.uniform(0.8, 1.25, len(STEPS))).float(),
        steps=np.array(STEPS),
        phones_of=np.array(PHONES),
        names=names,
        held=np.array([False, True, False]),
    )


def test_two_files_give_the_rows_of_both(tmp_path: Path) -> None:
    parts = [rows(1, ["a", "b", "c"]), rows(2, ["c", "d", "e"])]
    paths = [tmp_path / f"{seed}.npz" for seed in (1, 2)]
    for part, path in zip(parts, paths, strict=True):
        codes.store(part, path)
    found = codes.load(paths, CPU)
    for name in ("codes", "pointer", "stay", "phones", "pace"):
        assert torch.equal(getattr(found, name), torch.cat([getattr(part, name) for part in parts])), name
    for name in ("steps", "phones_of", "held"):
        assert np.array_equal(getattr(found, name), np.concatenate([getattr(part, name) for part in parts]))
    assert found.names == ["a", "b", "c", "c", "d", "e"]
    torch.testing.assert_close(found.speaker, torch.cat([p.speaker for p in parts]), atol=2e-3, rtol=2e-3)


def test_of_a_speaker_a_few_vectors_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "VECTORS", 2)
    part = rows(1, ["a", "a", "a"])
    codes.store(part, tmp_path / "a.npz")
    found = codes.load([tmp_path / "a.npz"], CPU).speaker
    torch.testing.assert_close(found, part.speaker[[0, 1, 0]], atol=2e-3, rtol=2e-3)


def test_a_file_of_other_phones_or_with_wrong_sizes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.npz"
    codes.store(rows(1, ["a", "b", "c"]), path)
    with np.load(path) as file:
        found = {name: file[name] for name in file.files}
    moved = found["spent"].copy()
    moved[[0, -1]] += np.array([1, -1]).astype(
        np.uint8
    )  # from the last utterance to the first: the sum is the same
    wrong = {
        "codes": [found["codes"][:-1], found["codes"] + np.int16(NEXT.n_codes), -1 - found["codes"]],
        "phones": [found["phones"][:-1], found["phones"] + np.int16(NEXT.n_phones)],
        "spent": [moved, found["spent"][:-1]],
        "pace": [found["pace"][:-1]],
        "held": [found["held"][:-1]],
        "lengths": [found["lengths"][:-1]],
    }
    for name, values in wrong.items():
        for value in values:
            np.savez(tmp_path / "wrong.npz", **(found | {name: value}))
            with pytest.raises(ValueError, match=r"wrong\.npz: its arrays do not fit"):
                codes.load([tmp_path / "wrong.npz"], CPU)
    monkeypatch.setattr(codes, "_NAMES", "a b")
    with pytest.raises(ValueError, match="another phone set"):
        codes.load([path], CPU)
