"""What the convention tests read: the tracked files and the source modules."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("guardrails", "monitoring", "dashboards", "migrations")


def tracked() -> list[Path]:
    """Every file under version control, or about to be, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        # Unpacked from an archive: there is no git to ask.
        found = (path for room in (*ROOMS, "docs", "tests") for path in (ROOT / room).rglob("*"))
        return [path.relative_to(ROOT) for path in found if path.is_file()]
    return [Path(line) for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def modules() -> list[Path]:
    """Every source module of the four rooms, relative to the root."""
    return [path for path in tracked() if path.suffix == ".py" and path.parts[0] in ROOMS]
