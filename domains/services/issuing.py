"""What a worker does for a certificate, in the order of the story:

``check DNS → issue → install certificate → serve → verify TLS``
"""

from __future__ import annotations

import datetime as dt
import errno
import json
import time

from django.utils import timezone

from bakery.models import Task
from deployments.services import host
from domains.models import Certificate, Challenge, Domain, Source
from domains.services import outcomes
from domains.services.authority import certbot, proof_for
from domains.services.certificate_job import CertificateJob
from domains.services.eligibility import Chosen, choose, covers, covers_all, domains_of, is_public, told
from domains.services.issuance import Wish
from domains.services.serving import apply_names, look_at
from domains.services.verification import verify
from infrastructure.certbot.certbot import Certbot, Issued
from infrastructure.certbot.failures import IssuanceFailed
from infrastructure.certbot.plans import Order
from infrastructure.certificates.pem import Facts, Pair, read_pair
from infrastructure.errors import HostProblem, Refused
from infrastructure.hostnames import display

SERVED_WITHIN = 60.0  # seconds, for Nginx to show the new certificate; a busy deployment may take longer
FRESH, MOST_LOOKS = dt.timedelta(minutes=10), 10
BUSY_WITHIN = 300.0  # seconds, for another Certbot (the timer's) to end


def carry_out(job: CertificateJob) -> None:
    if Wish.REMOVE in job.wishes:
        remove(job)
    elif Wish.UPLOAD in job.wishes:
        install_uploaded(job)
    else:
        issue(job)


def issue(job: CertificateJob) -> None:
    certificate = job.certificate
    with job.phase("check DNS"):
        chosen = _checked(job)
    tool = certbot(job.runner)
    with job.phase("issue"):
        job.refuse_cancelled()
        issued = _issue(job, tool, chosen)
        # From here on it is not cancelled: what the authority has counted is used.
    with job.phase("install certificate"):
        pair = _read(issued, chosen)
        before = certificate.names if certificate.is_installed else []
        _install(job, pair, Source.CERTBOT)
        Certificate.objects.filter(pk=certificate.pk).update(left_out=chosen.left_out, tried_at=timezone.now())
    _serve(job, pair, before)


def install_uploaded(job: CertificateJob) -> None:
    certificate = job.certificate
    before = certificate.names if certificate.is_installed else []
    with job.phase("install certificate"):
        if not certificate.uploaded:
            if job.is_resumed and certificate.source == Source.UPLOADED:
                return  # the worker that died had done it
            raise Refused("certificate.upload-gone", "What was uploaded is no longer there.", "Upload it again.")
        text = json.loads(certificate.uploaded.reveal())
        pair = read_pair(text["chain"].encode("ascii"), text["key"].encode("ascii"))
        # Certbot lets go of the name first: its timer would put its own certificate over this one.
        certbot(job.runner).delete(certificate.store_name)
        _install(job, pair, Source.UPLOADED)
        Certificate.objects.filter(pk=certificate.pk).update(uploaded="")
    _serve(job, pair, before)


def remove(job: CertificateJob) -> None:
    certificate = job.certificate
    with job.phase("remove certificate"):
        forget_files(certificate.store_name, certbot(job.runner))
        outcomes.end_alarms_of(certificate, [domain.hostname for domain in domains_of(certificate.deployment)])
        _forget_what_was_served(certificate)
        own = Domain.objects.filter(deployment=certificate.deployment, generated=False)
        if certificate.automatic or not own.exists():  # its last name is gone: nothing is left to be said of it
            Certificate.objects.filter(pk=certificate.pk).delete()
        else:
            _empty(certificate)
    with job.phase("serve"):
        apply_names(certificate.deployment, by=job.task.requested_by)


def forget_files(store_name: str, tool: Certbot) -> None:
    """Out of Nginx's store and Certbot's directory. May be repeated."""
    tool.delete(store_name)
    host.router().certificates.remove(store_name)


def _checked(job: CertificateJob) -> Chosen:
    """Which names it will have. One whose DNS does not look right now is left out and said, not waited for."""
    certificate = job.certificate
    domains = domains_of(certificate.deployment)
    if certificate.challenge == Challenge.HTTP and Wish.OVERRIDE_DNS not in job.wishes:
        domains = _looked_at(job, domains)
    chosen = choose(certificate, domains, override_dns=Wish.OVERRIDE_DNS in job.wishes)
    if chosen.left_out:
        job.say(f"Left out. {told(chosen.left_out)}.")
    if not chosen.ready:
        raise Refused(
            "certificate.no-names-ready",
            f"No name is ready for a certificate. {told(chosen.left_out)}".strip(),
            "Correct its DNS and verify it; Bakery asks again by itself.",
        )
    job.say(f"For {outcomes.in_words(list(chosen.ready), 20)}")
    return chosen


def _looked_at(job: CertificateJob, domains: list[Domain]) -> list[Domain]:
    """What DNS says now: a try that the authority counts is worth a look. Fresh verdicts are believed."""
    since = timezone.now() - FRESH
    stale = [domain for domain in domains if is_public(domain.hostname) and not _is_after(domain.checked_at, since)]
    for domain in stale[:MOST_LOOKS]:
        job.refuse_cancelled()
        job.say(f"Looking at the DNS of {display(domain.hostname)}")
        verify(domain)
    return domains_of(job.certificate.deployment) if stale else domains


def _is_after(moment: dt.datetime | None, since: dt.datetime) -> bool:
    return moment is not None and moment > since


def _issue(job: CertificateJob, tool: Certbot, chosen: Chosen) -> Issued:
    certificate = job.certificate
    order = Order(certificate.store_name, chosen.ready, proof_for(certificate, tool), _is_forced(job, tool))
    deadline = time.monotonic() + BUSY_WITHIN
    while True:
        try:
            issued = tool.issue(order, job.log)
            break
        except IssuanceFailed as problem:
            if problem.id != "certbot.busy" or time.monotonic() > deadline:
                raise
        job.say("Another Certbot is at work; waiting for it")
        _wait(job, 2.0)
    job.say("Issued" if issued.is_new else "The one that there is has not come to the last third of its life: kept")
    return issued


def _is_forced(job: CertificateJob, tool: Certbot) -> bool:
    """Whether a new one is wanted in any case. A worker that died may have had it issued already."""
    certificate = job.certificate
    there = tool.facts_of(certificate.store_name)
    began = job.task.started_at
    # Authorities date a certificate back by up to an hour; its file is as old as it is.
    if job.is_resumed and there and began and tool.issued_at(certificate.store_name) >= began.timestamp():
        return False
    if Wish.FORCE in job.wishes or certificate.revoked_at is not None:
        return True
    return there is not None and tool.is_of_another_authority(certificate.store_name)


def _read(issued: Issued, chosen: Chosen) -> Pair:
    pair = read_pair(issued.chain, issued.key)
    if not covers_all(pair.names, chosen.ready):
        missing = [name for name in chosen.ready if not covers(pair.names, name)]
        raise HostProblem(
            "certificate.names",
            f"The certificate that was issued is not for {outcomes.in_words(missing)}.",
            "Ask again; if that does not help, see the log.",
        )
    return pair


def _install(job: CertificateJob, pair: Pair, source: str) -> None:
    try:
        host.router().certificates.install(job.certificate.store_name, pair)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise HostProblem(
            "certificate.disk-full",
            "The disk is full, so the new certificate could not be put where Nginx reads it.",
            "Make room. The certificate that is served now goes on being served; Bakery tries again by itself.",
        ) from error
    outcomes.installed(job.certificate, pair, source)
    job.say(f"Installed: {outcomes.in_words(list(pair.names))}, until {pair.not_after:%d %B %Y}")


def _serve(job: CertificateJob, facts: Facts, before: list[str]) -> None:
    """Nginx reads the files at each handshake, so it is only told when other names have HTTPS than before."""
    certificate = job.certificate
    names = [domain.hostname for domain in domains_of(certificate.deployment) if facts.covers(domain.hostname)]
    with job.phase("serve"):
        if set(before) != set(facts.names):
            apply_names(certificate.deployment, by=job.task.requested_by)
    with job.phase("verify TLS"):
        deadline = time.monotonic() + SERVED_WITHIN
        while waiting := look_at(certificate, names):
            if time.monotonic() > deadline:
                break
            time.sleep(0.3)
        if not waiting:
            job.say(f"Served at {outcomes.in_words(names)}")
        elif _is_busy(certificate):
            job.say(f"{outcomes.in_words(waiting)}: served when the deployment has done what it is at")
        else:
            rows = Domain.objects.filter(hostname__in=waiting)
            why = "; ".join(f"{row.hostname}: {row.served_problem}" for row in rows[:4])
            raise HostProblem(
                "certificate.not-served",
                f"The certificate is installed, and Nginx does not show it. {why}",
                "See manage.py doctor; Bakery looks again by itself.",
            )


def _is_busy(certificate: Certificate) -> bool:
    """Whether the engine, which tells Nginx of the names, still has work to do for the deployment."""
    if certificate.deployment is None:
        return False
    return Task.objects.unfinished().of_the_engine().filter(deployment=certificate.deployment).exists()


def _forget_what_was_served(certificate: Certificate) -> None:
    Domain.objects.filter(deployment=certificate.deployment).update(
        served_fingerprint="", served_until=None, served_problem="", served_at=None
    )


def _empty(certificate: Certificate) -> None:
    """The row stays, as it holds that nothing is to be issued by itself."""
    fresh = Certificate(pk=certificate.pk, deployment=certificate.deployment, automatic=False)
    fresh.challenge, fresh.dns_provider = certificate.challenge, certificate.dns_provider
    fresh.save(force_update=True)


def _wait(job: CertificateJob, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job.refuse_cancelled()
        time.sleep(0.2)
