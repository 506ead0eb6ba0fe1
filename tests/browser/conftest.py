from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.instance import EMAIL, PASSWORD, Instance

# Playwright keeps an event loop in this thread; Django would then refuse every query that the tests make.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What htmx says when one leaves a page while it asks for a fresh part of it.
LEAVING = ("htmx:afterRequest,", "htmx:sendAbort,")
expect.set_options(timeout=30_000)  # milliseconds; test machines are shared and slow


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def page(instance: Instance, browser: Browser) -> Iterator[Page]:
    """A signed-in page. The test fails when the console has an error, a refused script or a refused style."""
    context = browser.new_context(base_url=instance.base_url, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(30_000)
    found: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "status of 422" in message.text:
            return  # Chromium counts a form that came back with errors as one
        if message.text.startswith(LEAVING):
            return
        if message.type == "error" or "Content Security Policy" in message.text:
            found.append(f"{message.location.get('url')}: {message.text}")

    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.goto("/auth/login")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    yield page
    context.close()
    assert found == []
