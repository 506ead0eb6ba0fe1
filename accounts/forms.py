from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.http import HttpRequest


class SignInForm(AuthenticationForm):
    username = forms.CharField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(
            attrs={"autocomplete": "username", "autofocus": True, "placeholder": "you@example.com"}
        ),
    )
    error_messages = {
        # The same words whichever of the two was wrong: who has an account is nobody's business.
        "invalid_login": "This e-mail and password do not fit together. Check both and try again.",
        "inactive": "This e-mail and password do not fit together. Check both and try again.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["password"].widget.attrs["autocomplete"] = "current-password"


class ChangePasswordForm(PasswordChangeForm):
    """Django's, with labels in this application's words."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["old_password"].label = "Current password"
        self.fields["new_password1"].label = "New password"
        self.fields[
            "new_password1"
        ].help_text = "At least 12 characters. A sentence is easier to remember than a puzzle."
        self.fields["new_password2"].label = "New password, again"
        self.fields["new_password2"].help_text = ""
        self.error_messages = {
            **self.error_messages,
            "password_incorrect": "That is not your current password.",
            "password_mismatch": "The two new passwords differ.",
        }
