"""Why Certbot could not talk with the authority's server, in words. What Python's libraries say of a connection names
their own classes and addresses in memory; the log keeps all of that.
"""

from __future__ import annotations

import re

WHERE = (
    re.compile(r"ConnectionPool\(host='(?P<host>[^']+)', port=(?P<port>\d+)\)"),
    re.compile(r"ValueError: Requesting (?P<host>[^/\s:]+)"),  # Certbot's own way of saying it
)
# First found wins.
WHY: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"ProxyError", "the proxy of this host does not lead there"),
        (r"hostname .* doesn.t match|hostname mismatch|ip address mismatch", "its certificate is for another name"),
        (r"certificate has expired", "its certificate has expired"),
        (r"self.signed certificate|unable to get (?:local )?issuer", "its certificate is from an unknown authority"),
        (r"certificate.verify.failed|CertificateError", "its certificate is not valid"),
        (r"SSLError|SSLEOFError", "no TLS connection comes about"),
        (r"connection refused", "nobody listens there (connection refused)"),
        (r"name or service not known|name resolution|NameResolutionError", "DNS does not know its name"),
        (r"no address associated|nodename nor servname", "DNS has no address for its name"),
        (r"network is unreachable|no route to host", "no route leads there"),
        (r"timed out|timeout", "it does not answer in time"),
        (r"closed connection|connection reset|connection aborted|broken pipe", "it broke the connection off"),
    )
)


def in_plain_words(said: str) -> str:
    """ "host:port: why". What is not known is given back as it is."""
    where = next((found for pattern in WHERE if (found := pattern.search(said))), None)
    why = next((words for pattern, words in WHY if pattern.search(said)), "")
    if where is None or not why:
        return said
    port = where.groupdict().get("port") or "443"
    return f"{where['host']}: {why}" if port == "443" else f"{where['host']}:{port}: {why}"
