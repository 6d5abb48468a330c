from __future__ import annotations

import pytest

from guardrails.database.url import libpq_url, sqlalchemy_url
from guardrails.errors import ConfigError


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"]
)
@pytest.mark.parametrize("rest", ["u:p%40ss@h:5432/d?sslmode=require", "postgres@/d?host=/tmp/x"])
def test_every_spelling_is_understood(scheme: str, rest: str) -> None:
    assert libpq_url(f"{scheme}://{rest}") == f"postgresql://{rest}"
    assert sqlalchemy_url(f" {scheme}://{rest}\n") == f"postgresql+psycopg://{rest}"


@pytest.mark.parametrize("url", ["", "sqlite:///x", "mysql://u:secret@h/d", "host=/tmp dbname=x"])
def test_another_database_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="postgresql://") as caught:
        libpq_url(url)
    assert "secret" not in caught.value.message
