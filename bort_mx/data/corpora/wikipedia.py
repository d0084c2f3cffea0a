"""Wikipedia: pages-articles XML (.bz2, of one or many streams) to paragraphs of its articles."""

from typing import Iterator

from bort_mx.data.corpora.mediawiki_dump import articles
from bort_mx.data.corpora.source import Source
from bort_mx.data.corpora.time_limit import TooSlow, time_limit
from bort_mx.data.corpora.wikitext import WIKIPEDIA, plain_text


def documents(source: Source) -> Iterator[str]:
    """The text of each article, a paragraph a line."""
    for page in articles(source):
        try:
            with time_limit(source.reading.seconds):
                text = plain_text(page.wikitext, WIKIPEDIA, source.counts)
        except TooSlow:
            source.drop("too_slow")
        else:
            yield source.keep(text)
