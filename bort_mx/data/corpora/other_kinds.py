"""Files that are no text to read, told by their first bytes and refused by their name."""

import pathlib

from bort_mx.errors import InputError

BY_BYTES = (
    (b"\xff\xfe\x00\x00", "UTF-32 text", "convert it to UTF-8: iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "decompress it, or compress it as .gz, .bz2 or .xz"),
    (b"\x04\x22\x4d\x18", "lz4-compressed", "decompress it, or compress it as .gz, .bz2 or .xz"),
    (b"PK\x03\x04", "a zip archive (or .docx, .xlsx, .epub)", "take the text out of it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "take the text out of it"),
    (b"Rar!", "a rar archive", "take the text out of it"),
    (b"%PDF-", "a PDF document", "extract its text"),
    (b"{\\rtf", "an RTF document", "extract its text"),
    (b"PAR1", "a Parquet table", "write its column of texts as .jsonl or .txt"),
    (b"ARROW1", "an Arrow table", "write its column of texts as .jsonl or .txt"),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "save it as text in UTF-8"),
    (b"WARC/", "a WARC archive of web pages", "extract the text of its pages"),
    (b"filedesc://", "an ARC archive of web pages", "extract the text of its pages"),
)
MARKUP = ((b"<!doctype html", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"), (b"<mediawiki", "a MediaWiki dump"))


def refuse_other_kinds(path: pathlib.Path, beginning: bytes) -> None:
    """Refuse a file that is no plain text and no table.

    Args:
        path: the file, for the message.
        beginning: its first bytes, decompressed; some hundred are enough.
    Raises:
        InputError: it is such a file; says what it is and what to do.
    """
    refuse_by_bytes(path, beginning)
    if beginning[257:262] == b"ustar":
        raise InputError(f"{path}: a tar archive; unpack it and give the folder")
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    for mark, name in MARKUP:
        if text.startswith(mark):
            raise InputError(f"{path}: {name}; extract its text, or its tags become sentences")


def refuse_by_bytes(path: pathlib.Path, beginning: bytes) -> None:
    """As `refuse_other_kinds`, but by bytes that no text begins with: a text may well be of HTML."""
    for magic, name, remedy in BY_BYTES:
        if beginning.startswith(magic):
            raise InputError(f"{path}: {name}; {remedy}")
