from __future__ import annotations

from domains.models.certificate import Certificate, Challenge, Source
from domains.models.dns_provider import DnsProvider
from domains.models.domain import Domain, Verdict

__all__ = ["Certificate", "Challenge", "DnsProvider", "Domain", "Source", "Verdict"]
