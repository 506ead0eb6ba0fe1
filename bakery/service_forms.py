"""What forms share whose values a service checks and saves."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from infrastructure.errors import Problem

PLAIN = {"class": "mono", "spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}


class ServiceForm(forms.Form):
    """A form whose values a service checks and saves."""

    def take(self, problem: ValidationError | Problem, place: str | None = None) -> None:
        """Put what a service refused beside its field, or on top where it is about no field of this form."""
        if isinstance(problem, Problem):
            self.add_error(place, f"{problem.message} {problem.hint}".strip())
        elif hasattr(problem, "error_dict"):
            for name, errors in problem.error_dict.items():
                self.add_error(name if name in self.fields else place, errors)
        else:
            self.add_error(place, problem)

    def disable(self) -> None:
        """For who may look and not change."""
        for field in self.fields.values():
            field.disabled = True


class SecretTextarea(forms.Textarea):
    """Like a password's input: a form that comes back with errors does not bring it along."""

    def format_value(self, value: Any) -> None:
        return None
