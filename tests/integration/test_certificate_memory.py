"""What Bakery remembers of a certificate between two looks: failures and pauses, what to ask for, what to tell of."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from bakery.models import Alarm, Task, TaskKind, TaskState
from deployments.models import Deployment
from deployments.services import host, requests
from deployments.services.settings import create_deployment
from domains.models import Certificate, Challenge, DnsProvider, Domain, Source, Verdict
from domains.services import issuance, outcomes
from domains.services.certificate_work import work
from domains.services.tending import forget_leftovers, tend
from domains.services.watching import notice_renewal, renew_in_time
from infrastructure.certbot.failures import OF_ACME, RATE_LIMITED, IssuanceFailed
from infrastructure.certificates.pem import read_pair
from infrastructure.errors import Problem, Refused
from tests.certificates import Authority
from tests.integration.acme import needs
from tests.integration.bad_authority import BadAuthority
from tests.integration.people import alice, bob

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
DAY = dt.timedelta(days=1)


@pytest.fixture
def place() -> Iterator[Path]:
    """A data directory of the test's own, where no running instance looks."""
    with tempfile.TemporaryDirectory(prefix="bakery-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def own_host(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings, "BAKERY", replace(settings.BAKERY, data_dir=place, certbot_server="https://nowhere"))
    host.router.cache_clear()
    host.router().prefix.run.mkdir(parents=True)
    yield
    host.router.cache_clear()


@pytest.fixture
def shop() -> Deployment:
    made = create_deployment(by=None, name="shop", repository="https://example.com/shop.git")
    Domain.objects.create(
        deployment=made, hostname="shop.example.test", verdict=Verdict.RIGHT, checked_at=timezone.now()
    )
    return made


@pytest.fixture
def installed(shop: Deployment) -> Certificate:
    """Issued 80 days ago, for 90."""
    certificate = issuance.certificate_of(shop)
    pair = read_pair(*_pems(Authority(), "shop.example.test", (-80, 10)))
    host.router().certificates.install(certificate.store_name, pair)
    outcomes.installed(certificate, pair, Source.CERTBOT)
    return certificate


def _pems(authority: Authority, name: str, days: tuple[int, int] = (-1, 89)) -> tuple[bytes, bytes]:
    made = authority.issue(name, days=days)
    return made.chain_pem, made.key_pem


def unauthorized() -> IssuanceFailed:
    return IssuanceFailed(OF_ACME["unauthorized"], "404")


def alarms() -> dict[str, Alarm]:
    return {alarm.key.split(":")[0]: alarm for alarm in Alarm.objects.filter(ended_at=None)}


def tasks() -> list[Task]:
    return list(Task.objects.filter(kind=TaskKind.CERTIFICATE).order_by("pk"))


def test_a_first_certificate_is_asked_for_by_itself_and_once(shop: Deployment) -> None:
    assert [task.subject for task in tend()] == ["shop"]
    assert tend() == []
    with pytest.raises(Problem, match="worked on already") as caught:
        issuance.request_certificate(shop, by=bob())
    assert caught.value.id == "certificate.running"


def test_names_whose_dns_is_wrong_are_refused_unless_somebody_knows_better(shop: Deployment) -> None:
    Domain.objects.update(verdict=Verdict.WRONG)
    assert tend() == []
    with pytest.raises(Refused, match="does not lead here") as caught:
        issuance.request_certificate(shop, by=bob())
    assert caught.value.id == "certificate.no-names-ready"
    task = issuance.request_certificate(shop, by=bob(), override_dns=True)
    assert task.requested_by == bob()


def test_names_of_this_machine_get_no_certificate(shop: Deployment) -> None:
    Domain.objects.filter(generated=False).delete()
    assert tend() == []
    with pytest.raises(Refused) as caught:
        issuance.request_certificate(shop, by=None)
    assert caught.value.id == "certificate.no-names"


def test_each_failure_makes_the_next_try_wait_longer(shop: Deployment) -> None:
    certificate = issuance.certificate_of(shop)
    waits = []
    for _ in range(6):
        outcomes.failed(certificate, unauthorized())
        assert certificate.retry_after is not None
        waits.append(certificate.retry_after - timezone.now())
    assert waits == sorted(waits)
    assert waits[0] < dt.timedelta(minutes=3) and waits[-1] > dt.timedelta(hours=2)
    assert tend() == []
    assert "could not be issued" in alarms()["certificate.renewal-failed"].message


def test_a_try_that_comes_too_early_is_refused_with_the_time_and_an_admin_may_insist(shop: Deployment) -> None:
    outcomes.failed(issuance.certificate_of(shop), unauthorized())
    for by, force in ((bob(), False), (bob(), True), (alice(), False)):
        with pytest.raises(Refused, match="asks again after") as caught:
            issuance.request_certificate(shop, by=by, force=force)
        assert caught.value.id == "certificate.too-early"
    assert issuance.request_certificate(shop, by=alice(), force=True)


def test_nobody_may_insist_against_the_authoritys_limit(shop: Deployment) -> None:
    until = timezone.now() + 2 * DAY
    outcomes.failed(issuance.certificate_of(shop), IssuanceFailed(RATE_LIMITED, "too many", not_before=until))
    with pytest.raises(Refused, match=f"{until:%d %B %Y, %H:%M}"):
        issuance.request_certificate(shop, by=None, force=True)
    Certificate.objects.update(retry_after=timezone.now() - dt.timedelta(seconds=1))
    assert issuance.request_certificate(shop, by=bob())


def test_a_failed_renewal_alarms_and_a_success_ends_that(installed: Certificate) -> None:
    outcomes.failed(installed, unauthorized())
    alarm = alarms()["certificate.renewal-failed"]
    assert "could not be renewed" in alarm.message and "is good until" in alarm.hint
    assert alarm.deployment == installed.deployment
    pair = read_pair(*_pems(Authority(), "shop.example.test"))
    outcomes.installed(installed, pair)
    assert alarms() == {}
    assert (installed.failures, installed.retry_after, installed.error_id) == (0, None, "")


@pytest.mark.parametrize(
    ("days", "said", "urgent"),
    [
        (40, "", False),
        (20.5, "expires in 20 days", False),
        (13.5, "expires in 13 days", False),
        (6.5, "expires in 6 days", True),
        (0.5, "expires today", True),
        (-1, "has expired", True),
    ],
)
def test_an_alarm_becomes_more_urgent_as_the_end_comes_near(
    installed: Certificate, days: float, said: str, urgent: bool
) -> None:
    installed.not_after = timezone.now() + days * DAY
    installed.not_before = installed.not_after - 90 * DAY
    outcomes.tell_of_expiry(installed)
    found = alarms().get("certificate.expires")
    assert bool(found) == bool(said)
    if found:
        assert said in found.message
        assert found.urgent == urgent
    installed.not_after = timezone.now() + 80 * DAY
    outcomes.tell_of_expiry(installed)
    assert alarms() == {}


def test_a_certificate_that_lives_for_days_is_warned_of_in_its_last_quarter(installed: Certificate) -> None:
    installed.not_before, installed.not_after = timezone.now() - 3 * DAY, timezone.now() + 3 * DAY
    outcomes.tell_of_expiry(installed)
    assert alarms() == {}
    installed.not_before, installed.not_after = timezone.now() - 5 * DAY, timezone.now() + DAY
    outcomes.tell_of_expiry(installed)
    assert "certificate.expires" in alarms()


def test_it_is_renewed_in_the_last_third_of_its_life_after_certbots_timer_had_its_turn(installed: Certificate) -> None:
    for left, renewed in ((40, False), (29.5, False), (28.5, True)):
        installed.not_after = timezone.now() + left * DAY
        installed.not_before = installed.not_after - 90 * DAY
        assert bool(renew_in_time(installed)) is renewed
    assert renew_in_time(installed) is None  # it is being done
    Task.objects.update(state=TaskState.FAILED)
    outcomes.failed(installed, unauthorized())
    assert renew_in_time(installed) is None  # not yet again
    installed.retry_after, installed.automatic = None, False
    assert renew_in_time(installed) is None


def test_a_name_more_and_a_name_less_have_it_issued_anew(installed: Certificate, shop: Deployment) -> None:
    assert tend() == []
    Domain.objects.filter(generated=False).update(verdict=Verdict.WRONG)  # for a while
    assert tend() == []
    Domain.objects.create(deployment=shop, hostname="www.example.test", verdict=Verdict.RIGHT)
    assert len(tend()) == 1
    Task.objects.filter(kind=TaskKind.CERTIFICATE).delete()
    Certificate.objects.update(names=["shop.example.test", "www.example.test", "gone.example.test"])
    assert len(tend()) == 1


def test_what_is_uploaded_or_switched_off_is_left_alone(installed: Certificate, shop: Deployment) -> None:
    Domain.objects.create(deployment=shop, hostname="www.example.test", verdict=Verdict.RIGHT)
    Certificate.objects.update(source=Source.UPLOADED)
    assert tend() == []
    Certificate.objects.update(source=Source.CERTBOT, automatic=False)
    assert tend() == []


def test_one_whose_files_are_gone_is_asked_for_again(installed: Certificate) -> None:
    host.router().certificates.remove(installed.store_name)  # as after a restore on another host
    assert len(tend()) == 1


def test_what_certbots_timer_has_renewed_is_noticed(installed: Certificate) -> None:
    outcomes.failed(installed, unauthorized())
    pair = read_pair(*_pems(Authority(), "shop.example.test"))
    host.router().certificates.install(installed.store_name, pair)  # as its hook does
    notice_renewal(installed)
    installed.refresh_from_db()
    assert installed.fingerprint == pair.fingerprint
    assert installed.failures == 0 and alarms() == {}


def test_what_a_failed_hook_left_in_certbots_directory_is_served(installed: Certificate, place: Path) -> None:
    chain, key = _pems(Authority(), "shop.example.test")
    live = place / "letsencrypt" / "config" / "live" / installed.store_name
    live.mkdir(parents=True)
    (live / "fullchain.pem").write_bytes(chain)
    (live / "privkey.pem").write_bytes(key)
    notice_renewal(installed)
    served = host.router().certificates.current(installed.store_name)
    assert served is not None and served.not_after > timezone.now() + 80 * DAY
    installed.refresh_from_db()
    assert installed.fingerprint == served.fingerprint


def test_files_that_belong_to_nobody_are_removed(installed: Certificate, shop: Deployment) -> None:
    assert forget_leftovers() == []
    name = installed.store_name
    shop.delete()
    assert forget_leftovers() == [name]
    assert not (host.router().certificates.root / name).exists()


def test_a_dns_provider_must_hold_what_its_plugin_reads(shop: Deployment) -> None:
    with pytest.raises(Refused, match="dns_cloudflare_api_token"):
        issuance.save_dns_provider("ours", "cloudflare", "something = else")
    with pytest.raises(Refused, match="no DNS plugin"):
        issuance.save_dns_provider("ours", "nonsense", "")
    provider = issuance.save_dns_provider("ours", "cloudflare", "dns_cloudflare_api_token = 0123456789abcdef")
    assert "0123456789abcdef" not in repr(DnsProvider.objects.get().credentials)
    certificate = issuance.certificate_of(shop)
    with pytest.raises(Refused):
        issuance.set_issuing(certificate, automatic=True, challenge=Challenge.DNS, dns_provider=None)
    issuance.set_issuing(certificate, automatic=True, challenge=Challenge.DNS, dns_provider=provider)
    Domain.objects.filter(generated=False).update(hostname="*.example.test", verdict=Verdict.UNCHECKED)
    assert len(tend()) == 1  # DNS need not lead here


def test_one_that_is_being_deleted_gets_none(shop: Deployment) -> None:
    requests.delete(shop, by=None)
    assert [task for task in tend() if task.kind == TaskKind.CERTIFICATE] == []
    shop.refresh_from_db()
    with pytest.raises(Problem, match="being deleted"):
        issuance.request_certificate(shop, by=None)


@pytest.mark.django_db(transaction=True)
def test_a_worker_remembers_the_limit_that_the_authority_has_told(
    installed: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("certbot")
    bad = BadAuthority(tmp_path, kind="rateLimited", status=429, headers={"Retry-After": "86400"}).start()
    try:
        monkeypatch.setattr(settings, "BAKERY", replace(settings.BAKERY, certbot_server=bad.directory))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bad.bundle))
        before = host.router().certificates.current(installed.store_name)
        task = issuance.renew(installed, by=None)
        work()
        task.refresh_from_db()
        assert (task.state, task.error_id) == (TaskState.FAILED, "acme.rate-limited"), task.error_message
        assert [step.phase for step in task.steps.filter(argv__isnull=True)] == ["check DNS", "issue"]
        installed.refresh_from_db()
        assert installed.retry_after is not None and installed.retry_after > timezone.now() + 0.9 * DAY
        assert host.router().certificates.current(installed.store_name) == before  # goes on being served
        assert "certificate.renewal-failed" in alarms()
        with pytest.raises(Refused):
            issuance.renew(installed, by=None, force=True)
        work()
        assert bad.orders == 1
    finally:
        bad.stop()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk is made with a small tmpfs, which takes root")
def test_a_full_disk_leaves_the_old_certificate_served(installed: Certificate, place: Path) -> None:
    root = host.router().certificates.root
    kept = place / "kept"
    shutil.move(root, kept)
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(root)], check=True)
    try:
        shutil.copytree(kept, root, symlinks=True, dirs_exist_ok=True)
        before = host.router().certificates.current(installed.store_name)
        assert before is not None
        (root / "rest").write_bytes(b"\0" * 4096 * _free_pages(root))
        chain, key = _pems(Authority(), "shop.example.test")
        task = issuance.upload_certificate(installed.deployment, chain, key, by=bob())
        work()
        task.refresh_from_db()
        assert (task.state, task.error_id) == (TaskState.FAILED, "certificate.disk-full")
        assert "goes on being served" in task.error_hint
        assert host.router().certificates.current(installed.store_name) == before
        installed.refresh_from_db()
        assert not installed.uploaded  # a key that nobody waits for is not kept
    finally:
        subprocess.run(["umount", str(root)], check=True)


def _free_pages(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize // 4096


@pytest.mark.django_db(transaction=True)
def test_a_task_whose_worker_dies_again_and_again_is_given_up(installed: Certificate) -> None:
    task = issuance.renew(installed, by=None)
    Task.objects.filter(pk=task.pk).update(state=TaskState.RUNNING, attempts=3, started_at=timezone.now())
    work()
    task.refresh_from_db()
    assert (task.state, task.error_id) == (TaskState.FAILED, "task.abandoned")


@pytest.mark.django_db(transaction=True)
def test_a_task_of_a_deployment_that_is_gone_ends(installed: Certificate) -> None:
    assert installed.deployment is not None
    task = issuance.renew(installed, by=None)
    installed.deployment.delete()
    work()
    task.refresh_from_db()
    assert (task.state, task.error_id) == (TaskState.FAILED, "deployment.gone")
