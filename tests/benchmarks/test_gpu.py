"""`make gpu` without a GPU: all of its steps at small sizes, and failing steps, which must not stop others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import _gpu_tests, gpu
from benchmarks._gpu_voices import SLACK, is_flat
from benchmarks._steps import Step, run_all

ROOT = Path(__file__).parents[2]
# packages that a machine with only torch and a few packages lacks
ABSENT = [
    "av",
    "fastapi",
    "hypothesis",
    "pytest_asyncio",
    "ray",
    "soundfile",
    "starlette",
    "uvicorn",
]
ABSENT += ["wetext", "serve_app.http", "serve_app.runtime"]
FAULTS = "tests.benchmarks.gpu_faults"


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment whose processes cannot import those packages."""
    lines = ["import sys", f"for name in {ABSENT!r}:", "    sys.modules[name] = None"]
    (tmp_path / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    return os.environ | {"PYTHONPATH": str(tmp_path)}


def run_command(out: Path, environment: dict[str, str], *words: str) -> tuple[dict, str]:
    command = [sys.executable, "-m", "benchmarks.gpu", "--cpu", "--out", str(out), *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text()), done.stdout


def test_every_step_runs_without_ray_or_the_frontends_packages(tmp_path, bare):
    probe = subprocess.run([sys.executable, "-c", "import ray"], env=bare, capture_output=True, check=False)
    assert probe.returncode != 0
    words = ["--families", "small", "--only", "decode", "vocoder", "half", "voices"]
    result, said = run_command(tmp_path / "gpu.json", bare, *words)
    assert result["ok"] and result["command"].startswith("python -m benchmarks.gpu --cpu")
    assert "No CUDA GPU is used" in result["notes"][0] and result["notes"][0] in said
    steps = {row["name"]: row for row in result["steps"]}
    assert list(steps) == ["card", "decode small", "voices small", "vocoder small", "half small"]
    for name, row in steps.items():
        assert row["status"] == "ok" and 0 < row["seconds"] <= row["limit_s"]
        assert f"{name}: ok" in said
    found = {name: row["result"] for name, row in steps.items()}
    assert found["card"]["kind"] == "cpu" and found["card"]["copy_gb_per_s"] > 0
    assert [row["batch"] for row in found["decode small"]["rows"]] == [1, 2]
    assert all(row["share_of_bandwidth"] > 0 for row in found["decode small"]["rows"])
    assert [(row["batch"], row["frames"]) for row in found["vocoder small"]["rows"]] == [(1, 16), (2, 16)]
    assert found["half small"]["dtype"] == "bfloat16"
    voices = found["voices small"]
    assert voices["references_encoded"] == gpu.ON_A_CPU["voices"]["references"]
    assert voices["same_samples"] == {"alone": "3 of 3", "in another batch": "4 of 4"}
    assert set(voices["memory"]) == {"start", "warm", "half", "end"}
    assert len(voices["checks"]) == 7 and all(voices["checks"].values())


@pytest.mark.parametrize(
    ("family", "steps"),
    [
        ("indextts", ["decode", "voices"]),
        ("gpt_sovits", ["decode", "voices", "vocoder"]),
        ("gpt_sovits", ["listeners", "cfm"]),
        ("voxcpm", ["decode", "listeners", "voices", "half"]),
    ],
)
def test_every_step_runs_with_other_families(tmp_path, bare, family, steps):
    result, _ = run_command(tmp_path / "gpu.json", bare, "--families", family, "--only", *steps)
    assert [row["name"] for row in result["steps"]] == ["card", *(f"{step} {family}" for step in steps)]
    assert {row["status"] for row in result["steps"]} == {"ok"}
    for row in (row for row in result["steps"] if row["name"].startswith("listeners")):
        heard = [line for line in row["result"]["rows"] if "requests" in line]
        assert [line["requests"] for line in heard] == gpu.ON_A_CPU["listeners"]["listeners"]
        # a sound in one piece is first and last; both figures are rounded
        assert all(0 < line["first_sound_p50_ms"] <= 1000 * line["total_s"] + 1 for line in heard)


def test_gpu_tests_can_be_collected_without_ray(bare):
    files = _gpu_tests.files()
    assert {"tests/engine/test_graphs.py", "tests/families/test_on_a_gpu.py"} <= set(files)
    command = [
        sys.executable,
        "-m",
        "pytest",
        *_gpu_tests.OPTIONS,
        "--collect-only",
        "tests/families/test_on_a_gpu.py",
    ]
    environment = bare | {"PYTHONPATH": bare["PYTHONPATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 tests collected" in done.stdout


def test_a_failed_step_is_reported_and_the_others_run(tmp_path):
    pid = tmp_path / "pid"
    steps = [
        Step("raises", f"{FAULTS}:raises", 60),
        Step("wrong", f"{FAULTS}:is_wrong", 60),
        Step("hangs", f"{FAULTS}:hangs", 4, {"file": str(pid)}),
        Step("dies", f"{FAULTS}:dies", 60),
        Step("absent", f"{FAULTS}_that_are_not_there:any", 60),
        Step("works", f"{FAULTS}:works", 60, {"said": "yes"}),
    ]
    seen = []
    rows = run_all(steps, time.monotonic() + 240, seen.append)
    assert seen == rows
    assert [(row["name"], row["status"]) for row in rows] == [
        ("raises", "failed"),
        ("wrong", "failed"),
        ("hangs", "timed out"),
        ("dies", "failed"),
        ("absent", "failed"),
        ("works", "ok"),
    ]
    errors = {row["name"]: row.get("error", "") for row in rows}
    assert errors["raises"] == "ValueError: no such card"
    assert errors["wrong"] == "does not hold: one is two" and rows[1]["result"]["value"] == 1
    assert errors["hangs"].startswith("not done within 4 s") and "waiting for the card" in errors["hangs"]
    assert errors["dies"].startswith("the process ended with -9") and "out of memory" in errors["dies"]
    assert errors["absent"].startswith("ModuleNotFoundError")
    assert rows[-1]["result"]["said"] == "yes"
    left = int(pid.read_text())
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_no_step_starts_after_the_time_limit():
    (row,) = run_all([Step("late", f"{FAULTS}:works", 60, {"said": ""})], time.monotonic() + 1)
    assert (row["status"], row["error"]) == ("left out", "no time was left")


def test_memory_that_grows_on_a_card_is_not_flat():
    def at(allocated: int, reserved: int) -> dict[str, int]:
        return {"rss_bytes": 1, "device_allocated_bytes": allocated, "device_reserved_bytes": reserved}

    begun = {"start": {"rss_bytes": 1}, "warm": at(100, 200), "half": at(SLACK, 4 * SLACK)}
    assert is_flat(begun | {"end": at(SLACK + 10, 5 * SLACK)})
    assert not is_flat(begun | {"end": at(3 * SLACK, 4 * SLACK)})
    assert not is_flat(begun | {"end": at(SLACK, 6 * SLACK)})


def test_a_card_name_becomes_a_file_name():
    assert gpu.slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"
    assert gpu.slug("???") == "unknown"
