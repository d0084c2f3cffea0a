"""README's commands on a machine that has nothing: an empty HOME, a fresh clone, no caches but pip's; with times.

    python tools/fresh_machine.py --folder OUT --python /path/python3.9 /path/python3.12 [--parts install ways pip]

For every Python: `install` makes a clone and runs `make install`; `demo` and `test` are README's two commands; `ways`
runs each command of README's four ways as printed; `pip` installs the clone into a new environment by `pip install` and
runs the commands it brings from another folder. Each command is a row of OUT/times.json; those that have succeeded are
not run again. At the end a table of minutes is printed; exit code 1 if a command failed or printed a traceback.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any, Dict, Iterator, List, Tuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path("/bin")
PARTS = ("install", "demo", "ways", "pip", "test")
PROGRAM = ("bort-mx --help", "bort-mx doctor", "bort-mx pretrain --max-steps 20 --output-dir runs/pretrain",
           "bort-mx finetune --epochs 1 --output-dir runs/finetune", "bort-mx search --output-dir runs/search",
           "bort-mx convert runs/pretrain hf --to hf", "bort-mx reproduce --table 3 --output-dir page")
"""What `pip` runs outside the checkout."""
PASSED_ON = re.compile(r"(PIP_|SSL_|REQUESTS_|UV_|https?_proxy|no_proxy|LANG)", re.IGNORECASE)
"""Variables that say where packages come from; all others stay behind."""


def commands(text: str) -> List[str]:
    """The commands of a document's indented blocks, in order: continued lines joined, comments and empty lines left
    out.
    """
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", re.sub(r"(?s)```.*?```", "", text), re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [re.sub(r"\s+# .*$", "", line.strip()) for line in lines]
    return [re.sub(r"\s+", " ", line) for line in found if line and not line.startswith("#")]


def ways(readme: str) -> Iterator[Tuple[str, List[str]]]:
    """Heading → its commands, of README's sections that have some."""
    for section in re.split(r"^## ", readme, flags=re.MULTILINE)[1:]:
        found = [line for line in commands(section) if line.split()[0] in ("python", "pip", "horovodrun")]
        if found:
            yield section.splitlines()[0], found


class Machine:
    """One Python with an empty HOME."""

    def __init__(self, python: str, folder: pathlib.Path, rows: List[Dict[str, Any]], path: pathlib.Path):
        version = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], check=True,
                                 capture_output=True, text=True).stdout.strip()
        self.version, self._python, self._folder = version, python, folder / version
        self._rows, self._path, self.clone = rows, path, folder / version / "bort_mx"
        cache = subprocess.run([sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True)
        kept = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
        self._environment = {**kept, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self._folder / "home"),
                             "PIP_CACHE_DIR": cache.stdout.strip(), "HF_HUB_OFFLINE": "1"}
        (self._folder / "home").mkdir(parents=True, exist_ok=True)

    def install(self) -> None:
        """A clone, and `make install`."""
        self._run("install", f"git clone --quiet {shlex.quote(str(ROOT))} bort_mx", self._folder)
        self._run("install", f"make install PYTHON={shlex.quote(self._python)}", self.clone)

    def demo(self) -> None:
        """README's first command."""
        self._run("demo", "make demo", self.clone)

    def test(self) -> None:
        """README's second command."""
        self._run("test", "make test", self.clone)

    def ways(self) -> None:
        """README's four ways, in the environment that `make install` made."""
        for heading, found in ways((self.clone / "README.md").read_text(encoding="utf-8")):
            for command in found:
                self._run(heading, command, self.clone, self.clone / ".venv/bin")

    def pip(self) -> None:
        """`pip install`, and the program from another folder."""
        other = self._folder / "elsewhere"
        other.mkdir(exist_ok=True)
        self._run("pip", f"{shlex.quote(self._python)} -m venv own", self._folder)
        self._run("pip", f"pip install --quiet {shlex.quote(str(self.clone))}[onnx]", other, self._folder / "own/bin")
        for command in PROGRAM:
            self._run("pip", command, other, self._folder / "own/bin")

    def _run(self, part: str, command: str, folder: pathlib.Path, programs: pathlib.Path = BIN) -> None:
        """Run a command, unless it has succeeded before; add its row."""
        key = (self.version, part, command)
        mine = [row for row in self._rows if (row["python"], row["part"], row["command"]) == key]
        if mine and mine[0]["ok"]:
            return
        print(f"{self.version} {part}: {command}", flush=True)
        environment = {**self._environment, "PATH": f"{programs}:{self._environment['PATH']}"}
        start, log = time.perf_counter(), self._folder / "log"
        with open(log, "w+", encoding="utf-8") as output:
            if " serve " in command:
                code = served(command, folder, environment, output)
            else:
                code = subprocess.run(["sh", "-c", command], cwd=folder, env=environment, stdout=output,
                                      stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode
            output.seek(0)
            said = output.read()
        ok = code == 0 and "Traceback (most recent" not in said
        if not ok:
            print(said[-3000:], flush=True)
        self._rows[:] = [row for row in self._rows if row not in mine]
        self._rows.append({"python": self.version, "part": part, "command": command, "ok": ok,
                           "seconds": round(time.perf_counter() - start, 1)})
        self._path.write_text(json.dumps(self._rows, indent=1) + "\n", encoding="utf-8")


def served(command: str, folder: pathlib.Path, environment: Dict[str, str], output: Any) -> int:
    """Start a classifier's server, ask it once, and stop it.

    Args:
        command: `python -m bort_mx serve …`.
        folder: where to run it.
        environment: its variables.
        output: a file that gets what the server prints, and the answer.
    Returns:
        its exit code; 1 if there was no answer within two minutes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    question = urllib.request.Request(f"http://127.0.0.1:{port}/classify", b'{"texts": ["My parcel is gone."]}',
                                      {"Content-Type": "application/json"})
    with subprocess.Popen([*shlex.split(command), "--port", str(port)], cwd=folder, env=environment, stdout=output,
                          stderr=subprocess.STDOUT) as server:
        until, answered = time.monotonic() + 120, ""
        while not answered and server.poll() is None and time.monotonic() < until:
            try:
                with urllib.request.urlopen(question, timeout=30) as answer:
                    answered = answer.read().decode()
            except urllib.error.HTTPError as error:
                print(error.read().decode(), file=output, flush=True)
                break
            except OSError:  # it has not started yet
                time.sleep(0.2)
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    print(answered, file=output, flush=True)
    return code or int(not answered)


def table(rows: List[Dict[str, Any]]) -> str:
    """Minutes by part and Python, as Markdown."""
    versions = sorted({row["python"] for row in rows}, key=lambda version: int(version.split(".")[1]))
    lines = ["| | " + " | ".join(f"Python {version}" for version in versions) + " |", "|---|" + "---|" * len(versions)]
    for part in dict.fromkeys(row["part"] for row in rows):
        cells = []
        for version in versions:
            mine = [row for row in rows if (row["part"], row["python"]) == (part, version)]
            failed = sum(not row["ok"] for row in mine)
            cells.append(f"{sum(row['seconds'] for row in mine) / 60:.1f} min, {len(mine)} commands"
                         + (f", {failed} failed" if failed else "") if mine else "not run")
        lines.append(f"| {part} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the parts for every Python; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--python", nargs="+", default=[sys.executable])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["install", "ways", "pip"])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder.resolve() / "times.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    for python in options.python:
        machine = Machine(python, options.folder.resolve(), rows, path)
        for part in PARTS:
            if part in options.parts:
                getattr(machine, part)()
    print(table(rows))
    return int(not all(row["ok"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
