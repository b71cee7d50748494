"""Converts XHTML 1 documents to the XHTML of EPUB 3: what is no longer allowed becomes a style, or is left out."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from serve_app.books.elements import attributes_of, drop_attribute, new_element, text_of
from serve_app.books.markup import OPS, XHTML, Element

XML = "http://www.w3.org/XML/1998/namespace"
SVG, MATHML = "http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"
STYLED = {  # removed elements: their successor and its style
    "center": ("div", "text-align: center"),
    "big": ("span", "font-size: larger"),
    "tt": ("span", "font-family: monospace"),
    "strike": ("span", "text-decoration: line-through"),
    "nobr": ("span", "white-space: nowrap"),
    "font": ("span", ""),
    "basefont": ("span", ""),
    "acronym": ("abbr", ""),
    "dir": ("ul", ""),
    "menu": ("ul", ""),
}
VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
SIZES = ("x-small", "small", "medium", "large", "x-large", "xx-large", "xxx-large")  # of <font size="1"> to 7
BLOCKS = frozenset("p div h1 h2 h3 h4 h5 h6 caption td th tr tbody thead tfoot col colgroup".split())
SIZED = frozenset("table td th col colgroup hr pre".split())  # whose width was an attribute
DROPPED = {  # obsolete attributes without a style that matters, by element; "" is any
    "": "bgcolor background text link vlink alink char charoff compact nowrap noshade clear profile version".split(),
    "a": "charset rev shape coords".split(),
    "link": "charset rev target".split(),
    "img": "longdesc lowsrc name".split(),
    "td": "abbr axis scope".split(),
    "th": ["axis"],
    "table": "summary frame rules".split(),
    "meta": ["scheme"],
    "script": ["language"],
    "object": "archive classid code codebase codetype declare standby".split(),
    "param": "type valuetype".split(),
    "ul": ["type"],
    "li": ["type"],
    "br": ["clear"],
    "hr": ["size"],
}


def upgrade(root: Element, title: str) -> Element:
    """Changes a parsed document in place and returns its root, which is another one if it was parsed as HTML.

    title: for a document without one.
    """
    root = _namespaced(root)
    for element in list(root.iter(f"{{{XHTML}}}*")):
        _upgrade(element)
    _complete(root, title)
    return root


def serialize(root: Element) -> bytes:
    """The file, in UTF-8. Only void elements are self-closing, for readers that parse it as HTML."""
    for element in root.iter(f"{{{XHTML}}}*"):
        if not len(element) and element.text is None and etree.QName(element).localname not in VOID:
            element.text = ""
    return etree.tostring(root, xml_declaration=True, encoding="utf-8", doctype="<!DOCTYPE html>")


def properties(root: Element) -> list[str]:
    """The properties that the manifest of EPUB 3 must list for a document."""
    found = []
    if next(root.iter(f"{{{MATHML}}}math"), None) is not None:
        found.append("mathml")
    if next(root.iter(f"{{{XHTML}}}script", f"{{{XHTML}}}form"), None) is not None:
        found.append("scripted")
    if next(root.iter(f"{{{SVG}}}svg"), None) is not None:
        found.append("svg")
    return found


def head_of(root: Element) -> Element:
    """The <head>, created if there is none."""
    head = root.find(f"{{{XHTML}}}head")
    if head is None:
        head = etree.Element(f"{{{XHTML}}}head")
        root.insert(0, head)
    return head


def _namespaced(root: Element) -> Element:
    """Adds XHTML's namespace, without a prefix, to a document that was parsed as HTML."""
    if str(root.tag).startswith("{"):
        return root
    for element in root.iter(etree.Element):
        element.tag = f"{{{XHTML}}}{str(element.tag).rpartition(':')[2]}"
        for name in list(element.attrib):
            if ":" in str(name) or not str(name).replace("-", "").isalnum():
                del element.attrib[name]
    new = new_element(str(root.tag), attributes_of(root), {None: XHTML, "epub": OPS})
    new.text = root.text
    new.extend(list(root))
    return new


def _upgrade(element: Element) -> None:
    name = etree.QName(element).localname
    if name == "meta" and element.get("http-equiv") is not None:
        _remove(element)
        return
    for attribute in [*DROPPED[""], *DROPPED.get(name, ()), f"{{{XML}}}space"]:
        drop_attribute(element, attribute)
    _give_id(element, name)
    styles = [style for attribute, rule in RULES.items() if (style := _taken(element, name, attribute, rule))]
    if name in STYLED:
        name, style = STYLED[name]
        element.tag = f"{{{XHTML}}}{name}"
        styles.append(style)
    own = element.get("style", "").strip().rstrip(";")
    if joined := "; ".join(style for style in (*styles, own) if style):
        element.set("style", joined)


def _taken(element: Element, name: str, attribute: str, rule: Callable[[str, str], str | None]) -> str | None:
    """The style that replaces an attribute. None: the element keeps it."""
    value = element.get(attribute)
    style = None if value is None else rule(name, value.strip())
    if style is not None:
        del element.attrib[attribute]
    return style if style and not set(style) & set("<>{}\"'") else None


def _align(name: str, value: str) -> str | None:
    value = value.lower()
    if name in ("img", "table", "object", "iframe"):
        if name == "table" and value == "center":
            return "margin-left: auto; margin-right: auto"
        return f"float: {value}" if value in ("left", "right") else f"vertical-align: {value}"
    return f"text-align: {value}" if value in ("left", "right", "center", "justify") else ""


def _width(name: str, value: str) -> str | None:
    if name not in SIZED:
        return None
    return f"width: {value}px" if value.isdigit() else f"width: {value}" if value[:-1].isdigit() else ""


def _height(name: str, value: str) -> str | None:
    return _width(name, value).replace("width", "height") if name in ("td", "th", "tr", "table") else None  # type: ignore[union-attr]


def _pixels(property: str) -> Callable[[str, str], str | None]:
    return lambda name, value: f"{property}: {value}px" if value.isdigit() else ""


def _border(name: str, value: str) -> str | None:
    return f"border: {value}px solid" if value.isdigit() and value != "0" else "border: 0"


def _font_size(name: str, value: str) -> str | None:
    if name not in ("font", "basefont"):
        return None if name in ("input", "select") else ""
    if value.startswith(("+", "-")) and value[1:].isdigit():
        return "font-size: larger" if value[0] == "+" else "font-size: smaller"
    return f"font-size: {SIZES[min(max(int(value), 1), 7) - 1]}" if value.isdigit() else ""


RULES: dict[str, Callable[[str, str], str | None]] = {
    "align": _align,
    "valign": lambda name, value: f"vertical-align: {value.lower()}",
    "width": _width,
    "height": _height,
    "hspace": lambda name, value: (
        f"margin-left: {value}px; margin-right: {value}px" if value.isdigit() else ""
    ),
    "vspace": lambda name, value: (
        f"margin-top: {value}px; margin-bottom: {value}px" if value.isdigit() else ""
    ),
    "border": _border,
    "cellspacing": _pixels("border-spacing"),
    "cellpadding": lambda name, value: "",
    "color": lambda name, value: f"color: {value}" if name in ("font", "basefont") else None,
    "face": lambda name, value: f"font-family: {value}" if name in ("font", "basefont") else None,
    "size": _font_size,
}


def _give_id(element: Element, name: str) -> None:
    """Replaces `name`, which was a link's target, with an id."""
    if name in ("a", "map") and (target := element.get("name")) is not None:
        if name == "a":
            del element.attrib["name"]
        if element.get("id") is None and target and not any(map(str.isspace, target)):
            element.set("id", target)


def _remove(element: Element) -> None:
    parent, before = element.getparent(), element.getprevious()
    if parent is None:
        return
    if element.tail:
        if before is not None:
            before.tail = (before.tail or "") + element.tail
        else:
            parent.text = (parent.text or "") + element.tail
        element.tail = None
    parent.remove(element)


def _complete(root: Element, title: str) -> None:
    head = head_of(root)
    found = head.find(f"{{{XHTML}}}title")
    if found is None:
        found = etree.SubElement(head, f"{{{XHTML}}}title")
    if not text_of(found).strip():
        found.text = title
    lang, xml_lang = root.get("lang"), root.get(f"{{{XML}}}lang")
    if lang and xml_lang and lang.lower() != xml_lang.lower():
        root.set("lang", xml_lang)
