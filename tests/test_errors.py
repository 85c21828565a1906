import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.errors import check_counts


@given(st.integers(-5, 5), st.lists(st.integers(0, 100), min_size=1, max_size=3))
def test_whole_numbers_from_the_minimum_on_pass(minimum, above):
    check_counts(minimum, **{f"n{i}": minimum + more for i, more in enumerate(above)})


def test_nothing_to_check_passes():
    check_counts()


@pytest.mark.parametrize("minimum", [0, 1, 2])
def test_a_count_below_the_minimum_is_refused_by_its_name(minimum):
    with pytest.raises(
        ValueError,
        match=rf"^rows is {minimum - 1}; expected a whole number of at least "
        rf"{minimum}\.$",
    ):
        check_counts(minimum, columns=minimum, rows=minimum - 1)


def test_the_minimum_is_1_unless_given():
    check_counts(rows=1)
    with pytest.raises(ValueError, match=r"rows is 0; .* at least 1\."):
        check_counts(rows=0)


@pytest.mark.parametrize(
    "value",
    [2.0, 1.5, float("nan"), "3", None, [3], np.int64(3)],
    ids=repr,
)
def test_what_is_no_integer_is_refused_and_shown_as_python_writes_it(value):
    with pytest.raises(
        ValueError, match=rf"^rows is {re.escape(repr(value))}; expected a whole number"
    ):
        check_counts(rows=value)


def test_the_first_bad_count_is_the_one_named():
    with pytest.raises(ValueError, match="columns is 0"):
        check_counts(rows=1, columns=0, pages=-1)
