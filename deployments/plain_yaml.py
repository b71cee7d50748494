"""Reads untrusted YAML: plain values only, with limits on their number and depth."""

from typing import Any

import yaml

MAX_NODES = 10_000  # keys and values; an alias counts as all of its content
MAX_DEPTH = 50
MAX_INT = 2**63 - 1  # the limit of Ray's messages; Python itself cannot print more than 4,300 digits
PLAIN = {
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")
}


class PlainLoader(yaml.SafeLoader):
    """Raises yaml.MarkedYAMLError for everything that is not allowed, such as dates and other tags."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._composed = 0
        self._measured: dict[int, tuple[int, int]] = {}  # nodes and levels in a node, by its id

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        self._depth += 1
        self._composed += 1
        self._bound(self._composed, self._depth, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None:
            if isinstance(event, yaml.AliasEvent) and id(node) not in self._measured:
                raise _refusal("an alias that refers to its own parent", event.start_mark)
            self._measure(node, event.start_mark)
        return node

    def _measure(self, node: yaml.Node, mark: yaml.Mark) -> None:
        """mark: where the node is used. For an alias, this is not where the node is written."""
        if id(node) not in self._measured:
            if node.tag not in PLAIN:
                raise _refusal(_unwanted(node), node.start_mark)
            content = [self._measured[id(part)] for part in _parts(node)]
            nodes = 1 + sum(count for count, _ in content)
            self._measured[id(node)] = nodes, 1 + max((levels for _, levels in content), default=0)
        nodes, levels = self._measured[id(node)]
        self._bound(nodes, self._depth + levels, mark)

    @staticmethod
    def _bound(nodes: int, levels: int, mark: yaml.Mark) -> None:
        if nodes > MAX_NODES:
            raise _refusal(f"more than {MAX_NODES:,} keys and values, counting aliases", mark)
        if levels > MAX_DEPTH:
            raise _refusal(f"nested deeper than {MAX_DEPTH} levels", mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # "\ud800" is half a character
            elif isinstance(value, int) and abs(value) > MAX_INT:
                raise OverflowError
        except yaml.YAMLError:
            raise
        # PyYAML raises these, for instance for `!!int x`
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            raise _refusal(f"this is not a {node.tag.rpartition(':')[2]}", node.start_mark) from None
        return value


def load(text: str) -> Any:
    """Like yaml.safe_load with limits. Every fault raises yaml.YAMLError."""
    loader = PlainLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _unwanted(node: yaml.Node) -> str:
    kind = node.tag.rpartition(":")[2]
    if isinstance(node, yaml.ScalarNode) and kind in ("timestamp", "value"):
        return f"{node.value!r} is read as a {kind}: put it in quotes"
    return f"the tag {node.tag!r} is not allowed"


def _refusal(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)
