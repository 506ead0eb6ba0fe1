"""Domains in Chromium: a name is added, its DNS record is copied, what is seen of it appears by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from domains.models import Verdict
from tests.instance import Instance

# What a worker would find: written as it writes it, since no name server is asked here.
FOUND = """
from datetime import timedelta
from django.utils import timezone
from bakery.broadcast import finish
from bakery.events import announce
from domains.models import Domain
now = timezone.now()
found = Domain.objects.get(hostname="{hostname}")
found.verdict, found.checked_at, found.next_check_at = "{verdict}", now, now + timedelta(days=1)
found.report = {report}
found.save()
announce("domain", found.pk)
finish()
"""
ELSEWHERE = {"id": "dns.elsewhere", "severity": "error", "message": "It points to 203.0.113.9.", "hint": "Change it."}
WRONG = {
    "findings": [ELSEWHERE],
    "changes": [{"action": "change", "type": "A", "host": "@", "value": "203.0.113.9", "to": "192.0.2.10"}],
    "records": [{"by": "192.0.2.53", "type": "A", "name": "bakery-shop.com", "value": "203.0.113.9", "ttl": 300}],
}


@pytest.fixture(scope="module")
def shop(instance: Instance) -> Iterator[int]:
    """A deployment's id. It was never deployed: its names are all that matters here."""
    address = "https://repository.invalid/shop.git"
    made = instance.manage_json("create_deployment", "named-shop", "--repo", address)
    assert isinstance(made, dict)
    yield int(made["id"])
    instance.manage("delete_deployment", "named-shop", "--yes")


def found(instance: Instance, hostname: str, verdict: str, report: object) -> None:
    instance.manage("shell", "-c", FOUND.format(hostname=hostname, verdict=verdict, report=report))


def test_a_name_is_added_its_record_copied_and_its_verdict_seen_as_it_changes(
    instance: Instance, page: Page, shop: int
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/deployments/{shop}/domains")
    page.get_by_label("Name", exact=True).fill("https://bakery-shop.com/")
    page.get_by_role("button", name="Add name").click()
    expect(page.locator("#id_hostname_error")).to_contain_text("Type bakery-shop.com alone.")
    page.get_by_label("Name", exact=True).fill("bakery-shop.com")
    page.get_by_role("button", name="Add name").click()
    expect(page.get_by_role("status").get_by_text("bakery-shop.com is added.")).to_be_visible()
    names = page.locator("#names")
    name = names.get_by_role("listitem").filter(has=page.get_by_role("heading", name="bakery-shop.com", exact=False))
    own = name.filter(has_not_text="www.bakery-shop.com").first
    expect(own).to_contain_text("Primary")
    expect(names).to_contain_text("Redirects to the primary name")
    # A worker looks at once, and finds no name server here: after that nobody looks for a while.
    expect(own).to_contain_text("DNS looked at", timeout=90_000)
    page.evaluate("window.sameDocument = true")
    found(instance, "bakery-shop.com", "wrong", WRONG)
    expect(own).to_contain_text(Verdict.WRONG.label)
    expect(own).to_contain_text("It points to 203.0.113.9.")
    own.get_by_role("button", name="Copy the value 192.0.2.10").press("Enter")
    expect(page.locator("#announcer")).to_have_text("Copied 192.0.2.10")
    assert page.evaluate("navigator.clipboard.readText()") == "192.0.2.10"
    own.locator("summary", has_text="What was seen").click()
    expect(own.get_by_role("cell", name="203.0.113.9", exact=True)).to_be_visible()
    found(
        instance, "bakery-shop.com", "wrong", {**WRONG, "findings": [{**WRONG["findings"][0], "message": "Still not."}]}
    )
    expect(own).to_contain_text("Still not.")
    expect(own.get_by_role("cell", name="203.0.113.9", exact=True)).to_be_visible()  # what was unfolded stays so
    found(instance, "bakery-shop.com", "right", {"findings": [], "records": WRONG["records"]})
    expect(own).to_contain_text(Verdict.RIGHT.label)
    expect(own).not_to_contain_text("What to change in DNS")
    assert page.evaluate("window.sameDocument")


def test_a_name_has_settings_and_is_removed_after_a_question(page: Page, shop: int) -> None:
    page.goto(f"/deployments/{shop}/domains")
    page.get_by_label("Name", exact=True).fill("second.bakery-shop.com")
    page.get_by_role("button", name="Add name").click()
    second = page.locator("li.name").filter(has_text="second.bakery-shop.com")
    # The worker's first look replaces the name, and would take a click with it.
    expect(second).to_contain_text("DNS looked at", timeout=90_000)
    page.locator("summary", has_text="More for second.bakery-shop.com").click()
    page.get_by_role("link", name="Settings of this name").locator("visible=true").click()
    page.get_by_label("Maintenance page").check()
    page.get_by_label("User name").fill("guest")
    page.get_by_role("button", name="Save settings").click()
    expect(page.locator("#id_auth_password_error")).to_contain_text("Type a password as well")
    page.get_by_label("Password").fill("correct-horse")
    page.get_by_role("button", name="Save settings").click()
    expect(page.get_by_role("status").get_by_text("The settings are saved.")).to_be_visible()
    page.goto(f"/deployments/{shop}/domains")
    expect(page.locator("#names")).to_contain_text("Maintenance page")
    page.locator("summary", has_text="More for second.bakery-shop.com").click()
    page.get_by_role("button", name="Remove", exact=True).locator("visible=true").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status").get_by_text("second.bakery-shop.com is removed.")).to_be_visible()
    expect(page.locator("#names")).not_to_contain_text("second.bakery-shop.com")


def test_names_are_found_in_the_list_of_all(page: Page, shop: int) -> None:
    page.goto("/domains")
    expect(page.locator("#domains")).to_contain_text("named-shop.localhost")
    page.get_by_label("Search names").fill("www.bakery-shop")
    expect(page.locator("#domains")).not_to_contain_text("named-shop.localhost")
    page.locator("#domains").get_by_role("link", name="www.bakery-shop.com", exact=True).click()
    expect(page.get_by_role("heading", name="named-shop", exact=True)).to_be_visible()
