from utils.history import DivergenceError, History


def test_histories_are_compared_by_what_happened_not_by_the_clock():
    one = History([2.0, 1.0], [2], [3.0], seconds=1.0, interrupted=True)
    assert one == History([2.0, 1.0], [2], [3.0], seconds=9.0)
    assert one != History([2.0, 1.5], [2], [3.0], seconds=1.0)


def test_a_divergence_is_an_arithmetic_error_that_holds_the_history():
    history = History([1.0])
    error = DivergenceError("too fast", history)
    assert isinstance(error, ArithmeticError)
    assert error.history is history
