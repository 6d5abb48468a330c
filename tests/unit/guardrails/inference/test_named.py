from pathlib import Path

import pytest

from guardrails.errors import ConfigError
from guardrails.inference.named import named, options_of
from guardrails.settings import Settings


def settings(policy: Path, **more: object) -> Settings:
    return Settings.model_validate({"policy": policy, **more})


def test_the_settings_and_the_policy_name_the_detectors(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{detector: compact}, {detector: mine}, {detector: groundedness}]")
    options = {"mine": {"kind": "transformer", "model": "m"}}
    assert options_of(settings(policy, detectors=options)) == {
        "mine": {"kind": "transformer", "model": "m"},
        "compact": {},
    }


@pytest.mark.parametrize("text", ["rules: 3", "- a", "{", "rules: [{id: a}]", ""])
def test_a_policy_that_names_no_detectors_is_a_config_error(tmp_path: Path, text: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    with pytest.raises(ConfigError, match="cannot be read"):
        options_of(settings(policy))
    with pytest.raises(ConfigError, match="cannot be read"):
        options_of(settings(tmp_path / "none.yaml"))


def test_every_place_that_names_a_detector_counts(tmp_path: Path) -> None:
    policy, shadow = tmp_path / "policy.yaml", tmp_path / "shadow.yaml"
    policy.write_text("rules: [{detector: patterns}]")
    shadow.write_text("rules: [{detector: transformer}]")
    cascade = {"kind": "cascade", "first": "compact", "label": "toxicity", "band": [0.2, 0.8]}
    given = settings(
        policy,
        shadow_policy=shadow,
        privacy=[{"cut": [{"detector": "toxicity"}]}],
        detectors={"careful": {**cascade, "then": "guard"}},
    )
    assert named(given) == {"patterns", "transformer", "toxicity", "compact", "guard"}
    assert {"compact", "toxicity"} <= set(options_of(given))
