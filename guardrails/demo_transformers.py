"""How is `transformers serve` built as an application, with its model loaded and warm?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import torch
import uvicorn
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.response import ResponseHandler
from transformers.cli.serving.server import build_server
from transformers.cli.serving.systemone import SystemOneHandler
from transformers.cli.serving.transcription import TranscriptionHandler
from transformers.cli.serving.utils import GenerationState

from guardrails.demo_server import DemoServer


def application(model: str, *, threads: int) -> Any:
    """The application that `transformers serve MODEL` runs, after a first word was generated.

    `threads` leaves the other cores to the proxy and to the detectors.
    """
    torch.set_num_threads(threads)
    manager = ModelManager(device="cpu", force_model=model)
    state = GenerationState()
    loaded, tokenizer = manager.load_model_and_processor(manager.process_model_name(model))
    loaded.generate(**tokenizer("Hello", return_tensors="pt"), max_new_tokens=2, do_sample=False)
    return build_server(
        manager,
        ChatCompletionHandler(manager, state),
        completion_handler=CompletionHandler(manager, state),
        response_handler=ResponseHandler(manager, state),
        transcription_handler=TranscriptionHandler(manager, state),
        systemone_handler=SystemOneHandler(manager, state),
        generation_state=state,
    )


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--port", type=int, required=True)
@click.option("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1), show_default=True)
def main(directory: Path, port: int, threads: int) -> None:
    """Serve the model in DIRECTORY on a loopback port; the name served is the directory's."""
    # `transformers serve` names a model as it was given: a relative path keeps the answers free
    # of this machine's directories.
    os.chdir(directory.parent)
    app = DemoServer(application(directory.name, threads=threads), directory.name)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
