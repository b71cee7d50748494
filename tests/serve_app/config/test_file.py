"""Config files that are hostile, or have faults that only the model family or the machine can detect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.contract.errors import ConfigError
from serve_app.config.document import MAX_BYTES, check_models
from serve_app.config.file import default_config_path, load_config
from serve_app.config.settings import Settings
from tests.deployments.test_plain_yaml import TEXTS

FULL = Path("tests/data/config.yaml").read_text()
INDEXTTS = "name: indextts\n        options:\n          model_dir: "


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def refusal(path: Path, environ: dict[str, str] | None = None) -> str:
    """The error for a wrong file, as every command prints it."""

    def load() -> None:
        check_models(load_config(path, environ or {})[1], path, environ or {})

    with pytest.raises(ConfigError) as refused:
        load()
    return refused.value.message


def edited(path: Path, before: str, after: str) -> int:
    """Writes a config with one change, and returns the number of the changed line."""
    assert before in FULL
    path.write_text(FULL.replace(before, after, 1))
    return FULL[: FULL.index(before)].count("\n") + 1


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_hostile_file_is_one_line_that_names_file_and_line(mine, text):
    mine.write_bytes(f"# first\n{text}".encode("utf-8", "surrogatepass"))
    message = refusal(mine)
    assert message.startswith("mine.yaml:") or "it is larger than" in message
    assert len(message.splitlines()) == 1 and len(message) < 400


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: 1\nb: \xff\n", r"mine.yaml: cannot be read: it is not UTF-8 text (line 2)"),
        (FULL.encode("utf-16"), "it is not UTF-8 text"),
        (b"#" * (MAX_BYTES + 1), "it is larger than 256 KiB"),
        (b"", "must be a mapping with the key `applications`"),
        (b"a: 1\nb: \0", "mine.yaml:2: not valid YAML: the character U+0000 is not allowed"),
    ],
    ids=["latin", "utf-16", "large", "empty", "nul"],
)
def test_a_file_that_is_not_text_is_refused(mine, content, says):
    mine.write_bytes(content)
    assert says in refusal(mine)


def test_a_byte_order_mark_is_accepted(mine):
    mine.write_text(FULL, encoding="utf-8-sig")
    assert load_config(mine, {})[1] == load_config(Path("tests/data/config.yaml"), {})[1]


def test_pipes_and_devices_are_not_read(mine, tmp_path):
    os.mkfifo(mine)
    for path in (mine, tmp_path, Path("/dev/zero"), Path("/dev/tty"), Path("")):
        assert "cannot be read: it is not a regular file" in refusal(path)
    assert "cannot be read" in refusal(tmp_path / "\0.yaml")
    assert "cannot be read" in refusal(tmp_path / ("a" * 300))


def test_merge_keys_and_aliases_are_read(mine):
    stage = "text_frontend:\n        replicas: 1\n        num_cpus: 0.1"
    assert stage in FULL
    shared = stage.replace("text_frontend:", "text_frontend: &stage")
    mine.write_text(
        FULL.replace(stage, shared).replace("voice_encoder:\n", "voice_encoder:\n        <<: *stage\n")
    )
    settings = load_config(mine, {})[1]
    assert (settings.voice_encoder.replicas, settings.voice_encoder.num_cpus) == (1, 0.2)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("port: 8000", "port: 99999", "http_options.port: must be a port number, 1 to 65535 (is 99999)"),
        ("port: 8000", "port: 0", "http_options.port: must be a port"),
        ("port: 8000", "port: -1", "http_options.port: must be a port"),
        ("port: 8000", "port: 80.5", "http_options.port: "),
        ("port: 8000", "port: [8000]", "http_options.port: "),
        ("port: 8000", "port: null", "http_options.port: "),
        ("host: 127.0.0.1", "host: [a]", "http_options.host: "),
        (
            "request_timeout_s: 600",
            "request_timeout_s: .nan",
            "request_timeout_s: must be a number of seconds",
        ),
        (
            "keep_alive_timeout_s: 30",
            "keep_alive_timeout_s: -1",
            "keep_alive_timeout_s: must be a number of seconds",
        ),
        ("route_prefix: /", "route_prefix: speech", "route_prefix: must begin with /"),
        ("    args:", "    deployments: [null]\n    args:", "deployments[0]: must be a mapping"),
        ("log_level: INFO", 'log_level: "A\\nB"', "log_level"),
        ("name: small", "name: smal", "unknown family 'smal'; allowed: gpt_sovits, indextts, small, voxcpm"),
        ("name: small", 'name: "sm\\nall"', "family.name: unknown family"),
        ("name: small", INDEXTTS + "/nowhere", "family.options.model_dir: folder 'nowhere' does not exist"),
        ("name: small", INDEXTTS + "~nobody-at-all/x", "model_dir: '~nobody-at-all/x' names an unknown user"),
        ("name: small", INDEXTTS + "nowhere", "model_dir: 'nowhere' must be an absolute path"),
        ("name: small", "name: indextts", "family.options.model_dir: Field required"),
        ("name: small", "name: small\n        options: {wights: /x}", "options.wights: Extra inputs"),
        ("name: small", "name: small\n        options: {weights: /dev/null}", "small.json cannot be read"),
        ("name: small", "name: small\n        options: {1: 2}", "family.options"),
        ("first: 10", "first: 1000", "chunks.first: 1000 codes are more than the longest chunk"),
        ("slots: 8", "slots: 2026-01-01", "'2026-01-01' is read as a timestamp: put it in quotes"),
        ("      gpt:", '      "g\\npt": 1\n      gpt:', "args.'g\\npt': unknown key"),
        ("slots: 8", "slots: " + "x" * 5000, " (is 'xxxxx"),
    ],
)
def test_a_fault_is_one_line_with_its_location(mine, before, after, says):
    line = edited(mine, before, after)
    message = refusal(mine)
    assert len(message.splitlines()) == 1 and len(message) < 600, message
    name, at, told = message.split(":", 2)
    assert name == "mine.yaml" and says in told
    assert line <= int(at) <= line + after.count("\n") or "Field required" in told


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"CHORALE_GPT__SLOTS": "four"}, "CHORALE_GPT__SLOTS: gpt.slots: Input should be a valid integer"),
        ({"CHORALE_GPT__SLOTS": TEXTS["bomb of lists"]}, "CHORALE_GPT__SLOTS: gpt.slots: "),
        ({"CHORALE_GPT": TEXTS["alias of itself"]}, "CHORALE_GPT: gpt: "),
        ({"CHORALE_GPT__BATCH_BUCKETS": "[0, 8]"}, "CHORALE_GPT__BATCH_BUCKETS: gpt.batch_buckets[0]: "),
        ({"CHORALE_GPT__SLOTZ": "4"}, "CHORALE_GPT__SLOTZ: gpt.slotz: unknown key"),
        ({"CHORALE_GPT__AUTOSCALING__MIN_REPLICAS": "9"}, "CHORALE_GPT__AUTOSCALING__MIN_REPLICAS: gpt"),
        ({"CHORALE_FAMILY__NAME": "other"}, "CHORALE_FAMILY__NAME: family.name: unknown family 'other'"),
        ({"CHORALE_FAMILY__OPTIONS__WEIGHTS": "/nowhere"}, "CHORALE_FAMILY__OPTIONS__WEIGHTS: family.opt"),
        ({"CHORALE_CHUNKS__FIRST": "1000"}, "CHORALE_CHUNKS__FIRST: chunks.first: 1000 codes"),
        ({"CHORALE_DATA_DIR": "~nobody-at-all/x"}, "CHORALE_DATA_DIR: data_dir: must not begin with ~"),
        ({"CHORALE_DATA_DIR": ""}, "CHORALE_DATA_DIR: data_dir: must be the path of a folder"),
    ],
)
def test_a_wrong_variable_is_named_with_and_without_a_file(environ, says):
    message = refusal(default_config_path(), environ)
    assert says in message and len(message.splitlines()) == 1
    with pytest.raises(ConfigError) as refused:
        check_models(Settings.from_args({}, environ), None, environ)
    assert refused.value.message.startswith(says)


@pytest.mark.parametrize(
    "args",
    [
        {"gpt": {"replicas": 10**9}},
        {"gpt": {"autoscaling": {"max_replicas": 10**9}}},
        {"ingress": {"max_ongoing_requests": 10**30}},
        {"gpt": {"num_cpus": float("inf")}},
        {"gpt": {"lease_s": 1e300}},
        {"vocoder": {"autoscaling": {"upscale_delay_s": float("nan")}}},
        {"device": {"threads": 10**6}},
        {"vocoder_chunk_size": 10**12},
        {"sampling": {"seed": 2**64}},
        {"data_dir": "a\0b"},
    ],
)
def test_an_absurd_value_is_refused(args):
    with pytest.raises(ConfigError, match=r"Input should be|must be"):
        Settings.from_args(args, {})


@pytest.mark.parametrize("command", ["serve", "check", "voices", "speak Hello."])
def test_every_command_refuses_a_bomb_in_one_line(mine, tmp_path, command):
    mine.write_text(TEXTS["bomb of lists"])
    words = [*command.split(), "--config", str(mine)]
    done = subprocess.run(
        [sys.executable, "-m", "serve_app.cli.main", *words],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    told = [line for line in (done.stdout + done.stderr).splitlines() if "mine.yaml:" in line]
    assert len(told) == 1 and "more than 10,000 keys and values" in told[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("host", "says"),
    [("203.0.113.9", "is not an address of this machine"), ("not a host", "is neither an address nor")],
)
def test_serve_names_the_line_of_an_unusable_host(mine, host, says):
    line = edited(mine, "host: 127.0.0.1", f"host: '{host}'")
    environ = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-m", "serve_app.cli.main", "serve", "--config", str(mine)],
        cwd=Path(__file__).parents[3],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"mine.yaml:{line}: http_options.host: '{host}' {says}" in done.stdout
    assert "taken" not in done.stdout


@pytest.mark.parametrize(
    ("sampling", "says"),
    [
        (
            "{top_q: 1}",
            "sampling.top_q: unknown key; the sampling parameters of small are: seed, max_tokens, temp",
        ),
        ("{temperature: 3}", "sampling.temperature: must be a number from 0 to 2 (is 3)"),
        ("{top_k: .inf}", "sampling.top_k: must be an integer from 0 to 8192 (is inf)"),
        ("{top_k: [1]}", "sampling.top_k"),
    ],
)
def test_a_wrong_sampling_parameter_is_named_with_its_line(mine, sampling, says):
    line = edited(mine, "      limits:", f"      sampling: {sampling}\n      limits:")
    message = refusal(mine)
    assert message.startswith(f"mine.yaml:{line}: applications[0].args.sampling")
    assert says in message
    variable = {"CHORALE_SAMPLING__TEMPERATURE": "9"}
    mine.write_text(FULL)
    assert refusal(mine, variable).startswith(
        "CHORALE_SAMPLING__TEMPERATURE: sampling.temperature: must be a number"
    )
