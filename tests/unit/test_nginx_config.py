from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.nginx import pages
from infrastructure.nginx.candidate import write_candidate
from infrastructure.nginx.config import (
    base_config,
    generation_config,
    generation_in,
    listen_config,
    pools_config,
    settings_config,
    site_config,
)
from infrastructure.nginx.directives import in_text
from infrastructure.nginx.edge import name_to_ask
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.tls import Listening, https_files
from infrastructure.routing import Host, Route

PREFIX = Prefix(Path("/data/nginx"))
LOGS = Path("/data/logs")
REFUSAL = "usable|cannot stand|not within|Not an upstream"
ROUTE = Route(7, "shop", (Host("shop.localhost"),), "127.0.0.1:20000", "127.0.0.1:20001")
HOSTILE = [
    "a;b",
    "a b",
    "a\nb",
    "a}b",
    "a{b",
    "$(id)",
    "a'b",
    'a"b',
    "a\0b",
    "../etc",
    "%",
    "#",
    "a|b",
    "a\\b",
    "-a",
    "~^.*$",
    "*",
]


LISTENING = Listening(8080, 8443, (1, 22, 1))


def site(route: Route) -> str:
    return site_config(PREFIX, route, logs=LOGS, listening=LISTENING)


def files(route: Route) -> str:
    return site(route) + pools_config(route)


def directives(text: str, name: str) -> list[str]:
    return re.findall(rf"^\s*{name} (.+);$", text, re.MULTILINE)


def test_visitors_are_sent_to_the_link_and_each_slot_to_its_own_upstream() -> None:
    text = site(ROUTE)
    assert set(directives(text, "server_name")) == {"shop.localhost"}
    assert directives(text, "proxy_pass") == [
        "http://unix:/data/nginx/run/7/live.sock:",
        "http://$bakery_app",
        "http://$bakery_app",
    ]
    assert directives(text, "listen") == [
        "unix:/data/nginx/run/7/blue.sock backlog=4096",
        "unix:/data/nginx/run/7/green.sock backlog=4096",
    ]


def test_where_the_apps_listen_stands_in_a_file_that_may_wait_for_a_reload() -> None:
    text = pools_config(ROUTE)
    assert directives(text, "server") == ["127.0.0.1:20000", "127.0.0.1:20001"]
    assert directives(text, "127.0.0.1:20000") == ["bakery_7_blue"]
    assert directives(text, "127.0.0.1:20001") == ["bakery_7_green"]
    assert site(ROUTE) == site(replace(ROUTE, blue_upstream="10.207.0.2:3000"))


def test_a_slot_in_which_nothing_has_run_has_no_pool() -> None:
    assert "bakery_7_green" not in pools_config(replace(ROUTE, green_upstream=""))


def test_a_deployment_without_host_names_has_no_edge() -> None:
    assert "server_name" not in site(replace(ROUTE, hosts=()))


def test_time_and_body_limits_are_the_deployments_own() -> None:
    text = site(replace(ROUTE, request_timeout=90, max_body_mb=5))
    assert directives(text, "proxy_read_timeout") == ["95s", "90s", "90s"]
    assert directives(text, "client_max_body_size") == ["5m", "0", "0"]


@pytest.mark.parametrize("bad", HOSTILE)
@pytest.mark.parametrize("field", ["hosts", "blue_upstream", "green_upstream"])
def test_a_hostile_value_is_refused(field: str, bad: str) -> None:
    with pytest.raises(ValueError, match=REFUSAL):
        files(replace(ROUTE, **{field: (Host(bad),) if field == "hosts" else f"{bad}:80"}))


@pytest.mark.parametrize(
    "upstream", ["localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "unix:/run/x", ":80"]
)
def test_an_upstream_is_a_literal_address_with_a_port(upstream: str) -> None:
    with pytest.raises(ValueError, match=REFUSAL):
        files(replace(ROUTE, blue_upstream=upstream))


@pytest.mark.parametrize(
    "changes", [{"deployment_id": 0}, {"deployment_id": -1}, {"request_timeout": 0}, {"max_body_mb": 0}]
)
def test_numbers_stay_within_their_bounds(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=REFUSAL):
        site(replace(ROUTE, **changes))


@given(st.text(max_size=40))
def test_no_host_name_adds_a_directive(text: str) -> None:
    try:
        rendered = site(replace(ROUTE, hosts=(Host(text),)))
    except ValueError:
        return
    plain = site(ROUTE)
    assert [rendered.count(sign) for sign in ";{}\n#'\""] == [plain.count(sign) for sign in ";{}\n#'\""]


@given(st.text(max_size=40))
def test_the_name_of_a_deployment_reaches_no_configuration(text: str) -> None:
    assert site(replace(ROUTE, name=text)) == site(ROUTE)


def test_a_prefix_that_would_end_a_directive_is_refused() -> None:
    with pytest.raises(ValueError, match=REFUSAL):
        base_config(Prefix(Path("/data;include /etc/passwd")), logs=LOGS)


def test_workers_drop_to_an_account_only_where_there_is_one() -> None:
    assert directives(base_config(PREFIX, logs=LOGS, user="nobody nogroup"), "user") == ["nobody nogroup"]
    assert directives(base_config(PREFIX, logs=LOGS), "user") == []


def test_a_request_is_never_sent_twice() -> None:
    assert directives(settings_config(), "proxy_next_upstream") == ["off"]
    servers = (base_config(PREFIX, logs=LOGS) + site(ROUTE)).split("\nserver {")[1:]
    assert {("settings.conf" in server) for server in servers if "control.sock" not in server} == {True}
    assert directives(site(ROUTE), "proxy_next_upstream") == []


def test_a_candidate_differs_from_what_runs_in_its_sites_alone(tmp_path: Path) -> None:
    prefix = Prefix(tmp_path)
    prefix.conf.mkdir()
    prefix.sites.mkdir()
    main = base_config(prefix, logs=LOGS)
    prefix.configuration.write_text(main)
    for name in ("1.conf", "2.conf"):
        (prefix.sites / name).write_text(f"# {name}")
    write_candidate(prefix, {prefix.site(1): "changed", prefix.site(3): "new"})
    assert prefix.candidate.read_text() == main.replace("/sites/", "/candidate/") != main
    read = {path.name: path.read_text() for path in prefix.candidate_sites.iterdir()}
    assert read == {"1.conf": "changed", "2.conf": "# 2.conf", "3.conf": "new"}
    write_candidate(prefix, {prefix.site(1): None})
    assert [path.name for path in prefix.candidate_sites.iterdir()] == ["2.conf"]


def test_every_edge_listens_for_visitors_and_on_bakerys_own_socket() -> None:
    both = listen_config(PREFIX, http_port=8080, ipv6=True)
    assert directives(both, "listen") == ["8080", "[::]:8080", "unix:/data/nginx/control/edge.sock"]
    assert "[::]" not in listen_config(PREFIX, http_port=8080, ipv6=False)


def test_a_generation_reads_back() -> None:
    assert generation_in(generation_config(41)) == 41
    assert generation_in("") == 0


@pytest.mark.parametrize("state", sorted(pages.STATES))
@pytest.mark.parametrize("status", pages.STATUSES)
def test_a_page_is_whole_in_itself_and_escapes_the_name(state: str, status: int) -> None:
    page = pages.state_page('<script>alert("x")</script>', state, status)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "src=" not in page
    assert "href=" not in page
    assert "url(" not in page
    assert "prefers-color-scheme:dark" in page


def test_a_request_that_took_too_long_is_not_called_down() -> None:
    assert "took too long" in pages.state_page("shop", "unavailable", 504)
    assert "Stopped" in pages.state_page("shop", "stopped", 504)


SECURE = replace(ROUTE, hosts=(Host("shop.example.com", https=True),), certificate="deployment-7")


def test_names_with_the_same_settings_share_their_server_blocks() -> None:
    many = tuple(Host(f"shop-{number}.example.com", https=True) for number in range(1000))
    text = site(replace(SECURE, hosts=many))
    assert text.count("server {") == site(SECURE).count("server {")
    apart = (*many, Host("own.example.com", https=True, hsts_seconds=60))
    assert site(replace(SECURE, hosts=apart)).count("server {") == text.count("server {") + 1


def test_a_name_has_https_only_with_a_certificate_and_where_nginx_has_the_port() -> None:
    assert "listen-https.conf" in site(SECURE)
    assert "ssl_certificate" not in site(replace(SECURE, certificate=""))
    without = site_config(PREFIX, SECURE, logs=LOGS, listening=replace(LISTENING, https=False))
    assert "listen-https.conf" not in without
    assert "return 301" not in without


def test_the_certificate_is_named_by_a_variable_so_that_nginx_starts_without_it() -> None:
    text = site(SECURE)
    assert set(directives(text, "ssl_certificate")) == {"$bakery_certificate/chain.pem"}
    assert set(directives(text, "ssl_certificate_key")) == {"$bakery_certificate/key.pem"}
    assert "/data/nginx/certificates/deployment-7/current" in directives(text, "root")


def test_bakerys_own_socket_is_on_the_block_that_proxies() -> None:
    for text in (site(ROUTE), site(SECURE)):
        [proxies] = [block for block in text.split("\nserver {") if "live.sock" in block]
        assert ("edge.sock" in proxies) != ("/listen.conf" in proxies)


@pytest.mark.parametrize("version", [(1, 18, 0), (1, 22, 1), (1, 25, 1), (1, 28, 0)])
def test_each_nginx_is_told_in_its_own_words(version: tuple[int, ...]) -> None:
    listening = replace(LISTENING, version=version)
    files = https_files(PREFIX, listening)
    listen = files[PREFIX.listen_https]
    assert ("http2 on;" in listen, " ssl http2;" in listen) == (version >= (1, 25, 1), version < (1, 25, 1))
    assert ("ssl_reject_handshake on;" in files[PREFIX.tls_refused]) == (version >= (1, 19, 4))
    assert "http2" not in https_files(PREFIX, replace(listening, http2=False))[PREFIX.listen_https]
    assert PREFIX.listen_https not in https_files(PREFIX, replace(listening, https=False))


@pytest.mark.parametrize("bad", [*HOSTILE, "$host"])
@pytest.mark.parametrize(
    "settings",
    [
        lambda bad: {"name": bad if bad != "*" else "*.*.example.com"},
        lambda bad: {"redirect_to": bad},
        lambda bad: {"auth": (f"a:{bad}", "$6$x")},
        lambda bad: {"auth": ("alice", f"{bad};")},
        lambda bad: {"allowed": (f"10.0.0.0/8{bad}",)},
        lambda bad: {"headers": ((f"X-{bad};", "x"),)},
        lambda bad: {"headers": (("X-A", f"$a{bad}"),)},
        lambda bad: {"hsts_seconds": -1},
        lambda bad: {"max_body_mb": 10**9},
    ],
)
def test_a_hostile_setting_of_a_name_is_refused(settings: Callable[[str], dict[str, Any]], bad: str) -> None:
    host = replace(SECURE.hosts[0], **settings(bad))
    with pytest.raises(ValueError, match=r"."):
        site(replace(SECURE, hosts=(host,)))


@given(st.text(max_size=60))
def test_the_value_of_a_header_stays_one_argument(value: str) -> None:
    host = replace(SECURE.hosts[0], headers=(("X-A", value),))
    try:
        text = site(replace(SECURE, hosts=(host,)))
    except ValueError:
        return
    [found] = [each for each in in_text(text) if each.name == "add_header" and each.arguments[0] == "X-A"]
    _, said, always = found.arguments
    assert (re.sub(r"\\(.)", r"\1", said), always) == (value.strip(), "always")
    plain = site(replace(SECURE, hosts=(replace(host, headers=(("X-A", "x"),)),)))
    assert len(in_text(text)) == len(in_text(plain))


def test_a_certificate_of_no_name_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="not usable"):
        site(replace(SECURE, certificate="../../etc"))


def test_the_name_that_bakery_asks_for_is_one_that_is_served() -> None:
    hosts = (Host("www.example.com", redirect_to="a.example.com"), Host("*.example.com"), Host("a.example.com"))
    assert name_to_ask(replace(ROUTE, hosts=hosts)) == "a.example.com"
    assert name_to_ask(replace(ROUTE, hosts=hosts[:2])) == "bakery-asks.example.com"
    assert name_to_ask(replace(ROUTE, hosts=hosts[:1])) == ""
