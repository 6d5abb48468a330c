from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from guardrails.demo import model as demo_model
from guardrails.launch.programs import Programs
from guardrails.settings import (
    PACKAGE,
    GroundingSettings,
    RouteSettings,
    Settings,
    UpstreamSettings,
)


@pytest.fixture(autouse=True)
def _sockets_in_a_directory_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A long data directory gets its socket beside it, under the temporary directory.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(Settings(data_dir=tmp_path, port=18, dashboard_port=19))


def all_of(programs: Programs):
    return [
        programs.database(),
        programs.inference(),
        programs.conversion(),
        programs.knowledge(),
        programs.model(1),
        programs.proxy(),
        programs.dashboard(),
        programs.monitor(),
    ]


def test_each_program_writes_to_its_own_log_and_knows_the_data_directory(programs, tmp_path):
    for program in all_of(programs):
        assert program.log == tmp_path / "logs" / f"{program.name}.log"
        assert program.environment["BANISTER_DATA_DIR"] == str(tmp_path)


def test_programs_write_where_we_do_when_asked_to(tmp_path):
    programs = Programs(Settings(data_dir=tmp_path), log_to_files=False)
    assert {program.log for program in all_of(programs)} == {None}


def test_the_database_is_told_to_the_programs_made_afterwards(programs):
    programs.use_database("postgresql://db/x")
    assert programs.proxy().environment["BANISTER_DATABASE_URL"] == "postgresql://db/x"
    assert programs.database_url == "postgresql://db/x"


@pytest.fixture
def told(programs, monkeypatch, tmp_path) -> Callable[[], Settings]:
    """The settings that the proxy reads when it is told of the demo's models."""

    def read() -> Settings:
        assert programs.use_demo_model(1234) == [demo_model.NAME, demo_model.EMBEDDINGS]
        monkeypatch.chdir(tmp_path)
        for name in ("BANISTER_UPSTREAMS", "BANISTER_ROUTES"):
            if name in (environment := programs.proxy().environment):
                monkeypatch.setenv(name, environment[name])
        return Settings()

    return read


def test_the_demos_models_reach_the_proxy_as_settings_that_it_can_read(told):
    upstreams = told().upstreams
    assert [upstream.model for upstream in upstreams] == [demo_model.NAME, demo_model.EMBEDDINGS]
    assert {upstream.url for upstream in upstreams} == {"http://127.0.0.1:1234/v1"}


def test_the_demos_default_route_is_grounded_where_none_is_configured(programs, told):
    assert programs.grounded_by_demo
    route = told().routes["default"]
    assert route.template == "grounded@1"
    assert route.grounding == GroundingSettings(passages=2, on_error="skip")


def test_configured_routes_and_models_are_left_as_they_are(tmp_path):
    routes = Programs(Settings(data_dir=tmp_path, routes={"default": RouteSettings()}))
    routes.use_demo_model(1)
    assert "BANISTER_ROUTES" not in routes.proxy().environment
    upstream = UpstreamSettings(name="a", url="http://a/v1", model="m")
    assert not Programs(Settings(data_dir=tmp_path, upstreams=(upstream,))).grounded_by_demo


def test_the_pages_about_banister_are_taken_in_from_the_package(programs):
    command = programs.knowledge().command
    pages = Path(command[command.index("ingest") + 1])
    assert len(list(pages.glob("*.md"))) >= 3
    assert pages.is_relative_to(PACKAGE)


def test_servers_stop_before_models_and_the_database_last(programs):
    stages = {program.name: program.stage for program in all_of(programs)}
    assert stages["proxy"] == stages["dashboard"] == stages["monitor"]
    assert stages["proxy"] > stages["model"] == stages["inference"] > stages["database"]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:18"),
        ("0.0.0.0", "http://127.0.0.1:18"),
        ("::", "http://[::1]:18"),
        ("::1", "http://[::1]:18"),
        ("gw.example", "http://gw.example:18"),
    ],
)
def test_the_address_shown_can_be_connected_to(tmp_path, host, address):
    assert Programs(Settings(data_dir=tmp_path, host=host, port=18)).api == address


async def test_nothing_is_ready_before_it_was_started(programs):
    for program in (programs.database(), programs.inference(), programs.model(1)):
        assert program.ready is not None
        assert not await program.ready()
