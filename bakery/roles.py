"""Who may do what: one table, default deny.

A view, a websocket consumer and a command each name the one ``Action`` that they perform; a page without an
action is refused by ``PermissionMiddleware``. Roles are ordered: each may do what the one before may.
"""

from __future__ import annotations

from enum import Enum

from django.db import models


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    DEPLOYER = "deployer", "Deployer"
    ADMIN = "admin", "Admin"


class Action(Enum):
    """What can be done. The value is the lowest role that may; None is everybody, signed in or not."""

    SIGN_IN = ("sign in", None)
    SEE_HEALTH = ("see whether Bakery is healthy", None)
    OWN_ACCOUNT = ("change one's own password, sign out", Role.VIEWER)
    VIEW = ("see deployments, releases, activity and host figures", Role.VIEWER)
    READ_LOGS = ("read logs", Role.VIEWER)
    DEPLOY = ("deploy, roll back, restart, stop, start, cancel", Role.DEPLOYER)
    CREATE_DEPLOYMENT = ("create a deployment", Role.DEPLOYER)
    CONFIGURE = ("change a deployment's settings, domains and certificate", Role.DEPLOYER)
    EDIT_ENV = ("see and change environment variables", Role.DEPLOYER)
    DELETE_DEPLOYMENT = ("delete a deployment and what was made for it", Role.DEPLOYER)
    MANAGE_DATABASES = ("make, change, back up, restore and drop databases", Role.DEPLOYER)
    READ_DATABASE_SECRETS = ("see a database's connection string, download its backups", Role.DEPLOYER)
    MANAGE_STORAGE = ("keep the storage that backups are copied to", Role.ADMIN)
    MANAGE_USERS = ("manage people", Role.ADMIN)
    CONFIGURE_PANEL = ("give Bakery itself a domain and a certificate, keep DNS providers", Role.ADMIN)
    UPDATE_BAKERY = ("update Bakery itself", Role.ADMIN)
    ADMINISTER = ("use Django's admin, the doctor, encryption keys", Role.ADMIN)

    def __init__(self, label: str, lowest: Role | None) -> None:
        self.label = label
        self.lowest = lowest


RANK = {Role.VIEWER: 1, Role.DEPLOYER: 2, Role.ADMIN: 3}


def role_may(role: str | None, action: Action) -> bool:
    """Whether ``role`` (None: not signed in) may do ``action``. An unknown role may nothing."""
    if action.lowest is None:
        return True
    if role not in Role.values:
        return False
    return RANK[Role(role)] >= RANK[action.lowest]
