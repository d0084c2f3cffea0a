"""Plain text: every line is a sentence, or every line is a document."""

from bort_mx.data.corpora.corpus_format import CorpusFormat


def as_it_is(text: str, path: str) -> str:
    """The text itself."""
    return text


SENTENCES = CorpusFormat(as_it_is, documents=False)
DOCUMENTS = CorpusFormat(as_it_is, documents=True)
