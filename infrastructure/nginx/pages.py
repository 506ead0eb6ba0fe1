"""Bakery's own pages, in place of a site that cannot answer. Plain files: a new state needs no reload."""

from __future__ import annotations

from html import escape

# key -> (heading, what a visitor is told)
STATES = {
    "never": ("Nothing here yet", "This site has not been deployed yet."),
    "deploying": ("Back in a moment", "A new version is being put in place."),
    "stopped": ("Stopped", "This site was stopped by its owner."),
    "failed": ("Nothing here yet", "The first deploy did not succeed."),
    "crashed": ("Not answering", "The application ended and could not be kept running."),
    "unavailable": ("Not answering", "The application does not answer right now. Please try again in a moment."),
}
UNKNOWN = ("Unknown site", "No application on this server has this name.")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{heading}</title><style>
:root{{color-scheme:light dark}}
body{{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif;
background:light-dark(#faf9f7,#16151a);color:light-dark(#26231f,#ece9e4)}}
main{{max-width:26rem;padding:2rem;text-align:center}}h1{{font-size:1.5rem;margin:0 0 .5rem}}
p{{margin:0;opacity:.75}}small{{display:block;margin-top:2rem;opacity:.55}}
</style></head><body><main><h1>{heading}</h1><p>{text}</p><small>{name}</small></main></body></html>
"""


def state_page(name: str, state: str) -> str:
    heading, text = STATES[state]
    return PAGE.format(heading=escape(heading), text=escape(text), name=escape(name))


def unknown_page() -> str:
    return PAGE.format(heading=UNKNOWN[0], text=UNKNOWN[1], name="Bakery")
