"""What does a process that serves the proxy load? The whole app; its watcher loads none of it."""

from __future__ import annotations

import multiprocessing
import os

from guardrails.app import App, create
from guardrails.launch.children import die_with_parent


def application() -> App:
    """The app; a worker process of several ends when the process that runs it does."""
    if multiprocessing.parent_process() is not None:
        die_with_parent(os.getppid())
    return create()
