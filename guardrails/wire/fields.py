"""Which fields of a body are text that a detector must read?

Every string is, unless its name stands here: an unknown field is read, never trusted. The names
that SDKs know are sorted into the four sets, and a test holds the SDKs' types against them, so that
a new field is looked at by a person before it is released.
"""

from __future__ import annotations

from typing import Any

from guardrails.types import Stage
from guardrails.wire.pointers import Pointer
from guardrails.wire.texts import Texts


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Names, identifiers and switches: they steer the protocol and say nothing.
PLAIN = _names("""
    type id role object status index model detail format phase mode execution
    call_id tool_use_id tool_call_id item_id approval_request_id approval_response_id caller_id
    tool_id container container_id download_id tab_id skill_id tunnel_id response_id
    created_by fingerprint signature encrypted_index media_type encoding page_age retrieved_at
    cache_control caller usage logprobs version size quality background output_format obfuscation
    stop_reason stop_sequence service_tier inference_geo sequence_number
    authorization headers server_url allowed_domains blocked_domains domain domain_secrets
    connector_id network_policy vector_store_ids category
""")

# What may say anything but cannot be read here: named in `uncovered`.
OPAQUE = _names("""
    data file_data file_id file_ids file_url image_url input_audio audio partial_image_b64
    encrypted_content encrypted_stdout input_image_mask
""")

# Objects whose keys and values alike go before the model: read as one text of JSON.
JSON = _names("""
    input arguments input_schema parameters schema schema_ output_schema input_examples properties
    attributes env variables filters
""")

# Known and read. Only the test needs it: reading is what happens to any name not above.
TEXT = _names("""
    text content refusal thinking reasoning reasoning_content name title context description
    cited_text document_title source url path lines stdout stderr error error_message explanation
    tool_name tool_names toolset_name partial_json output input_text code logs command commands diff
    queries query pattern keys key value filename revised_prompt result results message reason
    namespace server_label server_description definition summary delta annotation annotations
    transcript user working_directory city country region timezone required allowed_tools
    param categories arguments input instructions system suffix prompt
""")


# Known and gone through: they hold objects whose own fields are sorted above.
HOLDERS = _names("""
    citation citations content_block state_changes tabs tool_references client_tool_results
    server_tool_results tools url_sources user_location acknowledged_safety_checks
    pending_safety_checks action actions operation outputs sources skills environment svg svg_usage
    moderation_details require_approval always never item part response custom file function
    function_call tool_calls grammar url_citation
""")


def read(texts: Texts, stage: Stage, role: str, index: int, at: Pointer, node: Any) -> None:
    """Take in every text below a node, and name what is not text.

    Cost: linear in the node. Limits: nesting to Python's recursion, which bodies stay far below.
    """
    if isinstance(node, str):
        texts.add(stage, role, index, at, node)
    elif isinstance(node, list):
        for number, item in enumerate(node):
            read(texts, stage, role, index, (*at, number), item)
    elif isinstance(node, dict):
        for field, value in node.items():
            if field in PLAIN or not value or isinstance(value, int | float):
                continue
            if field in OPAQUE:
                texts.skip((*at, field), field)
            elif field in JSON and not isinstance(value, str):
                texts.add_json(stage, role, index, (*at, field), value)
            else:
                read(texts, stage, role, index, (*at, field), value)
