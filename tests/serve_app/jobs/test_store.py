"""The tables of jobs, on SQLite and on Postgres."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from deployments.contract.errors import InvalidInput, NotFound
from serve_app.jobs.access import Stores
from serve_app.jobs.database import Database, now
from serve_app.jobs.models import Base
from serve_app.jobs.segments import MOST_FAILURES, MOST_LEASES, Counts, Planned
from serve_app.jobs.store import LeaseLost

LEASE = 30.0


def planned(count: int, characters: int = 5) -> list[Planned]:
    return [Planned(n, (0, characters), "a" * characters, "", 0.25) for n in range(count)]


def begun(stores: Stores, owner: str = "me", segments: int = 3) -> str:
    """A job that `owner` works on."""
    job_id = stores.jobs.add("A title", {}).id
    claimed = stores.jobs.claim(owner, LEASE, 100)
    assert claimed is not None and claimed.id == job_id
    stores.segments.add_chapter(job_id, owner, 0, "One", planned(segments))
    return job_id


def expire(stores: Stores, job_id: str, owner: str) -> None:
    stores.jobs.beat(job_id, owner, -1.0, 0.0, {})


def test_the_migrations_make_the_tables_of_the_models(stores: Stores) -> None:
    stores.jobs.add("", {})
    with stores.jobs.database.transaction() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_server_default": False})
        assert compare_metadata(context, Base.metadata) == []


def test_many_processes_may_open_a_new_database_at_once(database: Database) -> None:
    def opened() -> bool:
        other = Database(
            database._url.render_as_string(hide_password=False)
            .replace("+pysqlite", "")
            .replace("+pg8000", "")
        )
        try:
            with other.reading():
                return True
        finally:
            other.close()

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda _: opened(), range(6)))


def test_the_newest_jobs_are_listed_first_and_in_pages(stores: Stores) -> None:
    ids = [stores.jobs.add(f"{n}", {"n": n}).id for n in range(5)][::-1]
    assert [row.id for row in stores.jobs.list(100)] == ids
    assert [row.id for row in stores.jobs.list(2, ids[1])] == ids[2:4]
    assert stores.jobs.positions() == {job_id: place for place, job_id in enumerate(ids[::-1], 1)}
    assert stores.jobs.get(ids[0]).request == {"n": 4}


@pytest.mark.parametrize(
    "job_id", ["", "job_", "job_" + "0" * 24, "x\0y", "é" * 100, "'; DROP TABLE jobs; --"]
)
def test_an_unknown_job_is_not_found(stores: Stores, job_id: str) -> None:
    for call in (stores.jobs.get, stores.jobs.cancel, stores.jobs.delete):
        with pytest.raises(NotFound) as caught:
            call(job_id)
        assert (caught.value.param, caught.value.code) == ("job_id", "job_not_found")


def test_no_more_jobs_than_allowed_are_worked_on_at_once_and_the_oldest_comes_first(stores: Stores) -> None:
    first, second, third = (stores.jobs.add("", {}).id for _ in range(3))
    claimed = [stores.jobs.claim(owner, LEASE, 2) for owner in ("a", "b", "c")]
    assert [row and row.id for row in claimed] == [first, second, None]
    assert claimed[0] is not None and claimed[0].state == "initialising" and claimed[0].started_at
    stores.jobs.end(first, "a", "done", "Done.")
    row = stores.jobs.claim("a", LEASE, 2)
    assert row is not None and row.id == third
    assert stores.jobs.positions() == {}


def test_many_runners_claim_every_job_once(stores: Stores) -> None:
    ids = {stores.jobs.add("", {}).id for _ in range(12)}
    together = threading.Barrier(6)

    def claim(owner: int) -> list[str]:
        together.wait()
        return [row.id for _ in range(4) if (row := stores.jobs.claim(f"{owner}", LEASE, 100)) is not None]

    with ThreadPoolExecutor(6) as pool:
        claimed = [job_id for found in pool.map(claim, range(6)) for job_id in found]
    assert len(claimed) == 12 and set(claimed) == ids


def test_two_runners_that_race_for_a_segment_do_not_both_record_it(stores: Stores) -> None:
    """The first one stalls until its lease expires; the second takes the job over."""
    job_id = begun(stores, "slow", segments=2)
    (row, _) = stores.segments.lease(job_id, "slow", 2, LEASE)
    expire(stores, job_id, "slow")
    taken = stores.jobs.claim("fast", LEASE, 100)
    assert taken is not None and taken.id == job_id
    again = stores.segments.lease(job_id, "fast", 2, LEASE)
    assert [segment.index for segment in again] == [0, 1]
    together = threading.Barrier(2)

    def record(owner: str) -> bool:
        together.wait()
        return stores.segments.spoken(job_id, row.index, owner, sound=owner, samples=10)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(record, ("slow", "fast"))) == [False, True]
    assert stores.segments.page(job_id)[0].sound == "fast"
    for call in (
        lambda: stores.segments.lease(job_id, "slow", 1, LEASE),
        lambda: stores.jobs.beat(job_id, "slow", LEASE, 1.0, {}),
        lambda: stores.jobs.end(job_id, "slow", "done", "Done."),
        lambda: stores.segments.add_chapter(job_id, "slow", 1, "Two", planned(1)),
        lambda: stores.jobs.pause(job_id, "slow", "The disk is full.", 1.0),
    ):
        with pytest.raises(LeaseLost):
            call()


def test_a_leased_segment_is_not_leased_again_until_its_lease_expires(stores: Stores) -> None:
    job_id = begun(stores)
    assert [row.index for row in stores.segments.lease(job_id, "me", 2, LEASE)] == [0, 1]
    assert [row.index for row in stores.segments.lease(job_id, "me", 5, LEASE)] == [2]
    assert stores.segments.lease(job_id, "me", 5, LEASE) == []
    stores.jobs.free("me")
    assert stores.jobs.claim("other", LEASE, 1) is not None
    assert len(stores.segments.lease(job_id, "other", 5, LEASE)) == 3


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
def test_a_runner_whose_clock_differs_takes_nothing_from_others(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    job_id = begun(stores)
    assert len(stores.segments.lease(job_id, "me", 1, LEASE)) == 1
    at = time.time() + ahead_s
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(time, "time", lambda: at)
        assert stores.jobs.claim("other", LEASE, 100) is None
        assert stores.jobs.cancel(job_id).state != "cancelled", "its runner is alive, and will notice"
    assert stores.jobs.beat(job_id, "me", LEASE, 0.0, {})
    expire(stores, job_id, "me")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(time, "time", lambda: at)
        stores.jobs.claim("other", LEASE, 100)
    assert stores.jobs.get(job_id).state == "cancelled"


def test_the_clock_is_the_databases(stores: Stores) -> None:
    with stores.jobs.database.reading() as session:
        assert now(session) == pytest.approx(time.time(), abs=60)


def test_a_segment_that_fails_three_times_is_a_fault(stores: Stores) -> None:
    job_id = begun(stores, segments=1)
    for _ in range(MOST_FAILURES):
        (row,) = stores.segments.lease(job_id, "me", 1, LEASE)
        assert stores.segments.failed(job_id, 0, "me", "It broke.", final=False)
    assert stores.segments.lease(job_id, "me", 1, LEASE) == []
    (row,) = stores.segments.page(job_id)
    assert (row.state, row.error) == ("faulty", "It broke.")
    assert not stores.segments.failed(job_id, 0, "me", "Again.", final=False)


def test_a_segment_whose_process_dies_each_time_becomes_a_fault(stores: Stores) -> None:
    job_id = begun(stores, segments=1)
    for number in range(MOST_LEASES):
        assert len(stores.segments.lease(job_id, "me" if not number else f"{number}", 1, LEASE)) == 1
        stores.jobs.free("me" if not number else f"{number}")
        assert stores.jobs.claim(f"{number + 1}", LEASE, 1) is not None
    assert stores.segments.lease(job_id, f"{MOST_LEASES}", 1, LEASE) == []
    assert stores.segments.page(job_id)[0].state == "faulty"


def test_a_job_that_is_given_back_or_paused_costs_its_segments_no_try(stores: Stores) -> None:
    job_id = begun(stores, segments=2)
    stores.segments.lease(job_id, "me", 2, LEASE)
    stores.jobs.pause(job_id, "me", "The disk is full.", 0.0)
    row = stores.jobs.get(job_id)
    assert (row.paused, row.owner, row.state) == ("The disk is full.", None, "initialising")
    assert [segment.leases for segment in stores.segments.page(job_id)] == [0, 0]
    assert stores.jobs.claim("me", LEASE, 1) is not None
    stores.segments.lease(job_id, "me", 2, LEASE)
    stores.jobs.give_back(job_id, "me")
    assert [(segment.leases, segment.owner) for segment in stores.segments.page(job_id)] == [(0, None)] * 2


def test_a_paused_job_waits_and_leaves_its_place_to_others(stores: Stores) -> None:
    paused, other = begun(stores), stores.jobs.add("", {}).id
    stores.jobs.pause(paused, "me", "The model is starting.", 60.0)
    row = stores.jobs.claim("me", LEASE, 1)
    assert row is not None and row.id == other
    stores.jobs.end(other, "me", "done", "Done.")
    assert stores.jobs.claim("me", LEASE, 1) is None


def test_a_job_in_the_queue_is_cancelled_at_once_and_an_active_one_by_its_runner(stores: Stores) -> None:
    active, queued = begun(stores), stores.jobs.add("", {}).id
    assert stores.jobs.cancel(queued).state == "cancelled"
    assert stores.jobs.cancel(active).state == "initialising"
    assert stores.jobs.beat(active, "me", LEASE, 1.0, {}) is True
    stores.jobs.end(active, "me", "cancelled", "The job was cancelled.")
    assert stores.jobs.get(active).state == "cancelled"
    assert stores.jobs.cancel(active).state == "cancelled"


def test_a_job_whose_runner_died_before_it_noticed_is_cancelled_all_the_same(stores: Stores) -> None:
    job_id = begun(stores)
    stores.jobs.cancel(job_id)
    expire(stores, job_id, "me")
    assert stores.jobs.claim("other", LEASE, 1) is None
    assert stores.jobs.get(job_id).state == "cancelled"


def test_deleting_a_job_names_the_sounds_that_no_other_job_has(stores: Stores) -> None:
    ids = []
    for sounds in (("one", "both", "one"), ("both", "two", "two")):
        job_id = begun(stores, "me")
        for row, sound in zip(stores.segments.lease(job_id, "me", 3, LEASE), sounds, strict=True):
            assert stores.segments.spoken(job_id, row.index, "me", sound=sound, samples=7)
        stores.jobs.end(job_id, "me", "done", "Done.")
        ids.append(job_id)
    assert stores.jobs.used(["one", "none"]) == {"one"}
    assert stores.jobs.delete(ids[0])[1] == ["one"]
    assert stores.jobs.used(["one", "both"]) == {"both"}
    assert stores.segments.page(ids[0]) == [] and stores.jobs.lines(ids[0]) == []
    assert sorted(stores.jobs.delete(ids[1])[1]) == ["both", "two"]


def test_a_deleted_job_is_lost_for_its_runner(stores: Stores) -> None:
    job_id = begun(stores)
    stores.jobs.delete(job_id)
    with pytest.raises(LeaseLost):
        stores.jobs.beat(job_id, "me", LEASE, 1.0, {})
    assert not stores.segments.spoken(job_id, 0, "me", sound="x", samples=1)
    stores.jobs.log(job_id, "nothing")
    assert stores.jobs.lines(job_id) == []


def test_the_counts_of_each_chapter(stores: Stores) -> None:
    job_id = begun(stores, segments=2)
    stores.segments.add_chapter(
        job_id, "me", 4, "Four", [*planned(2, 3), Planned(2, (0, 2), "??", "", 0, "No.")]
    )
    assert stores.segments.chapters(job_id) == [(0, "One"), (4, "Four")]
    first, *_ = stores.segments.lease(job_id, "me", 9, LEASE)
    stores.segments.spoken(job_id, first.index, "me", sound="s", samples=160, retried=True, cut=True)
    counts = stores.segments.counts(job_id)
    assert counts[0] == Counts(2, 1, 0, 10, 5, 160, 1, 1)
    assert counts[4] == Counts(3, 0, 1, 8, 2, 0, 0, 0)
    assert Counts.sum(counts.values()) == Counts(5, 1, 1, 18, 7, 160, 1, 1)
    assert [row.index for row in stores.segments.all(job_id)] == [0, 1, 2, 3, 4]
    assert [row.index for row in stores.segments.page(job_id, chapter=4, after=2)] == [3, 4]


def test_a_segment_of_a_finished_job_is_said_again(stores: Stores) -> None:
    job_id = begun(stores, segments=1)
    with pytest.raises(InvalidInput):
        stores.segments.redo(job_id, 0, {"seed": 3})
    (row,) = stores.segments.lease(job_id, "me", 1, LEASE)
    stores.segments.spoken(job_id, 0, "me", sound="s", samples=9)
    stores.jobs.end(job_id, "me", "done", "Done.", plan={"complete": True})
    with pytest.raises(NotFound):
        stores.segments.redo(job_id, 1, {"seed": 3})
    stores.segments.redo(job_id, 0, {"seed": 3, "text": "Other."})
    (row,) = stores.segments.page(job_id)
    assert (row.state, row.seed, row.text, row.sound, row.samples) == ("waiting", 3, "Other.", None, 0)
    assert stores.jobs.get(job_id).state == "generating"
    claimed = stores.jobs.claim("me", LEASE, 1)
    assert claimed is not None and claimed.id == job_id


def test_a_runner_does_not_claim_a_job_that_it_works_on_already(stores: Stores) -> None:
    job_id = begun(stores)
    expire(stores, job_id, "me")
    assert stores.jobs.claim("me", LEASE, 2, held=[job_id]) is None
    claimed = stores.jobs.claim("other", LEASE, 2)
    assert claimed is not None and claimed.id == job_id


def test_a_job_that_exists_is_not_added_again(stores: Stores) -> None:
    first = stores.jobs.add("A title", {"seed": 1})
    again = stores.jobs.add("Another title", {"seed": 2}, first.id)
    assert (again.number, again.title, again.request) == (first.number, "A title", {"seed": 1})
    assert len(stores.jobs.list(9)) == 1 and len(stores.jobs.lines(first.id)) == 1
