"""Nginx's configuration as text: pure functions, so that tests assert on what they return."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path

from infrastructure.nginx.edge import edges
from infrastructure.nginx.prefix import SLOTS, Prefix
from infrastructure.nginx.rendering import HEADING, render
from infrastructure.nginx.tls import Listening
from infrastructure.routing import Route
from infrastructure.values import port as parsed_port

OPEN_FILES = 65536
SHUTDOWN_SECONDS = 600
BACKLOG = 4096  # a full one makes connect(2) on a unix socket fail at once, instead of waiting
# A table of Nginx's that every site adds to, and the size that Bakery gives it where nobody else gave it one. At the
# default of the first, 64, a single long host name keeps the whole configuration from loading.
HASH_SIZES = {
    "server_names_hash_bucket_size": 256,
    "server_names_hash_max_size": 16384,
    "variables_hash_max_size": 4096,
}


def base_config(
    prefix: Prefix,
    *,
    logs: Path,
    user: str = "",
    workers: str = "auto",
    files: int = OPEN_FILES,
    connections: int = 8192,
    shutdown_seconds: int = SHUTDOWN_SECONDS,
) -> str:
    """The main file of a private instance. ``user``: account and group of the workers, when the master is root."""
    directive = render("user.conf.template", user=user) if user else ""
    main = render(
        "nginx.conf.template",
        root=prefix.root,
        conf=prefix.conf,
        logs=logs,
        workers=workers,
        files=int(files),
        connections=int(connections),
        shutdown_seconds=int(shutdown_seconds),
    )
    return f"{HEADING}{directive}{main}{http_config(prefix)}}}\n"


def http_config(prefix: Prefix, sizes: Iterable[str] = tuple(HASH_SIZES)) -> str:
    """Bakery's part of the http level, with those of ``HASH_SIZES`` that nobody else has set."""
    hashes = "".join(f"{name} {HASH_SIZES[name]};\n" for name in sizes)
    shared = render("http.conf.template", root=prefix.root, conf=prefix.conf, backlog=BACKLOG)
    return f"{HEADING}{hashes}{shared}"


def settings_config() -> str:
    return HEADING + render("settings.conf.template")


def listen_config(prefix: Prefix, *, http_port: int, ipv6: bool) -> str:
    """Where every edge server listens: visitors' addresses, and Bakery's own socket."""
    addresses = [str(parsed_port(http_port))]
    if ipv6:
        addresses.append(f"[::]:{parsed_port(http_port)}")
    addresses.append(f"unix:{prefix.edge_socket}")
    return HEADING + "".join(f"listen {address};\n" for address in addresses)


def generation_config(number: int) -> str:
    return f'location = /generation {{ return 200 "{int(number)}"; }}\n'


def generation_in(text: str) -> int:
    match = re.search(r'return 200 "([0-9]+)"', text)
    return int(match[1]) if match else 0


def site_config(prefix: Prefix, route: Route, *, logs: Path, listening: Listening) -> str:
    """One deployment's file: its edges and its two slots. Where the slots' apps listen does not stand in it, nor what
    its certificate is. Everything in ``route`` is parsed once more here: a value that is none of its kind is a
    ``ValueError`` and reaches no file."""
    number = deployment_id(route.deployment_id)
    timeout = _within(route.request_timeout, 1, 86400)
    run = prefix.of(number)
    _within(route.max_body_mb, 1, 102_400)
    # The slot gives up first: it knows which release was too slow.
    parts = [HEADING, edges(prefix, route, number, logs=logs, listening=listening, outer_timeout=timeout + 5)]
    slots = (
        render(
            "slot.conf.template",
            id=number,
            run=run,
            conf=prefix.conf,
            slot=slot,
            timeout=timeout,
            backlog=BACKLOG,
        )
        for slot in SLOTS
    )
    return "\n".join([*parts, *slots])


def pools_config(route: Route) -> str:
    """The connections that Nginx keeps open to the slots' apps. An address that is not among the pools of the
    configuration that runs is reached as well, by a connection per request: so this file may wait for a reload."""
    number = deployment_id(route.deployment_id)
    known = {address: slot for slot in SLOTS if (address := upstream_of(route, slot))}
    pools = [render("pool.conf.template", id=number, slot=slot, address=address) for address, slot in known.items()]
    rows = "".join(f"    {address} bakery_{number}_{slot};\n" for address, slot in known.items())
    table = f"map $bakery_address_now $bakery_{number}_app {{\n    default $bakery_address_now;\n{rows}}}\n"
    return "\n".join([HEADING, *pools, table])


def upstream_of(route: Route, slot: str) -> str:
    """``address:port`` of the slot's app, parsed; "" when nothing has run there yet."""
    text = {"blue": route.blue_upstream, "green": route.green_upstream}[slot]
    return _upstream(text) if text else ""


def deployment_id(number: int) -> int:
    return _within(number, 1, 9_999_999)


def _within(number: int, low: int, high: int) -> int:
    value = int(number)
    if not low <= value <= high:
        raise ValueError(f"{value} is not within {low} and {high}.")
    return value


def _upstream(text: str) -> str:
    """``address:port`` with a literal IPv4 address: a name would be looked up once, and then for ever."""
    address, _, number = text.rpartition(":")
    try:
        return f"{ipaddress.IPv4Address(address)}:{parsed_port(number)}"
    except ValueError:
        raise ValueError(f"Not an upstream: {text[:80]!r}") from None
