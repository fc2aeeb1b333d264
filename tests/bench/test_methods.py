"""The methods of the papers at work: what each does to the accuracy of a network that is trained on wrong labels, and to the ranking of a scan.

Questions: is a network trained with a loss of `zcurate.nn`, with the weights of `export --to weights`, or without the rows called incorrect more accurate
on clean rows than one trained plainly (M1); how well does the record of a scan with another loss rank wrong labels (M2). Data and options as in
test_quality.py.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

import zcurate
from tests.bench import scoring
from tests.bench.test_studies import scan_frame
from zcurate.report.select import floats
from zcurate.report.weights import weights_of

pytestmark = pytest.mark.bench
SETS = ("adult_sym20", "letter_asym20", "letter_sym20", "titanic_idn20")
EPOCHS, BATCH, SEEDS = 30, 128, 3


def encode(frame):
    """Numbers standardized, categories one-hot: (N, D) float32."""
    columns = []
    for name in frame.columns.drop("label"):
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            values = values.astype(float).fillna(values.astype(float).median())
            columns.append(((values - values.mean()) / (values.std() + 1e-9)).to_numpy()[:, None])
        else:
            top = values.astype(str).where(values.astype(str).isin(values.astype(str).value_counts().index[:30]), "other")
            columns.append(pd.get_dummies(top).to_numpy(float))
    return torch.tensor(np.concatenate(columns, 1), dtype=torch.float32)


def fit(x, y, n_classes, make_loss, weight, seed):
    """Train a perceptron; return it and the seconds."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], 128), torch.nn.ReLU(), torch.nn.Linear(128, 128), torch.nn.ReLU(), torch.nn.Linear(128, n_classes)
    )
    rows = torch.nonzero(weight > 0)[:, 0]
    n_steps = EPOCHS * -(-len(rows) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), 0.003, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.003, total_steps=n_steps)
    loss = make_loss(len(x), n_steps)
    begin = time.perf_counter()
    for _ in range(EPOCHS):
        for index in rows[torch.randperm(len(rows))].split(BATCH):
            output = network(x[index])
            optimizer.zero_grad()
            value = loss(output, y[index], index)
            (value if value.ndim == 0 else (value * weight[index]).sum() / weight[index].sum()).backward()
            optimizer.step()
            schedule.step()
    return network, time.perf_counter() - begin


LOSSES = {
    "plain": lambda n, steps: lambda output, y, index: F.cross_entropy(output, y, reduction="none"),
    "zerror": lambda n, steps: zcurate.nn.ZErrorLoss(warmup=steps // 10, anneal=steps // 2),
    "discrim": zcurate.nn.DiscrimLoss,
    "eg": lambda n, steps: zcurate.nn.ExponentiatedGradientLoss(n),
    "odd": zcurate.nn.DenoisingLoss,
}
WEIGHTS = ("judged", "flow", "eg")


def test_a_network_trained_on_wrong_labels(bench, print_line):
    print_line(f"\nM1 accuracy on clean rows, mean and standard deviation of {SEEDS} seeds; seconds by those of plain")
    for name in [one for one in bench.names if one in SETS] or pytest.skip(f"none of {', '.join(SETS)}"):
        frame, truth = bench.data(name), bench.truth(name)
        classes, y = np.unique(frame["label"].astype(str), return_inverse=True)
        right = np.searchsorted(classes, truth["true_label"].astype(str).to_numpy()).clip(0, len(classes) - 1)
        known = classes[right] == truth["true_label"].astype(str).to_numpy()
        train = np.random.default_rng(0).random(len(frame)) < 0.7
        test = torch.from_numpy(~train & known)
        x, labels = encode(frame), torch.from_numpy(y)
        report = scan_frame(bench, frame[train].reset_index(drop=True), f"{name}_train").report
        ways = {loss: (make, torch.from_numpy(train).float()) for loss, make in LOSSES.items()}
        for scheme in WEIGHTS:
            weight = torch.zeros(len(frame))
            weight[torch.from_numpy(train)] = torch.from_numpy(weights_of(report, scheme))
            ways[f"weights {scheme}"] = (LOSSES["plain"], weight)
        kept = torch.from_numpy(train).float()
        kept[torch.from_numpy(np.flatnonzero(train)[report.called("incorrect")])] = 0
        ways["drop"] = (LOSSES["plain"], kept)
        baseline = None
        for way, (make, weight) in ways.items():
            found, seconds = [], []
            for seed in range(SEEDS):
                network, took = fit(x, labels, len(classes), make, weight, seed)
                with torch.no_grad():
                    found.append(float((network(x[test]).argmax(1) == torch.from_numpy(right)[test]).float().mean()))
                seconds.append(took)
            baseline = baseline or np.median(seconds)
            print_line(f"{name:<16}{way:<16}{np.mean(found):8.4f}  sd {np.std(found):.4f}  s {np.median(seconds) / baseline:5.2f}")


def test_scans_with_another_loss(bench, print_line, tmp_path):
    print_line("\nM2 average precision of the final ranking and of the training margin alone")
    for name in [one for one in bench.names if one in SETS] or pytest.skip(f"none of {', '.join(SETS)}"):
        wrong = bench.truth(name)["is_wrong"].to_numpy(bool)
        for loss in LOSSES:
            spec = tmp_path / f"{loss}.toml"
            spec.write_text(f'loss = "{loss}"\n')
            report = zcurate.scan(str(bench.folder / f"{name}.parquet"), label="label", model=str(spec), seed=bench.seeds[0])
            ranked, margin = -floats(report.table.column("rank")), -floats(report.table.column("margin_mean"))
            print_line(f"{name:<16}{loss:<10}{scoring.average_precision(ranked, wrong):8.4f}{scoring.average_precision(margin, wrong):8.4f}")


def test_wrong_labels_are_forgotten_faster_than_hard_rows(bench, print_line, tmp_path):
    print_line(
        "\nM3 AUROC of forgotten_epoch (early = wrong), of it with ties by the margin, and of the margin alone: wrong against all others, wrong against hard"
    )
    spec = tmp_path / "second.toml"
    spec.write_text("second_split_epochs = 5\nensemble = []\n")
    for name in bench.names:
        truth = bench.truth(name)
        wrong, hard = truth["is_wrong"].to_numpy(bool), (truth["kind"] == "hard").to_numpy()
        report = bench.scan(name, model=str(spec)).report
        if "forgotten_epoch" not in report.table.column_names or not report.card["classes"]:
            continue
        epoch, margin = (floats(report.table.column(column)) for column in ("forgotten_epoch", "margin_mean"))
        scores = {"epoch": -epoch, "both": -epoch - 1e-3 * margin.argsort().argsort() / len(margin), "margin": -margin}
        known = np.isfinite(epoch)
        found = {
            key: (scoring.auroc(score[known], wrong[known]), scoring.auroc(score[known & (wrong | hard)], wrong[known & (wrong | hard)]))
            for key, score in scores.items()
        }
        print_line(f"{name:<20}" + "".join(f"{key:>8} {all_rows:.3f} {among:.3f}" for key, (all_rows, among) in found.items()))


def with_annotators(frame, truth, seed, n_annotators=6, n_votes=3):
    """Give each row one to three of six people's labels, whose reliability is .45 to .95; return the frame without a label, and the reliabilities."""
    rng = np.random.default_rng(seed)
    classes, code = np.unique(truth, return_inverse=True)
    reliability = rng.uniform(0.45, 0.95, n_annotators)
    out = frame.drop(columns="label")
    chosen = rng.random((len(frame), n_annotators)).argsort(1).argsort(1) < rng.integers(1, n_votes + 1, len(frame))[:, None]
    for at, share in enumerate(reliability):
        said = np.where(rng.random(len(frame)) < share, code, (code + rng.integers(1, len(classes), len(frame))) % len(classes))
        out[f"who_{at}"] = np.where(chosen[:, at], classes[said], None)
    return out, reliability


def test_the_labels_of_several_people(bench, print_line):
    print_line("\nM5 share of right labels: majority, consensus by the people alone, with the models; AP of wrong consensus: 1 - agreement, models alone, both")
    for name in bench.names:
        data, facts = bench.data(name), bench.truth(name)
        if "label" not in data or data["label"].dtype.kind == "f" or facts["true_label"].isna().any() or any(isinstance(value, dict) for value in data.iloc[0]):
            continue
        truth = facts["true_label"].astype(str).to_numpy()
        for seed in range(SEEDS):
            frame, reliability = with_annotators(data, truth, seed)
            votes = frame[[f"who_{at}" for at in range(6)]]
            report = zcurate.scan(frame, annotators="who_*", seed=seed)
            given, suggested = (np.array(report.table.column(column).to_pylist(), object) for column in ("given", "suggested"))
            wrong = given != truth
            alone = zcurate.scan(frame.drop(columns=list(votes)).assign(label=given), label="label", seed=seed)
            majority = votes.mode(axis=1)[0].to_numpy()
            after = np.where(suggested == None, given, suggested)  # noqa: E711
            told = {entry["name"]: entry["reliability"] for entry in report.card["annotators"]["annotators"]}
            off = max(abs(told[f"who_{at}"] - share) for at, share in enumerate(reliability))
            shares = [float(np.mean(one == truth)) for one in (majority, given, after)]
            scores = [1 - floats(report.table.column("agreement")), -floats(alone.table.column("rank")), -floats(report.table.column("rank"))]
            found = [scoring.average_precision(score, wrong) for score in scores]
            print_line(f"{name:<20}{seed:>2}" + "".join(f"{value:8.3f}" for value in (*shares, *found)) + f"   reliability off by at most {off:.3f}")
