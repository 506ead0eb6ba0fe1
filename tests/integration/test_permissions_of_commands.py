"""Whom each command takes for ``--as``. One that has no row fails the test: whoever adds one says who may use it."""

from __future__ import annotations

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError

from tests.integration.one_of_everything import Things
from tests.integration.people import ADMIN, DEPLOYER, VIEWER, by_rank

# command, or command and verb -> (who may name themselves with --as, arguments that it needs)
COMMANDS = {
    "apply_panel": (ADMIN, []),
    "backup_panel": (ADMIN, ["/nowhere"]),
    "cancel": (DEPLOYER, ["shop"]),
    "certificate issue": (DEPLOYER, ["shop"]),
    "certificate list": (VIEWER, []),
    "collect_logs": (ADMIN, []),
    "create_admin": (ADMIN, ["new@example.com"]),
    "create_deployment": (DEPLOYER, ["blog", "--repo", "https://example.com/blog.git"]),
    "database backups": (VIEWER, []),
    "database list": (VIEWER, []),
    "database rotate-password": (DEPLOYER, ["shop"]),
    "database show": (VIEWER, ["shop"]),
    "database storages": (ADMIN, []),
    "delete_deployment": (DEPLOYER, ["shop"]),
    "deploy": (DEPLOYER, ["shop"]),
    "doctor": (ADMIN, []),
    "domain add": (DEPLOYER, ["shop", "shop.example.com"]),
    "domain list": (VIEWER, []),
    "env": (DEPLOYER, ["shop", "list"]),
    "list_users": (ADMIN, []),
    "logs": (VIEWER, ["shop"]),
    "restart": (DEPLOYER, ["shop"]),
    "restore_panel": (ADMIN, ["/nowhere"]),
    "rollback": (DEPLOYER, ["shop"]),
    "rotate_encryption_key": (ADMIN, []),
    "set_role": (ADMIN, ["bob@example.com", "viewer"]),
    "start": (DEPLOYER, ["shop"]),
    "status": (VIEWER, []),
    "stop": (DEPLOYER, ["shop"]),
    "update": (ADMIN, []),
}
OUR_APPS = {"bakery", "accounts", "deployments", "domains", "databases", "analytics"}


@pytest.mark.django_db
def test_every_command_lets_in_exactly_whom_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    things, wrong = Things.make(), []
    assert things.deployment.name == "shop"
    ours = {name: app for name, app in get_commands().items() if app in OUR_APPS}
    assert set(ours) == {name.split()[0] for name in COMMANDS}
    cast = [person for person in by_rank() if person]
    for name, (lowest, argv) in COMMANDS.items():
        for rank, person in enumerate(cast, start=VIEWER):
            command, *verb = name.split()
            loaded = load_command_class(ours[command], command)
            monkeypatch.setattr(loaded, "perform", lambda options: None)
            try:
                call_command(loaded, *verb, *argv, "--as", person.email)
                allowed = True
            except CommandError as refusal:
                if "may not" not in str(refusal):
                    raise
                allowed = False
            if allowed != (rank >= lowest):
                wrong.append(f"{name} as {person}: {'allowed' if allowed else 'refused'}")
    assert wrong == []
