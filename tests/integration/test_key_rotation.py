from __future__ import annotations

import base64
import os
from dataclasses import replace
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.models import TextField
from django.db.models.functions import Cast
from django.test import override_settings

from bakery import key_rotation
from deployments.models import EnvVar
from deployments.services.env import set_env
from deployments.services.settings import create_deployment

pytestmark = pytest.mark.django_db
VALUES = {f"NAME_{number}": f"value {number}" for number in range(7)}


def new_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def keys(*those: str) -> override_settings:
    return override_settings(BAKERY=replace(settings.BAKERY, encryption_keys=those))


def tokens() -> set[str]:
    return set(EnvVar.objects.annotate(token=Cast("value", TextField())).values_list("token", flat=True))


def rotate(*argv: str) -> str:
    out = StringIO()
    call_command("rotate_encryption_key", *argv, stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture(autouse=True)
def stored() -> None:
    deployment = create_deployment(by=None, name="shop", repository="https://example.com/shop.git")
    set_env(deployment, by=None, values=VALUES)


def readable() -> dict[str, str]:
    return {variable.name: variable.value.reveal() for variable in EnvVar.objects.all()}


def test_after_a_rotation_the_old_key_can_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rotation, "BATCH", 3)
    old, new = settings.BAKERY.encryption_keys[0], new_key()
    with keys(new, old):
        assert "7 done" in rotate()
        assert "0 done, 7 had the first key" in rotate()
    with keys(new):
        assert readable() == VALUES


def test_a_dry_run_changes_nothing() -> None:
    before = tokens()
    with keys(new_key(), settings.BAKERY.encryption_keys[0]):
        assert "7 to do" in rotate("--dry-run")
    assert tokens() == before


def test_what_no_key_reads_is_reported_and_the_rest_is_done() -> None:
    old, new, lost = settings.BAKERY.encryption_keys[0], new_key(), new_key()
    variable = EnvVar.objects.earliest("pk")
    with keys(lost):
        variable.value = "unreadable"
        variable.save()
    with keys(new, old):
        with pytest.raises(CommandError, match=rf"1 stored secrets.*EnvVar.value {variable.pk}"):
            rotate()
        assert EnvVar.objects.exclude(pk=variable.pk).count() == len(
            [value for row in EnvVar.objects.exclude(pk=variable.pk) if (value := row.value.reveal())]
        )
