"""What of a plain SQL dump is not carried out: owners and rights are those of the database that it goes into.

It spares a person from errors on what cannot work here. That nothing worse is carried out is not up to this table: the
server refuses it to the application's role.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from infrastructure.errors import Refused

OWNERS_AND_RIGHTS = "owners and rights"
EXTENSIONS = "extensions, which are there already"
_HEAD = 4096  # of a statement: longer ones are no such statements
_NAME = rb'(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<bare>[^\s;"(]+))'


def _rule(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern.replace(b" ", rb"\s+"), re.IGNORECASE | re.DOTALL)


_LEFT_OUT = (
    (OWNERS_AND_RIGHTS, _rule(rb'ALTER .{1,2000} OWNER TO (?:"[^"]+"|\S+)\s*\Z')),
    (OWNERS_AND_RIGHTS, _rule(rb"(?:GRANT|REVOKE|ALTER DEFAULT PRIVILEGES|SECURITY LABEL)\b")),
    (OWNERS_AND_RIGHTS, _rule(rb"(?:SET (?:(?:SESSION|LOCAL) )?|RESET )(?:SESSION AUTHORIZATION|ROLE)\b")),
    ("publications and subscriptions", _rule(rb"(?:CREATE|ALTER|DROP) (?:PUBLICATION|SUBSCRIPTION)\b")),
    ("tablespaces", _rule(rb"SET default_tablespace\b")),
    ("what every database has", _rule(rb"(?:CREATE|DROP) SCHEMA (?:IF (?:NOT )?EXISTS )?public(?: CASCADE)?\s*\Z")),
    ("what every database has", _rule(rb"COMMENT ON SCHEMA public\b")),
    ("comments on extensions", _rule(rb"COMMENT ON (?:EXTENSION|DATABASE)\b")),
)
_CREATE_EXTENSION = _rule(rb"CREATE EXTENSION (?:IF NOT EXISTS )?" + _NAME)
_EXTENSION = _rule(rb"(?:ALTER|DROP) EXTENSION\b")
_WHOLE_DATABASE = _rule(rb"(?:CREATE|DROP) DATABASE\b")
_WHOLE_SERVER = _rule(rb"(?:CREATE|ALTER|DROP) (?:ROLE|GROUP|TABLESPACE|USER(?! MAPPING))\b")


def left_out(statement: bytes, need_extension: Callable[[str], None]) -> str:
    """Why it is not carried out; "": it is. ``need_extension`` sees to it that there is one, or raises.

    Raises ``Refused``: ``dump.whole-database``, ``dump.whole-server``.
    """
    if len(statement) > _HEAD:
        return ""
    if found := _CREATE_EXTENSION.match(statement):
        name = (found["quoted"] or found["bare"]).decode(errors="replace").replace('""', '"')
        need_extension(name)
        return EXTENSIONS
    if _EXTENSION.match(statement):
        return EXTENSIONS
    if _WHOLE_DATABASE.match(statement):
        raise Refused(
            "dump.whole-database",
            "The dump makes or drops a whole database (pg_dump --create).",
            "Make it anew without --create: pg_dump --format=custom.",
        )
    if _WHOLE_SERVER.match(statement):
        raise Refused(
            "dump.whole-server",
            "The dump holds roles or tablespaces, so it is one of a whole server (pg_dumpall).",
            "Make one of the database alone: pg_dump --format=custom.",
        )
    return next((why for why, rule in _LEFT_OUT if rule.match(statement)), "")
