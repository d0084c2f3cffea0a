"""Two hosts on one machine, for `horovodrun -H`: network namespaces joined by a cable.

Each has one address and, as its own name, this machine's: it stands for that address in the namespace's /etc/hosts,
which no other program sees. A script on the PATH stands in for SSH. Needs root, or the right to make namespaces.
"""

import contextlib
import dataclasses
import os
import pathlib
import shlex
import socket
import subprocess
from typing import Dict, Iterator, List

ADDRESSES = ("10.77.0.1", "10.77.0.2")
CARD = "net0"
SSH = """#!/bin/bash
# ssh [OPTION VALUE]... HOST [OPTION VALUE]... COMMAND: the command in the host's namespace
host=
while [ $# -gt 0 ]; do
    case "$1" in
        -o|-p|-i|-F|-l) shift 2 ;;
        -*) shift ;;
        *) [ -z "$host" ] || break
           host=$1; shift ;;
    esac
done
exec bash {folder}/in-$host bash -c "$*"
"""
INSIDE = """mount --bind {hosts} /etc/hosts && exec "$@"
"""


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Where `horovodrun` finds two hosts."""

    prefix: List[str]
    """What runs a command on the first one."""
    path: str
    """A folder for the PATH, with a stand-in for SSH."""

    def horovodrun(self, slots: List[int]) -> List[str]:
        """`horovodrun` with so many workers on each host, and what a real one needs too: the name of the card."""
        hosts = ",".join(f"{address}:{count}" for address, count in zip(ADDRESSES, slots) if count)
        return [*self.prefix, "horovodrun", "--gloo", "-np", str(sum(slots)), "-H", hosts, "--network-interface", CARD]

    def environment(self) -> Dict[str, str]:
        """This process's, with the stand-in for SSH first on the PATH."""
        return {**os.environ, "PATH": os.pathsep.join([self.path, os.environ["PATH"]])}


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def two_hosts(folder: pathlib.Path) -> Iterator[Hosts]:
    """Make the hosts; take them away at the end.

    Args:
        folder: for their files.
    Raises:
        OSError: no `ip` here, or namespaces may not be made.
    """
    names = [f"bort{os.getpid()}{letter}" for letter in "ab"]
    made = []
    try:
        for name in names:
            _ip("netns", "add", name)
            made.append(name)
        _ip("link", "add", f"v{os.getpid()}a", "netns", names[0], "type", "veth", "peer", "name", f"v{os.getpid()}b",
            "netns", names[1])
        for name, address, letter in zip(names, ADDRESSES, "ab"):
            _ip("-n", name, "link", "set", f"v{os.getpid()}{letter}", "name", CARD)
            _ip("-n", name, "address", "add", f"{address}/24", "dev", CARD)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", CARD, "up")
            hosts = folder / f"hosts-{address}"
            hosts.write_text(f"127.0.0.1 localhost\n{address} {socket.gethostname()}\n", encoding="utf-8")
            inside = INSIDE.format(hosts=shlex.quote(str(hosts)))
            (folder / f"in-{address}").write_text(
                f"exec ip netns exec {name} unshare --mount bash -c {shlex.quote(inside)} _ \"$@\"\n", encoding="utf-8")
        programs = folder / "programs"
        programs.mkdir()
        (programs / "ssh").write_text(SSH.replace("{folder}", shlex.quote(str(folder))), encoding="utf-8")
        (programs / "ssh").chmod(0o755)
        yield Hosts(["bash", str(folder / f"in-{ADDRESSES[0]}")], str(programs))
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)
