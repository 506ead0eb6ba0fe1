"""Addresses of databases that cannot be read, in words."""

from __future__ import annotations

import pytest

from infrastructure.errors import HostProblem
from infrastructure.postgres.server import Place


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://shop:hunter2%zz@db.example/shop",
        "postgresql://shop:hunter2@[::1]x/shop",
        "postgresql://shop:x@db.example/shop?hunter2",
        "host=db.example password hunter2",
    ],
)
def test_an_address_that_libpq_does_not_understand_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(HostProblem) as caught:
        Place.of(address)
    assert caught.value.id == "postgres.url"
    assert caught.value.hint
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"
    assert caught.value.__cause__ is None
