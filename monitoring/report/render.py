"""How does a report become a page? From its frozen data alone: no clock, no database, no network.

The HTML is self-contained, the PDF is printed from it, and both have the same bytes each time: the
letters are shipped, the PDF's dates are the week's own, and nothing is drawn in another order.
"""

from __future__ import annotations

import base64
import io
from datetime import UTC
from functools import cache
from pathlib import Path

import plutoprint
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitoring.charts.draw import spark, svg
from monitoring.charts.figure import figure
from monitoring.charts.numbers import interval, number, span
from monitoring.charts.palette import DARK, LIGHT
from monitoring.charts.spec import Chart
from monitoring.report import drawings, words
from monitoring.report.document import Report, sha256_of
from monitoring.report.regulations import SECTIONS

_HERE = Path(__file__).parent
_FONTS = {400: "inter-400.woff", 600: "inter-600.woff"}
_HALF = 400


def pages(report: Report) -> tuple[bytes, bytes]:
    """The report as HTML and as PDF."""
    page = html(report)
    return page, pdf(report, page)


def html(report: Report) -> bytes:
    """One file that needs nothing else. Cost: about a second for the first, then 0.3 s."""
    template = _environment().get_template("report.html.j2")
    page = template.render(
        report=report,
        sha256=sha256_of(report),
        style=Markup(style()),  # noqa: S704  our own file and fonts
        sections=SECTIONS,
        drawings=drawings,
        silent=[run.job for run in report.jobs if set(run.statuses) == {"NO_DATA"}],
        called=[gap for gap in report.gaps if gap.status == "DRIFT"],
        judged=sum(gap.apart is not None for gap in report.gaps),
    )
    return page.encode()


def pdf(report: Report, page: bytes) -> bytes:
    """The same printed on A4, dated by the end of its week. Cost: about 0.3 s."""
    book = plutoprint.Book(
        plutoprint.PAGE_SIZE_A4, plutoprint.PAGE_MARGINS_NONE, plutoprint.MEDIA_TYPE_PRINT
    )
    book.load_html(page.decode())
    dated = report.window.end.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    book.set_metadata(plutoprint.PDF_METADATA_CREATION_DATE, dated)
    book.set_metadata(plutoprint.PDF_METADATA_MODIFICATION_DATE, dated)
    book.set_metadata(plutoprint.PDF_METADATA_TITLE, f"Weekly safety report {report.week}")
    book.set_metadata(plutoprint.PDF_METADATA_SUBJECT, f"data sha256 {sha256_of(report)}")
    written = io.BytesIO()
    book.write_to_pdf_stream(written)
    return written.getvalue()


@cache
def style() -> str:
    """The page's whole style, with its letters within."""
    letters = "".join(
        f'@font-face{{font-family:"Inter";font-weight:{weight};src:url(data:font/woff;base64,'
        f'{base64.b64encode((_HERE / "fonts" / name).read_bytes()).decode()}) format("woff")}}'
        for weight, name in _FONTS.items()
    )
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in palette.items())
        for palette in (LIGHT, DARK)
    )
    colours = (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    )
    return letters + colours + (_HERE / "templates" / "report.css").read_text()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "span": span,
        "value": words.value_of,
        "interval_of": words.interval_of,
        "before": words.before_of,
        "change": words.change_of,
        "direction": words.direction,
        "sign": words.sign_of,
        "moment": words.moment,
        "verdict": words.verdict,
        "name": drawings.name_of,
        "drawn": _drawn,
        "spark": _spark,
    }
    return environment


def _drawn(chart: Chart, width: int = _HALF, height: int = 150) -> Markup:
    return Markup(figure(chart, svg(chart, width, height), shown=False))  # noqa: S704  escaped there


def _spark(chart: Chart) -> Markup:
    return Markup(spark(chart, 92, 26)) if not chart.empty else Markup("")  # noqa: S704  the same
