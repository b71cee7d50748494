from __future__ import annotations

import numpy as np
import psutil
import pytest
import torch

from deployments.contract.errors import DoesNotFit
from deployments.engine.device import cgroup, memory
from deployments.engine.device.memory_report import held

CPU = torch.device("cpu")
GB = 10**9


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("cpu", 64 * GB, (4, 6)),
        ("cuda", 4 * GB, (4, 6)),
        ("cuda", 7 * GB, (4, 6)),
        ("cuda", 8 * GB, (6, 8)),
        ("musa", 11 * GB, (6, 8)),
        ("cuda", 12 * GB, (8, 12)),
        ("cuda", 141 * GB, (8, 12)),
    ],
)
def test_the_suggested_batch_follows_the_memory(kind, size, expected):
    assert memory.suggest_batch(kind, size) == expected


def test_allocations_that_do_not_fit_are_refused_with_both_sizes():
    memory.require("10 slots", 2**20, CPU, "slots")
    with pytest.raises(DoesNotFit) as refused:
        memory.require("the keys and values of 5000 slots", 2**60, CPU, "slots")
    assert refused.value.size == "slots"
    assert refused.value.message.startswith("the keys and values of 5000 slots need 1073741824.0 GiB, ")
    assert refused.value.message.endswith("are free on cpu")


def test_the_container_limit_applies_if_it_is_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "MOUNT", tmp_path)
    monkeypatch.setattr(cgroup, "MEMBERSHIPS", tmp_path / "self")
    unlimited = memory.free_bytes(CPU)
    assert cgroup.memory_left() is None
    assert 0 < unlimited <= psutil.virtual_memory().total

    (tmp_path / "self").write_text("0::/mine\n")
    group = tmp_path / "mine"
    group.mkdir()
    (group / "memory.max").write_text("1000000\n")
    (group / "memory.current").write_text("700000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 200000\n")
    (group / "cpu.max").write_text("150000 100000\n")
    assert cgroup.memory_left() == memory.free_bytes(CPU) == 500_000
    assert cgroup.cpus() == 1
    (group / "memory.max").write_text("max\n")
    (group / "cpu.max").write_text("max 100000\n")
    assert cgroup.memory_left() is None
    assert 1 <= cgroup.cpus() <= (psutil.cpu_count() or 1)

    older = tmp_path / "memory" / "mine"
    older.mkdir(parents=True)
    (tmp_path / "self").write_text("4:memory:/mine\n0::/\n")
    (older / "memory.limit_in_bytes").write_text(f"{3 * 10**6}\n")
    (older / "memory.usage_in_bytes").write_text(f"{10**6}\n")
    assert cgroup.memory_left() == 2 * 10**6
    (older / "memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")
    assert cgroup.memory_left() is None


def test_freeing_returns_unused_memory():
    # each is below malloc's mmap threshold
    blocks = [np.ones(100_000, np.uint8) for _ in range(2000)]
    kept = blocks[::1000]
    before = memory.usage()["rss_bytes"]
    del blocks
    freed = memory.free()
    assert freed["after"]["rss_bytes"] < before - 100 * 2**20
    assert freed["before"].keys() == freed["after"].keys() and freed["pid"] == psutil.Process().pid
    assert len(kept) == 2


def test_memory_of_a_worker_is_counted_once_and_by_kind(on):
    from deployments import families
    from deployments.engine.decode import Decoder
    from deployments.engine.device.choose import choose_device
    from deployments.engine.vocode.worker import VocodeWorker
    from deployments.families.small.gpt import CONTEXT

    def count(slots: int) -> dict[str, int]:
        device, family = choose_device("cpu", threads=1), families.load("small")
        return held(Decoder(family.gpt(device, slots), device))

    few, many = on(lambda: count(2)), on(lambda: count(6))
    config = families.load("small").config
    per_slot = config.gpt_layers * 2 * CONTEXT * config.gpt_dim * 4
    assert many["kv_cache_bytes"] - few["kv_cache_bytes"] == pytest.approx(4 * per_slot, rel=0.01)
    assert many["weights_bytes"] == few["weights_bytes"] > 2**20
    assert many["buffer_bytes"] > few["buffer_bytes"] > 0

    def vocoder() -> dict[str, int]:
        device, family = choose_device("cpu", threads=1), families.load("small")
        return held(VocodeWorker(family.vocoder(device), device, family.spec))

    voiced = on(vocoder)
    assert voiced["weights_bytes"] > 2**20 and voiced["kv_cache_bytes"] == 0
