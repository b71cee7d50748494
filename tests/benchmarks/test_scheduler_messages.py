"""The cost of a message on a real Ray: the counts are those of the requests, the CPU time is the process's."""

from __future__ import annotations


def test_messages_and_their_cpu_time_are_measured(run):
    row = run("scheduler_messages", "--slots", "4", "--codes", "20", "--requests", "40", "--idle", "1")
    assert row["sequences"] == 40
    assert row["messages_per_sequence"] > 4, "a request, its acknowledgement, and at least two events"
    assert 0 < row["loop_us_per_message"] <= row["us_per_message"]
    assert 0 < row["share"] < 1.05
