"""Bakery's own pages, in place of a site that cannot answer. Plain files: a new state needs no reload.

Visitors read them: nothing but the deployment's name and what it is doing stands in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

STATUSES = (502, 503, 504)


@dataclass(frozen=True)
class State:
    heading: str
    text: str
    refresh: bool = False  # it will pass: the page looks again by itself


STATES = {
    "never": State("Nothing here yet", "This site has not been deployed yet."),
    "deploying": State("Back in a moment", "A new version is being put in place.", refresh=True),
    "starting": State("Back in a moment", "The application is starting.", refresh=True),
    "stopped": State("Stopped", "This site was stopped by the people who run it."),
    "failed": State("Nothing here yet", "The last deploy did not succeed, and there is no version to show."),
    "crashed": State("Not answering", "The application ended and could not be kept running."),
    "unavailable": State(
        "Not answering", "The application does not answer right now. Try again in a moment.", refresh=True
    ),
    "unknown": State("Not answering", "It is not known what this application is doing. Try again in a moment."),
}
TOO_SLOW = State("No answer in time", "The application is running, but took too long over this request.")
NO_SUCH_SITE = State("Unknown site", "No deployment on this server has this name.")

MAINTENANCE = State("Under maintenance", "This site is being worked on, and will be back.")
NOT_ALLOWED = State("Not open to you", "This site answers to some networks alone, and you come from another one.")

PANEL_AWAY = State(
    "Bakery is being restarted",
    "Bakery itself, which manages the sites on this server, is not answering. The sites are not affected.",
    refresh=True,
)
PANEL_SLOW = State("No answer in time", "Bakery is running, but took too long over this request.")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><meta name="color-scheme" content="light dark">{refresh}
<title>{heading}</title><style>
:root{{--ground:#faf9f7;--ink:#26231f;--faint:#6b665e;--rule:#e2ded6}}
@media (prefers-color-scheme:dark){{:root{{--ground:#16151a;--ink:#ece9e4;--faint:#9c978e;--rule:#34323a}}}}
body{{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}}
main{{max-width:26rem;padding:2rem;text-align:center}}h1{{font-size:1.5rem;margin:0 0 .5rem}}p{{margin:0}}
footer{{margin-top:2rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--faint);font-size:.875rem;
overflow-wrap:anywhere}}
</style></head><body><main><h1>{heading}</h1><p>{text}</p><footer>{name} · {status}</footer></main></body></html>
"""


def state_page(name: str, state: str, status: int) -> str:
    """What a visitor reads with this status while the deployment is in ``state``, a key of ``STATES``."""
    shown = STATES[state]
    if status == 504 and state in ("unavailable", "unknown"):
        shown = TOO_SLOW
    return _page(shown, name, status)


def of_no_site() -> dict[str, str]:
    """The pages that belong to no deployment, by the name of their file."""
    return {
        "unknown.html": _page(NO_SUCH_SITE, "Bakery", 404),
        "panel.html": _page(PANEL_AWAY, "Bakery", 503),
        "panel-slow.html": _page(PANEL_SLOW, "Bakery", 504),
    }


def of_settings(name: str) -> dict[str, str]:
    """What a deployment's own settings may ask for, by the name of the file."""
    return {"maintenance.html": _page(MAINTENANCE, name, 503), "403.html": _page(NOT_ALLOWED, name, 403)}


def _page(state: State, name: str, status: int) -> str:
    refresh = '<meta http-equiv="refresh" content="5">' if state.refresh else ""
    return PAGE.format(
        heading=escape(state.heading), text=escape(state.text), name=escape(name), status=status, refresh=refresh
    )
