"""Several models in one config file: what is read, what is refused, and the applications that come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from deployments.contract.errors import ConfigError, NotFound
from serve_app.config.applications import expanded
from serve_app.config.document import check_models
from serve_app.config.file import load_config
from serve_app.config.settings import Settings
from tests.golden.indextts_set import SHIPPED

INDEX = {"family": {"name": "indextts", "options": {"model_dir": str(SHIPPED / "checkpoint")}}}
TWO = {"models": {"small": {"family": {"name": "small"}, "gpt": {"slots": 4}}, "index-1.5": INDEX}}
HEAD = """\
applications:
  - name: chorale
    import_path: serve_app.app:build
    args:
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def refused(path: Path, args: str, environ: dict[str, str] | None = None) -> str:
    path.write_text(HEAD + args)
    with pytest.raises(ConfigError) as error:
        check_models(load_config(path, environ or {})[1], path, environ or {})
    return error.value.message


def config(path: Path, args: dict[str, Any], **application: Any) -> tuple[dict[str, Any], Settings]:
    whole = {"name": "chorale", "import_path": "serve_app.app:build", "args": args, **application}
    path.write_text(yaml.safe_dump({"applications": [whole]}, sort_keys=False))
    return load_config(path, {})


def test_each_model_has_its_own_options_and_the_first_is_the_default():
    settings = Settings.from_args({**TWO, "data_dir": "/data"}, {})
    assert list(settings.served) == ["small", "index-1.5"]
    assert settings.default == settings.name(None) == "small"
    small, index = settings.options(), settings.options("index-1.5")
    assert (small.gpt.slots, index.gpt.slots, index.family.name) == (4, 8, "indextts")
    assert small.prompts == index.prompts == "/data/prompts"
    assert Settings.from_args({**TWO, "default_model": "index-1.5"}, {}).default == "index-1.5"
    with pytest.raises(NotFound, match=r"available: small, index-1\.5"):
        settings.name("other")


def test_variables_reach_a_named_model_with_underscores_for_what_they_cannot_spell():
    environ = {"CHORALE_MODELS__INDEX_1_5__GPT__SLOTS": "2", "CHORALE_LIMITS__MAX_VOICES": "7"}
    settings = Settings.from_args(TWO, environ)
    assert list(settings.served) == ["small", "index-1.5"]
    assert settings.served["index-1.5"].gpt.slots == 2
    assert (settings.served["small"].gpt.slots, settings.limits.max_voices) == (4, 7)
    with pytest.raises(
        ConfigError, match=r"^CHORALE_MODELS__INDEX_1_5__GPT__SLOTS: models\.index-1\.5\.gpt\.slots"
    ):
        Settings.from_args(TWO, {"CHORALE_MODELS__INDEX_1_5__GPT__SLOTS": "many"})


MODELS, A = "      models:\n", "        a: {family: {name: small}}\n"


@pytest.mark.parametrize(
    ("args", "line", "says"),
    [
        ("      models: {}\n", 5, "at least 1 item"),
        (
            "      models: {a: {gpt: {slots: 4}}}\n",
            5,
            "models.a.family: a model needs family.name: gpt_sovits, indextts, small, voxcpm",
        ),
        (f"{MODELS}        a:\n          family: {{options: {{}}}}\n", 7, "a model needs family.name"),
        (f"{MODELS}{A}{A}", 7, "models.a: duplicate key"),
        (f"{MODELS}{A.replace('a:', 'A:', 1)}", 6, "models.A"),
        (f"{MODELS}{A.replace('a:', 'a__b:', 1)}", 6, "models.a__b"),
        (
            f"{MODELS}        a: {{family: {{name: small}}, limits: {{}}}}\n",
            6,
            "models.a.limits: unknown key; allowed: c",
        ),
        (f"{MODELS}{A}      gpt: {{slots: 4}}\n", 7, "gpt: not allowed beside `models`"),
        (f"{MODELS}{A}      default_model: b\n", 7, "default_model: must be one of a (is 'b')"),
        ("      default_model: small\n", 5, "default_model: allowed with `models` only"),
        (
            f"{MODELS}{A.replace('a:', 'a-b:', 1)}{A.replace('a:', 'a.b:', 1)}",
            5,
            "a-b and a.b would have the same",
        ),
        (f"{MODELS}{A.replace('a:', 'chorale:', 1)}", 2, "'chorale' is the name of a model"),
        (
            f"{MODELS}        a: {{family: {{name: smal}}}}\n",
            6,
            "models.a.family.name: unknown family 'smal'; allowed",
        ),
        (
            f"{MODELS}{A}        b:\n          family: {{name: small, options: {{model_dir: /x}}}}\n",
            8,
            "models.b.family.options.model_dir: Extra inputs are not permitted; allowed: weights",
        ),
        (f"{MODELS}{A[:-2]}, chunks: {{first: 1000}}}}\n", 6, "models.a.chunks.first: 1000 codes"),
        (f"{MODELS}{A[:-2]}, sampling: {{temperature: 3}}}}\n", 6, "models.a.sampling.temperature"),
    ],
)
def test_a_wrong_model_is_refused_with_its_line_and_what_is_allowed(mine, args, line, says):
    message = refused(mine, args)
    assert message.startswith(f"mine.yaml:{line}: applications[0]."), message
    assert says in message and "FamilyOptions" not in message and len(message.splitlines()) == 1


def test_a_variable_for_one_model_does_not_fit_several():
    with pytest.raises(ConfigError, match=r"^CHORALE_GPT__SLOTS: gpt: not allowed beside `models`"):
        Settings.from_args(TWO, {"CHORALE_GPT__SLOTS": "4"})


def test_a_missing_checkpoint_is_refused_only_if_no_model_is_left(mine):
    gone = {"family": {"name": "indextts", "options": {"model_dir": "/nowhere"}}}
    _, settings = config(mine, {"models": {**TWO["models"], "gone": gone}})
    assert check_models(settings, mine, {}) == {
        "gone": "mine.yaml:20: applications[0].args.models.gone.family.options.model_dir: "
        "folder 'nowhere' does not exist"
    }
    _, settings = config(mine, {"models": {"gone": gone}})
    with pytest.raises(ConfigError, match="folder 'nowhere' does not exist"):
        check_models(settings, mine, {})


def test_the_file_becomes_an_application_for_the_ingress_and_one_for_each_model(mine):
    overrides = [
        {"name": "Ingress", "health_check_period_s": 2},
        {"name": "index-1.5.Gpt", "health_check_period_s": 3},
    ]
    args = {**TWO, "data_dir": "/data", "limits": {"max_voices": 3}}
    document, settings = config(mine, args, route_prefix="/tts", deployments=overrides)
    made = expanded(document, settings)
    ServeDeploySchema.model_validate(made)
    ingress, small, index = made["applications"]
    assert [app["name"] for app in made["applications"]] == ["chorale", "small", "index-1.5"]
    assert [app["route_prefix"] for app in made["applications"]] == ["/tts", None, None]
    assert ingress["args"] == {"limits": {"max_voices": 3}, "data_dir": "/data"}
    assert small["args"] == {**TWO["models"]["small"], "name": "small", "data_dir": "/data"}
    assert index["deployments"] == [{"name": "Gpt", "health_check_period_s": 3}]
    assert "deployments" not in small
    wanted = ingress["deployments"][0]["user_config"]
    assert ingress["deployments"][0]["health_check_period_s"] == 2
    assert (wanted["default"], list(wanted["models"])) == ("small", ["small", "index-1.5"])


def test_a_change_of_one_model_changes_its_application_and_the_list_of_the_ingress_alone(mine):
    before = expanded(*config(mine, TWO))["applications"]
    changed = {"models": {**TWO["models"], "small": {"family": {"name": "small"}, "gpt": {"slots": 5}}}}
    after = expanded(*config(mine, changed))["applications"]
    assert [app["args"] == then["args"] for app, then in zip(before, after, strict=True)] == [
        True,
        False,
        True,
    ]
    ingress, then = (apps[0]["deployments"][0]["user_config"]["models"] for apps in (before, after))
    assert ingress["small"]["version"] != then["small"]["version"]
    assert ingress["index-1.5"] == then["index-1.5"]


def test_one_model_at_the_top_level_is_split_in_the_same_way(mine):
    made = expanded(*config(mine, {"gpt": {"slots": 3}}))["applications"]
    assert [app["name"] for app in made] == ["chorale", "chorale-small"]
    assert made[1]["args"]["gpt"] == {"slots": 3}


@pytest.mark.parametrize(
    ("name", "says"),
    [("Gpd", "must be one of Ingress, JobRunner, small.TextFrontend"), ("Gpt", "must be one of Ingress")],
)
def test_overrides_name_deployments_that_exist(mine, name, says):
    with pytest.raises(ConfigError, match=says):
        config(mine, TWO, deployments=[{"name": name}])
