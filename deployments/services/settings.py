"""Making a Deployment and changing its settings. What changes here is live with the next release."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import psutil
from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import User
from bakery.events import announce
from databases.services.attaching import attach
from databases.services.provisioning import create_database
from deployments.models import Deployment, PersistentDirectory, Slot, SlotName
from deployments.services.env import set_env
from deployments.services.snapshot import SNAPSHOT_FIELDS, Snapshot
from infrastructure.errors import HostProblem, Refused
from infrastructure.values import Hostname

# Settings that Nginx has of a deployment, live with the next release like all others.
ROUTE_FIELDS = ("request_timeout", "max_body_mb")
CHANGEABLE = frozenset({*SNAPSHOT_FIELDS, *ROUTE_FIELDS})
FIRST_ADDRESS = 256  # of the bridge network; the ones below are left to the gateway and to one-off containers


def create_deployment(
    *,
    by: User | None,
    name: str,
    repository: str,
    env: Mapping[str, str] | None = None,
    persistent: Iterable[str] = (),
    database: bool = False,
    **settings: Any,
) -> Deployment:
    """A Deployment with its two slots, its host name, env vars and persistent directories. ``database``: one of the
    same name is made for it, whose address will be its DATABASE_URL; a first deploy waits for it.

    ``settings`` are fields of the model. Raises ``ValidationError`` by field, or ``HostProblem`` ``ports.exhausted``.
    """
    _refuse_unknown(settings)
    deployment = Deployment(name=name, repository=repository, created_by=by, **settings)
    with transaction.atomic():
        deployment.full_clean()
        try:
            with transaction.atomic():
                deployment.save()
        except IntegrityError:  # somebody else took the name just now
            raise ValidationError({"name": "Deployment with this Name already exists."}) from None
        reserve_slots(deployment)
        _give_name(deployment)
        _set_persistent(deployment, persistent)
        if env:
            set_env(deployment, by=by, values=env)
        if database:
            _give_database(deployment, by)
    announce("deployment", deployment.pk)
    return deployment


def _give_database(deployment: Deployment, by: User | None) -> None:
    try:
        made = create_database(deployment.name, by=by, deployment=deployment)
        attach(made, deployment, by=by)
    except ValidationError as error:  # the only field of it that is anybody's choice
        raise ValidationError({"database": f"The database {deployment.name}: {' '.join(error.messages)}"}) from error
    except Refused as refused:
        raise ValidationError({"database": f"{refused.message} {refused.hint}"}) from refused


def _give_name(deployment: Deployment) -> None:
    """The name under which it is reached from the first deploy on. Bakery's own pages may have one like it."""
    hostname = Hostname(f"{deployment.name}.{django_settings.BAKERY.apps_domain}")
    taken = ValidationError({"name": f"{hostname} leads somewhere else already. Choose another name."})
    if hostname == urlsplit(django_settings.BAKERY.base_url).hostname:
        raise taken
    try:
        with transaction.atomic():
            deployment.domains.create(hostname=hostname, generated=True, primary=True)
    except IntegrityError:
        raise taken from None


def update_deployment(
    deployment: Deployment, *, by: User | None, persistent: Iterable[str] | None = None, **changes: Any
) -> Deployment:
    """Change settings; raises ``ValidationError`` by field and then changes nothing."""
    _refuse_unknown(changes)
    with transaction.atomic():
        fresh = Deployment.objects.select_for_update().get(pk=deployment.pk)
        for field, value in changes.items():
            setattr(fresh, field, value)
        fresh.full_clean()
        fresh.save(update_fields=list(changes) or None)
        if persistent is not None:
            _set_persistent(fresh, persistent)
    announce("deployment", fresh.pk)
    return fresh


def not_live_yet(deployment: Deployment) -> list[str]:
    """What was changed since the release that serves was made; empty before the first deploy."""
    if deployment.current_release is None:
        return []
    return Snapshot.of(deployment).differences(Snapshot.from_release(deployment.current_release))


def _refuse_unknown(settings: Mapping[str, Any]) -> None:
    unknown = sorted(set(settings) - CHANGEABLE)
    if unknown:
        raise ValidationError(f"There is no setting {', '.join(unknown)}. There are: {', '.join(sorted(CHANGEABLE))}.")


def _set_persistent(deployment: Deployment, paths: Iterable[str]) -> None:
    wanted = {path.strip().removeprefix("./").rstrip("/") for path in paths} - {""}
    for path in wanted:
        PersistentDirectory(deployment=deployment, path=path).clean_fields()
        inside = [other for other in wanted if other != path and other.startswith(f"{path}/")]
        if inside:
            raise ValidationError({"persistent": f"{inside[0]} lies inside {path}: keep one of them."})
    deployment.persistent_directories.exclude(path__in=wanted).delete()
    for path in wanted:
        deployment.persistent_directories.get_or_create(path=path)


def reserve_slots(deployment: Deployment) -> None:
    """Two ports of the range that no deployment has and that nobody on the host listens on."""
    first, last = django_settings.BAKERY.port_range
    network = ipaddress.ip_network(django_settings.BAKERY.docker_subnet)
    for name in (SlotName.BLUE, SlotName.GREEN):
        taken = set(Slot.objects.values_list("port", flat=True)) | _listening_ports()
        for port in range(first, last + 1):
            if port in taken:
                continue
            address = str(network.network_address + FIRST_ADDRESS + port - first)
            try:
                with transaction.atomic():
                    Slot.objects.create(deployment=deployment, name=name, port=port, address=address)
                break
            except IntegrityError:  # somebody else made a deployment just now
                continue
        else:
            raise HostProblem(
                "ports.exhausted",
                f"All ports from {first} to {last} are taken.",
                "Delete a deployment that is no longer needed, or widen BAKERY_PORT_RANGE and restart Bakery.",
            )


def _listening_ports() -> set[int]:
    return {c.laddr.port for c in psutil.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN and c.laddr}
