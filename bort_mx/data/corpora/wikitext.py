"""MediaWiki's markup to plain text: a paragraph a line, without tables, templates, references and lists.

mwparserfromhell 0.7.2 read a fifteenth as much a second of Wikipedia here, and keeps the text of tables and lists
(docs/experiments/corpora.md). So innermost brackets are replaced first, again and again, by regular expressions that
never look twice at a character, whatever the text. What is left of broken markup is dropped line by line, and counted.
"""

import html
import re
from typing import Callable, Counter, List, Mapping

DEEPEST = 30  # brackets within brackets; what lies outside of these is dropped with its lines
_COMMENT = re.compile(r"<!--(?:(?!-->).)*(?:-->|\Z)", re.DOTALL)
_WITH_CONTENT = ("ref|math|chem|ce|gallery|timeline|syntaxhighlight|source|code|pre|score|hiero|graph|mapframe|maplink|"
                 "templatedata|imagemap|inputbox|categorytree|references|includeonly|noinclude|table|sup|sub")
_EMPTY_TAG = re.compile(rf"<(?:{_WITH_CONTENT})\b[^<>]*/>", re.IGNORECASE)
_CONTENT = re.compile(rf"<({_WITH_CONTENT})\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_NOWIKI = re.compile(r"<nowiki\b[^<>]*>((?:(?!<nowiki\b).)*?)</nowiki\s*>", re.DOTALL | re.IGNORECASE)
_PLAIN = {ord(mark): f"&#{ord(mark)};" for mark in "[]{}<>'"}
_PARAMETER = re.compile(r"\{\{\{[^{}]*\}\}\}")
_TEMPLATE = re.compile(r"\{\{([^{}]*)\}\}")
_TABLE = re.compile(r"\{\|(?:(?!\{\||\|\}).)*\|\}", re.DOTALL)
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]([a-z]*)")
_OUTER_LINK = re.compile(r"\[(?:https?:|ftp:|mailto:)?//[^\s\[\]]*\s*([^\[\]\n]*)\]|\[mailto:[^\[\]\n]*\]")
_URL = re.compile(r"\b(?:https?|ftp)://[^\s<>\[\]]+")
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*\b[^<>\n]*>")
_BREAK = re.compile(r"<(?:br|p|div|blockquote)\b[^<>\n]*>", re.IGNORECASE)
_QUOTES = re.compile(r"'{2,5}")
_MAGIC = re.compile(r"__[A-Z]{3,}__")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,31});")
_HEADING = re.compile(r"^(={1,6})\s*(.*?)\s*=+\s*$")
_EMPTIED = re.compile(r"\s*\(\s*(?:(?:[,;:]|or|and|/)\s*)*\)")  # brackets that held a template
_OPENED = re.compile(r"\(\s*[,;:]\s*")
_BEFORE_MARK = re.compile(r"\s+([,;.)])")
_LEFT = re.compile(r"\[\[|\]\]|\{\{|\}\}|\{\||\|\}|\|-|<ref|</ref|<!--|-->|</?[a-zA-Z][^<>]*>|__[A-Z]{3,}__")
_LIST_OR_TABLE = ("*", "#", ":", ";", "|", "!", "{|", "{{", "}}", "----")
_LEFT_OUT = frozenset(("references", "external links", "see also", "further reading", "bibliography", "notes",
                       "sources", "notes and references", "footnotes", "citations", "works cited", "gallery",
                       "publications"))
_NO_TEXT = frozenset(("file", "image", "category", "media", "template", "special", "wikt", "user", "portal"))
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z-]+)?$")


def _last(parts: List[str]) -> str:
    return parts[-1]


def _convert(parts: List[str]) -> str:
    """{{convert|5|km|mi}}: 5 km. A range: {{convert|5|to|10|km|mi}}."""
    joined = {"to": " to ", "and": " and ", "-": "\u2013", "\u2013": "\u2013", "x": " by ", "by": " by ", "or": " or "}
    if len(parts) > 3 and parts[1] in joined:
        return f"{parts[0]}{joined[parts[1]]}{parts[2]} {parts[3]}"
    return " ".join(parts[:2])


WIKIPEDIA: Mapping[str, Callable[[List[str]], str]] = {
    "lang": lambda parts: parts[1] if len(parts) > 1 else "", "nowrap": _last, "nobr": _last, "small": _last,
    "convert": _convert, "cvt": _convert, "circa": lambda parts: f"c. {parts[0]}", "c.": lambda parts: f"c. {parts[0]}",
    "abbr": lambda parts: parts[0], "tooltip": lambda parts: parts[0], "em": _last, "strong": _last,
    "as of": lambda parts: f"As of {parts[0]}", "-": lambda parts: "", "ndash": lambda parts: "\u2013",
    "mdash": lambda parts: "\u2014", "spaced ndash": lambda parts: " \u2013 ", "snd": lambda parts: " \u2013 ",
    "spnd": lambda parts: " \u2013 ", "'": lambda parts: "'", "usd": lambda parts: f"${parts[0]}",
    "us$": lambda parts: f"${parts[0]}", "gbp": lambda parts: f"\u00a3{parts[0]}", "frac": "/".join,
    "visible anchor": lambda parts: parts[0], "vanchor": lambda parts: parts[0], "ill": lambda parts: parts[0],
    "interlanguage link": lambda parts: parts[0], "quote": lambda parts: parts[0], "transl": _last, "sic": _last,
    "val": lambda parts: parts[0], "mvar": _last, "birth-date": _last, "quotation": lambda parts: parts[0],
}
"""Templates whose text belongs to the sentence: name → its text, of the parameters without a name. The rest go."""


def plain_text(wikitext: str, templates: Mapping[str, Callable[[List[str]], str]],
               counts: Counter[str]) -> str:
    """The paragraphs of a page, one a line.

    Args:
        wikitext: the page.
        templates: those that have a text, as `WIKIPEDIA`.
        counts: gets "lines_dropped_markup", lines in which broken markup was left.
    """
    return "\n".join(_prose(inline(wikitext, templates).split("\n"), counts))


def inline(wikitext: str, templates: Mapping[str, Callable[[List[str]], str]]) -> str:
    """Text without comments, references, templates, tables, tags and links; its lines stay."""
    text = html.unescape(wikitext) if "&" in wikitext else wikitext
    if "<" in text:
        text = _COMMENT.sub("", text)
        text = _NOWIKI.sub(lambda match: match[1].translate(_PLAIN), text)
        text = _repeat(_CONTENT, "", _EMPTY_TAG.sub("", text))
    if "{{{" in text:
        text = _repeat(_PARAMETER, "", text)
    text = _repeat(_TEMPLATE, lambda match: _template(match[1], templates), text)
    text = _repeat(_TABLE, "", text)
    text = _repeat(_LINK, _link, text)
    text = _OUTER_LINK.sub(lambda match: match[1] or "", text)
    text = _QUOTES.sub("", _MAGIC.sub("", _URL.sub("", text)))
    if "<" in text:
        text = _TAG.sub("", _BREAK.sub(" ", text))
    for _ in range(2):  # &amp;nbsp; is written twice in many pages
        text = html.unescape(text) if _ENTITY.search(text) else text
    return text


def tidy(line: str) -> str:
    """A line without brackets that are empty now, or that begin with a comma."""
    line = line.replace("\xa0", " ")
    if "(" in line:
        line = _OPENED.sub("(", _EMPTIED.sub("", line))
    return _BEFORE_MARK.sub(r"\1", line).strip()


def markup_left(line: str) -> bool:
    """Whether a line still has markup in it."""
    return bool(_LEFT.search(line) or _ENTITY.search(line))


def _prose(lines: List[str], counts: Counter[str]) -> List[str]:
    """Lines that are paragraphs, without those of references and the like."""
    kept, left_out = [], 0
    for line in lines:
        heading = _HEADING.match(line) if line.startswith("=") else None
        if heading:
            level = len(heading[1])
            if left_out and level > left_out:
                continue
            left_out = level if heading[2].lower() in _LEFT_OUT else 0
        elif not left_out and line.strip() and not line.startswith(_LIST_OR_TABLE) and line[:1] != " ":
            line = tidy(line)
            if markup_left(line):
                counts["lines_dropped_markup"] += 1
            elif any(map(str.isalpha, line)):
                kept.append(line)
    return kept


def _repeat(pattern: "re.Pattern[str]", replacement: object, text: str) -> str:
    """Replace innermost brackets until none is left, or some thirty deep."""
    for _ in range(DEEPEST):
        text, found = pattern.subn(replacement, text)
        if not found:
            break
    return text


def _template(content: str, templates: Mapping[str, Callable[[List[str]], str]]) -> str:
    name, *parts = content.split("|")
    text_of = templates.get(name.strip().lower().replace("_", " "))
    if text_of is None:
        return ""
    unnamed = [part.strip() for part in parts if "=" not in part] or [""]
    return text_of(unnamed)


def _link(match: "re.Match[str]") -> str:
    target, bar, shown = match[1].partition("|")
    prefix, colon, name = target.strip().partition(":")
    if colon and name and prefix.strip().lower() in _NO_TEXT:
        return ""
    if colon and not bar and _LANGUAGE.match(prefix):  # a link to the page in another language
        return ""
    shown = shown.rpartition("|")[2] if bar else target.lstrip(":")
    return shown + match[2]
