"""What is left of Vega's drawing when all that a page does not need is taken out?

Vega describes each axis to a screen reader and repeats what is the default. A chart here is one
image with a title and a description, and a table beside it; each mark keeps what a pointer over it
reads. No element has an inline style: a page's `style-src 'self'` holds.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from monitoring.charts.palette import named

NAMESPACE = "http://www.w3.org/2000/svg"

_DROPPED = frozenset(
    {"class", "pointer-events", "role", "aria-roledescription", "aria-hidden", "aria-label"}
)
_DEFAULTS = {
    "opacity": "1",
    "stroke-width": "1",
    "stroke-miterlimit": "10",
    "transform": "translate(0,0)",
    "font-weight": "normal",
}
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_CLIP = re.compile(r'(?<=id=")clip\d+(?=")|(?<=url\(#)clip\d+(?=\))')

Element = ElementTree.Element


def tidy(drawn: str, *, key: str, title: str, description: str, hatch: str) -> str:
    """The drawing, smaller, and described as one image.

    `key` begins its ids, so that many charts stand on one page; `hatch` is the fill to be replaced
    by hatching.
    """
    ElementTree.register_namespace("", NAMESPACE)
    # Vega numbers its clips through all that a process draws: two charts of one page may then share
    # a name, and the same chart would have other bytes the next time.
    clips = {name: f"{key}-{n}" for n, name in enumerate(dict.fromkeys(_CLIP.findall(drawn)), 1)}
    drawn = _CLIP.sub(lambda name: clips[name[0]], drawn)
    root = ElementTree.fromstring(drawn)  # noqa: S314  Vega's own output
    _clean(root, f"url(#{key}-h)", hatch)
    for name in ("version", "width", "height"):
        root.attrib.pop(name, None)
    root.set("class", "drawn")
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-t {key}-d")
    head = [_made("title", title, id=f"{key}-t"), _made("desc", description, id=f"{key}-d")]
    if any(one.get("fill") == f"url(#{key}-h)" for one in root.iter()):
        head.append(_hatching(f"{key}-h"))
    root[:0] = head
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: Element, hatched: str, hatch: str) -> None:
    for child in list(element):
        if _invisible(child):
            element.remove(child)
            continue
        _clean(child, hatched, hatch)
        said = child.get("aria-label") if len(child) == 0 and child.text is None else None
        mark = said is not None and child.get("role") == "graphics-symbol"
        for name in list(child.attrib):
            value = child.attrib[name]
            if name in _DROPPED or _DEFAULTS.get(name) == value:
                del child.attrib[name]
            elif name in ("d", "transform", "x2", "y2", "x", "y"):
                child.attrib[name] = _NUMBER.sub(_short, value)
            elif value == hatch:
                child.attrib[name] = hatched
        if mark:
            child.append(_made("title", said or ""))
        if child.tag.endswith("}g") and len(child) == 0:
            element.remove(child)
        elif child.tag.endswith("}g") and not child.attrib:
            place = list(element).index(child)
            element[place : place + 1] = list(child)


def _invisible(element: Element) -> bool:
    return (
        element.get("class") in ("background", "foreground")
        or element.get("display") == "none"
        or element.get("opacity") == "0"
    )


def _hatching(identity: str) -> Element:
    pattern = _made(
        "pattern",
        id=identity,
        width="6",
        height="6",
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )
    pattern.append(_made("rect", width="6", height="6", fill=named("sunken")))
    pattern.append(_made("rect", width="1.2", height="6", fill=named("line-strong")))
    group = _made("defs")
    group.append(pattern)
    return group


def _made(tag: str, words: str | None = None, **attributes: str) -> Element:
    element = ElementTree.Element(f"{{{NAMESPACE}}}{tag}", attributes)
    element.text = words
    return element


def _short(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
