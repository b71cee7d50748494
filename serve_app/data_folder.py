"""Closes the folder of voices, prompts and jobs to other users."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from deployments import private_files

log = logging.getLogger("chorale.voices")

FOLDERS = ("voices", "prompts", "jobs")


def close(data: Path) -> None:
    """Closes our folders in `data` to other users, and `data` itself if it contains nothing else."""
    with contextlib.suppress(OSError):  # not created yet
        if others := sorted(set(os.listdir(data)) - set(FOLDERS)):
            log.warning("%s keeps its mode because it also contains %s", data, ", ".join(others[:3]))
        else:
            private_files.tighten(data, below=False)
    for folder in FOLDERS:
        private_files.tighten(data / folder)
