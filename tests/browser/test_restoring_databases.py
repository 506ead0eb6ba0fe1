"""A dump of one's own, from the page: it goes ahead in pieces, is restored, and confirmed; a backup is downloaded."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.instance import Instance

DUMP = "CREATE TABLE cakes (name text);\nCOPY cakes FROM stdin;\néclair\n\\.\n"


def test_a_dump_goes_ahead_in_pieces_and_is_restored(instance: Instance, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "cakes.sql"
    file.write_text(DUMP)
    page.goto("/databases/new")
    page.get_by_label("Name", exact=True).fill("bakers")
    page.locator("main form[method=post] button[type=submit]").last.click()
    expect(page.locator("main")).to_contain_text("Ready")
    there = page.url.split("?")[0].rstrip("/")

    page.goto(f"{there}/backups")
    form = page.locator("form[data-uploads]")
    form.evaluate("form => (form.dataset.uploadsFrom = '0')")
    form.get_by_label("Dump").set_input_files(file)
    form.get_by_role("textbox", name="Type").fill("wrong")
    form.get_by_role("button", name="Upload and restore").click()
    expect(form).to_contain_text("Type “bakers” to confirm")
    form.get_by_role("textbox", name="Type").fill("bakers")  # the file is there already
    form.get_by_role("button", name="Upload and restore").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("dialog").get_by_role("button").last.click()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)

    page.goto(f"{there}/backups")  # one was made before the restore
    page.locator("table.backups a.title").first.click()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    assert Path(downloading.value.path()).read_bytes().startswith(b"PGDMP")


def test_what_is_no_dump_is_said_beside_the_file(instance: Instance, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "cakes.zip"
    file.write_bytes(b"PK\x03\x04")
    page.goto("/databases/new")
    page.get_by_label("Name", exact=True).fill("zippers")
    page.locator("main form[method=post] button[type=submit]").last.click()
    expect(page.locator("main")).to_contain_text("Ready")
    page.goto(f"{page.url.split('?')[0].rstrip('/')}/backups")
    form = page.locator("form[data-uploads]")
    form.evaluate("form => (form.dataset.uploadsFrom = '0')")
    form.get_by_label("Dump").set_input_files(file)
    form.get_by_role("button", name="Upload and restore").click()
    expect(form.get_by_role("status")).to_contain_text("a ZIP file")
