"""Callbacks in the training loops of other libraries: each records every row and ends in a report like that of a plain loop."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import zcurate
from tests.conftest import ROOT

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("ignore")]
EPOCHS, FOLDS = 10, 2


@pytest.fixture(scope="module")
def digits():
    """Inputs (N, 64), given labels with 20 % errors, which are wrong, and the fold of each row."""
    x, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(truth)) < 0.2
    given = np.where(wrong, (truth + rng.integers(1, 10, len(truth))) % 10, truth)
    return torch.tensor(x / 16, dtype=torch.float32), given, wrong, rng.integers(0, FOLDS, len(truth))


def network():
    return torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))


def ranking(recorder, given, wrong):
    """Average precision of the report, which must rest on held-out outputs."""
    report = recorder.report(given=given)
    assert not report.card["warnings"]
    return average_precision_score(wrong, -np.array(report.table.column("rank").to_pylist(), float))


def test_lightning(digits):
    lightning = pytest.importorskip("lightning.pytorch")
    from zcurate.integrations.lightning import RecorderCallback

    x, given, wrong, fold = digits

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network()

        def training_step(self, batch, batch_idx):
            x, y, index = batch
            output = self.network(x)
            return {"loss": F.cross_entropy(output, y), "output": output, "target": y, "index": index}

        def validation_step(self, batch, batch_idx):
            x, _, index = batch
            return {"output": self.network(x), "index": index}

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.005)

    recorder = zcurate.Recorder(len(x), 10)
    data = TensorDataset(x, torch.from_numpy(recorder.plant(given)), torch.arange(len(x)))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    for own in range(FOLDS):
        torch.manual_seed(own)
        loaders = [DataLoader(torch.utils.data.Subset(data, np.flatnonzero(part)), 64, shuffle=True) for part in (fold != own, fold == own)]
        callback = RecorderCallback(recorder)
        lightning.Trainer(max_epochs=EPOCHS, callbacks=[callback], **quiet).fit(Module(), *loaders)
    assert len(recorder.epochs) == EPOCHS and recorder.epochs[0][-1].max() == 1
    assert ranking(recorder, given, wrong) > 0.97
    state = callback.state_dict()
    other = RecorderCallback(zcurate.Recorder(len(x), 10))
    other.load_state_dict(state)
    assert torch.equal(other.recorder.epochs[3], recorder.epochs[3]) and other.loop.n_epochs == EPOCHS

    Module.training_step = lambda self, batch, batch_idx: F.cross_entropy(self.network(batch[0]), batch[1])
    with pytest.raises(ValueError, match="training_step returned a dictionary with loss — expected a dictionary with loss, index, output and target"):
        lightning.Trainer(max_epochs=1, callbacks=[RecorderCallback(recorder)], **quiet).fit(Module(), loaders[0])


def test_skorch(digits):
    skorch = pytest.importorskip("skorch")
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from skorch.helper import SliceDict

    from zcurate.integrations.skorch import RecorderCallback

    x, given, wrong, fold = digits

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, x):
            return self.network(x)

    recorder = zcurate.Recorder(len(x), 10)
    rows = SliceDict(x=x.numpy(), index=np.arange(len(x)))
    torch.manual_seed(0)
    net = skorch.NeuralNetClassifier(
        Module, criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=0.005, max_epochs=EPOCHS, batch_size=64, iterator_train__shuffle=True,
        train_split=None, verbose=0, callbacks=[RecorderCallback(recorder)],
    )  # fmt: skip
    cross_val_predict(net, rows, recorder.plant(given), cv=PredefinedSplit(fold))
    assert len(recorder.epochs) == EPOCHS and recorder.epochs[0][-1].max() == 1
    assert ranking(recorder, given, wrong) > 0.97

    class Probabilities(Module):
        def forward(self, x):
            return self.network(x).softmax(1)

    recorder = zcurate.Recorder(len(x), 10)
    net = net.set_params(
        module=Probabilities, criterion=torch.nn.NLLLoss, train_split=skorch.dataset.ValidSplit(4, stratified=True), callbacks=[RecorderCallback(recorder)]
    )
    net.fit(rows, recorder.plant(given))
    assert 0.2 < float((recorder.heldout_count > 0).float().mean()) < 0.3
    assert recorder.epochs[-1][1].isfinite().all()
    with pytest.raises(ValueError, match="a batch without index"):
        net.fit(x.numpy(), given)


def train_with_transformers(transformers, callback, model, columns, labels, rows, held, folder):
    """Train a model of transformers on some rows, and predict the others."""
    data = [{"index": at, "labels": int(labels[at]), **{name: column[at] for name, column in columns.items()}} for at in range(len(labels))]
    args = transformers.TrainingArguments(
        str(folder), num_train_epochs=EPOCHS, per_device_train_batch_size=64, learning_rate=0.005, remove_unused_columns=False, report_to=[],
        save_strategy="no", disable_tqdm=True, use_cpu=True, logging_strategy="no",
    )  # fmt: skip
    trainer = transformers.Trainer(model, args, train_dataset=[data[at] for at in rows], callbacks=[callback])
    trainer.train()
    trainer.predict([data[at] for at in held])
    return trainer


def test_transformers(digits, tmp_path):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from zcurate.integrations.transformers import RecorderCallback

    class Model(torch.nn.Module):
        """The same network as in the other tests, in the form that Trainer expects."""

        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, x, labels=None):
            logits = self.network(x)
            return transformers.modeling_outputs.SequenceClassifierOutput(F.cross_entropy(logits, labels), logits)

    x, given, wrong, fold = digits
    recorder = zcurate.Recorder(len(x), 10)
    labels = recorder.plant(given)
    for own in range(FOLDS):
        torch.manual_seed(own)
        rows, held = np.flatnonzero(fold != own), np.flatnonzero(fold == own)
        train_with_transformers(transformers, RecorderCallback(recorder), Model(), {"x": x}, labels, rows, held, tmp_path)
    assert len(recorder.epochs) == EPOCHS and recorder.epochs[0][-1].max() == 1
    assert ranking(recorder, given, wrong) > 0.97


def tiny(transformers, kind):
    """A small untrained network of transformers, and the columns that it reads: words or pictures of three classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "num_labels": 3}
    if kind == "text":
        model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=30, **sizes))
        words = torch.tensor(labels[:, None] * 10 + rng.integers(0, 10, (60, 6)))
        return model, {"input_ids": words, "attention_mask": torch.ones_like(words)}, labels
    model = transformers.ViTForImageClassification(transformers.ViTConfig(image_size=8, patch_size=4, num_channels=1, **sizes))
    return model, {"pixel_values": torch.tensor(labels[:, None, None, None] + rng.normal(0, 0.3, (60, 1, 8, 8)), dtype=torch.float32)}, labels


@pytest.mark.parametrize("kind", ["text", "picture"])
def test_transformers_own_networks(kind, tmp_path):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    from zcurate.integrations.transformers import RecorderCallback

    model, columns, labels = tiny(transformers, kind)
    recorder = zcurate.Recorder(60, 3)
    callback = RecorderCallback(recorder)
    train_with_transformers(transformers, callback, model, columns, labels, range(40), range(60), tmp_path)
    assert torch.equal(recorder.heldout_count > 0, torch.arange(60) >= 40)
    assert float(recorder.epochs[-1][-1].sum()) == 40
    callback.close()
    data = [{"labels": int(labels[at]), **{name: column[at] for name, column in columns.items()}} for at in range(40)]
    args = transformers.TrainingArguments(str(tmp_path), num_train_epochs=1, report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True)
    with pytest.raises(ValueError, match="a training batch without index or without labels"):
        transformers.Trainer(model, args, train_dataset=data, callbacks=[RecorderCallback(recorder)]).train()


def example(name):
    text = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert len(text.splitlines()) < 30
    return text


def test_examples_are_short():
    assert all(example(name) for name in ("lightning", "transformers-pictures", "transformers-texts", "skorch"))


@pytest.mark.parametrize(("name", "packages"), [("lightning", "lightning"), ("transformers-pictures", "transformers accelerate"), ("skorch", "skorch")])
def test_examples_of_the_readme(name, packages, tmp_path, monkeypatch):
    for needed in packages.split():
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    found = {}
    exec(example(name), found)
    assert not found["report"].card["warnings"] and found["report"].called("clean").mean() > 0.8


def test_the_text_example_of_the_readme(tmp_path, monkeypatch):
    pytest.importorskip("accelerate")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    words = [[f"w{10 * label + number}" for number in rng.integers(0, 10, 6)] for label in np.arange(120) % 3]
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(f"{' '.join(row)},{at % 3}\n" for at, row in enumerate(words)))

    class Words(transformers.PreTrainedTokenizerFast):
        """Knows thirty words."""

    def tokenizer(name):
        from tokenizers import Tokenizer, models, pre_tokenizers

        inner = Tokenizer(models.WordLevel({"[PAD]": 0, **{f"w{number}": number + 1 for number in range(30)}}, unk_token="[PAD]"))
        inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return Words(tokenizer_object=inner, pad_token="[PAD]", model_max_length=16)

    def model(name, num_labels):
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "num_labels": num_labels}
        return transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=31, **sizes))

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", tokenizer)
    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", model)
    found = {}
    exec(example("transformers-texts"), found)
    assert len(found["report"].table) == 120 and float((found["recorder"].heldout_count > 0).float().mean()) == 1


def test_held_out_rows_are_those_that_were_not_trained_on():
    from zcurate.integrations.training_loop import TrainingLoop

    recorder = zcurate.Recorder(6, 2)
    loop, output = TrainingLoop(recorder), torch.zeros(2, 2)
    loop.other_batch(torch.tensor([4, 5]), output)  # a model that has learned nothing yet
    loop.train_batch(torch.tensor([0, 1]), output, torch.tensor([0, 1]))
    loop.end_epoch()
    loop.other_batch(torch.tensor([1, 5]), output)
    assert recorder.heldout_count.tolist() == [0, 0, 0, 0, 0, 1]
    other = TrainingLoop(recorder)  # the other fold
    other.train_batch(torch.tensor([5, 4]), output, torch.tensor([0, 1]))
    other.end_epoch()
    assert len(recorder.epochs) == 1 and recorder.epochs[0][-1].tolist() == [1, 1, 0, 0, 1, 1]


def test_a_net_that_goes_on_is_recorded_once(digits):
    skorch = pytest.importorskip("skorch")
    from zcurate.integrations.skorch import RecorderCallback

    x, given, _, fold = digits
    recorder = zcurate.Recorder(len(x), 10)
    net = skorch.NeuralNetClassifier(
        network, criterion=torch.nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0, callbacks=[RecorderCallback(recorder)]
    )
    rows, held = ({"input": x.numpy()[part], "index": np.flatnonzero(part)} for part in (fold == 0, fold == 1))
    net.fit(rows, given[fold == 0])
    net.partial_fit(rows, given[fold == 0])
    net.predict(held)
    assert torch.equal(recorder.heldout_count, torch.from_numpy((fold == 1).astype(np.float32)))
    assert set(net.callbacks[0].get_params()) == {"recorder"}
