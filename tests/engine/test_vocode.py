from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deployments.engine.vocode import VocodeWorker
from deployments.engine.work import WorkItem
from deployments.errors import SynthesisFailed
from deployments.families.base import FamilySpec, Sampling, VocodedChunk, VocoderChunk, VoicePrompt

PER_CODE, WIDTH, CODES = 4, 16, 50
SPEC = FamilySpec("tiny", 200, 50.0, PER_CODE, 3, 3, ("en",), Sampling(), 1.0, 30.0)


class TinyVocoder:
    """Codes and a voice vector through two convolutions of random weights: three codes of context on each side."""

    frame_shape, frame_dtype = (), np.int64

    def __init__(self) -> None:
        make = torch.Generator().manual_seed(11)
        self.table = torch.randn(CODES, WIDTH, generator=make)
        self.wide = torch.randn(WIDTH, WIDTH, 5, generator=make) * 0.1
        self.narrow = torch.randn(PER_CODE, WIDTH, 3, generator=make) * 0.1
        self.batches: list[tuple[int, ...]] = []

    def paddable(self, chunk):
        return True

    def collate(self, chunks, batch, frames):
        inputs = {
            "codes": torch.zeros(batch, frames, dtype=torch.int64),
            "mask": torch.zeros(batch, frames),
            "voice": torch.zeros(batch, WIDTH),
        }
        for row, chunk in enumerate(chunks):
            inputs["codes"][row, : len(chunk.frames)] = torch.from_numpy(chunk.frames)
            inputs["mask"][row, : len(chunk.frames)] = 1.0
            inputs["voice"][row] = torch.from_numpy(chunk.prompt.tensors["voice"])
        return inputs

    def forward(self, inputs):
        self.batches.append(tuple(inputs["codes"].shape))
        x = F.embedding(inputs["codes"], self.table) + inputs["voice"][:, None]
        x = (x * inputs["mask"][..., None]).transpose(1, 2)  # (B, D, T)
        x = torch.tanh(F.conv1d(x, self.wide, padding=2)) * inputs["mask"][:, None]
        x = torch.tanh(F.conv1d(x, self.narrow, padding=1))
        return {"waveform": x.transpose(1, 2).flatten(1)}

    def split(self, outputs, chunks):
        waves = outputs["waveform"].numpy()
        return [
            VocodedChunk(
                waves[row, chunk.left * PER_CODE : (len(chunk.frames) - chunk.right) * PER_CODE].copy(), {}
            )
            for row, chunk in enumerate(chunks)
        ]


class Recorder:
    """Runs the function again on each replay, as a graph does with its kernels; counts what was captured."""

    def __init__(self) -> None:
        self.captures = 0

    def warm_up(self, function):
        function()

    def capture(self, function):
        self.captures += 1
        static = function()
        return lambda: static["waveform"].copy_(function()["waveform"]), static


def a_chunk(index, length=20, left=3, right=3):
    draw = np.random.default_rng(index)
    prompt = VoicePrompt.of("tiny", {"voice": draw.standard_normal(WIDTH, dtype=np.float32)})
    return VocoderChunk(draw.integers(0, CODES, length), left, right, 7, prompt, seed=index)


def vocode(worker, chunks):
    for name, chunk in chunks.items():
        worker.admit(WorkItem(name, chunk))
    events = []
    while worker.active:
        events += worker.step()
    return {event.id: event for event in events}


def test_a_chunk_is_the_same_bit_for_bit_whatever_waits_beside_it_on_the_cpu(on, cpu):
    chunks = {f"c{i}": a_chunk(i, length=8 + 5 * i) for i in range(8)}

    def run():
        together = vocode(VocodeWorker(TinyVocoder(), cpu, SPEC), chunks)
        alone = {n: vocode(VocodeWorker(TinyVocoder(), cpu, SPEC), {n: c})[n] for n, c in chunks.items()}
        return together, alone

    together, alone = on(run)
    for name, chunk in chunks.items():
        assert together[name].done
        assert together[name].index == 10
        wave = together[name].value.waveform
        assert wave.shape == ((len(chunk.frames) - 6) * PER_CODE,)
        np.testing.assert_array_equal(wave, alone[name].value.waveform)


def test_batches_on_an_accelerator_join_chunks_of_one_length_oldest_first(on, cpu):
    def run():
        model = TinyVocoder()
        worker = VocodeWorker(model, cpu, SPEC, max_batch=4, buckets=(16, 32), backend=Recorder())
        chunks = {"a": a_chunk(0, 20), "b": a_chunk(1, 10), "c": a_chunk(2, 30), "d": a_chunk(3, 31)}
        for name, chunk in chunks.items():
            worker.admit(WorkItem(name, chunk))
        return [[event.id for event in worker.step()] for _ in range(3)], model.batches

    ids, batches = on(run)
    assert ids == [["a", "c", "d"], ["b"], []]
    assert batches == [(4, 32), (1, 16)]


def test_batched_and_padded_equals_alone(on, cpu):
    chunks = {f"c{i}": a_chunk(i, length=17 + i) for i in range(5)}

    def run():
        batched = VocodeWorker(TinyVocoder(), cpu, SPEC, buckets=(32,), backend=Recorder())
        return vocode(batched, chunks), vocode(VocodeWorker(TinyVocoder(), cpu, SPEC), chunks)

    batched, alone = on(run)
    for name in chunks:
        np.testing.assert_allclose(batched[name].value.waveform, alone[name].value.waveform, atol=1e-5)


def test_captured_shapes_are_replayed_and_a_longer_chunk_runs_plainly(on, cpu):
    chunks = {"fits": a_chunk(1, 20), "long": a_chunk(2, 90)}

    def run(optimize):
        recorder = Recorder()
        worker = VocodeWorker(
            TinyVocoder(), cpu, SPEC, max_batch=2, optimize=optimize, buckets=(16, 32), backend=recorder
        )
        worker.warm_up(chunks["fits"].prompt)
        return vocode(worker, chunks), recorder.captures, worker.status()

    (graphs, captures, status), (plain, none, plain_status) = on(run, True), on(run, False)
    assert (captures, none) == (4, 0)
    assert status["captured"] == ["(2, 32)", "(1, 32)", "(2, 16)", "(1, 16)"]
    assert "optimize is false" in plain_status["reason"]
    for name in chunks:
        np.testing.assert_allclose(graphs[name].value.waveform, plain[name].value.waveform, atol=1e-5)


@pytest.mark.parametrize("batched", [True, False])
def test_only_the_bad_chunk_of_a_batch_fails(on, cpu, batched):
    broken = a_chunk(2)
    broken.frames[4] = 5000  # no such row in the table
    silent = replace(a_chunk(3), prompt=VoicePrompt.of("tiny", {"voice": np.full(WIDTH, np.nan, np.float32)}))
    chunks = {"a": a_chunk(1), "broken": broken, "nan": silent, "b": a_chunk(4)}

    def run():
        backend = Recorder() if batched else None
        worker = VocodeWorker(TinyVocoder(), cpu, SPEC, buckets=(32,), backend=backend)
        events = vocode(worker, chunks)
        good = vocode(worker, {"a": chunks["a"], "b": chunks["b"]})
        return events, good, worker.stats()

    events, good, stats = on(run)
    for name in ("broken", "nan"):
        assert isinstance(events[name].error, SynthesisFailed)
        assert not events[name].done
    for name in ("a", "b"):
        np.testing.assert_allclose(events[name].value.waveform, good[name].value.waveform, atol=1e-5)
    assert stats["retries"] == (1 if batched else 0)


def test_pieces_of_a_segment_join_to_the_whole(on, cpu):
    from deployments.engine.chunks import Chunker

    codes = np.random.default_rng(5).integers(0, CODES, 137)
    prompt = a_chunk(1).prompt
    chunker = Chunker(SPEC, first=5, maximum=40)
    pieces = chunker.push(codes) + chunker.finish()

    def run():
        worker = VocodeWorker(TinyVocoder(), cpu, SPEC, max_batch=32)
        parts = {
            f"p{i}": VocoderChunk(p.frames, p.left, p.right, p.first, prompt, 0) for i, p in enumerate(pieces)
        }
        whole = vocode(worker, {"whole": VocoderChunk(codes, 0, 0, 0, prompt, 0)})["whole"]
        joined = vocode(worker, parts)
        return whole.value.waveform, [joined[name] for name in parts]

    whole, parts = on(run)
    assert len(parts) > 4
    assert [e.index for e in parts] == [p.first + p.left for p in pieces]
    np.testing.assert_allclose(np.concatenate([e.value.waveform for e in parts]), whole, atol=1e-5)


def test_cancel_and_the_limits_of_the_slots(on, cpu):
    def run():
        worker = VocodeWorker(TinyVocoder(), cpu, SPEC, max_batch=2)
        worker.admit(WorkItem("a", a_chunk(1)))
        worker.admit(WorkItem("b", a_chunk(2)))
        with pytest.raises(RuntimeError, match="slot"):
            worker.admit(WorkItem("c", a_chunk(3)))
        worker.cancel("a")
        worker.cancel("nobody")
        assert worker.active == 1
        return [event.id for event in worker.step() + worker.step()]

    assert on(run) == ["b"]


def test_only_the_device_thread_may_use_it(on, cpu):
    worker = on(lambda: VocodeWorker(TinyVocoder(), cpu, SPEC))
    for call in (worker.step, lambda: worker.cancel("a"), lambda: worker.admit(WorkItem("a", a_chunk(1)))):
        with pytest.raises(RuntimeError, match="device thread"):
            call()


def test_a_chunk_that_cannot_be_padded_runs_alone_at_its_own_length_and_in_no_graph(on, cpu):
    class Particular(TinyVocoder):
        def paddable(self, chunk):
            return chunk.left > 0

    def run():
        model, recorder = Particular(), Recorder()
        worker = VocodeWorker(model, cpu, SPEC, max_batch=4, buckets=(20, 32), backend=recorder)
        worker.warm_up(a_chunk(0).prompt)
        model.batches.clear()
        chunks = {
            "a": a_chunk(0, 19),
            "b": a_chunk(1, 20, left=0),
            "c": a_chunk(2, 18),
            "d": a_chunk(3, 9, left=0),
        }
        found = vocode(worker, chunks)
        alone = {n: vocode(VocodeWorker(TinyVocoder(), cpu, SPEC), {n: c})[n] for n, c in chunks.items()}
        return found, alone, model.batches, worker.status()["captured"]

    found, alone, batches, captured = on(run)
    assert batches == [(2, 20), (1, 20), (1, 9)]
    assert captured == ["(4, 32)", "(2, 32)", "(1, 32)", "(4, 20)", "(2, 20)", "(1, 20)"]
    for name, event in alone.items():
        np.testing.assert_allclose(found[name].value.waveform, event.value.waveform, atol=1e-5)
