"""What a task goes through, and what that is called where people read of it."""

from __future__ import annotations

from bakery.models import ABOUT_DATABASES, TaskKind

# The phases that every task of a kind goes through, in the order of the story. Others (a pre-deploy command, retiring
# the old release) come only sometimes: they are listed when they happen, and are no part of the count.
EXPECTED = {
    TaskKind.DEPLOY: ("fetch", "build", "start", "probe", "switch", "drain"),
    TaskKind.ROLLBACK: ("start", "probe", "switch", "drain"),
    TaskKind.RESTART: ("start", "probe", "switch", "drain"),
    TaskKind.START: ("start", "probe", "switch"),
    TaskKind.STOP: ("unroute", "drain", "stop"),
    TaskKind.DELETE: ("unroute", "remove processes, containers and images", "remove files"),
    TaskKind.APPLY_ROUTES: ("apply routes",),
    TaskKind.CERTIFICATE: ("check DNS", "issue", "install certificate", "serve", "verify TLS"),
    TaskKind.UPDATE: ("fetch", "check", "install", "pause", "back up", "migrate", "activate", "start", "verify"),
    TaskKind.CREATE_DATABASE: ("roles", "database", "sign in"),
    TaskKind.ROTATE_PASSWORD: ("prepare", "switch", "end the old one"),
    TaskKind.BACK_UP: ("dump", "list"),
    TaskKind.RESTORE: ("make a new database", "fill it", "look at it", "swap"),
    TaskKind.TEST_RESTORE: ("open", "restore", "compare"),
    TaskKind.FETCH_BACKUP: ("bring back",),
    TaskKind.CLONE_DATABASE: ("dump", "make a new database", "fill it", "look at it", "swap"),
    TaskKind.DROP_DATABASE: ("drop",),
}
DOING = {
    "databases": "Waiting for its database",
    "fetch": "Fetching the commit",
    "build": "Building",
    "pre-deploy": "Running the pre-deploy command",
    "start": "Starting the release",
    "probe": "Waiting for it to answer",
    "switch": "Switching requests over",
    "drain": "Watching the new release",
    "retire": "Ending the old release",
    "prune": "Letting go of old releases",
    "unroute": "Taking it off the web server",
    "apply routes": "Telling the web server its names",
    "stop": "Ending its processes",
    "check": "Looking whether it can run here",
    "install": "Installing the new version beside the old one",
    "pause": "Pausing Bakery; sites go on",
    "back up": "Backing up the database",
    "migrate": "Migrating the database",
    "activate": "Making it the current version",
    "verify": "Waiting for every part to be well",
    "check DNS": "Looking which names are ready",
    "issue": "Proving the names to the certificate authority",
    "install certificate": "Putting it where the web server reads it",
    "serve": "Telling the web server which names have HTTPS",
    "verify TLS": "Looking whether it is served",
    "remove certificate": "Taking it away",
    "put back": "Putting the old version back",
}
# Of databases: the name in a row of phases, and what is being done. The name in the code is that of the story.
OF_DATABASES = {
    "roles": ("roles", "Making its roles"),
    "database": ("database", "Making the database"),
    "extensions": ("extensions", "Making its extensions"),
    "sign in": ("sign in", "Trying whether an app can sign in"),
    "connect": ("connect", "Looking whether it answers"),
    "limits": ("limits", "Setting its limits"),
    "read-only role": ("read-only role", "Making the read-only role"),
    "drop the read-only role": ("read-only role", "Dropping the read-only role"),
    "prepare": ("new password", "Giving the role that is not in use a new password"),
    "switch": ("hand it out", "Handing the new password to whatever starts from now on"),
    "end the old one": ("end the old one", "Ending the old password"),
    "dump": ("read it", "Reading the database"),
    "list": ("check the file", "Looking whether the dump is whole"),
    "copy": ("copy", "Copying the backup to the storage"),
    "tidy": ("tidy up", "Letting go of what the plan does not keep"),
    "open": ("fetch the backup", "Fetching and checking the backup"),
    "restore": ("restore it", "Restoring it into a scratch database"),
    "bring back": ("fetch it", "Fetching the backup from the storage"),
    "compare": ("compare", "Comparing tables and rows"),
    "unpack": ("unpack", "Unpacking the dump"),
    "make a new database": ("database beside it", "Making a database beside it"),
    "fill it": ("fill that", "Restoring into that"),
    "look at it": ("look at it", "Looking what is in it"),
    "swap": ("change places", "Letting the two databases change places"),
    "drop": ("drop", "Dropping the database and its roles"),
    "drop the old database": ("drop the old one", "Dropping the database as it was before"),
    "drop what was restored": ("drop the restored one", "Dropping what had been restored"),
}
RESTARTING = "restart "  # a rotation names the deployment


def name_of(kind: str, phase: str) -> str:
    """For a row of phases: “new password”."""
    return OF_DATABASES[phase][0] if kind in ABOUT_DATABASES and phase in OF_DATABASES else phase


def doing_of(kind: str, phase: str) -> str:
    """While it is under way: “Ending the old password”."""
    if kind in ABOUT_DATABASES:
        if phase in OF_DATABASES:
            return OF_DATABASES[phase][1]
        if phase.startswith(RESTARTING):
            return f"Restarting {phase[len(RESTARTING) :]}"
    return DOING.get(phase) or phase[:1].upper() + phase[1:]
