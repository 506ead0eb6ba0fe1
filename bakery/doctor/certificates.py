"""What names and certificates depend on: Certbot and its timer, resolvers, ports that arrive, the clock, the dates.

Of the outside only what somebody wants is asked: a Bakery without a name of its own needs none of it.
"""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import parsedate_to_datetime

import dns.exception
import dns.message
import dns.query
import requests
from django.db import DatabaseError
from django.utils import timezone

from bakery.doctor.finding import Finding, ok, warning, wrong
from bakery.doctor.programs import VERSION, located
from bakery.environment import Environment
from domains.models import Certificate, Domain
from infrastructure.certbot.plans import LETS_ENCRYPT
from infrastructure.dns.asking import Server
from infrastructure.errors import Problem
from infrastructure.runner import Command, Runner

RENEWAL = "bakery-certificates"
SECONDS = 4.0
SOON = timedelta(days=14)
LARGEST_SKEW = 300  # seconds; beyond that, what was issued just now is not valid yet


def certificate_findings(bakery: Environment, runner: Runner) -> list[Finding]:
    findings = [_certbot(bakery, runner), *(_timer(runner) if bakery.processes == "systemd" else [])]
    try:
        is_wanted = Domain.objects.filter(generated=False).exists()
        certificates = list(Certificate.objects.exclude(fingerprint="").for_list())
    except DatabaseError:  # said elsewhere
        return findings
    if is_wanted:
        with ThreadPoolExecutor(8) as together:
            looks = [together.submit(_resolver, one) for one in bakery.dns_resolvers]
            looks += [together.submit(_arrives, bakery.public_ip, port) for port in _ports(bakery)]
            looks.append(together.submit(_authority, bakery))
            findings += [look.result() for look in looks]
    return [*findings, *(_dates(one) for one in certificates)]


def _certbot(bakery: Environment, runner: Runner) -> Finding:
    mend = "apt-get install certbot python3-certbot-nginx. An uploaded certificate is served without it."
    path = located(bakery.certbot)
    if path is None:
        return warning("Certbot", f"{bakery.certbot} is not on this host; it issues certificates.", mend)
    try:
        said = runner.run(Command((str(path), "--version"), timeout=30)).output
    except (Problem, OSError) as error:
        return wrong("Certbot", f"{path} does not start: {error}", mend)
    found = VERSION.search(said)
    return ok("Certbot", str(path), found[0] if found else "")


def _timer(runner: Runner) -> list[Finding]:
    def shown(unit: str, name: str) -> str:
        argv = ("systemctl", "--no-pager", "show", f"--property={name}", "--value", unit)
        return runner.run(Command(argv, timeout=15), check=False).output.strip()

    state, result = shown(f"{RENEWAL}.timer", "ActiveState"), shown(f"{RENEWAL}.service", "Result")
    if state != "active":
        mend = f"systemctl enable --now {RENEWAL}.timer; where it is not there, start install.sh again."
        return [wrong("Renewal", f"{RENEWAL}.timer is {state or 'unknown'}: certificates run out.", mend)]
    if result not in ("success", ""):
        return [warning("Renewal", f"the last one failed ({result}).", f"journalctl -u {RENEWAL} says why.")]
    return [ok("Renewal", f"{RENEWAL}.timer, twice a day")]


def _resolver(where: str) -> Finding:
    subject = "Resolver"
    server = Server.parse(where)
    query = dns.message.make_query(".", "NS")
    try:
        dns.query.udp(query, server.address, timeout=SECONDS, port=server.port, ignore_unexpected=True)
    except (dns.exception.DNSException, OSError, ValueError) as error:
        why = "does not answer" if isinstance(error, dns.exception.Timeout) else f"cannot be asked: {error}"
        mend = "Name others in BAKERY_DNS_RESOLVERS, or let UDP and TCP out to port 53."
        return warning(subject, f"{where} {why}", mend)
    return ok(subject, f"{where} answers")


def _ports(bakery: Environment) -> tuple[int, ...]:
    return (bakery.public_http_port, bakery.https_port) if bakery.public_ip else ()


def _arrives(address: str, port: int) -> Finding:
    try:
        with socket.create_connection((address, port), timeout=SECONDS):
            return ok(f"Port {port}", f"{address} accepts connections")
    except OSError as error:
        mend = (
            "Open it in the firewalls of the machine and of its provider. Behind some routers a machine does not reach "
            "its own public address: then try from elsewhere."
        )
        return warning(f"Port {port}", f"{address} cannot be reached from here: {error.strerror or error}", mend)


def _authority(bakery: Environment) -> Finding:
    """Whether who issues certificates can be reached, and agrees with our clock."""
    url = bakery.certbot_server or LETS_ENCRYPT
    try:
        answer = requests.get(url, timeout=SECONDS)
    except requests.RequestException as error:
        mend = "Let https out of this host. Is its clock right?"
        return warning("ACME server", f"{url} cannot be reached: {type(error).__name__}", mend)
    with contextlib.suppress(ValueError, TypeError):
        skew = abs((timezone.now() - parsedate_to_datetime(answer.headers["Date"])).total_seconds())
        if skew > LARGEST_SKEW:
            detail = f"is {skew:.0f} s away from what {url} says: new certificates count as invalid."
            return wrong("Clock", detail, "timedatectl set-ntp true (package systemd-timesyncd).")
    return ok("ACME server", f"{url} answers, and has our time")


def _dates(certificate: Certificate) -> Finding:
    whose = f"Certificate of {certificate.deployment.name if certificate.deployment else 'the panel'}"
    ends, why = certificate.not_after, f" The last try failed: {certificate.error_message}" * bool(certificate.failures)
    if ends is None:
        return ok(whose, ", ".join(certificate.names))
    mend = f"{certificate.error_hint} certificate renew tries again." if why else "certificate renew renews it."
    if ends <= timezone.now():
        return wrong(whose, f"expired on {ends:%d %B %Y}: browsers warn of it.{why}", mend.strip())
    if ends - timezone.now() < SOON:
        return warning(whose, f"expires on {ends:%d %B %Y}.{why}", mend.strip())
    return ok(whose, f"good until {ends:%d %B %Y}")
