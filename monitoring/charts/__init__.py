"""Charts: one specification, drawn as SVG for a page and a report and as PNG for a mail."""
