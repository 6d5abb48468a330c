"""Policies from YAML, whole or not at all."""

import pytest

from guardrails.errors import ConfigError
from guardrails.policy.model import detectors_named, parse_policy, read_policy
from guardrails.settings import Settings

KNOWN = {"tox": ("insult", "threat")}
RULE = """
  - id: no-insults
    detector: tox
    label: insult
    stage: [input, output]
    threshold: 0.5
    action: block
    on_error: block
"""
POLICY = f"name: strict\nrules:{RULE}"


def test_a_policy_is_versioned_by_its_text():
    policy = parse_policy(POLICY, KNOWN)
    assert policy.label == f"strict@{policy.version}"
    assert len(policy.version) == 12
    assert parse_policy(POLICY, KNOWN).version == policy.version
    assert parse_policy(POLICY + "# changed", KNOWN).version != policy.version


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [", "not valid"),
        ("just text", "not valid"),
        ("name: x\nrules: 3", "rules"),
        (POLICY.replace("on_error: block", ""), "on_error"),
        (POLICY.replace("threshold: 0.5", "threshold: 1.5"), "threshold"),
        (POLICY.replace("action: block", "action: explode"), "action"),
        (POLICY.replace("stage: [input, output]", "stage: []"), "stage"),
        (POLICY.replace("label: insult", "labl: insult"), "labl"),
        (POLICY + RULE, "stand twice: no-insults"),
        (POLICY.replace("detector: tox", "detector: toxx"), "no detector 'toxx'; there are tox"),
        (POLICY.replace("label: insult", "label: rude"), "it has insult, threat"),
        (POLICY.replace("action: block", "action: allow"), "does nothing"),
        (POLICY.replace("on_error: block", "on_error: redact"), "cannot be redacted"),
    ],
)
def test_a_fault_refuses_the_policy_and_is_named(text, said):
    with pytest.raises(ConfigError, match="policy") as raised:
        parse_policy(text, KNOWN)
    assert said in raised.value.message


def test_a_missing_file_is_a_config_error(tmp_path):
    for read in (lambda path: read_policy(path, KNOWN), detectors_named):
        with pytest.raises(ConfigError, match="cannot be read"):
            read(tmp_path / "none.yaml")


def test_the_shipped_policy_names_only_detectors_that_exist():
    assert detectors_named(Settings().policy) == {"compact", "patterns", "groundedness"}
