"""Folders of sentence-transformers: embedded as it embeds, and kept by every conversion.

The library is not installed. Its layout is written here as it writes it, and the right value is computed by
transformers and NumPy.
"""

import json
import pathlib

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
from foreign import PAIR, TEXTS, TOLERANCE, bert_tokenizer, model_of, roberta_tokenizer, torch  # noqa: E402

from bort_mx.checkpoints import read  # noqa: E402
from bort_mx.checkpoints.convert import convert  # noqa: E402
from bort_mx.checkpoints.loading import fingerprint  # noqa: E402
from bort_mx.commands import export, predict  # noqa: E402
from bort_mx.errors import InputError  # noqa: E402
from bort_mx.inference import pipeline  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
LONG = " ".join(["the cat sat on the mat and it slept"] * 12)
SENTENCES = [*TEXTS, *PAIR, LONG]
H = 32


def modes(*on):
    names = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    return {"word_embedding_dimension": H, **{f"pooling_mode_{name}": name in on for name in names},
            "include_prompt": True}


def write(folder: pathlib.Path, pooling, steps=(), longest=64, lower=False, prompt=None, old=False, cls="BertModel",
          kept=None, config="sentence_bert_config.json"):
    """A folder as sentence-transformers writes it. `steps`: "Normalize", or a Dense as (activation, outputs, bias)."""
    tokenizer = bert_tokenizer(do_lower_case=not lower) if cls == "BertModel" else roberta_tokenizer()
    model = model_of(cls, len(tokenizer))
    place = folder / "0_Transformer" if old else folder
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    (place / config).write_text(json.dumps({"max_seq_length": longest, "do_lower_case": lower}))
    modules = [("Transformer", "0_Transformer" if old else ""), ("Pooling", "1_Pooling")]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    rng, made = np.random.default_rng(3), []
    width = H * (sum(value is True for value in pooling.values()) - 1)
    for i, step in enumerate(steps, 2):
        name = step if isinstance(step, str) else "Dense"
        modules.append((name, f"{i}_{name}"))
        (folder / f"{i}_{name}").mkdir()
        if name == "Dense":
            activation, outputs, bias = step
            layer = {"linear.weight": torch.tensor(rng.normal(0, 0.3, (outputs, width)).astype(np.float32)),
                     **({"linear.bias": torch.tensor(rng.normal(0, 0.3, outputs).astype(np.float32))} if bias else {})}
            torch.save(layer, folder / f"{i}_Dense" / "pytorch_model.bin")
            (folder / f"{i}_Dense" / "config.json").write_text(json.dumps({
                "in_features": width, "out_features": outputs, "bias": bias,
                "activation_function": f"torch.nn.modules.{activation}"}))
            made.append(layer)
            width = outputs
    (folder / "modules.json").write_text(json.dumps([
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(modules)]))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({
        "prompts": {"query": prompt} if prompt else {}, "default_prompt_name": "query" if prompt else None,
        **({"truncate_dim": kept} if kept else {})}))
    return lambda text: expected(model, tokenizer, text, pooling, steps, made, longest, lower, prompt)[:kept]


def expected(model, tokenizer, text, pooling, steps, layers, longest, lower, prompt):
    """What sentence-transformers computes for a text."""
    text = ((prompt or "") + text).strip()
    encoded = tokenizer(text.lower() if lower else text, truncation=True, max_length=longest, return_tensors="pt")
    with torch.no_grad():
        states = model(**encoded).last_hidden_state[0].numpy()
    by_mode = {"cls_token": states[0], "max_tokens": states.max(axis=0), "mean_tokens": states.mean(axis=0),
               "mean_sqrt_len_tokens": states.sum(axis=0) / np.sqrt(len(states)),
               "weightedmean_tokens": np.average(states, axis=0, weights=np.arange(1, len(states) + 1)),
               "lasttoken": states[-1]}
    x = np.concatenate([value for name, value in by_mode.items() if pooling[f"pooling_mode_{name}"]])
    layers = iter(layers)
    for step in steps:
        if step == "Normalize":
            x = x / np.linalg.norm(x)
            continue
        layer = next(layers)
        x = layer["linear.weight"].numpy() @ x + (layer["linear.bias"].numpy() if step[2] else 0)
        kind = getattr(torch.nn, step[0].rsplit(".")[-1])()
        x = kind(torch.tensor(x)).numpy()
    return x


FOLDERS = {
    "mean": {"pooling": modes("mean_tokens")},
    "first, normalized": {"pooling": modes("cls_token"), "steps": ["Normalize"]},
    "max": {"pooling": modes("max_tokens")},
    "mean over the root of the length": {"pooling": modes("mean_sqrt_len_tokens")},
    "three poolings": {"pooling": modes("cls_token", "max_tokens", "mean_tokens"), "steps": ["Normalize"]},
    "dense tanh": {"pooling": modes("mean_tokens"), "steps": [("activation.Tanh", 24, True), "Normalize"]},
    "weighted mean": {"pooling": modes("weightedmean_tokens"), "steps": ["Normalize"]},
    "last token": {"pooling": modes("lasttoken")},
    "all poolings": {"pooling": modes("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens",
                                      "weightedmean_tokens", "lasttoken")},
    "dense GELU": {"pooling": modes("mean_tokens"), "steps": [("activation.GELU", 24, True)]},
    "dense sigmoid, SiLU": {"pooling": modes("lasttoken"), "steps": [("activation.Sigmoid", 24, True),
                                                                      ("activation.SiLU", 9, True)]},
    "dense without bias": {"pooling": modes("mean_tokens"), "steps": [("linear.Identity", 8, False)]},
    "two dense": {"pooling": modes("cls_token"), "steps": [("activation.ReLU", 24, True), ("linear.Identity", 5, True),
                                                           "Normalize"]},
    "longest text": {"pooling": modes("mean_tokens"), "longest": 12},
    "lower-cased": {"pooling": modes("mean_tokens"), "lower": True},
    "prompt": {"pooling": modes("mean_tokens"), "prompt": "to the cat: "},
    "old layout": {"pooling": modes("mean_tokens"), "old": True},
    "first components": {"pooling": modes("mean_tokens"), "steps": ["Normalize"], "kept": 8},
    "name in older versions": {"pooling": modes("mean_tokens"), "longest": 12,
                               "config": "sentence_roberta_config.json"},
    "roberta": {"pooling": modes("mean_tokens"), "steps": ["Normalize"], "cls": "RobertaModel", "longest": 20},
}


def embeddings(path, texts):
    model, tokenizer = pipeline.open_model(path, "encoder")
    return np.stack(list(pipeline.embed(model, tokenizer, [(text, None) for text in texts], batch_size=3)))


@pytest.mark.parametrize("name", FOLDERS)
def test_embeds_as_its_own_library_and_so_do_its_conversions(name, tmp_path, caplog):
    peer = write(tmp_path / "st", **FOLDERS[name])
    want = np.stack([peer(text.strip()) for text in SENTENCES])
    texts = [text.strip() for text in SENTENCES]
    assert np.abs(embeddings(tmp_path / "st", texts) - want).max() < TOLERANCE
    assert caplog.text.count("embeds as its files say: pooling") == 1
    weights = read(tmp_path / "st")
    assert caplog.text.count("embeds as") == 1  # said where it embeds, not to whoever converts or fine-tunes it
    for to in ("hf", "bort-mx"):
        convert(weights, tmp_path / to, to)
        assert np.abs(embeddings(tmp_path / to, texts) - want).max() < TOLERANCE, to
        assert read(tmp_path / to).config == weights.config
    pytest.importorskip("onnxruntime")
    assert export.main([str(tmp_path / "st"), str(tmp_path / "onnx" / "m.onnx")]) == 0
    assert np.abs(embeddings(tmp_path / "onnx" / "m.onnx", texts) - want).max() < TOLERANCE


def test_predict_says_how_it_embeds(tmp_path, capsys):
    peer = write(tmp_path / "st", modes("cls_token"), [("activation.Tanh", 24, True), "Normalize"], longest=12)
    (tmp_path / "t.txt").write_text("\n".join(PAIR) + "\n")
    arguments = ["--checkpoint", str(tmp_path / "st"), "--embed", str(tmp_path / "t.txt"), "--output"]
    assert predict.main([*arguments, str(tmp_path / "x.npy")]) == 0
    assert "(pooling first, dense to 24 (tanh), normalize, at most 12 tokens)" in capsys.readouterr().out
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), [peer(text) for text in PAIR], atol=TOLERANCE)
    assert predict.main([*arguments, str(tmp_path / "y.npy"), "--pooling", "mean"]) == 0
    assert np.load(tmp_path / "y.npy").shape == (2, H)


def changed(file, **values):
    def change(folder):
        before = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**before, **values} if isinstance(before, dict) else values["all"]))
    return change


@pytest.mark.parametrize("change, said", [
    (changed("1_Pooling/config.json", pooling_mode_attention=True), "pooling_mode_attention"),
    (changed("1_Pooling/config.json", pooling_mode="median"), "pooling median"),
    (changed("1_Pooling/config.json", word_embedding_dimension=7), "word_embedding_dimension is 7"),
    (changed("1_Pooling/config.json", include_prompt=False), "include_prompt is False"),
    (changed("1_Pooling/config.json", pooling_mode_mean_tokens=False), "pooling is none"),
    (changed("modules.json", all=[{"path": "", "type": "sentence_transformers.models.Transformer"},
                                  {"path": "1_CNN", "type": "sentence_transformers.models.CNN"}]), "a module CNN"),
    (changed("modules.json", all=[{"path": "", "type": "sentence_transformers.models.BoW"}]), "a module BoW"),
    (changed("modules.json", all=[{"path": "../x", "type": "a.Transformer"}]), "expected a list of modules"),
    (changed("modules.json", all=[]), "lists no modules"),
    (changed("config_sentence_transformers.json", default_prompt_name="q"), "default_prompt_name is 'q'"),
    (changed("config_sentence_transformers.json", truncate_dim="8"), "truncate_dim is '8'"),
    (changed("2_Dense/config.json", activation_function="torch.nn.Mish"), "activation_function is 'torch.nn.Mish'"),
    (changed("2_Dense/config.json", bias=False), "expected the tensors linear.weight"),
])
def test_what_cannot_be_read_is_refused_by_name(change, said, tmp_path):
    write(tmp_path, modes("mean_tokens"), [("activation.Tanh", 8, True)])
    change(tmp_path)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert said in str(caught.value) and "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_the_fingerprint_covers_every_module(tmp_path):
    write(tmp_path, modes("mean_tokens"), [("activation.Tanh", 8, True)], old=True)
    found = {fingerprint(tmp_path)}
    for name in ("0_Transformer/model.safetensors", "2_Dense/pytorch_model.bin", "1_Pooling/config.json"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data + b" ")
        found.add(fingerprint(tmp_path))
        (tmp_path / name).write_bytes(data)
    assert len(found) == 4


def test_a_classifier_trained_on_it_no_longer_embeds_so(tmp_path):
    from bort_mx.checkpoints import assemble, save

    write(tmp_path / "st", modes("mean_tokens"), [("activation.Tanh", 8, True)])
    weights = read(tmp_path / "st")
    model = assemble(weights, "classifier", num_labels=3)
    assert model.config.embedding is None and not model.embedding_tensors
    save(tmp_path / "classifier", model, weights.tokenizer)
    assert read(tmp_path / "classifier").config.head == "classifier"
