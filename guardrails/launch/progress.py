"""How does a long start show what it does? One line a step: what, and how many seconds it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Steps:
    """Steps that may run side by side: a live list on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Steps:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """Show a step while its block runs; a block that raises leaves it marked as failed."""
        started = time.monotonic()
        task: TaskID = self._live.add_task(f"[bold]{name:<11}[/bold] {what}", total=1)
        try:
            yield
        except BaseException:
            self._live.update(task, description=f"[red]{name:<11} {what}: failed[/red]")
            self._live.stop_task(task)
            raise
        self._live.update(task, completed=1)
        if not self._console.is_terminal:
            self._console.print(f"{name:<11} {what}  {time.monotonic() - started:.1f} s")

    def say(self, sentence: str) -> None:
        """Tell something that happened, above the list."""
        self._console.print(f"[yellow]{time.strftime('%H:%M:%S')}[/yellow] {sentence}")
