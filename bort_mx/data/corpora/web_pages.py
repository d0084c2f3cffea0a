"""The text of a news page: its article, without menus, comments and other pages' headlines."""

from typing import Optional

import trafilatura


def text_of(html: str) -> Optional[str]:
    """The article's paragraphs, one a line; None where there is none."""
    return trafilatura.extract(html, fast=True, include_comments=False, include_tables=False)
