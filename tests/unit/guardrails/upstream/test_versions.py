from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guardrails.settings import UpstreamSettings
from guardrails.upstream.versions import version_upstreams

URL = "http://gpu-1:8000/v1"


def upstream(**changes: object) -> UpstreamSettings:
    return UpstreamSettings(**{"name": "gpu", "url": URL, "model": "small", **changes})


def test_an_adapter_has_another_name_at_the_same_address():
    (made,) = version_upstreams(
        [upstream(versions_served_as="{model}-{version}", api_key_env="KEY", weight=3)], "small@v2"
    )
    assert (made.name, made.url, made.served_as) == ("gpu@v2", URL, "small-v2")
    assert (made.model, made.version, made.api_key_env, made.weight) == ("small", "v2", "KEY", 3)


def test_a_version_may_have_a_path_of_its_own_on_the_same_server():
    (made,) = version_upstreams([upstream(versions_path="/{model}/{version}/v1")], "small@v2")
    assert (made.url, made.served_as) == ("http://gpu-1:8000/small/v2/v1", None)


@pytest.mark.parametrize("label", ["small@v2", "large@v2", "small", "small@1"])
def test_no_upstream_is_made_where_none_was_allowed(label):
    assert version_upstreams([upstream()], label) == []
    assert version_upstreams([upstream(versions_path="/{version}")], "large@v2") == []


@given(st.text(max_size=20))
def test_a_version_never_changes_who_is_asked(version):
    for made in version_upstreams(
        [upstream(versions_path="/v/{version}/v1", versions_served_as="{version}")],
        f"small@{version}",
    ):
        assert made.url == f"http://gpu-1:8000/v/{version}/v1"
        assert not set(version) & set("/\\@:#?% \n")
        assert ".." not in version


@pytest.mark.parametrize("path", ["{version}", "//{host}/v1", "/{version.x}", "/{0}"])
def test_a_template_with_other_places_is_refused(path):
    with pytest.raises(ValidationError):
        upstream(versions_path=path)
