"""Django's settings. Everything that differs between hosts comes from ``environment.py``."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import environ

from bakery.addresses import AllowedHosts
from bakery.environment import ROOT, read_environment

BAKERY = read_environment()

SECRET_KEY = BAKERY.session_secret
DEBUG = BAKERY.debug
_base = urlsplit(BAKERY.base_url)
_names = {_base.hostname or "localhost", BAKERY.public_ip or "localhost", BAKERY.host}
_names |= {"localhost", "127.0.0.1", "[::1]"}
if BAKERY.web_server == "system":  # one of infrastructure.nginx.panel.panel_names
    _names.add(socket.gethostname())
ALLOWED_HOSTS = AllowedHosts(sorted(f"[{name}]" if ":" in name and "[" not in name else name for name in _names))
CSRF_TRUSTED_ORIGINS = [
    BAKERY.base_url
]  # beside the origin that was asked, which for a domain of the panel's is enough

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # admin.py modules are loaded by urls.py: workers need none
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_celery_beat",
    "channels",
    "axes",
    "bakery",
    "accounts",
    "deployments",
    "domains",
    "databases",
    "analytics",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "bakery.middleware.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "bakery.middleware.PermissionMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "bakery.urls"
ASGI_APPLICATION = "bakery.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "bakery.context.sidebar",
            ],
        },
    },
]

DATABASES = {
    "default": {**environ.Env.db_url_config(BAKERY.database_url), "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "accounts.backends.EmailBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
CSRF_FAILURE_VIEW = "bakery.api.csrf_failure"
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "accounts:login"

SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# A port is no part of a cookie's scope: two instances on one machine need names of their own.
SESSION_COOKIE_NAME = f"bakery_session_{BAKERY.port}"
CSRF_COOKIE_NAME = f"bakery_csrf_{BAKERY.port}"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # HSTS, and
    "security.W008",  # the redirect to https are for whoever ends TLS in front of Bakery: it knows the other hosts
    "security.W012",  # Secure, for the session's cookie
    "security.W016",  # and for the CSRF token's: bakery/cookies.py adds it to every cookie that goes out over https
]

# Sign-in is throttled per account and address (django-axes).
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_FORM_FIELD = "username"
AXES_LOCKOUT_TEMPLATE = "accounts/locked_out.html"
AXES_RESET_ON_SUCCESS = True

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "templates" / "static"]
STATIC_ROOT = BAKERY.data_dir / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [BAKERY.redis_url], "prefix": "bakery"},
    },
}

CELERY_BROKER_URL = BAKERY.redis_url
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "housekeeping"
CELERY_TASK_ROUTES = {"deployments.tasks.work": {"queue": "deploys"}}
# A job is only a wake-up ("look at deployment 7"); what is to be done stands in the database. So one that is lost
# with its worker is found by the reaper, and one that comes twice finds the lease taken.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "health_check_interval": 10,
    # kombu would remember in Redis which job each worker has taken, to send it again when the worker is gone: that is
    # the reaper's, and it takes a command that Redis has since 6.2. Ubuntu 22.04 has 6.0.
    "ack_emulation": False,
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Nobody asks workers by broadcast, whose queues take Redis 6.2 as well.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
# Missed runs do not pile up: each is only good until the next one is due.
CELERY_BEAT_SCHEDULE = {
    "reap": {"task": "deployments.tasks.reap", "schedule": 5.0, "options": {"expires": 5.0}},
    "tend-update": {"task": "bakery.tasks.tend_update", "schedule": 5.0, "options": {"expires": 5.0}},
    # It looks once a day; asked more often, so that a host that was off looks soon after.
    "look-for-version": {"task": "bakery.tasks.look_for_version", "schedule": 600.0, "options": {"expires": 600.0}},
    "tend-certificates": {"task": "domains.tasks.tend_certificates", "schedule": 10.0, "options": {"expires": 10.0}},
    # Each is looked at once a day; asked more often, so that a host that was off looks soon after.
    "watch-certificates": {
        "task": "domains.tasks.watch_certificates",
        "schedule": 600.0,
        "options": {"expires": 600.0},
    },
    # Asked for with each change; this makes up for a message that was lost, and for an Nginx that was away.
    "apply-panel": {"task": "domains.tasks.apply_panel", "schedule": 300.0, "options": {"expires": 300.0}},
    # Each name has its own time; see domains.services.verification.
    "verify-names": {"task": "domains.tasks.verify_names", "schedule": 15.0, "options": {"expires": 15.0}},
    "tend-databases": {"task": "databases.tasks.tend", "schedule": 10.0, "options": {"expires": 10.0}},
    # Each is looked at every few minutes, and measured once an hour; see databases.services.measuring.
    "measure-databases": {"task": "databases.tasks.measure", "schedule": 60.0, "options": {"expires": 60.0}},
    "take-stock-of-backups": {
        "task": "databases.tasks.take_stock",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "trim-build-cache": {
        "task": "deployments.tasks.trim_build_cache",
        "schedule": 600.0,
        "options": {"expires": 600.0, "queue": "deploys"},
    },
    "rotate-access-log": {
        "task": "analytics.tasks.rotate_access_log",
        "schedule": 300.0,
        "options": {"expires": 300.0},
    },
}
if BAKERY.install_dir is None:  # a checkout does not update itself
    del CELERY_BEAT_SCHEDULE["tend-update"], CELERY_BEAT_SCHEDULE["look-for-version"]
CELERY_BEAT_SCHEDULER = "bakery.liveness:Scheduler"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "axes": {"level": "WARNING"},
        "daphne.http_protocol": {"level": "WARNING"},
        # Four lines for every wake-up, which comes every few seconds; what a job does stands in its Task.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
    },
}
