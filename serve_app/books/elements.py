"""Helpers for the writers of XML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from lxml import etree

from serve_app.books.markup import Element


def new_element(
    tag: str, attributes: Mapping[str, str] | None = None, spaces: Mapping[str | None, str] | None = None
) -> Element:
    """spaces: the namespaces that it declares, by prefix; None for the one without a prefix."""
    return etree.Element(tag, dict(attributes or {}), nsmap=cast(Any, dict(spaces or {})))


def attributes_of(element: Element) -> dict[str, str]:
    return {str(name): str(value) for name, value in element.attrib.items()}


def drop_attribute(element: Element, name: str) -> None:
    if name in element.attrib:
        del element.attrib[name]


def text_of(element: Element) -> str:
    return "".join(map(str, element.itertext()))


def ids_of(root: Element) -> set[str]:
    return {id for element in root.iter(etree.Element) if (id := element.get("id"))}


def unused(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, with the first number appended that makes it unique if it is in `taken`."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name
