"""What the installer asks of Bakery itself, through ``manage.py`` alone."""

from __future__ import annotations

import json

from infrastructure.server.server import Server
from infrastructure.server.work import Work


class Django:
    def __init__(self, server: Server, work: Work) -> None:
        self.server, self.work = server, work

    @property
    def _argv(self) -> tuple[str, str]:
        return str(self.server.python), "manage.py"

    @property
    def _env(self) -> dict[str, str]:
        return {"BAKERY_ENV_FILE": str(self.server.env_file), "PYTHONDONTWRITEBYTECODE": "1"}

    def manage(self, *argv: str, timeout: float = 300, check: bool = True) -> str:
        return self.work.run(
            *self._argv, *argv, cwd=self.server.release, env=self._env, timeout=timeout, check=check
        ).output

    def ask(self, *argv: str, timeout: float = 120) -> str:
        return self.work.ask(*self._argv, *argv, cwd=self.server.release, env=self._env, timeout=timeout)

    def first_admin(self) -> str:
        """Make the admin when nobody has an account yet; the password, which is kept nowhere, or "" """
        if json.loads(self.ask("list_users", "--json")):
            return ""
        made = json.loads(self.ask("create_admin", self.server.admin_email, "--json"))
        password: str = made["password"]
        return password
