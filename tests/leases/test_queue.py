from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.leases.queue import AgingQueue


def pop(queue: AgingQueue[str]) -> str | None:
    first = queue.peek()
    return None if first is None else queue.remove(str(first))


def drain(queue: AgingQueue[str]) -> list[str]:
    return [pop(queue) for _ in range(len(queue))]


@given(st.lists(st.integers(0, 5), max_size=60))
def test_order_is_by_priority_and_then_by_arrival(priorities):
    queue: AgingQueue[str] = AgingQueue(patience=10)
    for number, priority in enumerate(priorities):
        queue.put(str(number), str(number), priority, now=0.0)
    expected = [str(number) for number, _ in sorted(enumerate(priorities), key=lambda pair: pair[1])]
    assert drain(queue) == expected


@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(0, 100)), min_size=1, max_size=60), st.floats(0.1, 10)
)
def test_much_later_work_overtakes_nothing(entries, patience):
    entries = sorted(entries, key=lambda entry: entry[1])
    queue: AgingQueue[int] = AgingQueue(patience)
    for number, (priority, now) in enumerate(entries):
        queue.put(str(number), number, priority, now)
    order = drain(queue)
    assert sorted(order) == list(range(len(entries)))
    place = {number: index for index, number in enumerate(order)}
    for early, (low, since) in enumerate(entries):
        for late in range(early + 1, len(entries)):
            high, then = entries[late]
            if then > since + (low - high) * patience + 1e-6:
                assert place[early] < place[late]


@given(st.data())
def test_the_queue_matches_a_sorted_list(data):
    queue: AgingQueue[str] = AgingQueue(patience=1.0)
    front: list[tuple[int, str]] = []
    waiting: list[tuple[float, int, str]] = []
    taken: dict[str, int] = {}
    now, made = 0.0, 0
    for _ in range(data.draw(st.integers(0, 50))):
        now += 0.1
        action = data.draw(st.sampled_from(["put", "pop", "remove", "put_back"]))
        if action == "put":
            priority = data.draw(st.integers(0, 3))
            key = f"k{made}"
            number = queue.put(key, key, priority, now)
            waiting.append((now + priority, number, key))
            made += 1
        elif action == "pop":
            front.sort()
            waiting.sort()
            if front:
                number, key = front.pop(0)
            elif waiting:
                _, number, key = waiting.pop(0)
            else:
                assert queue.peek() is None and pop(queue) is None
                continue
            assert queue.peek() == key
            assert pop(queue) == key
            taken[key] = number
        elif action == "remove" and (front or waiting):
            key = data.draw(st.sampled_from([entry[-1] for entry in front + waiting]))
            assert queue.remove(key) == key
            assert queue.remove(key) is None
            front = [entry for entry in front if entry[-1] != key]
            waiting = [entry for entry in waiting if entry[-1] != key]
        elif action == "put_back" and taken:
            key, number = taken.popitem()
            queue.put_back(key, key, number)
            front.append((number, key))
        assert len(queue) == len(front) + len(waiting)


def test_an_id_can_wait_only_once():
    queue: AgingQueue[str] = AgingQueue()
    number = queue.put("a", "a", 0, 0.0)
    with pytest.raises(KeyError):
        queue.put("a", "again", 0, 0.0)
    pop(queue)
    queue.put_back("a", "a", number)
    with pytest.raises(KeyError):
        queue.put_back("a", "a", number)


def test_patience_must_be_positive():
    with pytest.raises(ValueError, match="starve"):
        AgingQueue(patience=0)
