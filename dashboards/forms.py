"""What do the forms of several pages ask for alike? A reason, which stands in the audit log."""

from __future__ import annotations

from starlette.datastructures import FormData

from guardrails.errors import BadRequest

REASON_CHARACTERS = 500


def reason_of(form: FormData) -> str:
    """Why somebody does something. Errors: BadRequest where it is missing or too long."""
    why = str(form.get("why", "")).strip()
    if not why or len(why) > REASON_CHARACTERS:
        raise BadRequest("Say why, in a sentence or two.", param="why")
    return why
