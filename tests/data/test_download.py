"""Fetching and unpacking the official data: only whole, official files arrive, and nothing is written elsewhere."""

import hashlib
import http.server
import io
import json
import pathlib
import shutil
import tarfile
import threading
import urllib.error
import zipfile

import pytest

from bort_mx.data.tasks import TASKS, archives, download, ensure_data, get_task
from bort_mx.data.tasks.tables import load_table
from bort_mx.errors import InputError

TRAIN = "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n"
LONG = "".join(hashlib.sha256(bytes([i % 256, i // 256])).hexdigest() for i in range(2000))


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def tar_of(*members):
    """A tar.gz; members are (name, text) or TarInfo of other kinds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1].encode()))
    return buffer.getvalue()


@pytest.fixture
def served(monkeypatch):
    """serve(task, bytes …) puts entries for local contents into the table of addresses; returns the transfer."""
    contents = {}

    def serve(task, *files, into="glue", wrong=None):
        entries = []
        for number, content in enumerate(files):
            url = f"https://example.org/{number}/{task}.zip"
            contents[url] = content
            entries.append({"url": url, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
                            "into": into, "unpack": True, **(wrong or {})})
        table = {"glue": {task: entries}, "race": {task: entries}}
        monkeypatch.setattr(download, "load_table", lambda name: table)
        return lambda url, out: shutil.copyfileobj(io.BytesIO(contents[url]), out, 1000)

    return serve


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_fetched_and_read(tmp_path, served):
    transfer = served("RTE", zip_of({"RTE/train.tsv": TRAIN, "RTE/": ""}))
    root = ensure_data(get_task("RTE"), tmp_path / "data", transfer)
    assert everything(root) == ["glue", "glue/RTE", "glue/RTE/train.tsv"]
    assert len(get_task("RTE").read(root, "train")) == 1


@pytest.fixture
def site(monkeypatch):
    """site(path, content, length) serves one file over HTTP on this machine, as RTE's archive; returns its address."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in pages else 404)
            content, length = pages.get(self.path, (b"", 0))
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    pages = {}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(path, content, length=None, size=None):
        pages[path] = content, len(content) if length is None else length
        entry = {"url": f"http://127.0.0.1:{server.server_port}/RTE.zip", "bytes": size or len(content),
                 "sha256": hashlib.sha256(content).hexdigest(), "into": "glue", "unpack": True}
        monkeypatch.setattr(download, "load_table", lambda name: {"glue": {"RTE": [entry]}})
        return entry["url"]

    yield serve
    server.shutdown()
    server.server_close()


def test_fetched_over_http(tmp_path, site):
    site("/RTE.zip", zip_of({"RTE/train.tsv": TRAIN, "RTE/dev.tsv": LONG}))
    assert everything(ensure_data(get_task("RTE"), tmp_path)) == [
        "glue", "glue/RTE", "glue/RTE/dev.tsv", "glue/RTE/train.tsv"]


@pytest.mark.parametrize("page, message", [
    (("/other.zip", b"x"), r"cannot be fetched \(404 .*; fetch http://.*/RTE.zip by hand and unpack it in .*/glue$"),
    (("/RTE.zip", b"x" * 500, 1000), "cannot be fetched .*IncompleteRead"),
    (("/RTE.zip", b"x" * 500_000, None, 300), "is not the official file: more bytes, .* expected 300 bytes, .*kept"),
    (("/RTE.zip", b"x" * 500, None, 501), "is not the official file: 500 bytes, .* expected 501 bytes"),
])
def test_what_goes_wrong_over_http_is_one_line(tmp_path, site, page, message):
    url = site(*page)
    with pytest.raises(InputError, match=message) as caught:
        ensure_data(get_task("RTE"), tmp_path)
    assert "\n" not in str(caught.value) and url in str(caught.value) and everything(tmp_path) == []


def test_a_file_that_is_too_long_is_given_up_at_once(tmp_path, served):
    served("RTE", b"x" * 100)
    given = []

    def endless(url, out):
        while True:
            given.append(out.write(b"x" * 60))

    with pytest.raises(InputError, match="more bytes"):
        ensure_data(get_task("RTE"), tmp_path, endless)
    assert given == [60]


def test_mrpc_is_assembled_of_what_was_fetched(tmp_path, monkeypatch):
    """A new task object assembles its official files itself: fetching knows no task by name."""
    rows = [f"{i % 2}\t{i}\t{i + 1}\tText {i}.\tOther {i}." for i in range(6)]
    table = "\n".join(["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", *rows]) + "\n"
    contents = {"mrpc_dev_ids.tsv": "2\t3\n5\t6\n", "msr_paraphrase_train.txt": table, "msr_paraphrase_test.txt": table}
    entries = [{"url": f"https://example.org/{name}", "bytes": len(text), "into": f"glue/MRPC/{name}",
                "sha256": hashlib.sha256(text.encode()).hexdigest()} for name, text in contents.items()]
    monkeypatch.setattr(download, "load_table", lambda name: {"glue": {"MRPC": entries}})
    ensure_data(get_task("MRPC"), tmp_path, lambda url, out: out.write(contents[url.rsplit("/", 1)[1]].encode()))
    sizes = [len(get_task("MRPC").read(tmp_path, split)) for split in ("train", "dev", "test")]
    assert sizes == [4, 2, 6]


def test_what_is_there_is_not_fetched(tmp_path):
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "train.tsv").write_text(TRAIN)
    assert ensure_data(get_task("RTE"), tmp_path, transfer=None) == tmp_path


def offline(url, out):
    raise urllib.error.URLError("no network")


@pytest.mark.parametrize("name, message", [
    ("RTE", r"RTE.zip cannot be fetched \(.*no network.*\); fetch https://.*/RTE.zip by hand and unpack .*/glue$"),
    ("AX", "save it as .*/glue/diagnostic/diagnostic.tsv$"),
    ("RACE-H", "RACE.tar.gz by hand and unpack it in .*/race$"),
    ("MNLI-mismatched", "fetch https://dl.fbaipublicfiles.com/glue/data/MNLI.zip by hand"),
])
def test_offline_one_line_says_which_file_goes_where(tmp_path, name, message):
    with pytest.raises(InputError, match=message) as caught:
        ensure_data(get_task(name), tmp_path, offline)
    assert "\n" not in str(caught.value) and everything(tmp_path) == []


@pytest.mark.parametrize("wrong, message", [
    ({"sha256": "0" * 64}, "is not the official file: .* expected .* 000000000000…; nothing was kept"),
    ({"bytes": 10}, "not the official file: more bytes"), ({"bytes": 10000000}, "not the official file: [0-9]+ bytes"),
])
def test_wrong_size_or_hash(tmp_path, served, wrong, message):
    transfer = served("RTE", zip_of({"RTE/train.tsv": TRAIN}), wrong=wrong)
    with pytest.raises(InputError, match=message):
        ensure_data(get_task("RTE"), tmp_path, transfer)
    assert everything(tmp_path) == []


def test_a_connection_that_breaks(tmp_path, served):
    def breaking(url, out):
        out.write(b"x" * 10)
        raise ConnectionResetError("reset by peer")

    served("RTE", b"x" * 20)
    with pytest.raises(InputError, match="cannot be fetched .*reset by peer"):
        ensure_data(get_task("RTE"), tmp_path, breaking)
    assert everything(tmp_path) == []


@pytest.mark.parametrize("file", ["data", "data/glue", "data/glue/RTE"])
def test_a_file_where_a_folder_is_due(tmp_path, served, file):
    transfer = served("RTE", zip_of({"RTE/train.tsv": TRAIN}))
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file")
    before = everything(tmp_path)
    with pytest.raises(InputError, match="data: (no such folder|cannot be made a data folder)") as caught:
        ensure_data(get_task("RTE"), tmp_path / "data", transfer)
    assert "\n" not in str(caught.value) and everything(tmp_path) == before


def test_a_folder_where_a_file_is_due(tmp_path, served):
    (tmp_path / "glue/RTE/train.tsv").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be made a data folder .*train.tsv: Is a directory"):
        ensure_data(get_task("RTE"), tmp_path, served("RTE", zip_of({"RTE/train.tsv": TRAIN})))


def test_a_new_folder_goes_again_where_nothing_came(tmp_path):
    with pytest.raises(InputError, match="cannot be fetched"):
        ensure_data(get_task("RTE"), tmp_path / "new" / "data", offline)
    assert everything(tmp_path) == [] and list(tmp_path.iterdir()) == []


def test_demo_has_nothing_to_fetch(tmp_path):
    with pytest.raises(InputError, match="demo has no official files to fetch"):
        ensure_data(get_task("demo"), tmp_path, offline)


def link(kind, name="a/link", target="/etc/passwd"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HOSTILE = {
    "tar up": tar_of(("a/good", "x"), ("../evil", "x")), "tar deep": tar_of(("a/../../evil", "x")),
    "tar absolute": tar_of(("/tmp/evil", "x")), "tar symlink": tar_of(link(tarfile.SYMTYPE), ("a/link/x", "x")),
    "tar hard link": tar_of(link(tarfile.LNKTYPE)), "tar fifo": tar_of(link(tarfile.FIFOTYPE)),
    "zip up": zip_of({"a/good": "x", "../evil": "x"}), "zip absolute": zip_of({"/evil": "x"}),
    "zip backslash": zip_of({"a\\..\\..\\evil": "x"}), "zip drive": zip_of({"C:/evil": "x"}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_write_nothing(tmp_path, kind):
    (tmp_path / "archive").write_bytes(HOSTILE[kind])
    message = "archive: member .* (would be written outside the folder|is a link)"
    with pytest.raises(InputError, match=message) as caught:
        archives.unpack(tmp_path / "archive", tmp_path / "in" / "folder")
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == ["archive", "in", "in/folder"]


def test_zip_with_a_symbolic_link(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="'link' is a link"):
        archives.unpack(tmp_path / "archive", tmp_path / "folder")


def damaged(content):
    middle = len(content) // 2
    return content[:middle] + bytes(64) + content[middle + 64:]


@pytest.mark.parametrize("content", [b"", b"nonsense", zip_of({"a": LONG})[:-30], damaged(zip_of({"a": LONG})),
                                     tar_of(("a", LONG))[:-4000], damaged(tar_of(("a", LONG)))],
                         ids=["empty", "nonsense", "zip cut", "zip damaged", "tar cut", "tar damaged"])
def test_corrupt_archives(tmp_path, content):
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(InputError, match="archive: not a whole zip or tar archive .*; fetch it anew") as caught:
        archives.unpack(tmp_path / "archive", tmp_path / "folder")
    assert "\n" not in str(caught.value) and everything(tmp_path) == ["archive", "folder"]


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1000)
    (tmp_path / "archive").write_bytes(zip_of({"a": "x" * 2000}))
    with pytest.raises(InputError, match="unpacks to more than"):
        archives.unpack(tmp_path / "archive", tmp_path / "folder")
    assert everything(tmp_path / "folder") == []


@pytest.mark.parametrize("kind", ["tar up", "tar symlink"])
def test_race_reads_no_hostile_archive(tmp_path, kind):
    (tmp_path / "RACE.tar.gz").write_bytes(HOSTILE[kind])
    with pytest.raises(InputError, match="RACE.tar.gz: member .* not unpacked"):
        get_task("RACE-M").read(tmp_path, "dev")


def test_race_from_archive_equals_race_from_folder(tmp_path):
    source = pathlib.Path(__file__).resolve().parents[1] / "golden" / "data" / "race"
    members = [(f"./{name}", (source / name).read_text()) for name in everything(source) if name.endswith(".txt")]
    (tmp_path / "RACE.tar.gz").write_bytes(tar_of(*members))
    for name in ("RACE-M", "RACE-H"):
        assert get_task(name).read(tmp_path, "test") == get_task(name).read(source, "test")
    (tmp_path / "RACE.tar.gz").write_bytes(tar_of(*members)[:-200])
    with pytest.raises(InputError, match="not a whole tar archive"):
        get_task("RACE-M").read(tmp_path, "test")


def test_table_of_addresses_is_whole(shared):
    """Every task of the paper has its files; addresses, sizes and hashes are the recorded ones."""
    table = load_table("downloads.yaml")
    recorded = json.loads((shared / "data" / "checksums.json").read_text())
    known = {(e["url"], e["bytes"], e["sha256"]) for name, e in recorded.items() if "url" in e}
    listed = [entry for tasks in table.values() for entries in tasks.values() for entry in entries]
    assert {(e["url"], e["bytes"], e["sha256"]) for e in listed} == known and len(listed) == len(known)
    for key in TASKS:
        task = get_task(key)
        if key != "demo":
            assert (task.download_name or task.name) in table[task.benchmark]
