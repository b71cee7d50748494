"""The benchmark decodes the same codes with every method that this machine supports."""

from __future__ import annotations

from benchmarks import _bound
from deployments import families
from deployments.engine.device.choose import choose_device


def test_every_method_decodes_the_same_codes_and_reports_its_share_of_the_bound(run, tmp_path):
    words = ["--device", "cpu", "--batch", "1", "--batch", "3", "--steps", "3", "--rounds", "1"]
    words += ["--sentences", "1", "--without", "compiled", "--without", "bf16"]
    result = run("stage_gpt", *words)
    assert [(row["batch"], row["way"]) for row in result["rows"]] == [
        (batch, way) for batch in (1, 3) for way in ("plain", "served", "eager")
    ]
    for row in result["rows"]:
        assert row["codes_per_s"] > 0
        assert row["share_of_bound"] is not None and row["share_of_bound"] > 0
    assert result["heard"]["served"]["same_codes_as_plain"] == "1 of 1"
    assert (tmp_path / "stage_gpt.png").stat().st_size > 10_000


def test_the_bound_counts_every_linear_layer_once_compiled_or_not():
    family = families.load("small")
    model, config = family.gpt(choose_device("cpu", threads=1), 1), family.config
    for _ in range(2):
        layers = _bound.linear_layers(model)
        assert len(layers) == 4 * config.gpt_layers + 2
        assert sum(layer.bytes for layer in layers) >= 2 * 12 * config.gpt_layers * config.gpt_dim**2
        model.compile()
