"""Kokoro's graph in three parts, so that OpenVINO can compute the largest one in bfloat16.

On a core with AMX or AVX512-BF16 this makes 5 times real time instead of 2. The pitch's phase and the inverse STFT stay
in float32: in bfloat16 they ruin the sound. DistillMOS rates twelve utterances 4.38, in int8 4.45, in float32 4.51.

    prosody.onnx    tokens, style and speed to durations, F0, energy and the decoder's inputs: the source's spectrum ...
    decoder.onnx    these to the spectrum of the sound
    sound.onnx      the spectrum to samples
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = "/decoder/decoder/generator/Concat_3_output_0"  # the spectrum of the harmonics
CURVES = ("durations", "f0", "energy")
DEGREES = 5  # of the polynomial for the squared sine: within 1.3e-6


class Graph:
    """An ONNX graph with its constants and the nodes that make and use each tensor."""

    def __init__(self, model: Any) -> None:
        import onnx  # pyright: ignore[reportMissingImports]

        self.model, self._arrays, self._node = model, onnx.numpy_helper, onnx.helper.make_node
        self.constants = {constant.name: constant for constant in model.graph.initializer}
        self.maker = {output: node for node in model.graph.node for output in node.output}
        self.users: dict[str, list[Any]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self.users[name].append(node)

    def array(self, name: str) -> np.ndarray:
        return self._arrays.to_array(self.constants[name])

    def add(self, name: str, array: np.ndarray) -> str:
        if name not in self.constants:
            self.constants[name] = self._arrays.from_array(np.ascontiguousarray(array), name)
        return name

    def node(self, kind: str, inputs: Iterable[str], output: str, **attributes: Any) -> Any:
        return self._node(kind, list(inputs), [output], name=output, **attributes)

    def like(self, node: Any, kind: str, inputs: Iterable[str], outputs: Iterable[str]) -> Any:
        """Of another kind, with the attributes of `node`."""
        made = self._node(kind, list(inputs), list(outputs), name=node.name)
        made.attribute.extend(node.attribute)
        return made

    def before(self, names: Iterable[str]) -> list[Any]:
        """The nodes on which these tensors depend, in order."""
        needed, waiting = set(), list(names)
        while waiting:
            node = self.maker.get(waiting.pop())
            if node is not None and id(node) not in needed:
                needed.add(id(node))
                waiting += node.input
        return [node for node in self.model.graph.node if id(node) in needed]

    def replaced(self, nodes: Iterable[Any]) -> Graph:
        """With these nodes, of which those are dropped that no output needs."""
        graph = self.model.graph
        nodes = list(nodes)
        del graph.node[:]
        graph.node.extend(nodes)
        del graph.initializer[:]
        graph.initializer.extend(self.constants.values())
        made = Graph(self.model)
        alive = made.before(output.name for output in graph.output)
        used = {name for node in alive for name in node.input}
        del graph.node[:]
        graph.node.extend(alive)
        del graph.initializer[:]
        graph.initializer.extend(c for c in made.constants.values() if c.name in used)
        return Graph(self.model)


def in_floats(graph: Graph) -> Graph:
    """Replaces integer products and LSTMs by those of floats, with the same weights."""
    nodes = {id(node): node for node in graph.model.graph.node}
    for node in graph.model.graph.node:
        if node.op_type in ("ConvInteger", "MatMulInteger"):
            last, made = _product(graph, node)
            nodes[id(last)] = made
        elif node.op_type == "DynamicQuantizeLSTM":
            names = [node.input[0], *(_lstm_weight(graph, node, which) for which in (1, 2)), *node.input[3:8]]
            nodes[id(node)] = graph.like(node, "LSTM", names, node.output)
    return graph.replaced(nodes.values())


def _product(graph: Graph, node: Any) -> tuple[Any, Any]:
    """The last node of a quantised product, and the product in floats that makes the same tensor."""
    signal, weight = graph.maker[node.input[0]].input[0], graph.array(node.input[1]).astype(np.float32)
    zero = graph.array(node.input[3]).astype(np.float32)
    (user,) = graph.users[node.output[0]]
    inputs = []
    if user.op_type == "Add":
        inputs = [_bias(graph, next(name for name in user.input if name != node.output[0]))]
        (user,) = graph.users[user.output[0]]
    (last,) = graph.users[user.output[0]]  # behind a cast, the product with both scales
    scales = graph.maker[next(name for name in last.input if name != user.output[0])]
    scale = graph.array(next(name for name in scales.input if name in graph.constants))
    if node.op_type == "ConvInteger":
        ones = (1,) * (weight.ndim - 1)
        zero, scale = (part.reshape(-1, *ones) if part.size > 1 else part for part in (zero, scale))
    name = graph.add(f"{node.input[1]}_float", (weight - zero) * scale)
    kind = node.op_type.removesuffix("Integer")
    return last, graph.like(node, kind, [signal, name, *inputs], last.output)


def _bias(graph: Graph, name: str) -> str:
    """The constant from which a quantised bias is made."""
    while name not in graph.constants:
        inputs = graph.maker[name].input
        floats = [i for i in inputs if i in graph.constants and graph.array(i).dtype == np.float32]
        name = next((i for i in floats if graph.array(i).size > 1), inputs[0])
    return name


def _lstm_weight(graph: Graph, node: Any, which: int) -> str:
    """(directions, 4 H, I) float32. which: 1 for the inputs, 2 for the state."""
    scale, zero = (graph.array(node.input[6 + 2 * which + part]) for part in (0, 1))
    weight = graph.array(node.input[which]).astype(np.float32) - zero.astype(np.float32).reshape(-1, 1, 1)
    return graph.add(f"{node.input[which]}_float", (weight * scale.reshape(-1, 1, 1)).transpose(0, 2, 1))


def without_slow_nodes(graph: Graph) -> Graph:
    """Replaces what OpenVINO computes slowly: squared sines by polynomials, and upsampling by convolutions."""
    nodes, done = [], set()
    for node in graph.model.graph.node:
        users = graph.users[node.output[0]]
        if id(node) in done:
            continue
        if node.op_type == "Sin" and len(users) == 1 and users[0].op_type == "Pow":
            done.add(id(users[0]))
            nodes += _squared_sine(graph, node.input[0], users[0].output[0])
        elif node.op_type == "ConvTranspose":
            nodes += _upsampled(graph, node) or [node]
        else:
            nodes.append(node)
    return graph.replaced(nodes)


def _squared_sine(graph: Graph, x: str, output: str) -> list[Any]:
    """r = x / pi - round(x / pi), and a polynomial of r^2."""
    squares = np.linspace(0, 0.5, 10001) ** 2
    powers = np.stack([squares**power for power in range(1, DEGREES + 1)], axis=1)
    factors = np.linalg.lstsq(powers, np.sin(np.pi * np.sqrt(squares)) ** 2, rcond=None)[0]
    constants = {"over_pi": 1 / np.pi, "half": 0.5} | {
        f"factor_{i}": value for i, value in enumerate(factors)
    }
    names = {
        name: graph.add(f"sine_{name}", np.array(value, np.float32)) for name, value in constants.items()
    }
    made: list[Any] = []

    def put(kind: str, *inputs: str, to: str = "") -> str:
        made.append(graph.node(kind, inputs, to or f"{output}_{len(made)}"))
        return made[-1].output[0]

    turns = put("Mul", x, names["over_pi"])
    rest = put("Sub", turns, put("Floor", put("Add", turns, names["half"])))
    square = put("Mul", rest, rest)
    total = put("Mul", square, names[f"factor_{DEGREES - 1}"])
    for power in reversed(range(DEGREES - 1)):
        total = put("Mul", put("Add", total, names[f"factor_{power}"]), square, to="" if power else output)
    return made


def _upsampled(graph: Graph, node: Any) -> list[Any]:
    """A transposed convolution whose kernel is two strides long: a convolution to all phases of its output."""
    said = {a.name: list(a.ints) or a.i for a in node.attribute}
    weight, stride = graph.array(node.input[1]), said["strides"][0]
    inputs, outputs, kernel = weight.shape
    before, after = said["pads"]
    if said.get("group", 1) != 1 or kernel != 2 * stride or kernel - before - after != stride:
        return []
    phases = np.zeros((outputs, stride, inputs, 3), np.float32)
    for phase in range(stride):
        for tap in (-1, 0, 1):
            if 0 <= (place := phase + before - tap * stride) < kernel:
                phases[:, phase, :, tap + 1] = weight[:, :, place].T
    end = node.output[0]
    parts = [
        graph.add(f"{end}_weight", phases.reshape(outputs * stride, inputs, 3)),
        graph.add(f"{end}_bias", np.repeat(graph.array(node.input[2]), stride)),
    ]
    split = graph.add(f"{end}_split", np.array([1, outputs, stride, -1]))
    joined = graph.add(f"{end}_joined", np.array([1, outputs, -1]))
    return [
        graph.node("Conv", [node.input[0], *parts], f"{end}_conv", kernel_shape=[3], pads=[1, 1]),
        graph.node("Reshape", [f"{end}_conv", split], f"{end}_phases"),
        graph.node("Transpose", [f"{end}_phases"], f"{end}_turned", perm=[0, 1, 3, 2]),
        graph.node("Reshape", [f"{end}_turned", joined], end),
    ]


def split(source: Path, folder: Path) -> None:
    """Writes the three parts of kokoro.onnx."""
    import onnx  # pyright: ignore[reportMissingImports]

    graph = without_slow_nodes(in_floats(Graph(onnx.load(str(source)))))
    prosody = graph.before([SOURCE, *CURVES])
    last = [node for node in graph.model.graph.node if node.op_type == "Conv"][-1].output[0]
    decoder = _rest(graph.before([last]), prosody)
    sound = _rest(graph.before(["audio"]), [*prosody, *decoder])
    made = {output for node in prosody for output in node.output}
    inputs = [name for name in _inputs(graph, decoder) if name in made]
    _write(graph, prosody, {}, [*inputs, *CURVES], folder / "prosody.onnx")
    shapes = _shapes(folder / "prosody.onnx")
    _write(graph, decoder, shapes, [last], folder / "decoder.onnx")
    _write(graph, sound, {}, ["audio"], folder / "sound.onnx")


def _rest(nodes: list[Any], without: list[Any]) -> list[Any]:
    known = {id(node) for node in without}
    return [node for node in nodes if id(node) not in known]


def _inputs(graph: Graph, nodes: list[Any]) -> list[str]:
    made = {output for node in nodes for output in node.output}
    names = dict.fromkeys(name for node in nodes for name in node.input if name)
    return [name for name in names if name not in made and name not in graph.constants]


def _write(graph: Graph, nodes: list[Any], shapes: dict[str, list], outputs: list[str], path: Path) -> None:
    """A model of these nodes. shapes: of the inputs, where OpenVINO must know their ranks."""
    import onnx  # pyright: ignore[reportMissingImports]

    value, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    kind = {"tokens": kinds.INT64, "durations": kinds.INT64}
    used = {name for node in nodes for name in node.input}
    made = onnx.helper.make_graph(
        nodes,
        path.stem,
        [value(name, kind.get(name, kinds.FLOAT), shapes.get(name)) for name in _inputs(graph, nodes)],
        [value(name, kind.get(name, kinds.FLOAT), None) for name in outputs],
        [constant for constant in graph.constants.values() if constant.name in used],
    )
    versions = {"opset_imports": graph.model.opset_import, "ir_version": graph.model.ir_version}
    onnx.save(onnx.helper.make_model(made, **versions), str(path))


def _shapes(prosody: Path) -> dict[str, list]:
    """The shapes of its outputs and of the tokens, with a name for each size that depends on the text."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    session = onnxruntime.InferenceSession(str(prosody), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    ran = []
    for count in (7, 12):
        tokens = np.arange(count)[None] % 2 * 50
        feed = {"tokens": tokens, "style": np.zeros((1, 256), np.float32), "speed": np.ones(1, np.float32)}
        ran.append({"tokens": tokens} | dict(zip(names, session.run(names, feed), strict=True)))
    return {
        name: [
            size if size == other else f"size_{axis}_of_{place}"
            for axis, (size, other) in enumerate(zip(one.shape, ran[1][name].shape, strict=True))
        ]
        for place, (name, one) in enumerate(ran[0].items())
    }
