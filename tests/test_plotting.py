"""Figures: one style, and files whose bytes depend on what is drawn alone."""

import json

import matplotlib.image
import pytest

from bort_mx import plotting


def draw(path, **metadata):
    figure, axes = plotting.new_figure(3, 2)
    axes.plot([0, 1], [1, 0], color=plotting.BLUE)
    plotting.set_title(axes, "costs $5_$ \u732b")  # no formula, and a script that matplotlib's font lacks
    plotting.style_axes(axes, grid="y")
    plotting.save(figure, path, **metadata)
    return axes


def test_equal_inputs_give_equal_bytes_of_the_size_asked_for(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "sub" / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "sub" / "b.png").read_bytes()
    assert matplotlib.image.imread(tmp_path / "a.png").shape[:2] == (2 * plotting.DPI, 3 * plotting.DPI)
    assert b"Software" not in (tmp_path / "a.png").read_bytes()


def test_the_description_is_kept_in_the_file(tmp_path):
    draw(tmp_path / "a.png", description=json.dumps({"seed": 1}))
    assert b'Description\x00{"seed": 1}' in (tmp_path / "a.png").read_bytes()


def test_the_style_of_axes(tmp_path):
    axes = draw(tmp_path / "a.png")
    assert {side: spine.get_visible() for side, spine in axes.spines.items()} == {
        "top": False, "right": False, "left": True, "bottom": True}
    assert all(line.get_color() == plotting.GRID for line in axes.yaxis.get_gridlines())
    assert axes.get_title() == "costs $5_$ \u732b"


def test_nothing_is_left_of_a_figure_that_cannot_be_drawn(tmp_path):
    (tmp_path / "a.png").write_bytes(b"before")
    figure, axes = plotting.new_figure(3, 2)
    axes.set_title("$\\nothing$")  # not a formula that matplotlib knows
    with pytest.raises(ValueError, match="nothing"):
        plotting.save(figure, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"before"
