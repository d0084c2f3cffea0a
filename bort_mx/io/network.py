"""Why something could not be fetched, in a few words; the libraries' own messages are long, and name their classes."""

import http
import socket
import ssl
from typing import List

LONGEST = 120
"""Characters of a library's own message; a longer one is cut."""


def reason_of(error: BaseException) -> str:
    """The reason of a failed download in a few words.

    Args:
        error: of requests, urllib3, httpx, huggingface_hub or Python. What caused it is looked at, innermost first.
    Returns:
        such as "no connection: Name or service not known" or "404 Not Found"; of other errors their first line.
    """
    chain: List[BaseException] = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    for part in reversed(chain):
        known = _known(part)
        if known:
            return known
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return said if len(said) <= LONGEST else f"{said[:LONGEST - 1]}…"


def _known(error: BaseException) -> str:
    """Words for an error that has its own; else nothing."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in set(http.HTTPStatus):
        return f"{int(status)} {http.HTTPStatus(status).phrase}"
    if isinstance(error, (socket.gaierror, ConnectionError)):
        return f"no connection: {error.strerror or error or type(error).__name__}"
    if isinstance(error, ssl.SSLError):
        return "no connection: the certificate is not accepted"
    if "ProxyError" in type(error).__name__:
        return "no connection: the proxy refuses it"
    return "no answer in time" if isinstance(error, TimeoutError) or type(error).__name__.endswith("Timeout") else ""
