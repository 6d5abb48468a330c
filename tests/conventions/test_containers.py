"""The containers fit together, checked without an engine."""

from __future__ import annotations

import json
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from guardrails import cli
from guardrails.settings import Settings

ROOT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
CONFIG = yaml.safe_load((ROOT / "deploy" / "banister.yaml").read_text())
STAGES = re.findall(r"^FROM .+ AS (\w+)$", DOCKERFILE, re.MULTILINE)

# From the Compose specification: the keys that we use, and nothing that it does not know.
KEYS = {
    *("image", "build", "command", "environment", "ports", "volumes", "depends_on", "healthcheck"),
    *("restart", "profiles", "networks", "deploy", "configs", "ipc", "stop_grace_period"),
}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def own() -> dict[str, dict[str, Any]]:
    return {
        name: row for name, row in SERVICES.items() if row.get("command", [""])[0] == "banister"
    }


def test_the_services_of_the_product_are_all_there():
    assert {"db", "migrate", "proxy", "dashboard", "monitor"} <= set(SERVICES)
    profiles = {name: row["profiles"] for name, row in SERVICES.items() if "profiles" in row}
    assert profiles == {"vllm": ["gpu"], "cpu-model": ["cpu"]}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_uses_only_what_compose_knows(name):
    service = SERVICES[name]
    assert set(service) <= KEYS
    assert "image" in service
    assert not service["image"].endswith(":latest")
    if "build" in service:
        assert service["build"]["target"] in STAGES


@pytest.mark.parametrize("name", own())
def test_each_command_is_a_verb(name):
    assert SERVICES[name]["command"][1] in entry_points(group=cli.GROUP).names


@pytest.mark.parametrize("name", own())
def test_each_variable_is_a_setting(name):
    fields = {f"BANISTER_{field.upper()}" for field in Settings.model_fields}
    assert set(SERVICES[name]["environment"]) <= fields | {"BANISTER_CONFIG"}


def test_no_secret_has_a_value_in_the_file():
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET", variable):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)


@pytest.mark.parametrize("name", SERVICES)
def test_each_dependency_exists_and_can_meet_its_condition(name):
    for needed, terms in SERVICES[name].get("depends_on", {}).items():
        assert terms["condition"] in CONDITIONS
        if terms["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[needed]


def test_ports_and_health_are_those_of_the_settings():
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    for name, field in (("proxy", "port"), ("dashboard", "dashboard_port")):
        port = defaults[field]
        assert SERVICES[name]["ports"] == [f"{port}:{port}"]
        assert f"127.0.0.1:{port}/" in SERVICES[name]["healthcheck"]["test"][-1]
        assert str(port) in re.findall(r"EXPOSE (.+)", DOCKERFILE)[0].split()


def test_volumes_configs_and_files_exist():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]
        for config in service.get("configs", []):
            assert config["source"] in COMPOSE["configs"]
    for config in COMPOSE["configs"].values():
        assert (ROOT / config["file"]).exists()


def test_the_configuration_is_valid_and_names_a_service(monkeypatch):
    monkeypatch.setenv("BANISTER_CONFIG", str(ROOT / "deploy" / "banister.yaml"))
    upstream = Settings().upstreams[0]
    host, port = re.fullmatch(r"http://(\w+):(\d+)/v1", upstream.url).groups()
    for name in ("vllm", "cpu-model"):
        assert host in SERVICES[name]["networks"]["default"]["aliases"]
    assert port in SERVICES["vllm"]["command"]
    assert upstream.model in SERVICES["vllm"]["command"]
    command = json.loads(re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[-1])
    assert command[-1] == port
    assert command[3].endswith(f"/{upstream.model}")
    assert CONFIG["upstreams"][0]["name"] == upstream.name


def test_the_images_run_without_root_and_copy_what_exists():
    final = DOCKERFILE.split("FROM base AS ")[1:]
    assert all("\nUSER banister\n" in stage for stage in final)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
    assert set(re.findall(r"--from=(\w+)", DOCKERFILE)) <= set(STAGES)


def test_every_extra_that_an_image_installs_exists():
    text = (ROOT / "pyproject.toml").read_text()
    wanted = {
        name for group in re.findall(r"\)\[([\w,]+)\]", DOCKERFILE) for name in group.split(",")
    }
    assert wanted
    for extra in wanted:
        assert re.search(rf"^{extra} = \[", text, re.MULTILINE), extra
