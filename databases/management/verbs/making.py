"""``create``, ``register``, ``check``, ``list``, ``show``, ``set``, ``drop``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bakery.management.base import Usage
from bakery.management.help import wait_argument
from bakery.management.tables import table
from bakery.models import Task
from bakery.roles import Action
from databases.management.verbs.verb import DatabaseCommand, Options, Verb, find_database, name_argument, read_secret
from databases.models import Database
from databases.services.dropping import drop_database
from databases.services.overview import Overview, overviews
from databases.services.provisioning import (
    EXTENSIONS,
    change_database,
    check_external,
    create_database,
    register_external,
)
from databases.shapes import database_detail, database_shape
from deployments.management.base import find_deployment

MIB = 1024 * 1024
VARIABLE = "The variable that holds its address there; else DATABASE_URL."
NUMBERS = {
    "connection_limit": "Connections at a time.",
    "statement_timeout": "Seconds that a statement may take, where the application sets no other; 0: for ever.",
    "idle_timeout": "Seconds that a transaction may be open and do nothing; 0: for ever.",
    "quota_mb": "MiB from which on an alarm is raised; 0: none.",
}


def _numbers(parser: ArgumentParser) -> None:
    for name, help_text in NUMBERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=int, help=help_text)
    parser.add_argument(
        "--extension",
        metavar="NAME",
        action="append",
        choices=EXTENSIONS,
        help=f"One of {', '.join(EXTENSIONS)}; may be given again.",
    )


def _given(options: Options, *more: str) -> dict[str, Any]:
    return {name: options[name] for name in (*NUMBERS, *more) if options[name] is not None}


def _create_arguments(parser: ArgumentParser) -> None:
    name_argument(parser)
    parser.add_argument("--deployment", metavar="DEPLOYMENT", help="Put it in this deployment's environment.")
    parser.add_argument("--variable", metavar="VARIABLE", default="DATABASE_URL", help=VARIABLE)
    parser.add_argument(
        "--pg-variables", action="store_true", help="Put PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE there, too."
    )
    _numbers(parser)
    parser.add_argument("--encoding", metavar="ENCODING", help="UTF8 unless told otherwise.")
    parser.add_argument("--locale", metavar="LOCALE", help="One that the server has; C.UTF-8 unless told otherwise.")
    wait_argument(parser)


def _create(command: DatabaseCommand, options: Options) -> None:
    deployment = find_deployment(options["deployment"]) if options["deployment"] else None
    database = create_database(
        options["name"],
        by=command.by,
        deployment=deployment,
        attach_as=options["variable"] if deployment else None,
        pg_variables=options["pg_variables"],
        extensions=options["extension"] or (),
        **_given(options, "encoding", "locale"),
    )
    done = f"{database.name} is ready."
    if deployment:
        done += f" {deployment.name} finds it in {options['variable']} from its next deploy on."
    command.follow(_last_task(database), wait=options["wait"], done=done)


def _register_arguments(parser: ArgumentParser) -> None:
    name_argument(parser)
    parser.add_argument(
        "--url-file", metavar="FILE", default="-", help="Holds its address; “-”, as when left out: standard input."
    )
    wait_argument(parser)


def _register(command: DatabaseCommand, options: Options) -> None:
    database = register_external(options["name"], read_secret(options["url_file"]), by=command.by)
    command.follow(_last_task(database), wait=options["wait"], done="It answers.")


def _of_one(parser: ArgumentParser) -> None:
    name_argument(parser)
    wait_argument(parser)


def _check(command: DatabaseCommand, options: Options) -> None:
    task = check_external(find_database(options["name"]), by=command.by)
    command.follow(task, wait=options["wait"], done="It answers.")


def _nothing(parser: ArgumentParser) -> None:
    pass


def _list(command: DatabaseCommand, options: Options) -> None:
    found = overviews(Database.objects.for_list())
    if command.as_json:
        command.data([database_shape(row) for row in found])
    elif not found:
        command.stdout.write("There are no databases. Make one with manage.py database create.")
    else:
        headings = ("NAME", "STATE", "SIZE", "LAST BACKUP (UTC)", "RESTORE TEST", "USED BY")
        command.stdout.write(table(headings, [_row(row) for row in found]))


def _row(row: Overview) -> tuple[object, ...]:
    database = row.database
    tried = "–" if row.tested is None else "ok" if row.tested.test_ok else "failed"
    users = [f"{each.deployment} ({each.variable})" for each in database.attachments.all()]
    return (
        database.name,
        f"{database.get_state_display().lower()}{': ' + database.problem if database.problem else ''}",
        f"{row.figures.size_bytes / MIB:.1f} MiB" if row.figures else "–",
        f"{row.backup.started_at:%Y-%m-%d %H:%M}" if row.backup else "–",
        tried,
        ", ".join(users) or "–",
    )


def _show(command: DatabaseCommand, options: Options) -> None:
    shape = database_detail(overviews([find_database(options["name"])])[0])
    if command.as_json:
        command.data(shape)
        return
    shown = {**shape, **shape["settings"]}
    kept = ("name", "kind", "state", "problem", "database_name", "server_version", "size_bytes", "backup_at")
    rows = [(name, shown[name]) for name in (*kept, *shape["settings"], "encoding", "locale", "has_reader")]
    command.stdout.write(
        table(("WHAT", "VALUE"), [(name, "–" if value in (None, "") else value) for name, value in rows])
    )


def _set_arguments(parser: ArgumentParser) -> None:
    name_argument(parser)
    _numbers(parser)
    parser.add_argument("--no-extensions", action="store_true", help="Take all of them away.")
    wait_argument(parser)


def _set(command: DatabaseCommand, options: Options) -> None:
    extensions = [] if options["no_extensions"] else options["extension"]
    given = _given(options)
    if not given and extensions is None:
        raise Usage("Nothing to set: see manage.py database set --help.")
    task = change_database(find_database(options["name"]), by=command.by, extensions=extensions, **given)
    command.follow(task, wait=options["wait"], done="Set. Limits hold for sessions that begin now.")


def _drop_arguments(parser: ArgumentParser) -> None:
    name_argument(parser)
    parser.add_argument("--yes", action="store_true", help="Needed, as what is in it is gone then.")
    parser.add_argument("--no-backup", action="store_true", help="Do not make a last backup first.")
    wait_argument(parser)


def _drop(command: DatabaseCommand, options: Options) -> None:
    database = find_database(options["name"])
    if not options["yes"]:
        raise Usage(f"This drops the database {database.name} and all that is in it. Say --yes if that is meant.")
    task = drop_database(database, by=command.by, backup_first=not options["no_backup"])
    command.follow(task, wait=options["wait"], done=f"{database.name} is dropped.")


def _last_task(database: Database) -> Task:
    return database.tasks.latest("pk")


VERBS = (
    Verb(
        "create",
        "Make a database on this host's PostgreSQL, with roles of its own. One that could not be made is tried again.",
        _create_arguments,
        _create,
        examples=("create shop-db --deployment shop", "create reports --connection-limit 50 --extension pg_trgm"),
    ),
    Verb(
        "register",
        "Remember a database elsewhere, by its address.",
        _register_arguments,
        _register,
        examples=("register old-shop --url-file address.txt",),
    ),
    Verb("check", "Look whether a registered database answers.", _of_one, _check),
    Verb("list", "List databases, with size, last backup and last restore test.", _nothing, _list, Action.VIEW),
    Verb("show", "Show a database: its limits, its size, its last backup.", name_argument, _show, Action.VIEW),
    Verb(
        "set",
        "Give a database other limits or extensions (--extension: exactly these).",
        _set_arguments,
        _set,
        examples=("set shop-db --quota-mb 2048 --statement-timeout 30",),
    ),
    Verb(
        "drop",
        "Drop a database and its roles, after a last backup. It cannot be undone.",
        _drop_arguments,
        _drop,
        examples=("drop shop-db --yes",),
    ),
)
