"""The pages of one deployment: overview, releases, one release, logs. They change nothing."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from bakery.models import Task
from bakery.pages import Context, open_alarms, render_page
from bakery.permissions import access_deployment, access_release, requires
from bakery.progress import progress_of
from bakery.roles import Action
from deployments.forms import label_of
from deployments.models import Deployment, LogStream, Release, ReleaseState, StreamKind
from deployments.services.releases import can_roll_back_to
from deployments.services.settings import not_live_yet
from deployments.services.status import with_status
from infrastructure.errors import Problem

SHOWN_RELEASES = 50
HEAD = "deployments/_head.html"
WORK = "deployments/_work.html"
BUILDING = "deployments/_building.html"


def page_of(request: HttpRequest, pk: int, tab: str, address: str = "") -> tuple[Deployment, Context]:
    """The deployment and what its head shows on every tab. ``address`` is the tab's name among the URLs, where that is
    none of this app."""
    deployment = with_status([access_deployment(request, pk)])[0]
    unfinished = (
        Task.objects.visible_to(request.user)
        .filter(deployment=deployment)
        .unfinished()
        .for_feed()
        .prefetch_related("steps", "release__log_streams")
    )
    work: list[dict[str, Any]] = [
        {"task": task, "progress": progress_of(task), "log": build_log_of(task.release)} for task in unfinished
    ]
    here = reverse(address or f"deployments:{tab}", args=[pk]) if request.method == "POST" else request.get_full_path()
    context = {
        "section": "deployments",
        "tab": tab,
        "deployment": deployment,
        "current": deployment.current_release,
        # Where the refreshing parts are asked for: a form that came back with errors stands under a POST's address.
        "live_url": here,
        "work": work[::-1],  # the running one first, what waits behind it
        **_changed(deployment),
        **open_alarms(request, pk),
    }
    return deployment, context


def _changed(deployment: Deployment) -> Context:
    """What is not live yet. A secret that cannot be decrypted must not take the page away that says so."""
    try:
        changed = [] if deployment.deleting else not_live_yet(deployment)
    except Problem as problem:
        return {"changed": [], "problem": problem}
    return {"changed": changed, "changed_labels": [label_of(change) for change in changed]}


def build_log_of(release: Release | None) -> LogStream | None:
    streams = list(release.log_streams.all()) if release else []
    return next((stream for stream in streams if stream.kind == StreamKind.BUILD), None)


@requires(Action.VIEW)
@require_safe
def overview(request: HttpRequest, pk: int) -> HttpResponse:
    deployment, context = page_of(request, pk, "overview")
    newest = list(deployment.releases.for_history()[:5])
    context |= {
        "persistent": deployment.persistent_directories.all(),
        "releases": newest,
        "recent": Task.objects.visible_to(request.user).filter(deployment=deployment).for_feed()[:6],
        # The newest release, when it failed: what a person comes to this page to read.
        "failure": newest[0] if newest and newest[0].state == ReleaseState.FAILED else None,
        "retained": _retained(deployment),
        "stream": next((item["log"] for item in context["work"] if item["log"]), None),
    }
    parts = {
        "head": HEAD,
        "work": WORK,
        "failure": "deployments/_failure.html",
        "building": BUILDING,
        "summary": "deployments/_summary.html",
        "releases": "deployments/_releases.html",
        "recent": "includes/_recent.html",
    }
    return render_page(request, "deployments/overview.html", context, parts)


def _retained(deployment: Deployment) -> set[int]:
    return set(can_roll_back_to(deployment).values_list("pk", flat=True))


@requires(Action.VIEW)
@require_safe
def releases(request: HttpRequest, pk: int) -> HttpResponse:
    deployment, context = page_of(request, pk, "releases")
    history = deployment.releases.for_history()[:SHOWN_RELEASES]
    context |= {"releases": history, "retained": _retained(deployment)}
    parts = {"head": HEAD, "work": WORK, "releases": "deployments/_releases.html"}
    return render_page(request, "deployments/releases.html", context, parts)


@requires(Action.VIEW)
@require_safe
def release(request: HttpRequest, pk: int, release_pk: int) -> HttpResponse:
    deployment, context = page_of(request, pk, "releases")
    found = access_release(request, deployment, release_pk)
    context |= {
        "release": found,
        "stream": build_log_of(found),
        "has_process_log": found.log_streams.filter(kind=StreamKind.PROCESS).exists(),
        "recent": found.tasks.for_feed(),
        "retained": _retained(deployment),
    }
    parts = {
        "head": HEAD,
        "work": WORK,
        "release": "deployments/_release.html",
        "building": BUILDING,
        "recent": "includes/_recent.html",
    }
    return render_page(request, "deployments/release.html", context, parts)


@requires(Action.READ_LOGS)
@require_safe
def logs(request: HttpRequest, pk: int) -> HttpResponse:
    """The process log of the live release, or of the one that ``?release=<id>`` names."""
    deployment, context = page_of(request, pk, "logs")
    streams = (
        LogStream.objects.visible_to(request.user)
        .filter(deployment=deployment, kind=StreamKind.PROCESS, release__isnull=False)
        .select_related("release", "deployment")
        .defer("release__snapshot")
        .order_by("-release__number")
    )
    by_release = {stream.release_id: stream for stream in streams}
    wanted = request.GET.get("release", "")
    chosen = int(wanted) if wanted.isdecimal() and len(wanted) < 16 else deployment.current_release_id
    stream = by_release.get(chosen) or (None if wanted else next(iter(by_release.values()), None))
    context |= {"streams": list(by_release.values()), "stream": stream}
    return render_page(request, "deployments/logs.html", context, {"head": HEAD, "work": WORK})
