from __future__ import annotations

from django.urls import path

from deployments.consumers import LogConsumer

websocket_urlpatterns = [path("ws/streams/<int:stream_id>/", LogConsumer.as_asgi())]
