"""A new password with no downtime. Two roles take turns at signing in: the idle one gets a new password, everything
that is started from then on uses it, what runs is restarted beside itself, and only then the other one goes.

    prepare → switch → restart → end the old one

How far it is stands in the row: while ``login`` is the role that was in use when it was asked for, nothing is switched.
"""

from __future__ import annotations

from django.db.models import QuerySet

from bakery.alarms import end_alarm, raise_alarm
from bakery.events import announce
from bakery.models import Task, TaskKind, TaskState
from databases.models import Database
from databases.models.database import Login
from databases.services.connection import login_url
from databases.services.due import runs_with_older_password
from databases.services.job import DatabaseJob, NotYet
from databases.services.making import limits_of, sign_in
from databases.services.server import administrator, names_of, note_server
from deployments.models import Deployment
from deployments.services.requests import restart
from infrastructure.errors import Problem
from infrastructure.postgres import dropping, managed
from infrastructure.postgres.administrator import Administrator
from infrastructure.postgres.scram import new_password, verifier_of

# What starts a deployment's processes anew.
STARTING = (TaskKind.DEPLOY, TaskKind.ROLLBACK, TaskKind.RESTART, TaskKind.START)
OTHER = {Login.A: Login.B, Login.B: Login.A}


def rotate(job: DatabaseJob) -> None:
    database, old = job.database, Login(job.said["old"])
    if database.login == old:
        with job.phase("prepare"):
            _prepare(job, OTHER[old])
        with job.phase("switch"):
            _switch(job, OTHER[old])
    _restart_all(job)
    with job.phase("end the old one"):
        with administrator() as admin:
            role = database.login_role(old)
            ended = dropping.end_sessions(admin, role)
            dropping.drop_role(admin, names_of(database), role, heir=database.owner_role)
        job.say(f"The role {role} is dropped" + (f", and {ended} sessions that used it are ended" if ended else ""))
    end_alarm(alarm_key(database))


def rotation_failed(job: DatabaseJob, problem: Problem | None) -> None:
    """Before the switch the idle role goes again; after it both work until the next try."""
    database = Database.objects.get(pk=job.database.pk)
    old = Login(job.said["old"])
    if database.login != old:
        raise_alarm(
            alarm_key(database),
            subject=database.name,
            message=f"The password of {database.name} is changed, but the old one works still.",
            hint=f"{problem or 'The task was cancelled.'} Then rotate the password again.",
        )
        return
    if not database.next_password:
        return  # the idle role is none of this task's: processes of the rotation before may use it still
    Database.objects.filter(pk=database.pk, login=old).update(next_password="")
    try:
        with administrator() as admin:
            dropping.drop_role(admin, names_of(database), database.login_role(OTHER[old]), heir=database.owner_role)
    except Problem as second:
        job.say(f"{database.login_role(OTHER[old])} could not be dropped: {second.message}")


def alarm_key(database: Database) -> str:
    return f"database.rotation:{database.pk}"


def _prepare(job: DatabaseJob, new: Login) -> None:
    database = job.database
    role = database.login_role(new)
    with administrator() as admin:
        note_server(database, admin)
        if not database.next_password:
            _refuse_unfinished(admin, database, role)
            database.next_password = new_password()
            database.save(update_fields=["next_password"])  # before the server knows it
        managed.make_login(admin, names_of(database), role, verifier_of(database.next_password), limits_of(database))
    sign_in(database, login_url(database, role, database.next_password))


def _refuse_unfinished(admin: Administrator, database: Database, role: str) -> None:
    """The password of what the last rotation could not restart must not change under it, whether it has a session now
    or not."""
    if not managed.has_role(admin, names_of(database), role):
        return
    older = [one.name for one in _given(database).filter(stopped=False) if runs_with_older_password(one, database)]
    used = admin.rows("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", role)[0][0]
    if used or older:
        who = f"{', '.join(older)} runs with" if older else f"{used} sessions use"
        raise Problem(
            "database.rotation-unfinished",
            f"{who} the role {role} still, whose password would change under them: the last rotation was not finished.",
            "Restart or deploy what uses the database, then rotate the password again.",
        )


def _switch(job: DatabaseJob, new: Login) -> None:
    """From here on whatever is started gets the new one. One UPDATE: there is no state in between."""
    database = job.database
    database.login, database.password, database.next_password = new, database.next_password, ""
    database.save(update_fields=["login", "password", "next_password"])
    announce("database", database.pk)
    job.say(f"Applications that are started now sign in as {database.login_role()}")


def _restart_all(job: DatabaseJob) -> None:
    """What runs with the old one is started anew, beside itself where it is blue-green; until all are, the old one
    stays."""
    database = job.database
    waiting = []
    for deployment in started_with(database):
        tasks = deployment.tasks.filter(kind__in=STARTING)
        if not tasks.unfinished().exists():
            if deployment.stopped or not runs_with_older_password(deployment, database):
                continue
            failed = tasks.filter(
                kind=TaskKind.RESTART,
                state__in=(TaskState.FAILED, TaskState.CANCELLED),
                created_at__gte=job.task.created_at,
            ).last()
            if failed:
                raise Problem(
                    "database.restart-failed",
                    f"{deployment.name} runs with the old password, as it could not be restarted: "
                    f"{failed.error_message or 'that was cancelled.'}",
                    f"Restart or deploy {deployment.name}.",
                )
            with job.phase(f"restart {deployment.name}"):
                restart(deployment, by=job.task.requested_by)
            job.say(f"{deployment.name} is to start anew with the new password")
        waiting.append(deployment)
    job.refuse_cancelled()
    if waiting:
        raise NotYet


def started_with(database: Database) -> list[Deployment]:
    """Deployments with a process that was given an address of this database, attached or not attached any more; and
    those that are being started: a first deploy may have read the password a moment ago."""
    attached = Deployment.objects.filter(attachments__database=database, deleting=False)
    starting = attached.filter(tasks__in=Task.objects.unfinished().filter(kind__in=STARTING))
    return sorted({*_given(database), *starting}, key=lambda one: one.pk)


def _given(database: Database) -> QuerySet[Deployment]:
    return Deployment.objects.filter(slots__databases__has_key=str(database.pk), deleting=False).distinct()
