from __future__ import annotations

import socket
from pathlib import Path

import pytest

from guardrails.errors import ConfigError
from guardrails.launch.addresses import answers, free_port, inference_socket, require_free


def test_the_socket_lies_in_the_data_directory(tmp_path):
    short = Path("/srv/banister")
    assert inference_socket(short) == short / "inference.sock"


def test_a_long_data_directory_gets_a_socket_that_can_be_bound(tmp_path):
    long = tmp_path / ("d" * 100)
    path = inference_socket(long)
    assert path == inference_socket(long)
    other = inference_socket(tmp_path / ("e" * 100))
    assert path != other
    other.parent.rmdir()
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert not answers(path)
        listener.listen()
        assert answers(path)
    path.unlink()
    path.parent.rmdir()


def test_a_private_directory_that_others_may_enter_is_refused(tmp_path):
    long = tmp_path / ("f" * 100)
    directory = inference_socket(long).parent
    directory.chmod(0o755)
    with pytest.raises(ConfigError, match="private directory"):
        inference_socket(long)
    directory.rmdir()


def test_a_file_left_by_a_crash_does_not_answer(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert path.exists()
    assert not answers(path)


def test_a_taken_port_is_refused_with_the_setting_that_chooses_another():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"Port {port} .*BANISTER_PORT=\d+"):
            require_free("127.0.0.1", port, "BANISTER_PORT")


def test_a_free_port_is_accepted():
    require_free("127.0.0.1", free_port(), "BANISTER_PORT")
