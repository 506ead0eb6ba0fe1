"""Databases in Chromium: made for an app that counts visits in it, revealed, backed up, restored, put back, dropped."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from databases.models import Disclosure
from tests.instance import Instance
from tests.integration.apps import MIGRATES, AppRepository, counts_visits
from tests.integration.driving import Driven, rows
from tests.integration.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, s3_server
from tests.integration.waiting import until

pytestmark = pytest.mark.slow
APP, NAME = "counting-shop", "counting-db"
WORK = 120_000  # milliseconds; a shared machine may take its time for a dump or a deploy


@pytest.fixture
def shop(instance: Instance, tmp_path: Path) -> Driven:
    """An app that counts visits in its DATABASE_URL, not deployed and without a database."""
    return Driven(instance, APP, AppRepository(tmp_path / APP, counts_visits())).create(
        "--pre-deploy-command", MIGRATES
    )


def test_a_database_is_made_for_an_app_injected_revealed_backed_up_restored_and_put_back(
    instance: Instance, page: Page, shop: Driven
) -> None:
    pk = rows(instance, "SELECT id FROM deployments_deployment WHERE name = %s", APP)[0]["id"]
    make(page, pk)
    deploy(page, pk)
    assert visits(shop, "/visit") == 1
    url = revealed(page)
    with psycopg.connect(url) as connection:  # somebody else's program, with what the page said
        assert connection.execute("SELECT count(*) FROM visits").fetchone() == (1,)
    disclosed = rows(instance, f"SELECT what FROM {Disclosure._meta.db_table} WHERE subject = %s", NAME)
    assert [row["what"] for row in disclosed] == ["the connection string"]

    backup(page)
    assert visits(shop, "/visit") == 2
    restore(page)
    until(lambda: visits(shop) == 1)
    page.get_by_role("button", name="Undo the restore").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    expect(page.locator("#work")).not_to_contain_text("Restored: is it right?", timeout=WORK)
    until(lambda: visits(shop) == 2)

    drop(page)
    instance.manage("delete_deployment", APP, "--yes")


def test_a_bucket_is_tried_by_a_worker_and_the_page_says_by_itself_what_was_found(
    instance: Instance, page: Page
) -> None:
    with s3_server() as server:
        page.goto("/settings/backup-storage")
        for label, value in (
            ("Name", "offsite"),
            ("Endpoint", server.endpoint),
            ("Bucket", BUCKET),
            ("Access key", ACCESS_KEY),
            ("Secret key", SECRET_KEY),
        ):
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_role("button", name="Save bucket").click()
        row = page.locator("#storages tbody tr").filter(has_text="offsite")
        expect(row).to_contain_text("Works", timeout=WORK)
        server.take_away(BUCKET)
        # In one go: the part of the page that it is in may be replaced between press and release.
        row.get_by_role("button", name="Try").evaluate("button => button.click()")
        expect(row).to_contain_text("There is no such bucket.", timeout=WORK)
    instance.manage("database", "delete-storage", "offsite")


def visits(shop: Driven, path: str = "/") -> int:
    """-1 while the app has no session: a restore ends them."""
    answer = shop.get(path)
    return int(answer.json()["visits"]) if answer.status_code == 200 else -1


def make(page: Page, pk: int) -> None:
    """By the deployment's tab, as a person would."""
    page.goto(f"/deployments/{pk}/databases")
    page.get_by_role("link", name="New database").click()
    expect(page.get_by_label("For the deployment")).to_have_value(str(pk))
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_role("button", name="Create database").click()
    expect(page.get_by_role("heading", name=NAME, exact=True)).to_be_visible()
    expect(page.locator("#head")).to_contain_text("Ready", timeout=WORK)
    expect(page.locator("#attachments")).to_contain_text(APP)


def deploy(page: Page, pk: int) -> None:
    page.goto(f"/deployments/{pk}")
    page.locator("#do-deploy").click()
    expect(page.locator("#head")).to_contain_text("Live", timeout=WORK)


def tab(page: Page, name: str = "") -> None:
    page.goto("/databases")
    page.locator("#databases").get_by_role("link", name=NAME, exact=True).click()
    if name:
        page.get_by_role("navigation", name=f"Pages of {NAME}").get_by_role("link", name=name).click()


def revealed(page: Page) -> str:
    """The connection string, which is hidden again after that."""
    tab(page)
    shown = page.locator("#url code")
    expect(shown).to_contain_text("•")
    page.get_by_role("button", name="Reveal the connection string").click()
    expect(shown).not_to_contain_text("•")
    url = shown.inner_text()
    page.get_by_role("button", name="Hide the connection string").click()
    expect(shown).to_contain_text("•")
    return url


def backup(page: Page) -> None:
    tab(page, "Backups")
    page.get_by_role("button", name="Back up now").click()
    expect(newest(page)).to_contain_text("Good", timeout=WORK)


def restore(page: Page) -> None:
    newest(page).get_by_role("link", name="Restore").click()
    page.get_by_label("Back up what is there now first").uncheck()
    page.get_by_label(f"Type {NAME} to confirm").fill(NAME)
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(page.locator("#work")).to_contain_text("Restored: is it right?", timeout=WORK)


def newest(page: Page) -> Locator:
    return page.locator("#backups tbody tr").first


def drop(page: Page) -> None:
    tab(page, "Settings")
    page.get_by_label("A last backup first").uncheck()
    page.get_by_label(f"Type {NAME} to confirm").fill(NAME)
    page.get_by_role("button", name=f"Drop {NAME}").click()
    expect(page.get_by_role("heading", name="Databases", exact=True)).to_be_visible()
    expect(page.locator("#databases")).not_to_contain_text(NAME, timeout=WORK)
