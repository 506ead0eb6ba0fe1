from __future__ import annotations

from django.urls import path

from bakery.consumers import EventsConsumer
from deployments.routing import websocket_urlpatterns as log_sockets

# Every websocket there is. Each consumer names its ``action``.
websocket_urlpatterns = [path("ws/events/", EventsConsumer.as_asgi()), *log_sockets]
