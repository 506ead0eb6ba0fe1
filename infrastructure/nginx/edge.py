"""The server blocks that a deployment's visitors meet. Names with the same settings share one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from infrastructure import web_settings
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.rendering import Quoted, render
from infrastructure.nginx.tls import Listening, certificate_of, port_suffix
from infrastructure.routing import Host, Route
from infrastructure.values import Hostname

CRYPT = re.compile(r"[$A-Za-z0-9./,=+{}-]{4,200}")  # what crypt(3) makes, and {SSHA}
LONGEST_HSTS = 63_072_000  # two years
MOST_BODY_MB = 102_400


def edges(prefix: Prefix, route: Route, number: int, *, logs: Path, listening: Listening, outer_timeout: int) -> str:
    """``number`` is the deployment's, checked."""
    hosts = [_checked(host, listening.https and bool(route.certificate)) for host in route.hosts]
    by_name = {host.name: host for host in hosts}
    common = {"id": number, "conf": prefix.conf, "access_log": logs / "access.json"}
    certificate = certificate_of(prefix, route.certificate) if any(host.https for host in hosts) else ""
    plain_port, secure_port = port_suffix(listening.http_port, 80), port_suffix(listening.https_port, 443)

    def redirect(names: list[Host], to: str, *, https: bool) -> str:
        return render(
            "edge-redirect.conf.template",
            {
                "certificate": f"include {prefix.tls};\n{certificate}" if https else "",
                "headers": _hsts(names[0]) if https else "",
                "goes": f"return 301 {to}$request_uri;",
            },
            listen="listen-https" if https else "listen-http",
            names=_names(names),
            **common,
        )

    def to_primary(host: Host, *, https: bool) -> str:
        target = by_name.get(host.redirect_to)
        if not target or not target.https:
            return f"http://{host.redirect_to}{plain_port if https else '$bakery_host_port'}"
        return f"https://{host.redirect_to}{secure_port}"

    blocks = []
    moved, serving = [host for host in hosts if host.redirect_to], [host for host in hosts if not host.redirect_to]
    for https in (False, True):
        here = [host for host in moved if host.https or not https]
        blocks += [redirect(group, to_primary(group[0], https=https), https=https) for group in _alike(here, _moves)]
    if secure := [host for host in serving if host.https]:
        blocks.append(redirect(secure, f"https://$host{secure_port}", https=False))
    for group in _alike(serving, lambda host: replace(host, name="")):
        blocks.append(_serving(prefix, route, group, common, certificate, outer_timeout))
    if listening.https and (plain := [host for host in hosts if not host.https]):
        blocks.append(render("edge-refused.conf.template", conf=prefix.conf, names=_names(plain)))
    return "\n".join(blocks)


def _serving(
    prefix: Prefix,
    route: Route,
    group: list[Host],
    common: dict[str, object],
    certificate: str,
    outer_timeout: int,
) -> str:
    host, run = group[0], prefix.of(route.deployment_id)
    hsts = _hsts(host)
    secure = f"include {prefix.listen_https};\nlisten unix:{prefix.edge_socket};\n"
    headers = web_settings.headers(dict(host.headers))
    hidden = [*headers, *(["Strict-Transport-Security"] if hsts else [])]
    return render(
        "edge.conf.template",
        {
            "listen": secure if host.https else f"include {prefix.listen};",
            "certificate": f"include {prefix.tls};\n{certificate}" if host.https else "",
            "access": _access(prefix, route.deployment_id, host),
            # What is set for the name stands in place of what the application says, not beside it.
            "hidden": "".join(f"proxy_hide_header {name};\n" for name in hidden),
            "headers": hsts + "".join(_header(name, value) for name, value in headers.items()),
            "hsts": hsts,
        },
        names=_names(group),
        run=run,
        max_body_mb=_body(host.max_body_mb or route.max_body_mb),
        unavailable="maintenance" if host.maintenance else "503",
        scheme="https" if host.https else "http",
        outer_timeout=outer_timeout,
        **common,
    )


def _access(prefix: Prefix, number: int, host: Host) -> str:
    """Who may come in. Bakery itself may: it looks through this very block whether a release answers."""
    lines = []
    if host.maintenance:
        lines.append("if ($bakery_visitor) { return 503; }")
    if host.allowed:
        lines += [
            "allow unix:;",
            *(f"allow {network};" for network in web_settings.networks(host.allowed)),
            "deny all;",
        ]
    if host.auth:
        file = password_file(prefix, number, host.auth)
        # The application is not told the password of the site's door.
        lines += ["auth_basic $bakery_realm;", f"auth_basic_user_file {file};", 'proxy_set_header Authorization "";']
    return "".join(f"{line}\n" for line in lines)


def password_file(prefix: Prefix, number: int, auth: tuple[str, str]) -> Path:
    """Where what Nginx asks for a password lies; another password is another file."""
    return prefix.of(number) / f"password-{hashlib.sha256(password_line(auth).encode()).hexdigest()[:32]}"


def password_line(auth: tuple[str, str]) -> str:
    user, crypt = auth
    if not CRYPT.fullmatch(crypt):
        raise ValueError("This is not usable as the hash of a password.")
    return f"{web_settings.user_name(user)}:{crypt}\n"


def passwords(prefix: Prefix, route: Route) -> dict[Path, str]:
    """The files that the route's edges name."""
    return {
        password_file(prefix, route.deployment_id, host.auth): password_line(host.auth)
        for host in route.hosts
        if host.auth
    }


def name_to_ask(route: Route) -> str:
    """A name that is served, as a visitor may ask for it; "": there is none."""
    serving = [host.name for host in route.hosts if not host.redirect_to]
    name = next((name for name in serving if not name.startswith("*.")), serving[0] if serving else "")
    return f"bakery-asks{name[1:]}" if name.startswith("*.") else name


def _checked(host: Host, https: bool) -> Host:
    wildcard = "*." if host.name.startswith("*.") else ""
    return replace(
        host,
        name=wildcard + Hostname(host.name.removeprefix("*.")),
        redirect_to=str(Hostname(host.redirect_to)) if host.redirect_to else "",
        https=host.https and https,
    )


def _names(hosts: Iterable[Host]) -> str:
    return " ".join(host.name for host in hosts)


def _moves(host: Host) -> object:
    return host.redirect_to, host.https and host.hsts_seconds


def _alike(hosts: Iterable[Host], key: Callable[[Host], object]) -> list[list[Host]]:
    groups: dict[object, list[Host]] = {}
    for host in hosts:
        groups.setdefault(key(host), []).append(host)
    return list(groups.values())


def _hsts(host: Host) -> str:
    if not (host.https and host.hsts_seconds):
        return ""
    if not 1 <= int(host.hsts_seconds) <= LONGEST_HSTS:
        raise ValueError(f"{host.hsts_seconds} is not within 1 and {LONGEST_HSTS}.")
    return _header("Strict-Transport-Security", f"max-age={int(host.hsts_seconds)}")


def _header(name: str, value: str) -> str:
    return render("header.conf.template", name=name, value=Quoted(value))


def _body(megabytes: int) -> int:
    if not 1 <= int(megabytes) <= MOST_BODY_MB:
        raise ValueError(f"{megabytes} is not within 1 and {MOST_BODY_MB}.")
    return int(megabytes)
