"""The pages in Chromium: signing in, creating, what refreshes by itself, a phone's width, a keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.instance import EMAIL, PASSWORD, Instance

PAGES = (
    "/",
    "/deployments",
    "/deployments/new",
    "/domains",
    "/databases",
    "/databases/new",
    "/databases/register",
    "/activity",
    "/settings/domain",
    "/settings/dns-providers",
    "/settings/backup-storage",
    "/auth/password",
)
TABS = ("", "/releases", "/logs", "/environment", "/domains", "/databases", "/settings")
NAME = "browser-shop"


@pytest.fixture(scope="module")
def shop(instance: Instance) -> int:
    """A deployment whose repository does not exist: nothing of it ever runs. Its id."""
    address = "https://repository.invalid/shop.git"
    found = instance.manage_json("create_deployment", NAME, "--repo", address, "--env", "TOKEN=very-secret-value")
    assert isinstance(found, dict)
    return int(found["id"])


def test_a_wrong_password_is_said_and_the_right_one_leads_on(instance: Instance, browser: Browser) -> None:
    context = browser.new_context(base_url=instance.base_url)
    page = context.new_page()
    page.goto("/activity")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill("not it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not fit together")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Activity", exact=True)).to_be_visible()
    page.locator("summary.avatar").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()


def test_a_deployment_made_at_the_shell_appears_without_reloading(instance: Instance, page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    page.evaluate("window.sameDocument = true")
    instance.manage("create_deployment", "appears", "--repo", "https://repository.invalid/a.git")
    expect(page.locator("#sidebar-deployments")).to_contain_text("appears")
    expect(page.locator("#deployments")).to_contain_text("appears")
    instance.manage("delete_deployment", "appears", "--yes")
    expect(page.locator("#deployments")).not_to_contain_text("appears")
    assert page.evaluate("window.sameDocument")


def test_a_page_refreshes_itself_when_there_is_no_websocket(instance: Instance, page: Page) -> None:
    page.route_web_socket(re.compile("/ws/events/"), lambda socket: socket.close())
    page.goto("/")
    expect(page.locator("#connection")).to_have_attribute("data-state", "polling")
    page.evaluate("window.sameDocument = true")
    instance.manage("create_deployment", "polled", "--repo", "https://repository.invalid/a.git")
    expect(page.locator("#deployments")).to_contain_text("polled")
    instance.manage("delete_deployment", "polled", "--yes")
    expect(page.locator("#deployments")).not_to_contain_text("polled")
    assert page.evaluate("window.sameDocument")


def test_creating_a_deployment_keeps_what_was_typed_and_a_failed_deploy_is_explained(
    instance: Instance, page: Page
) -> None:
    page.goto("/deployments/new")
    page.get_by_label("Name", exact=True).fill("Not A Name")
    page.get_by_role("textbox", name="Repository").fill("https://repository.invalid/shop.git")
    page.get_by_label("Environment variables").fill("API_KEY=123\nLEVEL=debug")
    page.get_by_role("button", name="Create and deploy").click()
    expect(page.locator("#id_name_error")).to_contain_text("small letters")
    expect(page.get_by_label("Environment variables")).to_have_value("API_KEY=123\nLEVEL=debug")
    page.get_by_label("Name", exact=True).fill("made-here")
    page.get_by_role("button", name="Create and deploy").click()
    expect(page.get_by_role("heading", name="made-here", exact=True)).to_be_visible()
    expect(page.locator("#failure")).to_contain_text("v1 failed.", timeout=120_000)
    expect(page.locator("#head")).to_contain_text("First deploy failed")
    # Not clicked: the part of the page that it is in may be replaced between press and release.
    page.goto(str(page.locator("#failure").get_by_role("link", name="Build log").get_attribute("href")))
    expect(page.get_by_role("heading", name="Release v1")).to_be_visible()
    page.goto("/")
    instance.manage("delete_deployment", "made-here", "--yes")


def test_a_page_says_when_what_it_shows_was_deleted(instance: Instance, browser: Browser, page: Page) -> None:
    made = instance.manage_json("create_deployment", "goes-away", "--repo", "https://repository.invalid/a.git")
    assert isinstance(made, dict)
    # A page of its own: Chromium counts the 404 that tells it as an error.
    other = browser.new_context(base_url=instance.base_url, storage_state=page.context.storage_state()).new_page()
    other.goto(f"/deployments/{made['id']}")
    expect(other.locator("#connection")).to_contain_text("Live", timeout=60_000)
    instance.manage("delete_deployment", "goes-away", "--yes")
    expect(other.get_by_text("What this page shows has been deleted.")).to_be_visible(timeout=60_000)
    expect(other.locator("#sidebar-deployments")).not_to_contain_text("goes-away")
    other.context.close()


def test_who_deletes_a_deployment_is_led_to_the_list(instance: Instance, browser: Browser, page: Page) -> None:
    made = instance.manage_json("create_deployment", "unwanted", "--repo", "https://repository.invalid/a.git")
    assert isinstance(made, dict)
    # A page of its own here as well: a part of it may be asked for once more, and answer 404.
    other = browser.new_context(base_url=instance.base_url, storage_state=page.context.storage_state()).new_page()
    other.goto(f"/deployments/{made['id']}/settings")
    other.get_by_label("Type unwanted to confirm").fill("unwanted")
    other.get_by_role("button", name="Delete unwanted").click()
    expect(other.get_by_text("Deleting unwanted and everything that was made for it.")).to_be_visible()
    expect(other.get_by_role("heading", name="Deployments", exact=True)).to_be_visible()
    expect(other.locator("#sidebar-deployments")).not_to_contain_text("unwanted", timeout=60_000)
    other.context.close()


def test_a_value_is_revealed_hidden_and_removed_after_a_question(page: Page, shop: int) -> None:
    page.goto(f"/deployments/{shop}/environment")
    expect(page.get_by_text("very-secret-value")).to_have_count(0)
    page.get_by_role("button", name="Reveal TOKEN").click()
    expect(page.get_by_text("very-secret-value")).to_be_visible()
    page.get_by_role("button", name="Hide TOKEN").click()
    expect(page.get_by_text("very-secret-value")).to_have_count(0)
    page.get_by_label("Name", exact=True).fill("SHORT_LIVED")
    page.get_by_label("Value", exact=True).fill("x")
    page.get_by_role("button", name="Save variable").click()
    page.get_by_role("button", name="Remove SHORT_LIVED").click()
    dialog = page.get_by_role("dialog", name="Remove SHORT_LIVED?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Remove SHORT_LIVED")).to_be_visible()
    page.get_by_role("button", name="Remove SHORT_LIVED").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status").get_by_text("SHORT_LIVED is removed")).to_be_visible()


def test_the_chosen_theme_stays(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.goto("/activity")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_everything_is_reached_with_the_keyboard_and_seen_to_be(page: Page, shop: int) -> None:
    page.goto(f"/deployments/{shop}")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.locator("summary.avatar").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Change password")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Change password")).to_be_hidden()
    page.get_by_role("button", name="Deploy another branch, tag or commit").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Branch, tag or full commit SHA")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Branch, tag or full commit SHA")).to_be_hidden()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "whoever uses the keyboard sees where they are"


@pytest.mark.parametrize("width", [390, 1440])
def test_no_page_scrolls_sideways_and_every_field_and_button_has_a_name(page: Page, shop: int, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for address in (*PAGES, *(f"/deployments/{shop}{tab}" for tab in TABS)):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert page.locator("h1").count() == 1, address
        assert page.evaluate(NAMELESS) == [], address
        assert page.evaluate(SKIPPED_HEADINGS) == [], address
        assert page.evaluate(DOUBLE_IDS) == [], address


def test_the_navigation_of_a_phone_opens_and_closes(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    link = page.locator("#sidebar").get_by_role("link", name="Activity")
    expect(link).to_be_hidden()
    page.get_by_role("button", name="Navigation").click()
    expect(link).to_be_visible()
    page.keyboard.press("Escape")
    expect(link).to_be_hidden()


# What a screen reader would have no word for.
NAMELESS = """
[...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a[href], summary, dialog[open]')]
  .filter(e => e.checkVisibility())
  .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby')
                 || e.textContent.trim() || e.querySelector('img[alt]:not([alt=""])')))
  .map(e => e.outerHTML.slice(0, 120))
"""
DOUBLE_IDS = "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i)"
SKIPPED_HEADINGS = """
[...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))
  .filter((level, i, all) => i > 0 && level > all[i - 1] + 1)
"""
