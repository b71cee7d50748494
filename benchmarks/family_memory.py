"""The memory of each part of a family after loading on the CPU, each in its own process.

It is the anonymous memory of the process (Linux), minus that of Python and torch before loading. Pages of the
checkpoint's files, which the system may drop, do not count.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _common

PARTS = ("gpt", "vocoder", "voice_encoder")


def anonymous() -> int:
    """The anonymous memory of this process in bytes."""
    status = Path("/proc/self/status").read_text("utf-8")
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None, "the kernel does not report RssAnon"
    return int(found[1]) * 1024


def measure(part: str, name: str, options: dict[str, Any], slots: int) -> dict[str, float]:
    from deployments import families
    from deployments.engine.device.choose import choose_device

    device = choose_device("cpu", threads=1)
    family = families.load(name, options)
    makers: dict[str, Callable[[], object]] = {
        "gpt": lambda: family.gpt(device, slots),
        "vocoder": lambda: family.vocoder(device),
        "voice_encoder": lambda: family.voice_encoder(device),
    }
    before, began = anonymous(), time.perf_counter()
    loaded = makers[part]()
    figures = {
        "mib": round((anonymous() - before) / 2**20),
        "load_s": round(time.perf_counter() - began, 1),
    }
    if (cache := getattr(loaded, "cache", None)) is not None:
        figures["slot_mib"] = round(cache.bytes / (slots + 1) / 2**20)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="an IndexTTS checkpoint; default: random ones")
    parser.add_argument(
        "--version", nargs="+", choices=("1.0", "1.5"), default=["1.0", "1.5"], help="of those"
    )
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--out", type=Path, default=_common.ROOT / "benchmarks/results/family_memory.json")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(
            json.dumps(measure(options.part, "indextts", {"model_dir": str(options.folder)}, options.slots))
        )
        return
    machine = _common.machine()
    rows: list[dict[str, Any]] = []
    for version in ["given"] if options.folder else options.version:
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.folder
            if folder is None:
                from tests.golden.random_indextts import make

                folder = make(Path(scratch), version)
            for part in PARTS:
                command = [sys.executable, "-m", "benchmarks.family_memory", "--part", part]
                command += ["--folder", str(folder.resolve()), "--slots", str(options.slots)]
                done = subprocess.run(command, cwd=_common.ROOT, check=True, capture_output=True, text=True)
                rows.append({"version": version, "part": part, **json.loads(done.stdout.splitlines()[-1])})
    table = Table("version", "part", "MiB", "of it, a slot", "loaded in, s", box=None, pad_edge=False)
    for row in rows:
        cells = (row.get(key, "") for key in ("version", "part", "mib", "slot_mib", "load_s"))
        table.add_row(*map(str, cells))
    Console(width=100).print(table)
    result = {**_common.provenance("benchmarks.family_memory"), "machine": machine, "slots": options.slots}
    _common.save(options.out, result | {"rows": rows})


if __name__ == "__main__":
    main()
