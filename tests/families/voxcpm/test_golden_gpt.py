"""Every case of the golden set on the engine: prefill, each step's tensors, patches, and where it stops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks._decoding import decoded
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.families.voxcpm.checkpoint import read_lm
from deployments.families.voxcpm.flow import schedule, sinusoid, spans
from deployments.families.voxcpm.gpt import VoxGpt
from deployments.families.voxcpm.net import VoxNet
from deployments.families.voxcpm.transformer import rotary_table
from tests.families.voxcpm.conftest import CASES, CPU, VERSIONS, error_of

CLOSE = 1e-4
POSITIONS = 64


class FedGpt(VoxGpt):
    """Takes each slot's noise from `given`, (n, P, D), instead of its seed."""

    given: dict[int, Tensor]

    def noise(self, rows: Tensor, drawn: Tensor) -> Tensor:
        pairs = zip(rows.tolist(), drawn.tolist(), strict=True)
        return torch.stack([self.given[row][min(step, len(self.given[row]) - 1)] for row, step in pairs])


def recorded(owner: Any, name: str) -> list[tuple[Any, Any]]:
    """From now on, the first argument and the result of each call of `owner.name`."""
    call, found = getattr(owner, name), []

    def noted(*args: Any) -> Any:
        result = call(*args)
        found.append((args[0], result))
        return result

    setattr(owner, name, noted)
    return found


@pytest.mark.parametrize(("version", "name"), CASES)
def test_each_step_has_the_published_tensors(golden, on_device, version, name):
    case = golden(version).case(name)
    prompt = golden(version).encoder.encode(case.reference)

    def run() -> tuple[Any, dict[str, list[tuple[Any, Any]]]]:
        model = golden(version).gpt(1, case.about["inference_timesteps"], FedGpt)
        model.given = {0: case.noise, 1: case.noise}
        net, watched = model.net, {}
        for key, owner in (("base", net.base), ("residual", net.residual)):
            watched[key] = recorded(owner, "step")
        watched["stop"] = recorded(net, "stop_logits")
        watched["mu"] = recorded(net, "condition")
        decoder = Decoder(model, CPU)
        return decoded(decoder, [WorkItem("one", case.request(prompt))])["one"], watched

    found, watched = on_device(run)
    wanted, count = case.tensors, case.about["n_patches"]
    assert len(found) == count
    assert found.cut == (case.about["stopped_by"] == "max_len")
    assert error_of(found.codes, wanted["step.pred"][:count]) < 2 * CLOSE
    for part, name in (("base", "base_lm"), ("residual", "residual_lm")):
        later = watched[part][1:]  # the first step feeds the prefix's last position
        inputs = torch.cat([x for x, _ in later])
        outputs = torch.cat([y for _, y in later])
        for side, tensor in (("in", inputs), ("out", outputs)):
            assert error_of(tensor, wanted[f"step.{name}_{side}"][: len(tensor)]) < CLOSE
        prefill = wanted[f"prefill.{'base' if part == 'base' else 'res'}_out"][0, -1:]
        assert error_of(watched[part][0][1], prefill) < CLOSE
    assert error_of(torch.cat([mu for _, mu in watched["mu"]]), wanted["step.mu"][:count]) < CLOSE
    logits = torch.cat([logits for _, logits in watched["stop"]])
    assert logits.argmax(-1).tolist() == case.about["stop_flags"][:count]
    assert error_of(logits, wanted["step.stop_logits"][:count]) < CLOSE


@pytest.mark.parametrize(("version", "name"), CASES)
def test_the_prefix_has_the_published_tensors(golden, version, name):
    case = golden(version).case(name)
    model, wanted = golden(version).gpt(1, 2), case.tensors
    ids = wanted["text_ids"].tolist()
    assert (
        list(golden(version).tokenizer.encode(case.about["prompt_text"] + case.about["target_text"])) == ids
    )
    with torch.inference_mode():
        for stack, part in ((model.net.base, "base"), (model.net.residual, "res")):
            *_, (_, output) = stack.prefix(wanted[f"prefill.{part}_in"][0])
            assert error_of(output, wanted[f"prefill.{part}_out"][0]) < CLOSE
        assert error_of(model.net.encoder(wanted["step.pred"]), wanted["step.enc_out"]) < CLOSE
        assert error_of(model.net.fsq(wanted["step.base_lm_out"]), wanted["step.fsq_out"]) < CLOSE


@pytest.mark.parametrize("version", VERSIONS)
def test_each_evaluation_of_the_first_patch(golden, version):
    """Every velocity of the flow, and the times at which it is taken."""
    for _, name in (case for case in CASES if case[0] == version):
        case = golden(version).case(name)
        wanted, count = case.tensors, case.about["inference_timesteps"]
        net = golden(version).gpt(1, count).net
        times = [step.time for step in net.decoder.steps if not step.still]
        torch.testing.assert_close(torch.tensor(times), wanted["cfm0.t"])
        velocities = recorded(net.decoder, "velocity")
        mu, cond = wanted["step.mu"][:1], wanted["step.cond"][:1]
        guidance = torch.full((1, 1, 1), case.about["cfg_value"])
        with torch.inference_mode():
            net.decoder(mu, cond, case.noise[:1], guidance)
        found = torch.stack([velocity for _, velocity in velocities]).transpose(2, 3)
        assert error_of(found, wanted["cfm0.v"]) < CLOSE


@pytest.mark.parametrize("version", VERSIONS)
def test_bf16_rounds_times_and_tables_as_published(golden, version):
    config, wanted = golden(version).config, golden(version).tensors("bf16_first_step")
    half = torch.bfloat16
    assert torch.equal(spans(10, half), wanted["t_span_bf16_n10"])
    assert torch.equal(sinusoid(wanted["t_span_bf16_n10"], 1024), wanted["time_emb1024_bf16"])
    rotary = rotary_table(config.lm_config, config.head_dim, POSITIONS, half, torch.device("cpu"))
    for table, name in zip(rotary, ("cos", "sin"), strict=True):
        assert torch.equal(table[:, 0], wanted[f"rope_{name}_bf16_first64"].float())
    about = golden(version).about["bf16_case"]
    steps = schedule(about["inference_timesteps"], half)
    assert [step.time for step in steps if not step.still] == wanted["cfm0.t"].tolist()


@pytest.mark.parametrize("version", VERSIONS)
def test_bf16_makes_nearly_the_published_patch(golden, version):
    config, wanted = golden(version).config, golden(version).tensors("bf16_first_step")
    about, half = golden(version).about["bf16_case"], torch.bfloat16
    weights, _ = read_lm(golden(version).checkpoint)
    net = VoxNet(weights, config, torch.device("cpu"), half, POSITIONS, about["inference_timesteps"])
    guidance = torch.full((1, 1, 1), about["cfg_value"])
    noise, cond = (wanted[name].float().transpose(1, 2) for name in ("noise", "cond"))
    with torch.inference_mode():
        patch = net.decoder(wanted["mu"].to(half), cond, noise, guidance)
    assert error_of(patch, wanted["pred"]) < 5e-2
