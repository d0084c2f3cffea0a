"""The one cleaning of a text: white space, control characters, and documents split into sentences."""

import collections
import re
from typing import Counter, FrozenSet, Iterable, List, Tuple

DOCUMENT_SENTENCES = 1.3  # mean sentences a line from which on lines are taken for documents
JUDGED = 1 << 17  # characters by which lines are judged

# A quick look: most texts have none of these, and the three replacements below are skipped.
_ODD = re.compile("[\x00-\x09\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]")
_WHITE = re.compile("[\t\x0b\x0c\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u2060\ufeff]")  # and zero-width spaces
_SPACES = re.compile(" {2,}")


def clean_sentences(text: str, documents: bool) -> Tuple[List[str], Counter[str]]:
    """The clean sentences of whole lines, in order.

    Args:
        text: lines, each a sentence or a document.
        documents: split each line into sentences.

    Returns:
        The sentences, and the counts "lines", "blank_lines" and "control_characters" (dropped).
    """
    text, dropped = clean(text)
    lines = list(map(str.strip, text.split("\n")))  # only spaces are left to strip
    sentences = [line for line in lines if line]
    counts = collections.Counter(lines=len(lines), control_characters=dropped)
    if not lines[-1]:
        counts["lines"] -= 1  # what follows the last line end is not a line
    counts["blank_lines"] = counts["lines"] - len(sentences)
    return split_sentences(sentences) if documents else sentences, counts


def clean(text: str) -> Tuple[str, int]:
    """Text with control and zero-width characters removed, and all white space but line ends made single spaces.

    Returns:
        The text and the number of characters removed (white space not counted).
    """
    removed = 0
    if _ODD.search(text):
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _WHITE.sub(" ", text)
        text, removed = _CONTROL.subn("", text)
    if "  " in text:
        text = _SPACES.sub(" ", text)
    return text, removed


def clean_text(text: str) -> str:
    """One text as every tokenizer meets it: `clean`, its lines joined by spaces, no space at its ends.

    This is the one rule for texts, in pre-training (`clean_sentences` gives the same), fine-tuning, Agora's points,
    prediction and embedding. RoBERTa's own recipe strips the texts of tasks as well and joins RACE's lines, but leaves
    runs of spaces inside a text. Here a run is one space everywhere, as models that are pre-trained here have seen no
    other, and as a long run of spaces would push out the text.
    """
    return clean(clean(text)[0].replace("\n", " "))[0].strip(" ")


def looks_like_documents(text: str) -> bool:
    """Whether the lines of a clean text hold documents rather than single sentences: 1.3 sentences a line or more."""
    lines = [line for line in text[:JUDGED].split("\n") if line.strip()]
    return bool(lines) and len(split_sentences(lines)) >= DOCUMENT_SENTENCES * len(lines)


# A rule-based splitter, because the well-tested one (pysbd) reads 0.1 MB/s where tokenising runs at 3 MB/s. A sentence
# ends at . ! ? … (with closing quotes) before a space and something that does not begin in lower case. A full stop
# after an abbreviation or an initial does not end it.
# So do the danda of Hindi, the question mark of Arabic and the full stop of Urdu. Chinese and Japanese sentences end
# without a space, and not within quotation marks that the sentence goes on after.
_END = re.compile("([.!?\u2026\u0964\u0965\u061f\u06d4][\"'\u201d\u2019)\\]]*) "
                  "(?=[\"'\u201c\u2018(\\[]*[^\\W_a-z])")
_WIDE = "\u3002\uff01\uff1f\uff61"
_CLOSING = "\u300d\u300f\u201d\u2019\uff09\u3011\u300b"
_WIDE_END = re.compile(f"([{_WIDE}]+(?:[{_CLOSING}]+(?![\u3041-\u309f]))?) ?(?![\\s{_CLOSING}{_WIDE}]|$)", re.MULTILINE)
_WORD = re.compile(r"[^\s.,;:!?]*")


def _words(text: str) -> FrozenSet[str]:
    return frozenset(text.split())


_NEVER = _words("""mr mrs ms dr prof st mt messrs mme mlle gen sen rep gov capt cmdr lt col sgt maj adm rev hon pres
    vs viz cf fig figs eq vol vols pp ed eds al e.g i.e ca approx dept""")
_BEFORE_NUMBERS = _words("no nos p art sec")
# These, and words like "U.S.", end a sentence only before a word that often begins one.
_SOMETIMES = _words("jr sr inc ltd co corp etc bros ave blvd jan feb mar apr jun jul aug sep sept oct nov dec")
_STARTERS = _words("""a after all although an and another as at because before both but by each even for from he her
    here his how however i if in it its many meanwhile most my no not now of on one only other our she since so some
    such that the their then there these they this those though to today we when where while who why with yet you
    your""")


def split_sentences(documents: Iterable[str]) -> List[str]:
    """Sentences of clean documents (single-spaced, one line each), in order."""
    text = _END.sub(_break, "\n".join(documents))
    if any(mark in text for mark in _WIDE):
        text = _WIDE_END.sub("\\1\n", text)
    return text.split("\n") if text else []


def _break(match: "re.Match[str]") -> str:
    """What replaces a possible end of a sentence and its space: with a line end where it is one, else with a space."""
    end = match.group(1)
    if end != ".":
        return end + "\n"
    text, place = match.string, match.start()
    start = max(text.rfind(" ", 0, place), text.rfind("\n", 0, place)) + 1
    word = text[start:place].lstrip("\"'\u201c\u2018([").lower()
    if len(word) == 1 and word.isalpha() and word != "i" or word in _NEVER:
        return ". "
    if word in _SOMETIMES or "." in word.strip(".") and word.replace(".", "").isalpha():
        return ".\n" if _WORD.match(text, match.end()).group().lower() in _STARTERS else ". "
    return ". " if word in _BEFORE_NUMBERS and text[match.end():match.end() + 1].isdigit() else ".\n"
