"""Every exchange is grounded as `banister up` comes: on pages about Banister itself."""

from __future__ import annotations

import pytest

from guardrails.prompt.render import load_templates
from guardrails.settings import PACKAGE

pytestmark = pytest.mark.timeout(400)

MODEL = "smollm2-135m-instruct"
TEMPLATE = load_templates(PACKAGE / "prompt" / "templates")["grounded@1"]


def ask(client, product, question):
    """The answer, and its row."""
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        max_tokens=40,
        temperature=0,
    )
    return raw.parse(), product.exchange(raw.headers["x-request-id"])


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is Banister?", "What Banister is"),
        ("What does Banister record?", "What Banister records"),
        ("How can I appeal a decision of Banister?", "How Banister decides"),
    ],
)
def test_a_question_about_banister_is_answered_from_its_pages(client, product, question, title):
    answer, row = ask(client, product, question)
    message = answer.choices[0].message
    cited = message.model_extra["context"]["citations"]
    assert 1 <= len(cited) <= 2
    assert title in [citation["title"] for citation in cited]
    assert message.annotations
    for annotation in message.annotations:
        place = annotation.url_citation
        assert 0 <= place.start_index < place.end_index <= len(message.content)
        assert place.url.startswith("about-banister/")
    assert row["template_hash"] == TEMPLATE.hash
    assert len(row["passages"]) == len(cited)
    assert answer.usage.prompt_tokens < 400, "two passages must leave a small model quick"


def test_an_unrelated_question_gets_no_passages(client, product):
    answer, row = ask(client, product, "Tell me a joke about cats.")
    assert not answer.choices[0].message.annotations
    assert "context" not in (answer.choices[0].message.model_extra or {})
    assert not row["passages"]
    assert row["template_hash"] == TEMPLATE.hash
    assert answer.usage.prompt_tokens < 60


def test_the_pages_are_taken_in_once(product):
    assert (product.data_dir / "knowledge-taken-in").exists()
    assert "4 added" in (product.data_dir / "logs" / "knowledge.log").read_text()
