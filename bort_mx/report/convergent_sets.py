"""Tables 7 to 9: convergent hyperparameter sets beside those that runs of Agora found, and beside the paper's Theta."""

from typing import Any, Dict, List, Sequence

from bort_mx.agora.hyperparameters import paper_thetas
from bort_mx.data.tasks import get_task
from bort_mx.data.tasks.tables import load_table
from bort_mx.report import commands_to_run
from bort_mx.report.findings import FAILS, FORMULA, FROM_RUN, HOLDS, NOT_RUN, Finding, judge
from bort_mx.report.published import CONVERGENT_SETS, Published
from bort_mx.report.score_tables import ScoredRun, runs_on
from bort_mx.report.sizes import text_finding

FIELDS = ("learning_rate", "weight_decay", "warmup", "seed")
LARGE_BATCH, SMALL_BATCH, LARGEST = 16, 8, 4
COLUMN, BATCH, MEMBER = "⟨lr, d, wp, s⟩", "batch size", "in the paper's Θ"


def theta_of_the_paper() -> List[tuple]:
    """The product of §5's lists: (learning rate, weight decay, warm-up, seed)."""
    return [tuple(theta) for theta in paper_thetas()]


def table_findings(paper: Published, table: str, scored: Sequence[ScoredRun]) -> List[Finding]:
    """For each task: the set found by a run of Agora, whether the printed set is in Theta, and its batch size."""
    found, thetas = [], theta_of_the_paper()
    for name in paper.rows(table):
        task = get_task(f"{CONVERGENT_SETS[table]}/{name}")
        values = tuple(paper(table, name, field) for field in FIELDS)
        found.append(_set_of_a_run(table, name, values, runs_on(task, scored),
                                   commands_to_run.agora(task.scored_by or task.key)))
        found.append(_membership(table, name, values, thetas))
    return [*found, *_missing_batches(paper, table)]


def _set_of_a_run(table: str, name: str, values: tuple, scored: Sequence[ScoredRun], command: str) -> Finding:
    for one in scored:
        chs = (one.run.results.get("agora") or {}).get("chs")
        if chs:
            ours = tuple(chs[field] for field in FIELDS)
            how, here = f"{FROM_RUN}: {one.run.name}", one.system == "Bort"
            verdict = NOT_RUN if not here else HOLDS if ours == values else FAILS
            note = ("" if here else "not at the paper's setting: another model") or (
                "the seed need not mean the same in another framework (App. D)")
            return Finding(table, name, COLUMN, _as_text(values), _as_text(ours), how, verdict, note, command)
    return Finding(table, name, COLUMN, _as_text(values), None, "not run: needs a pre-trained Bort and RoBERTa-large "
                   "fine-tuned on the task as Socrates", NOT_RUN, "", command)


def _membership(table: str, name: str, values: tuple, thetas: Sequence[tuple]) -> Finding:
    inside = values in thetas
    outside = [f"{field.replace('_', ' ')} {value:g}" for position, (field, value) in enumerate(zip(FIELDS, values))
               if value not in {theta[position] for theta in thetas}]
    return Finding(table, name, MEMBER, "yes", "yes" if inside else "no", f"{FORMULA}: the set among the 500 of §5",
                   HOLDS if inside else FAILS, f"Θ has no {' and no '.join(outside)}" if outside else "")


def _as_text(values: Sequence[Any]) -> str:
    return "⟨" + ", ".join(f"{value:g}" for value in values) + "⟩"


def text_sets(paper: Published) -> List[Finding]:
    """Theta's size, how many convergent sets lie in it, and the batch sizes that §5.1 states for GLUE."""
    thetas = theta_of_the_paper()
    verdict, _ = judge(paper("text", "hyperparameter sets in Theta"), len(thetas))
    found = [text_finding(paper, "hyperparameter sets in Theta", str(len(thetas)), "5 · 4 · 5 · 5", verdict)]
    sets = [tuple(paper(table, name, field) for field in FIELDS) for table in CONVERGENT_SETS
            for name in paper.rows(table)]
    inside = sum(values in thetas for values in sets)
    verdict, _ = judge(paper("text", "CHS in Theta"), inside)
    found.append(text_finding(
        paper, "CHS in Theta", f"{inside} of {len(sets)}", "App. D's sets among the 500 of §5", verdict,
        f"{len(sets) - inside} have learning rates 1e-5 or 5e-5 or decay 0.1, which are in none of §5's lists; a "
        "search over Θ cannot have returned them"))
    return [*found, _glue_batches(paper)]


def _glue_batches(paper: Published) -> Finding:
    """The tasks to which Table 7 gives the large batch."""
    row = "GLUE tasks with a batch of 16"
    ours = ", ".join(sorted(name for name in paper.rows("7") if paper("7", name, "batch_size") == LARGE_BATCH))
    sizes: Dict[str, Any] = load_table("counts.yaml")["glue"]
    largest = sorted(sizes, key=lambda name: -(sizes[name][0] or 0))[:LARGEST + 1]  # MNLI stands there twice
    verdict, _ = judge(paper("text", row), ours)
    return text_finding(paper, row, ours, "Table 7's batch sizes", verdict,
                        f"and the largest training sets are those of {', '.join(sorted(largest))}")


def _missing_batches(paper: Published, table: str) -> List[Finding]:
    """The tasks whose batch size the paper's text lacks."""
    benchmark = CONVERGENT_SETS[table]
    return [Finding(table, name, BATCH, None, str(LARGE_BATCH), f"{FORMULA}: that of the table's other trained tasks",
                    NOT_RUN, "the paper's text gives no batch size here; this is our interpretation",
                    commands_to_run.agora(get_task(f"{benchmark}/{name}").key))
            for name in paper.rows(table) if paper(table, name, "batch_size") is None]
