"""The baseline of the benchmark is the published order of work: joined chunks and whole requests of the golden set."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.published_gpt_sovits_cfm import (
    Item,
    PublishedCfm,
    PublishedDit,
    PublishedVoice,
    joined,
    pcm16,
)
from deployments.families.gpt_sovits.ap_bwe import ApBwe
from deployments.families.gpt_sovits.bigvgan import read_bigvgan
from deployments.families.gpt_sovits.cfm.features import Features
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS, OVERLAP
from deployments.families.gpt_sovits.cfm.mel import reference_mel
from deployments.families.gpt_sovits.cfm.sound import BigVganVocoder, HifiGanVocoder, MelVocoder
from deployments.families.gpt_sovits.hifigan import read_hifigan
from tests.families.gpt_sovits.cfm.parts import BIGVGAN, VERSIONS, GoldenSet

MEL_ATOL, SOUND_ATOL = 1e-3, 2e-4
TEXTS = {"今天天气真不错，我们一起去公园散步吧。": "zh1", "我喜欢用Python写代码，效率提高了50%。": "mix1"}
by_version = pytest.mark.parametrize("version", VERSIONS)


class Published:
    """What the tests share, made once for a version."""

    def __init__(self, whole_set: GoldenSet, version: str) -> None:
        self.set, self.version, self.layout = whole_set, version, LAYOUTS[version]
        self.net: Features = whole_set.features(version)
        self.dit = PublishedDit(whole_set.weights(version))
        cpu = torch.device("cpu")
        self.vocoder: MelVocoder = (
            BigVganVocoder(read_bigvgan(whole_set.bundle / BIGVGAN), cpu)
            if version == "v3"
            else HifiGanVocoder(read_hifigan(whole_set.bundle / "gsv-v4-pretrained/vocoder.pth"), cpu)
        )

    def cfm(self) -> PublishedCfm:
        """With the golden set's noise, from its first call on."""
        return PublishedCfm(self.net, self.dit, self.vocoder, self.set.noise)

    @cache  # noqa: B019
    def voice(self, name: str = "ref", mel: str = "") -> PublishedVoice:
        """mel: the recording of the mel, if it is another one."""
        waveform, rate = self.set.reference(mel or name)
        mono = waveform if waveform.dim() == 1 else waveform.mean(1)
        codes = self.set.spoken["prompt.codes"]
        if name == "ref_long":
            codes = self.set.tensors("joint")["ref_long.prompt_codes"]
        prompt = Item(codes, self.set.spoken["prompt.phones"])
        ge = self.set.speaker(self.version, name)
        mels = torch.from_numpy(reference_mel(mono.numpy(), rate, self.layout))
        return PublishedVoice.of(self.net, prompt, mels, ge)

    def item(self, *names: str, codes: int | None = None) -> Item:
        """Items one after the other. codes: only the first of them."""
        found = [
            torch.cat([self.set.spoken[f"t2s.{name}.{part}"] for name in names])
            for part in ("greedy_codes", "phones")
        ]
        return Item(found[0][:codes], found[1])


@pytest.fixture(scope="module")
def published(whole_set: GoldenSet) -> dict[str, Published]:
    with torch.inference_mode():
        return {version: Published(whole_set, version) for version in VERSIONS}


def close(found: Tensor, stored: Tensor, atol: float) -> None:
    torch.testing.assert_close(found, stored, rtol=0, atol=atol)


@by_version
def test_the_network_of_the_baseline_is_the_published_one(whole_set: GoldenSet, version: str) -> None:
    dit, stored = PublishedDit(whole_set.weights(version)), whole_set.tensors("cfm")
    features = whole_set.tensors("enc")[f"{version}.fea"].T
    prompt = torch.zeros(2, 48, 100)
    prompt[:, :20] = stored[f"{version}.net.prompt"].T
    text = dit.text(torch.stack([features[:48], features[40:88]]))
    mel = torch.stack([whole_set.noise(0, row, 48) for row in (0, 1)])
    found = dit.velocity(mel, prompt, text, 0.375, dit.embedded("d", 0.125))
    close(found.transpose(1, 2), stored[f"{version}.net.v"], 3e-5)


def test_pieces_are_joined_where_they_are_most_alike(whole_set: GoldenSet) -> None:
    stored = whole_set.tensors("joint")
    found, offsets = joined(list(stored["sola.in"]), 400)
    close(found, stored["sola.out"], SOUND_ATOL)
    assert offsets == [110, 90]


@by_version
def test_one_chunk_after_another(published: dict[str, Published], whole_set: GoldenSet, version: str) -> None:
    given, stored = published[version], whole_set.tensors("joint")
    facts, cfm = whole_set.facts("joint")[f"{version}.serial"], given.cfm()
    voice, name = given.voice("ref_long"), f"{version}.serial"
    mel = cfm.serial_mel(cfm.features(given.item("zh1", "en1", "mix1"), voice), voice, facts["sample_steps"])
    assert (len(mel), cfm.calls) == (facts["mel_frames"], len(facts["calls"]))
    seam, rate = facts["seam_frame"], given.layout.frame_samples
    close(mel[:12].T, stored[f"{name}.mel_head"], MEL_ATOL)
    close(mel[seam - 12 : seam + 12].T, stored[f"{name}.mel_seam"], MEL_ATOL)
    close(mel[-12:].T, stored[f"{name}.mel_tail"], MEL_ATOL)
    sound = given.vocoder(mel[None])[0]
    assert len(sound) == facts["samples"]
    close(sound[:1024], stored[f"{name}.audio_head"], SOUND_ATOL)
    close(sound[seam * rate - 1024 : seam * rate + 1024], stored[f"{name}.audio_seam"], SOUND_ATOL)
    close(sound[-1024:], stored[f"{name}.audio_tail"], SOUND_ATOL)


@by_version
def test_one_chunk_after_another_with_a_short_reference(
    published: dict[str, Published], whole_set: GoldenSet, version: str
) -> None:
    given, stored = published[version], whole_set.tensors("joint")
    name = f"{version}.serial_short_ref"
    facts, cfm, voice = whole_set.facts("joint")[name], given.cfm(), given.voice()
    features = cfm.features(given.item("zh1", "en1", "mix1", "zh1"), voice)
    mel = cfm.serial_mel(features, voice, facts["sample_steps"])
    seam, rate = facts["seam_frame"], given.layout.frame_samples
    assert len(mel) == facts["mel_frames"]
    close(mel[seam - 8 : seam + 8].T, stored[f"{name}.mel_seam"], MEL_ATOL)
    sound = given.vocoder(mel[None])[0]
    close(sound[seam * rate - 512 : seam * rate + 512], stored[f"{name}.audio_seam"], SOUND_ATOL)


@by_version
def test_all_items_at_once(published: dict[str, Published], whole_set: GoldenSet, version: str) -> None:
    given, stored, name = published[version], whole_set.tensors("joint"), f"{version}.parallel"
    facts, cfm, voice = whole_set.facts("joint")[name], given.cfm(), given.voice("ref_long")
    features = [cfm.features(given.item(item), voice) for item in ("zh1", "en1", "mix1")]
    assert [len(own) for own in features] == facts["feat_frames"]
    mel, size, padding = cfm.parallel_mel(features, voice, facts["sample_steps"])
    assert (size, padding, len(mel) // size) == (facts["chunk_len"], facts["last_chunk_pad"], facts["chunks"])
    close(mel[:24].T, stored[f"{name}.mel_head"], MEL_ATOL)
    close(mel[size - 12 : size + 12].T, stored[f"{name}.mel_seam"], MEL_ATOL)
    rate = given.layout.frame_samples
    sound, at, overlap = given.vocoder(mel[None])[0], size * rate, OVERLAP * rate
    close(sound[at - 1024 : at + 1024], stored[f"{name}.voc_seam"], SOUND_ATOL)
    whole, offsets = joined(sound.split(at), overlap)
    assert (offsets, len(whole)) == (facts["sola_offsets"], facts["joined_samples"])
    close(whole[at - overlap - 512 : at + 512], stored[f"{name}.joined_seam"], SOUND_ATOL)
    items = cfm.dealt(sound, [len(own) for own in features], size, padding)
    assert [len(item) for item in items] == facts["item_samples"]
    for item, key in zip(items, ("zh1", "en1", "mix1"), strict=True):
        close(item[:1024], stored[f"{name}.{key}_head"], SOUND_ATOL)
        close(item[-1024:], stored[f"{name}.{key}_tail"], SOUND_ATOL)


@by_version
def test_a_last_chunk_of_overlap_alone(
    published: dict[str, Published], whole_set: GoldenSet, version: str
) -> None:
    given, stored, name = published[version], whole_set.tensors("joint"), f"{version}.parallel_extra"
    facts, voice = whole_set.facts("joint")[name], given.voice("ref_long")
    items = given.cfm().parallel(
        [given.item(item, codes=codes) for item, codes in facts["items"]], voice, facts["sample_steps"]
    )
    assert [len(item) for item in items] == facts["item_samples"]
    close(items[1][-2048:], stored[f"{name}.item1_tail"], SOUND_ATOL)
    close(items[0][:512], stored[f"{name}.item0_head"], SOUND_ATOL)


def spoken(given: Published, facts: dict[str, Any]) -> tuple[list[list[Tensor]], int]:
    """The items' sounds of each batch, in text order, and the number of solutions."""
    request, cfm = facts["request"], given.cfm()
    voice = given.voice(mel="ref_aux" if "aux_ref_audio_paths" in request else "")
    steps, speed = request["sample_steps"], request.get("speed_factor", 1.0)
    items = [TEXTS[line] for line in request["text"].split("\n")]
    if request.get("parallel_infer", True):
        size = request["batch_size"]
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        found = [cfm.parallel([given.item(item) for item in batch], voice, steps) for batch in batches]
    else:  # in the order of buckets: the shortest text first
        order = sorted(range(len(items)), key=lambda place: len(given.item(items[place]).phones))
        sounds = {place: cfm.serial(given.item(items[place]), voice, steps, speed) for place in order}
        found = [[sounds[place]] for place in range(len(items))]
    return found, cfm.calls


def test_a_request_with_bandwidth_extension(published: dict[str, Published], whole_set: GoldenSet) -> None:
    """It is applied to the whole sound with its silence. Phases at the edges are those of rounding errors."""
    facts, stored = whole_set.facts("e2e")["v3.super_sampling"], whole_set.tensors("e2e")
    batches, _ = spoken(published["v3"], facts)
    narrow = pcm16(batches[0]).float() / 32768
    wide = ApBwe.load(whole_set.bundle / "AP_BWE_24kto48k")(narrow[None])[0]
    assert (2 * LAYOUTS["v3"].output_rate, [len(wide)]) == (facts["sr"], facts["chunk_lens"])
    rms = stored["v3.super_sampling.block_rms"].numpy()
    blocks = (wide / wide.abs().max().clamp(min=1) * 32768).numpy()[: len(rms) * 1000].reshape(-1, 1000)
    found = np.sqrt((blocks.astype(np.float64) ** 2).mean(1))
    np.testing.assert_allclose(found[1:], rms[1:], rtol=0.05, atol=1)


CASES = ["naive_bucket", "naive_speed", "fragment"]
LONG_CASES = ["parallel_two_batches", "parallel_b4"]


@pytest.mark.parametrize(
    "name",
    [
        *(f"{version}.{case}" for version in VERSIONS for case in CASES),
        "v4.aux_quirk",
        *(
            pytest.param(f"{version}.{case}", marks=pytest.mark.nightly)
            for version in VERSIONS
            for case in LONG_CASES
        ),
    ],
)
def test_a_whole_request(published: dict[str, Published], whole_set: GoldenSet, name: str) -> None:
    version, all_facts = name.split(".")[0], whole_set.facts("e2e")
    facts, stored = all_facts[name], whole_set.tensors("e2e")
    batches, calls = spoken(published[version], facts)
    assert calls == facts["cfm_calls"]
    interval = facts["request"].get("fragment_interval", 0.3)
    parts = [pcm16(batch, interval) for batch in batches]
    if len(facts["chunk_lens"]) > 1:
        assert [len(part) for part in parts] == facts["chunk_lens"]
    found = torch.cat(parts).numpy().astype(np.int64)
    assert len(found) == sum(facts["chunk_lens"])
    head, tail, rms = (stored[f"{name}.{part}"].numpy() for part in ("head", "tail", "block_rms"))
    start = facts["tail_start"]
    assert np.abs(found[: len(head)] - head).max() <= 8
    assert np.abs(found[start : start + len(tail)] - tail).max() <= 8
    blocks = found[: len(rms) * 1000].reshape(-1, 1000).astype(np.float64)
    assert np.abs(np.sqrt((blocks**2).mean(1)) - rms).max() <= 2
