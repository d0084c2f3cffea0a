"""Texts without labels for fine-tuning the students of docs/experiments/students.md by their teacher's answers.

Twice as many as there are examples with labels. For tasks of pairs they are pairs of other tasks' training sets; for
tasks of single sentences, half are second texts of such pairs, and half the task's own sentences, spoilt.
"""

from typing import List, Sequence

from students_text import held_out, key

from bort_mx.data.tasks import Example, get_task
from bort_mx.random import generator

MORE, OF_PAIRS, SHORTEST, LONGEST = 2, ("MRPC", "STS-B", "QQP", "MNLI-matched", "RTE"), 4, 15
"""Texts without labels by example with one; the tasks they are of; words of a single sentence."""


def spoilt(text: str, number: int) -> str:
    """A sentence with a word left out or, every other one, with two words beside each other exchanged."""
    words = text.split()
    at = int(generator(number, "a spoilt sentence").integers(len(words) - 1))
    words[at:at + 2] = words[at:at + 1] if number % 2 else [words[at + 1], words[at]]
    return " ".join(words)


def more_texts(task: str, data_dir: str, train: Sequence[Example], held: Sequence[Example] = ()) -> List[str]:
    """Texts for --unlabelled, a line each. None is in a dev or test set, though CoLA's often differ in a word alone.

    Args:
        task: a task of GLUE.
        data_dir: the folder of the tasks.
        train: the examples with labels.
        held: examples that are held out of the training set; their texts are not taken either.
    """
    forbidden = held_out(data_dir) | {key(text) for example in held for text in example.texts}
    of_others = [example.texts for other in OF_PAIRS if other != task
                 for example in get_task(other).read(data_dir, "train")
                 if not any(key(text) in forbidden for text in example.texts)]
    shuffled = [of_others[i] for i in generator(0, "texts without labels").permutation(len(of_others))]
    count = MORE * len(train)
    if len(train[0].texts) == 2:
        return ["\t".join(" ".join(text.split()) for text in pair) for pair in shuffled[:count]]
    singles = [" ".join(second.split()) for _, second in shuffled if SHORTEST <= len(second.split()) <= LONGEST]
    own = [spoilt(example.texts[0], number) for number, example in enumerate(train) if " " in example.texts[0].strip()]
    kept = [text for text in own if key(text) not in forbidden]
    return singles[:count - len(kept)] + kept
