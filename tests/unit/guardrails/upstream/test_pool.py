"""What the pool knows before it sends anything."""

import pytest

from guardrails.errors import BadRequest, ConfigError
from guardrails.settings import UpstreamSettings
from guardrails.upstream.pool import Pool


def at(name: str, **changes: object) -> UpstreamSettings:
    fields = {"name": name, "url": "http://127.0.0.1:9/v1", "model": "small", **changes}
    return UpstreamSettings.model_validate(fields)


def test_it_lists_models_and_versions_in_the_settings_order() -> None:
    pool = Pool([at("a"), at("b", version="2"), at("c"), at("d", model="large", version="7")])
    assert pool.models == ["small", "large"]
    assert pool.versions == ["small@1", "small@2", "large@7"]


def test_two_upstreams_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="'a'"):
        Pool([at("a"), at("a")])


def test_a_key_that_is_not_in_the_environment_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="SMALL_KEY"):
        Pool([at("a", api_key_env="SMALL_KEY")], environ={})


@pytest.mark.parametrize("weight", [-1.0, float("inf"), float("nan")])
def test_a_weight_that_is_no_share_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError):
        Pool([at("a")]).set_weight("a", weight)


def test_a_weight_for_an_unknown_upstream_names_the_known() -> None:
    with pytest.raises(ConfigError, match="a, b"):
        Pool([at("a"), at("b")]).set_weight("c", 1)


def test_status_shows_every_endpoint() -> None:
    pool = Pool([at("a", weight=2), at("b", version="2", weight=0)])
    first, second = pool.status()
    assert (first.name, first.model, first.version, first.weight) == ("a", "small", "1", 2)
    assert first.ready
    assert first.breaker == "closed"
    assert not second.ready


@pytest.mark.parametrize("model", ["", "other", "small@9", "small@", "@1"])
async def test_an_unknown_model_is_the_callers_error(model: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await Pool([at("a")]).send(model, "/chat/completions", lambda _: b"{}")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
