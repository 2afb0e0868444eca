"""Progress bars: shown where asked for, silent otherwise."""

from __future__ import annotations

import pytest

from psmimpute.inference.progress import Progress


def _run(show):
    with Progress(show).stage("counting rows", total=3) as done:
        done(1)
        done(2)


def test_a_bar_goes_to_standard_error_when_asked_for(capsys):
    _run(True)
    printed = capsys.readouterr()
    assert "counting rows" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("show", [False, None])
def test_nothing_is_printed_otherwise(show, capsys):
    """None shows bars on a terminal, which captured output is not."""
    _run(show)
    printed = capsys.readouterr()
    assert (printed.err, printed.out) == ("", "")


def test_an_error_inside_closes_the_bar(capsys):
    with pytest.raises(RuntimeError), Progress(True).stage("failing"):
        raise RuntimeError
    assert "failing" in capsys.readouterr().err
