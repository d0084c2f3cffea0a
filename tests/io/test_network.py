"""Why a download failed, in a few words: for the errors that the libraries raise here."""

import http.server
import socket
import threading

import pytest
import requests

from bort_mx.io.network import reason_of


def raised(call):
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


@pytest.fixture
def server():
    """The address of a server that answers /404 alone, and nothing else within a second."""
    waits = threading.Event()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/404":
                waits.wait(5)
            self.send_error(404)

        def log_message(self, *words):
            pass

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    serving.daemon_threads = True
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    waits.set()
    serving.shutdown()
    serving.server_close()


def test_the_reason_is_told_and_not_the_library_s_words(server, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    assert reason_of(raised(lambda: requests.get(f"{server}/404", timeout=5).raise_for_status())) == "404 Not Found"
    assert reason_of(raised(lambda: requests.get(f"{server}/wait", timeout=0.2))) == "no answer in time"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused = raised(lambda: requests.get(f"http://127.0.0.1:{port}", timeout=5))
    assert "HTTPConnectionPool" in str(refused) and reason_of(refused) == "no connection: Connection refused"


def test_a_host_that_nobody_knows(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("NO_PROXY", "*")
    found = raised(lambda: requests.get("http://nowhere.invalid", timeout=5))
    assert reason_of(found) == "no connection: Name or service not known"


def test_other_errors_say_their_first_line():
    assert reason_of(ValueError("no such name\nand more")) == "no such name"
    assert reason_of(ValueError()) == "ValueError"
    assert reason_of(ValueError("x" * 200)) == "x" * 119 + "…"
