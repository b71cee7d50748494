from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deployments.contract.errors import SynthesisFailed
from deployments.contract.speech import Run, VoicePrompt
from deployments.contract.work import BACKGROUND, WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.decode.decoder import PATIENCE

CONTEXT = 160


@pytest.fixture
def decoder(on, cpu, engine):
    return on(lambda: Decoder(engine.gpt(8, CONTEXT, cpu.torch_device), cpu, emit_at=(6,), emit_every=4))


def fresh(engine, cpu, slots=8, context=CONTEXT):
    return Decoder(engine.gpt(slots, context, cpu.torch_device), cpu, emit_at=(6,), emit_every=4)


def endless(decoder):
    decoder._model.stop = lambda x: x[:, :1] * 0
    return decoder


def test_same_codes_alone_and_among_eight(on, cpu, engine):
    def run():
        requests = {f"r{i}": engine.request(i, temperature=(0.0, 0.7, 1.0)[i % 3]) for i in range(8)}
        together = engine.decode(fresh(engine, cpu), requests)
        alone = {n: engine.decode(fresh(engine, cpu, slots=2), {n: r})[n] for n, r in requests.items()}
        return together, alone

    together, alone = on(run)
    assert len({len(codes) for codes in alone.values()}) > 2, "the sequences should end at different steps"
    for name in alone:
        np.testing.assert_array_equal(together[name], alone[name])


def test_the_cache_of_a_row_is_bit_identical_alone_and_among_eight(on, cpu, engine):
    def run():
        together, taken = endless(fresh(engine, cpu)), []
        requests = [
            engine.request(i, max_tokens=40) for i in range(8)
        ]  # the first runs until the last has begun
        engine.decode(together, {f"r{i}": request for i, request in enumerate(requests)})
        for slot, request in enumerate(requests):
            alone = endless(fresh(engine, cpu, slots=1))
            codes = engine.decode(alone, {"a": request})["a"]
            end = len(request.segment.token_ids) + len(codes)
            mine, others = (
                torch.stack([layer[s] for layer in d._model.cache.layers])  # (layers, 2, H, C, D)
                for d, s in ((alone, 0), (together, slot))
            )
            assert mine[:, :, :, end - 1].any() and not mine[:, :, :, end:].any(), "everything written"
            taken.append(torch.equal(mine[:, :, :, :end], others[:, :, :, :end]))
        return taken

    assert on(run) == [True] * 8


def test_codes_read_one_step_late_are_the_same_and_none_is_surplus(on, cpu, engine):
    def late():
        model = engine.gpt(8, CONTEXT, cpu.torch_device)
        return Decoder(model, cpu, emit_at=(6,), emit_every=4, read_late=True)

    def run():
        requests = {f"r{i}": engine.request(i) for i in range(7)}
        whole = engine.decode(fresh(engine, cpu), requests)
        decoder = late()
        for name, request in requests.items():
            decoder.admit(WorkItem(name, request.resume([Run(whole[name][:9])]) if name == "r3" else request))
        decoder.admit(WorkItem("gone", engine.request(7)))
        events = [event for _ in range(12) for event in decoder.step()]
        decoder.cancel("gone")
        decoder.admit(
            WorkItem("next", engine.request(2))
        )  # into a slot whose last step has not been read yet
        events += engine.drain(decoder)
        return whole, engine.collect([e for e in events if e.id != "gone"])

    whole, found = on(run)
    whole["r3"], whole["next"] = whole["r3"][9:], whole["r2"]
    assert sorted(found) == sorted(whole)
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, whole[name])


def test_sequences_that_join_or_leave_do_not_change_other_codes(on, decoder, engine):
    def run():
        alone = {f"r{i}": engine.decode(decoder, {f"r{i}": engine.request(i)})[f"r{i}"] for i in range(12)}
        events, waiting, sizes = [], [f"r{i}" for i in range(12)], []
        while waiting or decoder.active:
            if waiting and decoder.active < 5:
                name = waiting.pop(0)
                decoder.admit(WorkItem(name, engine.request(int(name[1:]))))
            events += decoder.step()
            events += decoder.step()
            sizes.append(decoder.active)
        return alone, engine.collect(events), sizes

    alone, staggered, sizes = on(run)
    assert max(sizes) >= 4
    for name in alone:
        np.testing.assert_array_equal(staggered[name], alone[name])


def rows_of_steps(decoder, count):
    """How many sequences decode in each of the next `count` steps."""
    rows = []
    for _ in range(count):
        before = decoder.stats()["rows"]
        decoder.step()
        rows.append(int(decoder.stats()["rows"] - before))
    return rows


def test_requests_that_arrive_together_are_prefilled_before_any_decodes(on, decoder, engine):
    def run():
        for i in range(3):
            decoder.admit(WorkItem(f"r{i}", engine.request(i, max_tokens=40)))
        return rows_of_steps(decoder, 5)

    assert on(run) == [0, 0, 3, 3, 3], "a whole prefill in each step, and the last one decodes"


def test_a_prefill_runs_in_pieces_while_somebody_listens(on, cpu, engine):
    def run():
        decoder = endless(fresh(engine, cpu))
        decoder.admit(WorkItem("r0", engine.request(0, max_tokens=40)))
        heard = 0
        while not heard:
            heard = len([event for event in decoder.step() if event.value is not None])
        for i in (1, 2):
            decoder.admit(WorkItem(f"r{i}", engine.request(i, max_tokens=40)))
        return rows_of_steps(decoder, 7)

    # two layers, so three pieces; a newcomer decodes in the step of its last piece
    assert on(run) == [1, 1, 2, 2, 2, 3, 3]


def test_a_prefill_of_background_work_does_not_delay_a_first_sound(on, cpu, engine):
    def run():
        decoder = endless(fresh(engine, cpu))
        decoder.admit(WorkItem("listener", engine.request(0, max_tokens=40)))
        first = rows_of_steps(decoder, 1)
        decoder.admit(WorkItem("background", engine.request(1, max_tokens=40), priority=BACKGROUND))
        return first + rows_of_steps(decoder, 4)

    assert all(on(run)), "the listener's sequence decodes in every step"


def test_cancelling_during_prefill_frees_the_slot(on, decoder, engine):
    def run():
        alone = engine.decode(decoder, {"r1": engine.request(1)})["r1"]
        decoder.admit(WorkItem("r0", engine.request(0)))
        decoder.step()
        decoder.admit(WorkItem("gone", engine.request(2)))
        decoder.step()  # one piece
        decoder.cancel("gone")
        assert decoder.active == 1
        decoder.admit(WorkItem("r1", engine.request(1)))  # into the same slot
        return alone, engine.collect(engine.drain(decoder))

    alone, found = on(run)
    assert sorted(found) == ["r0", "r1"]
    np.testing.assert_array_equal(found["r1"], alone)


def test_runs_end_at_the_given_numbers_of_codes(on, cpu, engine):
    def run():
        decoder = Decoder(engine.gpt(8, CONTEXT, cpu.torch_device), cpu, emit_at=(6, 9, 17), emit_every=5)
        decoder.admit(WorkItem("a", engine.request(1, max_tokens=21)))
        return engine.drain(decoder)

    assert [len(e.value) for e in on(run)] == [6, 3, 5, 3, 4]


def test_the_first_run_ends_at_emit_at_and_later_runs_every_emit_every(on, decoder, engine):
    def run():
        decoder.admit(WorkItem("a", engine.request(1, max_tokens=21)))
        return engine.drain(decoder)

    events = on(run)
    assert [len(e.value) for e in events] == [6, 4, 4, 4, 3]
    assert [e.index for e in events] == [0, 6, 10, 14, 18]
    assert [e.done for e in events] == [False] * 4 + [True]
    assert all(e.value.codes.dtype == np.int64 and e.value.spoken.shape == (len(e.value),) for e in events)


@pytest.mark.parametrize("delivered", [1, 6, 13, 30])
def test_a_resumed_sequence_equals_an_uninterrupted_one(on, cpu, engine, delivered):
    def run():
        whole = engine.decode(fresh(engine, cpu), {"a": engine.request(3, repetition_penalty=1.3)})["a"]
        assert len(whole) > 30
        resumed = engine.request(3, repetition_penalty=1.3).resume(
            [Run(whole[:4][:delivered]), Run(whole[4:delivered])]
        )
        others = {f"r{i}": engine.request(i) for i in (4, 5)}
        decoder = fresh(engine, cpu)
        decoder.admit(WorkItem("a", resumed))
        for name, request in others.items():
            decoder.admit(WorkItem(name, request))
        events = engine.drain(decoder)
        return whole, [e for e in events if e.id == "a"]

    whole, events = on(run)
    assert events[0].index == delivered
    np.testing.assert_array_equal(np.concatenate([e.value.codes for e in events]), whole[delivered:])
    assert events[-1].done


def test_a_prefix_is_forced_even_if_the_model_would_sample_other_codes(on, decoder, engine):
    def run():
        prefix = np.arange(9) % 5
        return engine.decode(decoder, {"a": engine.request(2).resume([Run(prefix)])}), engine.decode(
            decoder, {"a": engine.request(2)}
        )

    followed, free = on(run)
    assert not np.array_equal(followed["a"][:5], free["a"][9:14])


@pytest.mark.parametrize("extra", [0, 3])
def test_a_complete_prefix_ends_at_once_without_codes(on, cpu, engine, extra):
    def run():
        whole = engine.decode(fresh(engine, cpu), {"a": engine.request(6)})["a"]
        limit = 90 if extra == 0 else len(whole)
        decoder = fresh(engine, cpu)
        decoder.admit(WorkItem("a", engine.request(6, max_tokens=limit).resume([Run(whole)])))
        return len(whole), engine.drain(decoder)

    length, events = on(run)
    assert [(e.value, e.done, e.index) for e in events] == [(None, True, length)]


def test_max_tokens_and_the_context_end_a_sequence_without_an_error(on, cpu, engine):
    def run():
        short = engine.decode(fresh(engine, cpu), {"a": engine.request(9, max_tokens=5)})["a"]
        request = engine.request(9, max_tokens=10_000, temperature=3.0, top_k=0)
        return (
            short,
            len(request.segment.token_ids),
            engine.decode(fresh(engine, cpu, context=24), {"a": request})["a"],
        )

    short, text, long = on(run)
    assert len(short) == 5
    assert len(long) == 24 - text


def test_the_last_run_reports_whether_the_model_stopped(on, cpu, engine):
    def run():
        decoder = fresh(engine, cpu)
        for name, request in {"cut": engine.request(9, max_tokens=5), "whole": engine.request(2)}.items():
            decoder.admit(WorkItem(name, request))
        return engine.drain(decoder)

    ends = [(event.id, event.done, event.value.cut) for event in on(run)]
    assert ("cut", True, True) in ends and ("whole", True, False) in ends
    assert all(done or not cut for _, done, cut in ends)


def test_cancel_frees_the_slot_at_once_and_affects_no_other_sequence(on, cpu, engine):
    def run():
        alone = engine.decode(fresh(engine, cpu, slots=2), {"b": engine.request(3)})["b"]
        decoder = fresh(engine, cpu, slots=2)
        decoder.admit(WorkItem("a", engine.request(1)))
        decoder.admit(WorkItem("b", engine.request(3)))
        events = [event for _ in range(5) for event in decoder.step()]
        decoder.cancel("a")
        decoder.cancel("unknown")
        assert decoder.active == 1
        decoder.admit(WorkItem("c", engine.request(5)))
        decoder.cancel("c")  # still waiting for its prefill
        decoder.admit(WorkItem("d", engine.request(5)))
        events += engine.drain(decoder)
        return alone, [e for e in events if e.id != "a"], {e.id for e in events}

    alone, events, ids = on(run)
    assert ids == {"b", "d"}
    np.testing.assert_array_equal(engine.collect(events)["b"], alone)


def test_more_items_than_slots_or_a_duplicate_id_are_refused(on, decoder, engine):
    def run():
        for i in range(7):
            decoder.admit(WorkItem(f"r{i}", engine.request(i)))
        with pytest.raises(RuntimeError, match="already"):
            decoder.admit(WorkItem("r1", engine.request(1)))
        decoder.admit(WorkItem("r7", engine.request(7)))
        with pytest.raises(RuntimeError, match="slot"):
            decoder.admit(WorkItem("r8", engine.request(8)))

    on(run)


def test_a_row_of_nan_fails_alone(on, cpu, engine):
    def run():
        alone = engine.decode(fresh(engine, cpu), {"good": engine.request(3)})
        bad = engine.request(4)
        bad.prompt.tensors["voice"][:] = np.nan
        decoder = fresh(engine, cpu)
        decoder.admit(WorkItem("good", engine.request(3)))
        decoder.admit(WorkItem("bad", bad))
        events = engine.drain(decoder)
        after = engine.decode(
            decoder, {"good": engine.request(3)}
        )  # the slots still hold NaN outside the mask
        return alone, after, events

    alone, after, events = on(run)
    failed = [e for e in events if e.id == "bad"]
    assert len(failed) == 1
    assert isinstance(failed[0].error, SynthesisFailed)
    good = engine.collect([e for e in events if e.id == "good"])
    np.testing.assert_array_equal(good["good"], alone["good"])
    np.testing.assert_array_equal(after["good"], alone["good"])


def test_a_prefill_that_raises_fails_only_its_own_item(on, decoder, engine):
    def run():
        bad = engine.request(4)
        bad.segment.token_ids[2] = 999  # no such row in the embedding
        decoder.admit(WorkItem("bad", bad))
        decoder.admit(WorkItem("good", engine.request(3)))
        return engine.drain(decoder)

    events = on(run)
    failed = [e for e in events if e.id == "bad"]
    assert len(failed) == 1
    assert isinstance(failed[0].error, SynthesisFailed)
    assert "999" not in failed[0].error.message
    assert len(engine.collect([e for e in events if e.id == "good"])["good"]) > 0


def test_a_rejected_prefix_fails_only_its_own_item(on, decoder, engine):
    def run():
        decoder.admit(WorkItem("bad", engine.request(4).resume([Run(np.array([3, 5000, 2]))])))
        decoder.admit(WorkItem("good", engine.request(3)))
        return engine.drain(decoder)

    events = on(run)
    assert [type(e.error) for e in events if e.id == "bad"] == [SynthesisFailed]
    assert engine.collect([e for e in events if e.id == "good"])


@pytest.mark.parametrize("read_late", [False, True])
def test_segments_with_sound_pause_for_a_first_sound_and_keep_their_codes(on, cpu, engine, read_late):
    def first_event_of_the_newcomer(crowd):
        model = engine.gpt(8, CONTEXT, cpu.torch_device)
        decoder = Decoder(
            model, cpu, emit_at=(12,), emit_every=4, first_sound_first=crowd, read_late=read_late
        )
        endless(decoder)
        for i in range(4):
            decoder.admit(WorkItem(f"r{i}", engine.request(i)))
        events = [event for _ in range(25) for event in decoder.step()]
        before = decoder.stats()
        decoder.admit(WorkItem("new", engine.request(9)))
        while not any(event.id == "new" for event in events):
            events += decoder.step()
        rows = (
            decoder.stats()["mean_batch"] * decoder.stats()["steps"] - before["mean_batch"] * before["steps"]
        )
        return rows, engine.collect(events + engine.drain(decoder))

    (plain, codes), (alone, same), (few, too) = on(
        lambda: [first_event_of_the_newcomer(crowd) for crowd in (0, 5, 6)]
    )
    assert alone <= 16 and plain == few >= 5 * 12
    for name in codes:
        np.testing.assert_array_equal(codes[name], same[name])
        np.testing.assert_array_equal(codes[name], too[name])


def test_no_segment_pauses_for_later_segments_or_for_resumed_ones(on, cpu, engine):
    def rows_of_a_step(late):
        model = engine.gpt(8, CONTEXT, cpu.torch_device)
        decoder = Decoder(model, cpu, emit_at=(12,), first_sound_first=2)
        endless(decoder)
        decoder.admit(WorkItem("old", engine.request(1)))
        for _ in range(20):
            decoder.step()
        decoder.admit(late)
        while decoder.stats()["running"] < 2:
            decoder.step()
        before = decoder.stats()
        for _ in range(4):
            decoder.step()
        return round(
            decoder.stats()["mean_batch"] * decoder.stats()["steps"] - before["mean_batch"] * before["steps"]
        )

    later = WorkItem("later", engine.request(9), priority=1)
    resumed = WorkItem("resumed", engine.request(3).resume([Run(np.array([3, 5, 2]))]))
    first = WorkItem("first", engine.request(9))
    assert on(lambda: [rows_of_a_step(late) for late in (later, resumed, first)]) == [8, 8, 4]


def test_background_work_pauses_while_a_first_sound_is_awaited_and_says_the_same(on, cpu, engine):
    def spoken(newcomer):
        model = engine.gpt(8, CONTEXT, cpu.torch_device)
        decoder = Decoder(model, cpu, emit_at=(16,), emit_every=4)
        endless(decoder)
        for i in range(3):
            decoder.admit(WorkItem(f"background{i}", engine.request(i), priority=BACKGROUND))
        events = [event for _ in range(12) for event in decoder.step()]
        if newcomer:
            decoder.admit(WorkItem("new", engine.request(9)))
            while not any(event.id == "new" for event in events):
                before = _rows(decoder)
                events += decoder.step()
                rows.append(_rows(decoder) - before)
        return engine.collect(events + engine.drain(decoder))

    rows: list[int] = []
    alone, beside = on(lambda: [spoken(newcomer) for newcomer in (False, True)])
    assert set(rows) == {1, 4}, "alone in most steps"
    assert rows.count(4) == len(rows) // PATIENCE == 2
    for name, codes in alone.items():
        np.testing.assert_array_equal(codes, beside[name])


def test_a_listener_is_prefilled_before_background_work_that_came_earlier(on, cpu, engine):
    def first_event():
        decoder = Decoder(engine.gpt(8, CONTEXT, cpu.torch_device), cpu, emit_at=(1,))
        endless(decoder)
        decoder.admit(WorkItem("background", engine.request(1), priority=BACKGROUND))
        decoder.admit(WorkItem("listener", engine.request(2)))
        while not (events := decoder.step()):
            pass
        return events[0].id

    assert on(first_event) == "listener"


def test_requeued_background_work_keeps_its_priority(on, cpu, engine):
    def run():
        model = engine.gpt(8, CONTEXT, cpu.torch_device)
        decoder = Decoder(model, cpu, emit_at=(12,), first_sound_first=2)
        endless(decoder)
        decoder.admit(WorkItem("heard", engine.request(1)))
        for _ in range(20):
            decoder.step()
        for i in range(2):
            decoder.admit(WorkItem(f"background{i}", engine.request(i + 2), priority=10))
        while decoder.stats()["running"] < 3:
            decoder.step()
        step, model.step = model.step, _raises
        decoder.step()
        model.step = step
        while decoder.stats()["running"] < 3:
            decoder.step()
        before = _rows(decoder)
        for _ in range(4):
            decoder.step()
        return _rows(decoder) - before

    assert on(run) == 4 * 3, "a segment with sound pauses for none of them"


def _raises(rows, length):
    raise IndexError("index out of range")


def _rows(decoder):
    stats = decoder.stats()
    return round(stats["mean_batch"] * stats["steps"])


def failing_where(model, fails):
    """The model's step, which raises if fails(rows)."""
    step = model.step

    def poisoned(rows, length):
        if fails(rows):
            raise IndexError("index out of range")
        return step(rows, length)

    model.step = poisoned


def test_a_sequence_that_breaks_a_step_fails_alone_and_the_others_keep_their_codes(on, cpu, engine):
    def run():
        requests = {f"r{i}": engine.request(i) for i in range(5)}
        sound = engine.decode(fresh(engine, cpu), requests)
        decoder = fresh(engine, cpu)
        model = decoder._model
        voice = torch.from_numpy(requests["r2"].prompt.tensors["voice"])
        length = len(requests["r2"].segment.token_ids) + 9

        def is_the_bad_one(rows):
            return bool(
                ((model.voice[rows] == voice).all(-1) & (model.cache.positions[rows] >= length)).any()
            )

        failing_where(model, is_the_bad_one)
        for name, request in requests.items():
            decoder.admit(WorkItem(name, request))
        return sound, engine.drain(decoder), decoder.failing

    sound, events, failing = on(run)
    errors = {e.id: e.error for e in events if e.error is not None}
    assert list(errors) == ["r2"]
    assert isinstance(errors["r2"], SynthesisFailed)
    assert failing == 0
    found = engine.collect([e for e in events if e.id != "r2"])
    for name in ("r0", "r1", "r3", "r4"):
        np.testing.assert_array_equal(found[name], sound[name])


@pytest.mark.parametrize("read_late", [False, True])
def test_a_batch_that_is_too_large_for_the_device_is_decoded_one_by_one(on, cpu, engine, read_late):
    def run():
        requests = {f"r{i}": engine.request(i) for i in range(4)}
        sound = engine.decode(fresh(engine, cpu), requests)
        model = engine.gpt(8, CONTEXT, cpu.torch_device)
        decoder = Decoder(model, cpu, emit_at=(6,), emit_every=4, read_late=read_late)
        failing_where(model, lambda rows: len(rows) > 3)
        return sound, engine.decode(decoder, requests), decoder.stats()["failed_steps"]

    sound, found, failed_steps = on(run)
    assert failed_steps == 1
    assert sorted(found) == sorted(sound)
    for name in sound:
        np.testing.assert_array_equal(found[name], sound[name])


def test_a_device_that_always_fails_fails_every_item_and_is_reported(on, cpu, engine):
    def run():
        decoder = fresh(engine, cpu)
        failing_where(decoder._model, lambda rows: True)
        for i in range(4):
            decoder.admit(WorkItem(f"r{i}", engine.request(i)))
        return engine.drain(decoder), decoder.failing

    events, failing = on(run)
    assert {e.id: type(e.error) for e in events} == dict.fromkeys(("r0", "r1", "r2", "r3"), SynthesisFailed)
    assert failing >= 4


def test_non_finite_values_in_a_slot_never_reach_the_next_sequence(on, cpu, engine):
    def run():
        alone = engine.decode(fresh(engine, cpu), {"a": engine.request(3)})["a"]
        decoder = fresh(engine, cpu)
        nan = engine.request(7)
        voice = np.full_like(nan.prompt.tensors["voice"], np.nan)
        lost = replace(nan, prompt=VoicePrompt.of("tiny", {"voice": voice}))
        decoder.admit(WorkItem("lost", lost))
        events = engine.drain(decoder)
        return alone, events, engine.decode(decoder, {"a": engine.request(3)})["a"], decoder

    alone, events, after, decoder = on(run)
    assert [type(e.error) for e in events] == [SynthesisFailed]
    assert all(layer.isfinite().all() for layer in decoder._model.cache.layers)
    np.testing.assert_array_equal(after, alone)


def test_all_device_work_runs_on_the_device_thread(on, thread, decoder, engine):
    on(engine.decode, decoder, {f"r{i}": engine.request(i) for i in range(4)})
    assert decoder._model.threads == {thread.thread_id}
    assert on(decoder.status)["thread_id"] == thread.thread_id
    for call in (decoder.step, decoder.warm_up, lambda: decoder.cancel("a"), lambda: decoder.admit(None)):
        with pytest.raises(RuntimeError, match="device thread"):
            call()


def test_the_caches_never_grow_or_move(on, decoder, engine):
    def addresses():
        cache = decoder._model.cache
        return cache.bytes, [layer.data_ptr() for layer in cache.layers], cache.positions.data_ptr()

    def run():
        before = addresses()
        for _ in range(3):
            engine.decode(decoder, {f"r{i}": engine.request(i) for i in range(8)})
        return before, addresses(), decoder._model.cache.positions[decoder.slots].item()

    before, after, scratch = on(run)
    assert before == after
    assert scratch == 0


def test_warm_up_leaves_no_state(on, cpu, engine):
    def run():
        cold, warm = fresh(engine, cpu), fresh(engine, cpu)
        warm.warm_up()
        return [engine.decode(d, {"a": engine.request(3)})["a"] for d in (cold, warm)]

    cold, warm = on(run)
    np.testing.assert_array_equal(cold, warm)
