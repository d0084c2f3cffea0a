"""`bort-mx serve`: the same answers as in Python, limits with clear answers, a stop that loses nothing."""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

from bort_mx.architecture import Architecture  # noqa: E402
from bort_mx.checkpoints import directory as checkpoint_directory  # noqa: E402
from bort_mx.checkpoints import onnx_export, read  # noqa: E402
from bort_mx.commands import serve  # noqa: E402
from bort_mx.data.tokenizers import train_sentencepiece  # noqa: E402
from bort_mx.errors import InputError  # noqa: E402
from bort_mx.inference.text_pipelines import pipeline  # noqa: E402
from bort_mx.inference.web_service import Limits, application  # noqa: E402
from bort_mx.models import build_model  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ["the quick brown fox", "a dog", "", "the lazy dog " * 9]
LIMITS = Limits(body_bytes=4000, texts=6, characters=300, waiting=50, body_seconds=0.5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    tokenizer = train_sentencepiece(["the quick brown fox jumps over the lazy dog"] * 3, 300)
    for head, more in (("encoder", {}), ("mlm", {}), ("classifier", {"labels": ("no", "yes")})):
        model = build_model(Architecture(2, 2, 16, 24), tokenizer.vocab_size, head, num_positions=32, seed=1, **more)
        checkpoint_directory.save(folder / head, model, tokenizer)
        onnx_export.export(read(folder / head), folder / head / "model.onnx")
    return folder


@contextlib.contextmanager
def serving(path, limits=LIMITS):
    """The address of a server in this process, for a while."""
    app = application(pipeline(path), "small", limits)
    listening = serve.bind("127.0.0.1", 0)
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield serve.address_of(listening)
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


@pytest.fixture(scope="module", params=["", "model.onnx"])
def classifier(folders, request):
    with serving(folders / "classifier" / request.param) as address:
        yield address


@pytest.fixture(scope="module")
def masks(folders):
    with serving(folders / "mlm") as address:
        yield address


def ask(address, path, body=None, method=None):
    """Status and JSON of an answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_classify_as_in_python(folders, classifier):
    pair = ["a fox", "a dog"]
    status, found = ask(classifier, "/classify", {"texts": [*TEXTS, pair]})
    wanted = pipeline(folders / "classifier")([*TEXTS, tuple(pair)])
    assert status == 200
    for answer, want in zip(found["answers"], wanted):
        assert answer["label"] == want["label"] and answer["scores"] == pytest.approx(want["scores"], abs=1e-5)
    assert ask(classifier, "/classify", {"texts": TEXTS[0]})[1]["answers"][0]["label"] == wanted[0]["label"]
    assert ask(classifier, "/classify", {"texts": []}) == (200, {"answers": []})


def test_embed_as_in_python(folders):
    with serving(folders / "encoder" / "model.onnx") as address:
        status, found = ask(address, "/embed", {"texts": TEXTS})
    assert status == 200
    np.testing.assert_allclose(found["embeddings"], pipeline(folders / "encoder")(TEXTS), atol=1e-5)


def test_fill_mask_as_in_python(folders, masks):
    texts = ["the <mask> fox", "a [MASK] <mask>"]
    fill = pipeline(folders / "mlm")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # each request has its own top_k
        found = list(pool.map(lambda k: ask(masks, "/fill-mask", {"texts": texts, "top_k": k}), (2, 3)))
    for (status, answer), k in zip(found, (2, 3)):
        want = [[fill(texts[0], top_k=k)], fill(texts[1], top_k=k)]
        assert status == 200 and [len(text) for text in answer["answers"]] == [1, 2]
        for one, other in zip(answer["answers"], want):
            assert [[f["token"] for f in mask] for mask in one] == [[f["token"] for f in mask] for mask in other]
            assert one[0][0]["score"] == pytest.approx(other[0][0]["score"], abs=1e-5)


def test_the_description_says_that_a_text_needs_a_mask(masks):
    """Found by schemathesis: a text without one was described as good, and answered by 422."""
    schemas = ask(masks, "/openapi.json")[1]["components"]["schemas"]
    one, many = schemas["MaskedTexts"]["properties"]["texts"]["anyOf"]
    assert many["items"]["anyOf"] == [one] and re.search(one["pattern"], "a <mask>")
    assert re.search(one["pattern"], "[MASK]") and not re.search(one["pattern"], "mask")


def test_many_clients_at_once_get_their_own_answers(classifier, folders):
    texts = [f"the {'quick ' * (i % 7)}fox {i}" for i in range(40)]
    wanted = pipeline(folders / "classifier")(texts)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: ask(classifier, "/classify", {"texts": [text]})[1]["answers"][0], texts))
    for answer, want in zip(found, wanted):
        assert answer["scores"] == pytest.approx(want["scores"], abs=1e-5)


def test_health_and_openapi(classifier, folders):
    status, health = ask(classifier, "/health")
    assert status == 200 and health == {"status": "ok", "task": "classify", "model": "small",
                                        "architecture": [2, 2, 16, 24], "labels": ["no", "yes"], "longest_tokens": 32,
                                        "waiting": 0}
    described = ask(classifier, "/openapi.json")[1]
    assert set(described["paths"]) == {"/classify", "/health"}
    assert set(described["paths"]["/classify"]["post"]["responses"]) == {"200", "400", "408", "413", "422", "503"}
    with urllib.request.urlopen(classifier + "/docs", timeout=20) as page:
        assert b"openapi.json" in page.read()


@pytest.mark.parametrize("body, status, said", [
    (b"{", 400, "the body is not JSON: Expecting"), (b"", 422, "^send the header Content-Type"),
    (b"[]", 422, r'^send the header Content-Type: application/json and a body such as {"texts": \["A text."\]}$'),
    ({}, 422, "texts: Field required"), ({"texts": 3}, 422, "texts: must be a text, or a list of texts and pairs"),
    ({"texts": None}, 422, "texts: must be a text"), ({"texts": {"a": "b"}}, 422, "texts: must be a text"),
    ({"texts": ["a", 3]}, 422, r"text 2: 3 \(int\): expected a text"),
    ({"texts": [["a"]]}, 422, "text 1: a list of 1; a pair is"), ({"texts": [["a", 3]]}, 422, r"text 1: 3 \(int\)"),
    ({"texts": [["a", "b", "c"]]}, 422, "text 1: a list of 3"), ({"texts": ["a"], "txts": 1}, 422, "txts: Extra inp"),
    ({"texts": ["a"] * 7}, 422, "texts: 7 of them; a request may hold 6"),
    ({"texts": ["a", "b" * 301]}, 422, "text 2: 301 characters; a text may have 300"),
    ({"texts": [["a" * 200, "b" * 101]]}, 422, "text 1: 301 characters"),
    (b'{"texts": ["\\ud800"]}', 422, "text 1: .* half a character"), (b"[" * 3000, 400, "JSON"),
    (b'{"texts": ["\xff"]}', 400, "the body is not JSON in UTF-8"),
    (b" " * 4001, 413, "the body is larger than 4000 bytes")])
def test_bad_requests_have_one_line(classifier, body, status, said):
    found, answer = ask(classifier, "/classify", body)
    assert found == status and list(answer) == ["error"], answer
    assert re.search(said, answer["error"]) and "\n" not in answer["error"], answer


def test_a_body_without_its_header_is_told_which_one(classifier):
    """As `curl -d` sends it, which calls every body a form."""
    request = urllib.request.Request(classifier + "/classify", json.dumps({"texts": ["a dog"]}).encode(), {
        "Content-Type": "application/x-www-form-urlencoded"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 422 and json.load(caught.value) == {
        "error": 'send the header Content-Type: application/json and a body such as {"texts": ["A text."]}'}


def test_other_paths_and_methods(classifier):
    assert ask(classifier, "/embed", {"texts": []}) == (404, {
        "error": "no such path; this model answers POST /classify and GET /health, /docs and /openapi.json"})
    status, answer = ask(classifier, "/classify")
    assert status == 405 and list(answer) == ["error"]


@pytest.mark.parametrize("body, said", [
    ({"texts": ["a fox"]}, r"text 1: 'a fox': holds no"), ({"texts": ["<mask>" * 40]}, "text 1: .* the model takes 32"),
    ({"texts": [["a <mask>", "b"]]}, "text 1: a pair; masks are filled in single"),
    ({"texts": ["<mask>"], "top_k": 0}, "top_k: "),
    ({"texts": ["<mask>"], "top_k": 101}, "top_k: "), ({"texts": ["<mask>"], "top_k": True}, "top_k: ")])
def test_masks_that_cannot_be_filled(masks, body, said):
    status, answer = ask(masks, "/fill-mask", body)
    assert status == 422 and re.search(said, answer["error"]), answer


def send(address, data, wait=0.0):
    """What a server answers to bytes."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(data)
        time.sleep(wait)
        return connection.recv(4096)


def test_a_body_without_a_stated_length_is_counted_and_a_slow_one_is_ended(classifier):
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunk = b"%x\r\n%s\r\n" % (2500, b" " * 2500)
    assert b" 413 " in send(classifier, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + chunk)
    assert b" 408 " in send(classifier, head + b"Content-Length: 100\r\n\r\n{")
    assert ask(classifier, "/health")[0] == 200


def test_a_queue_that_is_full_answers_503(folders, monkeypatch):
    import bort_mx.inference.web_service as module

    go, running = threading.Event(), threading.Event()

    def slow(opened):
        """Waits for the test."""
        return lambda texts: running.set() or go.wait(20) and [{"label": "x"} for _ in texts]

    monkeypatch.setattr(module, "_batch_of", slow)
    with serving(folders / "classifier", Limits(waiting=2)) as address, \
            concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, address, "/classify", {"texts": ["a"]})
        assert running.wait(20)
        second = pool.submit(ask, address, "/classify", {"texts": ["a", "b"]})
        while ask(address, "/health")[1]["waiting"] < 2:
            time.sleep(0.01)
        status, answer = ask(address, "/classify", {"texts": ["a"]})
        assert status == 503 and "2 texts wait for the model already; try again later" in answer["error"]
        go.set()
        assert first.result(20)[0] == second.result(20)[0] == 200


def test_what_the_model_raises_is_no_traceback_to_the_client(folders, monkeypatch, caplog):
    import bort_mx.inference.web_service as module

    def broken(opened):
        """Raises always."""
        def run(texts):
            raise MemoryError("no room")
        return run

    monkeypatch.setattr(module, "_batch_of", broken)
    with serving(folders / "classifier") as address:
        status, answer = ask(address, "/classify", {"texts": ["a"]})
        assert status == 500 and answer == {"error": "the model failed on this request; the server's log says why"}
        assert ask(address, "/health")[0] == 200
    assert "no room" in caplog.text


def test_the_command_stops_with_its_requests_answered(folders):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "bort_mx", "serve", str(folders / "classifier"), "--port", "0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout.readline() == f"opening {folders / 'classifier'} …\n"
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        assert "classify on" in line and f"{address}/classify" in line
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, address, "/classify", {"texts": TEXTS}) for _ in range(4)]
            while not any(one.done() for one in asked):
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            outcomes = [one.exception(20) or one.result() for one in asked]
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert "stopped: every request that was taken has its answer\nnext: python -m bort_mx predict" in out
    assert "Traceback" not in err
    # a request whose connection was not taken yet is refused, never half answered
    assert all(isinstance(one, OSError) or one[0] == 200 for one in outcomes) and any(
        not isinstance(one, OSError) for one in outcomes)


def test_an_answer_is_not_held_back_by_the_kernel():
    """Its head and body are two small packets: without TCP_NODELAY the second waits 40 ms for the first to arrive."""
    async def accepted():
        found = asyncio.get_running_loop().create_future()

        def taken(_, writer):
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()
        async with await asyncio.start_server(taken, sock=serve.bind("127.0.0.1", 0)) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.close()
            return await found

    assert asyncio.run(accepted()) == 1


def test_bad_options(folders, monkeypatch):
    with contextlib.closing(serve.bind("127.0.0.1", 0)) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(InputError, match=f"--host 127.0.0.1 --port {port}: Address already in use; give another"):
            serve.main([str(folders / "classifier"), "--port", port])
    for words, said in ((["--port", "70000"], "--port 70000: must be in"), (["--task", "sing"], "--task sing: must be"),
                        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid"),
                        (["--max-texts", "0"], "--max-texts 0: must be at least 1")):
        with pytest.raises(InputError, match=said):
            serve.main([str(folders / "classifier"), *words])
    with pytest.raises(InputError, match="has no trained mlm head"):
        serve.main([str(folders / "encoder"), "--task", "fill-mask", "--port", "0"])
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r"serving needs the package uvicorn, .*; pip install 'bort-mx\[serve\]'"):
        serve.main([str(folders / "classifier")])
