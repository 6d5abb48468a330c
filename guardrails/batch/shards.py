"""How does a batch lose no line and write none twice, whatever is killed?

The input is cut into shards of whole lines. A shard's answers appear under its name when they are
whole, so a shard is done or it is not; a batch that goes on does those that are not. When all are
there they are put together in order, and that file too appears when it is whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from guardrails.errors import ConfigError

PLAN = "plan.json"
_COPIED = 1 << 20


class Shard(Struct, frozen=True):
    """Some lines of the input: their bytes [start, end), the number of the first, and how many."""

    number: int
    start: int
    end: int
    first: int
    lines: int

    @property
    def name(self) -> str:
        """The file of its answers."""
        return f"shard-{self.number:06}.jsonl"


def cut(source: Path, lines: int) -> list[Shard]:
    """The input in shards of `lines` lines; the last may have fewer, and lack its line's end.

    Cost: the file is read once.
    """
    shards: list[Shard] = []
    start = position = first = count = 0
    with source.open("rb") as file:
        for line in file:
            position += len(line)
            count += 1
            if count == lines:
                shards.append(Shard(len(shards), start, position, first, count))
                start, first, count = position, first + count, 0
    if count:
        shards.append(Shard(len(shards), start, position, first, count))
    return shards


def read(source: Path, shard: Shard) -> list[bytes]:
    """The shard's lines, without their ends."""
    with source.open("rb") as file:
        file.seek(shard.start)
        lines = file.read(shard.end - shard.start).split(b"\n")
    return [line.removesuffix(b"\r") for line in lines[: shard.lines]]


class Parts:
    """The directory in which a batch's shards gather, beside its output."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.directory = target.with_name(f".{target.name}.parts")

    def begin(self, source: Path, lines: int, how: Mapping[str, Any]) -> list[Shard]:
        """Begin, or go on where the same batch stopped; all shards of it.

        Errors: ConfigError where the parts are of another input or of other options.
        """
        plan = {"sha256": _sha256(source), "lines": lines, **how}
        kept = self.directory / PLAN
        if kept.exists():
            if msgspec.json.decode(kept.read_bytes()) != msgspec.to_builtins(plan):
                raise ConfigError(
                    f"{self.directory} holds a batch of another input, policy or options; "
                    "remove it, or write to another file."
                )
        else:
            self.directory.mkdir(parents=True, exist_ok=True)
            _write(kept, msgspec.json.encode(plan))
        return cut(source, lines)

    def missing(self, shards: list[Shard]) -> list[Shard]:
        """The shards that are not done."""
        done = {path.name for path in self.directory.glob("shard-*.jsonl")}
        return [shard for shard in shards if shard.name not in done]

    def write(self, shard: Shard, answers: list[bytes]) -> None:
        """The shard's answers, whole or not at all. Errors: ValueError for another number."""
        if len(answers) != shard.lines:
            raise ValueError(f"{len(answers)} answers for {shard.lines} lines")
        _write(self.directory / shard.name, b"".join(answer + b"\n" for answer in answers))

    def assemble(self, shards: list[Shard]) -> int:
        """Put the shards together in order, and clear the parts away; the number of lines."""
        beside = self._target.with_name(f".{self._target.name}.part")
        with beside.open("wb") as whole:
            for shard in shards:
                with (self.directory / shard.name).open("rb") as part:
                    shutil.copyfileobj(part, whole, _COPIED)
        beside.replace(self._target)
        shutil.rmtree(self.directory)
        return sum(shard.lines for shard in shards)


def _write(path: Path, content: bytes) -> None:
    # A shard that is done twice, by a worker taken for dead, is written twice the same.
    beside = path.with_name(f".{path.name}.{hashlib.sha256(content).hexdigest()[:8]}")
    beside.write_bytes(content)
    beside.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
