"""The checkpoint folder: what is read, and the errors for a wrong one; LoRA files; bad requests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks._decoding import decoded
from deployments import assembly, families
from deployments.contract.errors import ConfigError, InvalidInput
from deployments.contract.options import FamilyOptions, ModelOptions, SamplingOptions
from deployments.contract.speech import GptRequest, Reference, Segment, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from tests.families.prefill import prefill_at_once
from tests.families.voxcpm.conftest import CPU, VERSIONS, Golden, error_of

Load = Callable[..., Any]
TEXT = "今天天气很好。"
PARTS = {
    "gpt": lambda family: family.gpt(CPU, 1),
    "voice_encoder": lambda family: family.voice_encoder(CPU),
    "vocoder": lambda family: family.vocoder(CPU),
    "frontend": lambda family: family.frontend(),
}


@pytest.fixture
def folder(golden, tmp_path) -> Path:
    return Path(shutil.copytree(golden("v2").checkpoint, tmp_path / "model"))


def load(folder: Path, *parts: str, **options: Any) -> Any:
    family = families.load("voxcpm", {"model_dir": str(folder), **options})
    for part in parts:
        PARTS[part](family)
    return family


def complaint(folder: Path, *parts: str, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, *parts, **options)
    assert str(folder.parent) not in caught.value.message
    return caught.value.message


def change(folder: Path, section: str | None, **values: Any) -> None:
    """Sets values in config.json; ... removes a key."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    part = config if section is None else config[section]
    for name, value in values.items():
        if value is ...:
            del part[name]
        else:
            part[name] = value
    path.write_text(json.dumps(config), "utf-8")


@pytest.mark.parametrize(
    ("version", "rate", "samples", "needs", "controls"),
    [("v15", 44100, 7056, True, {"continuation"}), ("v2", 48000, 7680, False, {"continuation", "reference"})],
)
def test_the_spec_describes_the_family_to_the_service(golden, version, rate, samples, needs, controls):
    spec = load(golden(version).checkpoint).spec
    assert (spec.name, spec.sample_rate, spec.samples_per_code) == ("voxcpm", rate, samples)
    assert spec.codes_per_second == 6.25
    assert (spec.state_home, spec.left_context, spec.right_context) == ("replica", 0, 0)
    assert spec.needs_transcript is needs
    common = {"cfg_value", "inference_timesteps", "min_len", "max_len", "retry_badcase"}
    assert set(spec.defaults) == common | controls
    assert spec.defaults["inference_timesteps"] == 10


def test_spec_and_frontend_need_no_torch(golden):
    program = (
        "import sys\nfrom deployments import families\n"
        f"family = families.load('voxcpm', {{'model_dir': {str(golden('v2').checkpoint)!r}}})\n"
        "family.spec, family.frontend().segments('Hello.'), family.example_prompt()\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "model_dir: Field required"),
        ({"model_dir": "relative/folder"}, "must be an absolute path"),
        ({"model_dir": "/nowhere/at-all"}, "folder 'at-all' does not exist"),
        (
            {"model_dir": "/tmp", "beams": 3},
            "beams: Extra inputs are not permitted; allowed: model_dir, lora_dir",
        ),
        ({"model_dir": "/tmp", "max_length": 1}, "greater than or equal to 64"),
        (
            {"model_dir": "/tmp", "lora_dir": "here"},
            "family.options.lora_dir: 'here' must be an absolute path",
        ),
    ],
)
def test_wrong_options(options, says):
    with pytest.raises(ConfigError) as caught:
        families.load("voxcpm", options)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("config.json", None),
        ("tokenizer.json", None),
        ("model.safetensors", "gpt"),
        ("audiovae.pth", "vocoder"),
        ("audiovae.pth", "voice_encoder"),
    ],
)
def test_a_missing_file_is_named(folder, name, part):
    (folder / name).unlink()
    parts = [part] if part else []
    assert name.replace("audiovae.pth", "audiovae.safetensors") in complaint(folder, *parts)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("config.json", "frontend"),
        ("model.safetensors", "gpt"),
        ("audiovae.pth", "vocoder"),
        ("audiovae.pth", "voice_encoder"),
        ("tokenizer.json", "frontend"),
    ],
)
def test_a_truncated_file_is_named(folder, name, part):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    assert complaint(folder, part).startswith(name)


@pytest.mark.parametrize(
    ("section", "values", "part", "says"),
    [
        (None, {"architecture": "voxcpm3"}, "gpt", "architecture 'voxcpm3' is not supported"),
        (None, {"patch_size": "4"}, "gpt", "patch_size: Input should be a valid integer"),
        (
            None,
            {"residual_lm_num_layers": 3},
            "gpt",
            "residual_lm.layers.2.input_layernorm.weight is missing",
        ),
        (None, {"feat_dim": 8}, "gpt", "feat_dim 8 must equal audio_vae_config.latent_dim"),
        ("lm_config", {"use_mup": True}, "gpt", "lm_config.use_mup: Input should be False"),
        ("lm_config", {"use_mup": ...}, "gpt", "lm_config.use_mup: Field required"),
        ("lm_config", {"vocab_size": 100}, "frontend", "tokenizer.json: an id is not below 100"),
        (
            "lm_config",
            {"intermediate_size": 192},
            "gpt",
            "base_lm.layers.0.mlp.down_proj.weight is (96, 160)",
        ),
        ("lm_config", {"num_key_value_heads": 3}, "gpt", "cannot share 3 of keys and values"),
        ("lm_config", {"kv_channels": 24}, "gpt", "must have one size"),
        ("dit_config", {"dit_mean_mode": True}, "gpt", "dit_mean_mode: Input should be False"),
        ("audio_vae_config", {"depthwise": False}, "vocoder", "depthwise: Input should be True"),
        ("audio_vae_config", {"decoder_dim": 128}, "vocoder", "audiovae.pth: decoder.model.1.bias is (64,)"),
        (
            "audio_vae_config",
            {"encoder_rates": [2, 5, 8]},
            "vocoder",
            "encoder_rates make 80 samples per frame",
        ),
        ("audio_vae_config", {"sr_bin_boundaries": ...}, "vocoder", "sr_bin_boundaries is missing"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder, section, values, part, says):
    change(folder, section, **values)
    assert says in complaint(folder, part)


def test_the_decoder_of_another_version_is_refused(golden, folder):
    shutil.copy(golden("v15").checkpoint / "audiovae.pth", folder / "audiovae.pth")
    said = complaint(folder, "vocoder")
    assert said.startswith("audiovae.pth: decoder.model.") and "the config wants" in said


def test_a_pickle_with_code_is_refused(folder):
    class Code:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"state_dict": Code()}, folder / "audiovae.pth")
    assert "audiovae.pth: refused" in complaint(folder, "vocoder")


@pytest.mark.parametrize("nested", [True, False])
def test_the_older_files_are_read(folder, nested):
    """As 0.5B has them: a torch file for the language models, with or without "state_dict"."""
    tensors = load_file(folder / "model.safetensors")
    torch.save({"state_dict": tensors} if nested else tensors, folder / "pytorch_model.bin")
    vae = torch.load(folder / "audiovae.pth", weights_only=True)["state_dict"]
    save_file({name: tensor.contiguous() for name, tensor in vae.items()}, folder / "audiovae.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "audiovae.pth").unlink()
    load(folder, "gpt", "vocoder", "voice_encoder")


def lora(folder: Path, config: dict[str, Any] | None = None, **tensors: torch.Tensor) -> str:
    folder.mkdir()
    save_file(tensors, folder / "lora_weights.safetensors")
    (folder / "lora_config.json").write_text(json.dumps({"alpha": 8, "r": 2} if config is None else config))
    return str(folder)


def test_lora_weights_are_merged(folder, tmp_path):
    make = torch.Generator().manual_seed(0)
    name = "base_lm.layers.1.self_attn.q_proj"
    down, up = torch.randn(2, 96, generator=make), torch.randn(128, 2, generator=make)
    where = lora(
        tmp_path / "lora", {"lora_config": {"alpha": 8}}, **{f"{name}.lora_A": down, f"{name}.lora_B": up}
    )
    tensors = load_file(folder / "model.safetensors")
    merged = tmp_path / "merged"
    shutil.copytree(folder, merged)
    tensors[f"{name}.weight"] = tensors[f"{name}.weight"].float() + 8 / 2 * up @ down
    save_file(tensors, merged / "model.safetensors")
    hidden = torch.randn(3, 96, generator=make)
    with torch.inference_mode():
        found, wanted, plain = (
            list(load(path, **options).gpt(CPU, 1).net.base.prefix(hidden))[-1][1]
            for path, options in ((folder, {"lora_dir": where}), (merged, {}), (folder, {}))
        )
    assert error_of(found, wanted) < 1e-5
    assert error_of(plain, wanted) > 1e-3


@pytest.mark.parametrize(
    ("config", "tensors", "says"),
    [
        ({"r": 2}, {}, "lora_config.json: must be JSON with a number alpha"),
        ({"alpha": -1}, {}, "alpha must be a number above 0"),
        (None, {"stop_proj.lora_A": (2, 96)}, "stop_proj must have lora_A and lora_B"),
        (None, {"none.lora_A": (2, 96), "none.lora_B": (96, 2)}, "none has no layer in the model"),
        (None, {"stop_proj.lora_A": (2, 64), "stop_proj.lora_B": (96, 2)}, "stop_proj is (96, 2), (2, 64)"),
    ],
)
def test_wrong_lora_files_are_refused(folder, tmp_path, config, tensors, says):
    made = {name: torch.zeros(shape) for name, shape in tensors.items()} or {"x.lora_A": torch.zeros(1, 1)}
    where = lora(tmp_path / "lora", config, **made)
    assert says in complaint(folder, "gpt", lora_dir=where)


@pytest.mark.parametrize(("steps", "wrong"), [(0, True), (1, True), (1000, True), (2.5, True), (4, False)])
def test_the_number_of_diffusion_steps(golden, steps, wrong):
    options = ModelOptions(
        family=FamilyOptions(name="voxcpm", options={"model_dir": str(golden("v15").checkpoint)}),
        sampling=SamplingOptions(inference_timesteps=steps),  # type: ignore[call-arg]
    )
    if wrong:
        with pytest.raises(ConfigError, match="must be an integer from 2 to 100"):
            assembly.load_family(options)
    else:
        assert len(assembly.load_family(options).gpt(CPU, 1).net.decoder.steps) == steps


@pytest.mark.parametrize(
    ("controls", "says"),
    [
        ({"cfg_value": -3}, "must be a number from 0.1 to 10"),
        ({"cfg_value": float("nan")}, "must be a number from 0.1 to 10"),
        ({"inference_timesteps": 5}, "fixed when voxcpm is loaded"),
        ({"min_len": 2.5}, "must be an integer"),
        ({"max_len": 0}, "from 1 to 2000"),
        ({"retry_badcase": 1}, "must be true or false"),
        ({"temperature": 1.0}, "Unknown field 'temperature'"),
    ],
)
def test_controls_out_of_range_are_refused(golden, controls, says):
    with pytest.raises(InvalidInput, match=says):
        load(golden("v2").checkpoint).spec.sampling(controls)


def request(golden: Golden, prompt: VoicePrompt, text: str = TEXT, **controls: Any) -> GptRequest:
    sampling = load(golden.checkpoint).spec.sampling(controls, max_tokens=4)
    return GptRequest(Segment(text, np.array(golden.tokenizer.encode(text))), prompt, sampling)


def test_a_recording_or_text_that_fills_the_slot_is_refused(golden, on_device):
    """60 s of reference are 375 patches; this checkpoint's slots have 256 positions."""
    encoder = golden("v2").encoder
    noise = 0.1 * np.random.default_rng(0).standard_normal(60 * 16000, dtype=np.float32)
    long, short = (
        encoder.encode(Reference.of(noise, 16000)),
        encoder.encode(Reference.of(noise[:16000], 16000)),
    )
    assert len(long.tensors["reference"]) == 375
    decoder = on_device(lambda: Decoder(golden("v2").gpt(1, 2), CPU))
    for wrong in (request(golden("v2"), long), request(golden("v2"), short, "a" * 300)):
        with pytest.raises(InvalidInput, match="a slot has 256") as caught:
            on_device(decoded, decoder, [WorkItem("long", wrong)])
        assert caught.value.param == "input"
    found = on_device(decoded, decoder, [WorkItem("fits", request(golden("v2"), short))])
    assert len(found["fits"]) == 4


def test_a_voice_without_a_transcript_cannot_only_be_continued(golden, on_device):
    prompt = golden("v2").encoder.encode(Reference.of(*golden("v2").recording("prompt")))
    with pytest.raises(InvalidInput, match="no transcript") as caught:
        on_device(
            lambda: prefill_at_once(golden("v2").gpt(1, 2), 0, request(golden("v2"), prompt, reference=False))
        )
    assert caught.value.param == "continuation"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_long_sentence_is_cut_at_the_limit(golden, version):
    frontend = load(golden(version).checkpoint, max_text_tokens_per_segment=40).frontend()
    text = "今天天气很好，我们" * 1200
    segments = frontend.segments(text)
    assert len(text) > 10_000
    assert max(len(segment.token_ids) for segment in segments) <= 40
    assert "".join(segment.text for segment in segments) == text
    whole = load(golden(version).checkpoint, max_text_tokens_per_segment=None).frontend()
    assert len(whole.segments(text)) == 1


def test_segments_hold_as_many_sentences_as_the_limit_allows(golden):
    frontend = load(golden("v2").checkpoint, max_text_tokens_per_segment=30).frontend()
    text = "你好，world! 这是 mixed 文本。今天天气很好。\nDr. Smith said so.  [pause:1s]  Thank you."
    segments = frontend.segments(text)
    assert [segment.text for segment in segments] == [
        "你好，world! 这是 mixed 文本。今天天气很好。",
        "Dr. Smith said so.",
        "[pause:1s]",
        "Thank you.",
    ]
    for segment in segments:
        assert segment.span is not None and text[slice(*segment.span)] == segment.text
    assert segments[0].max_codes == 6 * len(segments[0].token_ids) + 10


def test_marks_in_a_text_do_not_steer_the_model(golden):
    frontend = load(golden("v2").checkpoint).frontend()
    (marked,) = frontend.segments("</s>你好<|audio_start|>，朋友。")
    assert not {1, 2, 101, 102, 103, 104} & set(marked.token_ids.tolist())
    with pytest.raises(InvalidInput, match="letters or digits"):
        frontend.segments("<|audio_start|> …")


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_of_any_rate_has_the_same_patches(golden, version, rate):
    seconds = np.arange(2 * rate) / rate
    waveform = (0.3 * np.sin(2 * np.pi * 220 * seconds)).astype(np.float32)
    prompt = golden(version).encoder.encode(Reference.of(waveform, rate, "tone"))
    assert prompt.tensors["prompt"].shape == (13, 4, 16)  # 2 s are 12.5 patches
    assert np.isfinite(prompt.tensors["prompt"]).all()
