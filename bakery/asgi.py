"""What daphne serves: pages over HTTP, live logs and events over websockets."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")
pages = get_asgi_application()  # first: it loads the apps, which the imports below need

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from bakery.cookies import CookiesByScheme  # noqa: E402
from bakery.forwarded import BehindNginx  # noqa: E402
from bakery.origin import SameOrigin  # noqa: E402
from bakery.routing import websocket_urlpatterns  # noqa: E402

by_protocol = ProtocolTypeRouter(
    {"http": pages, "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))},
)
own_cookies = (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, "messages")
application = BehindNginx(CookiesByScheme(by_protocol, own_cookies, settings.BAKERY.base_url))
