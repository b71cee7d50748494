"""The command line, as a program and as a function."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import soxr
import yaml
from typer.testing import CliRunner

from deployments.families import small
from serve_app.cli.main import app
from tests.golden import indextts_set

SHIPPED = Path(small.__file__).parent
TEXT = "Most people in this street own a dog."


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORALE_DATA_DIR", str(tmp_path / "data"))


def chorale(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serve_app.cli.main", *words],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


def speak(out: Path, *words: str) -> bytes:
    result = CliRunner().invoke(app, ["speak", TEXT, "--out", str(out), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return out.read_bytes()


def test_speaks_into_a_file(tmp_path: Path) -> None:
    first = speak(tmp_path / "deep" / "a.wav", "--seed", "5", "--voice", "ross")
    again = speak(tmp_path / "b.wav", "--seed", "5", "--voice", "ross")
    other = speak(tmp_path / "c.wav", "--seed", "6", "--voice", "ross")
    samples, rate = soundfile.read(tmp_path / "b.wav")
    assert len(samples) / rate > 0.5
    assert abs(samples).max() > 0.01
    assert first == again != other


def test_writes_the_format_of_the_file_extension(tmp_path: Path) -> None:
    speak(tmp_path / "a.flac", "--seed", "5", "--temperature", "0")
    assert soundfile.info(tmp_path / "a.flac").format == "FLAC"


def test_speaks_without_ray(tmp_path: Path) -> None:
    program = (
        "import sys; from serve_app.cli.main import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "assert 'torch' in sys.modules\n"
        "assert 'ray' not in sys.modules, 'ray was imported'\n"
    )
    words = ["speak", TEXT, "--out", str(tmp_path / "a.wav")]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([""], "text"),
        (["\x07bell"], "text"),
        (["[pause:99s]"], "input"),
        ([TEXT, "--voice", "nobody"], "nobody"),
        ([TEXT, "--out", "a.txt"], "--out"),
        ([TEXT, "--speed", "nan"], "speed"),
        ([TEXT, "--speed", "9"], "speed"),
        ([TEXT, "--seed", "-1"], "seed"),
        ([TEXT, "--temperature", "5"], "temperature"),
        (["--repetition-penalty=0", TEXT], "repetition_penalty"),
        (["--cfg-value", "2", TEXT], "temperature, top_k"),
        ([TEXT, "--language", "tlh"], "language"),
    ],
)
def test_a_wrong_input_is_one_line(
    words: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["speak", *words], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stderr.startswith("chorale: ")
    assert named in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.wav"))


def test_a_wrong_setting_is_one_line() -> None:
    done = chorale("voices", CHORALE_GPT__SLOTZ="4")
    assert done.returncode == 2
    assert "gpt.slotz" in done.stderr
    assert "Traceback" not in done.stderr


def test_lists_the_voices() -> None:
    result = CliRunner().invoke(app, ["voices"], catch_exceptions=False)
    assert result.exit_code == 0
    shipped = Path(__file__).resolve().parents[3] / "deployments/families/small/voices"
    assert all(file.stem in result.output for file in shipped.glob("*.flac"))


def test_check_passes_on_this_machine() -> None:
    done = chorale("check")
    assert done.returncode == 0, done.stdout + done.stderr
    for told in (
        "device", "precision", "memory suggests", "threads", "load", "graphs", "same seed", "another seed", "clean-up"
    ):  # fmt: skip
        assert told in done.stdout
    assert "FAILED" not in done.stdout


def test_check_fails_where_the_device_cannot_be_used() -> None:
    done = chorale("check", CUDA_VISIBLE_DEVICES="", CHORALE_DEVICE__PREFERENCE="cuda")
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "Traceback" not in done.stderr


def test_serve_refuses_a_wrong_config(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "applications:\n  - name: a\n    import_path: serve_app.app:build\n    args:\n      gtp: {}\n"
    )
    done = chorale("serve", "--config", str(file))
    assert done.returncode == 2
    assert "wrong.yaml:5" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


CONFIG = Path(__file__).parents[3] / "configs" / "indextts.yaml"


def test_another_family_with_the_voice_of_a_recording(tmp_path: Path) -> None:
    model = str(indextts_set.SHIPPED / "checkpoint")
    words = [
        "speak",
        "Where is the key?",
        "--reference",
        str(indextts_set.SHIPPED / "reference.wav"),
        "--config",
        str(CONFIG),
    ]
    words += ["--seed", "5", "--out", str(tmp_path / "a.wav")]
    done = chorale(*words, CHORALE_FAMILY__OPTIONS__MODEL_DIR=model, CHORALE_SAMPLING__MAX_TOKENS="20")
    assert done.returncode == 0, done.stderr
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == 24000
    assert 0 < len(samples) <= 20 * 1024


def test_a_config_whose_model_is_missing(tmp_path: Path) -> None:
    done = chorale(
        "speak", TEXT, "--config", str(CONFIG), CHORALE_FAMILY__OPTIONS__MODEL_DIR=str(tmp_path / "gone")
    )
    assert done.returncode == 2
    assert "folder 'gone' does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_problems_of_a_recording_are_reported(tmp_path: Path) -> None:
    waveform, rate = soundfile.read(SHIPPED / "voices" / "ross.flac", dtype="float32")
    telephone = soxr.resample(soxr.resample(waveform, rate, 8000), 8000, rate)
    soundfile.write(tmp_path / "telephone.wav", telephone, rate)
    said = CliRunner().invoke(
        app, ["speak", TEXT, "--out", str(tmp_path / "a.wav"), "--reference", str(tmp_path / "telephone.wav")]
    )
    assert said.exit_code == 0 and "nothing above 4 kHz" in said.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--voice", "ross", "--reference", "x.wav"], "--voice and --reference are mutually exclusive"),
        (["--reference", "not-there.wav"], "not-there.wav: No such file"),
        (["--reference", __file__], "not a readable audio file"),
    ],
)
def test_unusable_references_are_refused(tmp_path: Path, words: list[str], says: str) -> None:
    done = chorale("speak", TEXT, "--out", str(tmp_path / "a.wav"), *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A config file with two models that can speak and one that cannot."""
    file = tmp_path / "two.yaml"
    file.write_text(f"""\
applications:
  - name: chorale
    import_path: serve_app.app:build
    args:
      models:
        small: {{family: {{name: small}}}}
        index:
          family: {{name: indextts, options: {{model_dir: {indextts_set.SHIPPED / "checkpoint"}}}}}
          sampling: {{max_tokens: 20}}
        gone: {{family: {{name: indextts, options: {{model_dir: {tmp_path / "gone"}}}}}}}
""")
    return file


def test_a_model_of_several_speaks(tmp_path: Path, two: Path) -> None:
    words = ["speak", TEXT, "--config", str(two), "--voice", "ross", "--seed", "5"]
    done = chorale(*words, "--out", str(tmp_path / "a.wav"), "--model", "index")
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "a.wav").frames <= 20 * 1024
    assert chorale(*words, "--out", str(tmp_path / "b.wav")).returncode == 0, "the first one is the default"
    assert soundfile.info(tmp_path / "b.wav").frames > 20 * 1024
    for model, says in (("gone", "two.yaml:10:"), ("other", "available: small, index, gone")):
        done = chorale(*words, "--out", str(tmp_path / "c.wav"), "--model", model)
        assert done.returncode == 2 and says in done.stderr


def test_check_reports_every_model_and_fails_for_a_missing_checkpoint(two: Path) -> None:
    done = chorale("check", "--config", str(two))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.split()[0] == "model"] == ["small", "index"]
    assert sum("the same seed gives the same samples" in line for line in lines) == 2
    (failed,) = [line for line in lines if line.startswith("FAILED")]
    assert "two.yaml:10: " in failed and "folder 'gone' does not exist" in failed
    assert "small" not in chorale("check", "--config", str(two), "--model", "index").stdout


def test_config_prints_an_application_for_each_model(two: Path) -> None:
    done = chorale("config", str(two), CHORALE_MODELS__SMALL__GPT__SLOTS="3")
    made = yaml.safe_load(done.stdout)["applications"]
    assert [app["name"] for app in made] == ["chorale", "small", "index", "gone"]
    assert [app["import_path"] for app in made] == ["serve_app.app:ingress"] + 3 * ["serve_app.app:model"]
    assert made[1]["args"]["gpt"] == {"slots": 3}
