"""What benchmarks/search_rank_correlation.py makes of errors."""

import pytest

from bort_mx.architecture import Architecture


@pytest.fixture(scope="module")
def ranks(load_benchmark):
    return load_benchmark("search_rank_correlation")


def test_correlations_are_of_ranks_and_drawn(ranks, tmp_path):
    """Monotone errors correlate to 1 and reversed ones to -1, whatever their size; every recipe pair is there once."""
    short = [10.1, 10.2, 10.3, 10.4, 10.5]
    errors = {"sgd-0": short, "sgd-3": [2 ** value for value in short], "adamw-300": short[::-1],
              "sgd-300": [10.2, 10.1, 10.3, 10.5, 10.4]}
    found = {tuple(row["recipes"]): row["spearman"] for row in ranks.correlate(errors)}
    assert len(found) == 6 and found["sgd-0", "sgd-3"] == pytest.approx(1)
    assert found["sgd-3", "adamw-300"] == pytest.approx(-1)
    assert found["sgd-3", "sgd-300"] == pytest.approx(1 - 6 * 4 / (5 * 24))  # four ranks off by one
    errors.update({"sgd-3-seed-1": short, "sgd-3-seed-2": short})
    ranks.draw({"errors": errors, "parameters": [1e6] * 5, "correlations": ranks.correlate(errors)}, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_members_are_spread_over_the_space_with_both_ends(ranks):
    class Setting:
        vocab_size, num_positions = 100, 32

    space = [Architecture(2, 2, H, I) for H in (8, 16, 32) for I in (8, 16, 32)]
    members = ranks.chosen(Setting, space[::-1], 4)
    assert len(set(members)) == 4 and (members[0], members[-1]) == (space[0], space[-1])
