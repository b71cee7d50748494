"""The limit of the queue: a burst is accepted, an overload is not, and missing replicas are waited for."""

from __future__ import annotations

from deployments.leases.admission import PRESSED_S, Admission


def test_a_burst_may_fill_the_slots_twice():
    admission = Admission(None, max_backlog=100)
    assert [admission.limit(slots, missing=False, now=0.0) for slots in (0, 1, 8, 32)] == [10, 10, 10, 32]
    assert Admission(5, max_backlog=100).limit(8, missing=False, now=0.0) == 5


def test_a_burst_in_slots_of_its_own_need_not_wait():
    admission = Admission(None, max_backlog=100)
    limits = [
        admission.limit(slots, False, 0.0, burst) for slots, burst in ((8, 4), (8, 10), (32, 10), (4, 20))
    ]
    assert limits == [6, 0, 22, 0]
    assert Admission(5, max_backlog=100).limit(8, False, 0.0, burst_slots=10) == 5, "as configured"


def test_none_may_wait_until_some_time_after_the_last_rejection():
    for configured, usual in ((None, 32), (80, 80)):
        admission = Admission(configured, max_backlog=100)
        admission.rejected(now=1.0)
        assert admission.limit(32, missing=False, now=1.0) == 0
        admission.rejected(now=2.0)
        assert admission.limit(32, missing=False, now=1.9 + PRESSED_S) == 0
        assert admission.limit(32, missing=False, now=2.1 + PRESSED_S) == usual


def test_what_accumulates_while_replicas_are_missing_is_worked_off():
    admission = Admission(None, max_backlog=40)
    admission.rejected(now=0.0)
    assert admission.limit(0, missing=True, now=0.0) == 40
    limits = []
    for waiting in range(20, 0, -1):
        admission.granted(waiting)
        limits.append(admission.limit(16, missing=False, now=0.0))
    assert limits == list(range(39, 19, -1)), "one less for each slot that was given"
    admission.granted(waiting=0)
    assert admission.limit(16, missing=False, now=0.0) == 0
