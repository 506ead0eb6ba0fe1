"""Certbot of this instance, made from its settings, and how a certificate's names are proven to be ours."""

from __future__ import annotations

from django.conf import settings

from deployments.services import host
from domains.models import Certificate, Challenge
from infrastructure.certbot.certbot import Certbot
from infrastructure.certbot.dns_plugins import plugin_called
from infrastructure.certbot.place import Place
from infrastructure.certbot.plans import Authority, DnsRecord, NginxPlugin, Plans, Proof, Webroot
from infrastructure.errors import Refused
from infrastructure.runner import Runner


def place() -> Place:
    return Place(settings.BAKERY.data_dir / "letsencrypt")


def certbot(runner: Runner | None = None) -> Certbot:
    bakery = settings.BAKERY
    store = host.router().certificates
    authority = Authority(bakery.certbot_email, bakery.certbot_server, bakery.certbot_staging)
    return Certbot(Plans(bakery.certbot, place(), authority, store.root, store.group), runner or Runner())


def proof_for(certificate: Certificate, tool: Certbot) -> Proof:
    if certificate.challenge == Challenge.DNS:
        provider = certificate.dns_provider
        if provider is None:
            raise no_provider()
        plugin = plugin_called(provider.plugin)
        file = tool.write_credentials(certificate.store_name, provider.credentials)
        return DnsRecord(plugin, file, provider.propagation_seconds)
    # Certbot's plugin knows the machine's own Nginx alone.
    if settings.BAKERY.certbot_authenticator == "nginx" and settings.BAKERY.web_server == "system":
        return NginxPlugin()
    root = host.router().acme_root
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    return Webroot(root)


def no_provider() -> Refused:
    return Refused(
        "certificate.no-dns-provider",
        "To prove names by DNS records, Bakery needs the credentials of whoever serves that DNS.",
        "Add a DNS provider and choose it for this certificate.",
    )
