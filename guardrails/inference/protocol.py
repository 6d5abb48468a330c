"""What the proxy and the inference worker say to one another over the Unix socket.

A frame is four bytes of length (big-endian) and a MessagePack array. Either side may have many
requests under way; answers carry the request's number and come in any order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec
from msgspec import Struct

MAX_FRAME_BYTES = 64 * 2**20
_LENGTH = struct.Struct(">I")

Span = tuple[int, int]


class Loaded(Struct, frozen=True, array_like=True):
    """A detector that the worker has loaded and run once."""

    version: str
    labels: tuple[str, ...]


class Scored(Struct, frozen=True, array_like=True):
    """The scores of some texts, one row a text, in the order of the detector's labels.

    A long text is scored in windows: its score is the highest of them, and `spans` names that
    window (character offsets); None where one window held the whole text. `uncovered` names what
    was not scanned. `version` is that of the detector that scored them.
    """

    scores: list[list[float]]
    spans: list[list[Span | None]]
    uncovered: tuple[str, ...] = ()
    version: str = ""


class Describe(Struct, frozen=True, array_like=True, tag="describe"):
    """Ask which detectors are loaded and warm."""

    id: int


class Score(Struct, frozen=True, array_like=True, tag="score"):
    """Ask for the scores of some texts. `expires_at` is in the machine's monotonic seconds."""

    id: int
    detector: str
    texts: tuple[str, ...]
    expires_at: float


class Embed(Struct, frozen=True, array_like=True, tag="embed"):
    """Ask for the embeddings of some texts. `expires_at` is in the machine's monotonic seconds."""

    id: int
    texts: tuple[str, ...]
    expires_at: float


class Cancel(Struct, frozen=True, array_like=True, tag="cancel"):
    """The asker of request `id` no longer waits; there is no answer."""

    id: int


class Described(Struct, frozen=True, array_like=True, tag="described"):
    """The answer to Describe."""

    id: int
    detectors: dict[str, Loaded]


class Scores(Struct, frozen=True, array_like=True, tag="scores"):
    """The answer to Score."""

    id: int
    scored: Scored


class Embeddings(Struct, frozen=True, array_like=True, tag="embeddings"):
    """The answer to Embed: one L2-normalised vector a text."""

    id: int
    vectors: list[list[float]]


class Refused(Struct, frozen=True, array_like=True, tag="refused"):
    """The worker could not do it. `message` says why and holds nothing of the texts."""

    id: int
    message: str


Request = Describe | Score | Embed | Cancel
Reply = Described | Scores | Embeddings | Refused

_encoder = msgspec.msgpack.Encoder()
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


class FrameTooLarge(ValueError):
    """A frame is longer than MAX_FRAME_BYTES."""


def encode(message: Request | Reply) -> bytes:
    """A message as one frame. Errors: FrameTooLarge."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"A frame of {len(body)} bytes is over {MAX_FRAME_BYTES}.")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete with `data`. Errors: FrameTooLarge, at the header."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if length > MAX_FRAME_BYTES:
                raise FrameTooLarge(f"A frame of {length} bytes is over {MAX_FRAME_BYTES}.")
            end = _LENGTH.size + length
            if len(buffer) < end:
                return
            body = bytes(buffer[_LENGTH.size : end])
            del buffer[:end]
            yield body
