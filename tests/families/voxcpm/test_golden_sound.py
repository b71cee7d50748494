"""The golden set's text and sound: token ids, normalised texts, latents of recordings, waveforms and streams."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from deployments.contract.device import Device
from deployments.contract.speech import VocoderChunk, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.vocode.worker import VocodeWorker
from deployments.families import load
from deployments.families.voxcpm.checkpoint import read_vae
from deployments.families.voxcpm.text.normalize import normalized
from tests.families.voxcpm.conftest import CASES, CPU, VERSIONS, Golden, error_of

CLOSE, SOUND = 1e-4, 1e-3


@pytest.mark.parametrize("version", VERSIONS)
def test_texts_have_the_published_ids(golden, version):
    rows = json.loads((golden(version).folder / "tokens.json").read_text("utf-8"))["rows"]
    tokenizer = golden(version).tokenizer
    assert rows
    for row in rows:
        assert list(tokenizer.encode(row["text"])) == row["ids"], row["text"]
        assert tokenizer.names(row["ids"]) == row["pieces"], row["text"]


def test_texts_are_normalised_as_published(voxcpm):
    pairs = json.loads((voxcpm / "normalize.json").read_text("utf-8"))
    assert [normalized(pair["text"]) for pair in pairs] == [pair["normalized"] for pair in pairs]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_has_the_published_latents(golden, version):
    wanted, encoder = golden(version).tensors("vae"), golden(version).encoder
    waveform, rate = golden(version).recording("prompt")
    left, total = wanted["prompt_padded_samples"].tolist()
    assert left + len(waveform) == total
    assert error_of(encoder.patches(waveform, rate, before=True), wanted["prompt_latents"]) < CLOSE
    if "ref_latents" in wanted:
        found = encoder.patches(*golden(version).recording("ref"), before=False)
        assert error_of(found, wanted["ref_latents"]) < CLOSE


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("frames", [4, 8, 12, 20], ids=lambda n: f"{n} frames")
def test_latents_in_chunks_make_the_published_waveform(golden, version, frames):
    wanted, config = golden(version).tensors("vae"), golden(version).config
    decoder = read_vae(golden(version).checkpoint, config).decoder(torch.device("cpu"))
    state, parts = decoder.silence(), []
    with torch.inference_mode():
        for latents in wanted["free_latents"].split(frames, 2):
            waveform, state = decoder(latents, state)
            parts.append(waveform)
    assert error_of(torch.cat(parts, 1), wanted["free_decode"][0]) < SOUND


def test_another_bandwidth(golden):
    wanted, config = golden("v2").tensors("vae"), golden("v2").config
    decoder = read_vae(golden("v2").checkpoint, config).decoder(torch.device("cpu"), rate=24_000)
    with torch.inference_mode():
        waveform, _ = decoder(wanted["free_latents"][:, :, :4], decoder.silence())
    assert error_of(waveform, wanted["free_decode_sr24000_first4"][0]) < SOUND


def vocoded(
    golden: Golden,
    prompt: VoicePrompt,
    controls: dict[str, Any],
    patches: np.ndarray,
    sizes: list[int],
    **options,
) -> np.ndarray:
    """The chunks of `patches` one after another through the worker. Call it on a device thread."""
    family = load("voxcpm", {"model_dir": str(golden.checkpoint)})
    worker = VocodeWorker(family.vocoder(CPU), CPU, family.spec, **options)
    parts, at = [], 0
    for size in sizes:
        frames = patches[at : at + size]
        chunk = VocoderChunk(frames, 0, 0, at, prompt, seed=0, home="segment", controls=controls)
        worker.admit(WorkItem(str(at), chunk))
        events = worker.step()
        while not events:
            events = worker.step()
        assert events[0].error is None, events[0].error
        parts.append(events[0].value.waveform)
        at += size
    assert at == len(patches)
    return np.concatenate(parts)


@pytest.mark.parametrize(("version", "name"), CASES)
def test_a_stream_of_patches_is_the_published_waveform(golden, on_device, version, name):
    """As published without streaming: a continued recording's last patches precede the first."""
    case = golden(version).case(name)
    prompt = golden(version).encoder.encode(case.reference)
    count = case.about["n_patches"]
    patches = case.tensors["step.pred"][:count].numpy()
    wanted = case.tensors["wave"][0]
    for sizes in ([1] * count, [2, count - 2], [count]):
        found = on_device(vocoded, golden(version), prompt, case.sampling.controls, patches, sizes)
        assert error_of(found, wanted) < SOUND
    longest = on_device(
        lambda: vocoded(
            golden(version),
            prompt,
            case.sampling.controls,
            patches,
            [count],
            chunk_frames=2,
            frame_buckets=[2],
        )
    )
    assert error_of(longest, wanted) < SOUND


class Eager:
    """Stands for CUDA graphs: static inputs and outputs, without a device that has graphs."""

    def warm_up(self, function):
        function()

    def capture(self, function):
        outputs = function()
        return lambda: [outputs[name].copy_(value) for name, value in function().items()], outputs


def test_padded_rows_of_a_batch_keep_their_own_states(golden, on_device):
    """With graphs, streams of different lengths share a call."""
    version = "v2"
    device: Device = CPU
    case = golden(version).case("continuation_en")
    prompt = golden(version).encoder.encode(case.reference)
    patches = golden(version).tensors("vae")["free_latents"][0].T.unflatten(0, (-1, 4)).numpy()

    def run() -> list[np.ndarray]:
        family = load("voxcpm", {"model_dir": str(golden(version).checkpoint)})
        worker = VocodeWorker(
            family.vocoder(device), device, family.spec, max_batch=2, frame_buckets=[4], backend=Eager()
        )
        worker.warm_up(family.example_prompt())
        sounds: dict[str, list[np.ndarray]] = {"short": [], "long": []}
        for at, (short, long) in enumerate(((1, 3), (2, 2))):
            for name, begin, size in (("short", [0, 1][at], short), ("long", [0, 3][at], long)):
                frames = patches[begin : begin + size]
                chunk = VocoderChunk(
                    frames, 0, 0, begin, prompt, seed=0, home=name, controls=case.sampling.controls
                )
                worker.admit(WorkItem(name, chunk))
            for event in worker.step():
                assert event.error is None, event.error
                sounds[event.id].append(event.value.waveform)
        assert worker.stats()["mean_batch"] == 2
        return [np.concatenate(parts) for parts in sounds.values()]

    short, long = on_device(run)
    whole = on_device(vocoded, golden(version), prompt, case.sampling.controls, patches[:5], [5])
    assert error_of(long, whole) < 1e-5
    assert error_of(short, whole[: len(short)]) < 1e-5
