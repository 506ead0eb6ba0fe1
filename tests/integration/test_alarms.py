"""What a person has to look at is said on the dashboard, on the deployment, in the feed and by the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.models import Alarm, Task, TaskKind
from deployments.models import Deployment
from deployments.services.settings import create_deployment
from tests.integration.people import bob, browser, charlie

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository="https://example.com/shop.git")


def expiring(shop: Deployment | None) -> Alarm:
    return raise_alarm(
        "certificate.expires:1",
        subject="bakery-shop.com",
        message="Its certificate ends in 7 days.",
        hint="Look at its Domains tab.",
        urgent=True,
        deployment=shop,
    )


def test_an_open_alarm_is_on_the_dashboard_on_its_deployment_and_in_the_feed_until_it_is_over(shop: Deployment) -> None:
    blog = create_deployment(by=None, name="blog", repository="https://example.com/blog.git")
    expiring(shop)
    client = browser(charlie())
    pages = ("/", f"/deployments/{shop.pk}", f"/deployments/{shop.pk}/settings", "/domains", "/activity", "/alarms")
    for page in pages:
        html = client.get(page).content.decode()
        assert "Its certificate ends in 7 days." in html and "Urgent" in html, page
    for page in (f"/deployments/{blog.pk}", f"/alarms/{blog.pk}"):
        assert "Its certificate ends" not in client.get(page).content.decode()
    end_alarm("certificate.expires:1")
    for page in (page for page in pages if page != "/activity"):
        assert "Its certificate ends" not in client.get(page).content.decode(), page
    feed = client.get("/activity").content.decode()
    assert "Its certificate ends" in feed and "Over" in feed, "what was raised stays in the feed"


def test_the_api_gives_what_is_open_with_the_urgent_first(shop: Deployment) -> None:
    expiring(shop)
    raise_alarm("domain.wrong:3", subject="www.bakery-shop.com", message="It no longer points here.")
    raise_alarm("domain.wrong:4", subject="old.bakery-shop.com", message="It is over.")
    end_alarm("domain.wrong:4")
    found = browser(charlie()).get("/api/alarms").json()
    assert [(alarm["key"], alarm["urgent"], alarm["deployment"]) for alarm in found] == [
        ("certificate.expires:1", True, "shop"),
        ("domain.wrong:3", False, None),
    ]


def test_alarms_stand_among_the_tasks_by_time_and_on_one_page_of_the_feed_only(shop: Deployment) -> None:
    begin = timezone.now() - timedelta(days=1)
    for number in range(60):
        task = Task.objects.create(kind=TaskKind.DEPLOY, subject=f"task-{number}", deployment=shop)
        Task.objects.filter(pk=task.pk).update(created_at=begin + timedelta(minutes=number))
    for number, key in ((5, "old"), (30, "young")):
        raise_alarm(key, subject=f"{key}.bakery-shop.com", message="Look.", deployment=shop)
        Alarm.objects.filter(key=key).update(raised_at=begin + timedelta(minutes=number, seconds=30))
    client = browser(charlie())

    def feed(query: str) -> str:
        html = client.get(f"/activity{query}").content.decode()
        return html[html.index('id="feed"') :]

    first = feed("")
    assert first.index("task-31<") < first.index("young.bakery") < first.index("task-30<")
    assert "old.bakery" not in first
    oldest_shown = Task.objects.get(subject="task-10")
    second = feed(f"?before={oldest_shown.pk}")
    assert second.index("task-6<") < second.index("old.bakery") < second.index("task-5<")
    assert "young.bakery" not in second
    assert "young.bakery" not in feed("?kind=deploy")
    blog = create_deployment(by=None, name="blog", repository="https://example.com/blog.git")
    assert "young.bakery" not in feed(f"?deployment={blog.pk}")


def test_many_alarms_are_counted_and_need_no_more_queries(shop: Deployment) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = browser(bob())

    def queries() -> int:
        client.get("/alarms")
        with CaptureQueriesContext(connection) as asked:
            client.get("/alarms")
        return len(asked)

    expiring(shop)
    few = queries()
    for number in range(15):
        raise_alarm(f"some:{number}", subject=f"n{number}.bakery-shop.com", message="Look.", deployment=shop)
    assert queries() == few
    for number in range(15, 30):
        raise_alarm(f"some:{number}", subject=f"n{number}.bakery-shop.com", message="Look.", deployment=shop)
    assert "and 11 more" in client.get("/alarms").content.decode()
