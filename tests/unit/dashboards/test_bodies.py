import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.bodies import Said, texts


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, []),
        ({"model": "m"}, []),
        ({"messages": [{"role": "user", "content": "Hi"}]}, [("user", "Hi")]),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "See"},
                                                       {"type": "image_url"}]}]},
            [("user", "See\n[image_url]")],
        ),
        (
            {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [
                {"function": {"name": "find", "arguments": '{"q": 1}'}}]}}]},
            [("assistant", '→ find({"q": 1})')],
        ),
        ({"choices": [{"message": {"content": None, "refusal": "No."}}]}, [("assistant", "No.")]),
        ({"choices": [{"text": "once"}]}, [("assistant", "once")]),
        ({"prompt": ["a", "b"]}, [("user", "a"), ("user", "b")]),
        ({"input": "embed me"}, [("user", "embed me")]),
        (
            {"system": "Be kind.", "messages": [{"role": "user", "content": "Hi"}]},
            [("system", "Be kind."), ("user", "Hi")],
        ),
        (
            {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
            [("assistant", "Hello")],
        ),
    ],
)  # fmt: skip
def test_texts_of_each_protocol(body, expected):
    assert texts(body) == [Said(*said) for said in expected]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["messages", "content", "choices", "message", "input", "text", "role",
                         "tool_calls", "function", "system", "prompt", "refusal"]),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@given(json_values)
def test_any_recorded_body_is_read_without_a_fault(body):
    assert all(isinstance(said.text, str) and said.text for said in texts(body))
