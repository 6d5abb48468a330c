"""The inference worker and its client as real processes: faults, deadlines, death and return."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from guardrails.errors import GuardUnavailable
from guardrails.inference.client import InferenceClient
from guardrails.inference.protocol import MAX_FRAME_BYTES
from tests.loop import longest_hold
from tests.unit.guardrails.detectors import tiny_bert

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny_worker.py")


@pytest.fixture
def socket_path() -> Iterator[Path]:
    # pytest's own directories are too deep for a Unix socket's path.
    with tempfile.TemporaryDirectory(prefix="bw") as directory:
        yield Path(directory) / "inference" / "worker.sock"


class Started:
    def __init__(self, process: subprocess.Popen[bytes], path: Path) -> None:
        self.process = process
        self.path = path

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(10)
        if self.process.stderr:
            self.process.stderr.close()


def start(path: Path, *scorers: str, **options: object) -> Started:
    more = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, str(TINY), "--socket", str(path), *more, "--scorers", *scorers],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stderr=subprocess.PIPE,
    )
    return Started(process, path)


@pytest.fixture
def workers() -> Iterator[list[Started]]:
    started: list[Started] = []
    yield started
    for worker in started:
        worker.end()


@pytest.fixture
async def client(socket_path: Path) -> AsyncIterator[InferenceClient]:
    client = InferenceClient(socket_path)
    yield client
    await client.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """The socket of one worker for all the tests that leave it as it was."""
    with tempfile.TemporaryDirectory(prefix="bw") as directory:
        path = Path(directory) / "shared.sock"
        worker = start(path, "words", "slow", "faulty", "busy")
        yield path
        worker.end()


@pytest.fixture
async def asked(shared: Path) -> AsyncIterator[InferenceClient]:
    client = InferenceClient(shared)
    await warm(client)
    yield client
    await client.close()


def run_worker(path: Path, *arguments: str, **environment: str) -> Started:
    """The real entry point."""
    process = subprocess.Popen(
        [sys.executable, "-m", "guardrails.inference.worker", "--socket", str(path), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
    )
    return Started(process, path)


async def warm(client: InferenceClient, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            await client.describe()
            return
        except GuardUnavailable:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.02)


async def test_worker_scores_every_label_of_every_text_in_order(
    socket_path: Path, workers: list[Started], client: InferenceClient
) -> None:
    workers.append(start(socket_path, "words", "slow"))
    await warm(client)
    loaded = await client.describe()
    assert {name: (one.version, one.labels) for name, one in loaded.items()} == {
        "words": ("words-1", ("bad", "sad")),
        "slow": ("slow-1", ("bad", "sad")),
    }
    scored = await client.score("words", ["a bad one", "", "sad"], timeout_seconds=5)
    assert scored.scores == [
        pytest.approx([0.9, 0.1]),
        pytest.approx([0.1, 0.1]),
        pytest.approx([0.1, 0.8]),
    ]
    assert scored.spans == [[None, None]] * 3
    assert (await client.score("words", [], timeout_seconds=5)).scores == []


async def test_a_long_text_is_scored_in_windows_and_each_label_names_its_window(
    asked: InferenceClient,
) -> None:
    text = "fine words " * 500 + "one that is bad " + "fine words " * 500 + "so sad"
    for _ in range(2):  # the second answer comes from the cache
        scored = await asked.score("words", [text, "short"], timeout_seconds=5)
        assert scored.scores[0] == pytest.approx([0.9, 0.8])
        bad, sad = scored.spans[0]
        assert bad is not None and "bad" in text[slice(*bad)] and bad[1] - bad[0] <= 100
        assert sad is not None and "sad" in text[slice(*sad)]
        assert scored.spans[1] == [None, None]
        assert scored.uncovered == ()


async def test_embeddings_have_length_one_also_of_long_texts(asked: InferenceClient) -> None:
    vectors = await asked.embed(["abc", "xyz " * 400], timeout_seconds=5)
    assert [len(vector) for vector in vectors] == [384, 384]
    for vector in vectors:
        assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-5)
    assert await asked.embed([], timeout_seconds=5) == []


async def test_describe_answers_only_when_every_scorer_has_run(
    socket_path: Path, workers: list[Started], client: InferenceClient
) -> None:
    workers.append(start(socket_path, "words", "late"))
    seen = set()
    for _ in range(500):
        try:
            await client.describe()
            break
        except GuardUnavailable as error:
            seen.add(error.message)
            await asyncio.sleep(0.02)
    assert "The inference worker is not running." in seen
    assert any("late" in message for message in seen)
    assert set(await client.describe()) == {"words", "late"}


async def test_a_worker_whose_detector_cannot_load_ends_and_says_why(
    socket_path: Path, workers: list[Started]
) -> None:
    worker = start(socket_path, "words", "broken")
    workers.append(worker)
    assert await asyncio.to_thread(worker.process.wait, 20) != 0
    assert worker.process.stderr is not None
    assert b"broken cannot be loaded: no such weights" in worker.process.stderr.read()
    assert not socket_path.exists()


@pytest.mark.parametrize("text", ["raise", "nan", "range", "shape"])
async def test_a_fault_fails_its_own_request_only(asked: InferenceClient, text: str) -> None:
    answers = await asyncio.gather(
        *(
            asked.score("faulty", [t], timeout_seconds=5)
            for t in ["good1", "good2", text, "good3", "a bad"]
        ),
        return_exceptions=True,
    )
    failed = answers.pop(2)
    assert isinstance(failed, GuardUnavailable)
    assert "faulty failed" in failed.message and "secret" not in failed.message
    assert [answer.scores[0][0] for answer in answers] == pytest.approx([0.1, 0.1, 0.1, 0.9])


async def test_an_unknown_detector_is_unavailable(asked: InferenceClient) -> None:
    with pytest.raises(GuardUnavailable, match="not loaded 'none'"):
        await asked.score("none", ["text"], timeout_seconds=5)


async def test_a_deadline_that_passes_fails_in_time_and_frees_the_queue(
    asked: InferenceClient,
) -> None:
    started = time.monotonic()
    first = asyncio.create_task(asked.score("slow", ["sleep 0.6"], timeout_seconds=5))
    await asyncio.sleep(0.05)
    # Each would sleep for half a minute; all have expired before their turn.
    late = [asked.score("slow", [f"sleep 30 {i}"], timeout_seconds=0.2) for i in range(20)]
    for answer in await asyncio.gather(*late, return_exceptions=True):
        assert isinstance(answer, GuardUnavailable)
    assert time.monotonic() - started < 0.55
    await first
    assert (await asked.score("slow", ["bad"], timeout_seconds=1)).scores[0][0] > 0.5


async def test_a_cancelled_request_is_dropped_by_the_worker(asked: InferenceClient) -> None:
    first = asyncio.create_task(asked.score("slow", ["sleep 0.3"], timeout_seconds=5))
    await asyncio.sleep(0.05)
    cancelled = [
        asyncio.create_task(asked.score("slow", [f"sleep 30 {i}"], timeout_seconds=60))
        for i in range(5)
    ]
    await asyncio.sleep(0.05)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)
    assert all(task.cancelled() for task in cancelled)
    await first
    assert (await asked.score("slow", ["bad"], timeout_seconds=2)).scores[0][0] > 0.5


async def test_a_full_queue_answers_overloaded_at_once(asked: InferenceClient) -> None:
    async def refused(texts: list[str], seconds: float) -> bool:
        try:
            await asked.score("slow", texts, timeout_seconds=seconds)
        except GuardUnavailable as error:
            return "overloaded" in error.message
        return False

    async def fill() -> None:
        # Where one of the others' texts is still there, it finds no place and asks again.
        while await refused([f"text {number}" for number in range(4_095)], 30):
            await asyncio.sleep(0.05)

    first = asyncio.create_task(asked.score("slow", ["sleep 25"], timeout_seconds=30))
    await asyncio.sleep(0.05)
    many = asyncio.create_task(fill())
    # A busy machine needs a while to bring so many there.
    while not await refused(["one", "two"], 0.1):
        assert not first.done()
    assert not first.done()
    assert not many.done()
    for waiting in (first, many):
        waiting.cancel()
    await asyncio.gather(first, many, return_exceptions=True)


async def test_kill_9_fails_those_who_wait_at_once_and_a_new_worker_serves_again(
    socket_path: Path, workers: list[Started], client: InferenceClient
) -> None:
    worker = start(socket_path, "slow")
    workers.append(worker)
    await warm(client)
    waiting = [
        asyncio.create_task(client.score("slow", [f"sleep 30 {i}"], timeout_seconds=60))
        for i in range(10)
    ]
    await asyncio.sleep(0.1)
    started = time.monotonic()
    os.kill(worker.process.pid, signal.SIGKILL)
    for answer in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(answer, GuardUnavailable)
    with pytest.raises(GuardUnavailable, match=r"not running|went away"):
        await client.score("slow", ["text"], timeout_seconds=60)
    assert time.monotonic() - started < 1
    assert socket_path.exists(), "kill -9 leaves the socket behind: the next worker replaces it"
    workers.append(start(socket_path, "slow"))
    await warm(client)
    assert (await client.score("slow", ["bad"], timeout_seconds=2)).scores[0][0] > 0.5


async def test_sigterm_ends_a_busy_worker_soon_and_removes_its_socket(
    socket_path: Path, workers: list[Started], client: InferenceClient
) -> None:
    worker = start(socket_path, "slow")
    workers.append(worker)
    await warm(client)
    waiting = asyncio.create_task(client.score("slow", ["sleep 30"], timeout_seconds=60))
    await asyncio.sleep(0.1)
    worker.process.terminate()
    assert await asyncio.to_thread(worker.process.wait, 3) == 0
    assert not socket_path.exists()
    with pytest.raises(GuardUnavailable):
        await waiting


async def test_the_worker_ends_when_its_parent_is_killed(
    socket_path: Path, client: InferenceClient
) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, sys.executable, str(TINY), "--socket", str(socket_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    try:
        await warm(client)
        parent.kill()
        end = time.monotonic() + 5
        while socket_path.exists() and time.monotonic() < end:
            await asyncio.sleep(0.05)
        assert not socket_path.exists()
        with pytest.raises(GuardUnavailable):
            await client.score("words", ["text"], timeout_seconds=5)
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()


async def test_a_second_worker_does_not_take_a_living_ones_socket(
    socket_path: Path, workers: list[Started], client: InferenceClient
) -> None:
    workers.append(start(socket_path, "words"))
    await warm(client)
    second = start(socket_path, "words")
    workers.append(second)
    assert await asyncio.to_thread(second.process.wait, 20) != 0
    assert second.process.stderr is not None
    assert b"already serves" in second.process.stderr.read()
    assert (await client.score("words", ["bad"], timeout_seconds=2)).scores[0][0] > 0.5


async def test_only_the_owner_may_use_the_socket(shared: Path, asked: InferenceClient) -> None:
    assert shared.stat().st_mode & 0o777 == 0o600


async def test_garbage_on_the_socket_closes_that_connection_only(
    shared: Path, asked: InferenceClient
) -> None:
    for garbage in (
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x03abc",
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        reader, writer = await asyncio.open_unix_connection(str(shared))
        writer.write(garbage)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
    assert (await asked.score("words", ["bad"], timeout_seconds=2)).scores[0][0] > 0.5


async def test_a_busy_detector_keeps_neither_the_others_nor_the_front_waiting(
    asked: InferenceClient,
) -> None:
    busy = asyncio.create_task(asked.score("busy", ["busy"], timeout_seconds=5))
    slowest = 0.0
    while not busy.done():
        started = time.perf_counter()
        await asked.score("words", ["bad"], timeout_seconds=2)
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 0.2


async def test_the_askers_event_loop_never_stands_still(asked: InferenceClient) -> None:
    async def ask() -> None:
        for _ in range(5):
            texts = [[f"{i} " * 1_000] * 3 for i in range(40)]
            await asyncio.gather(*(asked.score("words", t, timeout_seconds=10) for t in texts))

    assert await longest_hold(ask, tries=1) < 0.02


async def test_a_score_of_two_texts_costs_the_asker_little(asked: InferenceClient) -> None:
    texts = ["What is the capital of France, please? " * 6, "Paris is the capital. " * 30]
    await asked.score("words", texts, timeout_seconds=5)
    cheapest = 1.0
    for _ in range(5):
        before = time.thread_time()
        for _ in range(200):
            await asked.score("words", texts, timeout_seconds=5)
        cheapest = min(cheapest, (time.thread_time() - before) / 200)
    assert cheapest < 300e-6  # about 100 on a quiet machine


async def test_closing_the_client_frees_those_who_wait(
    socket_path: Path, workers: list[Started], client: InferenceClient
) -> None:
    workers.append(start(socket_path, "slow"))
    await warm(client)
    waiting = asyncio.create_task(client.score("slow", ["sleep 30"], timeout_seconds=60))
    await asyncio.sleep(0.05)
    await client.close()
    with pytest.raises(GuardUnavailable):
        await waiting
    with pytest.raises(GuardUnavailable, match="closed"):
        await client.score("slow", ["text"], timeout_seconds=1)


async def test_the_entry_point_serves_any_transformer_beside_detoxify(
    socket_path: Path, workers: list[Started], client: InferenceClient, tmp_path: Path
) -> None:
    model = tiny_bert.save(tmp_path / "tiny", ["ok", "rude"])
    checkpoint = tiny_bert.save_detoxify(tmp_path / "tiny.ckpt", ["toxic", "insult"], str(model))
    options = {
        "manners": {"kind": "transformer", "model": str(model), "labels": {"rude": "rudeness"}},
        "toxicity": {"checkpoint": str(checkpoint)},
        "patterns": {},
    }
    workers.append(run_worker(socket_path, "--detectors", json.dumps(options), "--threads", "2"))
    await warm(client, 60)
    loaded = await client.describe()
    assert {name: one.labels for name, one in loaded.items()} == {
        "manners": ("rudeness",),
        "toxicity": ("toxicity", "insult"),
    }
    texts = [*tiny_bert.sentences(30), "the weather is fine today. " * 300]
    for name in loaded:
        one_by_one = [await client.score(name, [text], timeout_seconds=20) for text in texts]
        many = await asyncio.gather(
            *(client.score(name, [text + " "], timeout_seconds=20) for text in texts)
        )
        for one, other in zip(one_by_one, many, strict=True):
            assert one.scores[0] == pytest.approx(other.scores[0], abs=1e-4)
        assert all(span is not None for span in one_by_one[-1].spans[0])
    vector, again = await client.embed(["a cat", "a cat"], timeout_seconds=20)
    assert len(vector) == 384 and vector == pytest.approx(again, abs=1e-5)


async def test_the_entry_point_loads_what_settings_and_policy_name(
    socket_path: Path, workers: list[Started], client: InferenceClient, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(
        "name: p\nrules:\n"
        "  - {id: a, detector: compact, label: toxicity, stage: [input], threshold: 0.9,"
        " action: block, on_error: block}\n"
        "  - {id: b, detector: patterns, label: secret, stage: [input], threshold: 0.9,"
        " action: block, on_error: block}\n"
    )
    (tmp_path / "banister.yaml").write_text(
        f"policy: {tmp_path / 'policy.yaml'}\n"
        "detectors:\n  encoder: {kind: compact, cascade: false}\n"
    )
    config = {"BANISTER_CONFIG": str(tmp_path / "banister.yaml")}
    workers.append(run_worker(socket_path, **config))
    await warm(client, 60)
    assert set(await client.describe()) == {"compact", "encoder"}


async def test_the_entry_point_ends_with_a_message_where_the_configuration_is_wrong(
    socket_path: Path, workers: list[Started]
) -> None:
    worker = run_worker(socket_path, "--detectors", '{"nonsense": {}}')
    workers.append(worker)
    assert await asyncio.to_thread(worker.process.wait, 30) == 2
    assert worker.process.stderr is not None
    assert b"There is no detector 'nonsense'" in worker.process.stderr.read()
