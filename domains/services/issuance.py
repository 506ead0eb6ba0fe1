"""What can be asked about certificates: issue, renew, upload, remove. Each writes a ``Task`` and wakes a worker.

The row is the request, as with deployments. A task's ``ref`` holds what was said with it, as words of ``Wish``.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import User
from bakery.events import announce
from bakery.models import Task, TaskKind
from bakery.roles import Role
from deployments.models import Deployment
from domains.models import Certificate, Challenge, DnsProvider, Domain, Source
from domains.services.authority import no_provider
from domains.services.eligibility import Chosen, choose, covers, domains_of, told
from infrastructure.certbot.dns_plugins import plugin_called
from infrastructure.certificates.pem import read_pair
from infrastructure.errors import Problem, Refused
from infrastructure.hostnames import display
from infrastructure.secret import Secret

logger = logging.getLogger(__name__)


class Wish:
    """What a task's ``ref`` may say."""

    OVERRIDE_DNS = "override-dns"  # also names whose DNS does not look right
    FORCE = "force"  # a new one, though the one that is installed would be good for long
    UPLOAD = "upload"
    REMOVE = "remove"


def request_certificate(
    deployment: Deployment | None, *, by: User | None, override_dns: bool = False, force: bool = False
) -> Task:
    """Have a certificate issued for all names whose DNS is right. ``override_dns``: for the others too. ``force``: also
    while Bakery waits after a failure (admins; never while the authority's own limit lasts)."""
    with transaction.atomic():
        certificate = certificate_of(deployment)
        _refuse_impossible(certificate, choose(certificate, domains_of(deployment), override_dns=override_dns))
        _refuse_early(certificate, by, force=force)
        return _queue(certificate, by, [Wish.OVERRIDE_DNS] if override_dns else [])


def renew(certificate: Certificate, *, by: User | None, force: bool = False) -> Task:
    """Renew it when less than a third of its life is left. ``force``: now, whatever its age, and in spite of a pause
    after a failure."""
    if certificate.source == Source.UPLOADED:
        raise Refused(
            "certificate.uploaded",
            "This certificate was uploaded, so Bakery cannot renew it.",
            "Upload its successor, or have one issued.",
        )
    if not certificate.is_installed:
        raise Refused("certificate.none", "There is no certificate yet that could be renewed.", "Have one issued.")
    with transaction.atomic():
        _refuse_early(certificate, by, force=force)
        return _queue(certificate, by, [Wish.FORCE] if force else [])


def upload_certificate(
    deployment: Deployment | None,
    chain: bytes | str,
    key: bytes | str,
    *,
    by: User | None,
    passphrase: str | None = None,
) -> Task:
    """Serve this one instead of an issued one. What is wrong with it is said at once (``Refused``); a worker installs
    it. It is not renewed by itself."""
    pair = read_pair(_bytes(chain), _bytes(key), passphrase=passphrase)
    names = [domain.hostname for domain in domains_of(deployment)]
    if not any(covers(pair.names, name) for name in names):
        raise Refused(
            "certificate.names",
            f"This certificate is for {', '.join(map(display, pair.names[:5]))}, which is none of the names here.",
            f"There are: {', '.join(map(display, names)) or 'none'}.",
        )
    sealed = json.dumps({"chain": pair.chain_pem.decode("ascii"), "key": pair.key_pem.decode("ascii")})
    with transaction.atomic():
        certificate = certificate_of(deployment)
        task = _queue(certificate, by, [Wish.UPLOAD])
        Certificate.objects.filter(pk=certificate.pk).update(uploaded=Secret(sealed))
    return task


def remove_certificate(certificate: Certificate, *, by: User | None) -> Task:
    """Take it away from Nginx and from Certbot: its names are served over HTTP alone from then on. It is not issued
    anew until somebody asks."""
    with transaction.atomic():
        task = _queue(certificate, by, [Wish.REMOVE])
        Certificate.objects.filter(pk=certificate.pk).update(automatic=False)
    return task


def remove_unused(certificate: Certificate) -> Task:
    """The same for one of which no name is left. A name that is added later gets a new one by itself."""
    with transaction.atomic():
        return _queue(certificate, None, [Wish.REMOVE])


def set_issuing(
    certificate: Certificate, *, automatic: bool, challenge: str, dns_provider: DnsProvider | None
) -> Certificate:
    """How it is issued from now on."""
    if challenge == Challenge.DNS and dns_provider is None:
        raise no_provider()
    certificate.automatic, certificate.challenge = automatic, Challenge(challenge)
    certificate.dns_provider = dns_provider if challenge == Challenge.DNS else None
    certificate.save(update_fields=["automatic", "challenge", "dns_provider"])
    announce("certificate", certificate.pk)
    return certificate


def save_dns_provider(
    name: str, plugin: str, credentials: str, *, propagation_seconds: int | None = None
) -> DnsProvider:
    """Make one, or change the one of that name. Raises ``Refused`` when the credentials lack what the plugin reads."""
    plugin_called(plugin).check(credentials)
    said = {"plugin": plugin, "credentials": Secret(credentials), "propagation_seconds": propagation_seconds}
    provider, _ = DnsProvider.objects.update_or_create(name=name.strip(), defaults=said)
    return provider


def certificate_of(deployment: Deployment | None) -> Certificate:
    """Its row, made when it has none."""
    certificate, _ = Certificate.objects.get_or_create(deployment=deployment)
    return certificate


def wake() -> None:
    """Tell a worker to look, once the transaction is committed. Should that be lost, beat makes up for it."""
    transaction.on_commit(_send_wake_up, robust=True)


def _send_wake_up() -> None:
    from domains.tasks import work_certificates

    try:
        work_certificates.apply_async(retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("No worker could be woken for a certificate: %s", error)


def _queue(certificate: Certificate, by: User | None, wishes: list[str]) -> Task:
    deployment = certificate.deployment
    if deployment is not None and deployment.deleting:
        raise Problem("deployment.deleting", f"{deployment.name} is being deleted.", "Nothing more can be asked of it.")
    said: dict[str, Any] = {"subject": certificate.subject, "deployment": deployment, "requested_by": by}
    try:
        with transaction.atomic():
            task = Task.objects.create(kind=TaskKind.CERTIFICATE, ref=" ".join(wishes), **said)
    except IntegrityError as error:
        raise Problem(
            "certificate.running",
            f"A certificate of {certificate.subject} is being worked on already.",
            "Wait until that has ended: see Activity.",
        ) from error
    announce("task", task.pk)
    if deployment is not None:
        announce("deployment", deployment.pk)
    wake()
    return task


def _refuse_impossible(certificate: Certificate, chosen: Chosen) -> None:
    if certificate.challenge == Challenge.DNS and certificate.dns_provider_id is None:
        raise no_provider()
    if chosen.ready:
        return
    if not chosen.left_out:
        own = Domain.objects.filter(deployment=certificate.deployment).exists()
        raise Refused(
            "certificate.no-names",
            f"{certificate.subject} has no name that a certificate could be issued for.",
            "Names that end in localhost stay on this machine: add a domain of your own."
            if own
            else "Add a domain first.",
        )
    raise Refused(
        "certificate.no-names-ready",
        f"No name is ready for a certificate. {told(chosen.left_out)}.",
        "Correct its DNS and verify it. When you know better, ask again in spite of DNS.",
    )


def _refuse_early(certificate: Certificate, by: User | None, *, force: bool) -> None:
    until = certificate.retry_after
    if until is None or until <= timezone.now():
        return
    of_the_authority = certificate.error_id == "acme.rate-limited"
    may_force = by is None or by.role == Role.ADMIN
    if force and may_force and not of_the_authority:
        return
    hint = "The limit is the certificate authority's: asking sooner would only prolong it."
    if not of_the_authority:
        hint = "Each failed try counts against its limits. An admin may insist: manage.py certificate issue … --force."
    raise Refused(
        "certificate.too-early",
        f"The last try failed: {certificate.error_message} Bakery asks again after {until:%d %B %Y, %H:%M} UTC.",
        hint,
    )


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text
