"""Certbot, asked for one certificate at a time."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from infrastructure.certbot.failures import MISSING, TOO_LATE, IssuanceFailed, translate
from infrastructure.certbot.plans import LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Order, Plans
from infrastructure.certificates.pem import Facts, facts_of
from infrastructure.errors import HostProblem
from infrastructure.files import make_directory, write_atomically
from infrastructure.runner import LogSink, Result, Runner, TimedOut
from infrastructure.secret import Secret

MOST_LOG = 1024 * 1024  # bytes of Certbot's own log that are read


@dataclass(frozen=True)
class Issued:
    """What a lineage holds. ``is_new``: it was issued just now; else the one before is good for long."""

    chain: bytes
    key: bytes
    is_new: bool


class Certbot:
    def __init__(self, plans: Plans, runner: Runner) -> None:
        self.plans = plans
        self.place = plans.place
        self.runner = runner

    def issue(self, order: Order, on_output: LogSink | None = None) -> Issued:
        """The certificate that was ordered. Raises ``IssuanceFailed``, or ``Cancelled``."""
        self.place.prepare()
        self.place.put_hook()
        self.place.put_environment({**self.plans.passed_on(), **order.proof.variables()})
        make_directory(self.place.logs(order.lineage), 0o700)
        try:
            return self._issue(order, on_output)
        except IssuanceFailed as problem:
            if problem.id != "acme.account-gone":
                raise
            self._forget_accounts()  # the authority did; the next try registers anew
        return self._issue(order, on_output)

    def _issue(self, order: Order, on_output: LogSink | None) -> Issued:
        before = self._newest(order.lineage)
        command = self.plans.certonly(order)
        try:
            result = self.runner.run(command, on_output, check=False)
        except TimedOut:
            said = f"it was ended after {command.timeout:g} s"
            raise IssuanceFailed(TOO_LATE, said) from None
        except HostProblem as problem:
            if problem.id != "command.missing":
                raise
            raise IssuanceFailed(MISSING, "") from None
        except OSError as error:
            raise translate(str(error), "", _now()) from error
        if result.exit_code != 0:
            raise translate(result.output, self._log(order.lineage), _now())
        return self._read(order.lineage, before, result)

    def delete(self, lineage: str) -> None:
        """Forget the lineage, its keys and its logs. May be repeated, and needs no Certbot that works."""
        if lineage in self.place.lineages():
            try:
                self.runner.run(self.plans.delete(lineage), check=False)
            except (HostProblem, TimedOut):
                pass  # what it would have removed is removed below
        self.place.renewal(lineage).unlink(missing_ok=True)
        self.place.credentials(lineage).unlink(missing_ok=True)
        for folder in (self.place.live(lineage), self.place.config / "archive" / lineage, self.place.logs(lineage)):
            shutil.rmtree(folder, ignore_errors=True)

    def write_credentials(self, lineage: str, credentials: Secret) -> Path:
        self.place.prepare()
        path = self.place.credentials(lineage)
        write_atomically(path, credentials.reveal().rstrip("\n") + "\n", 0o600)
        return path

    def is_of_another_authority(self, lineage: str) -> bool:
        """Whether the lineage was issued by another server than the one that is set now."""
        try:
            text = self.place.renewal(lineage).read_text()
        except OSError:
            return False
        found = re.search(r"^server\s*=\s*(\S+)", text, re.MULTILINE)
        authority = self.plans.authority
        wanted = authority.server or (LETS_ENCRYPT_STAGING if authority.staging else "")
        if wanted:
            return found is None or found[1] != wanted
        return found is not None and found[1] != LETS_ENCRYPT

    def chain_of(self, lineage: str) -> bytes | None:
        """What Certbot has for it now, whoever asked for it."""
        try:
            return (self.place.live(lineage) / "fullchain.pem").read_bytes()
        except OSError:
            return None

    def facts_of(self, lineage: str) -> Facts | None:
        """Of its newest certificate."""
        try:
            return facts_of(x509.load_pem_x509_certificate(self.chain_of(lineage) or b""))
        except (ValueError, UnsupportedAlgorithm):
            return None

    def issued_at(self, lineage: str) -> float:
        """When its newest certificate was written, in seconds since the epoch; 0: there is none."""
        try:
            return (self.place.live(lineage) / "fullchain.pem").stat().st_mtime
        except OSError:
            return 0.0

    def key_of(self, lineage: str) -> bytes | None:
        try:
            return (self.place.live(lineage) / "privkey.pem").read_bytes()
        except OSError:
            return None

    def _read(self, lineage: str, before: str, result: Result) -> Issued:
        chain, key = self.chain_of(lineage), self.key_of(lineage)
        if chain is None or key is None:
            raise translate(result.output or "Certbot ended well, and there is no certificate", "", _now())
        return Issued(chain, key, is_new=self._newest(lineage) != before)

    def _forget_accounts(self) -> None:
        """Those with the authority that is set now: Certbot keeps them under its address."""
        authority = self.plans.authority
        server = authority.server or (LETS_ENCRYPT_STAGING if authority.staging else LETS_ENCRYPT)
        address = urlsplit(server)
        folder = self.place.config / "accounts" / f"{address.netloc}{address.path}".rstrip("/")
        if self.place.config in folder.resolve().parents:
            shutil.rmtree(folder, ignore_errors=True)

    def _newest(self, lineage: str) -> str:
        """Which of its certificates the lineage points to: archive/<lineage>/fullchain<number>.pem."""
        try:
            return (self.place.live(lineage) / "fullchain.pem").readlink().name
        except OSError:
            return ""

    def _log(self, lineage: str) -> str:
        try:
            with (self.place.logs(lineage) / "letsencrypt.log").open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - MOST_LOG))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)
