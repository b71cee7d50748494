from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from deployments.contract.errors import SynthesisFailed
from deployments.contract.family import FamilySpec, Packing
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.contract.work import BACKGROUND, WorkItem
from deployments.engine.vocode.worker import PATIENCE, VocodeWorker

PER_CODE, WIDTH, CODES = 4, 16, 50
SPEC = FamilySpec("tiny", 200, 50.0, PER_CODE, 3, 3, ("en",), 1500, 1.0, 30.0)


class TinyVocoder:
    """Two convolutions with random weights over codes and a voice vector, with three codes of context on each side.

    The sound also depends on the sum of all previous codes, which is the state.
    """

    frame_shape, frame_dtype = (), np.int64

    def __init__(self, pile: int = 0) -> None:
        make = torch.Generator().manual_seed(11)
        self.packing = Packing(pile, self.paddable, self.fast)
        self.table = torch.randn(CODES, WIDTH, generator=make)
        self.wide = torch.randn(WIDTH, WIDTH, 5, generator=make) * 0.1
        self.narrow = torch.randn(PER_CODE, WIDTH, 3, generator=make) * 0.1
        self.batches: list[tuple[int, ...]] = []
        self.plain_batches: list[tuple[int, ...]] = []

    def paddable(self, chunk):
        return True

    def collate(self, chunks, batch, frames):
        inputs = {
            "codes": torch.zeros(batch, frames, dtype=torch.int64),
            "mask": torch.zeros(batch, frames),
            "voice": torch.zeros(batch, WIDTH),
            "spoken": torch.zeros(batch),
            "next": torch.zeros(batch),
        }
        for row, chunk in enumerate(chunks):
            inputs["codes"][row, : len(chunk.frames)] = torch.from_numpy(chunk.frames)
            inputs["mask"][row, : len(chunk.frames)] = 1.0
            inputs["voice"][row] = torch.from_numpy(chunk.prompt.tensors["voice"])
            if chunk.follows is not None:
                inputs["spoken"][row] = inputs["next"][chunk.follows]
            elif chunk.state:
                inputs["spoken"][row] = float(chunk.state["spoken"])
            own = chunk.frames[chunk.left : len(chunk.frames) - chunk.right]
            inputs["next"][row] = inputs["spoken"][row] + float(own.sum())
        return inputs

    def fast(self, inputs):
        self.batches.append(tuple(inputs["codes"].shape))
        return self._sound(inputs)

    def forward(self, inputs):
        self.plain_batches.append(tuple(inputs["codes"].shape))
        return self._sound(inputs)

    def _sound(self, inputs):
        x = F.embedding(inputs["codes"], self.table) + inputs["voice"][:, None]
        x = (x * inputs["mask"][..., None]).transpose(1, 2)  # (B, D, T)
        x = torch.tanh(F.conv1d(x, self.wide, padding=2)) * inputs["mask"][:, None]
        x = torch.tanh(F.conv1d(x, self.narrow, padding=1))
        return {"waveform": x.transpose(1, 2).flatten(1), "next": inputs["next"].clone()}

    def split(self, outputs, chunks):
        waves = outputs["waveform"].numpy()
        spoken = outputs["next"].numpy()
        results = []
        for row, chunk in enumerate(chunks):
            own = chunk.frames[chunk.left : len(chunk.frames) - chunk.right]
            sound = waves[row, chunk.left * PER_CODE : (len(chunk.frames) - chunk.right) * PER_CODE]
            before = np.repeat(spoken[row] - own.sum() + np.cumsum(own), PER_CODE)
            results.append(VocodedChunk(sound + np.cos(before).astype(np.float32), {"spoken": spoken[row]}))
        return results

    def activation_bytes(self, batch, frames):
        return 1000 * batch * frames


class Recorder:
    """Runs the function again on each replay, like a graph, and counts captures."""

    def __init__(self) -> None:
        self.captures = 0

    def warm_up(self, function):
        function()

    def capture(self, function):
        self.captures += 1
        static = function()

        def replay():
            for name, value in function().items():
                static[name].copy_(value)

        return replay, static


def a_chunk(index, length=20, left=3, right=3):
    draw = np.random.default_rng(index)
    prompt = VoicePrompt.of("tiny", {"voice": draw.standard_normal(WIDTH, dtype=np.float32)})
    return VocoderChunk(draw.integers(0, CODES, length), left, right, 7, prompt, seed=index)


def whole_of(on, cpu, chunks):
    """The sound of each chunk alone and undivided, which every other path must reproduce."""
    return on(lambda: vocode(VocodeWorker(TinyVocoder(), cpu, SPEC, optimize=False, max_batch=32), chunks))


def vocode(worker, chunks):
    for name, chunk in chunks.items():
        worker.admit(WorkItem(name, chunk))
    return drain(worker)


def drain(worker):
    events = []
    while worker.active:
        events += worker.step()
    assert len({event.id for event in events}) == len(events), "two events of one item"
    return {event.id: event for event in events}


@pytest.mark.parametrize("pile", [0, 50])
def test_a_chunk_is_bit_identical_in_any_batch_on_the_cpu(on, cpu, pile):
    chunks = {f"c{i}": a_chunk(i, length=8 + 5 * i) for i in range(8)}

    class Rows(TinyVocoder):
        """Packs chunks of any lengths without padding."""

        def _sound(self, inputs):
            lengths = inputs["mask"].sum(1).long().tolist()
            ones = [{k: v[i : i + 1] for k, v in inputs.items()} for i in range(len(lengths))]
            for one, length in zip(ones, lengths, strict=True):
                one.update(codes=one["codes"][:, :length], mask=one["mask"][:, :length])
            made = [super(Rows, self)._sound(one) for one in ones]
            wide = max(lengths) * PER_CODE
            return {
                "waveform": torch.cat(
                    [F.pad(m["waveform"], (0, wide - m["waveform"].shape[1])) for m in made]
                ),
                "next": inputs["next"],
            }

    def run():
        together, model = vocode(VocodeWorker(model := Rows(pile), cpu, SPEC), chunks), model
        alone = {n: vocode(VocodeWorker(Rows(pile), cpu, SPEC), {n: c})[n] for n, c in chunks.items()}
        return together, alone, model.batches

    together, alone, batches = on(run)
    assert [rows for rows, _ in batches] == ([1] * 8 if pile == 0 else [3, 1, 1, 1, 1, 1])
    for name, chunk in chunks.items():
        assert together[name].done
        assert together[name].index == 10
        wave = together[name].value.waveform
        assert wave.shape == ((len(chunk.frames) - 6) * PER_CODE,)
        np.testing.assert_array_equal(wave, alone[name].value.waveform)


def test_batches_on_an_accelerator_hold_chunks_of_one_length_oldest_first(on, cpu):
    def run():
        model = TinyVocoder()
        worker = VocodeWorker(model, cpu, SPEC, max_batch=4, frame_buckets=(10, 26), backend=Recorder())
        chunks = {"a": a_chunk(0, 20), "b": a_chunk(1, 10), "c": a_chunk(2, 30), "d": a_chunk(3, 31)}
        for name, chunk in chunks.items():
            worker.admit(WorkItem(name, chunk))
        return [[event.id for event in worker.step()] for _ in range(3)], model.batches

    ids, batches = on(run)
    assert ids == [["a", "c", "d"], ["b"], []]
    assert batches == [(4, 32), (1, 13)]


def test_batched_and_padded_equals_alone(on, cpu):
    chunks = {f"c{i}": a_chunk(i, length=17 + i) for i in range(5)}
    batched = on(
        lambda: vocode(
            VocodeWorker(TinyVocoder(), cpu, SPEC, frame_buckets=(26,), backend=Recorder()), chunks
        )
    )
    for name, event in whole_of(on, cpu, chunks).items():
        np.testing.assert_allclose(batched[name].value.waveform, event.value.waveform, atol=1e-5)


def test_captured_shapes_are_replayed_and_a_longer_chunk_is_split(on, cpu, caplog):
    chunks = {"fits": a_chunk(1, 20), "long": a_chunk(2, 90)}

    def run():
        recorder, model = Recorder(), TinyVocoder()
        worker = VocodeWorker(model, cpu, SPEC, max_batch=2, frame_buckets=(10, 26), backend=recorder)
        worker.warm_up(chunks["fits"].prompt)
        model.batches.clear()
        return vocode(worker, chunks), recorder.captures, worker.status(), model.batches

    with caplog.at_level(logging.INFO, logger="deployments"):
        events, captures, status, batches = on(run)
    assert captures == 6
    assert status["captured"] == ["(2, 32)", "(1, 32)", "(2, 16)", "(1, 16)", "(2, 13)", "(1, 13)"]
    assert set(batches) <= {(2, 32), (1, 32)}
    assert not any("not captured at start" in line for line in caplog.messages)
    assert any("captured (2, 32)" in line for line in caplog.messages)
    assert any("first batch" in line for line in caplog.messages)
    for name, event in whole_of(on, cpu, chunks).items():
        np.testing.assert_allclose(events[name].value.waveform, event.value.waveform, atol=1e-5)


@pytest.mark.parametrize("way", ["alone", "piled", "padded"])
@pytest.mark.parametrize(
    ("length", "most", "max_batch"), [(41, 10, 4), (200, 17, 8), (60, 60, 2), (61, 1, 16)]
)
def test_a_long_run_is_split_and_joined_to_the_same_samples(on, cpu, way, length, most, max_batch):
    """State passes from row to row within a batch, and from batch to batch."""
    chunks = {"long": a_chunk(3, length, left=2, right=0), "after": a_chunk(4, 24)}
    chunks["long"] = replace(chunks["long"], state={"spoken": np.float32(5)})

    def run():
        model = TinyVocoder(pile=60 if way == "piled" else 0)
        backend = Recorder() if way == "padded" else None
        worker = VocodeWorker(
            model, cpu, SPEC, max_batch=max_batch, chunk_frames=most, frame_buckets=(8, 20), backend=backend
        )
        return vocode(worker, chunks), model.batches

    events, batches = on(run)
    assert sum(rows for rows, _ in batches) >= -(-(length - 2) // most)
    if way == "alone":
        assert max(frames for _, frames in batches) <= most + 6
    for name, event in whole_of(on, cpu, chunks).items():
        found = events[name]
        assert (found.done, found.index) == (True, chunks[name].first + chunks[name].left)
        assert found.value.state["spoken"] == event.value.state["spoken"]
        np.testing.assert_allclose(found.value.waveform, event.value.waveform, atol=1e-5)


@pytest.mark.parametrize("backend", [None, Recorder])
def test_a_short_item_does_not_wait_for_the_chunks_of_a_long_one(on, cpu, backend):
    def run():
        worker = VocodeWorker(
            TinyVocoder(),
            cpu,
            SPEC,
            max_batch=2,
            chunk_frames=10,
            frame_buckets=(10,),
            backend=backend and backend(),
        )
        worker.admit(WorkItem("long", a_chunk(1, 400)))
        assert worker.step() == []
        waited = []
        for turn in range(3):
            worker.admit(WorkItem(f"short{turn}", a_chunk(2 + turn, 16)))
            waited.append([[event.id for event in worker.step()] for _ in range(2)])
        return waited, sorted(drain(worker))

    waited, rest = on(run)
    for turn, steps in enumerate(waited):
        assert [f"short{turn}"] in steps
    assert rest == ["long"]


def test_first_sounds_form_their_own_batches_and_no_item_starves(on, cpu):
    def run():
        worker, order = VocodeWorker(TinyVocoder(pile=400), cpu, SPEC), []
        for index, priority in enumerate((1, 0, 1, 0)):
            worker.admit(WorkItem(f"c{index}", a_chunk(index), priority))
        for turn in range(3):
            order.append(sorted(event.id for event in worker.step()))
            worker.admit(WorkItem(f"late{turn}", a_chunk(9), 0))
        return order

    assert on(run) == [["c1", "c3"], ["c0", "c2", "late0"], ["late1"]]


def test_background_work_waits_for_first_sounds_but_does_not_starve(on, cpu):
    def run():
        worker, order = VocodeWorker(TinyVocoder(pile=400), cpu, SPEC), []
        worker.admit(WorkItem("background", a_chunk(1), BACKGROUND))
        for turn in range(2 * PATIENCE):
            worker.admit(WorkItem(f"first{turn}", a_chunk(9), 0))
            worker.admit(WorkItem(f"later{turn}", a_chunk(9), 1))
            order.append([event.id for event in worker.step()])
        return order

    order = on(run)
    assert [turn for turn, ids in enumerate(order) if "background" in ids] == [2 * PATIENCE - 1]
    assert all("later1" in ids for ids in order[1:2])


def test_without_optimisation_each_run_is_vocoded_whole_and_alone(on, cpu):
    chunks = {"a": a_chunk(0, 20), "b": a_chunk(1, 700), "c": a_chunk(2, 20)}

    def run():
        model, recorder = TinyVocoder(pile=100), Recorder()
        worker = VocodeWorker(model, cpu, SPEC, optimize=False, chunk_frames=10, backend=recorder)
        worker.warm_up(chunks["a"].prompt)
        model.plain_batches.clear()
        return vocode(worker, chunks), model, recorder.captures, worker.status()

    events, model, captures, status = on(run)
    assert len(events) == 3
    assert (model.batches, captures) == ([], 0)
    assert model.plain_batches == [(1, 20), (1, 700), (1, 20)]
    assert not status["optimize"]
    assert "optimize is false" in status["reason"]


@pytest.mark.parametrize("way", ["alone", "piled", "padded"])
def test_only_the_bad_item_of_a_batch_fails(on, cpu, way):
    broken = a_chunk(2, length=60)
    broken.frames[44] = 5000  # an invalid code, in the last of its chunks
    silent = replace(a_chunk(3), prompt=VoicePrompt.of("tiny", {"voice": np.full(WIDTH, np.nan, np.float32)}))
    chunks = {"a": a_chunk(1), "broken": broken, "nan": silent, "b": a_chunk(4, 60)}

    def run():
        backend = Recorder() if way == "padded" else None
        model = TinyVocoder(pile=80 if way == "piled" else 0)
        worker = VocodeWorker(model, cpu, SPEC, chunk_frames=20, frame_buckets=(26,), backend=backend)
        events = vocode(worker, chunks)
        again = vocode(worker, {"a": chunks["a"]})
        return events, again, worker.stats(), worker.status(), worker.failing

    events, again, stats, status, failing = on(run)
    for name in ("broken", "nan"):
        assert isinstance(events[name].error, SynthesisFailed)
        assert not events[name].done
    good = {name: chunks[name] for name in ("a", "b")}
    for name, event in whole_of(on, cpu, good).items():
        np.testing.assert_allclose(events[name].value.waveform, event.value.waveform, atol=1e-5)
    assert 1 <= stats["retries"] <= 2
    assert "failed" not in status["reason"]
    assert again["a"].done
    assert failing == 0


class Fragile(TinyVocoder):
    """Runs out of memory on the fast path (always, or for batches of some size), and on the other for long rows."""

    def __init__(self, most_rows=0, most_frames=10**9):
        super().__init__()
        self.most_rows, self.most_frames = most_rows, most_frames

    def fast(self, inputs):
        if len(inputs["codes"]) > self.most_rows:
            raise torch.OutOfMemoryError("tried to allocate 1 TiB")
        return super().fast(inputs)

    def forward(self, inputs):
        if inputs["codes"].shape[1] > self.most_frames:
            raise torch.OutOfMemoryError("tried to allocate 2 TiB")
        return super().forward(inputs)


def test_a_failed_batch_is_repeated_without_optimisation_and_logged(on, cpu, caplog):
    chunks = {f"c{i}": a_chunk(i, 40) for i in range(3)}

    def run():
        model = Fragile(most_rows=2)
        worker = VocodeWorker(model, cpu, SPEC, max_batch=4, frame_buckets=(9, 20), backend=Recorder())
        return vocode(worker, chunks), vocode(worker, {"d": a_chunk(1, 20)}), worker.status(), model

    with caplog.at_level(logging.WARNING, logger="deployments"):
        events, later, status, model = on(run)
    assert model.batches == [
        (2, 26),
        (1, 26),
    ]  # four of six chunks failed at first; those that fit still run together
    assert "1 TiB" in caplog.text
    assert "OutOfMemoryError" in caplog.text
    assert "a batch of 4 failed" in caplog.text
    assert status["optimize"]
    assert later["d"].done
    for name, event in whole_of(on, cpu, chunks).items():
        np.testing.assert_allclose(events[name].value.waveform, event.value.waveform, atol=1e-5)


def test_a_path_that_keeps_failing_is_disabled(on, cpu, caplog):
    chunks = {f"c{i}": a_chunk(i, 30) for i in range(4)}

    def run():
        model = Fragile()
        worker = VocodeWorker(model, cpu, SPEC)
        return vocode(worker, chunks), vocode(worker, {"long": a_chunk(9, 600)}), worker, model

    with caplog.at_level(logging.ERROR, logger="deployments"):
        events, long, worker, model = on(run)
    assert "3 batches in a row failed" in caplog.text
    assert all(event.done for event in events.values())
    assert long["long"].done
    assert model.plain_batches[-1] == (1, 600), "it is no longer cut"
    status, stats = on(lambda: (worker.status(), worker.stats()))
    assert (status["optimize"], stats["retries"], worker.failing) == (False, 3, 0)
    assert "1 TiB" in status["reason"]


def test_running_out_of_memory_for_one_item_fails_only_that_item(on, cpu):
    chunks = {"a": a_chunk(1, 20), "long": a_chunk(2, 70), "b": a_chunk(3, 20)}

    def run():
        model = Fragile(most_frames=24)
        worker = VocodeWorker(model, cpu, SPEC, chunk_frames=40)
        return vocode(worker, chunks)

    events = on(run)
    assert isinstance(events["long"].error, SynthesisFailed)
    assert "TiB" not in events["long"].error.message
    assert events["a"].done
    assert events["b"].done


def test_a_failed_capture_falls_back_to_eager_code_and_is_logged(on, cpu, caplog):
    class Refusing(Recorder):
        def capture(self, function):
            raise RuntimeError("operation not permitted when stream is capturing")

    def run():
        worker = VocodeWorker(TinyVocoder(), cpu, SPEC, frame_buckets=(26,), backend=Refusing())
        worker.warm_up(a_chunk(0).prompt)
        return vocode(worker, {"a": a_chunk(1, 50)}), worker.status()

    with caplog.at_level(logging.WARNING, logger="deployments"):
        events, status = on(run)
    assert events["a"].done
    assert not status["optimize"]
    assert "capture of (8, 32) failed" in status["reason"]
    assert "not permitted" in caplog.text


def test_pieces_of_a_segment_join_to_the_whole(on, cpu):
    from deployments.engine.vocode.chunks import Chunker

    codes = np.random.default_rng(5).integers(0, CODES, 137)
    prompt = a_chunk(1).prompt
    chunker = Chunker(SPEC, first=5, maximum=40)
    pieces = chunker.push(codes) + chunker.finish()

    def run():
        worker = VocodeWorker(TinyVocoder(), cpu, SPEC, max_batch=32)
        whole = vocode(worker, {"whole": VocoderChunk(codes, 0, 0, 0, prompt, 0)})["whole"]
        joined, state = [], None
        for piece in pieces:
            chunk = VocoderChunk(piece.frames, piece.left, piece.right, piece.first, prompt, 0, state)
            joined.append(vocode(worker, {"piece": chunk})["piece"])
            state = joined[-1].value.state
        return whole.value.waveform, joined

    whole, parts = on(run)
    assert len(parts) > 4
    assert [e.index for e in parts] == [p.first + p.left for p in pieces]
    np.testing.assert_allclose(np.concatenate([e.value.waveform for e in parts]), whole, atol=1e-5)


def test_cancel_frees_a_slot_and_slots_are_limited(on, cpu):
    def run():
        worker = VocodeWorker(TinyVocoder(), cpu, SPEC, max_batch=2, chunk_frames=10)
        worker.admit(WorkItem("a", a_chunk(1, 100)))
        worker.admit(WorkItem("b", a_chunk(2, 16)))
        with pytest.raises(RuntimeError, match="slot"):
            worker.admit(WorkItem("c", a_chunk(3)))
        assert worker.step() == []
        worker.cancel("a")
        worker.cancel("unknown")
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

    chunks = {
        "a": a_chunk(0, 19),
        "b": a_chunk(1, 20, left=0),
        "c": a_chunk(2, 18),
        "d": a_chunk(3, 9, left=0),
    }

    def run():
        model, recorder = Particular(), Recorder()
        worker = VocodeWorker(model, cpu, SPEC, max_batch=4, frame_buckets=(14, 26), backend=recorder)
        worker.warm_up(a_chunk(0).prompt)
        model.batches.clear()
        return vocode(worker, chunks), model.batches

    found, batches = on(run)
    assert batches == [(2, 20), (1, 20), (1, 9)]
    for name, event in whole_of(on, cpu, chunks).items():
        np.testing.assert_allclose(found[name].value.waveform, event.value.waveform, atol=1e-5)


def test_it_reports_the_memory_of_its_largest_batch(on, cpu):
    def of(**options):
        return on(lambda: VocodeWorker(TinyVocoder(options.pop("pile", 0)), cpu, SPEC, **options).bytes)

    assert of(frame_buckets=(10, 26), max_batch=4, backend=Recorder()) == 1000 * 4 * 32
    assert of(chunk_frames=40) == 1000 * 46
    assert of(chunk_frames=40, pile=90) == 1000 * 90


@pytest.mark.parametrize("backend", [None, Recorder])
def test_a_segment_of_a_family_that_is_vocoded_whole_is_never_cut(on, cpu, backend):
    spec = replace(SPEC, chunking="whole", left_context=0, right_context=0)
    chunks = {f"c{i}": a_chunk(i, length, left=0, right=0) for i, length in enumerate((7, 300, 90, 300))}

    def run():
        model = TinyVocoder()
        made = backend and backend()
        worker = VocodeWorker(model, cpu, spec, chunk_frames=40, frame_buckets=(8, 100), backend=made)
        return vocode(worker, chunks), model.batches, worker.bytes

    events, batches, size = on(run)
    assert {frames for _, frames in batches} == ({8, 100, 300} if backend else {7, 90, 300})
    assert size >= 1000 * 40
    for name, event in whole_of(on, cpu, chunks).items():
        np.testing.assert_allclose(events[name].value.waveform, event.value.waveform, atol=1e-5)


def test_only_chunks_of_one_kind_share_a_call(on, cpu):
    chunks = {f"c{i}": replace(a_chunk(i, 10), controls={"steps": 4 + 4 * (i % 2)}) for i in range(4)}

    def run():
        model = TinyVocoder(pile=100)
        model.packing = replace(model.packing, kind=lambda chunk: chunk.controls["steps"])
        return vocode(VocodeWorker(model, cpu, SPEC), chunks), model.batches

    found, batches = on(run)
    expected = whole_of(on, cpu, chunks)
    assert [rows for rows, _ in batches] == [2, 2]
    for name in chunks:
        np.testing.assert_allclose(
            found[name].value.waveform, expected[name].value.waveform, rtol=0, atol=1e-6
        )


class InTwoCalls(TinyVocoder):
    """A StagedVocoder: one call adds the voice and another makes the sound, each for exactly two rows."""

    def rehearse(self, batches, call):
        chunk = a_chunk(0, 20)
        self.staged(self.collate([chunk, chunk], 2, 20), batches, call)

    def staged(self, inputs, batches, call):
        assert list(batches) == [1, 2]
        rows = len(inputs["codes"])
        inputs = {name: torch.cat([value, value])[:2] for name, value in inputs.items()}
        first = call("copy", lambda given: {"codes": given["codes"].clone()}, {"codes": inputs["codes"]})
        made = call("sound", self._sound, inputs | {"codes": first["codes"].clone()})
        return {name: value[:rows] for name, value in made.items()}


@pytest.mark.parametrize("optimize", [True, False])
def test_a_vocoder_of_several_calls_has_a_graph_of_each_on_an_accelerator(on, cpu, optimize):
    chunks = {f"c{i}": a_chunk(i, 20) for i in range(3)}

    def run():
        model, backend = InTwoCalls(pile=40), Recorder()
        worker = VocodeWorker(
            model, cpu, SPEC, max_batch=2, optimize=optimize, frame_buckets=[17], backend=backend
        )
        worker.warm_up(a_chunk(0).prompt)
        found = {}
        for name, chunk in chunks.items():
            found |= vocode(worker, {name: chunk})
        return found, worker.status()["captured"], backend.captures, model.plain_batches

    found, captured, captures, plain = on(run)
    assert (captured, captures) == ((["copy", "sound"], 2) if optimize else ([], 0))
    assert bool(plain) is not optimize
    expected = whole_of(on, cpu, chunks)
    for name in chunks:
        np.testing.assert_allclose(
            found[name].value.waveform, expected[name].value.waveform, rtol=0, atol=1e-6
        )
