"""The log viewer in Chromium, with 300,000 lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Browser, Page, expect

from deployments.logs.writer import LogWriter
from deployments.models import LogStream
from tests.integration.log_makers import fill, make_stream, make_user
from tests.integration.waiting import until
from tests.integration.web_process import Web, daphne

pytestmark = pytest.mark.django_db(transaction=True)
MOST_ROWS = 220


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Web]:
    with django_db_blocker.unblock(), daphne(tmp_path_factory.mktemp("web"), pages=True) as web:
        yield web


@pytest.fixture
def page(browser: Browser, web: Web) -> Iterator[Page]:
    """A signed-in person's page; whatever the browser complains about fails the test."""
    name, _, value = web.cookie_of(make_user()).partition("=")
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.add_cookies([{"name": name, "value": value, "url": web.url}])
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=web.url)
    page = context.new_page()
    page.complaints = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.complaints.append(str(error)))  # type: ignore[attr-defined]
    page.on(
        "console",
        lambda said: page.complaints.append(said.text) if "Content Security" in said.text else None,  # type: ignore[attr-defined]
    )
    yield page
    assert page.complaints == []  # type: ignore[attr-defined]
    context.close()


def open_log(page: Page, web: Web, stream: LogStream, place: str = "") -> None:
    page.goto(f"{web.url}/streams/{stream.pk}/{place}")


def row(page: Page, line: int) -> Any:
    """The row of a line, by its number from 0, as the log counts."""
    return page.locator(f".log-row[data-line='{line}']")


def long_log() -> LogStream:
    stream = make_stream()
    fill(stream, 300_000)
    return stream


def test_300_000_lines_open_at_the_end_and_scroll_with_200_rows(page: Page, web: Web) -> None:
    stream = long_log()
    open_log(page, web, stream)
    expect(row(page, 299_999)).to_be_in_viewport()
    assert "line 299999" in row(page, 299_999).inner_text()
    for part in (0.5, 0.25, 0.9, 0.0):
        page.evaluate(
            "part => { const s = document.querySelector('.log-scroller'); s.scrollTop = s.scrollHeight * part; }", part
        )
        wanted = int(300_000 * part)
        expect(row(page, wanted)).to_contain_text(f"line {wanted:06d}")
        assert page.locator(".log-row").count() <= MOST_ROWS
    page.locator(".log-scroller").focus()
    page.keyboard.press("End")
    expect(row(page, 299_999)).to_be_in_viewport()


def test_new_lines_are_followed_at_the_end_and_counted_elsewhere(page: Page, web: Web) -> None:
    stream = make_stream()
    fill(stream, 1000)
    open_log(page, web, stream)
    expect(page.locator(".log-status")).to_have_text("Live")
    with LogWriter(stream) as log:
        log.write(b"\x1b[1;32mfresh\x1b[0m and \x1b[38;2;10;20;30mtrue colour\x1b[0m\n")
        expect(row(page, 1000)).to_be_in_viewport()
        expect(row(page, 1000).locator(".ansi-green-fg.ansi-bold")).to_have_text("fresh")
        page.locator(".log-scroller").hover()
        page.mouse.wheel(0, -2000)
        expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
        log.write(b"one\ntwo\n")
        expect(page.get_by_role("button", name="2 new lines")).to_be_visible()
        page.get_by_role("button", name="2 new lines").click()
        expect(row(page, 1002)).to_be_in_viewport()
        log.close()
    expect(page.locator(".log-status")).to_have_text("The log has ended")


def test_a_search_finds_lines_that_are_not_on_the_page_and_steps_through_them(page: Page, web: Web) -> None:
    stream = long_log()
    open_log(page, web, stream)
    expect(row(page, 299_999)).to_be_in_viewport()  # before that nobody listens to the keyboard
    page.keyboard.press("Tab")
    page.locator(".log-scroller").focus()
    page.keyboard.press("/")
    page.keyboard.type("LINE 12345")
    expect(page.locator(".log-found")).to_have_text("1 of 10")
    expect(row(page, 123_450)).to_be_in_viewport()
    expect(row(page, 123_450).locator("mark")).to_have_text("line 12345")
    page.keyboard.press("Enter")
    expect(row(page, 123_451)).to_have_attribute("aria-current", "true")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(row(page, 123_459)).to_have_attribute("aria-current", "true")
    expect(page.locator(".log-found")).to_have_text("10 of 10")


def test_a_link_to_a_line_opens_there(page: Page, web: Web) -> None:
    stream = long_log()
    open_log(page, web, stream, "#L150001")
    expect(row(page, 150_000)).to_be_in_viewport()
    expect(row(page, 150_000)).to_have_attribute("aria-current", "true")
    row(page, 150_003).locator(".log-number").click()
    expect(page).to_have_url(re.compile(r"#L150004$"))
    expect(row(page, 150_003)).to_have_attribute("aria-current", "true")


def test_long_lines_wrap_times_show_and_text_is_copied(page: Page, web: Web) -> None:
    stream = make_stream()
    with LogWriter(stream) as log:
        for number in range(2000):
            log.write(f"{number} {'word ' * (100 if number % 3 == 0 else 1)}\n".encode())
    open_log(page, web, stream)
    page.get_by_role("button", name="Wrap").click()
    expect(row(page, 1999)).to_be_in_viewport()
    tall = row(page, 1998)
    until(lambda: (tall.bounding_box() or {"height": 0})["height"] > 30)
    page.evaluate("document.querySelector('.log-scroller').scrollTop = 21000")
    until(lambda: rows_follow_each_other(page))
    page.get_by_role("button", name="Times").click()
    expect(page.locator(".log-time").first).to_be_visible()
    page.get_by_role("button", name="Copy").click()
    expect(page.locator(".log-found")).to_have_text("2,000 lines copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("0 word word")


def rows_follow_each_other(page: Page) -> bool:
    """Rows stand one under the other, and the place that is looked at is covered."""
    covered: bool = page.evaluate(
        """() => {
          const frame = document.querySelector('.log-scroller').getBoundingClientRect();
          const rows = [...document.querySelectorAll('.log-row')].map((row) => row.getBoundingClientRect());
          const lines = [...document.querySelectorAll('.log-row')].map((row) => Number(row.dataset.line));
          return lines.every((line, index) => index === 0 || line === lines[index - 1] + 1)
            && rows[0].top <= frame.top && rows.at(-1).bottom >= frame.bottom;
        }"""
    )
    return covered


def test_a_page_without_websockets_refreshes_itself(page: Page, web: Web) -> None:
    page.add_init_script(
        """window.WebSocket = class extends EventTarget {
          constructor() {
            super();
            setTimeout(() => { this.onclose?.({}); this.dispatchEvent(new CloseEvent("close")); });
          }
          close() {}
        }"""
    )
    stream = make_stream()
    fill(stream, 10)
    open_log(page, web, stream)
    expect(page.locator(".log-status")).to_have_text("Refreshed every 2 s")
    fill(stream, 5, start=10)
    expect(row(page, 14)).to_be_in_viewport()


def test_the_page_resumes_after_the_connection_broke(page: Page, web: Web) -> None:
    page.add_init_script(
        """window.sockets = [];
        window.WebSocket = class extends WebSocket {
          constructor(...given) { super(...given); window.sockets.push(this); }
        }"""
    )
    stream = make_stream()
    fill(stream, 300)
    open_log(page, web, stream)
    expect(page.locator(".log-status")).to_have_text("Live")
    for round_number in range(3):
        page.evaluate("window.sockets.forEach((socket) => socket.close())")
        fill(stream, 50, start=300 + 50 * round_number)
        expect(page.locator(".log-status")).to_have_text("Live")
        expect(row(page, 300 + 50 * round_number + 49)).to_be_in_viewport()
    shown = page.eval_on_selector_all(
        ".log-row",
        "rows => rows.map((row) => [row.dataset.line, row.querySelector('.log-text').textContent.slice(5, 11)])",
    )
    numbers = [int(line) for line, _ in shown]
    assert numbers == [int(text) for _, text in shown] == list(range(numbers[0], 450))


def test_who_was_signed_out_elsewhere_is_told_so(page: Page, web: Web) -> None:
    stream = make_stream()
    fill(stream, 3)
    open_log(page, web, stream)
    expect(page.locator(".log-status")).to_have_text("Live")
    Session.objects.all().delete()
    # Whichever notices first: the log's own connection, or the page, which then leads to the way back in.
    said = page.get_by_text("You may not read this log any more. Sign in again.")
    expect(said.or_(page.get_by_role("heading", name="Sign in"))).to_be_visible(timeout=60_000)


def test_a_viewer_that_was_taken_off_the_page_ends_its_connection(page: Page, web: Web) -> None:
    page.add_init_script(
        """window.sockets = [];
        window.WebSocket = class extends WebSocket {
          constructor(...given) {
            super(...given);
            if (String(given[0]).includes("streams")) window.sockets.push(this);
          }
        }"""
    )
    stream = make_stream()
    fill(stream, 3)
    open_log(page, web, stream)
    expect(page.locator(".log-status")).to_have_text("Live")
    page.evaluate(
        "document.querySelector('.log-viewer').remove(); document.dispatchEvent(new CustomEvent('htmx:afterSettle'))"
    )
    page.wait_for_function("window.sockets.length === 1 && window.sockets[0].readyState === WebSocket.CLOSED")
