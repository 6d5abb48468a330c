from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from guardrails.launch.programs import Programs
from guardrails.settings import Settings, UpstreamSettings


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


def test_the_demo_model_reaches_the_proxy_as_a_setting_that_it_can_read(
    programs, monkeypatch, tmp_path
):
    programs.use_demo_model(1234)
    told = programs.proxy().environment["BANISTER_UPSTREAMS"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BANISTER_UPSTREAMS", told)
    assert Settings().upstreams == (UpstreamSettings(**json.loads(told)[0]),)
    assert Settings().upstreams[0].url == "http://127.0.0.1:1234/v1"


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
