"""Nginx's configuration as text: pure functions, so that tests assert on what they return."""

from __future__ import annotations

import grp
import pwd
import re
from pathlib import Path

from infrastructure.routing import Route
from infrastructure.values import Hostname

TEMPLATES = Path(__file__).parent
SAFE = re.compile(r"[A-Za-z0-9 ._:/@+-]*")  # what may be put into a template: nothing that ends or opens a directive
UPSTREAM = re.compile(r"[0-9.]+:[0-9]+")
NOBODY_HOME = "127.0.0.1:9"  # the discard port: a slot in which nothing has run yet


def render(template: str, **values: object) -> str:
    """The template with ``{{name}}`` replaced; a value that could break out of its place is a ``ValueError``."""

    def value(match: re.Match[str]) -> str:
        text = str(values[match.group(1)])
        if not SAFE.fullmatch(text):
            raise ValueError(f"{match.group(1)} cannot stand in Nginx's configuration: {text[:80]!r}")
        return text

    return re.sub(r"\{\{(\w+)\}\}", value, (TEMPLATES / template).read_text())


def base_config(
    *, prefix: Path, run: Path, logs: Path, listen: str, token: str, user: str | None, workers: str = "auto"
) -> str:
    """The main file. ``user``: whom the workers run as, when the master is root."""
    text = render(
        "nginx.conf.template", prefix=prefix, run=run, logs=logs, listen=listen, token=token, workers=workers, user="@"
    )
    return text.replace("@\n", f"user {user} {_group(user)};\n" if user else "\n", 1)


def _group(user: str) -> str:
    """The account's own group: Nginx would look for one of the account's name, which ``nobody`` has not everywhere."""
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def site_config(route: Route, *, run: Path, listen: str) -> str:
    """One deployment's file: its edge server and its two slots. ``run`` is the deployment's own directory."""
    shared = {"id": int(route.deployment_id), "run": run, "request_timeout": int(route.request_timeout)}
    names = " ".join(Hostname(name) for name in route.hostnames)
    parts = [
        render("site.conf.template", listen=listen, hostnames=names, max_body_mb=int(route.max_body_mb), **shared)
    ]
    for slot, upstream in (("blue", route.blue_upstream), ("green", route.green_upstream)):
        address = upstream or NOBODY_HOME
        if not UPSTREAM.fullmatch(address):
            raise ValueError(f"Not an upstream: {address[:80]!r}")
        parts.append(render("slot.conf.template", slot=slot, upstream=address, **shared))
    return "\n".join(parts)


def generation_config(number: int) -> str:
    return f'location = /generation {{ default_type text/plain; return 200 "{int(number)}"; }}\n'
