"""``url``, ``reader``, ``rotate-password``, ``attach``, ``detach``: who gets in, and how."""

from __future__ import annotations

from argparse import ArgumentParser

from bakery.management.help import wait_argument
from bakery.roles import Action
from databases.management.verbs.making import VARIABLE
from databases.management.verbs.verb import DatabaseCommand, Options, Verb, find_database, name_argument
from databases.services import attaching
from databases.services.connection import url_of
from databases.services.disclosures import note_disclosure
from databases.services.readers import drop_reader, make_reader
from databases.services.rotation import rotate_password
from deployments.management.base import find_deployment
from deployments.shapes import task_shape
from infrastructure.errors import Problem


def _url(command: DatabaseCommand, options: Options) -> None:
    database = find_database(options["name"])
    url = url_of(database).reveal()
    note_disclosure(database, "the connection string", to=command.by)
    command.data({"url": url}) if command.as_json else command.stdout.write(url)


def _reader_arguments(parser: ArgumentParser) -> None:
    name_argument(parser)
    parser.add_argument("--drop", action="store_true", help="Take the role away.")
    wait_argument(parser)


def _reader(command: DatabaseCommand, options: Options) -> None:
    database = find_database(options["name"])
    if options["drop"]:
        command.follow(drop_reader(database, by=command.by), wait=options["wait"], done="The role is dropped.")
        return
    task, url = make_reader(database, by=command.by)
    # Whatever becomes of the waiting: it is shown this once.
    if command.as_json:
        command.data({"url": url.reveal(), "task": task_shape(task)})
    else:
        command.stdout.write(url.reveal())
    command.say("It is shown this once. It works when the task has ended.")
    if options["wait"] and not command.as_json:
        command.follow(task, wait=True, done="It works.")


def _of_one(parser: ArgumentParser) -> None:
    name_argument(parser)
    wait_argument(parser)


def _rotate(command: DatabaseCommand, options: Options) -> None:
    task = rotate_password(find_database(options["name"]), by=command.by)
    command.follow(task, wait=options["wait"], done="The password is new; the one before lets nobody in any more.")


def _pair(parser: ArgumentParser) -> None:
    name_argument(parser)
    parser.add_argument("deployment", metavar="DEPLOYMENT", help="In whose environment it is.")
    parser.add_argument("--variable", metavar="VARIABLE", default="DATABASE_URL", help=VARIABLE)


def _attach_arguments(parser: ArgumentParser) -> None:
    _pair(parser)
    parser.add_argument(
        "--pg-variables", action="store_true", help="Put PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE there, too."
    )


def _attach(command: DatabaseCommand, options: Options) -> None:
    deployment = find_deployment(options["deployment"])
    made = attaching.attach(
        find_database(options["name"]),
        deployment,
        by=command.by,
        variable=options["variable"],
        pg_variables=options["pg_variables"],
    )
    _tell(command, options, f"{deployment.name} finds it in {made.variable} from its next deploy on.")


def _detach(command: DatabaseCommand, options: Options) -> None:
    database, deployment = find_database(options["name"]), find_deployment(options["deployment"])
    found = deployment.attachments.filter(database=database, variable=options["variable"]).first()
    if found is None:
        raise Problem(
            "database.not-attached",
            f"{deployment.name} does not have {database.name} in {options['variable']}.",
            f"See manage.py database show {database.name} --json.",
        )
    attaching.detach(found, by=command.by)
    _tell(command, options, f"{deployment.name} has it until its next deploy.")


def _tell(command: DatabaseCommand, options: Options, said: str) -> None:
    if command.as_json:
        command.data({key: options[key] for key in ("name", "deployment", "variable")})
    else:
        command.say(said)


VERBS = (
    Verb(
        "url",
        "Print the connection string. Who saw it is written down.",
        name_argument,
        _url,
        Action.READ_DATABASE_SECRETS,
    ),
    Verb(
        "reader",
        "Make the read-only role for people, or give it a new password; its address is shown once.",
        _reader_arguments,
        _reader,
        Action.READ_DATABASE_SECRETS,
        examples=("reader shop-db", "reader shop-db --drop"),
    ),
    Verb("rotate-password", "Change the password with no downtime.", _of_one, _rotate),
    Verb(
        "attach",
        "Put it in a deployment's environment, from its next deploy on.",
        _attach_arguments,
        _attach,
        examples=("attach reports shop --variable REPORTS_URL",),
    ),
    Verb(
        "detach",
        "Take it out of a deployment's environment, from its next deploy on.",
        _pair,
        _detach,
        examples=("detach reports shop --variable REPORTS_URL",),
    ),
)
