"""Optimal subarchitecture extraction with the FPTAS of the paper's §3.

FPTAS: fully polynomial-time approximation scheme. T: the maximum point, the largest architecture considered; it also
teaches the candidates. Xi: the search space. W: the W-coefficient (eq. 2), the score of a candidate.

In this room, [P] marks what the paper states, and [I] our interpretation where it does not. Only `surrogates` and the
modules that run it import MXNet.

`bort_mx.search(...)` runs a search: this package can be called, see `bort_mx.commands.from_python.search`.
"""

import importlib
import sys
import types
from typing import Any

from bort_mx.search.baselines import interval_bound, random_regrets, random_search, regret
from bort_mx.search.candidate_log import CandidateLog
from bort_mx.search.fptas_algorithm import Execution, Ranked, SearchResult, check_maximum_point, fptas
from bort_mx.search.objectives import Objectives, w_coefficient
from bort_mx.search.pareto import pareto_front
from bort_mx.search.space import PAPER_SPACE, SearchSpace, admit, grid, intrinsic_order, read_space

__all__ = ["CandidateLog", "Execution", "Objectives", "PAPER_SPACE", "Ranked", "SearchResult", "SearchSpace",
           "admit", "check_maximum_point", "fptas", "grid", "interval_bound", "intrinsic_order",
           "pareto_front", "random_regrets", "random_search", "read_space", "regret", "w_coefficient"]


class _Callable(types.ModuleType):
    """This package, which is a function as well, as `bort_mx.search` is the public name of both."""

    def __call__(self, **options: Any) -> Any:
        """See `bort_mx.commands.from_python.search`, which stands above this room and is imported when it is called."""
        return importlib.import_module("bort_mx.commands.from_python").search(**options)


sys.modules[__name__].__class__ = _Callable
