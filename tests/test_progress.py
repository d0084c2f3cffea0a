"""Progress: a bar in a notebook, with and without ipywidgets; lines where output is no terminal."""

import sys
import types

import pytest
import tqdm.notebook

from bort_mx import progress


class Bar:
    made = []

    def __init__(self, **options):
        self.options, self.n, self.postfix, self.closed = options, 0, "", False
        Bar.made.append(self)

    def update(self, amount):
        self.n += amount

    def set_postfix_str(self, text, refresh):
        self.postfix = text

    def close(self):
        self.closed = True


@pytest.fixture
def notebook(monkeypatch):
    """As in a kernel of Jupyter."""
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    return shell


def having(monkeypatch, there):
    find = progress.importlib.util.find_spec
    monkeypatch.setattr(progress.importlib.util, "find_spec",
                        lambda name: there and object() or None if name == "ipywidgets" else find(name))


def test_a_widget_in_a_notebook(notebook, monkeypatch, capsys):
    having(monkeypatch, True)
    monkeypatch.setattr(tqdm.notebook, "tqdm", Bar)
    with progress.Progress(5, "train", "step") as bar:
        bar.advance({"loss": "0.5"})
        bar.update(2)
    drawn = Bar.made.pop()
    assert (drawn.n, drawn.postfix, drawn.closed) == (3, "loss 0.5", True)
    assert drawn.options["total"] == 5 and not drawn.options["disable"]
    assert capsys.readouterr().out == ""  # no plain lines beside the bar


def test_without_ipywidgets_the_bar_is_of_characters(notebook, monkeypatch, capsys):
    having(monkeypatch, False)
    with progress.Progress(5, "train", "step") as bar:
        bar.update(5)
    assert "train: 100%" in capsys.readouterr().out


def test_plain_lines_elsewhere(monkeypatch, capsys):
    assert not progress.in_notebook()
    shell = types.SimpleNamespace()  # IPython on a terminal, whose output is a file
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert not progress.in_notebook()
    with progress.Progress(5, "train", "step") as bar:
        bar.advance({"loss": "0.5"})
    assert capsys.readouterr().out.startswith("train 1/5: loss 0.5")
