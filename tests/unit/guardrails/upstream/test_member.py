from __future__ import annotations

import pytest

from guardrails.errors import ConfigError
from guardrails.settings import UpstreamSettings
from guardrails.upstream.breaker import Breaker
from guardrails.upstream.member import Member, endpoint_of

SETTINGS = UpstreamSettings(name="gpu", url="http://gpu:1/v1", model="small", weight=2)


def test_a_member_is_loaded_by_what_it_does_for_its_weight():
    member = Member(SETTINGS, endpoint_of(SETTINGS, {}, None), Breaker(lambda: 0.0))
    assert (member.label, member.load()) == ("small@1", 0.5)
    member.in_flight = 3
    assert member.load() == 2.0


def test_an_endpoint_whose_key_is_missing_is_refused_by_the_variables_name():
    settings = SETTINGS.model_copy(update={"api_key_env": "GPU_KEY"})
    with pytest.raises(ConfigError, match="GPU_KEY"):
        endpoint_of(settings, {}, None)
    endpoint_of(settings, {"GPU_KEY": "k"}, None)
