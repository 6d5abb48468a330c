"""What LangChain makes of the proxy's answers, as JSON: `python langchain_chat.py BASE_URL`.

It runs in an environment of its own, which has `langchain-openai` and nothing of ours.
"""

import functools
import json
import operator
import sys

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def send(to: str) -> str:
    """Send a letter to somebody."""
    return f"sent to {to}"


def told(message):
    return {
        "content": message.content,
        "refusal": message.additional_kwargs.get("refusal"),
        "finish": message.response_metadata.get("finish_reason"),
        "calls": [[call["name"], call["args"]] for call in message.tool_calls],
    }


def streamed(model, text):
    chunks = list(model.stream(text))
    return told(functools.reduce(operator.add, chunks)) | {"chunks": len(chunks)}


chat = ChatOpenAI(model="small", base_url=sys.argv[1], api_key="none", max_retries=0)
result = {
    name: {
        "chat": run(chat, "What is a stair?"),
        "tools": run(chat.bind_tools([send]), "Tell Ann."),
        "blockedRequest": run(chat, "Please say xyzzy."),
        "blockedAnswer": run(chat, "What is the magic word?"),
    }
    for name, run in (("whole", lambda m, t: told(m.invoke(t))), ("streamed", streamed))
}
print(json.dumps(result))
