"""The demo model's server on the real `transformers serve`, with a tiny model of random weights."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch
from httpx import ASGITransport, AsyncClient
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from guardrails.demo.model import is_version
from guardrails.demo.server import DemoServer
from guardrails.demo.transformers import application

# peft asks for it by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

MODEL = "tiny"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "paint", "parameters": COLOUR}}


def write_tiny_model(directory: Path) -> None:
    """A Llama that knows the bytes and nothing else."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *letters])}
    backend = Tokenizer(models.BPE(vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.do_sample = True
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def write_adapter(base: Path, directory: Path) -> None:
    """An adapter of random weights, large enough to be heard."""
    model = get_peft_model(
        LlamaForCausalLM.from_pretrained(base),
        LoraConfig(r=2, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"]),
    )
    for name, weight in model.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(weight, std=3.0)
    model.save_pretrained(directory)


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncClient]:
    parent = tmp_path_factory.mktemp("models")
    write_tiny_model(parent / MODEL)
    versions = parent / "versions"
    write_tiny_model(versions / f"{MODEL}@whole")
    for name in ("loud", "calm"):
        write_adapter(parent / MODEL, versions / f"{MODEL}@{name}")
    before = Path.cwd()
    os.chdir(parent)
    try:
        app = DemoServer(
            application(MODEL, threads=1, versions=versions),
            MODEL,
            is_version=lambda name: is_version(versions, name),
        )
        transport = ASGITransport(app)
        async with AsyncClient(transport=transport, base_url="http://demo") as client:
            yield client
    finally:
        os.chdir(before)


async def post(client: AsyncClient, body: dict, path: str = "chat/completions") -> dict:
    answer = await client.post(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.splitlines() if line]


async def test_an_answer_names_the_model_plainly(client):
    answer = await post(client, CHAT)
    assert answer["model"] == MODEL
    assert answer["usage"]["completion_tokens"] <= 4


async def test_several_choices(client):
    answer = await post(client, {**CHAT, "n": 3})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]


async def test_a_stream_ends_as_openai_ends_it(client):
    body = {**CHAT, "n": 2, "stream": True, "stream_options": {"include_usage": True}}
    answer = await client.post("/v1/chat/completions", json=body)
    *chunks, done = events(answer.text)
    assert done == "[DONE]"
    assert {c["index"] for chunk in chunks for c in json.loads(chunk)["choices"]} == {0, 1}
    assert json.loads(chunks[-1])["usage"]["prompt_tokens"] > 0


async def test_a_text_completion_and_its_stream(client):
    body = {"model": MODEL, "prompt": ["Once"], "max_tokens": 3}
    assert "text" in (await post(client, body, "completions"))["choices"][0]
    answer = await client.post("/v1/completions", json={**body, "stream": True})
    assert events(answer.text)[-1] == "[DONE]"


async def test_an_answer_follows_its_schema_whatever_the_model(client):
    form = {"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR}}
    answer = await post(client, {**CHAT, "max_tokens": 60, "response_format": form})
    assert json.loads(answer["choices"][0]["message"]["content"])["colour"] in ("red", "blue")


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "paint"}}]
)
async def test_a_required_call_is_made(client, choice):
    body = {**CHAT, "max_tokens": 120, "tools": [TOOL], "tool_choice": choice}
    answer = (await post(client, body))["choices"][0]
    assert answer["finish_reason"] == "tool_calls"
    call = answer["message"]["tool_calls"][0]["function"]
    assert call["name"] == "paint"
    assert json.loads(call["arguments"])["colour"] in ("red", "blue")


async def test_a_required_call_is_streamed(client):
    body = {**CHAT, "max_tokens": 120, "tools": [TOOL], "tool_choice": "required", "stream": True}
    answer = await client.post("/v1/chat/completions", json=body)
    deltas = [json.loads(e)["choices"][0]["delta"] for e in events(answer.text)[:-1]]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["function"]["name"] == "paint"


async def test_a_past_call_and_its_result_are_read(client):
    call = {"id": "1", "type": "function", "function": {"name": "paint", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Paint it."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Done."},
    ]
    with_call = await post(client, {**CHAT, "messages": messages})
    without = await post(client, {**CHAT, "messages": messages[:2]})
    more = with_call["usage"]["prompt_tokens"] - without["usage"]["prompt_tokens"]
    assert more > len('<tool_call>{"name": "paint", "arguments": {}}</tool_call>Done.')


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"model": "other"}, 404),
        ({"messages": []}, 400),
        ({"response_format": {"type": "xml"}}, 400),
        ({"stream": True, "response_format": {"type": "xml"}}, 400),
    ],
)
async def test_faults_come_in_the_envelope(client, change, status):
    answer = await client.post("/v1/chat/completions", json={**CHAT, **change})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_the_model_is_listed_and_the_rest_is_served(client):
    assert [m["id"] for m in (await client.get("/v1/models")).json()["data"]] == [MODEL]
    assert (await client.get("/health")).status_code == 200


async def spoken(client: AsyncClient, model: str, **more: object) -> str:
    body = {**CHAT, "model": model, "temperature": 0, "max_tokens": 12, **more}
    answer = await post(client, body)
    assert answer["model"] == model
    return answer["choices"][0]["message"]["content"]


async def test_versions_answer_as_themselves_one_after_the_other(client):
    names = (MODEL, *(f"{MODEL}@{version}" for version in ("loud", "calm", "whole")))
    first = {name: await spoken(client, name) for name in names}
    assert len(set(first.values())) == 4
    again = {name: await spoken(client, name) for name in reversed(names)}
    assert again == first


async def test_versions_that_are_asked_at_once_do_not_mix(client):
    names = [MODEL, f"{MODEL}@loud", f"{MODEL}@calm"]
    alone = [await spoken(client, name) for name in names]
    together = await asyncio.gather(*(spoken(client, name) for name in names * 4))
    assert list(together) == alone * 4


async def test_a_version_streams_and_completes_texts_too(client):
    name = f"{MODEL}@loud"
    body = {**CHAT, "model": name, "stream": True}
    answer = await client.post("/v1/chat/completions", json=body)
    *chunks, done = events(answer.text)
    assert done == "[DONE]"
    assert {json.loads(chunk)["model"] for chunk in chunks} == {name}
    text = {"prompt": "Once", "max_tokens": 8, "temperature": 0}
    said = [await post(client, {**text, "model": m}, "completions") for m in (MODEL, name)]
    assert said[0]["choices"][0]["text"] != said[1]["choices"][0]["text"]


@pytest.mark.parametrize("name", ["tiny@none", "tiny@", "../tiny@loud", "tiny@../tiny@loud", 7])
async def test_a_version_that_is_not_there_is_not_found(client, name):
    answer = await client.post("/v1/chat/completions", json={**CHAT, "model": name})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
