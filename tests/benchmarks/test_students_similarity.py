"""benchmarks/students_similarity.py: what is compared, and what is not done again."""

import argparse
import json

import numpy as np
import pytest

from bort_mx.data.tasks import Example


@pytest.fixture
def similarity(load_benchmark):
    return load_benchmark("students_similarity")


def test_cosines_of_the_two_texts_are_compared_with_the_scores(similarity, tmp_path, monkeypatch):
    """Vectors at angles of the first text: the order of their cosines is the scores' but for one pair of four."""
    angles = {"a": 0.0, "near": 0.1, "half": 0.8, "far": 1.5, "opposite": 3.0}
    examples = [Example(i, ("a", other), score) for i, (other, score) in enumerate(
        [("near", 5.0), ("half", 3.0), ("far", 3.5), ("opposite", 0.0)])]

    class Task:
        def read(self, data_dir, split):
            return examples if split == "dev" else examples[:2]

        def score(self, predictions, labels):
            assert predictions == pytest.approx([np.cos(angles[e.texts[1]]) for e in examples[:len(labels)]])
            ranks = [np.argsort(np.argsort(values)) for values in (predictions, labels)]
            return {"spearman": np.corrcoef(*ranks)[0, 1]}

    opened = []
    monkeypatch.setattr(similarity, "get_task", lambda name: Task())
    monkeypatch.setattr(similarity, "open_model", lambda path, head: opened.append(path) or (path, head))
    monkeypatch.setattr(similarity, "embed", lambda path, head, texts: (
        3 * np.array([np.cos(angles[text]), np.sin(angles[text])]) for text, _ in texts))
    (tmp_path / "student").mkdir()
    (tmp_path / "student/cost.json").write_text(json.dumps({"cpu_seconds": 511.6}))
    (tmp_path / "student/results.json").write_text(json.dumps({"steps": 1320}))
    arguments = argparse.Namespace(data_dir="data", record=str(tmp_path / "record.jsonl"),
                                   checkpoints=["TEACHER=/somewhere", str(tmp_path / "student")])
    similarity.run(arguments)
    similarity.run(arguments)
    assert [row["spearman"].keys() for row in similarity.rows(arguments.record)] == [{"train", "dev"}] * 2
    assert opened == ["/somewhere", str(tmp_path / "student")]
    assert similarity.table(arguments.record).splitlines()[2:] == [
        "| TEACHER | – | – | 100.0 | 80.0 |", "| student | 1,320 | 512 | 100.0 | 80.0 |"]
