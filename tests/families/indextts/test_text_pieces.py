"""Pieces and ids equal the published code's. A file that is not a vocabulary is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployments.contract.errors import ConfigError
from deployments.families.indextts.config import read_config
from deployments.families.indextts.text.pieces import Pieces, pre_tokenized, readable
from tests.golden.indextts_set import FOLDER

HELD = read_config(FOLDER / "checkpoint").gpt.number_text_tokens


@pytest.fixture(scope="module")
def pieces(golden: Path) -> Pieces:
    return Pieces.load(golden / "checkpoint" / "bpe.model", HELD)


def test_golden_pieces_and_ids(pieces: Pieces, cases: dict[str, Any]) -> None:
    for case in cases["sentences"]:
        assert pre_tokenized(case["normalized"]) == case["pre_tokenized"]
        assert pieces.encode(case["pre_tokenized"]) == case["pieces"]
        assert pieces.ids(case["pieces"]).tolist() == case["ids"]


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("", ""),
        ("  a  b ", "A  B"),
        ("ok吗? yes", "OK 吗 ? YES"),
        ("カナ한글", "カ ナ 한 글"),
        ("\U00020000a", "\U00020000 A"),
    ],
)
def test_cjk_characters_are_separated(text: str, apart: str) -> None:
    assert pre_tokenized(text) == apart


def test_readable_text_has_spaces_between_words_only(pieces: Pieces) -> None:
    text = "请把 窗户打开, the server is 很安静!"
    assert readable(pieces.encode(pre_tokenized(text))) == "请把窗户打开, THE SERVER IS很安静!"


def test_speakable(pieces: Pieces) -> None:
    held = {piece: pieces.speakable(piece) for piece in ("▁THE", "A", "我", "4", "▁", ",", "▁...", "'")}
    assert held == dict(zip(held, (True, True, True, True, False, False, False, False), strict=True))
    assert not pieces.speakable("鑫")  # a letter that is not in this vocabulary


def test_every_truncated_file_is_refused(golden: Path, tmp_path: Path) -> None:
    content = (golden / "checkpoint" / "bpe.model").read_bytes()
    file = tmp_path / "bpe.model"
    for length in (*range(64), *range(64, len(content), 97), len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(ConfigError, match=r"^bpe\.model ") as refused:
            Pieces.load(file, HELD)
        assert str(tmp_path) not in refused.value.message


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"PK\x03\x04" + b"\x80" * 999, b"not a model\n" * 50]
)
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bpe.model").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^bpe\.model is not a sentencepiece model"):
        Pieces.load(tmp_path / "bpe.model", HELD)


def test_a_missing_file_a_folder_and_another_size_are_refused(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^no bpe\.model in the model folder$"):
        Pieces.load(tmp_path / "bpe.model", HELD)
    (tmp_path / "bpe.model").mkdir()
    with pytest.raises(ConfigError, match=r"^bpe\.model cannot be read: Is a directory$"):
        Pieces.load(tmp_path / "bpe.model", HELD)
    with pytest.raises(
        ConfigError,
        match=rf"^bpe\.model has {HELD} pieces, config\.yaml's gpt\.number_text_tokens says 12000$",
    ):
        Pieces.load(golden / "checkpoint" / "bpe.model", 12000)
