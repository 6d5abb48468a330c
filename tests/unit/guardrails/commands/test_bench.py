from __future__ import annotations

from click.testing import CliRunner

from guardrails.commands import bench as bench_command
from guardrails.errors import ConfigError


def test_the_benchmark_gets_the_arguments_and_its_status_is_ours(tmp_path, monkeypatch):
    package = tmp_path / "tests" / "bench"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text("import sys; sys.exit(len(sys.argv) - 1)")
    monkeypatch.setattr(bench_command, "CHECKOUT", tmp_path)
    assert CliRunner().invoke(bench_command.bench, ["--rounds", "2", "help"]).exit_code == 3


def test_without_a_checkout_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_command, "CHECKOUT", tmp_path)
    result = CliRunner().invoke(bench_command.bench)
    assert isinstance(result.exception, ConfigError)
    assert "needs a checkout" in result.exception.message
