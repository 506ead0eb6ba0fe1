"""``manage.py certificate``: what it takes, and what it prints for people and for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from bakery.models import Task, TaskKind
from deployments.models import Deployment
from deployments.services.settings import create_deployment
from domains.models import Certificate, DnsProvider, Domain, Verdict
from tests.certificates import Authority
from tests.integration.people import bob

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Deployment:
    made = create_deployment(by=None, name="shop", repository="https://example.com/shop.git")
    Domain.objects.create(deployment=made, hostname="xn--bcher-kva.example.com", verdict=Verdict.RIGHT)
    return made


def command(*argv: str) -> str:
    out = io.StringIO()
    call_command("certificate", *argv, stdout=out, stderr=out)
    return out.getvalue()


def test_it_asks_and_names_the_task(shop: Deployment) -> None:
    assert "Queued as task" in command("issue", "shop", "--no-wait")
    task = Task.objects.get(kind=TaskKind.CERTIFICATE)
    assert (task.subject, task.deployment, task.requested_by) == ("shop", shop, None)
    Certificate.objects.update(fingerprint="a")
    with pytest.raises(CommandError, match="worked on already"):
        command("renew", "shop", "--force", "--no-wait")


def test_the_panel_is_for_admins_and_stands_between_verb_and_files(tmp_path: Path) -> None:
    Domain.objects.create(deployment=None, hostname="bakery.example.com")
    made = Authority().issue("bakery.example.com")
    (tmp_path / "chain.pem").write_bytes(made.chain_pem)
    (tmp_path / "key.pem").write_bytes(made.key_pem)
    files = (str(tmp_path / "chain.pem"), str(tmp_path / "key.pem"))
    with pytest.raises(CommandError, match="Ask an admin"):
        command("upload", "--panel", *files, "--no-wait", "--as", bob().email)
    task = json.loads(command("upload", "--panel", *files, "--no-wait", "--json"))
    assert task["subject"] == "Bakery"


def test_it_lists_names_as_people_read_them_and_all_of_it_for_programs(shop: Deployment) -> None:
    assert "no certificates" in command("list")
    Certificate.objects.create(deployment=shop, names=["xn--bcher-kva.example.com"], error_message="Why.", error_id="x")
    assert "bücher.example.com" in command("list", "shop")
    assert "failed: Why." in command("list")
    assert "no certificates" in command("list", "--panel")
    (row,) = json.loads(command("list", "--json"))
    assert (row["deployment"], row["names"]) == ("shop", ["xn--bcher-kva.example.com"])
    assert row["error"] == {"id": "x", "message": "Why.", "hint": ""}
    assert "uploaded" not in row


def test_dns_providers_are_saved_and_chosen(shop: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "credentials.ini"
    file.write_text("dns_cloudflare_api_token = 0123456789abcdef0123456789abcdef")
    said = command("provider", "ours", "cloudflare", str(file), "--propagation-seconds", "5", "--json")
    assert "0123456789" not in said
    assert DnsProvider.objects.get().propagation_seconds == 5
    row = json.loads(command("set", "shop", "--challenge", "dns-01", "--dns-provider", "ours", "--json"))
    assert (row["challenge"], row["dns_provider"], row["automatic"]) == ("dns-01", "ours", True)
    with pytest.raises(CommandError, match="no DNS provider called theirs"):
        command("set", "shop", "--dns-provider", "theirs")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("issue",), "Name the deployment"),
        (("issue", "nobody"), "no deployment called nobody"),
        (("upload", "shop", "one.pem"), "NAME CHAIN KEY"),
        (("upload", "shop", "/nonexistent", "/nonexistent"), "cannot be read"),
        (("renew", "shop"), "no certificate"),
        (("provider", "ours"), "NAME PLUGIN FILE"),
    ],
)
def test_what_is_written_wrongly_is_said(shop: Deployment, argv: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        command(*argv)
