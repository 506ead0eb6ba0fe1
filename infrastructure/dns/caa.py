"""Which certificate authorities a zone lets issue (RFC 8659)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from infrastructure.dns.answers import Caa, Trouble
from infrastructure.dns.findings import Change, Finding
from infrastructure.hostnames import DomainName, display

# By what an ACME directory's host name ends in: the name under which its authority stands in CAA records.
AUTHORITIES = {
    "letsencrypt.org": "letsencrypt.org",
    "zerossl.com": "sectigo.com",
    "pki.goog": "pki.goog",
    "buypass.com": "buypass.com",
    "buypass.no": "buypass.com",
    "ssl.com": "ssl.com",
}
VALUE = re.compile(r'^(\d+) (\S+) "?([^"]*)"?$')


def authority_of(directory: str) -> str:
    """The CAA name of whoever serves an ACME directory; "" (an authority of one's own, a test server): not known.

    >>> authority_of("https://acme-v02.api.letsencrypt.org/directory"), authority_of("https://ca.internal/acme")
    ('letsencrypt.org', '')
    """
    host = urlsplit(directory).hostname or ""
    return next((name for end, name in AUTHORITIES.items() if host == end or host.endswith(f".{end}")), "")


def allowed(caa: Caa, *, wildcard: bool) -> set[str] | None:
    """The authorities that may issue; None: everybody. ``issuewild`` counts for wildcards alone, and there first."""
    tags: dict[str, set[str]] = {}
    for record in caa.records:
        if match := VALUE.match(record.value):
            tags.setdefault(match[2].lower(), set()).add(match[3].partition(";")[0].strip().lower())
    found = (tags.get("issuewild") if wildcard else None) or tags.get("issue")
    return found - {""} if found is not None else None


def _conditions(caa: Caa, ca: str) -> Iterable[str]:
    """What stands behind the authority's name: the account, the ways in which names may be proven."""
    for record in caa.records:
        if match := VALUE.match(record.value):
            issuer, _, rest = match[3].partition(";")
            if issuer.strip().lower() == ca and rest.strip():
                yield rest.strip()


def findings(name: DomainName, caa: Caa, ca: str) -> Iterable[Finding]:
    if not ca:
        return
    if caa.trouble is not Trouble.NONE:
        message = f"The CAA records of {display(caa.at)} cannot be read: the DNS server {caa.trouble.value}."
        yield Finding("caa.unreadable", "warning", message, "Certificate authorities issue nothing while that is so.")
        return
    may = allowed(caa, wildcard=name.is_wildcard)
    if may is not None and ca not in may:
        who = f"only {', '.join(sorted(may))}" if may else "no certificate authority at all"
        message = f"CAA allows {who} (the record of {display(caa.at)}), so {ca} will issue no certificate."
        yield Finding("caa.forbids", "error", message, f"Add a CAA record that allows {ca}.")
    for condition in _conditions(caa, ca):
        message = f"CAA lets {ca} issue on a condition (RFC 8657): {condition}."
        yield Finding("caa.conditions", "warning", message, "Look whether the account and the way of proof fit it.")


def changes(name: DomainName, caa: Caa, ca: str) -> tuple[Change, ...]:
    may = allowed(caa, wildcard=name.is_wildcard)
    if not ca or may is None or ca in may:
        return ()
    wild = name.is_wildcard and any(" issuewild " in record.value for record in caa.records)
    tag = "issuewild" if wild else "issue"
    return (Change("add", "CAA", name.relative(caa.at), to=f'0 {tag} "{ca}"'),)
