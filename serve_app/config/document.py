"""A YAML file with the line of every key and item, so that errors can name it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from deployments import assembly
from deployments.contract.errors import CheckpointError, ConfigError
from deployments.plain_yaml import PlainLoader
from serve_app.config.settings import Settings
from serve_app.config.strict import Fault, Location, dotted, from_variable

MAX_BYTES = 256 * 2**10
MAX_FAULTS = 20  # reported at once
SECTIONS = "family|sampling|chunks|device|gpt|vocoder|voice_encoder"
OPTION = re.compile(rf"((?:{SECTIONS})(?:\.\w+)+): (.*)", re.DOTALL)
ARGS: Location = ("applications", 0, "args")  # where our settings lie in a Serve config file


class Document:
    """Raises ConfigError, with file name and line, for a file that cannot be read, is not YAML, or is too large."""

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.name = path.name or str(path)
        self.lines: dict[Location, int] = {}
        text = self._read(path)
        try:
            loader = PlainLoader(text)
            node = loader.get_single_node()
            if node is not None:
                self._walk(node, ())
            self.value = None if node is None else loader.construct_document(node)
            return
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            said = ", ".join(filter(None, (error.context, error.problem)))
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            said = f"the character U+{ord(text[error.position]):04X} is not allowed"
        raise ConfigError(f"{self.name}:{line}: not valid YAML: {said}")

    def _read(self, path: Path) -> str:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                reason = "it is not a regular file"
            else:
                with path.open("rb") as file:
                    data = file.read(MAX_BYTES + 1)
                if len(data) <= MAX_BYTES:
                    return data.decode("utf-8-sig")
                reason = f"it is larger than {MAX_BYTES // 1024} KiB"
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            reason = f"it is not UTF-8 text (line {line})"
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else "no such file"
        raise ConfigError(f"{self.name}: cannot be read: {reason}")

    def _walk(self, node: yaml.Node, loc: Location) -> None:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            for index, inner in enumerate(node.value):
                self._walk(inner, (*loc, index))
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, inner in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else str(key.tag)
                line = key.start_mark.line + 1
                if name in seen:
                    raise ConfigError(f"{self.name}:{line}: {dotted((*loc, name))}: duplicate key")
                seen.add(name)
                self.lines[(*loc, name)] = line
                self._walk(inner, (*loc, name))

    def line(self, loc: Location) -> int:
        """The line of the innermost part of `loc` that the file contains."""
        while loc not in self.lines and loc:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def refuse(self, faults: Iterable[Fault]) -> None:
        if faults := list(faults):
            raise self.error(faults)

    def error(self, faults: list[Fault], environ: Mapping[str, str] = {}) -> ConfigError:
        """One line for each fault: the file and the line, or the variable in `environ` that set the value."""
        faults = sorted(faults, key=lambda fault: self.line(fault[0]))
        lines = []
        for loc, said in faults[:MAX_FAULTS]:
            ours = loc[len(ARGS) :] if loc[: len(ARGS)] == ARGS else ()
            here = f"{self.name}:{self.line(loc)}: {dotted(loc)}: {said}"
            lines.append(from_variable(ours, said, environ) or here)
        if len(faults) > MAX_FAULTS:
            lines.append(f"{self.name}: and {len(faults) - MAX_FAULTS} more")
        return ConfigError("\n".join(lines), param=dotted(faults[0][0]))


@contextmanager
def located(path: str | Path | None, environ: Mapping[str, str], place: Location = ()) -> Iterator[None]:
    """Adds to a ConfigError about an option, raised inside, where the option was set. place: of the model in `args`.

    The error's `param`, or the beginning of its message, names the option.
    """
    try:
        yield
    except ConfigError as error:
        named = OPTION.match(error.message)
        option, said = named.groups() if named else (error.param or "family.options", error.message)
        said = "; ".join(said.splitlines())
        loc = (*place, *option.split("."))
        full = from_variable(loc, said, environ) or f"{dotted(loc)}: {said}"
        if path is not None:
            whole = loc if loc[0] == "http_options" else (*ARGS, *loc)
            full = Document(path).error([(whole, said)], environ).message
        raise type(error)(full, param=option) from None


def check_models(
    settings: Settings, path: str | Path | None, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Why checkpoints cannot be used, by model; never all of them. Raises ConfigError for any other fault."""
    broken: dict[str, CheckpointError] = {}
    for name in settings.served:
        try:
            with located(path, environ, settings.place(name)):
                options = settings.options(name)
                assembly.schedule(options, assembly.load_family(options).spec)
        except CheckpointError as error:
            broken[name] = error
    if len(broken) == len(settings.served):
        raise next(iter(broken.values()))
    return {name: error.message for name, error in broken.items()}
