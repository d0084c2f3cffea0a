"""The readers of the program, each with small valid input: `READERS` maps a name to (make, read).

`make(folder)` writes valid files; `read(folder)` reads them as the program does. `vouch` makes a manifest agree with
files that were altered, as an attacker, or a program that writes on, would.
"""

import argparse
import gzip
import hashlib
import json
import pathlib
import shutil
import zipfile
from typing import Callable, Dict, Tuple

import numpy as np
from corpus_readers import CORPUS_READERS, tar_of

from bort_mx.agora.hyperparameters import load_thetas
from bort_mx.agora.job_log import JobLog
from bort_mx.architecture import Architecture
from bort_mx.checkpoints import convert, loading
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.onnx_export import export
from bort_mx.checkpoints.onnx_model import OnnxModel
from bort_mx.data.corpora.text_files import TextFile, list_files
from bort_mx.data.prepare.vocabulary import sample_sentences
from bort_mx.data.shards import TokenShards
from bort_mx.data.tasks import get_task
from bort_mx.data.tasks.archives import unpack
from bort_mx.data.tasks.own_files import OwnFiles, Sources, Trained
from bort_mx.data.tokenizers import load_tokenizer, train_sentencepiece
from bort_mx.data.tokenizers.byte_bpe import ByteBPETokenizer
from bort_mx.data.tokenizers.wordpiece import BERT_SPECIALS, WordPieceTokenizer
from bort_mx.distributed import Workers
from bort_mx.finetuning.benchmark import collect_runs
from bort_mx.finetuning.finetune import finished
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.finetuning.options import kind_of as kind_of_finetuning
from bort_mx.inference.engines import open_with_engine
from bort_mx.models.build import build_model
from bort_mx.options import parse_options
from bort_mx.pretraining.options import PretrainingOptions, kind_of
from bort_mx.pretraining.student_and_teacher import resolve_architecture
from bort_mx.report import published, sections
from bort_mx.report.curves import read_curve
from bort_mx.search.candidate_log import CandidateLog
from bort_mx.search.objectives import Objectives
from bort_mx.search.space import read_space
from bort_mx.training.finished_runs import find_runs
from bort_mx.training.run_directory import RunDirectory

TINY = Architecture(1, 2, 8, 16)
WORDS = "the a of to and in is it you that he was for on are with as his they be at one have this from".split()
SENTENCES = [" ".join(WORDS[(i * k) % len(WORDS)] for k in range(1, 9)) + "." for i in range(1, 60)]
OPTIONS = dict(data=["text"], output_dir="out", resume="auto", architecture="1,2,8,16")


# -- configurations ------------------------------------------------------------------------------------------------


def make_config(folder):
    (folder / "run.yaml").write_text("data: [a, b]\narchitecture: 1,2,8,16\nbatch-size: 8\nlearning_rate: 1e-3\n"
                                     "warmup: 0.1\ntokenizer: null\nseed: 1\nresume: auto\nclip: 1.0\n")


def make_space(folder):
    (folder / "space.yaml").write_text("num_layers: [2, 4]\nnum_heads: [2]\nhidden_size:\n  - 64\n  - 128\n"
                                       "intermediate_size: [128, 256]\n")


def make_architectures(folder):
    (folder / "space.yaml").write_text("architectures:\n  - bort\n  - 2,2,64,128\n  - [4, 4, 64, 128]\n")


def make_theta(folder):
    (folder / "theta.yaml").write_text("learning_rate: [1e-5, 0.001]\nweight_decay: [0.01]\nwarmup: [0, 0.1]\n"
                                       "seed: [0, 1]\n")


def make_sets(folder):
    (folder / "theta.yaml").write_text("sets:\n  - [1e-5, 0.01, 0.1, 0]\n  - {learning_rate: 1e-5, weight_decay: 0.1, "
                                       "warmup: 0, seed: 2}\n")


# -- tables --------------------------------------------------------------------------------------------------------

ROWS = [(f"{SENTENCES[i]}", f"{SENTENCES[i + 1]}", "good" if i % 2 else "bad", i) for i in range(12)]


def make_task(suffix: str, number: bool = False):
    def make(folder):
        kind = "regression: true" if number else "labels: [bad, good]\nmetrics: [accuracy, f1]\ncriterion: f1"
        (folder / "task.yaml").write_text(f"name: own\nfiles:\n  train: train{suffix}\n  dev: dev{suffix}\n"
                                          "columns: {text: one, text_pair: two, label: label, idx: idx}\n"
                                          f"{kind}\nbatch_size: 4\ncut: longest\n")
        rows = [(one, two, float(i) if number else label, i) for one, two, label, i in ROWS]
        names = ("one", "two", "label", "idx")
        for split in ("train", "dev"):
            if suffix == ".jsonl":
                text = "".join(json.dumps(dict(zip(names, row))) + "\n" for row in rows)
            else:
                mark = "\t" if suffix == ".tsv" else ","
                text = "".join(mark.join(map(str, row)) + "\n" for row in (names, *rows))
            (folder / f"{split}{suffix}").write_text(text)
    return make


def read_task(folder):
    task = get_task(str(folder / "task.yaml"))
    for split in ("train", "dev"):
        task.read(None, split)


def make_own(folder):
    rows = "".join(f"{s},{('good', 'bad')[i % 2]}\n" for i, s in enumerate(SENTENCES[:40]))
    (folder / "a.csv").write_text("text,label\n" + rows)
    (folder / "b.jsonl").write_text("".join(json.dumps({"text": s, "label": "good"}) + "\n" for s in SENTENCES[:9]))


def read_own(folder):
    task = OwnFiles(Sources({"train": str(folder / "a.csv")}))
    for split in ("train", "dev"):
        task.read(None, split)
    trained = Trained(("good", "bad"), False, ("text",))
    OwnFiles(Sources({"test": str(folder / "b.jsonl")}), trained).read(None, "test")


OFFICIAL = {"RTE": "glue", "MRPC": "glue", "STS-B": "glue", "AX": "glue", "superglue/COPA": "superglue",
            "superglue/MultiRC": "superglue", "superglue/ReCoRD": "superglue", "superglue/WiC": "superglue",
            "superglue/WSC": "superglue", "RACE-H": "race"}
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "data"


def official(name: str):
    def make(folder):
        shutil.copytree(GOLDEN / OFFICIAL[name], folder / "data")

    def read(folder):
        get_task(name).read(folder / "data", "test")
    return make, read


# -- text and shards -----------------------------------------------------------------------------------------------


def make_text(folder):
    (folder / "plain.txt").write_text("\n".join(SENTENCES) + "\n")
    (folder / "zipped.txt.gz").write_bytes(gzip.compress("\n".join(SENTENCES).encode(), mtime=0))


def read_text(folder):
    paths, _ = list_files([str(folder)])
    for path in paths:
        for _ in TextFile(path).blocks():
            pass
    list(sample_sentences(paths, "auto", 1))


def make_shards(folder):
    from bort_mx.commands.prepare import PrepareOptions, prepare

    (folder.parent / "text.txt").write_text("\n".join(f"{s} {i}" for i in range(30) for s in SENTENCES) + "\n")
    options = PrepareOptions([str(folder.parent / "text.txt")], str(folder), train_vocab=330, workers=1)
    prepare(options)


def read_shards(folder):
    for split in ("train", "validation"):
        shards = TokenShards(folder, split)
        tokenizer = shards.tokenizer()
        for lengths in shards.length_chunks(1000):
            lengths.sum()
        for i in (0, len(shards) // 2, len(shards) - 1):
            shards[i].sum()
        shards.sentence_ends(0, shards.num_tokens)
        assert shards.tokens(0, shards.num_tokens).max() < 65536 and tokenizer.vocab_size


# -- tokenizers ----------------------------------------------------------------------------------------------------


def byte_bpe() -> ByteBPETokenizer:
    import tokenizers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, "th", "the", "<mask>"]
    return ByteBPETokenizer({token: i for i, token in enumerate(tokens)}, [("t", "h"), ("th", "e")])


def wordpiece() -> WordPieceTokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return WordPieceTokenizer(list(dict.fromkeys([*BERT_SPECIALS.values(), *WORDS, *letters,
                                                  *(f"##{letter}" for letter in letters), "."])))


def make_tokenizer(build: Callable):
    return lambda folder: build().save(folder)


def make_hugging_face_tokenizer(build: Callable, alone: bool = False):
    from bort_mx.checkpoints import huggingface_tokenizer

    def make(folder):
        huggingface_tokenizer.write(folder, build(), 64)
        if alone:
            for path in folder.iterdir():
                if path.name not in ("tokenizer.json", "tokenizer_config.json"):
                    path.unlink()
    return make


def make_fairseq_tokenizer(folder):
    vocab = {token: i for i, token in enumerate([t for t in byte_bpe()._tokens if len(t) < 2 or t[0] != "<"])}
    (folder / "encoder.json").write_text(json.dumps(vocab))
    (folder / "vocab.bpe").write_text("#version: 0.2\nt h\nth e\n")
    (folder / "dict.txt").write_text("".join(f"{i} 1\n" for i in vocab.values()))


def read_tokenizer(folder):
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode("the cat <mask> and [MASK] é", "it is")
    assert max(ids) < tokenizer.vocab_size
    tokenizer.decode(ids)
    tokenizer.digest  # noqa: B018


# -- checkpoints -----------------------------------------------------------------------------------------------------


def sentencepiece():
    return train_sentencepiece(SENTENCES, 330, "the text", exact=False)


def model_of(tokenizer, head="mlm"):
    return build_model(TINY, tokenizer.vocab_size, head=head, num_positions=64)


def make_ours(folder):
    tokenizer = sentencepiece()
    checkpoint_directory.save(folder / "step-3", model_of(tokenizer), tokenizer, progress={"step": 3},
                              states={"count": np.zeros(3, np.float32)})


def read_ours(folder):
    read_checkpoint(folder / "step-3")
    checkpoint_directory.verify_step(folder / "step-3")
    checkpoint_directory.latest(folder)
    checkpoint_directory.read_states(folder / "step-3")


def make_hugging_face(build: Callable, pickled: bool = False, head: str = "mlm"):
    def make(folder):
        tokenizer = build()
        checkpoint_directory.save(folder / "ours", model_of(tokenizer, head), tokenizer)
        convert.convert(loading.read(folder / "ours"), folder / "hf", "hf")
        shutil.rmtree(folder / "ours")
        if pickled:
            import safetensors.torch
            import torch

            torch.save(safetensors.torch.load_file(folder / "hf/model.safetensors"), folder / "hf/pytorch_model.bin")
            (folder / "hf/model.safetensors").unlink()
    return make


def make_gluon(folder):
    tokenizer = wordpiece()
    checkpoint_directory.save(folder / "ours", model_of(tokenizer), tokenizer)
    convert.convert(loading.read(folder / "ours"), folder / "gluon", "gluon")
    shutil.rmtree(folder / "ours")


def make_fairseq(folder):
    import torch

    from bort_mx.checkpoints import tensor_names

    tokenizer = byte_bpe()
    tensors = checkpoint_directory.tensors_of(model_of(tokenizer))
    names = tensor_names.fairseq_names(1)
    state = {"decoder." + names[name]: torch.tensor(value) for name, value in tensors.items() if name in names}
    table = "decoder.sentence_encoder.embed_positions.weight"
    state[table] = torch.cat([torch.zeros(2, state[table].shape[1]), state[table]])
    state["decoder.lm_head.weight"] = state["decoder.sentence_encoder.embed_tokens.weight"]
    (folder / "fairseq").mkdir()
    torch.save({"args": argparse.Namespace(encoder_attention_heads=2), "model": state, "epoch": 3},
               folder / "fairseq/model.pt")
    make_fairseq_tokenizer(folder / "fairseq")


def read_only_folder(folder):
    read_checkpoint(next(path for path in folder.iterdir() if path.is_dir()))


def read_checkpoint(path):
    weights = loading.read(path)
    for name in weights.tensors:
        weights.float32(name)
    loading.assemble(weights)
    loading.fingerprint(path)


def make_onnx(folder):
    tokenizer = wordpiece()
    checkpoint_directory.save(folder / "ours", model_of(tokenizer), tokenizer)
    export(loading.read(folder / "ours"), folder / "m.onnx")
    shutil.rmtree(folder / "ours")


def read_onnx(folder):
    model = OnnxModel(folder / "m.onnx", threads=1)
    tokenizer = model.tokenizer
    if tokenizer is not None:
        tokenizer.encode("the cat")


def make_sentence_transformers(folder):
    """As that library writes a folder with a dense layer."""
    from safetensors.numpy import save_file

    make_hugging_face(wordpiece, head="encoder")(folder)
    place = next(path for path in folder.iterdir() if path.is_dir())
    (place / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": false}')
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"), ("Normalize", "3_Normalize")]
    (place / "modules.json").write_text(json.dumps([
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)]))
    for _, path in kinds[1:]:
        (place / path).mkdir()
    (place / "1_Pooling/config.json").write_text('{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true}')
    (place / "2_Dense/config.json").write_text(json.dumps({
        "in_features": 8, "out_features": 4, "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh"}))
    save_file({"linear.weight": np.ones((4, 8), np.float32), "linear.bias": np.zeros(4, np.float32)},
              place / "2_Dense/model.safetensors")


def make_onnx_with_engine(folder):
    make_onnx(folder)
    (folder / "m.onnx.engine.json").write_text('{"engine": "onnxruntime", "cpu": "", "form": "float32"}')


# -- what runs leave -------------------------------------------------------------------------------------------------


def make_run(folder):
    options = PretrainingOptions(**{**OPTIONS, "output_dir": str(folder / "run"), "resume": "never"})
    run = RunDirectory(folder / "run", options, options.MAY_CHANGE, True, extra={"data": {"train": "x"}}, kind=kind_of)
    run.open()
    for step in (1, 2, 3):
        run.log(step, {"loss": 1.5, "validation_mlm_accuracy": 0.5})
    tokenizer = sentencepiece()
    run.save_checkpoint(3, model_of(tokenizer), tokenizer, {"count": np.zeros(3, np.float32)}, {"skipped": 0}, 1)
    run.write_results({"best": {"architecture": [1, 2, 8, 16]}})
    run.close()


def read_run(folder):
    path = folder / "run"
    options = PretrainingOptions(**{**OPTIONS, "output_dir": str(path)})
    run = RunDirectory(path, options, options.MAY_CHANGE, True, "auto", extra={"data": {"train": "x"}}, kind=kind_of)
    run.open()
    run.metrics()
    run.keep("warmup_steps", 3)
    run.close()
    read_curve(path)
    resolve_architecture(str(path / "results.json"))


def make_finished(folder):
    options = FineTuningOptions(task="RTE", output_dir=str(folder))
    run = RunDirectory(folder, options, options.MAY_CHANGE, True, kind=kind_of_finetuning)
    run.write_config()
    run.write_results({"task": "glue/RTE", "criterion": "accuracy", "dev": {"accuracy": 0.5, "loss": 1.0},
                       "best_epoch": 1.5, "test": {"accuracy": 0.5}, "diagnostics": {"AX": {"matthews": 0.1}},
                       "predictions_of": "dev", "submissions": ["RTE.tsv"], "notes": ["a note"]})


def read_finished(folder):
    options = FineTuningOptions(task="RTE", output_dir=str(folder), resume="auto")
    run = RunDirectory(folder, options, options.MAY_CHANGE, True, "auto", kind=kind_of_finetuning)
    finished(run, Workers())


def make_runs(folder):
    for name in ("one", "two"):
        (folder / name).mkdir()
        make_finished(folder / name)
    make_run(folder)
    (folder / "two/hours.json").write_text('{"device": "a CPU", "hours": 1.5, "gpu_hours": 0.0}')


def read_runs(folder):
    """As `reproduce --runs`: damaged ones are passed over with a note."""
    runs, _ = find_runs(folder)
    collect_runs(runs, folder / "page")
    sections.build_sections(published.read(), ["3", "4", "figure1"], runs)


def make_numbers(folder):
    (folder / "numbers.json").write_text(json.dumps(published.read().records()))


def make_jobs(folder):
    log = JobLog(folder / "jobs.jsonl", {"task": "RTE", "seed": 1})
    for i in range(3):
        log.put({"kind": "job", "round": 0, "index": i, "accuracy": 0.5, "theta": [1e-5, 0.1, 0.1, i]})


def make_candidates(folder):
    log = CandidateLog(folder, {"steps": 3, "data": "x"})
    for D in (2, 4):
        log.append(Architecture(D, 2, 64, 128), Objectives(100, 200.0, 3.5))
        log.append_latency(Architecture(D, 2, 64, 128), 0.5)


# -- archives --------------------------------------------------------------------------------------------------------


def make_archives(folder):
    """Without times, so that they are the same whenever they are made."""
    text = "\n".join(SENTENCES)
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        for i in range(3):
            file.writestr(zipfile.ZipInfo(f"RTE/{i}.tsv"), text, zipfile.ZIP_DEFLATED)
    members = {"RACE/x": text.encode(), "RACE/y": text.encode()}
    (folder / "a.tar.gz").write_bytes(gzip.compress(tar_of(members), mtime=0))


def unpack_one(name: str):
    return lambda folder: unpack(folder / name, folder / "unpacked")


READERS: Dict[str, Tuple[Callable, Callable]] = {
    "--config": (make_config, lambda folder: parse_options(
        PretrainingOptions, ["--config", str(folder / "run.yaml")], "fuzz", "")),
    "--space of lists": (make_space, lambda folder: read_space(folder / "space.yaml")),
    "--space of architectures": (make_architectures, lambda folder: read_space(folder / "space.yaml")),
    "--theta of lists": (make_theta, lambda folder: load_thetas(folder / "theta.yaml")),
    "--theta of sets": (make_sets, lambda folder: load_thetas(folder / "theta.yaml")),
    "task of .tsv": (make_task(".tsv"), read_task), "task of .csv": (make_task(".csv"), read_task),
    "task of .jsonl": (make_task(".jsonl"), read_task), "task of numbers": (make_task(".tsv", True), read_task),
    **{f"task {name}": official(name) for name in OFFICIAL if (GOLDEN / OFFICIAL[name]).is_dir()},
    "text": (make_text, read_text), "shards": (make_shards, read_shards),
    "byte-level BPE": (make_tokenizer(byte_bpe), read_tokenizer),
    "WordPiece": (make_tokenizer(wordpiece), read_tokenizer),
    "SentencePiece": (make_tokenizer(sentencepiece), read_tokenizer),
    "fairseq's vocabulary": (make_fairseq_tokenizer, read_tokenizer),
    "Hugging Face's BPE": (make_hugging_face_tokenizer(byte_bpe), read_tokenizer),
    "Hugging Face's WordPiece": (make_hugging_face_tokenizer(wordpiece), read_tokenizer),
    "tokenizer.json of BPE": (make_hugging_face_tokenizer(byte_bpe, True), read_tokenizer),
    "tokenizer.json of WordPiece": (make_hugging_face_tokenizer(wordpiece, True), read_tokenizer),
    "our checkpoint": (make_ours, read_ours),
    "safetensors of roberta": (make_hugging_face(byte_bpe), read_only_folder),
    "safetensors of bert": (make_hugging_face(wordpiece, head="classifier"), read_only_folder),
    "pytorch_model.bin": (make_hugging_face(wordpiece, True), read_only_folder),
    "fairseq": (make_fairseq, read_only_folder), "gluon": (make_gluon, read_only_folder),
    "onnx": (make_onnx, read_onnx),
    "sentence-transformers": (make_sentence_transformers, read_only_folder),
    "onnx with its engine": (make_onnx_with_engine, lambda folder: open_with_engine(folder / "m.onnx", "mlm")),
    "--train": (make_own, read_own), **CORPUS_READERS,
    "runs of a page": (make_runs, read_runs),
    "--numbers": (make_numbers, lambda folder: published.read(folder / "numbers.json")),
    "a run": (make_run, read_run), "a finished run": (make_finished, read_finished),
    "jobs.jsonl": (make_jobs, lambda folder: JobLog(folder / "jobs.jsonl", {"task": "RTE", "seed": 1})),
    "candidates.jsonl": (make_candidates, lambda folder: CandidateLog(folder, {"steps": 3, "data": "x"})),
    "zip": (make_archives, unpack_one("a.zip")), "tar.gz": (make_archives, unpack_one("a.tar.gz")),
}


def vouch(folder: pathlib.Path) -> None:
    """Make every manifest below a folder agree with the files beside it."""
    for path in folder.rglob("manifest.json"):
        try:
            manifest = json.loads(path.read_text())
            if isinstance(manifest.get("files"), dict):
                for name, entry in manifest["files"].items():
                    content = (path.parent / name).read_bytes()
                    entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            else:
                for name in manifest:
                    manifest[name] = hashlib.sha256((path.parent / name).read_bytes()).hexdigest()
        except (ValueError, AttributeError, TypeError, OSError, RecursionError):
            continue  # the manifest itself was damaged
        path.write_text(json.dumps(manifest))
