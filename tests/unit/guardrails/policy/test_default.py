"""The policy that ships and the model that ships agree on where to act."""

import pytest
import yaml

from guardrails.inference.compact import read_manifest
from guardrails.settings import PACKAGE

RULES = {
    rule["id"]: rule
    for rule in yaml.safe_load((PACKAGE / "policy" / "default.yaml").read_text())["rules"]
}
CALIBRATION = read_manifest().calibration


@pytest.mark.parametrize(
    ("rule", "action", "border"),
    [
        ("toxicity", "block", CALIBRATION["toxicity"].block),
        ("toxicity-suspected", "flag", CALIBRATION["toxicity"].flag),
        ("identity-attack", "block", CALIBRATION["identity_attack"].block),
        ("identity-attack-suspected", "flag", CALIBRATION["identity_attack"].flag),
        ("threat", "block", CALIBRATION["threat"].block),
        ("threat-suspected", "flag", CALIBRATION["threat"].flag),
        ("insult", "flag", CALIBRATION["insult"].flag),
        ("prompt-injection", "block", CALIBRATION["prompt_injection"].block),
        ("prompt-injection-suspected", "flag", CALIBRATION["prompt_injection"].flag),
        ("prompt-injection-quoted", "block", CALIBRATION["prompt_injection"].quoted_block),
        ("prompt-injection-quoted-suspected", "flag", CALIBRATION["prompt_injection"].quoted_flag),
        ("harmful-request", "flag", CALIBRATION["harmful_request"].flag),
    ],
)
def test_the_default_policy_acts_at_the_borders_of_the_shipped_model(rule, action, border):
    assert (RULES[rule]["action"], RULES[rule]["threshold"]) == (action, border.score)
