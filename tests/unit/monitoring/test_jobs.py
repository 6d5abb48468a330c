import pytest

from guardrails.errors import ConfigError
from monitoring.jobs import load, load_all, names


def test_folder_is_the_registry():
    assert {"partitions", "rates", "retention", "rollups", "seal"} <= set(names())
    assert [job.name for job in load_all()] == names()


def test_unknown_job_names_the_known():
    with pytest.raises(ConfigError, match="rates"):
        load("nonsense")
