"""Voice prompts in memory and on disk are found again, bounded, and ignored if damaged."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from deployments import families, prompts
from deployments.contract.device import Device
from deployments.contract.speech import Reference, VoicePrompt
from deployments.prompts import KeptPrompts, PromptCache, PromptStore, fingerprint

CPU = Device(torch.device("cpu"), "cpu", "a CPU", torch.float32)


def prompt(number: int, size: int = 4) -> VoicePrompt:
    return VoicePrompt.of("small", {"x": np.full(size, number, np.float32)})


def store(root: Path, most: int = 100, most_bytes: int = 10**6, name: str = "one") -> PromptStore:
    return PromptStore(root, "small", name, most, most_bytes)


def file_of(root: Path) -> Path:
    (path,) = root.rglob("*.safetensors")
    return path


def test_the_least_recently_used_prompt_is_evicted_first():
    cache = PromptCache(2)
    for number in (1, 2):
        cache[str(number)] = prompt(number)
    assert cache.get("1") is not None
    assert cache.nbytes == 2 * 16, "which is not a use of them"
    cache["3"] = prompt(3)
    assert "2" not in cache
    assert "1" in cache and "3" in cache
    nothing = PromptCache(0)
    nothing["a"] = prompt(1)
    assert nothing.get("a") is None


def test_the_key_depends_on_every_input():
    wave = np.zeros(10, np.float32)
    references = [
        Reference.of(wave, 16000),
        Reference.of(wave, 16000, ""),
        Reference.of(wave, 16000, "None"),
        Reference.of(wave, 16000, None, "en"),
        Reference.of(wave, 16000, "en", None),
        Reference.of(wave, 24000),
        Reference.of(wave[:9], 16000),
        Reference(((wave, 16000), (wave, 16000))),
        Reference(((wave[:4], 16000), (wave[4:], 16000))),
        Reference(((wave[:6], 16000), (wave[6:], 16000))),
    ]
    assert len({reference.key for reference in references}) == len(references)
    assert Reference.of(wave[::2], 16000).key == Reference.of(wave[::2].copy(), 16000).key


def test_a_prompt_on_disk_serves_only_the_encoder_that_made_it(tmp_path):
    store(tmp_path).put("k", prompt(1))
    found = store(tmp_path).get("k")
    assert found is not None and found.key == prompt(1).key
    np.testing.assert_array_equal(found.tensors["x"], prompt(1).tensors["x"])
    assert store(tmp_path, name="other").get("k") is None
    assert store(tmp_path).get("unknown") is None
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["k.safetensors"]


def changed(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        changed,
        lambda data: data + b"more",
        lambda data: pickle.dumps(prompt(1)),
        lambda data: save({"x": np.ones(4, np.float32)}),
        lambda data: VoicePrompt.of("indextts", {"x": np.ones(4, np.float32)}).to_bytes(),
        lambda data: b"\xff" * 4096,
    ],
)
def test_a_damaged_or_foreign_file_is_ignored_and_replaced(tmp_path, damage):
    kept = store(tmp_path)
    kept.put("k", prompt(1))
    path = file_of(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert kept.get("k") is None
    kept.put("k", prompt(1))
    found = kept.get("k")
    assert found is not None and found.key == prompt(1).key


@pytest.mark.parametrize("what", ["a pipe", "a link", "a folder", "huge"])
def test_links_pipes_and_folders_in_place_of_a_file_are_not_opened(tmp_path, what):
    kept = store(tmp_path)
    kept.put("k", prompt(1))
    path, elsewhere = file_of(tmp_path), tmp_path / "elsewhere"
    path.rename(elsewhere)
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a link":
        path.symlink_to(elsewhere)
    elif what == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"x")
        os.truncate(path, 2**40)
    assert kept.get("k") is None
    kept.put("k", prompt(1))
    assert what == "a folder" or kept.get("k") is not None


def test_number_and_bytes_are_bounded_by_evicting_the_least_recently_used(tmp_path):
    few = store(tmp_path, most=2)
    for age, key in enumerate("ab"):
        few.put(key, prompt(age))
        os.utime(tmp_path / "one" / f"{key}.safetensors", (age + 1.0, age + 1.0))
    assert few.get("a") is not None  # used just now
    few.put("c", prompt(3))
    assert few.get("b") is None
    assert few.get("a") is not None and few.get("c") is not None

    size = few.nbytes // 2
    tight = store(tmp_path, most_bytes=int(1.5 * size), name="two")
    tight.put("d", prompt(4))
    assert tight.get("d") is not None, "the newest prompt stays, even among those of other encoders"
    assert (tight.entries, few.get("a"), few.get("c")) == (1, None, None)
    assert tight.nbytes <= 1.5 * size

    none = store(tmp_path, most=0, name="two")
    none.put("e", prompt(5))
    assert none.get("e") is None and none.get("d") is None
    assert tight.get("d") is not None and tight.get("e") is None, "other owners' prompts stay"


def test_files_are_counted_only_when_the_store_is_full(tmp_path, monkeypatch):
    counts = []
    walk = prompts._files
    kept = store(tmp_path, most=20)
    monkeypatch.setattr(prompts, "_files", lambda *where: counts.append(where) or walk(*where))
    for number in range(20):
        kept.put(f"{number}", prompt(number))
    kept.put("0", prompt(0))  # again
    assert not counts and kept.entries == len(kept_under(tmp_path)) == 20
    kept.put("one too many", prompt(20))
    assert counts and kept.entries == len(kept_under(tmp_path)) == 18
    assert kept.nbytes == sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    counts.clear()
    kept.put("next", prompt(21))
    assert not counts and kept.entries == 19


def test_files_of_other_processes_are_counted_after_a_while(tmp_path, monkeypatch):
    kept, other = store(tmp_path, most=4), store(tmp_path, most=4, name="two")
    for number in range(3):
        kept.put(f"{number}", prompt(number))
        other.put(f"{number}", prompt(number))
    assert (kept.entries, len(kept_under(tmp_path))) == (3, 6)
    monkeypatch.setattr(prompts, "RECOUNT_S", -1.0)
    kept.put("2", prompt(2))
    assert kept.entries == len(kept_under(tmp_path)) == 4


def test_partial_files_of_a_dead_process_are_removed(tmp_path):
    kept = store(tmp_path)
    kept.put("k", prompt(1))
    old, young = (tmp_path / "one" / f"{name}.draft" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 600,) * 2)
    (tmp_path / "notes.txt").write_text("somebody's")
    store(tmp_path).put("l", prompt(2))
    assert not old.exists() and young.exists()
    assert (tmp_path / "notes.txt").exists()


def test_a_failing_disk_costs_only_the_encoding(tmp_path):
    (tmp_path / "file").write_text("no folder can be here")
    kept = store(tmp_path / "file")
    kept.put("k", prompt(1))
    assert kept.get("k") is None


def test_the_fingerprint_depends_on_everything_that_determines_a_prompt(tmp_path):
    weights = Path(shutil.copytree(families.load("small").folder, tmp_path / "weights"))
    options = {"weights": str(weights)}
    family = families.load("small", options)
    name = fingerprint(family, options, CPU)
    assert name == fingerprint(families.load("small", options), dict(options), CPU)
    half = Device(torch.device("cpu"), "cpu", "a CPU", dtype=torch.bfloat16)
    others = {
        fingerprint(family, {**options, "mode": "x"}, CPU),
        fingerprint(family, options, half),
        fingerprint(family, options, Device(torch.device("cpu"), "cuda", "a card", torch.float32)),
    }
    os.utime(weights / "small.safetensors", (1.0, 1.0))
    others.add(fingerprint(family, options, CPU))
    assert len(others | {name}) == 5


def kept_under(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.safetensors"))


def test_forgetting_a_voice_removes_the_prompts_of_every_encoder(tmp_path):
    for name in ("one", "two"):
        for key in ("voice_a.1", "voice_a.2", "voice_ab.1", "1"):
            store(tmp_path, name=name).put(key, prompt(1))
    kept = store(tmp_path)
    kept.forget("voice_a")
    left = [f"{name}/{key}.safetensors" for name in ("one", "two") for key in ("1", "voice_ab.1")]
    assert kept_under(tmp_path) == left
    assert kept.entries == 4
    store(tmp_path, most=0).forget("voice_ab")
    assert kept_under(tmp_path) == ["one/1.safetensors", "two/1.safetensors"], (
        "also where nothing is kept any more"
    )
    prompts.forget(tmp_path / "nothing", "voice_a")


def test_prompts_without_a_voice_are_removed(tmp_path):
    kept = store(tmp_path)
    for key in ("clara.1", "voice_a.1", "voice_b.1", "1", "voice_new.1"):
        kept.put(key, prompt(1))
        if key not in ("voice_new.1", "1"):
            os.utime(tmp_path / "one" / f"{key}.safetensors", (time.time() - 600,) * 2)
    prompts.sweep(tmp_path, {"clara", "voice_a"})
    assert kept_under(tmp_path) == [f"one/{key}.1.safetensors" for key in ("clara", "voice_a", "voice_new")]


def test_only_the_owner_can_read_prompts_on_disk_including_old_ones(tmp_path):
    root = tmp_path / "prompts"
    (root / "one").mkdir(parents=True)
    (root / "one/k.safetensors").write_bytes(prompt(1).to_bytes())
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    store(root).put("l", prompt(2))
    assert {path.stat().st_mode & 0o777 for path in root.rglob("*.safetensors")} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (root, root / "one")} == {0o700}


async def test_only_kept_prompts_reach_the_disk_and_forgetting_also_clears_memory(tmp_path):
    runs = []

    async def encode(reference: Reference) -> VoicePrompt:
        runs.append(reference)
        return prompt(len(runs))

    reference = Reference.of(np.zeros(10, np.float32), 16000)
    kept = KeptPrompts(encode, 10, store(tmp_path))
    await kept.of(reference)
    assert kept_under(tmp_path) == [] and kept.status()["entries"] == 1
    first = await kept.of(reference, "voice_a")
    await kept.of(reference, "voice_b")
    assert len(kept_under(tmp_path)) == 2 and len(runs) == 3
    again = await KeptPrompts(encode, 10, store(tmp_path)).of(reference, "voice_a")
    assert again.key == first.key
    await kept.forget("voice_a")
    assert [path.split(".")[0] for path in kept_under(tmp_path)] == ["one/voice_b"]
    assert (kept.status()["entries"], kept.status()["disk_entries"]) == (2, 1)
    await kept.of(reference, "voice_b")
    assert len(runs) == 3
    await kept.of(reference, "voice_a")
    assert len(runs) == 4
