"""What an open page says of a database's address, while its password is rotated by somebody else."""

from __future__ import annotations

import psycopg
from playwright.sync_api import Page, expect

from tests.instance import Instance

NAME = "turning-db"


def test_an_open_page_never_goes_on_showing_an_old_password(instance: Instance, page: Page) -> None:
    page.goto("/databases/new")
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_role("button", name="Create database").click()
    expect(page.locator("#head")).to_contain_text("Ready")
    shown, reveal = page.locator("#url code"), page.get_by_role("button", name="Reveal the connection string")

    page.get_by_role("button", name="Make a read-only role").click()
    page.get_by_role("dialog").get_by_role("button", name="Make it").click()
    once = page.locator("code", has_text="_reader:")
    expect(page.get_by_role("button", name="New read-only password")).to_be_visible()  # the page has heard of it
    expect(once).to_be_visible()

    reveal.click()
    expect(shown).to_contain_text("_a:")
    expect(shown).not_to_contain_text("•")
    old = shown.inner_text()
    instance.manage("database", "rotate-password", NAME)
    expect(shown).to_contain_text("_b:•")
    expect(once).to_be_visible()
    reveal.click()
    expect(shown).not_to_contain_text("•")
    assert shown.inner_text() != old
    with psycopg.connect(shown.inner_text()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
