"""A page whose author forgot to say who may see it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bakery import urls


def undeclared(request: HttpRequest) -> HttpResponse:
    return HttpResponse("anybody could read this")


urlpatterns = [path("undeclared", undeclared), *urls.urlpatterns]
