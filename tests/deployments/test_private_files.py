"""Modes of new and existing folders and files."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from deployments import private_files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_only_the_owner_can_read_new_folders_and_files(tmp_path):
    before = os.umask(0)
    try:
        private_files.make_folder(tmp_path / "a/b/c")
        private_files.make_folder(tmp_path / "a/b/c")
        private_files.write(tmp_path / "a/b/file", b"x")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c", "a/b/file")] == [
        0o700,
        0o700,
        0o700,
        0o600,
    ]
    with pytest.raises(FileExistsError):
        private_files.write(tmp_path / "a/b/file", b"y")
    assert (tmp_path / "a/b/file").read_bytes() == b"x"


def test_wider_modes_are_tightened_and_links_are_skipped(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    for path in (root / "sub/file", outside):
        path.write_text("x")
        path.chmod(0o644)
    (root / "sub").chmod(0o777)
    root.chmod(0o755)
    (root / "link").symlink_to(outside)
    private_files.tighten(root, below=False)
    assert (mode(root), mode(root / "sub")) == (0o700, 0o777)
    private_files.tighten(root)
    assert [mode(path) for path in (root, root / "sub", root / "sub/file")] == [0o700, 0o700, 0o600]
    assert mode(outside) == 0o644
    private_files.tighten(tmp_path / "nothing")


def test_shared_and_foreign_files_are_skipped_and_logged(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    private_files.tighten(shared, below=False)
    assert mode(shared) == 0o1777 and "contains files of other users" in caplog.text
    if os.geteuid() == 0:
        theirs = tmp_path / "theirs"
        theirs.mkdir(0o755)
        os.chown(theirs, 12345, 12345)
        private_files.tighten(theirs)
        assert mode(theirs) == 0o755 and "the modes of 1 files and folders of other users" in caplog.text
