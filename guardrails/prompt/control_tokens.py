"""How is text kept from forging a turn of the conversation?

A chat template writes turns with control tokens (`<|im_start|>`, `[INST]`, `<start_of_turn>`), and
most tokenizers read the same letters inside a user's text as the same token. `neutralise` puts one
backslash after the token's first character: no tokenizer takes `<\\|im_start|>` for a token, a
person still sees what was written, and `restore` gives the original back exactly, also for text
that held such backslashes before.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

_NAMES = (
    "s|pad|unk|bos|eos|start_of_turn|end_of_turn|start_of_image|endoftext|tool_call|tool_response"
    "|sys|start_of_role|end_of_role|reserved_special_token_[0-9]+"
)
_BRACKETED = (
    "INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|SYSTEM_PROMPT|CALL_ID"
    "|IMG|IMG_BREAK|IMG_END|PREFIX|MIDDLE|SUFFIX|UNK|SEP|CLS|MASK|PAD|BOS|EOS|gMASK"
)
_TOKEN = (
    r"[<＜]\\*(?:[|｜]"  # <|anything|>: ChatML, Llama 3, Phi, Granite; full-width: DeepSeek
    rf"|/?(?:{_NAMES})[>＞]"  # Llama 2's <s>, Gemma's turns, Qwen's tool calls
    r"|<\\*/?SYS>>?)"  # Llama 2's <<SYS>>
    # Mistral, GLM, BERT: as they are written, for `[prefix]` is plain text.
    rf"|(?-i:\[\\*/?(?:{_BRACKETED})\])"
)
_CONTROL = re.compile(_TOKEN, re.IGNORECASE)
_FIRST = "<＜["


def neutralise(text: str, tags: Iterable[str] = ()) -> str:
    """`text` with a backslash inside each control token and each opening or closing of `tags`.

    Cost: linear in the text; a text with neither `<` nor `[` is returned as it is.
    """
    return neutralise_together([text], tags)[0]


def neutralise_together(texts: Sequence[str], tags: Iterable[str] = ()) -> list[str]:
    """The same for texts that a chat template joins without a separator, as parts of one message:
    a token that begins in one and ends in the next is found too.
    """
    joined = "".join(texts)
    if not any(first in joined for first in _FIRST):
        return list(texts)
    offsets = [match.start() + 1 for match in _pattern(tags).finditer(joined)]
    found, start = [], 0
    for text in texts:
        end = start + len(text)
        # A token's first character belongs to the text that it ends.
        cuts = [offset - start for offset in offsets if start < offset <= end]
        edges = [0, *cuts, len(text)]
        found.append("\\".join(text[a:b] for a, b in itertools.pairwise(edges)))
        start = end
    return found


def restore(text: str, tags: Iterable[str] = ()) -> str:
    """What `neutralise` was given, from what it gave: takes one backslash out of each token."""
    return _pattern(tags).sub(lambda match: match[0].replace("\\", "", 1), text)


def _pattern(tags: Iterable[str]) -> re.Pattern[str]:
    names = sorted(tags)
    if not names:
        return _CONTROL
    fence = rf"|[<＜]\\*/?(?:{'|'.join(map(re.escape, names))})(?![\w-])"
    return re.compile(_TOKEN + fence, re.IGNORECASE)
