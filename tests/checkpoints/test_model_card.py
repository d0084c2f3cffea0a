"""The model card of a converted folder: what is recorded and nothing else, in the form that the Hub reads."""

import json
import shutil

import pytest
import yaml

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import read
from bort_mx.checkpoints.model_card import model_card
from bort_mx.commands import convert as command
from bort_mx.commands import prepare
from bort_mx.data.tokenizers import WordPieceTokenizer, train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.io.files import sha256
from bort_mx.models import build_model
from bort_mx.sentence_embedding import SentenceEmbedding

SECTIONS = ["How to use it", "Training data", "Scores", "Latency", "Training", "Limits", "Licence", "Provenance"]
SHA = "ab" * 32


@pytest.fixture(scope="module")
def tokenizer():
    return train_sentencepiece(["the quick brown fox jumps over the lazy dog"] * 3, 300)


def save(folder, tokenizer, head="classifier", progress=None, **options):
    options = {"labels": ("bad", "good"), **options} if head == "classifier" else options
    model = build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, head, num_positions=64, **options)
    checkpoint_directory.save(folder, model, tokenizer, progress=progress)
    return folder


def finetuned(folder, tokenizer, **results):
    """A run as fine-tuning leaves it."""
    save(folder / "checkpoints" / "best", tokenizer, progress={"step": 30}, text_columns=("text",), max_length=40)
    (folder / "config.json").write_text(json.dumps({
        "options": {"task": "/home/someone/reviews.yaml", "checkpoint": "/home/someone/minilm", "epochs": 3,
                    "learning_rate": 2e-5, "batch_size": 16, "output_dir": "/home/someone/run", "seed": 1},
        "data": {"train": SHA}, "checkpoint": SHA,
        "provenance": {"bort_mx": "0.1.0", "git_commit": "f00", "python": "3.11.7", "packages": {"mxnet": "1.9.1"},
                       "command": "/home/someone/run_finetune.py"}}))
    (folder / "results.json").write_text(json.dumps({
        "task": "reviews", "seed": 1, "train_examples": 1200, "dev": {"accuracy": 0.8125, "loss": 0.4},
        "test": {"accuracy": 0.795}, "notes": ["texts are cut to 40 tokens"], **results}))
    return folder


def card_of(source, target, *words):
    """The card's text, its front matter, and its sections by their titles."""
    assert command.main([str(source), str(target), "--to", "hf", *words]) == 0
    text = (target / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    parts = body.split("\n## ")
    return text, yaml.safe_load(front), {part.split("\n")[0]: part for part in parts[1:]}


def test_a_run_of_fine_tuning(tokenizer, tmp_path):
    text, front, sections = card_of(finetuned(tmp_path / "my-run", tokenizer), tmp_path / "hf")
    assert list(sections) == SECTIONS and "\n# my-run\n" in text
    assert "fine-tuned on reviews, starting from minilm" in text and "Its outputs are: bad, good." in text
    assert f"| SHA-256 of train | `{SHA}` |" in sections["Training data"] and "1200 training" in text
    assert "| validation | accuracy | 0.8125 |" in sections["Scores"] and "| test | accuracy | 0.7950 |" in text
    assert "Seed 1." in sections["Scores"] and "loss" not in sections["Scores"]
    assert "Latency is not recorded." in sections["Latency"]
    assert "| learning rate | 2e-05 |" in sections["Training"] and "| step of this checkpoint | 30 |" in text
    assert "at most 40 tokens" in sections["Limits"] and "- Texts are cut to 40 tokens." in sections["Limits"]
    assert "The licence is not recorded." in sections["Licence"] and "git commit f00" in sections["Provenance"]
    assert "bort_mx.pipeline(" in text and "AutoModelForSequenceClassification.from_pretrained" in text
    assert "someone" not in text and '": ' not in text and "```json" not in text  # no paths, no raw JSON
    assert front["license"] == "unknown" and front["pipeline_tag"] == "text-classification"
    assert "base_model" not in front  # a folder of this machine is none
    results = front["model-index"][0]["results"]
    scores = {result["dataset"]["split"]: result["metrics"][0]["value"] for result in results}
    assert scores == {"validation": 0.8125, "test": 0.795}


def test_what_one_label_for_all_scores_stands_beside_the_scores(tokenizer, tmp_path):
    run = finetuned(tmp_path / "my-run", tokenizer, one_label_for_all={"dev": {"accuracy": 0.5294}})
    _, _, sections = card_of(run, tmp_path / "hf")
    assert "| split | metric | score | one label for all |" in sections["Scores"]
    assert "| validation | accuracy | 0.8125 | 0.5294 |" in sections["Scores"]
    assert "| test | accuracy | 0.7950 |  |" in sections["Scores"]


def test_the_hub_reads_it(tokenizer, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    card_of(finetuned(tmp_path / "my-run", tokenizer), tmp_path / "hf", "--license", "apache-2.0")
    card = hub.ModelCard.load(tmp_path / "hf" / "README.md")
    assert card.data.license == "apache-2.0" and card.data.pipeline_tag == "text-classification"
    assert card.data.library_name == "transformers" and card.data.tags == ["bort", "bort_mx"]
    found = {(result.dataset_split, result.metric_type): result.metric_value for result in card.data.eval_results}
    assert found == {("validation", "accuracy"): 0.8125, ("test", "accuracy"): 0.795}
    assert card.data.model_name == "my-run" and "apache-2.0, as whoever converted" in card.text


def test_several_seeds(tokenizer, tmp_path):
    finetuned(tmp_path / "runs" / "seed-1", tokenizer)
    (tmp_path / "runs" / "results.json").write_text(json.dumps({
        "best_seed": 1, "seeds": [0, 1, 2], "dev_over_seeds": {"accuracy": {"values": [0.75, 0.8125, 0.5]},
                                                               "loss": {"values": [1, 2, 3]}}}))
    _, _, sections = card_of(tmp_path / "runs", tmp_path / "hf")
    assert "Over the seeds 0, 1, 2 (this model is that of seed 1" in sections["Scores"]
    assert "| accuracy | 0.7500 | 0.5000 to 0.8125 | 0.7500, 0.8125, 0.5000 |" in sections["Scores"]


def test_a_run_of_pretraining_with_an_architecture_that_a_search_found(tokenizer, tmp_path):
    save(tmp_path / "run" / "checkpoints" / "step-7", tokenizer, "mlm", progress={"step": 7})
    (tmp_path / "found.json").write_text(json.dumps({
        "best": {"architecture": [1, 2, 16, 24], "latency": 0.00125}, "latency_unit": "s"}))
    (tmp_path / "run" / "config.json").write_text(json.dumps({"options": {
        "max_steps": 7, "teacher": "runs/teacher/", "data": ["/somewhere/wiki"], "seed": 3,
        "architecture": str(tmp_path / "found.json")}, "data": {"manifest_sha256": SHA}}))
    (tmp_path / "run" / "results.json").write_text(json.dumps({"validation_mlm_accuracy": 0.25}))
    text, front, sections = card_of(tmp_path / "run", tmp_path / "hf")
    assert "distilled from the teacher teacher, starting from random weights" in text
    assert "| Text | wiki |" in sections["Training data"] and f"| SHA-256 of manifest | `{SHA}` |" in text
    assert "validation text: 0.2500 (seed 3)" in sections["Scores"] and "1.25 ms for a sample" in sections["Latency"]
    assert front["pipeline_tag"] == "fill-mask" and "model-index" not in front


@pytest.mark.parametrize("options, said, settings", [
    ({"teacher": "t", "losses": ["relations=1", "hidden=1"], "init_from_teacher": "spread", "budget": "1h"},
     "distilled from the teacher t, starting from layers of t",
     {"losses": "relations=1 hidden=1", "init from teacher": "spread", "budget": "1h"}),
    ({"teacher": "t", "distill": "hidden"}, "distilled from the teacher t, starting from random weights",
     {"distill": "hidden", "max steps": "25000"}),
    ({"teacher": "t", "losses": ["mlm"], "init_from_teacher": "lower"},
     "pre-trained by masked language modelling, starting from layers of t",
     {"losses": "mlm", "init from teacher": "lower", "max steps": "25000", "mask probability": "0.15"}),
    ({"teacher": "t", "losses": ["kd", "relations"], "init": "x"}, "distilled from the teacher t, starting from x",
     {"losses": "kd relations", "max steps": "25000", "mask probability": "0.15", "temperature": "2.0"}),
    ({"teacher": "t", "distill": "embeddings", "seq_len": 64, "sequences": None},
     "distilled from the teacher t, starting from random weights",
     {"distill": "embeddings", "max steps": "25000", "seq len": "64", "sequences": "single"}),
    ({"losses": ["replaced=50"]}, "pre-trained by replaced-token detection, starting from random weights",
     {"losses": "replaced=50", "max steps": "25000", "mask probability": "0.15"}),
    ({"teacher": "t"}, "distilled from the teacher t, starting from random weights",
     {"max steps": "25000", "mask probability": "0.15", "kd weight": "0.5", "temperature": "2.0"}),
    ({}, "pre-trained by masked language modelling, starting from random weights",
     {"max steps": "25000", "mask probability": "0.15"})])
def test_of_a_pretraining_what_it_used_is_said(tokenizer, tmp_path, options, said, settings):
    """Not what its options have beside that."""
    save(tmp_path / "run/checkpoints/step-7", tokenizer, "encoder", progress={"step": 7})
    (tmp_path / "run/config.json").write_text(json.dumps({
        "options": {"max_steps": 25000, "mask_probability": 0.15, "kd_weight": 0.5, "temperature": 2.0, **options},
        "sequences": "single" if options.get("distill") == "embeddings" else "packed"}))
    text, _, sections = card_of(tmp_path / "run", tmp_path / "hf")
    assert f"It was {said}. Converted" in text
    rows = [line.strip("| ").split(" | ") for line in sections["Training"].splitlines() if line.startswith("| ")][2:]
    assert dict(rows) == {**settings, "step of this checkpoint": "7"}


@pytest.mark.parametrize("teacher", [None, "/somewhere/large"])
def test_of_a_fine_tuning_the_teacher_is_said(tokenizer, tmp_path, teacher):
    finetuned(tmp_path / "run", tokenizer)
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["options"].update(teacher=teacher, kd_weight=0.5, temperature=2.0)
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    text, _, sections = card_of(tmp_path / "run", tmp_path / "hf")
    said = "fine-tuned on reviews, with the answers of the teacher large, starting from minilm"
    assert (said in text) == bool(teacher)
    assert ("kd weight" in sections["Training"]) == ("temperature" in sections["Training"]) == bool(teacher)
    assert "| classifier reads | the first token |" in sections["Training"]
    config["options"].update(kd_weight=0.0)
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    text, _, sections = card_of(tmp_path / "run", tmp_path / "without")
    assert "with the answers" not in text and "temperature" not in sections["Training"]


def test_of_an_agora_run_the_chosen_hyperparameters_are_said(tokenizer, tmp_path):
    chosen = {"learning_rate": 0.003, "weight_decay": 0.3, "warmup": 0.25, "seed": 7}
    finetuned(tmp_path / "run", tokenizer, agora={"chs": chosen})
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["options"].update(agora=True, socrates="/somewhere/large", kd_weight=0.5, temperature=2.0, warmup=0.1)
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    text, _, sections = card_of(tmp_path / "run", tmp_path / "hf")
    assert "fine-tuned on reviews by Agora, with the teacher large, starting from minilm" in text
    for name, value in chosen.items():
        assert f"| {name.replace('_', ' ')} | {value} |" in sections["Training"]
    assert "Seed 7. The epoch" in sections["Scores"] and "kd weight" not in text


def test_of_a_regression_a_number_is_said(tokenizer, tmp_path):
    folder = tmp_path / "run"
    finetuned(folder, tokenizer, unlabelled_examples=30)
    shutil.rmtree(folder / "checkpoints")
    save(folder / "checkpoints/best", tokenizer, progress={"step": 30}, num_labels=1, labels=None)
    config = json.loads((folder / "config.json").read_text())
    config["options"].update(teacher="/somewhere/large", kd_weight=0.5, temperature=2.0)
    (folder / "config.json").write_text(json.dumps(config))
    text, _, sections = card_of(folder, tmp_path / "hf")
    assert "It gives a number for a text." in text and 'model("A text.")  # {"value"}' in text
    assert "temperature" not in sections["Training"] and "| kd weight | 0.5 |" in sections["Training"]
    assert "1200 training examples, 30 texts without labels" in sections["Training data"]


def test_what_is_not_known_is_said_so(tokenizer, tmp_path):
    text, front, sections = card_of(save(tmp_path / "alone", tokenizer, "encoder"), tmp_path / "hf")
    for title in ("Training data", "Scores", "Latency", "Training", "Licence"):
        assert "not recorded" in sections[title], title
    assert "whose training is not recorded here" in text and front["license"] == "unknown"
    assert set(front) == {"license", "library_name", "pipeline_tag", "tags"}


def test_a_name_of_the_hub_is_the_base_model(tokenizer, tmp_path):
    run = finetuned(tmp_path / "run", tokenizer)
    config = json.loads((run / "config.json").read_text())
    config["options"]["checkpoint"], config["checkpoint"] = "amazon/bort", "name: amazon/bort"
    (run / "config.json").write_text(json.dumps(config))
    text, front, _ = card_of(run, tmp_path / "hf")
    assert front["base_model"] == "amazon/bort" and "starting from amazon/bort" in text


def test_the_sources_own_card_tells_licence_and_data(tokenizer, tmp_path):
    way = SentenceEmbedding(("mean",), (("normalize", 0),))
    assert command.main([str(save(tmp_path / "ours", tokenizer, "encoder", embedding=way)), str(tmp_path / "a"), "--to",
                         "hf"]) == 0
    (tmp_path / "a" / "README.md").write_text("---\nlicense: mit\nlanguage: [en]\ndatasets:\n- snli\nother: 1\n---\n")
    text, front, sections = card_of(tmp_path / "a", tmp_path / "b")
    assert (front["license"], front["language"], front["datasets"]) == ("mit", ["en"], ["snli"])
    assert "other" not in front
    assert "mit, by the card of the model" in sections["Licence"] and "snli" in sections["Training data"]
    assert front["library_name"] == "sentence-transformers" and "SentenceTransformer(" in text
    _, front, _ = card_of(tmp_path / "a", tmp_path / "c", "--license", "cc-by-4.0")
    assert front["license"] == "cc-by-4.0"
    for damaged in ("---\n[\n---\n", "---\n- a\n---\n", "no card", "\udcff"):
        (tmp_path / "a" / "README.md").write_bytes(damaged.encode("utf-8", "surrogateescape"))
        assert "license: unknown" in model_card(read(tmp_path / "a"))


def test_altered_results_are_no_reason_to_refuse(tokenizer, tmp_path):
    run = finetuned(tmp_path / "run", tokenizer, dev={"accuracy": float("nan"), "f1": None}, test=[], task=3, notes="x")
    text, front, sections = card_of(run, tmp_path / "hf")
    assert "Scores are not recorded." in sections["Scores"] and "model-index" not in front


def test_bad_licences(tokenizer, tmp_path):
    save(tmp_path / "c", tokenizer)
    with pytest.raises(InputError, match="--license My Licence: must be an identifier of the Hub, such as apache-2.0"):
        command.main([str(tmp_path / "c"), str(tmp_path / "d"), "--to", "hf", "--license", "My Licence"])
    with pytest.raises(InputError, match="--license mit: stands in the model card that --to hf writes"):
        command.main([str(tmp_path / "c"), str(tmp_path / "d"), "--to", "gluon", "--license", "mit"])


def pretrained(folder, data, sha, tokenizer):
    """A run of pre-training on prepared text, and its card's row of texts."""
    save(folder / "checkpoints" / "step-7", tokenizer, "mlm", progress={"step": 7})
    (folder / "config.json").write_text(json.dumps({"options": {"max_steps": 7, "data": [str(data)]},
                                                    "data": {"manifest_sha256": sha}}))
    (folder / "results.json").write_text("{}")
    _, _, sections = card_of(folder, folder / "hf")
    return next(line for line in sections["Training data"].splitlines() if line.startswith("| Text "))


def test_of_prepared_text_its_files_or_corpora_are_named(tokenizer, tmp_path):
    names = [f"part-{number}.txt" for number in range(12)]
    (tmp_path / "text").mkdir()
    for name in names:
        (tmp_path / "text" / name).write_text("".join(f"the {name} {a} dog {b} a fox .\n" for a in "abcdefghi"
                                                      for b in "jklmnopqrs"))
    shards = tmp_path / "shards"
    assert prepare.main(["--data", str(tmp_path / "text"), "--train-vocab", "300", "--output-dir", str(shards)]) == 0
    sha = sha256(shards / "manifest.json")
    listed = ", ".join(sorted(names)[:10])
    assert pretrained(tmp_path / "a", shards, sha, tokenizer) == f"| Text | {listed} and 2 more |"
    assert pretrained(tmp_path / "b", shards, SHA, tokenizer) == "| Text | shards |"  # other text by now
    assert prepare.main(["--corpus", f"text={tmp_path / 'text'}", "--train-vocab", "300", "--output-dir",
                         str(tmp_path / "corpora")]) == 0
    sha = sha256(tmp_path / "corpora" / "manifest.json")
    assert pretrained(tmp_path / "c", tmp_path / "corpora", sha, tokenizer) == "| Text | text |"


@pytest.mark.parametrize("head", ["mlm", "encoder"])
def test_the_example_has_the_vocabulary_s_own_mask_and_runs_in_transformers(head, tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    pieces = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "text", "."])
    text, _, sections = card_of(save(tmp_path / "run", pieces, head, family="bert"), tmp_path / "hf")
    usage = sections["How to use it"]
    said = capsys.readouterr().out
    assert "<mask>" not in text and ('model("A [MASK] text.")' in usage) == (head == "mlm")
    assert ("AutoModelForMaskedLM" in said) == ("UNEXPECTED" in usage) == (head == "mlm")
    line = next(line for line in usage.splitlines() if line.startswith("model = Auto"))
    auto = line.split()[2].split(".")[0]
    more = {"add_pooling_layer": False} if "add_pooling_layer=False" in line else {}
    _, info = getattr(transformers, auto).from_pretrained(tmp_path / "hf", output_loading_info=True, **more)
    assert not info["missing_keys"] and not info["unexpected_keys"]  # no load report
    _, info = transformers.AutoModel.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert any("pooler" in key for key in info["missing_keys"]) and bool(info["unexpected_keys"]) == (head == "mlm")
