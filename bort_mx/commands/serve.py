"""`bort-mx serve MODEL`: a trained model behind HTTP, on this machine alone unless --host says otherwise."""

import contextlib
import dataclasses
import importlib
import logging
import os
import socket
from typing import Any, List, Optional

from bort_mx.commands.last_lines import predict_with, say_first, say_last
from bort_mx.errors import InputError
from bort_mx.options import at_least, one_of, parse_options, within

DESCRIPTION = "Answer texts over HTTP: POST /classify, /embed or /fill-mask, as the model is for; GET /health, /docs."
PACKAGES = ("fastapi", "uvicorn")
TASKS = ("classify", "embed", "fill-mask")
BACKLOG = 2048
"""Connections that may wait to be taken."""
GRACE = 30
"""Seconds that requests have to end after SIGTERM or Ctrl-C."""


@dataclasses.dataclass
class ServeOptions:
    """Options of `bort-mx serve`."""

    model: str = dataclasses.field(metadata={"positional": True, "metavar": "MODEL"})
    """A checkpoint of any format, the output folder of a run, a name on the Hugging Face Hub, or an exported .onnx
    file."""

    task: Optional[str] = None
    """classify, embed or fill-mask. Default: what the model's head is for."""

    host: str = "127.0.0.1"
    """Address to listen on. The default takes requests from this machine only. There is no password: before you give
    another address, put a proxy with one in front."""

    port: int = 8000
    """Port to listen on; 0: any free one, which is printed."""

    device: str = "auto"
    """auto (a GPU if MXNet finds one, otherwise the CPU), cpu or gpu."""

    batch_size: int = 16
    """Most texts in one forward pass. Texts of several requests share it."""

    batch_wait: float = 0.0
    """Milliseconds that a text waits for others while the batch is not full. 0: a batch is what came in while the model
    was at work, which has the lowest latency."""

    max_body: int = 1_000_000
    """Bytes in a request. Larger ones are answered by 413."""

    max_texts: int = 256
    """Texts in a request. More are answered by 422."""

    max_characters: int = 20_000
    """Characters in a text. More are answered by 422. Texts that have more tokens than the model takes are cut."""

    max_waiting: int = 4096
    """Texts that wait for the model. When there are more, requests are answered by 503."""

    access_log: bool = False
    """Print a line for each request."""

    def __post_init__(self):
        one_of(self, TASKS, "task")
        one_of(self, ("auto", "cpu", "gpu"), "device")
        within(self, "[0, 65535]", "port")
        within(self, "[0, 1000]", "batch_wait")
        at_least(self, 1, "batch_size", "max_body", "max_texts", "max_characters", "max_waiting")


def main(argv: List[str]) -> int:
    """Parse, open the model, serve until SIGTERM or Ctrl-C."""
    options = parse_options(ServeOptions, argv, "bort-mx serve", DESCRIPTION)
    for package in PACKAGES:
        _need(package)
    with contextlib.closing(bind(options.host, options.port)) as listening:
        say_first(f"opening {options.model}")
        from bort_mx.inference.text_pipelines import pipeline
        from bort_mx.inference.web_service import Limits, application

        opened = pipeline(options.model, options.task, device=options.device, batch_size=options.batch_size)
        limits = Limits(options.max_body, options.max_texts, options.max_characters, options.max_waiting)
        app = application(opened, os.path.basename(os.path.abspath(options.model)), limits, options.batch_wait / 1000)
        logging.getLogger("bort_mx.inference.pipeline").addFilter(OnlyFirst())
        _listen(listening)  # only now: before, a client is refused and knows it
        print(f"{options.model}: {opened.task} on {address_of(listening)}/{opened.task}; "
              f"{address_of(listening)}/docs describes it; Ctrl-C stops", flush=True)
        _run(app, listening, options.access_log)
    say_last(None, *predict_with(options.model, opened.config.head))
    return 0


def _need(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({error})"
        raise InputError(f"serving needs the package {package}, which {reason}; pip install 'bort-mx[serve]'") from None


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address. It is made before the model is read, so that a port in use is said at once.

    Raises:
        InputError: no such address, or the port is in use.
    """
    with contextlib.ExitStack() as opened:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            # With the protocol, asyncio sends an answer's body at once. Without it the kernel holds it back for 40 ms.
            found = opened.enter_context(socket.socket(family, kind, protocol))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
        except (OSError, UnicodeError) as error:
            raise InputError(f"--host {host} --port {port}: {getattr(error, 'strerror', None) or error}; give another "
                             "address, or --port 0 for any free port") from None
        opened.pop_all()  # it stays open
        return found


def _listen(bound: socket.socket) -> None:
    try:
        bound.listen(BACKLOG)
    except OSError as error:  # another program has come in between
        raise InputError(f"--port {bound.getsockname()[1]}: {error.strerror}; give another port") from None


def _run(app: Any, listening: socket.socket, access_log: bool) -> None:
    """Serve until a signal comes."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="info" if access_log else "warning", access_log=access_log,
                                           timeout_graceful_shutdown=GRACE))
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn raises the signal again when it has ended as it should
        if not server.should_exit:
            raise
    print("stopped" if server.force_exit else "stopped: every request that was taken has its answer", flush=True)


def address_of(listening: socket.socket) -> str:
    """http://HOST:PORT of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class OnlyFirst(logging.Filter):
    """Lets the first warning of texts that were cut through: a server would write one for each batch."""

    def __init__(self):
        super().__init__()
        self._said = False

    def filter(self, record: Any) -> bool:
        """See `logging.Filter`."""
        if self._said:
            return False
        self._said = True
        record.msg = f"{record.msg} (said once)"
        return True
