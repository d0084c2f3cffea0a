"""A small labelled data set that comes with the package.

messages.csv: 220 messages to a shop, in the columns `text` and `label`: account, delivery, fault, payment or praise,
44 of each. They were written for this project and are dedicated to the public domain (CC0 1.0). Single words tell
little of the label: a bag of words (`bort_mx.commands.demo_classifier.bag_of_words`) that has learnt from 146 messages
has 32 to 41 % of the other 74 right, over ten stratified splits (train_test_split, random_state 0 to 9).
"""

import csv
import os
import pathlib
from typing import List, Tuple

from bort_mx.io import files

MESSAGES = pathlib.Path(__file__).with_name("messages.csv")


def write_messages(path: os.PathLike = "messages.csv") -> pathlib.Path:
    """Write the messages to a CSV file of one's own. Returns its path."""
    target = pathlib.Path(path)
    files.write_text(target, MESSAGES.read_text(encoding="utf-8"))
    return target


def read_messages(path: os.PathLike = MESSAGES) -> List[Tuple[str, str]]:
    """The (text, label) pairs of the messages, or of a part of them in the same columns."""
    with open(path, encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]
