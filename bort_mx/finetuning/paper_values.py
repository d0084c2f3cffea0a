"""The paper's values of the training options, and the heads that --head names."""

from typing import Any, Dict

from bort_mx.data.tasks import Task


def paper_values(task: Task) -> Dict[str, Any]:
    """The paper's recipe (§5.1); batch size and extra layer are the task's. [I] Epochs, warm-up and weight decay."""
    return {"learning_rate": 1e-5, "weight_decay": 0.01, "warmup": 0.1, "epochs": 3, "batch_size": task.batch_size,
            **head_values("paper", task)}


def head_values(head: str, task: Task) -> Dict[str, Any]:
    """The options that a head stands for. [P] CoLA has one more layer before the classifier; eq. 8 has the pooler."""
    if head == "usual":
        return {"classifier_init": "normal", "pooler": True, "extra_layer": False, "pooling": "first"}
    return {"classifier_init": "uniform", "pooler": head == "paper", "extra_layer": task.extra_layer,
            "pooling": "first"}
