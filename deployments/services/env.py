"""Environment variables of a Deployment: live with its next release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from django.db import transaction

from accounts.models import User
from bakery.events import announce
from deployments.models import Deployment, EnvVar
from infrastructure.errors import Refused
from infrastructure.secret import Secret
from infrastructure.values import EnvName, env_value

MOST_VARIABLES = 500
ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([^=\s#][^=]*?)\s*=(.*)", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "`": "`"}


def set_env(
    deployment: Deployment,
    *,
    by: User | None,
    values: Mapping[str, str],
    build_time: bool = True,
    run_time: bool = True,
) -> None:
    """Set variables, all or none. Raises ``Refused`` with the name of the one that cannot be."""
    checked = {EnvName(name): env_value(value) for name, value in values.items()}
    with transaction.atomic():
        if run_time:
            _refuse_attached(deployment, checked)
        for name, value in checked.items():
            EnvVar.objects.update_or_create(
                deployment=deployment,
                name=name,
                defaults={"value": Secret(value), "build_time": build_time, "run_time": run_time},
            )
        if deployment.env_vars.count() > MOST_VARIABLES:
            raise Refused("env.too-many", f"A deployment has at most {MOST_VARIABLES} variables.")
    announce("deployment", deployment.pk)


def _refuse_attached(deployment: Deployment, names: Iterable[str]) -> None:
    """A process has one value of a name. For the build, which gets no database, a variable may have it."""
    Deployment.objects.select_for_update().get(pk=deployment.pk)  # nobody attaches one meanwhile
    for attachment in deployment.attachments.select_related("database"):
        if taken := sorted(attachment.names & set(names)):
            raise Refused(
                "env.attached",
                f"{taken[0]} is the address of the database {attachment.database.name}.",
                "Detach that database first, or give the variable another name.",
            )


def unset_env(deployment: Deployment, *, by: User | None, names: Iterable[str]) -> list[str]:
    """Remove variables; returns the names that there were."""
    with transaction.atomic():
        found = list(deployment.env_vars.select_for_update().filter(name__in=list(names)))
        for variable in found:
            variable.delete()
    announce("deployment", deployment.pk)
    return [variable.name for variable in found]


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a ``.env`` file: ``NAME=value``, optional ``export``, comments, single quotes (literal),
    double quotes (``\\n``, ``\\t``, ``\\"``, ``\\\\``, ``\\$``; may span lines). Raises ``Refused`` with the line."""
    values: dict[str, str] = {}
    lines = text.replace("\r\n", "\n").split("\n")
    index = 0
    while index < len(lines):
        number, line = index + 1, lines[index]
        index += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = ASSIGNMENT.fullmatch(line)
        if not match:
            raise Refused("env.unreadable", f"Line {number} is not NAME=value.", "Put # before a comment.")
        name, raw = match.group(1), match.group(2).strip()
        if raw[:1] in ('"', "'"):
            quote = raw[0]
            while (end := _closing_quote(raw, quote)) is None:
                if index >= len(lines):
                    raise Refused("env.unreadable", f"The quote that line {number} opens is never closed.")
                raw += "\n" + lines[index]
                index += 1
            rest = raw[end + 1 :].strip()
            if rest and not rest.startswith("#"):
                raise Refused("env.unreadable", f"Line {number} goes on after its closing quote.")
            value = raw[1:end] if quote == "'" else _unescape(raw[1:end])
        else:
            value = re.split(r"\s#", raw, maxsplit=1)[0].strip()
        try:
            values[EnvName(name)] = env_value(value)
        except Refused as problem:
            raise Refused(problem.id, f"Line {number}: {problem.message}", problem.hint) from problem
    return values


def _closing_quote(text: str, quote: str) -> int | None:
    position = 1
    while position < len(text):
        if text[position] == "\\" and quote == '"':
            position += 2
            continue
        if text[position] == quote:
            return position
        position += 1
    return None


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: ESCAPES.get(m.group(1), m.group(0)), text, flags=re.DOTALL)
