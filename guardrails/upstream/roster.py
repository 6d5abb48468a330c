"""Which endpoints may serve a request, version by version where one comes before another?"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence

from guardrails.errors import BadRequest, ConfigError, UpstreamError
from guardrails.settings import UpstreamSettings
from guardrails.upstream.breaker import Breaker
from guardrails.upstream.member import Member, endpoint_of
from guardrails.upstream.split import Split
from guardrails.upstream.versions import version_upstreams

UNKNOWN_SECONDS = 2


class Roster:
    """All endpoints by model and by version, and what rollouts say of the versions."""

    def __init__(
        self,
        upstreams: Sequence[UpstreamSettings],
        *,
        rollouts_known: bool = True,
        now: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] = os.environ,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`rollouts_known` False: nobody may serve before `use` said which versions do."""
        self.members: dict[str, Member] = {}
        self._by_model: dict[str, list[Member]] = {}
        self._by_label: dict[str, list[Member]] = {}
        self._now, self._environ, self._tls = now, environ, tls
        self._known = rollouts_known
        self._splits: Mapping[str, Split] = {}
        self._trained: Mapping[str, str] = {}
        for settings in upstreams:
            if settings.name in self.members:
                raise ConfigError(f"Two upstreams are named {settings.name!r}.")
            self._by_model.setdefault(settings.model, []).append(self._add(settings))

    @property
    def models(self) -> list[str]:
        """The names that applications may ask for, in the order of the settings."""
        return list(self._by_model)

    @property
    def versions(self) -> list[str]:
        """Every `model@version`."""
        return list(self._by_label)

    def use(self, splits: Mapping[str, Split], trained: Mapping[str, str]) -> None:
        """Serve by these rollouts from the next request on.

        `splits` are by model, `trained` has the hash of the template that a `model@version` was
        trained with. A version that no upstream of the settings names joins where it may.
        """
        for split in splits.values():
            for label in (split.champion, split.candidate):
                if label not in self._by_label:
                    settings = [m.settings for m in self._by_model.get(split.model, ())]
                    for made in version_upstreams(settings, label):
                        self._add(made)
        self._splits, self._trained, self._known = splits, trained, True

    def split(self, model: str) -> Split | None:
        """Who serves a model by its latest rollout; None: by the weights of the settings."""
        return self._splits.get(model)

    def assign(self, split: Split, conversation: int, template: str | None) -> str | None:
        """The version that a conversation belongs to, where both could answer it.

        None where one is not here, or was trained with another template: then the champion answers
        what it may, and nothing of that is compared.
        """
        both = (split.champion, split.candidate)
        if not all(label in self._by_label and self._fits(label, template) for label in both):
            return None
        return split.version_of(conversation)

    def unserved(self) -> list[str]:
        """The versions that should serve by their rollouts, and that no upstream has."""
        wanted = [
            label
            for split in self._splits.values()
            for label, share in ((split.champion, 1 - split.share), (split.candidate, split.share))
            if share > 0 and split.model in self._by_model
        ]
        return [label for label in wanted if label not in self._by_label]

    def of(self, model: str, assigned: str | None, template: str | None) -> list[list[Member]]:
        """The endpoints that may be asked; never none at all, but perhaps an empty version.

        Errors: BadRequest (404, `model_not_found`), UpstreamError (503) while it is not known which
        version serves, or where none was trained with this template.
        """
        if not self._known:
            raise UpstreamError(
                "It cannot be read yet which version of the model serves; try again.",
                code="upstream_unavailable",
                status=503,
                retry_after_seconds=UNKNOWN_SECONDS,
            )
        split = self._splits.get(model)
        if model not in self._by_model:
            versions = [self._by_label.get(model, [])]
        elif split is None:
            versions = [[m for m in self._by_model[model] if m.weight > 0]]
        else:
            versions = self._shared(split, assigned)
        if not any(versions) and model not in self._by_model:
            raise BadRequest(
                "There is no such model here; GET /v1/models lists them.",
                code="model_not_found",
                status=404,
                param="model",
            )
        if template != "" and self._trained:
            fitting = [
                [m for m in members if self._fits(m.label, template)] for members in versions
            ]
            if any(versions) and not any(fitting):
                raise UpstreamError(
                    "No version of this model was trained with the template of this route: set "
                    "the route's template to the one that the registry names for it.",
                    code="template_mismatch",
                    status=503,
                )
            versions = fitting
        return [members for members in versions if members] or [[]]

    def _fits(self, label: str, template: str | None) -> bool:
        return template == "" or self._trained.get(label, template) == template

    def _shared(self, split: Split, assigned: str | None) -> list[list[Member]]:
        if split.share >= 1 or (assigned == split.candidate and split.share > 0):
            labels = [split.candidate, split.champion] if split.undecided else [split.candidate]
        else:
            labels = [split.champion]
        versions = [_in_service(self._by_label.get(label, [])) for label in labels]
        if any(versions):
            return versions
        # The version that should serve is not here: by weight, but none that lost.
        lost = split.champion if split.share >= 1 else split.candidate
        by_weight = self._by_model[split.model]
        return [[m for m in by_weight if m.weight > 0 and m.label != lost]]

    def _add(self, settings: UpstreamSettings) -> Member:
        endpoint = endpoint_of(settings, self._environ, self._tls)
        member = Member(settings, endpoint, Breaker(self._now))
        self.members[settings.name] = member
        self._by_label.setdefault(member.label, []).append(member)
        return member


def _in_service(members: Sequence[Member]) -> list[Member]:
    """A version's endpoints: those that have a weight, or all of a version that has none."""
    return [m for m in members if m.weight > 0] or list(members)
