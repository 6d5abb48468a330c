"""Judge: a language model that says whether a text is harmful, behind an OpenAI-compatible server.

    llama-guard: {kind: judge, format: llama_guard, url: http://gpu:8000/v1, model: llama-guard-3}

`llama_guard`  Llama Guard 3: the labels `unsafe` and S1 to S14
`shieldgemma`  ShieldGemma: one yes or no for each guideline
`prompt`       a prompt of one's own, answered with JSON or with yes or no

Source: docs/models/judge.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from guardrails.asking import Breath, Row, Unusable, cut
from guardrails.errors import BadRequest, ConfigError
from guardrails.judge_formats import Api, Format, LlamaGuard, OwnPrompt, Said, ShieldGemma
from guardrails.prompt.render import parse_template
from guardrails.types import Detection, Stage
from guardrails.upstream.service import Service

RUNS_IN = "remote"

MOST_REQUESTS = 1_024
# More is refused by some servers: TGI's default limit is 5.
_TOP_LOGPROBS = 5


def create(
    name: str,
    *,
    format: Literal["llama_guard", "shieldgemma", "prompt"],
    url: str,
    model: str,
    api: Api = "chat",
    labels: Sequence[str] | Mapping[str, str] | None = None,
    template: str | None = None,
    template_file: str | None = None,
    answer: Literal["json", "yes_no"] = "json",
    most_tokens: int = 256,
    logprobs: bool = True,
    extra: Mapping[str, Any] | None = None,
    api_key_env: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 5.0,
    concurrency: int = 16,
    window_characters: int = 8_000,
) -> Judge:
    """A judge at `url`, which ends in the API's version path, as upstreams' do.

    `labels` are the own prompt's, or ShieldGemma's guidelines by label. `extra` is merged into
    each request's body. Errors: ConfigError, also for a key that the environment does not hold.
    """
    if api not in ("chat", "completions") or window_characters < 16:
        raise ConfigError(f"{name}: api is chat or completions, window_characters 16 or more.")
    made: Format
    if format == "prompt":
        source = _source(name, template, template_file)
        if api != "chat" or answer not in ("json", "yes_no"):
            raise ConfigError(f"{name}: an own prompt wants api chat, and answer json or yes_no.")
        if not labels or (answer == "yes_no" and len(labels) != 1):
            raise ConfigError(f"{name}: name the labels; yes_no answers for exactly one.")
        own = parse_template(name, "1", source)
        made = OwnPrompt(own, tuple(labels), answer=answer, most_tokens=most_tokens)
    elif template or template_file:
        raise ConfigError(f"{name}: only the format `prompt` takes a template.")
    elif format == "llama_guard":
        if labels:
            raise ConfigError(f"{name}: llama_guard has its own labels, unsafe and S1 to S14.")
        made = LlamaGuard(api)
    elif format == "shieldgemma":
        if labels is not None and not isinstance(labels, Mapping):
            raise ConfigError(f"{name}: labels must map each label to its guideline.")
        made = ShieldGemma(api, labels)
    else:
        raise ConfigError(f"{name}: format is llama_guard, shieldgemma or prompt.")
    service = Service(
        name,
        url,
        _Completion if api == "completions" else _Chat,
        headers=headers,
        api_key_env=api_key_env,
        timeout_seconds=timeout_seconds,
        concurrency=concurrency,
    )
    body = {
        "model": model,
        "temperature": 0,
        **_asking_for_logprobs(api, logprobs),
        **(extra or {}),
    }
    return Judge(name, made, service, api=api, body=body, window_characters=window_characters)


class Judge:
    """A detector that asks a language model. Cost: a request or more for each window of each text.

    Limits: MOST_REQUESTS for the texts of one side; more is an error.
    """

    def __init__(
        self,
        name: str,
        format: Format,
        service: Service[Any],
        *,
        api: Api,
        body: Mapping[str, Any],
        window_characters: int,
    ) -> None:
        digest = hashlib.sha256(f"{format.identity} {sorted(body.items())}".encode()).hexdigest()
        self.name = name
        self.version = f"{body['model']}@{digest[:12]}"
        self.labels = format.labels
        self._format = format
        self._service = service
        self._path = "/completions" if api == "completions" else "/chat/completions"
        self._body = dict(body)
        self._window_characters = window_characters

    async def ask(
        self, texts: Sequence[str], side: Stage, *, timeout_seconds: float, question: str = ""
    ) -> list[Row]:
        """The judge's score of every label for each text.

        Errors: GuardUnavailable, also for an answer that is not of the format.
        """
        try:
            pieces = await cut(texts, self._window_characters)
            if len(pieces.texts) > MOST_REQUESTS:
                raise _too_many()
            breath = Breath()
            before = question[-self._window_characters :]
            asked = []
            for piece in pieces.texts:
                await breath.take()
                asked.append(self._format.questions(piece, side, before))
            questions = [{**self._body, **question} for each in asked for question in each]
            if len(questions) > MOST_REQUESTS:
                raise _too_many()
            answers = iter(
                await self._service.ask(self._path, questions, timeout_seconds=timeout_seconds)
            )
            rows = []
            for each in asked:
                await breath.take()
                scores = self._format.scores([next(answers).said() for _ in each])
                labelled = zip(self.labels, scores, strict=True)
                rows.append([Detection(label, score) for label, score in labelled])
            return await pieces.merge(rows, self.labels)
        except Unusable as error:
            raise self._service.unavailable(f"{error}.") from error
        except BadRequest as error:
            raise self._service.unavailable(
                "could not be asked: the prompt is too long."
            ) from error

    async def aclose(self) -> None:
        """Close its connections."""
        await self._service.aclose()


class _Candidate(Struct):
    token: str
    logprob: float


class _Token(_Candidate):
    top_logprobs: list[_Candidate] = []


class _ChatLogprobs(Struct):
    content: list[_Token] | None = None


class _Message(Struct):
    content: str | None = None


class _ChatChoice(Struct):
    message: _Message
    logprobs: _ChatLogprobs | None = None


class _Chat(Struct):
    choices: Annotated[list[_ChatChoice], Meta(min_length=1)]

    def said(self) -> Said:
        """The first choice, in the form that the formats read."""
        choice = self.choices[0]
        tokens = (choice.logprobs.content if choice.logprobs else None) or []
        return Said(
            choice.message.content or "",
            [(t.token, {c.token: c.logprob for c in (t, *t.top_logprobs)}) for t in tokens],
        )


class _CompletionLogprobs(Struct):
    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class _CompletionChoice(Struct):
    text: str
    logprobs: _CompletionLogprobs | None = None


class _Completion(Struct):
    choices: Annotated[list[_CompletionChoice], Meta(min_length=1)]

    def said(self) -> Said:
        """The first choice, in the form that the formats read."""
        choice = self.choices[0]
        given = choice.logprobs or _CompletionLogprobs()
        tops = given.top_logprobs or [None] * len(given.tokens)
        return Said(
            choice.text,
            [
                (token, {token: logprob, **(top or {})})
                for token, logprob, top in zip(
                    given.tokens, given.token_logprobs, tops, strict=False
                )
                if logprob is not None
            ],
        )


def _too_many() -> Unusable:
    return Unusable(f"cannot answer more than {MOST_REQUESTS} requests at once")


def _asking_for_logprobs(api: Api, wanted: bool) -> dict[str, Any]:
    if not wanted:
        return {}
    if api == "completions":
        return {"logprobs": _TOP_LOGPROBS}
    return {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}


def _source(name: str, template: str | None, file: str | None) -> str:
    if (template is None) == (file is None):
        raise ConfigError(f"{name}: give either template or template_file.")
    if file is None:
        return template or ""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: the template {file} cannot be read: {error}") from error
