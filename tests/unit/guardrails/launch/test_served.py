from __future__ import annotations

import subprocess
import sys


def modules_after(imported: str) -> set[str]:
    code = f"import sys, {imported}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_process_that_watches_loads_neither_the_app_nor_what_it_needs():
    needed = {"guardrails.app", "fastapi", "sqlalchemy", "uvicorn"}
    assert modules_after("guardrails.commands.proxy").isdisjoint(needed)


def test_the_process_that_serves_loads_it():
    assert "guardrails.app" in modules_after("guardrails.launch.served")
