"""Names and DNS providers as JSON: the API and the commands' ``--json`` give the same shapes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from domains.models import DnsProvider, Domain
from domains.services.instructions import instructions_for
from infrastructure.hostnames import display


def domain_shape(domain: Domain) -> dict[str, Any]:
    """What a list shows of a name."""
    return {
        "id": domain.pk,
        "hostname": domain.hostname,
        "display": display(domain.hostname),
        "deployment": {"id": domain.deployment.pk, "name": domain.deployment.name} if domain.deployment else None,
        "primary": domain.primary,
        "redirects": domain.redirects,
        "generated": domain.generated,
        "verdict": domain.verdict,
        "checked_at": _moment(domain.checked_at),
        "next_check_at": _moment(domain.next_check_at),
        "served_until": _moment(domain.served_until),
        "served_problem": domain.served_problem,
    }


def domain_detail(domain: Domain) -> dict[str, Any]:
    """All of a name: what DNS said, which records to make, what is set. The password's hash is not given."""
    return {
        **domain_shape(domain),
        "report": domain.report,
        "instructions": None if domain.generated else asdict(instructions_for(domain)),
        "settings": {
            "hsts_seconds": domain.hsts_seconds,
            "max_body_mb": domain.max_body_mb,
            "auth_user": domain.auth_user,
            "allowed_networks": domain.allowed_networks,
            "maintenance": domain.maintenance,
            "headers": domain.headers,
        },
    }


def provider_shape(provider: DnsProvider) -> dict[str, Any]:
    """Without its credentials, which no address of Bakery's gives out."""
    return {
        "id": provider.pk,
        "name": provider.name,
        "plugin": provider.plugin,
        "created_at": provider.created_at.isoformat(),
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
