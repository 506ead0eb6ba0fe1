"""``storages``, ``save-storage``, ``check-storage``, ``delete-storage``: buckets that backups are copied to."""

from __future__ import annotations

from argparse import ArgumentParser

from bakery.management.tables import table
from bakery.roles import Action
from databases.management.verbs.verb import DatabaseCommand, Options, Verb, read_secret
from databases.models import Storage
from databases.services.storage import check_storage, delete_storage, save_storage
from databases.storage_shapes import storage_shape
from infrastructure.errors import HostProblem, Problem


def _nothing(parser: ArgumentParser) -> None:
    return None


def _list(command: DatabaseCommand, options: Options) -> None:
    found = Storage.objects.defer("secret_key").order_by("name")
    if command.as_json:
        command.data([storage_shape(one) for one in found])
    elif not found:
        command.stdout.write("There are no storages.")
    else:
        rows = [(one.name, one.endpoint, one.bucket, one.problem or "–") for one in found]
        command.stdout.write(table(("NAME", "ENDPOINT", "BUCKET", "PROBLEM"), rows))


def _save_arguments(parser: ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--endpoint", metavar="URL", help="https://s3.eu-central-1.amazonaws.com, or a server's own.")
    parser.add_argument("--bucket", metavar="BUCKET", help="It has to be there.")
    parser.add_argument("--region", metavar="REGION", help="Where the server asks for one.")
    parser.add_argument("--prefix", metavar="PATH", help="In front of every object; one per Bakery.")
    parser.add_argument("--access-key", metavar="KEY", help="The name of the key, which is no secret.")
    parser.add_argument("--secret-key-file", metavar="FILE", help="Holds the secret key; “-” is standard input.")


FIELDS = ("endpoint", "bucket", "region", "prefix", "access_key")


def _save(command: DatabaseCommand, options: Options) -> None:
    """What is left out of one that is there stays."""
    there = Storage.objects.filter(name=options["name"]).first()
    given = {name: options[name] if options[name] is not None else getattr(there, name, "") for name in FIELDS}
    secret = read_secret(options["secret_key_file"]) if options["secret_key_file"] else ""
    saved = save_storage(there, by=command.by, name=options["name"], secret_key=secret, **given)
    _tell(command, saved, check_storage(saved))


def _check(command: DatabaseCommand, options: Options) -> None:
    found = _find(options["name"])
    if problem := check_storage(found):
        raise HostProblem("storage.check-failed", f"{found.name}: {problem}")
    _tell(command, found, "")


def _tell(command: DatabaseCommand, storage: Storage, problem: str) -> None:
    if command.as_json:
        command.data(storage_shape(storage))
    else:
        command.stdout.write(problem or f"{storage.name} can be written, read and deleted from.")


def _delete(command: DatabaseCommand, options: Options) -> None:
    delete_storage(_find(options["name"]), by=command.by)
    command.data(None) if command.as_json else command.say("Bakery does not know it any more; its bucket is as it was.")


def _find(name: str) -> Storage:
    found = Storage.objects.filter(name=name).first()
    if found is None:
        raise Problem("storage.unknown", f"There is no storage called {name}.", "See manage.py database storages.")
    return found


def _name(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="The storage.")


VERBS = (
    Verb("storages", "List the storages that backups are copied to.", _nothing, _list, Action.MANAGE_STORAGE),
    Verb(
        "save-storage",
        "Make or change a storage, and try it. What is left out of one that is there stays.",
        _save_arguments,
        _save,
        Action.MANAGE_STORAGE,
        examples=(
            "save-storage offsite --endpoint https://s3.example.com --bucket b --access-key K --secret-key-file F",
        ),
    ),
    Verb(
        "check-storage",
        "Write, read and delete a small object in it; exit with 1 when that fails.",
        _name,
        _check,
        Action.MANAGE_STORAGE,
    ),
    Verb("delete-storage", "Forget a storage that nothing uses.", _name, _delete, Action.MANAGE_STORAGE),
)
