"""A process gives back what only its start needed."""

import platform
import subprocess
import sys

# In a process of its own, for nothing thaws what was frozen here.
PROGRAM = """
import gc
from pathlib import Path
from guardrails.memory import settle

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

kept = [{} for _ in range(100)]
blocks = [bytes(4_000) for _ in range(20_000)]
# One small block at the top keeps the heap from shrinking by itself.
top = bytes(4_000)
del blocks
before = resident()
settle()
print(gc.get_freeze_count() > 100, before - resident() > 40_000_000)
"""


def test_what_is_free_goes_back_and_what_stays_is_frozen():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    frozen, given_back = ran.stdout.split()
    assert frozen == "True"
    assert given_back == "True" or platform.libc_ver()[0] != "glibc"
