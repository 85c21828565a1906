import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.arguments import require_counts, require_shares


@given(st.integers(-5, 5), st.lists(st.integers(0, 100), max_size=3))
def test_whole_numbers_from_the_minimum_on_pass(minimum, above):
    require_counts(minimum, **{f"n{i}": minimum + more for i, more in enumerate(above)})


@pytest.mark.parametrize("minimum", [0, 1, 2])
def test_a_count_below_the_minimum_is_refused_by_its_name(minimum):
    message = f"^rows is {minimum - 1}; .* whole number of at least {minimum}"
    with pytest.raises(ValueError, match=message):
        require_counts(minimum, columns=minimum, rows=minimum - 1)


def test_the_minimum_is_1_unless_given():
    require_counts(rows=1)
    with pytest.raises(ValueError, match="at least 1"):
        require_counts(rows=0)


@pytest.mark.parametrize("value", [2.0, math.nan, "3", None, np.int64(3)], ids=repr)
def test_what_is_no_integer_is_refused_and_shown_as_python_writes_it(value):
    with pytest.raises(ValueError, match=f"rows is {re.escape(repr(value))}; expected"):
        require_counts(rows=value)


@given(st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=3))
def test_shares_between_0_and_1_pass(shares):
    require_shares(**{f"share{i}": share for i, share in enumerate(shares)})


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, math.nan])
def test_a_share_that_leaves_nothing_or_takes_nothing_is_refused_by_its_name(value):
    with pytest.raises(ValueError, match=f"^held_out is {value}; .* between 0 and 1"):
        require_shares(warm_up=0.3, held_out=value)


@pytest.mark.parametrize("require", [require_counts, require_shares])
def test_the_first_bad_one_is_the_one_named(require):
    with pytest.raises(ValueError, match="columns is -1"):
        require(columns=-1, pages=-2)
