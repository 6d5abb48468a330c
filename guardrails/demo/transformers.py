"""How is `transformers serve` built as an application, with its model loaded and warm?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
import uvicorn
from fastapi import HTTPException
from llguidance import LLTokenizer
from transformers import GenerationConfig, LogitsProcessorList
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.response import ResponseHandler
from transformers.cli.serving.server import build_server
from transformers.cli.serving.systemone import SystemOneHandler
from transformers.cli.serving.transcription import TranscriptionHandler
from transformers.cli.serving.utils import GenerationState

from guardrails.demo import embeddings
from guardrails.demo import model as demo_model
from guardrails.demo.completion import VERSION
from guardrails.demo.grammar import CHAT_TEMPLATE, RESPONSE_TEMPLATE, Held, check, grammar_of
from guardrails.demo.server import DemoServer
from guardrails.demo.versions import ATTRIBUTE, Versions
from guardrails.errors import BadRequest

GRAMMAR = "banister_grammar"
"""The attribute of a generation's configuration that carries its grammar to `generate`."""


class VersionedCompletionHandler(CompletionHandler):
    """Completions by the version that is asked for."""

    def _build_generation_config(
        self, body: dict[str, Any], model_generation_config: GenerationConfig, use_cb: bool = False
    ) -> GenerationConfig:
        config = super()._build_generation_config(body, model_generation_config, use_cb=use_cb)
        setattr(config, ATTRIBUTE, VERSION.get())
        return config


class ChatHandler(ChatCompletionHandler):
    """Chat completions that heed `response_format`, `tools`, `tool_choice` and the version."""

    def _build_generation_config(
        self, body: dict[str, Any], model_generation_config: GenerationConfig, use_cb: bool = False
    ) -> GenerationConfig:
        config = super()._build_generation_config(body, model_generation_config, use_cb=use_cb)
        setattr(config, ATTRIBUTE, VERSION.get())
        try:
            grammar = grammar_of(body)
            if grammar is not None:
                setattr(config, GRAMMAR, check(grammar))
        except BadRequest as error:
            raise HTTPException(error.status, error.message) from error
        return config


def application(model: str, *, threads: int, versions: Path | None = None) -> Any:
    """The application that `transformers serve MODEL` runs, after a first word was generated.

    Further versions lie in the directory `versions`.
    `threads` leaves the other cores to the proxy and to the detectors.
    """
    torch.set_num_threads(threads)
    manager = ModelManager(device="cpu", force_model=model)
    state = GenerationState()
    loaded: Any
    tokenizer: Any
    loaded, tokenizer = manager.load_model_and_processor(manager.process_model_name(model))
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.response_template = RESPONSE_TEMPLATE
    loaded.generate(**tokenizer("Hello", return_tensors="pt"), max_new_tokens=2, do_sample=False)
    several = Versions(loaded, versions or Path(model) / "no-versions")
    loaded.generate = _heeding(several.generate, tokenizer)
    return build_server(
        manager,
        ChatHandler(manager, state),
        completion_handler=VersionedCompletionHandler(manager, state),
        response_handler=ResponseHandler(manager, state),
        transcription_handler=TranscriptionHandler(manager, state),
        systemone_handler=SystemOneHandler(manager, state),
        generation_state=state,
    )


def _heeding(generate: Callable[..., Any], tokenizer: Any) -> Callable[..., Any]:
    """`generate`, held to the grammar that its configuration carries."""
    words = LLTokenizer(tokenizer.backend_tokenizer.to_str(), eos_token=tokenizer.eos_token_id)

    def held(*, generation_config: GenerationConfig, **more: Any) -> Any:
        grammar = generation_config.__dict__.pop(GRAMMAR, None)
        if grammar is not None:
            processor = Held(words, grammar, more["input_ids"].shape[-1])
            more["logits_processor"] = LogitsProcessorList([processor])
        return generate(generation_config=generation_config, **more)

    return held


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, required=True)
@click.option("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1), show_default=True)
@click.option(
    "--versions",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where further versions lie, as name@version.",
)
def main(directory: Path, host: str, port: int, threads: int, versions: Path | None) -> None:
    """Serve the model in DIRECTORY; the name served is the directory's."""
    versions = None if versions is None else versions.absolute()
    # `transformers serve` names a model as it was given: a relative path keeps the answers free
    # of this machine's directories.
    os.chdir(directory.parent)
    model = application(directory.name, threads=threads, versions=versions)

    def is_version(name: str) -> bool:
        return versions is not None and demo_model.is_version(versions, name)

    app = DemoServer(model, directory.name, embeddings.shipped(), is_version)
    uvicorn.run(app, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main()
