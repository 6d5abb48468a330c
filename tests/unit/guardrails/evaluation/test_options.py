"""Options of the command line stand in place of the settings'."""

import pytest

from guardrails.errors import ConfigError
from guardrails.evaluation.options import options_of


@pytest.fixture(autouse=True)
def configured(monkeypatch, tmp_path):
    path = tmp_path / "banister.yaml"
    path.write_text("detectors: {compact: {cascade: true}, other: {kind: compact}}")
    monkeypatch.setenv("BANISTER_CONFIG", str(path))


@pytest.mark.parametrize(
    ("text", "own"),
    [("{}", {"cascade": True}), ('{"cascade": false}', {"cascade": False})],
)
def test_the_command_line_has_the_last_word_on_its_own_detector(text, own):
    assert options_of("compact", text) == {"compact": own, "other": {"kind": "compact"}}


@pytest.mark.parametrize(("text", "said"), [("{", "not JSON"), ("[1]", "a JSON object")])
def test_what_is_no_object_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        options_of("compact", text)
