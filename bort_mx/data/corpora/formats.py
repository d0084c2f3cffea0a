"""What a line of a corpus's files holds: the table of formats, and how a block becomes clean sentences.

To add a format, write its `CorpusFormat` in a file of its own beside this one and add one line to `FORMATS`.
"""

from typing import Counter, Dict, List, Tuple

from bort_mx.data.corpora.corpus_format import CorpusFormat
from bort_mx.data.corpora.plain_lines import DOCUMENTS, SENTENCES
from bort_mx.data.corpora.text_files import Block, decode
from bort_mx.data.corpora.wrapped_lines import WRAPPED
from bort_mx.data.text import clean_sentences

FORMATS: Dict[str, CorpusFormat] = {
    "sentences": SENTENCES,
    "documents": DOCUMENTS,
    "wrapped": WRAPPED,
}


def block_sentences(block: Block) -> Tuple[List[str], Counter[str]]:
    """The clean sentences of a block, and counts of lines, blank lines and control characters dropped.

    Raises:
        InputError: bytes that are not UTF-8, or a NUL, with the place in the file; or what the format refuses.
    """
    corpus_format = FORMATS[block.format]
    return clean_sentences(corpus_format.plain_text(decode(block), block.path), corpus_format.documents)
