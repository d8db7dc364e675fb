"""Charts of curves: as a picture, and in digits where matplotlib is missing."""

import builtins

import numpy as np
import pytest

from tinygrad_sm import errors, train

CURVES = {"Loss": {"slow": np.linspace(4, 0, 100), "fast": [4, 1, 0.5]}, "Right (%)": {"slow": [0, 50, 100]}}


def without_matplotlib(monkeypatch):
    original = builtins.__import__

    def refusing(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refusing)


@pytest.mark.extra
@pytest.mark.parametrize("log", [False, True])
def test_picture(tmp_path, log):
    panels = {f"{title} {i}": curves for i in range(2) for title, curves in CURVES.items()}
    assert train.chart(panels, tmp_path / "loss.svg", log=log) == f"Drawn in {tmp_path / 'loss.svg'}."
    drawn = (tmp_path / "loss.svg").read_text()
    assert drawn.count('id="axes_') == 4


@pytest.mark.extra
def test_format_of_the_picture_is_checked(tmp_path):
    with pytest.raises(errors.ArgumentError, match=r"curves\.xyz does not end in a known format"):
        train.chart(CURVES, tmp_path / "curves.xyz")


@pytest.mark.extra
def test_a_curve_on_top_of_another_has_gaps(tmp_path):
    curves = {
        "below": [4.0, 2.0, 1.0],
        "apart": [4.0, 3.0, 2.0],
        "shorter": [4.0, 2.0],
        "on top": [4.0, 2.0, 1.0 + 1e-9],
    }
    train.chart({"Loss": curves}, tmp_path / "loss.svg")
    assert (tmp_path / "loss.svg").read_text().count("stroke-dasharray") == 2  # the curve, and its line in the legend


def test_digits_without_matplotlib(tmp_path, monkeypatch):
    without_matplotlib(monkeypatch)
    text = train.chart(CURVES, tmp_path / "loss.png")
    assert not list(tmp_path.iterdir())
    assert text.splitlines() == [
        "Loss, from 0 (lowest) to 9 (highest)",
        "  slow  9998888777766666555544443333322221111000   4 -> 0",
        "  fast  921   4 -> 0.5",
        "Right (%), from 0 (lowest) to 9 (highest)",
        "  slow  049   0 -> 100",
    ]


def test_logarithmic_digits(tmp_path, monkeypatch):
    without_matplotlib(monkeypatch)
    text = train.chart(
        {"Gradient": {"ten": 10.0 ** -np.arange(10), "same": [1e-9, 1e-9]}}, tmp_path / "g.png", log=True
    )
    assert text.splitlines()[1:] == ["  ten   9876543210   1 -> 1e-09", "  same  00   1e-09 -> 1e-09"]


def test_a_curve_of_equal_values_and_one_of_zeros(tmp_path, monkeypatch):
    without_matplotlib(monkeypatch)
    assert "00   2 -> 2" in train.chart({"a": {"b": [2, 2]}}, tmp_path / "a.png")
    assert "??   0 -> 0" in train.chart({"a": {"b": [0, 0]}}, tmp_path / "a.png", log=True)
    assert "0?9   1 -> 2" in train.chart({"a": {"b": [1, np.nan, 2]}}, tmp_path / "a.png")
