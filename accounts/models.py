from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from bakery.roles import Action, Role, role_may


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None, role: str = Role.VIEWER, **extra: Any) -> User:
        user = self.model(email=email.strip().lower(), role=role, **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person. Signs in with e-mail and password; may what the role may."""

    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=100, blank=True)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="one_account_per_email")]

    def __str__(self) -> str:
        return self.email

    def may(self, action: Action) -> bool:
        return self.is_active and role_may(self.role, action)

    # What Django's admin asks. It is for admins, whole or not at all.
    @property
    def is_staff(self) -> bool:
        return self.may(Action.ADMINISTER)

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.may(Action.ADMINISTER)

    def has_perms(self, perm_list: object, obj: object = None) -> bool:
        return self.may(Action.ADMINISTER)

    def has_module_perms(self, app_label: str) -> bool:
        return self.may(Action.ADMINISTER)
