"""What untrusted YAML may contain. Everything else is refused early."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deployments import plain_yaml


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [" + ", ".join("x" * width) + "]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * width) + "]")
    return "\n".join(lines)


TEXTS = {
    "bomb of lists": bomb(9, 9),
    "bomb of mappings": "a0: &a0 {x: 1, y: 2}\n"
    + "\n".join(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 40)),
    "bomb of merged mappings": "a0: &a0 {x: 1}\n"
    + "\n".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)),
    "chain of aliases": "\n".join(f"- &c{n} [{f'*c{n - 1}' if n else 'x'}]" for n in range(2000)),
    "alias of itself": "a: &a [*a]",
    "key of itself": "&a {*a : 1}",
    "merged with itself": "a: &a\n  <<: *a",
    "undefined alias": "a: *b",
    "deep list": "[" * 200_000,
    "deep mapping": "".join(f"{' ' * n}a:\n" for n in range(600)),
    "many keys": "".join(f"k{n}:\n" for n in range(40_000)),
    "many items": "- a\n" * 60_000,
    "tag": "a: !!python/object/apply:os.system [id]",
    "own tag": "a: !x y",
    "binary": "a: !!binary '%%'",
    "set": "a: !!set {x}",
    "date": "a: 2026-01-31",
    "impossible date": "a: 2026-13-45",
    "empty int": "a: !!int ''",
    "no int": "a: !!int x",
    "no bool": "a: !!bool maybe",
    "no float": "a: !!float x",
    "digits": "a: " + "9" * 10_000,
    "hex digits": "a: 0x" + "f" * 10_000,
    "sexagesimal": "a: " + ":".join(["59"] * 4000),
    "half a character": 'a: "\\ud800"',
    "control character": "a: \x07",
    "unhashable key": "? [a]\n: b",
    "tab": "a:\n\tb: 1",
    "two documents": "a: 1\n---\nb: 2",
    "open quote": "a: '",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_tags_and_excessive_content_are_refused_early(text):
    began = time.monotonic()
    with pytest.raises(yaml.YAMLError):
        plain_yaml.load(text)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2.5, true, null, ~, .inf, x, 'y']\nb: {c: {d: []}}",
        "base: &base {x: 1}\nother:\n  <<: *base\n  y: [*base, *base]",
        "a: |\n  two\n  lines\n",
        bomb(3, 9),
        "",
        "x",
    ],
)
def test_plain_yaml_is_read_as_by_safe_load(text):
    assert plain_yaml.load(text) == yaml.safe_load(text)


@given(st.text("ab:-[]{}&*!|>'\"#%@,.?~<0_ \n\t", max_size=60))
def test_any_text_gives_a_value_or_a_yaml_error(text):
    with suppress(yaml.YAMLError):
        repr(plain_yaml.load(text))
