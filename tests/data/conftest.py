"""Fixtures of tests of data."""

import pytest
from prepare_runs import sentences

from bort_mx.data import train_sentencepiece


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    """The directory of a small vocabulary."""
    folder = tmp_path_factory.mktemp("vocabulary")
    train_sentencepiece(sentences(500), 400).save(folder)
    return str(folder)
