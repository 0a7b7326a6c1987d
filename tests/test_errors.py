"""The error tree: what the command line returns, and how the nearest name is offered."""

from __future__ import annotations

import pytest

from rivc import errors


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        (errors.ConfigError, 2),
        (errors.MissingError, 2),
        (errors.DamagedFileError, 2),
        (errors.QuantError, 1),
        (errors.ChipLimitError, 1),
        (errors.MismatchError, 1),
        (errors.BackendError, 1),
        (errors.RobotError, 1),
        (errors.DivergedError, 1),
    ],
)
def test_wrong_requests_exit_with_2_and_failed_work_with_1(
    kind: type[errors.RivcError], exit_code: int
) -> None:
    assert issubclass(kind, errors.RivcError)
    assert kind.exit_code == exit_code


def test_the_nearest_name_is_offered_only_when_it_is_near() -> None:
    assert errors.nearest("gap_cof", ["gap_coef", "margin"]) == "; did you mean 'gap_coef'?"
    assert errors.nearest("zzz", ["gap_coef", "margin"]) == ""
    assert errors.nearest("x", []) == ""
