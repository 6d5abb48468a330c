"""Which detectors do the settings ask for, in whatever place they name one?"""

from __future__ import annotations

from typing import Any

from guardrails import detectors
from guardrails.policy.model import detectors_named
from guardrails.settings import Settings


def named(settings: Settings) -> set[str]:
    """Those that a rule of a policy, a rule of privacy or a cascade names.

    Errors: ConfigError where a policy cannot be read.
    """
    found = detectors_named(settings.policy) | detectors.tiers_of(settings.detectors)
    if settings.shadow_policy is not None:
        found |= detectors_named(settings.shadow_policy)
    return found | {cut.detector for rule in settings.privacy for cut in rule.cut}


def options_of(settings: Settings) -> dict[str, dict[str, Any]]:
    """The options of every detector that the settings configure or ask for.

    A name that nothing is known of is left to whoever names it: the check of the policy, or of the
    rules of privacy, says what there is.
    """
    options = {name: dict(own) for name, own in settings.detectors.items()}
    known = detectors.kinds()
    for name in sorted(named(settings)):
        if name in known:
            options.setdefault(name, {})
    return options
