from __future__ import annotations

from deployments.engine.pace import BUFFER_S, MARGIN_S, Pace

ENDS, RIGHT, RATE = (26, 38, 52, 70), 16, 50.0


def pace(now: float, step_s: float = 0.01) -> Pace:
    made = Pace(ENDS, RIGHT, RATE, clock=lambda: now)
    made.took(step_s)
    return made


def test_a_chunk_is_early_as_long_as_those_before_it_are_heard_and_what_a_player_has():
    # 10 codes, 0.2 s, are heard from 5.0 on; 12 are missing, which take 0.12 s, and the step that is missed 0.01 s
    latest = 5.0 + 0.2 + BUFFER_S - 0.13 - MARGIN_S
    assert pace(latest - 1e-6).can_wait(26, 5.0)
    assert not pace(latest + 1e-6).can_wait(26, 5.0)
    assert not pace(latest - 1e-6, step_s=0.02).can_wait(26, 5.0)
    assert pace(latest + 0.06 - 1e-6).can_wait(32, 5.0), "six codes on, half as many are missing"
    assert pace(latest + 0.2).can_wait(38, 5.0), "the second chunk is heard next"


def test_behind_the_last_chunk_nothing_is_missing_and_before_the_first_nothing_is_heard():
    latest = 5.0 + 54 / RATE + BUFFER_S - MARGIN_S - 0.01
    assert pace(latest - 1e-6).can_wait(75, 5.0)
    assert not pace(latest + 1e-6).can_wait(75, 5.0)
    assert not pace(0.0).can_wait(25, 5.0)


def test_the_length_of_a_step_follows_what_steps_take():
    slow = pace(5.2, step_s=1.0)
    assert not slow.can_wait(37, 5.0)
    for _ in range(60):
        slow.took(0.001)
    assert slow.can_wait(37, 5.0)
