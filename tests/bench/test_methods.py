"""The methods of the papers at work: what each does to the accuracy of a network that is trained on wrong labels, and to the ranking of a scan.

Questions: is a network trained with a loss of `zcurate.nn`, with the weights of `export --to weights`, or without the rows called incorrect more accurate
on clean rows than one trained plainly (M1); how well does the record of a scan with another loss rank wrong labels (M2); are wrong labels forgotten faster
than hard rows (M3); what do `skip_mastered` and `late_stopping` change (M4); what do several annotators' labels tell (M5), slices (M6), a scan that goes on
after corrections (M7), and one of new rows by the model of others (M8). Data and options as in test_quality.py.
"""

from __future__ import annotations

import importlib.util
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
    print_line(
        "\nM5 share of right labels: majority, consensus by the people alone, with the models; AP of wrong consensus: 1 - agreement, models alone, both;"
    )
    print_line("where cleanlab is installed its consensus, and the AP of its quality score")
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
            peer = crowdlab(frame.drop(columns=list(votes)), votes, given, wrong, truth, seed)
            print_line(f"{name:<20}{seed:>2}" + "".join(f"{value:8.3f}" for value in (*shares, *found)) + f"   reliability off by at most {off:.3f}{peer}")


def crowdlab(frame, votes, given, wrong, truth, seed):
    """What cleanlab's multi-annotator method makes of the same answers, over five-fold boosted trees trained on the consensus of the people alone."""
    if importlib.util.find_spec("cleanlab") is None:
        return ""
    from cleanlab.multiannotator import get_label_quality_multiannotator
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_predict

    known = np.array([label is not None for label in given])
    classes = np.unique(given[known].astype(str))
    code = np.searchsorted(classes, given[known].astype(str))
    p = cross_val_predict(HistGradientBoostingClassifier(random_state=seed), encode(frame.assign(label=""))[known].numpy(), code, cv=5, method="predict_proba")
    answers = votes[known].apply(lambda column: column.astype(str).map({name: at for at, name in enumerate(classes)}))
    found = get_label_quality_multiannotator(answers.reset_index(drop=True), p, return_detailed_quality=False, return_annotator_stats=False, verbose=False)
    label = classes[found["label_quality"]["consensus_label"].to_numpy(int)]
    p_given = np.where(
        label == given[known].astype(str), found["label_quality"]["consensus_quality_score"], 1 - found["label_quality"]["consensus_quality_score"]
    )
    return f"   cleanlab {float(np.mean(label == truth[known])):.3f} {scoring.average_precision(1 - p_given, wrong[known]):.3f}"


class Notes:
    """Progress that keeps what it is told."""

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)

    def stage(self, name):
        pass

    def step(self, done, total):
        pass

    def warn(self, text):
        pass


def timed_scan(path, **settings):
    """A scan, its seconds, and what was noted."""
    notes, begin = Notes(), time.perf_counter()
    report = zcurate.scan(str(path), label="label", progress=notes, **settings)
    return report, time.perf_counter() - begin, notes.texts


def average_precision(report, wrong, rows=slice(None)):
    return scoring.average_precision(-floats(report.table.column("rank"))[rows], wrong[rows])


def test_rows_that_are_mastered_or_learned_last(bench, print_line, tmp_path):
    print_line("\nM4 average precision and seconds: plain, skip_mastered, eight rounds, late_stopping; the shares skipped and the rounds trained")
    specs = {"plain": "", "skip_mastered": "skip_mastered = true", "eight rounds": "rounds = 8", "late_stopping": "rounds = 8\nlate_stopping = 0.05"}
    for name in [one for one in bench.names if one in SETS] or pytest.skip(f"none of {', '.join(SETS)}"):
        wrong = bench.truth(name)["is_wrong"].to_numpy(bool)
        for way, spec in specs.items():
            (tmp_path / "m.toml").write_text(spec)
            found = [timed_scan(bench.folder / f"{name}.parquet", model=str(tmp_path / "m.toml"), seed=seed) for seed in bench.seeds]
            precision = [average_precision(report, wrong) for report, _, _ in found]
            rounds = "/".join(str(len(report.card["model"]["n_epochs"])) for report, _, _ in found)
            skipped = " ".join(text.split(": ")[-1].split(" of")[0] for _, _, texts in found for text in texts if "skip_mastered" in text)
            seconds = np.median([took for _, took, _ in found])
            print_line(f"{name:<16}{way:<16}{np.mean(precision):8.4f}  sd {np.std(precision):.4f}  s {seconds:5.1f}  rounds {rounds}  {skipped}")


def test_a_scan_that_goes_on_after_corrections(bench, print_line, tmp_path):
    print_line(
        "\nM7 after 100 answers (25 below 2 500 rows) about the most suspicious rows: seconds of a full scan and of --continue; verdicts of the other rows"
    )
    print_line("that agree: full and continued, full and first scan, full scans of two seeds; average precision of the other rows: first, full, continued")
    for name in [one for one in bench.names if one in SETS] or pytest.skip(f"none of {', '.join(SETS)}"):
        frame, truth, path = bench.data(name), bench.truth(name), bench.folder / f"{name}.parquet"
        wrong, true = truth["is_wrong"].to_numpy(bool), truth["true_label"].astype(str).to_numpy()
        first, _, _ = timed_scan(path, output=str(tmp_path / f"{name}.zcurate.parquet"), keep_model=True)
        asked = np.argsort(floats(first.table.column("rank")))[: 100 if len(frame) >= 2500 else 25]
        lines = [f"{row},{'keep' if true[row] == str(frame['label'].iloc[row]) else 'relabel'},{true[row]}" for row in asked]
        (tmp_path / "d.csv").write_text("\n".join(["row,decision,label", *lines]) + "\n")
        settings = {"decisions": str(tmp_path / "d.csv")}
        full, full_seconds, _ = timed_scan(path, **settings)
        other, _, _ = timed_scan(path, seed=1, **settings)
        continued, seconds, _ = timed_scan(path, continue_from=str(tmp_path / f"{name}.zcurate.parquet"), **settings)
        rest = np.setdiff1d(np.arange(len(frame)), asked)
        verdicts = [np.array(one.table.column("verdict").to_pylist())[rest] for one in (full, continued, first, other)]
        agree = [float((verdicts[0] == one).mean()) for one in verdicts[1:]]
        precision = [average_precision(one, wrong, rest) for one in (first, full, continued)]
        print_line(
            f"{name:<16} s {full_seconds:5.1f} {seconds:5.1f}  agree {agree[0]:.3f} {agree[1]:.3f} {agree[2]:.3f}  AP "
            + " ".join(f"{one:.4f}" for one in precision)
        )


def test_new_rows_judged_by_an_earlier_model(bench, print_line, tmp_path):
    print_line(
        "\nM8 a quarter of the rows by the model of the others: average precision and F1 of --against, of a scan of all rows, of a scan of the quarter alone;"
    )
    print_line("seconds of --against and of the scan of all rows; share of far rows (0.05 without drift)")
    for name in [one for one in bench.names if one in SETS] or pytest.skip(f"none of {', '.join(SETS)}"):
        frame, wrong = bench.data(name), bench.truth(name)["is_wrong"].to_numpy(bool)
        is_new = np.zeros(len(frame), bool)
        is_new[np.random.default_rng(0).choice(len(frame), len(frame) // 4, replace=False)] = True
        for part, rows in (("old", ~is_new), ("new", is_new)):
            frame[rows].reset_index(drop=True).to_parquet(tmp_path / f"{part}.parquet")
        kept = str(tmp_path / f"{name}.zcurate.parquet")
        timed_scan(tmp_path / "old.parquet", output=kept, keep_model=True)
        against, seconds, _ = timed_scan(tmp_path / "new.parquet", against=kept)
        whole, whole_seconds, _ = timed_scan(bench.folder / f"{name}.parquet")
        alone, _, _ = timed_scan(tmp_path / "new.parquet")
        rows = np.flatnonzero(is_new)
        reports = ((against, slice(None)), (whole, rows), (alone, slice(None)))
        precision = [scoring.average_precision(-floats(one.table.column("rank"))[part], wrong[is_new]) for one, part in reports]
        found = [scoring.precision_recall_f1(one.called("incorrect")[part], wrong[is_new])[2] for one, part in reports]
        print_line(
            f"{name:<16} AP " + " ".join(f"{one:.4f}" for one in precision) + "  F1 " + " ".join(f"{one:.3f}" for one in found)
            + f"  s {seconds:.1f} {whole_seconds:.1f}  far {against.card['drift']['far']:.3f}"
        )  # fmt: skip


def test_slices_of_unequal_noise(bench, print_line, tmp_path):
    print_line(
        "\nM6 five slices of a set's right labels, one with 40 % wrong labels, four with 5 %: noise told for the worst and the mean of the others, whether the"
    )
    print_line("worst comes first, share of the slices whose interval holds the truth; held-out accuracy in the worst slice with slice_weight 0 and 1")
    for name in [one for one in bench.names if one in SETS] or pytest.skip(f"none of {', '.join(SETS)}"):
        data, true = bench.data(name), bench.truth(name)["true_label"].astype(str).to_numpy()
        classes, code = np.unique(true, return_inverse=True)
        found = []
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            where = rng.integers(0, 5, len(data))
            wrong = rng.random(len(data)) < np.where(where == 0, 0.4, 0.05)
            given = classes[np.where(wrong, (code + rng.integers(1, len(classes), len(code))) % len(classes), code)]
            frame = data.assign(label=given, site=np.array(["s0", "s1", "s2", "s3", "s4"])[where])
            told = []
            for weight in (0.0, 1.0):
                (tmp_path / "m.toml").write_text(f"slice_weight = {weight}\n")
                told.append(
                    zcurate.scan(frame, label="label", slices="site", exclude=["site"], model=str(tmp_path / "m.toml"), seed=seed).card["slices"]["slices"]
                )
            noise = {one["name"]: one for one in told[0]}
            share = {one: wrong[where == number].mean() for number, one in enumerate(("s0", "s1", "s2", "s3", "s4"))}
            holds = np.mean([noise[one]["noise_low"] <= share[one] <= noise[one]["noise_high"] for one in share])
            others = np.mean([noise[one]["noise"] for one in share if one != "s0"])
            skill = [next(one["skill"] for one in part if one["name"] == "s0") for part in told]
            found.append((noise["s0"]["noise"], others, float(told[0][0]["name"] == "s0"), holds, *skill))
        mean = np.mean(found, 0)
        print_line(f"{name:<16} worst {mean[0]:.3f} others {mean[1]:.3f} first {mean[2]:.2f} holds {mean[3]:.2f}  accuracy {mean[4]:.3f} {mean[5]:.3f}")
