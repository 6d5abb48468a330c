from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizerFast

from guardrails.inference.token_windows import token_windows
from tests.unit.guardrails.detectors import tiny_bert

SIZE = 32


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizerFast:
    return tiny_bert.tokenizer(Path(tmp_path_factory.mktemp("t")))


alphabet = st.sampled_from([*"abz .!?é漢\n\u200b", "weather ", "stupid", "xyz" * 20])


@given(pieces=st.lists(alphabet, max_size=300))
def test_windows_cover_any_text_and_each_fits(
    tokenizer: BertTokenizerFast, pieces: list[str]
) -> None:
    text = "".join(pieces)
    covered = 0
    spans = token_windows(text, tokenizer, SIZE)
    for start, end in spans:
        assert start <= covered <= end
        covered = end
        assert len(tokenizer(text[start:end])["input_ids"]) <= SIZE
    assert covered == len(text)


def test_neighbours_overlap(tokenizer: BertTokenizerFast) -> None:
    spans = token_windows("the weather is fine today. " * 30, tokenizer, SIZE)
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert start < end
