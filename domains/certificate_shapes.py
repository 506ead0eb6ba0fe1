"""Certificates as JSON: the API and the commands' ``--json`` give the same shape. No secrets."""

from __future__ import annotations

from typing import Any

from domains.models import Certificate


def certificate_shape(certificate: Certificate) -> dict[str, Any]:
    return {
        "id": certificate.pk,
        "deployment": certificate.deployment.name if certificate.deployment else None,
        "source": certificate.source,
        "challenge": certificate.challenge,
        "dns_provider": certificate.dns_provider.name if certificate.dns_provider else None,
        "automatic": certificate.automatic,
        "names": certificate.names,
        "left_out": certificate.left_out,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "fingerprint": certificate.fingerprint,
        "not_before": _moment(certificate.not_before),
        "not_after": _moment(certificate.not_after),
        "revoked_at": _moment(certificate.revoked_at),
        "installed_at": _moment(certificate.installed_at),
        "checked_at": _moment(certificate.checked_at),
        "error": (
            {"id": certificate.error_id, "message": certificate.error_message, "hint": certificate.error_hint}
            if certificate.error_id
            else None
        ),
        "failures": certificate.failures,
        "retry_after": _moment(certificate.retry_after),
    }


def _moment(value: Any) -> str | None:
    return value.isoformat() if value else None
