"""Sending a page's form as a browser would."""

from __future__ import annotations

import re

import httpx


async def post(client: httpx.AsyncClient, page: str, action: str, **fields: str) -> httpx.Response:
    """Send fields to `action` with what is hidden in the forms of `page`."""
    html = (await client.get(page)).text
    hidden = dict(re.findall(r'<input type="hidden" name="(csrf|seen)" value="([^"]+)"', html))
    return await client.post(action, data={**hidden, **fields})
