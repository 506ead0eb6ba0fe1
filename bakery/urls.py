from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from bakery import health, views

admin.autodiscover()  # here and not at start: see INSTALLED_APPS

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("", views.dashboard, name="dashboard"),
    path("sidebar", views.sidebar, name="sidebar"),
    path("alarms", views.alarms, name="alarms"),
    path("alarms/<int:pk>", views.alarms, name="deployment-alarms"),
    path("alarms/databases/<int:pk>", views.database_alarms, name="database-alarms"),
    path("activity", views.activity, name="activity"),
    path("activity/<int:pk>", views.task, name="task"),
    path("", include("bakery.updates.urls")),
    path("auth/", include("accounts.urls")),
    path("api/", include("bakery.api_urls")),
    path("", include("deployments.urls")),
    path("", include("domains.urls")),
    path("", include("databases.urls")),
    path("streams/", include("deployments.log_urls")),
    # The admin has a sign-in of its own, which knows nothing of ours: throttling, roles, where to go next.
    path("admin/login/", views.admin_login, name="admin-login"),
    path("admin/", admin.site.urls),
]
