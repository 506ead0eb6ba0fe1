"""What a visitor meets over HTTPS, at a real Nginx with certificates of the tests' own authority."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from infrastructure.certificates.pem import read_pair
from infrastructure.nginx.master import accepting_workers
from infrastructure.routing import Host, Route
from infrastructure.web_settings import password_hash
from tests.certificates import Authority, pem
from tests.integration.https_edge import Https, hosts
from tests.integration.nginx_host import answer_on, received, running_edge
from tests.integration.waiting import until

pytestmark = pytest.mark.slow
SHOP, OTHER = "shop.example.com", "other.example.com"
MOZILLA_INTERMEDIATE = {
    f"ECDHE-{kind}-{rest}"
    for kind in ("ECDSA", "RSA")
    for rest in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
}


@pytest.fixture(scope="module")
def module_https() -> Iterator[Https]:
    with running_edge() as edge:
        https = Https(edge)
        https.install(SHOP, "www.example.com")
        https.install(OTHER, store_name="deployment-2")
        edge.router.apply([shop(https), other(https)])
        edge.router.switch(2, "green", 20)
        yield https


@pytest.fixture
def https(module_https: Https) -> Https:
    """Two sites with their certificates in order, whatever the test before did."""
    module_https.install(SHOP, "www.example.com")
    module_https.install(OTHER, store_name="deployment-2")
    module_https.edge.router.apply([shop(module_https), other(module_https)])
    module_https.edge.router.switch(1, "blue", 10)
    return module_https


def shop(https: Https, *more: Host, **settings: object) -> Route:
    names = (*hosts(SHOP, **settings), Host("plain.example.com"), *more)
    return replace(https.edge.route, hosts=names, certificate="deployment-1")


def other(https: Https) -> Route:
    upstream = https.edge.green.upstream
    return Route(2, "other", hosts(OTHER), upstream, upstream, certificate="deployment-2")


def workers(https: Https) -> set[int]:
    pid = https.edge.router.master.pid()
    assert pid
    return accepting_workers(pid)


def location(https: Https, name: str, path: str = "/") -> tuple[int, str | None]:
    answer, _ = https.edge.ask(path, host=name)
    return answer.status, answer.headers["Location"]


def test_each_name_gets_its_own_chain_and_release(https: Https) -> None:
    assert https.ask(SHOP)[1] == b"blue-app"
    assert https.ask(OTHER)[1] == b"green-app"
    names = {name: https.served(name).subject.rfc4514_string() for name in (SHOP, OTHER)}
    assert names == {SHOP: f"CN={SHOP}", OTHER: f"CN={OTHER}"}
    for route, release in ((shop(https), 10), (other(https), 20)):
        assert https.edge.router.confirm(route, release, "/")


def test_unknown_names_are_shown_no_sites_certificate(https: Https) -> None:
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    for name in ("unknown.example.com", "plain.example.com", "bakery.invalid", ""):
        assert https.refuses(name, blind), name


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_the_old_protocols_are_refused_and_the_new_ones_spoken(https: Https) -> None:
    spoken = set()
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = https.context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        if not https.refuses(SHOP, context):
            spoken.add(version.name)
    assert spoken == {"TLSv1_2", "TLSv1_3"}


def test_the_ciphers_are_mozillas_intermediate_ones(https: Https) -> None:
    key = rsa.generate_private_key(65537, 2048)
    issued = https.authority.issue(OTHER, key=key)
    https.edge.router.certificates.install("deployment-2", read_pair(issued.chain_pem, issued.key_pem))
    every = https.context()
    every.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    # Kinds of key exchange that need no secret set up beforehand: what a browser could offer.
    offered = {c["name"] for c in every.get_ciphers() if c["protocol"] != "TLSv1.3" and "PSK" not in c["name"]}
    taken = set()
    for cipher in sorted(name for name in offered if "SRP" not in name):
        context = https.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{cipher}:@SECLEVEL=0")
        if not https.refuses(SHOP, context) or not https.refuses(OTHER, context):
            taken.add(cipher)
    assert len(offered) > 40
    assert taken == MOZILLA_INTERMEDIATE


def test_http_is_redirected_to_https_with_its_path_and_query(https: Https) -> None:
    port = https.edge.nginx.https_port
    assert location(https, SHOP, "/a//b?c=%20d&e=/") == (301, f"https://{SHOP}:{port}/a//b?c=%20d&e=/")
    assert https.edge.ask("/", method="POST", body=b"x" * 2_000_000, host=SHOP)[0].status == 301
    assert location(https, "plain.example.com") == (200, None)


def test_a_name_that_redirects_reaches_the_primary_in_one_hop(https: Https) -> None:
    more = (
        Host("www.example.com", redirect_to=SHOP, https=True, hsts_seconds=600),
        Host("old.example.com", redirect_to=SHOP),
        Host("older.example.com", redirect_to="plain.example.com"),
    )
    https.edge.router.apply([shop(https, *more)])
    there = f"https://{SHOP}:{https.edge.nginx.https_port}/a?b"
    assert location(https, "www.example.com", "/a?b") == (301, there)
    assert location(https, "old.example.com", "/a?b") == (301, there)
    assert location(https, "older.example.com", "/a?b") == (301, "http://plain.example.com/a?b")
    answer, _ = https.ask("www.example.com", "/a?b")
    assert (answer.status, answer.headers["Location"]) == (301, there)
    assert answer.headers["Strict-Transport-Security"] == "max-age=600"


def test_hsts_is_sent_over_https_alone_and_on_bakerys_own_pages(https: Https) -> None:
    assert https.ask(SHOP)[0].headers["Strict-Transport-Security"] is None
    https.edge.router.apply([shop(https, hsts_seconds=31_536_000)])
    assert https.ask(SHOP)[0].headers["Strict-Transport-Security"] == "max-age=31536000"
    assert https.ask(SHOP, "/status?code=404")[0].headers["Strict-Transport-Security"] == "max-age=31536000"
    assert https.edge.ask(host=SHOP)[0].headers["Strict-Transport-Security"] is None
    https.edge.router.unroute(1)
    answer, _ = https.ask(SHOP)
    assert (answer.status, answer.headers["Strict-Transport-Security"]) == (503, "max-age=31536000")


def test_the_app_is_told_how_its_visitor_came(https: Https) -> None:
    told = https.ask(SHOP, "/headers", X_Forwarded_Proto="gopher", Forwarded="proto=gopher")[1].decode().lower()
    port = https.edge.nginx.https_port
    for line in (
        f"host: {SHOP}:{port}",
        "x-forwarded-proto: https",
        f"x-forwarded-port: {port}",
        f"x-forwarded-host: {SHOP}:{port}",
        "x-forwarded-for: 127.0.0.1",
    ):
        assert f"\r\n{line}\r\n" in f"{told}\r\n", line
    assert "gopher" not in told


def test_http2_websockets_and_large_bodies_pass(https: Https) -> None:
    context = https.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with https.connect(SHOP, context) as connection:
        assert connection.selected_alpn_protocol() == "h2"
    assert https.ask(SHOP, method="POST", body=b"x" * 5_000_000)[1] == b"blue-app 5000000"
    with https.connect(SHOP) as websocket:
        lines = (
            "GET /socket HTTP/1.1", f"Host: {SHOP}", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )  # fmt: skip
        websocket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert b" 101 " in received(websocket, b"\r\n\r\n")
        websocket.sendall(b"ping")
        assert websocket.recv(100) == b"ping"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl speaks HTTP/2, and is not installed")
def test_a_request_over_http2_reaches_the_app_like_any_other(https: Https, tmp_path: Path) -> None:
    root, port = tmp_path / "root.pem", https.edge.nginx.https_port
    root.write_bytes(pem(https.authority.root))
    argv = ["curl", "-sS", "--http2", "--cacert", str(root), "--resolve", f"{SHOP}:{port}:127.0.0.1"]
    url = f"https://{SHOP}:{port}"
    told = subprocess.run([*argv, f"{url}/headers", "-w", "%{http_version}"], capture_output=True, timeout=120).stdout
    assert told.endswith(b"2")
    assert f"Host: {SHOP}:{port}".encode() in told
    assert b"X-Forwarded-Proto: https" in told
    sent = subprocess.run(
        [*argv, url, "--data-binary", "@-"], input=b"y" * 3_000_000, capture_output=True, timeout=120
    ).stdout
    assert sent == b"blue-app 3000000"


def test_what_an_acme_server_asks_for_is_answered_before_everything_else(https: Https) -> None:
    token = https.edge.router.acme_root / ".well-known" / "acme-challenge" / "token-1"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text("token-1.thumbprint")
    closed = {"auth": ("alice", "$2b$05$" + "a" * 53), "allowed": ("192.0.2.0/24",), "maintenance": True}
    names = (
        *hosts(SHOP, **closed),
        Host("plain.example.com", **closed),  # type: ignore[arg-type]
        Host("www.example.com", redirect_to=SHOP, https=True),
    )
    https.edge.router.apply([replace(shop(https), hosts=names)])
    path = "/.well-known/acme-challenge/token-1"
    for name in (SHOP, "plain.example.com", "www.example.com", "unknown.example.com"):
        answer, body = https.edge.ask(path, host=name)
        assert (answer.status, body) == (200, b"token-1.thumbprint"), name
        assert https.edge.ask(f"{path}-not", host=name)[0].status == 404
    assert https.ask(SHOP, path)[1] == b"token-1.thumbprint"


def test_a_password_keeps_visitors_out_and_bakery_not(https: Https) -> None:
    auth, right = ("alice", password_hash("correct-horse")), b64encode(b"alice:correct-horse").decode()
    https.edge.router.apply([shop(https, auth=auth)])
    assert https.ask(SHOP)[0].status == 401
    assert https.ask(SHOP, Authorization="Basic YWxpY2U6d3Jvbmc=")[0].status == 401
    answer, body = https.ask(SHOP, "/headers", Authorization=f"Basic {right}")
    assert (answer.status, b"Authorization" in body) == (200, False)
    assert https.edge.router.confirm(shop(https), 10, "/")
    assert not https.edge.router.confirm(shop(https), 11, "/")
    [file] = https.edge.router.prefix.of(1).glob("password-*")
    assert file.stat().st_mode & 0o777 == 0o640
    https.edge.router.apply([shop(https)])
    assert list(https.edge.router.prefix.of(1).glob("password-*")) == []
    assert https.ask(SHOP)[1] == b"blue-app"


def test_a_list_of_networks_and_maintenance_keep_visitors_out_and_bakery_not(https: Https) -> None:
    https.edge.router.apply([shop(https, allowed=("192.0.2.0/24", "2001:db8::/32"))])
    answer, body = https.ask(SHOP)
    assert (answer.status, b"Not open to you" in body) == (403, True)
    assert https.edge.router.confirm(shop(https), 10, "/")
    https.edge.router.apply([shop(https, allowed=("127.0.0.0/8",))])
    assert https.ask(SHOP)[1] == b"blue-app"
    https.edge.router.apply([shop(https, maintenance=True)])
    answer, body = https.ask(SHOP)
    assert (answer.status, b"Under maintenance" in body) == (503, True)
    assert https.edge.router.confirm(shop(https), 10, "/")
    assert https.edge.ask(host="plain.example.com")[1] == b"blue-app", "another name of the same deployment"


def test_headers_and_the_body_limit_are_the_names_own(https: Https) -> None:
    value = r"""default-src 'self'; "quoted" \ {x} #"""
    https.edge.router.apply([shop(https, headers=(("X-Policy", value), ("X-App", "ours")), max_body_mb=1)])
    answer, _ = https.ask(SHOP)
    assert answer.headers["X-Policy"] == value
    assert answer.headers.get_all("X-App") == ["ours"], "in place of the application's"
    assert https.ask(SHOP, method="POST", body=b"x" * 1_500_000)[0].status == 413
    assert https.edge.ask(method="POST", body=b"x" * 1_500_000, host="plain.example.com")[0].status == 200


def test_an_exact_name_goes_before_another_deployments_wildcard(https: Https) -> None:
    https.install("*.wild.example.com", store_name="deployment-2")
    wild = replace(other(https), hosts=hosts("*.wild.example.com"))
    https.install(SHOP, "exact.wild.example.com")
    exact = Host("exact.wild.example.com", https=True)
    https.edge.router.apply([shop(https, exact, Host("http-only.wild.example.com")), wild])
    assert https.ask("any.wild.example.com")[1] == b"green-app"
    assert https.ask("exact.wild.example.com")[1] == b"blue-app"
    assert https.edge.ask(host="http-only.wild.example.com")[1] == b"blue-app"
    assert https.refuses("http-only.wild.example.com"), "not the wildcard's, over HTTPS"
    assert https.edge.router.confirm(wild, 20, "/")


def test_a_new_certificate_is_served_at_the_next_handshake_without_a_reload(https: Https) -> None:
    before, generation = workers(https), https.edge.router.master.generation()
    with https.connect(SHOP) as kept:
        request = f"GET / HTTP/1.1\r\nHost: {SHOP}\r\n\r\n".encode()
        kept.sendall(request)
        received(kept, b"blue-app")
        for _ in range(3):
            renewed = https.install(SHOP)
            assert https.served(SHOP) == renewed.certificate
        kept.sendall(request)
        received(kept, b"blue-app")
    assert (workers(https), https.edge.router.master.generation()) == (before, generation)


@pytest.mark.parametrize("broken", ["gone", "empty", "garbage", "mismatch", "all gone"])
def test_a_broken_certificate_costs_its_own_site_alone(https: Https, broken: str) -> None:
    folder = https.folder()
    chain, key = folder / "current" / "chain.pem", folder / "current" / "key.pem"
    if broken == "gone":
        key.unlink()
    elif broken == "empty":
        chain.write_bytes(b"")
    elif broken == "garbage":
        key.write_bytes(b"\x00not a key")
    elif broken == "mismatch":
        key.write_bytes(Authority().issue(SHOP).key_pem)
    else:
        https.edge.router.certificates.remove("deployment-1")
    assert https.refuses(SHOP)
    assert https.ask(OTHER)[1] == b"green-app"
    # Nginx reloads with it, and another site's change is applied.
    https.edge.router.apply([replace(other(https), max_body_mb=7)])
    pid = https.edge.router.master.pid()
    assert pid
    https.edge.nginx.stop()
    https.edge.nginx.start()
    assert https.ask(OTHER)[1] == b"green-app"
    assert https.edge.ask(host="plain.example.com")[1] == b"blue-app"
    https.install(SHOP)
    assert https.ask(SHOP)[1] == b"blue-app"


def test_keys_are_read_by_nginx_and_nobody_else(https: Https) -> None:
    key = https.folder() / "current" / "key.pem"
    assert key.stat().st_mode & 0o777 == 0o640
    assert https.folder().stat().st_mode & 0o777 == 0o750
    if os.geteuid() != 0:
        pytest.skip("another account's rights are tried as root")
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(299_999)
        os.setuid(299_999)
        try:
            key.read_bytes()
        except PermissionError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_visitor_on_a_known_name_who_asks_for_another_gets_that_one(https: Https) -> None:
    with https.connect(SHOP) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {OTHER}\r\nConnection: close\r\n\r\n".encode())
        assert answer_on(connection)[1] == b"green-app"
    with https.connect(SHOP) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: unknown.example.com\r\nConnection: close\r\n\r\n")
        assert answer_on(connection)[0].status == 404


def test_the_panel_has_https_for_the_names_of_its_certificate(https: Https) -> None:
    router = https.edge.router
    router.panel_port = https.edge.blue.port
    https.install("panel.example.com", store_name="panel")
    router.apply_panel(("panel.example.com", "127.0.0.1"), "panel")
    assert https.ask("panel.example.com")[1] == b"blue-app"
    there = f"https://panel.example.com:{https.edge.nginx.https_port}/a?b"
    assert location(https, "panel.example.com", "/a?b") == (301, there)
    assert https.edge.ask(host="127.0.0.1")[1] == b"blue-app"
    text = router.prefix.panel.read_text()
    https.edge.nginx.stop()
    https.edge.nginx.start()  # writes what belongs to the start anew
    assert router.prefix.panel.read_text() == text
    router.certificates.remove("panel")
    router.apply_panel(("panel.example.com",), "panel")
    assert https.edge.ask(host="panel.example.com")[1] == b"blue-app"
    router.apply_panel(())
    assert https.edge.ask(host="panel.example.com")[0].status == 404


def test_a_worker_that_is_killed_is_no_loss_for_certificates(https: Https) -> None:
    killed = workers(https)
    for worker in killed:
        os.kill(worker, signal.SIGKILL)
    until(lambda: not killed & workers(https))  # one that has not heard it yet would take the connection with it
    assert https.ask(SHOP)[1] == b"blue-app"
