"""What a scan makes of inputs that belong to no class, of pictures spoilt on purpose, and of another seed.

Questions: do rows from another data set or of pure noise get the highest p_outlier, and are they called incorrect (S8); of pictures
with random labels, one fixed shuffle of the pixels or Gaussian pixels in a quarter of the rows, which are called incorrect (S9); how
far do the figures move from seed to seed, and how many verdicts (S10). Data and options as in test_quality.py; README.md has the runs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.bench import scans, scoring, spoiling

pytestmark = pytest.mark.bench
OUTLIERS, SPOILT = 0.02, 0.25
LABELS_FOUND, INPUTS_CALLED = 0.8, 0.1
SEED_FIGURES = ("auroc", "ap", "wrong_vs_hard", "precision", "recall", "f1", "hard_flagged", "hard_as_hard", "ece", "expected")


def source(name):
    """Data that sets share: adult_sym10 and adult_asym20 are both of adult."""
    return name.rpartition("_")[0] or name


def is_pictures(frame):
    return "image" in frame.columns


def judged(scanned):
    """Verdicts and p_outlier, None where nothing was judged."""
    table = scanned.report.table.to_pandas()
    return (table["verdict"].astype(str).to_numpy(), table["p_outlier"].to_numpy(float)) if scanned.report.card["judged"] else None


def scan_frame(bench, frame, name):
    """Write a changed set beside the reports and scan it."""
    path = bench.out / f"{name}.parquet"
    frame.to_parquet(path)
    return scans.scan(path, bench.out, bench.seeds[0], bench.model)


def test_inputs_that_belong_to_no_class_are_outliers_and_not_incorrect(bench, say):
    tables = [name for name in bench.every if not is_pictures(frame := bench.data(name)) and spoiling.numbers(frame)]
    mine = [name for name in tables if name in bench.names]
    if not mine:
        pytest.skip("no table with numbers among the sets")
    say(f"\n{'set':<24}{'rows from':<24}{'rows':>6}{'auroc p_outlier':>17}{'outlier':>9}{'incorrect':>11}{'other right':>13}")
    rows = [row for name in mine for row in outlier_rows(bench, name, donor_of(name, tables), say)]
    table = pd.DataFrame(rows).set_index(["set", "donor"])
    for kind in ("foreign", "noise"):
        some = table[table["kind"] == kind]
        if len(some):
            say(outlier_line(f"mean of {len(some)}", kind, some.mean(numeric_only=True)))
    say(f"table: {bench.save(table, 'outliers')}")


def donor_of(name, tables):
    """The next table of another source, going round; None when there is no other."""
    others = [other for other in tables if source(other) != source(name)]
    return next((other for other in others if other > name), others[0] if others else None)


def outlier_rows(bench, name, donor, say):
    """S8 of one set: 2 % of the rows with a right label get features from the donor, or pure noise."""
    host, right = bench.data(name), ~bench.truth(name)["is_wrong"].to_numpy(bool)
    rows = np.random.default_rng(0).choice(np.flatnonzero(right), max(1, round(OUTLIERS * len(host))), replace=False)
    made = {"noise": ("pure noise", spoiling.noise(host, rows, np.random.default_rng(1)))}
    if donor is not None:
        made["foreign"] = (donor, spoiling.foreign(host, bench.data(donor), rows, np.random.default_rng(1)))
    there = np.isin(np.arange(len(host)), rows)
    for kind, (origin, frame) in made.items():
        seen = judged(scan_frame(bench, frame, f"{name}__{kind}"))
        if seen is None:
            say(f"{name:<24}{origin:<24}not judged")
            continue
        verdict, p = seen
        figures = {"rows": len(rows), "auroc": scoring.auroc(p, there), "outlier": scoring.share(verdict == "outlier", there)}
        figures |= {"incorrect": scoring.share(verdict == "incorrect", there), "other_right_incorrect": scoring.share(verdict == "incorrect", right & ~there)}
        say(outlier_line(name, origin, figures))
        yield {"set": name, "donor": origin, "kind": kind, **figures}


def outlier_line(name, origin, row):
    shares = f"{row['auroc']:17.3f}{row['outlier']:9.3f}{row['incorrect']:11.3f}{row['other_right_incorrect']:13.3f}"
    return f"{name:<24}{origin:<24}{row['rows']:6.0f}{shares}"


def test_spoilt_labels_are_called_incorrect_and_spoilt_pictures_are_not(bench, say):
    pictures = {source(name): name for name in reversed(bench.names) if is_pictures(bench.data(name))}
    if not pictures:
        pytest.skip("no set of pictures among the sets")
    say(f"\n{'pictures':<24}{'spoilt':<18}{'rows':>6}{'incorrect':>11}{'hard':>8}{'outlier':>9}{'rest inc.':>11}")
    rows = [row for name in sorted(pictures.values()) for row in spoilt_rows(bench, name, say)]
    table = pd.DataFrame(rows).set_index(["set", "spoilt"])
    say(f"table: {bench.save(table, 'prioritisation')}")
    found = [spoilt_line(name, kind, value) for (name, kind), value in table["incorrect"].items()]
    for line in found:
        say(line)
    short = [str(line) for line in found if line.good is False]
    whole = set(pictures) == {source(name) for name in bench.every if is_pictures(bench.data(name))}
    assert not (short and whole), "\n".join(short)


def spoilt_line(name, kind, value):
    """S9: random labels are to be called incorrect, spoilt inputs with right labels are not."""
    bar = {"at_least": LABELS_FOUND} if kind == "random labels" else {"at_most": INPUTS_CALLED}
    return scoring.Line("S9", "pictures", f"{name}, {kind}: {value:.3f} called incorrect", value, **bar)


def spoilt_rows(bench, name, say):
    """S9 of one source of pictures: true labels, then a quarter of the rows spoilt in one of three ways."""
    truth = bench.truth(name)
    keep = scoring.is_known(truth)
    frame = bench.data(name).assign(label=truth["true_label"].where(truth["is_wrong"], bench.data(name)["label"]))[keep].reset_index(drop=True)
    n = len(frame)
    rows = np.random.default_rng(0).choice(n, round(SPOILT * n), replace=False)
    there = np.isin(np.arange(n), rows)
    for kind in ("random labels", "shuffled pixels", "Gaussian pixels"):
        seen = judged(scan_frame(bench, spoilt(frame, rows, kind), f"{source(name)}__{kind.replace(' ', '_')}"))
        if seen is None:
            say(f"{source(name):<24}{kind:<18}not judged")
            continue
        shares = {word: scoring.share(seen[0] == word, there) for word in ("incorrect", "hard", "outlier")}
        row = {"set": source(name), "spoilt": kind, "rows": len(rows), **shares, "rest_incorrect": scoring.share(seen[0] == "incorrect", ~there)}
        text = f"{row['incorrect']:11.3f}{row['hard']:8.3f}{row['outlier']:9.3f}{row['rest_incorrect']:11.3f}"
        say(f"{source(name):<24}{kind:<18}{row['rows']:6}{text}")
        yield row


def spoilt(frame, rows, kind):
    """`frame` with random labels, one fixed shuffle of the pixels, or Gaussian pixels in `rows`."""
    rng = np.random.default_rng(1)
    if kind == "random labels":
        return frame.assign(label=spoiling.random_labels(frame["label"].to_numpy(), rows, rng))
    image = frame["image"].to_numpy(dtype=object, copy=True)
    if kind == "shuffled pixels":
        image[rows] = [spoiling.shuffled(image[at], 0) for at in rows]
    else:
        seen = np.concatenate([spoiling.pixels(picture).ravel() for picture in image[:500]])
        image[rows] = [spoiling.gaussian(image[at], seen.mean(), seen.std(), rng) for at in rows]
    return frame.assign(image=image)


def test_another_seed_says_the_same(bench, say):
    if len(bench.seeds) < 2:
        pytest.skip("one seed; the study needs several: --bench-seeds 0,1,2,3,4")
    say(f"\n{'set':<24}{'':<8}" + "".join(f"{name:>15}" for name in SEED_FIGURES) + f"{'same verdict':>15}{'same incorrect':>16}")
    rows = {}
    for name in bench.names:
        runs = [bench.scan(name, seed=seed) for seed in bench.seeds]
        if not all(one.report.card["judged"] for one in runs):
            say(f"{name:<24}not judged with every seed")
            continue
        truth = bench.truth(name)
        figures = pd.DataFrame([scoring.figures(one.report.table.to_pandas(), truth, one.report.card) for one in runs])[list(SEED_FIGURES)]
        same, both = scoring.agreement([judged(one)[0] for one in runs])
        mean, std, reach = figures.mean(), figures.std(), figures.max() - figures.min()
        for word, values in (("mean", mean), ("std", std), ("range", reach)):
            ends = f"{same:15.3f}{both:16.3f}" if word == "mean" else ""
            say(f"{name if word == 'mean' else '':<24}{word:<8}" + "".join(f"{value:15.3f}" for value in values) + ends)
        rows[name] = {f"{key}_{word}": values[key] for key in SEED_FIGURES for word, values in (("mean", mean), ("std", std), ("range", reach))}
        rows[name] |= {"same_verdict": same, "same_incorrect": both}
    assert rows, "no set was judged with every seed"
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("set")
    stds = "  ".join(f"{name} {table[f'{name}_std'].mean():.3f}" for name in SEED_FIGURES)
    say(f"S10 {len(bench.seeds)} seeds, {len(table)} sets, mean standard deviation: {stds}")
    say(f"S10 pairs of seeds: same verdict {table['same_verdict'].mean():.3f}, both call incorrect what either does {table['same_incorrect'].mean():.3f}")
    say(f"table: {bench.save(table, 'seeds')}")
