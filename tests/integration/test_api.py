from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver

from accounts.models import User
from bakery.models import TaskState
from deployments.models import Deployment
from deployments.services import requests
from deployments.services.settings import create_deployment
from tests.integration.people import alice, bob, charlie

pytestmark = pytest.mark.django_db
REPOSITORY = "https://example.com/shop.git"


class Api:
    """Speaks to ``/api/`` as one person, or as nobody. CSRF is checked, as outside of tests."""

    def __init__(self, person: User | None) -> None:
        self.client = Client(enforce_csrf_checks=True)
        self.token = ""
        if person:
            self.client.force_login(person)
            self.token = self.get("session")[1]["csrf_token"]

    def get(self, path: str) -> tuple[int, Any]:
        answer = self.client.get(f"/api/{path}")
        return answer.status_code, answer.json()

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        text = body if isinstance(body, str) else json.dumps(body or {})
        answer = self.client.generic(
            method, f"/api/{path}", text, "application/json", headers={"X-CSRFToken": self.token} if self.token else {}
        )
        return answer.status_code, answer.json()

    def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        return self.send("POST", path, body)


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository=REPOSITORY, env={"TOKEN": "very secret"})


def test_nobody_gets_in_without_signing_in(shop: Deployment) -> None:
    nobody = Api(None)
    for path in ("", "session", "deployments", f"deployments/{shop.pk}", "tasks", "nowhere"):
        status, said = nobody.get(path)
        assert (status, said["id"]) == (401, "api.not-signed-in")


def test_a_post_without_the_token_is_refused(shop: Deployment) -> None:
    api = Api(bob())
    api.token = ""
    status, said = api.post(f"deployments/{shop.pk}/deploy")
    assert (status, said["id"]) == (403, "api.csrf")
    assert not shop.tasks.exists()


def test_a_viewer_reads_and_changes_nothing(shop: Deployment) -> None:
    api = Api(charlie())
    assert api.get("deployments")[0] == 200
    verbs = ("deploy", "rollback", "restart", "stop", "start", "delete", "env")
    refused = [api.post(f"deployments/{shop.pk}/{verb}") for verb in verbs]
    refused += [api.post("deployments", {"name": "x"}), api.send("PATCH", f"deployments/{shop.pk}", {"branch": "x"})]
    refused += [api.get(f"deployments/{shop.pk}/env")]
    assert {(status, said["id"]) for status, said in refused} == {(403, "permission.refused")}
    assert not shop.tasks.exists()


def test_the_index_lists_every_operation_with_who_may() -> None:
    status, said = Api(charlie()).get("")
    assert status == 200
    listed = {row["path"]: row for row in said["operations"]}
    assert listed["/api/deployments"]["methods"] == {
        "GET": "see deployments, releases, activity and host figures",
        "POST": "create a deployment",
    }
    assert all(row["summary"] for row in said["operations"])


def test_every_view_of_the_api_says_who_may() -> None:
    urls = next(pattern for pattern in get_resolver().url_patterns if str(pattern.pattern) == "api/")
    for pattern in urls.url_patterns:
        assert pattern.callback.action, pattern
        assert pattern.callback.action_to_change, pattern


def test_a_deployment_is_made_changed_and_deleted() -> None:
    api = Api(bob())
    status, made = api.post(
        "deployments",
        {"name": "shop", "repository": REPOSITORY, "env": {"A": "1"}, "persistent": ["data"], "memory_mb": 256},
    )
    assert status == 201
    assert (made["settings"]["memory_mb"], made["env"], made["persistent"]) == (256, ["A"], ["data"])
    assert Deployment.objects.get().created_by == bob()
    status, changed = api.send("PATCH", f"deployments/{made['id']}", {"branch": "next", "persistent": []})
    assert (status, changed["branch"], changed["persistent"]) == (200, "next", [])
    status, task = api.post(f"deployments/{made['id']}/delete")
    assert (status, task["kind"], task["requested_by"]) == (202, "delete", "bob@example.com")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Shop", "repository": REPOSITORY}, "name"),
        ({"name": 7, "repository": REPOSITORY}, "name"),
        ({"name": "shop"}, "repository"),
        ({"name": "shop", "repository": REPOSITORY, "memory_mb": "much"}, "memory_mb"),
        ({"name": "shop", "repository": REPOSITORY, "blue_green": "perhaps"}, "blue_green"),
        ({"name": "shop", "repository": REPOSITORY, "colour": "red"}, "colour"),
        ({"name": "shop", "repository": REPOSITORY, "by": "somebody"}, "by"),
        ({"name": "shop", "repository": REPOSITORY, "env": ["A=1"]}, "env"),
        ({"name": "shop", "repository": REPOSITORY, "persistent": "data"}, "persistent"),
    ],
)
def test_what_cannot_be_is_refused_by_field(body: dict[str, Any], field: str) -> None:
    status, said = Api(bob()).post("deployments", body)
    assert (status, list(said["fields"])) == (422, [field])
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("body", ["[1]", "{", '"text"', "\x00"])
def test_a_body_that_is_no_json_object_is_refused(shop: Deployment, body: str) -> None:
    status, said = Api(bob()).post(f"deployments/{shop.pk}/deploy", body)
    assert (status, said["id"]) == (422, "api.body")


def test_variables_are_set_and_unset_and_their_values_never_shown(shop: Deployment) -> None:
    api = Api(bob())
    status, rows = api.post(f"deployments/{shop.pk}/env", {"set": {"A": "1", "B": "2"}, "unset": ["TOKEN"]})
    assert (status, [row["name"] for row in rows]) == (200, ["A", "B"])
    assert "value" not in rows[0]
    assert api.post(f"deployments/{shop.pk}/env", {"set": {"PORT": "1"}})[0] == 422


def test_no_answer_shows_a_secret(shop: Deployment) -> None:
    api = Api(alice())
    api.post(f"deployments/{shop.pk}/deploy")
    paths = (
        "deployments",
        *(f"deployments/{shop.pk}{part}" for part in ("", "/env", "/releases", "/tasks", "/status")),
    )
    for path in paths:
        assert "very secret" not in json.dumps(api.get(path))


def test_a_deploy_is_accepted_followed_and_cancelled(shop: Deployment) -> None:
    api = Api(bob())
    status, task = api.post(f"deployments/{shop.pk}/deploy", {"ref": "v2"})
    assert (status, task["state"], task["release"]) == (202, "queued", 1)
    assert api.get(f"deployments/{shop.pk}/releases")[1][0]["ref"] == "v2"
    assert api.get(f"deployments/{shop.pk}/status")[1]["status"]["key"] == "deploying"
    assert api.get(f"tasks/{task['id']}")[1]["steps"] == []
    assert [row["id"] for row in api.get("tasks")[1]] == [task["id"]]
    assert api.post(f"tasks/{task['id']}/cancel")[1]["state"] == TaskState.CANCELLED
    assert api.post(f"tasks/{task['id']}/cancel")[0] == 409


def test_what_cannot_be_done_now_is_a_conflict_with_a_hint(shop: Deployment) -> None:
    api = Api(bob())
    status, said = api.post(f"deployments/{shop.pk}/restart")
    assert (status, said["id"], said["hint"]) == (409, "release.none", "Deploy it first.")
    assert api.post(f"deployments/{shop.pk}/rollback", {"to": 9})[1]["id"] == "release.unknown"
    assert api.post(f"deployments/{shop.pk}/deploy", {"ref": "--upload-pack=x"})[0] == 422


def test_other_addresses_and_methods_are_answered_in_json(shop: Deployment) -> None:
    api = Api(bob())
    assert api.get("nowhere/at/all")[0] == 404
    assert api.get("deployments/999999")[0] == 404
    assert api.get("deployments/99999999999999999999999")[0] == 404
    assert api.send("DELETE", f"deployments/{shop.pk}")[0] == 405
    assert api.get(f"deployments/{shop.pk}/deploy")[0] == 405
    assert api.get("tasks?limit=0")[0] == 422


def test_a_list_of_fifty_costs_no_more_queries_than_one(shop: Deployment, django_assert_max_num_queries: Any) -> None:
    for number in range(10):
        requests.deploy(create_deployment(by=None, name=f"app-{number}", repository=REPOSITORY), by=None)
    api = Api(charlie())
    with django_assert_max_num_queries(7):
        assert len(api.get("deployments")[1]) == 11
    with django_assert_max_num_queries(7):
        assert len(api.get("tasks")[1]) == 10
