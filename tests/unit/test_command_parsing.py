from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.management.base import Usage
from bakery.management.parsing import assignments, truth
from bakery.management.tables import ago, table
from deployments.management.settings import settings_from


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: "=" not in name), st.text(max_size=40), max_size=5
    )
)
def test_assignments_come_back_as_they_were_written(values: dict[str, str]) -> None:
    assert assignments(f"{name}={value}" for name, value in values.items()) == values


@pytest.mark.parametrize("items", [["A"], ["=b"], [""], ["A=1", "A=2"]])
def test_what_is_no_assignment_is_wrong_usage(items: list[str]) -> None:
    with pytest.raises(Usage) as caught:
        assignments(items)
    assert caught.value.returncode == 2


@pytest.mark.parametrize(("text", "value"), [("true", True), ("Yes", True), ("off", False), ("0", False)])
def test_truth_has_several_words(text: str, value: bool) -> None:
    assert truth(text) is value


def test_settings_get_the_type_of_their_field() -> None:
    wanted = ["memory_mb=1024", "blue_green=no", "container_port=", "branch=a=b"]
    assert settings_from(wanted) == {"memory_mb": 1024, "blue_green": False, "container_port": None, "branch": "a=b"}


@pytest.mark.parametrize("item", ["memory_mb=much", "memory_mb=", "colour=red", "name=x", "blue_green=perhaps", "id=3"])
def test_a_setting_that_does_not_fit_is_wrong_usage(item: str) -> None:
    with pytest.raises(Usage):
        settings_from([item])


def test_a_table_is_as_wide_as_its_widest_cells() -> None:
    assert table(("NAME", "N"), [("shop", 1), ("a", 10)]) == "NAME  N\nshop  1\na     10"


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "never"), (-1, "0 s ago"), (59, "59 s ago"), (61, "1 min ago"), (90000, "25 h ago")]
)
def test_times_are_said_in_the_largest_unit_that_fits(seconds: float | None, said: str) -> None:
    assert ago(seconds) == said
