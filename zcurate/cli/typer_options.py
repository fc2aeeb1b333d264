"""Typer parameters from an options dataclass, so that each option is written once."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from zcurate.cli.completion import complete_values
from zcurate.cli.positional import refuse_extra
from zcurate.config.options import flags_of


def parameters(options: type, names: tuple[str, ...] | None = None) -> list[inspect.Parameter]:
    """Return one keyword parameter per field, or per field of `names`."""
    hints = typing.get_type_hints(options)
    out = []
    for field in dataclasses.fields(options):
        if names is not None and field.name not in names:
            continue
        kind = hints[field.name]
        many, meta = typing.get_origin(kind) is tuple, field.metadata
        if many:
            kind = list[str]
        elif meta["parse"] is not None:
            kind = str | None
        text = meta["help"]() if callable(meta["help"]) else meta["help"]
        extra: dict[str, Any] = {} if kind is bool else {"metavar": meta["metavar"]}
        if meta["values"]:
            extra["autocompletion"] = complete_values(meta["values"], str(meta["metavar"]).endswith(",..."))
        option = typer.Option(*flags_of(field), help=text, rich_help_panel=meta["panel"], show_default=field.default not in (None, False, ()), **extra)
        default = [] if many else field.default
        out.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]))
    return out


def with_options(options: type, *arguments: inspect.Parameter, only: tuple[str, ...] | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command so that typer sees `arguments` and one option per field of `options` (or per field of `only`).

    The command is called with the arguments by name and `options`, an instance.

    Args:
        options: frozen dataclass whose fields carry help and flags.
        arguments: positional parameters.
        only: names of the fields to offer; None for all.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def wrapper(context: typer.Context, **values: Any) -> None:
            positional = [argument.name for argument in arguments]
            refuse_extra(command.__name__, str(values[positional[0]]), context.args)
            settings = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if name not in positional}
            command(**{name: values[name] for name in positional}, options=options(**settings))

        wrapper.__doc__, wrapper.__name__, wrapper.__module__ = command.__doc__, command.__name__, command.__module__
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        signature = inspect.Signature([context, *arguments, *parameters(options, only)])
        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
        return wrapper

    return decorate


def argument(name: str, help: str, metavar: str, complete: Callable[[str], list[str]] | None = None, many: bool = False) -> inspect.Parameter:
    """Return a positional parameter for `with_options`; it is None where nothing was typed.

    Args:
        name: of the parameter.
        help: text.
        metavar: name of the value in the help.
        complete: returns what the shell offers for an incomplete word.
        many: take any number of words as a list.
    """
    kind: Any = list[str] | None if many else str | None
    typer_argument = typer.Argument(help=help, metavar=metavar, show_default=False, autocompletion=complete)
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[kind, typer_argument])
