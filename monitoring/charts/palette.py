"""Which colours do charts have? Those of `dashboards/static/banister.css`, by the same names.

A page's SVG names the variables, and so follows its light and dark; a mail's PNG has the values.
The decisions are a ramp of lightness, the series apart in hue and in lightness, so both can be told
by the colour-blind; a test measures it.
"""

from __future__ import annotations

import re

LIGHT = {
    "surface": "#ffffff",
    "sunken": "#efefeb",
    "ink": "#1a1c1e",
    "muted": "#5a6065",
    "line": "#e2e2dd",
    "line-strong": "#8a8f8c",
    "accent": "#a92c17",
    "allow": "#8d9498",
    "flag": "#dd927d",
    "redact": "#c65d44",
    "block": "#a92c17",
    "failed": "#1a1c1e",
    "series-1": "#1d4f7c",
    "series-2": "#b97a12",
    "series-3": "#3a9484",
    "series-4": "#8d6bb8",
}
DARK = {
    "surface": "#1a1d1f",
    "sunken": "#222628",
    "ink": "#e8e9e8",
    "muted": "#a2a9ad",
    "line": "#2c3134",
    "line-strong": "#767e83",
    "accent": "#ff9078",
    "allow": "#6e767b",
    "flag": "#8f4a3b",
    "redact": "#cc6a52",
    "block": "#ff9078",
    "failed": "#e8e9e8",
    "series-1": "#9ecbee",
    "series-2": "#d9a441",
    "series-3": "#4fa897",
    "series-4": "#a07fd0",
}
SANS = "Roboto, Liberation Sans, sans-serif"

_VARIABLE = re.compile(r"var\(--([a-z0-9-]+)\)")


def named(name: str) -> str:
    """A colour by its name, as CSS has it."""
    return f"var(--{name})"


def with_values(svg: str, *, dark: bool = False) -> str:
    """The same drawing with its colours and letters written out, for where there is no CSS."""
    values = (DARK if dark else LIGHT) | {"sans": SANS}
    return _VARIABLE.sub(lambda match: values[match[1]], svg)
