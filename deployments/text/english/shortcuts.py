"""Keyboard shortcuts: Ctrl+C, Cmd-Shift-P."""

from __future__ import annotations

import re

from deployments.text.english.numbers import cardinal
from deployments.text.rules import Match, rule

_NAMES = {
    "ctrl": "control", "cmd": "command", "opt": "option", "win": "windows", "fn": "function", "del": "delete",
    "esc": "escape", "ins": "insert", "pgup": "page up", "pgdn": "page down", "prtsc": "print screen", "+": "plus",
    "-": "minus",
    "/": "slash", "\\": "backslash", ",": "comma", ".": "period", ";": "semicolon", "=": "equals", "`": "backtick",
}  # fmt: skip
_HELD = "Ctrl|CTRL|ctrl|Control|Cmd|CMD|cmd|Command|Alt|ALT|alt|Option|Opt|Shift|SHIFT|shift|Win|Windows|Meta|Super|Fn"
_KEY = r"(?:[A-Za-z0-9]{1,9}(?![A-Za-z0-9])|[+\-/\\,.;=`](?=\s|$))"
_FUNCTION = re.compile(r"[Ff](\d{1,2})")


@rule(
    rf"(?:{_HELD})(?:\s?\+\s?(?:{_KEY})|-(?:(?:{_HELD})|[A-Z0-9]|F\d{{1,2}}|Del|Esc|Tab|Enter)(?![A-Za-z0-9])){{1,4}}(?![A-Za-z0-9])"
)
def shortcut(m: Match) -> str | None:
    keys = re.findall(r"[A-Za-z0-9]+|[+\-/\\,.;=`]$", m[0])
    return " ".join(map(_key, keys)) if len(keys) > 1 else None


def _key(key: str) -> str:
    if m := _FUNCTION.fullmatch(key):
        return f"F {cardinal(int(m[1]))}"
    if key.isdigit():
        return cardinal(int(key))
    return _NAMES.get(key.lower()) or (key.upper() if len(key) == 1 else key.lower())
