"""Django's system checks for what lies outside Python. The doctor says more."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, register

from bakery.doctor.finding import Verdict
from bakery.doctor.places import folder_findings
from bakery.doctor.programs import located, needs


@register(Tags.files)
def folders_can_be_written(**_: Any) -> list[CheckMessage]:
    findings = [found for found in folder_findings(settings.BAKERY) if found.verdict is Verdict.WRONG]
    return [Error(found.detail, hint=found.mend, id="bakery.E001") for found in findings]


@register(Tags.compatibility)
def programs_are_there(**_: Any) -> list[CheckMessage]:
    missing = [need for need in needs(settings.BAKERY) if located(need.program) is None]
    return [Info(f"{need.program} is not on this host.", hint=need.mend, id="bakery.I001") for need in missing]
