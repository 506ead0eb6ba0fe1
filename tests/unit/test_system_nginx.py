"""Bakery's part of a machine's own Nginx, as text."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bakery.forwarded import as_forwarded
from infrastructure.errors import HostProblem
from infrastructure.nginx.candidate import included_one_by_one, write_candidate
from infrastructure.nginx.config import HASH_SIZES, http_config
from infrastructure.nginx.directives import directives, in_text
from infrastructure.nginx.https_port import decided
from infrastructure.nginx.inspection import remarks
from infrastructure.nginx.installed import Installed, md5
from infrastructure.nginx.master import Master
from infrastructure.nginx.panel import Panel, panel_config, panel_in, panel_names
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.rendering import render
from infrastructure.nginx.shared_files import shared_files
from infrastructure.nginx.system_prefix import SystemPrefix, system_prefix
from infrastructure.nginx.tls import Listening

PREFIX = SystemPrefix(Path("/var/lib/bakery/nginx"))
LISTENING = Listening(80, 443, (1, 22, 1))
# Debian 12's, shortened by its comments; Debian 13, Ubuntu 22.04 and 24.04 differ in directives of the http level.
STOCK = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;

events {
	worker_connections 768;
	# multi_accept on;
}

http {
	sendfile on;
	# server_names_hash_bucket_size 64;
	include /etc/nginx/mime.types;

	include /etc/nginx/conf.d/*.conf;
	include /etc/nginx/sites-enabled/*;
}
"""
SAID_BY_DISTRIBUTIONS = {
    "sendfile", "tcp_nopush", "tcp_nodelay", "keepalive_timeout", "types_hash_max_size", "server_tokens",
    "default_type", "types", "ssl_protocols", "ssl_prefer_server_ciphers", "access_log", "error_log", "gzip",
}  # fmt: skip


def installed(main: str = STOCK, *, others: str = "", packaged: str = STOCK) -> Installed:
    dump = (
        f"# configuration file /etc/nginx/nginx.conf:\n{main}\n# configuration file /etc/nginx/conf.d/x.conf:\n{others}"
    )
    return Installed(main, tuple(directives(dump)), frozenset({md5(packaged)}))


def test_nothing_that_a_distribution_says_at_http_level_is_said_there_again() -> None:
    depth, repeated = 0, set()
    for line in http_config(PREFIX).splitlines():
        words = line.split()
        if depth == 0 and words and words[0] in SAID_BY_DISTRIBUTIONS:
            repeated.add(words[0])
        depth += line.count("{") - line.count("}")
    assert depth == 0
    assert repeated == set()


def test_sizes_are_set_only_where_nobody_has_set_them() -> None:
    assert installed().hash_sizes() == list(HASH_SIZES)
    others = "server_names_hash_bucket_size 128;"
    assert "server_names_hash_bucket_size" not in installed(others=others).hash_sizes()
    assert "server_names_hash_bucket_size" not in http_config(PREFIX, installed(others=others).hash_sizes())


def test_what_belongs_to_the_main_level_is_said_only_where_nobody_says_it() -> None:
    text = installed().main_part(1000) or ""
    assert [found.name for found in in_text(text)] == ["worker_rlimit_nofile", "worker_shutdown_timeout", "pcre_jit"]
    own = STOCK.replace("pid ", "worker_rlimit_nofile 500000;\npid ")
    assert "worker_rlimit_nofile" not in (installed(own).main_part(1000) or "")
    no_place = STOCK.replace("include /etc/nginx/modules-enabled/*.conf;", "")
    assert installed(no_place).main_part(1000) is None


def test_connections_are_raised_in_the_packages_own_file_and_put_back() -> None:
    raised = installed().main_with_connections()
    assert raised == STOCK.replace("768", "8192")
    assert installed(raised).main_with_connections() == raised
    assert installed(raised).main_as_packaged() == STOCK


def test_a_main_file_that_somebody_has_changed_is_left_alone() -> None:
    for own in (f"{STOCK}# mine\n", STOCK.replace("768", "8192") + "# mine\n", STOCK.replace("768", "20000")):
        assert installed(own).main_with_connections() == own
        assert installed(own).main_as_packaged() == own


def test_the_candidate_names_each_file_and_ours_from_beside(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    for name in ("z.conf", "a.conf", "bakery.conf", ".hidden.conf", "off.disabled"):
        (folder / name).touch()
    ours, beside = folder / "bakery.conf", Path("/candidate/conf.d.part")
    text = included_one_by_one(STOCK, ours, beside)
    listed = [found.value for found in in_text(text) if found.name == "include"]
    assert listed[2:5] == [f"{folder}/a.conf", str(beside), f"{folder}/z.conf"]
    assert len(listed) == 6
    without = included_one_by_one(STOCK, ours, None)
    assert "bakery.conf" not in without
    assert str(beside) not in without


def test_a_main_file_that_does_not_read_our_directory_is_said_to_be_so() -> None:
    for main in (
        STOCK.replace("conf.d", "elsewhere"),
        STOCK.replace("include /etc/nginx/conf.d", "# include /etc/nginx/conf.d"),
    ):
        with pytest.raises(HostProblem, match="does not include"):
            included_one_by_one(main, PREFIX.http_part, Path("/candidate"))


def test_a_file_whose_name_is_a_pattern_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a*b.conf").touch()
    with pytest.raises(HostProblem, match="plain name"):
        included_one_by_one(STOCK, tmp_path / "conf.d" / "bakery.conf", Path("/candidate"))


def test_a_change_of_what_all_sites_include_is_tested_with_all_sites(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    prefix = replace(PREFIX, root=tmp_path / "data", etc=etc)
    for folder in (etc / "conf.d", prefix.conf, prefix.sites):
        folder.mkdir(parents=True)
    prefix.configuration.write_text(STOCK)
    prefix.http_part.write_text(http_config(prefix))
    prefix.settings.write_text("old")
    prefix.site(1).write_text(f"include {prefix.settings};")
    write_candidate(prefix, {prefix.settings: "new"})
    beside = prefix.candidate_sites / "conf" / "settings.conf"
    assert beside.read_text() == "new"
    assert (prefix.candidate_sites / "1.conf").read_text() == f"include {beside};"
    assert f"include {beside};" in (prefix.candidate_sites / "conf.d.part").read_text()
    assert prefix.settings.read_text() == "old"


def test_what_all_sites_share_is_this_versions_and_keeps_what_was_decided(tmp_path: Path) -> None:
    prefix = replace(PREFIX, root=tmp_path / "data", etc=tmp_path / "etc")
    for folder in (prefix.http_part.parent, prefix.conf, prefix.sites):
        folder.mkdir(parents=True)
    assert shared_files(prefix, LISTENING) == {}, "nobody has prepared it"
    decided = http_config(prefix, ["variables_hash_max_size"])
    prefix.http_part.write_text(decided.replace("log_format", "# of an older version\nlog_format"))
    panel = panel_config(prefix, Panel(("192.0.2.1", "[2001:db8::1]"), 4200), LISTENING)
    prefix.panel.write_text(panel)
    files = shared_files(prefix, LISTENING)
    assert (files[prefix.http_part], files[prefix.panel]) == (decided, panel)
    assert shared_files(Prefix(tmp_path), LISTENING) == {}


def test_directives_are_found_whatever_stands_around_them() -> None:
    text = """# no x;\nmap $a $b { default "x;{y}"; "~^\\{" '#'; }\nlog_format m "$a"\n 'b';"""
    dump = f"# configuration file /a b.conf:\n{text}"
    found = [(found.name, found.arguments) for found in directives(dump)]
    assert found == [
        ("map", ("$a", "$b")),
        ("default", ("x;{y}",)),
        ("~^\\{", ("#",)),
        ("log_format", ("m", "$a", "b")),
    ]
    assert {found.file for found in directives(dump)} == {Path("/a b.conf")}


def test_the_places_that_a_main_file_names_are_used(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("pid /var/run/other.pid; http { error_log /srv/e.log; }")
    prefix = system_prefix(tmp_path / "data", tmp_path)
    assert (prefix.pid, prefix.error_log) == (Path("/var/run/other.pid"), Path("/srv/e.log"))
    assert system_prefix(tmp_path, tmp_path / "none").pid == Path("/run/nginx.pid")


def test_the_pages_answer_to_their_domain_or_else_to_the_machine() -> None:
    assert panel_names("https://Panel.example.com", "192.0.2.1", "server") == (
        "panel.example.com",
        "192.0.2.1",
        "server",
    )
    assert panel_names("", "192.0.2.1", "server") == ("192.0.2.1", "server")
    assert panel_names("", "192.0.2.1", "web_1") == ("192.0.2.1",)
    assert panel_names("", "2001:db8::1", "") == ("[2001:db8::1]",)
    assert "server_name [2001:db8::1];" in panel_config(PREFIX, Panel(("2001:db8::1",)), LISTENING)


@pytest.mark.parametrize("name", ["a;b", "a b", "*.example.com", "~^.*$", "a{", "_", ""])
def test_a_name_of_the_pages_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="usable"):
        panel_config(PREFIX, Panel((name,)), LISTENING)
    with pytest.raises(ValueError, match="usable"):
        panel_config(PREFIX, Panel(()), LISTENING)


def test_nginx_starts_whatever_becomes_of_bakery() -> None:
    unit = render("nginx.service.conf.template", root=PREFIX.root, files=65536)
    before = [line for line in unit.splitlines() if line.startswith("ExecStartPre")]
    assert before == [f"ExecStartPre=-/usr/bin/python3 -I -S {PREFIX.starter} --sockets {PREFIX.root}"]
    assert "/opt/" not in unit


def asked_from(peer: str, **headers: str) -> dict[str, object]:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return as_forwarded({"type": "http", "scheme": "http", "client": (peer, 1), "headers": sent})


def test_only_a_connection_from_loopback_says_who_asked() -> None:
    told = asked_from("127.0.0.1", x_forwarded_for="192.0.2.7", x_forwarded_proto="https")
    assert (told["client"], told["scheme"]) == (("192.0.2.7", 0), "https")
    told = asked_from("192.0.2.9", x_forwarded_for="192.0.2.7", x_forwarded_proto="https")
    assert (told["client"], told["scheme"]) == (("192.0.2.9", 1), "http")


@pytest.mark.parametrize("claim", ["", "nobody", "192.0.2.7:80", "unix:"])
def test_what_is_no_address_is_not_taken_for_one(claim: str) -> None:
    assert asked_from("127.0.0.1", x_forwarded_for=claim)["client"] == ("127.0.0.1", 1)


def test_of_several_addresses_the_last_is_what_nginx_saw() -> None:
    assert asked_from("::1", x_forwarded_for="203.0.113.1, 192.0.2.7")["client"] == ("192.0.2.7", 0)


def test_the_doctor_names_what_is_in_the_way_and_whose_turn_it_is(tmp_path: Path) -> None:
    prefix = replace(PREFIX, root=tmp_path / "data", etc=tmp_path / "etc", pid_file=tmp_path / "none.pid")
    main = STOCK.replace("include /etc/nginx/modules-enabled/*.conf;", "")
    others = "server_names_hash_bucket_size 64; server { listen 192.0.2.1:80; listen [::]:80; listen 192.0.2.1:8080; }"
    found = remarks(prefix, installed(main, others=others), Master(prefix, prefix.error_log), 80)
    texts = [remark.text for remark in found]
    for part in (
        f"{prefix.http_part} is missing",
        "768 connections",
        "worker_rlimit_nofile is not set",
        "worker_shutdown_timeout is not set",
        "server_names_hash_bucket_size is 64",
        "listens on 192.0.2.1:80:",
        "is not running",
    ):
        assert sum(part in text for text in texts) == 1, part
    assert all(remark.mend for remark in found)
    assert {remark.text for remark in found if remark.serious and "missing" not in remark.text} == {
        "Nginx is not running."
    }


def listens(others: str, *, version: tuple[int, ...] = (1, 22, 1), ours: bool = True) -> tuple[Listening, list[str]]:
    return decided(replace(LISTENING, version=version), installed(others=others), ours=ours)


def test_the_port_of_https_is_shared_with_others_who_speak_tls_there() -> None:
    assert listens("") == (LISTENING, [])
    both = "server { listen 443 ssl http2 default_server; listen [::]:443 ssl http2; }"
    assert listens(both) == (LISTENING, [])
    found, [note] = listens("server { listen 443 ssl default_server; }")
    assert (found.https, found.http2) == (True, False)
    assert "without http2" in note
    found, _ = listens("server { listen 443 ssl default_server; }", version=(1, 26, 0))
    assert (found.https, found.http2) == (True, True)
    _, [note] = listens("server { listen 443 ssl http2; }")
    assert "No site says default_server" in note


@pytest.mark.parametrize(
    ("others", "version"),
    [
        ("server { listen 443; }", (1, 22, 1)),
        ("server { listen 192.0.2.1:443 default_server; }", (1, 26, 0)),
        ("", (1, 14, 2)),
    ],
)
def test_where_another_site_would_be_changed_by_it_bakerys_sites_have_no_https(
    others: str, version: tuple[int, ...]
) -> None:
    found, [note] = listens(others, version=version)
    assert not found.https
    assert "until" in note
    assert listens("server { ssl on; listen 443; }")[0].https


def test_a_port_that_another_program_has_is_left_to_it() -> None:
    with socket.create_server(("", 0)) as server:
        listening = replace(LISTENING, https_port=server.getsockname()[1])
        assert not decided(listening, installed(), ours=False)[0].https
        assert decided(listening, installed(), ours=True)[0].https


def test_what_the_panels_servers_say_reads_back() -> None:
    for panel in (
        Panel(("192.0.2.1", "panel.example.com"), 4200, "panel", ("panel.example.com",)),
        Panel(("panel.example.com",), 4200, "panel", ("panel.example.com",)),
        Panel(("192.0.2.1",), 4200),
    ):
        text = panel_config(PREFIX, panel, LISTENING)
        found = panel_in(text)
        assert (set(found.names), replace(found, names=panel.names)) == (set(panel.names), panel)
        assert panel_config(PREFIX, found, LISTENING) == text
        assert ("ssl_certificate " in text) == bool(panel.secure)
    assert "return 301" not in panel_config(PREFIX, panel, replace(LISTENING, https=False))
