"""Why no certificate was issued, in words: what Certbot printed and logged, brought to one row of a table.

The kinds are those of RFC 8555, section 6.7; what Let's Encrypt limits stands in https://letsencrypt.org/docs/rate-limits/.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from dataclasses import dataclass

from infrastructure.certbot.connection_words import in_plain_words
from infrastructure.errors import Blame, Problem

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


class IssuanceFailed(Problem):
    """``not_before``: the authority, or good sense, wants no other try before. ``burns``: whether a try counts there,
    so that the next ones wait longer and longer."""

    def __init__(self, kind: Kind, detail: str, *, not_before: dt.datetime | None = None) -> None:
        message = kind.message.format(detail=detail) if detail else kind.message.replace(": {detail}", ".")
        super().__init__(kind.id, message, kind.hint.replace("{detail}", detail), blame=kind.blame)
        self.not_before = not_before
        self.burns = kind.burns


@dataclass(frozen=True)
class Kind:
    id: str
    message: str
    hint: str
    blame: Blame = Blame.APP
    burns: bool = True
    pause: dt.timedelta = dt.timedelta()  # at least so long until the next try


UNKNOWN = Kind(
    "acme.failed",
    "No certificate was issued: {detail}",
    "The log says what Certbot did. Try again when the reason is gone.",
    Blame.HOST,
)
RATE_LIMITED = Kind(
    "acme.rate-limited",
    "The certificate authority's limit is reached: {detail}",
    "Bakery asks again by itself when the authority allows it. To try things out, set CERTBOT_STAGING=true.",
    pause=HOUR,
)
TOO_LATE = Kind(
    "acme.too-late",
    "The certificate authority did not finish in time: {detail}",
    "Bakery tries again by itself; what is served now stays. Its status page may know more.",
    Blame.HOST,
)
MISSING = Kind(
    "certbot.missing",
    "Certbot is not on this host, so no certificate can be asked for.",
    "Install it: apt-get install certbot; or say where it is with BAKERY_CERTBOT.",
    Blame.HOST,
    burns=False,
)
OF_ACME = {
    "rateLimited": RATE_LIMITED,
    "dns": Kind(
        "acme.dns",
        "The certificate authority could not look a name up: {detail}",
        "Verify the domain's DNS here, correct its records, and ask again when that has spread.",
    ),
    "dnssec": Kind(
        "acme.dns",
        "The certificate authority does not believe the zone's DNSSEC signatures: {detail}",
        "Have the zone signed anew, or take the DS record away at the registrar.",
    ),
    "caa": Kind(
        "acme.caa",
        "A CAA record forbids this certificate authority: {detail}",
        'Add a CAA record that allows it (for Let\'s Encrypt: 0 issue "letsencrypt.org"), or take the others away.',
    ),
    "connection": Kind(
        "acme.connection",
        "The certificate authority could not reach this server at that name: {detail}",
        "Port 80 has to be open to everybody: look at the firewall, the router, and AAAA records.",
    ),
    "unauthorized": Kind(
        "acme.unauthorized",
        "Somebody else answered the certificate authority: {detail}",
        "The name points to another server, or a proxy stands in between: verify its DNS, AAAA records too.",
    ),
    "tls": Kind(
        "acme.tls",
        "A redirect led the certificate authority to a broken TLS connection: {detail}",
        "A proxy in front of this server redirects to https: switch that off until there is a certificate.",
    ),
    "rejectedIdentifier": Kind(
        "acme.rejected-name",
        "The certificate authority issues no certificate for this name: {detail}",
        "Choose another name, or upload a certificate from an authority that does.",
        pause=DAY,
    ),
    "unsupportedIdentifier": Kind(
        "acme.rejected-name",
        "The certificate authority issues no certificates for names of this kind: {detail}",
        "Choose another name, or upload a certificate.",
        pause=DAY,
    ),
    "badNonce": Kind(
        "acme.bad-nonce",
        "The certificate authority kept on refusing the requests' numbers: {detail}",
        "Nothing is wrong here; Bakery tries again.",
        Blame.HOST,
        burns=False,
    ),
    "serverInternal": Kind(
        "acme.server-error",
        "The certificate authority had an error of its own: {detail}",
        "Nothing is wrong here; Bakery tries again. Its status page may know more.",
        Blame.HOST,
        pause=dt.timedelta(minutes=10),
    ),
    "orderNotReady": Kind(
        "acme.not-ready",
        "The certificate authority was not ready to issue: {detail}",
        "Nothing is wrong here; Bakery tries again.",
        Blame.HOST,
    ),
    "accountDoesNotExist": Kind(
        "acme.account-gone",
        "The certificate authority does not know Bakery's account any more: {detail}",
        "Bakery has registered anew, and that did not help. Look whether CERTBOT_SERVER is the right one.",
        Blame.HOST,
    ),
    "userActionRequired": Kind(
        "acme.action-needed",
        "The certificate authority wants something done by hand: {detail}",
        "Follow the link that it names, mostly to agree to new terms; then ask again.",
        Blame.HOST,
        pause=HOUR,
    ),
    "externalAccountRequired": Kind(
        "acme.external-account",
        "The certificate authority takes only accounts that are bound to one with it: {detail}",
        "Register once with its EAB key: certbot register --eab-kid … --eab-hmac-key … with Bakery's --config-dir.",
        Blame.HOST,
        pause=HOUR,
    ),
    "malformed": Kind(
        "acme.malformed",
        "The certificate authority did not understand the request: {detail}",
        "Look whether one of the names is misspelt. Another version of Certbot may help.",
        Blame.BAKERY,
    ),
    "badCSR": Kind(
        "acme.bad-request",
        "The certificate authority does not take this request: {detail}",
        "Look whether it issues for keys of this kind (EC P-256) and for so many names.",
        pause=HOUR,
    ),
}
OF_ACME["incorrectResponse"] = OF_ACME["unauthorized"]
OF_ACME["unknownHost"] = OF_ACME["dns"]
OF_ACME["badPublicKey"] = OF_ACME["badSignatureAlgorithm"] = OF_ACME["badCSR"]
for _name in ("invalidContact", "unsupportedContact", "invalidEmail"):
    OF_ACME[_name] = Kind(
        "acme.contact",
        "The certificate authority does not take the e-mail address: {detail}",
        "Set CERTBOT_EMAIL to one that receives mail, or leave it empty.",
        Blame.HOST,
        burns=False,
    )

# What Certbot says for itself, first found wins.
IN_WORDS: tuple[tuple[re.Pattern[str], Kind], ...] = tuple(
    (re.compile("|".join(patterns), re.IGNORECASE), kind)
    for patterns, kind in (
        (
            ("no space left on device", "disk quota exceeded", r"errno 28\b"),
            Kind(
                "certbot.disk-full",
                "The disk is full, so Certbot could not write: {detail}",
                "Make room on it. The certificate that is served now goes on being served.",
                Blame.HOST,
                pause=HOUR,
            ),
        ),
        (
            ("another instance of certbot is already running",),
            Kind(
                "certbot.busy",
                "Another Certbot is at work in the same directory.",
                "It renews certificates by its timer, perhaps. Ask again when it has ended.",
                Blame.HOST,
                burns=False,
            ),
        ),
        (
            (
                r"the requested (?P<plugin>[\w-]+) plugin does not appear to be installed",
                r"unrecognized arguments: --(?P<option>dns-[a-z0-9]+)",
            ),
            Kind(
                "certbot.plugin-missing",
                "Certbot has no plugin {detail} on this host.",
                "Install it: apt-get install python3-certbot-{detail}",
                Blame.HOST,
                burns=False,
            ),
        ),
        (
            ("could not choose appropriate plugin", r"the (?P<plugin>[\w-]+) plugin is not working"),
            Kind(
                "certbot.plugin-broken",
                "Certbot's plugin does not work on this host: {detail}",
                "CERTBOT_AUTHENTICATOR=webroot needs none.",
                Blame.HOST,
                burns=False,
            ),
        ),
        (
            (
                r"error (?:adding|creating|determining|finding|getting) .*(?:zone|TXT|domain|record)",
                "unable to determine base domain",
                "encountered error (?:adding|finding)",
                "received response from server: ",
                r"missing propert(?:y|ies) in credentials",
                "unable to (?:determine|locate) .*zone",
                "BADKEY|BADSIG|NOTAUTH|peer didn.t know the key",
                "unable to locate credentials",
            ),
            Kind(
                "dns-provider.refused",
                "The DNS provider did not take the record that proves the name: {detail}",
                "Look whether its credentials are right, and may change this zone.",
                burns=False,
            ),
        ),
        (
            ("sslerror", "certificate_verify_failed", "certificate verify failed"),
            Kind(
                "acme.untrusted",
                "This host does not trust the certificate authority's own server: {detail}",
                "Behind a proxy, or for an authority of your own, name its CA file in REQUESTS_CA_BUNDLE.",
                Blame.HOST,
                burns=False,
            ),
        ),
        (("read timed out", "readtimeout"), TOO_LATE),
        (
            (
                "connectionerror",
                "connection refused",
                "max retries exceeded",
                "name or service not known",
                "temporary failure in name resolution",
                "network is unreachable",
                "remote end closed connection",
            ),
            Kind(
                "acme.unreachable",
                "The certificate authority cannot be reached: {detail}",
                "Bakery tries again by itself; what is served now stays. Look at this host's way out.",
                Blame.HOST,
            ),
        ),
        ((r"certbot\.errors\.authorizationerror", "some challenges have failed"), OF_ACME["unauthorized"]),
    )
)
OF_THE_CONNECTION = ("acme.untrusted", "acme.too-late", "acme.unreachable")
TYPE = re.compile(r"urn:ietf:params:acme:error:([A-Za-z]+)")
RAISED = re.compile(r"acme\.messages\.Error: urn:ietf:params:acme:error:([A-Za-z]+) :: ([^\n]+)")
DETAIL = re.compile(r'"detail":\s*"((?:[^"\\]|\\.)*)"')
RETRY_AFTER = re.compile(r"^Retry-After:\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
RETRY_IN_WORDS = re.compile(r"retry after (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)", re.IGNORECASE)
PROBLEM = re.compile(
    r"^\s*Domain:\s*(?P<name>\S+)\s*\n\s*Type:\s*(?P<type>\w+)\s*\n\s*Detail:\s*(?P<detail>.+)$", re.MULTILINE
)


def translate(output: str, log: str, now: dt.datetime) -> IssuanceFailed:
    """``output`` is what Certbot printed, ``log`` its log of this run: the latter holds what the server answered."""
    if problems := list(PROBLEM.finditer(output)):
        kind = OF_ACME.get(problems[0]["type"], UNKNOWN)
        told = "; ".join(f"{each['name']}: {_clean(each['detail'])}" for each in problems[:3])
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        return IssuanceFailed(kind, told + more, not_before=_later(now, kind))
    if of_server := _of_server(output, log):
        kind, detail = of_server
        asked = _retry_after(detail, log, now) if kind is RATE_LIMITED else None
        return IssuanceFailed(kind, detail, not_before=asked or _later(now, kind))
    last = _last_line(output)
    for text in (output, log):
        for pattern, kind in IN_WORDS:
            if found := pattern.search(text):
                groups = found.groupdict()
                named = groups.get("option") or groups.get("plugin") or ""
                detail = named if kind.id == "certbot.plugin-missing" else last
                if kind.id in OF_THE_CONNECTION:
                    detail = in_plain_words(last)
                return IssuanceFailed(kind, detail, not_before=_later(now, kind))
    return IssuanceFailed(UNKNOWN, last, not_before=None)


def _of_server(output: str, log: str) -> tuple[Kind, str] | None:
    """The refusal that ended it. A nonce that was refused is asked for anew, so it is the reason only when alone.
    Read from the log: some versions of Certbot die of their own mistake while they print it (2.1 on Python 3.11)."""
    if raised := RAISED.findall(log):
        kind, told = raised[-1]
        parts = told.split(" :: ")
        return OF_ACME.get(kind, UNKNOWN), _clean(parts[min(1, len(parts) - 1)])
    kinds = [match for match in TYPE.finditer(log) if match[1] != "badNonce"] or list(TYPE.finditer(output))
    if not kinds:
        return None
    last = kinds[-1]
    details = DETAIL.findall(log, last.start())[:1] or DETAIL.findall(log, max(0, last.start() - 500))[-1:]
    told = details[0].replace('\\"', '"').replace("\\n", " ") if details else _last_line(output)
    return OF_ACME.get(last[1], UNKNOWN), _clean(told)


def _retry_after(detail: str, log: str, now: dt.datetime) -> dt.datetime | None:
    """When the authority lets us ask again: in words, or in its header (seconds, or a date; RFC 9110, 10.2.3)."""
    if found := RETRY_IN_WORDS.search(detail):
        moment = dt.datetime.fromisoformat(found[1].replace("T", " ")).replace(tzinfo=dt.timezone.utc)
    elif headers := RETRY_AFTER.findall(log):
        if headers[-1].isdigit():
            moment = now + dt.timedelta(seconds=min(int(headers[-1]), 30 * 86400))
        else:
            try:
                moment = email.utils.parsedate_to_datetime(headers[-1])
            except (TypeError, ValueError):
                return None
            moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.timezone.utc)
    else:
        return None
    return max(moment, now + dt.timedelta(minutes=1))


def _later(now: dt.datetime, kind: Kind) -> dt.datetime | None:
    return now + kind.pause if kind.pause else None


def _last_line(output: str) -> str:
    said = [line.strip() for line in output.splitlines() if line.strip()]
    useful = [line for line in said if not line.startswith(("Ask for help", "Saving debug log", "- - -", "Hint:"))]
    return _clean(useful[-1]) if useful else ""


def _clean(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:500]
