"""What Certbot says when it fails, and what people read then."""

from __future__ import annotations

import datetime as dt

import pytest

from infrastructure.certbot.failures import translate

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.timezone.utc)
DOMAIN = """Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported:
  Domain: shop.example.com
  Type:   {type}
  Detail: {detail}

Hint: The Certificate Authority failed to download the temporary challenge files created by Certbot.

Some challenges have failed.
Ask for help or search for solutions at https://community.letsencrypt.org.
"""
RAISED = "acme.messages.Error: urn:ietf:params:acme:error:{type} :: {about} :: {detail}\n"


@pytest.mark.parametrize(
    ("type", "detail", "id"),
    [
        ("dns", "DNS problem: NXDOMAIN looking up A for shop.example.com", "acme.dns"),
        ("caa", "CAA record for shop.example.com prevents issuance", "acme.caa"),
        ("connection", "203.0.113.9: Fetching http://shop.example.com/…: Timeout during connect", "acme.connection"),
        ("unauthorized", "203.0.113.9: Invalid response from http://shop.example.com/…: 404", "acme.unauthorized"),
        ("tls", "Error getting validation data", "acme.tls"),
        ("neverHeardOf", "Something new", "acme.failed"),
    ],
)
def test_a_name_that_was_not_proven_is_told_with_the_authoritys_reason(type: str, detail: str, id: str) -> None:
    problem = translate(DOMAIN.format(type=type, detail=detail), "", NOW)
    assert problem.id == id
    assert f"shop.example.com: {detail}" in problem.message
    assert problem.hint


@pytest.mark.parametrize(
    ("detail", "headers", "until"),
    [
        ("too many certificates (5) already issued, retry after 2026-03-02 10:00:00 UTC: see …", "", (2, 10)),
        ("slow down", "Retry-After: 10800\n", (1, 15)),
        ("slow down", "retry-after: Sun, 01 Mar 2026 20:00:00 GMT\n", (1, 20)),
        ("slow down", "Retry-After: soon\n", (1, 13)),
        ("slow down", "", (1, 13)),
        ("retry after 2019-01-01 00:00:00 UTC", "", (1, 12)),  # long past: the clocks differ
    ],
)
def test_a_limit_is_kept_until_the_authority_says(detail: str, headers: str, until: tuple[int, int]) -> None:
    log = headers + RAISED.format(
        type="rateLimited", about="There were too many requests of a given type", detail=detail
    )
    problem = translate("An unexpected error occurred:\nAttributeError: can't set attribute\n", log, NOW)
    assert problem.id == "acme.rate-limited"
    assert detail in problem.message
    assert problem.not_before is not None
    assert (problem.not_before.day, problem.not_before.hour) == until


def test_a_nonce_that_was_refused_on_the_way_is_not_the_reason() -> None:
    log = '{"type": "urn:ietf:params:acme:error:badNonce", "detail": "JWS has an invalid anti-replay nonce"}\n'
    log += '{"type": "urn:ietf:params:acme:error:serverInternal", "detail": "Try again \\"later\\""}\n'
    problem = translate("An unexpected error occurred:\n", log, NOW)
    assert problem.id == "acme.server-error"
    assert 'Try again "later"' in problem.message


@pytest.mark.parametrize(
    ("output", "id"),
    [
        ("OSError: [Errno 28] No space left on device: '/data/letsencrypt/logs'", "certbot.disk-full"),
        ("Another instance of Certbot is already running.", "certbot.busy"),
        ("The requested dns-cloudflare plugin does not appear to be installed", "certbot.plugin-missing"),
        (
            "usage: certbot …\ncertbot: error: unrecognized arguments: --dns-cloudflare-credentials /x.ini",
            "certbot.plugin-missing",
        ),
        ("Unable to determine base domain for shop.example.com using names: …", "dns-provider.refused"),
        ("Received response from server: BADKEY", "dns-provider.refused"),
        ("requests.exceptions.SSLError: HTTPSConnectionPool(host='acme'): certificate verify failed", "acme.untrusted"),
        ("requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='acme'): Read timed out.", "acme.too-late"),
        ("requests.exceptions.ConnectionError: Max retries exceeded with url: /dir", "acme.unreachable"),
        ("What nobody has ever seen", "acme.failed"),
        ("", "acme.failed"),
    ],
)
def test_what_certbot_says_for_itself_is_told_apart(output: str, id: str) -> None:
    problem = translate(output, "", NOW)
    assert problem.id == id
    assert "{detail}" not in f"{problem.message}{problem.hint}"


POOL = "HTTPSConnectionPool(host='acme.example', port={port}): Max retries exceeded with url: /dir (Caused by {cause})"
OBJECT = "<urllib3.connection.HTTPSConnection object at 0x7f833f742590>"
REFUSED = f"NewConnectionError('{OBJECT}: Failed to establish a new connection: [Errno 111] Connection refused')"
UNKNOWN = f"NewConnectionError('{OBJECT}: Failed to establish a new connection: [Errno -2] Name or service not known')"
UNRESOLVED = (
    "NameResolutionError(\"Failed to resolve 'acme.example' ([Errno -3] Temporary failure in name resolution)\")"
)
SLOW = f"ConnectTimeoutError({OBJECT}, 'Connection to acme.example timed out. (connect timeout=45)')"
BY_PROXY = f"ProxyError('Cannot connect to proxy.', {REFUSED})"
NOT_TRUSTED = "SSLError(1, '[SSL] certificate verify failed: unable to get local issuer certificate (_ssl.c:992)')"


@pytest.mark.parametrize(
    ("raised", "port", "cause", "told"),
    [
        ("ConnectionError", 14000, REFUSED, "acme.example:14000: nobody listens there (connection refused)"),
        ("ConnectionError", 443, UNKNOWN, "acme.example: DNS does not know its name"),
        ("ConnectionError", 443, UNRESOLVED, "acme.example: DNS does not know its name"),
        ("ConnectTimeout", 443, SLOW, "acme.example: it does not answer in time"),
        ("ProxyError", 443, BY_PROXY, "acme.example: the proxy of this host does not lead there"),
        ("SSLError", 443, NOT_TRUSTED, "acme.example: its certificate is from an unknown authority"),
    ],
)
def test_a_connection_that_does_not_come_about_is_told_in_plain_words(
    raised: str, port: int, cause: str, told: str
) -> None:
    output = f"An unexpected error occurred:\nrequests.exceptions.{raised}: {POOL.format(port=port, cause=cause)}\n"
    message = translate(
        f"{output}Ask for help or search for solutions at https://community.example.\n", "", NOW
    ).message
    assert message.endswith(told)


def test_certbots_own_words_for_a_refused_connection_are_made_plain() -> None:
    problem = translate(
        "An unexpected error occurred:\nValueError: Requesting localhost/dir: Connection refused\n", "", NOW
    )
    assert problem.id == "acme.unreachable"
    assert problem.message.endswith("cannot be reached: localhost: nobody listens there (connection refused)")


def test_a_missing_plugin_names_its_package() -> None:
    problem = translate("certbot: error: unrecognized arguments: --dns-ovh --dns-ovh-credentials /x.ini", "", NOW)
    assert "apt-get install python3-certbot-dns-ovh" in problem.hint
    assert not problem.burns
