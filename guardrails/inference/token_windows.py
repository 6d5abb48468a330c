"""Where is a long text cut, so that each piece surely fits into a model's tokens?

By counting with the model's own tokenizer, and by counting again: a piece of a text may give more
tokens than the same piece gave within it.
"""

from __future__ import annotations

from typing import Any

Span = tuple[int, int]

_OVERLAP = 8
_SLACK = 16


def token_windows(text: str, tokenizer: Any, size: int) -> list[Span]:
    """Overlapping spans that cover `text`, each at most `size` tokens with the special ones.

    `tokenizer` is a fast one of transformers. Overlap: an eighth.
    """
    # No token is longer than a text's characters are many, in any alphabet but those cut to bytes.
    if len(text) * 4 + _SLACK <= size:
        return [(0, len(text))]
    room = size - tokenizer.num_special_tokens_to_add()
    offsets = _offsets(text, tokenizer)
    if len(offsets) <= room:
        return [(0, len(text))]
    step = max(1, room - room // _OVERLAP)
    spans: list[Span] = []
    for first in range(0, len(offsets), step):
        last = min(first + room, len(offsets)) - 1
        # What no token stands for (white space, most often) belongs to the window before it.
        start = offsets[first][0] if first else 0
        end = offsets[last + 1][0] if last + 1 < len(offsets) else len(text)
        spans += _fitting(text, (start, max(end, start + 1)), tokenizer, room)
        if last + 1 == len(offsets):
            break
    return spans


def _fitting(text: str, span: Span, tokenizer: Any, room: int) -> list[Span]:
    """`span`, halved as often as it takes for every piece to fit."""
    start, end = span
    if end - start <= 1 or len(_offsets(text[start:end], tokenizer)) <= room:
        return [span]
    middle = (start + end) // 2
    return [
        *_fitting(text, (start, middle), tokenizer, room),
        *_fitting(text, (middle, end), tokenizer, room),
    ]


def _offsets(text: str, tokenizer: Any) -> list[Span]:
    encoded = tokenizer(
        text,
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        truncation=False,
        verbose=False,
    )
    return [(start, end) for start, end in encoded["offset_mapping"]]
