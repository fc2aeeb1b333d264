"""Scans of inputs that belong to no class, of corrupted pictures, and with other seeds.

Questions: do rows from another data set or of pure noise get the highest p_outlier, and are they called incorrect (S8); if a quarter of the
pictures have random labels, one fixed permutation of the pixels or Gaussian pixels, which are called incorrect (S9); how much do the figures
and the verdicts vary from seed to seed (S10). Data and options as in test_quality.py; README.md has the commands.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.bench import corruption, scans, scoring

pytestmark = pytest.mark.bench
OUTLIER_SHARE, CORRUPTED_SHARE = 0.02, 0.25
MIN_LABELS_FOUND, MAX_INPUTS_CALLED = 0.8, 0.1
SEED_FIGURES = ("auroc", "ap", "wrong_vs_hard", "precision", "recall", "f1", "hard_flagged", "hard_as_hard", "ece", "expected")


def source(name):
    """Return the source of a data set: adult_sym10 and adult_asym20 both come from adult."""
    return name.rpartition("_")[0] or name


def is_pictures(frame):
    return "image" in frame.columns


def judged(scanned):
    """Return verdicts and p_outlier; None if the scan was not judged."""
    table = scanned.report.table.to_pandas()
    return (table["verdict"].astype(str).to_numpy(), table["p_outlier"].to_numpy(float)) if scanned.report.card["judged"] else None


def scan_frame(bench, frame, name):
    """Write a changed data set to the folder of reports and scan it."""
    path = bench.out / f"{name}.parquet"
    frame.to_parquet(path)
    return scans.scan(path, bench.out, bench.seeds[0], bench.model)


def test_inputs_that_belong_to_no_class_are_outliers_and_not_incorrect(bench, print_line):
    tables = [name for name in bench.all_names if not is_pictures(frame := bench.data(name)) and corruption.numeric_columns(frame)]
    chosen = [name for name in tables if name in bench.names]
    if not chosen:
        pytest.skip("no table with numbers among the sets")
    print_line(f"\n{'set':<24}{'rows from':<24}{'rows':>6}{'auroc p_outlier':>17}{'outlier':>9}{'incorrect':>11}{'other right':>13}")
    rows = [row for name in chosen for row in outlier_rows(bench, name, donor_of(name, tables), print_line)]
    table = pd.DataFrame(rows).set_index(["set", "donor"])
    for kind in ("foreign", "noise"):
        of_kind = table[table["kind"] == kind]
        if len(of_kind):
            print_line(outlier_line(f"mean of {len(of_kind)}", kind, of_kind.mean(numeric_only=True)))
    print_line(f"table: {bench.save(table, 'outliers')}")


def donor_of(name, tables):
    """Return the next table of another source, cyclically; None if there is no other."""
    others = [other for other in tables if source(other) != source(name)]
    return next((other for other in others if other > name), others[0] if others else None)


def outlier_rows(bench, name, donor, print_line):
    """Run S8 on one data set: 2 % of the rows with a right label get features from the donor, or pure noise."""
    host, right = bench.data(name), ~bench.truth(name)["is_wrong"].to_numpy(bool)
    rows = np.random.default_rng(0).choice(np.flatnonzero(right), max(1, round(OUTLIER_SHARE * len(host))), replace=False)
    variants = {"noise": ("pure noise", corruption.with_noise_rows(host, rows, np.random.default_rng(1)))}
    if donor is not None:
        variants["foreign"] = (donor, corruption.with_foreign_rows(host, bench.data(donor), rows, np.random.default_rng(1)))
    changed = np.isin(np.arange(len(host)), rows)
    for kind, (origin, frame) in variants.items():
        result = judged(scan_frame(bench, frame, f"{name}__{kind}"))
        if result is None:
            print_line(f"{name:<24}{origin:<24}not judged")
            continue
        verdict, p = result
        figures = {"rows": len(rows), "auroc": scoring.auroc(p, changed), "outlier": scoring.share(verdict == "outlier", changed)}
        figures |= {
            "incorrect": scoring.share(verdict == "incorrect", changed),
            "other_right_incorrect": scoring.share(verdict == "incorrect", right & ~changed),
        }
        print_line(outlier_line(name, origin, figures))
        yield {"set": name, "donor": origin, "kind": kind, **figures}


def outlier_line(name, origin, row):
    shares = f"{row['auroc']:17.3f}{row['outlier']:9.3f}{row['incorrect']:11.3f}{row['other_right_incorrect']:13.3f}"
    return f"{name:<24}{origin:<24}{row['rows']:6.0f}{shares}"


def test_corrupted_labels_are_called_incorrect_and_corrupted_pictures_are_not(bench, print_line):
    pictures = {source(name): name for name in reversed(bench.names) if is_pictures(bench.data(name))}
    if not pictures:
        pytest.skip("no set of pictures among the sets")
    print_line(f"\n{'pictures':<24}{'corruption':<18}{'rows':>6}{'incorrect':>11}{'hard':>8}{'outlier':>9}{'rest inc.':>11}")
    rows = [row for name in sorted(pictures.values()) for row in corruption_rows(bench, name, print_line)]
    table = pd.DataFrame(rows).set_index(["set", "corruption"])
    print_line(f"table: {bench.save(table, 'corruption')}")
    lines = [corruption_line(name, kind, value) for (name, kind), value in table["incorrect"].items()]
    for line in lines:
        print_line(line)
    missed = [str(line) for line in lines if line.good is False]
    complete = set(pictures) == {source(name) for name in bench.all_names if is_pictures(bench.data(name))}
    assert not (missed and complete), "\n".join(missed)


def corruption_line(name, kind, value):
    """Report S9: random labels should be called incorrect, corrupted inputs with right labels should not."""
    bar = {"at_least": MIN_LABELS_FOUND} if kind == "random labels" else {"at_most": MAX_INPUTS_CALLED}
    return scoring.Line("S9", "pictures", f"{name}, {kind}: {value:.3f} called incorrect", value, **bar)


def corruption_rows(bench, name, print_line):
    """Run S9 on one source of pictures: true labels, then a quarter of the rows corrupted in one of three ways."""
    truth = bench.truth(name)
    known = scoring.is_known(truth)
    frame = bench.data(name).assign(label=truth["true_label"].where(truth["is_wrong"], bench.data(name)["label"]))[known].reset_index(drop=True)
    n = len(frame)
    rows = np.random.default_rng(0).choice(n, round(CORRUPTED_SHARE * n), replace=False)
    corrupted = np.isin(np.arange(n), rows)
    for kind in ("random labels", "shuffled pixels", "Gaussian pixels"):
        result = judged(scan_frame(bench, corrupt(frame, rows, kind), f"{source(name)}__{kind.replace(' ', '_')}"))
        if result is None:
            print_line(f"{source(name):<24}{kind:<18}not judged")
            continue
        shares = {word: scoring.share(result[0] == word, corrupted) for word in ("incorrect", "hard", "outlier")}
        row = {"set": source(name), "corruption": kind, "rows": len(rows), **shares, "rest_incorrect": scoring.share(result[0] == "incorrect", ~corrupted)}
        text = f"{row['incorrect']:11.3f}{row['hard']:8.3f}{row['outlier']:9.3f}{row['rest_incorrect']:11.3f}"
        print_line(f"{source(name):<24}{kind:<18}{row['rows']:6}{text}")
        yield row


def corrupt(frame, rows, kind):
    """Give `rows` random labels, one fixed permutation of the pixels, or Gaussian pixels."""
    rng = np.random.default_rng(1)
    if kind == "random labels":
        return frame.assign(label=corruption.random_labels(frame["label"].to_numpy(), rows, rng))
    image = frame["image"].to_numpy(dtype=object, copy=True)
    if kind == "shuffled pixels":
        image[rows] = [corruption.shuffle_pixels(image[row], 0) for row in rows]
    else:
        pixels = np.concatenate([corruption.pixels(picture).ravel() for picture in image[:500]])
        image[rows] = [corruption.gaussian_pixels(image[row], pixels.mean(), pixels.std(), rng) for row in rows]
    return frame.assign(image=image)


def test_another_seed_gives_the_same_verdicts(bench, print_line):
    if len(bench.seeds) < 2:
        pytest.skip("one seed; the study needs several: --bench-seeds 0,1,2,3,4")
    print_line(f"\n{'set':<24}{'':<8}" + "".join(f"{name:>15}" for name in SEED_FIGURES) + f"{'same verdict':>15}{'same incorrect':>16}")
    rows = {}
    for name in bench.names:
        runs = [bench.scan(name, seed=seed) for seed in bench.seeds]
        if not all(run.report.card["judged"] for run in runs):
            print_line(f"{name:<24}not judged with every seed")
            continue
        truth = bench.truth(name)
        figures = pd.DataFrame([scoring.figures(run.report.table.to_pandas(), truth, run.report.card) for run in runs])[list(SEED_FIGURES)]
        same, both = scoring.agreement([judged(run)[0] for run in runs])
        mean, std, spread = figures.mean(), figures.std(), figures.max() - figures.min()
        for word, values in (("mean", mean), ("std", std), ("range", spread)):
            agreement = f"{same:15.3f}{both:16.3f}" if word == "mean" else ""
            print_line(f"{name if word == 'mean' else '':<24}{word:<8}" + "".join(f"{value:15.3f}" for value in values) + agreement)
        rows[name] = {f"{key}_{word}": values[key] for key in SEED_FIGURES for word, values in (("mean", mean), ("std", std), ("range", spread))}
        rows[name] |= {"same_verdict": same, "same_incorrect": both}
    assert rows, "no set was judged with every seed"
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("set")
    stds = "  ".join(f"{name} {table[f'{name}_std'].mean():.3f}" for name in SEED_FIGURES)
    print_line(f"S10 {len(bench.seeds)} seeds, {len(table)} sets, mean standard deviation: {stds}")
    print_line(
        f"S10 pairs of seeds: same verdict {table['same_verdict'].mean():.3f}, rows called incorrect by both among those called by either {table['same_incorrect'].mean():.3f}"
    )
    print_line(f"table: {bench.save(table, 'seeds')}")
