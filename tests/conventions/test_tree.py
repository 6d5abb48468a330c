"""The tree is laid out as CONTRIBUTING.md says."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("repository", HERE / "repository.py")
assert _spec is not None
assert _spec.loader is not None
repository = importlib.util.module_from_spec(_spec)
sys.modules["repository"] = repository
_spec.loader.exec_module(repository)

ROOT = repository.ROOT
MOST_LINES = 400

TESTED_ELSEWHERE: dict[str, str] = {
    # module: which test runs it, and why there
    "dashboards/views.py": "test_dashboard_pages.py keeps views and takes them away",
    "dashboards/pages/appeals.py": "test_dashboard_pages.py looks appeals up and lodges one",
    "dashboards/pages/knowledge.py": "test_dashboard_pages.py takes files in with a real worker",
    "dashboards/pages/review.py": "test_dashboard_pages.py judges, takes back and goes on",
    "guardrails/grounding/catalogue.py": "test_dashboard_pages.py lists, opens and removes",
    "dashboards/pages/account.py": "test_login.py logs in, and changes a password there",
    "guardrails/batch/on_ray.py": "integration/batch/test_command.py runs it, and kills some of it",
    "monitoring/retraining/kinds/language_model.py": "test_execute.py does each of its steps",
    "monitoring/retraining/promote.py": "test_execute.py starts a rollout, and starts none",
    "monitoring/retraining/compiled.py": "test_pipeline.py and test_command.py run it as a process",
    "guardrails/training/build.py": "training/test_command.py runs the verb on a few rows",
    "guardrails/training/export.py": "training/test_command.py loads what the verb exported",
    "guardrails/exchange_log/remains.py": "test_retention.py erases what it finds",
    "guardrails/exchange_log/acts.py": "test_exchange_log_commands.py reads what it wrote",
    "guardrails/exchange_log/policy_tables.py": "test_migrations.py holds it to the schema",
    "guardrails/exchange_log/people_tables.py": "test_migrations.py holds it to the real schema",
    "guardrails/exchange_log/retraining_tables.py": "test_migrations.py holds it to the schema",
    "guardrails/exchange_log/rollout_tables.py": "test_migrations.py holds it to the schema",
    "guardrails/exchange_log/upkeep_tables.py": "test_migrations.py holds it to the real schema",
    "monitoring/rollout/answers.py": "test_rollouts_command.py asks it with `rollouts at`",
    "monitoring/rollout/outcomes.py": "test_controller.py has it read real rows",
    "migrations/env.py": "Alembic runs it, in every test that has a migrated database",
}
LONGER: dict[str, str] = {
    # module: why it is one idea all the same
    "guardrails/upstream/client.py": "one protocol and its state (docs/decisions/0003)",
}

TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".sh", ".j2", ".html", ".css", ".js", ""}
FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.~])/(home|Users|root|work)/[\w.-]+"),
    "the host of a package registry": re.compile(
        r"(pypi|pythonhosted|npmjs|registry\.\w+|download\.pytorch)\.(org|com|io)"
    ),
}


def test_every_module_has_a_test():
    """One of its name, or one that imports it."""
    tests = [path for path in repository.tracked() if path.parts[0] == "tests"]
    names = {path.name for path in tests}
    imported = set()
    for path in tests:
        if path.suffix == ".py":
            imported |= _imported(ast.parse((ROOT / path).read_text()))
    missing = [
        str(module)
        for module in repository.modules()
        if module.name not in ("__init__.py", "__main__.py")
        and "versions" not in module.parts
        and f"test_{module.name}" not in names
        and ".".join(module.with_suffix("").parts) not in imported
        and str(module) not in TESTED_ELSEWHERE
    ]
    assert missing == [], "each needs tests/…/test_NAME.py, or a reason in TESTED_ELSEWHERE"


def test_every_exception_still_exists_and_is_needed():
    for module in (*TESTED_ELSEWHERE, *LONGER):
        assert (ROOT / module).exists(), module
    for module in LONGER:
        assert (ROOT / module).read_text().count("\n") > MOST_LINES, module


@pytest.mark.parametrize("module", repository.modules(), ids=str)
def test_every_module_is_short_and_says_what_it_is_for(module):
    text = (ROOT / module).read_text()
    assert text.count("\n") <= MOST_LINES or str(module) in LONGER
    assert ast.get_docstring(ast.parse(text)) or not text.strip()


@pytest.mark.parametrize("module", repository.modules(), ids=str)
def test_no_module_imports_ours_within_a_function(module):
    tree = ast.parse((ROOT / module).read_text())
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    for function in functions:
        for node in ast.walk(function):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            ours = [name for name in names if name.split(".")[0] in repository.ROOMS]
            assert ours == [], f"{module}:{node.lineno}"


def test_no_module_is_a_drawer_for_odds_and_ends():
    names = {module.stem for module in repository.modules()}
    assert names.isdisjoint({"utils", "util", "helpers", "common", "misc"})


def test_no_file_names_a_machine_or_a_registry():
    found = []
    for path in repository.tracked():
        if path.suffix not in TEXT or path == Path("tests/conventions/test_tree.py"):
            continue
        text = (ROOT / path).read_text(errors="replace")
        for what, pattern in FORBIDDEN.items():
            found += [f"{path}: {what}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []


def _imported(tree: ast.Module) -> set[str]:
    """The dotted names of what a file imports; of `from a import b` also `a.b`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names
