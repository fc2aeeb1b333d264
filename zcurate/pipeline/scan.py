"""The whole flow in one readable function: read, encode, train and record, judge, report.

The room is not called `scan` because importing it would put a module in the place of the function `zcurate.scan`.
Heavy rooms are imported when they are needed, so that bad input is refused in the first second.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import glob
import hashlib
import itertools
import json
import os
import sys
import time
import typing
from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil
from typing import TYPE_CHECKING, Any

from zcurate import __version__
from zcurate.config import options as options_module
from zcurate.config.options import ScanOptions
from zcurate.errors import ReportError, UsageError, did_you_mean, listed
from zcurate.runtime import startup
from zcurate.runtime.progress import Silent, Watch

if TYPE_CHECKING:
    import numpy as np

    from zcurate.config.model_config import Plan
    from zcurate.data.dataset import Dataset
    from zcurate.data.preview import Glimpse
    from zcurate.data.source import Source
    from zcurate.encoding.encoder import Encoded
    from zcurate.evidence.evidence import Evidence
    from zcurate.judge.judge import Cut, Verdicts
    from zcurate.pipeline.cost_model import Estimate
    from zcurate.report.report import Report
    from zcurate.runtime.progress import Costs
    from zcurate.runtime.store import Cellar
    from zcurate.training.auxiliary.trees import Grove, Held
    from zcurate.training.checkpoint import Checkpoint


LARGE_REPORT = 262_144
"""Rows from which a report is written chunk by chunk as it is made."""
LARGE_FILE, ENDS, MANY_PARTS = 1_000_000, 1 << 16, 100
"""Bytes from which reading takes long enough to import torch beside it; bytes of a file's beginning and end, and parts of a folder, that are looked at."""
LONG_VISITS, LONG_PICTURES = 20_000_000, 200_000
"""Visits (rows x members x epochs) from which a scan keeps checkpoints unasked: about half a minute on two cores."""
CUTS = ("threshold", "precision", "budget")
"""Options that move the verdicts and not the evidence: a finished report with another cut is not the one asked for."""
FEW_ROWS = 10
"""Rows of a class below which its verdicts come with a warning."""
NO_MEDIANS = "torchrun: z_scale = mad — medians of several processes' rows cannot be joined — use z_scale = std, or one process"


class Over(Exception):
    """This process's part of a scan under `torchrun` is over: the first process goes on alone."""


def scan(data: Any, *, watch: Watch | None = None, command: str | None = None, **settings: Any) -> Report:
    """Find the wrong labels in a table or a picture folder.

    Args:
        data: path of a file, folder or glob; `-` for standard input; a pandas DataFrame; an Arrow table.
        watch: told of progress; silent by default.
        command: what the user typed, for the run card.
        **settings: as for `zcurate scan`, by their names: `label`, `task`, `model`, `output`, `threshold`, ... (see `ScanOptions`).

    Returns:
        The report: `report.table` has one row per input row in the input's order, `report.card` tells how well to trust it. It is
        written to `output` where that is given.

    Raises:
        UsageError: a setting or a column that is not there.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    return run(data, options_from(settings), watch or Silent(), command)


def options_from(settings: dict[str, Any]) -> ScanOptions:
    """Keyword arguments as options.

    Raises:
        UsageError: an unknown name; names the nearest.
    """
    known = {field.name for field in dataclasses.fields(ScanOptions)}
    for name in settings:
        if name not in known:
            raise UsageError(f"scan: no setting '{name}' — known: {listed(sorted(known), 40)}{did_you_mean(name, known)}")
    hints = typing.get_type_hints(ScanOptions)
    for name, value in settings.items():
        hint = hints[name]
        allowed = (tuple, list, str) if name == "exclude" else typing.get_args(hint) or (hint,)
        widened = (*allowed, int) if float in allowed else (*allowed, int, float) if name == "time_limit" else allowed
        if not isinstance(value, widened) or (isinstance(value, bool) and bool not in allowed):
            expected = " or ".join("None" if kind is type(None) else kind.__name__ for kind in allowed)
            raise UsageError(f"scan: {name} = {value!r} — expected {expected}")
    if isinstance(settings.get("exclude"), str):
        settings["exclude"] = (settings["exclude"],)
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    return ScanOptions(**plain)


def run(data: Any, options: ScanOptions, watch: Watch, command: str | None, brief: bool = False) -> Report:
    """`scan` with its options made: open, examine, save; piece by piece where the memory would not do.

    Args:
        data: as for `scan`.
        options: every setting.
        watch: told of progress.
        command: what the user typed.
        brief: of a large report that is written return only a glance, which is what the closing words need.
    """
    from zcurate.runtime.store import cellar

    clock = Stopwatch(watch)
    with contextlib.ExitStack() as until:
        # Pictures may be decoded for the first look.
        room = None if options.memory is None else until.enter_context(cellar())
        large = too_large(data, options, watch, room)
        if large is None:
            return in_memory(opened(data, options, clock, ours=command is not None), options, clock, command, brief)
        where, seen = large
        if seen.data.pictures is None:
            return in_pieces(where, seen, options, clock, command, brief, room or until.enter_context(cellar()))
        where = where if room else dataclasses.replace(where, room=until.enter_context(cellar()))
        whole = seen.data if len(seen.data.given) == seen.data.n_rows else None
        return in_memory(opened(where, options, clock, whole, command is not None), options, clock, command, brief, where.room)


def in_memory(dataset: Dataset, options: ScanOptions, clock: Stopwatch, command: str | None, brief: bool, room: Cellar | None = None) -> Report:
    """Examine what was opened, unless that is done already, and save the report.

    Args:
        dataset: N rows.
        options: every setting.
        clock: takes the time; its watch is told.
        command: what the user typed.
        brief: of a large report return only a glance.
        room: takes the pixels of pictures; None for memory.
    """
    if options.resume and not dataset.origin.digest:
        raise UsageError("scan: resume = True with data in memory — expected a path: only a file's content can be told from another's — save the data first")
    if options.resume and options.output is not None and (before := finished(dataset, options)) is not None:
        clock.watch.warn(f"--resume: {options.output} is the finished report of this scan — nothing was done")
        return before
    found = examine(dataset, options, clock, command, room, last=command is not None)
    if options.output is None:
        return found.report
    from zcurate.judge import blocks
    from zcurate.report import report

    if not found.whole or dataset.n_rows < LARGE_REPORT:
        found.report.save(options.output)
        result = found.report
    else:
        with report.whole_file(options.output) as temporary:
            blocks.write_in_turn(temporary, dataset, found.evidence, found.verdicts, found.card, found.decided, found.target)
        result = report.glance(options.output) if brief else report.load(options.output)
    if found.checkpoint is not None and not found.card["partial"]:
        found.checkpoint.clear()
    return result


def finished(dataset: Dataset, options: ScanOptions) -> Report | None:
    """The report, where one of this very scan is there and whole.

    Args:
        dataset: N rows.
        options: every setting.
    """
    from zcurate.config.model_config import plan
    from zcurate.report.report import card_of, load

    assert options.output is not None  # crack: narrows types only
    try:
        card = card_of(options.output)
    except ReportError:
        return None
    cut = all(card["options"].get(name) == getattr(options, name) for name in CUTS)
    done = cut and card.get("print") == footprint(dataset, options, plan(options, dataset)) and not card["partial"]
    return load(options.output) if done else None


def footprint(dataset: Dataset, options: ScanOptions, what: Plan) -> dict[str, Any]:
    """Everything that the evidence of a scan depends on, as plain JSON values; a checkpoint of another is refused."""
    import importlib.metadata
    import platform

    names = ("label", "id", "task", "group", "exclude", "image", "root", "input_format", "seed", "device")
    chosen = {name: getattr(options, name) for name in names}
    model = dataclasses.asdict(what.spec) | {"n_epochs": what.n_epochs}
    if ".py:" in what.spec.name:
        with open(what.spec.name.rpartition(":")[0], "rb") as file:
            model["source"] = hashlib.blake2b(file.read(), digest_size=16).hexdigest()
    data = {"rows": dataset.n_rows, "input": dataset.origin.digest, "bytes": dataset.origin.n_bytes}
    versions = {"zcurate": __version__, "torch": importlib.metadata.version("torch"), "python": platform.python_version(), "threads": startup.threads()}
    plain: dict[str, Any] = json.loads(json.dumps({**data, **chosen, "model": model, **versions}))
    return plain


def too_large(data: Any, options: ScanOptions, watch: Watch, room: Cellar | None = None) -> tuple[Source, Glimpse] | None:
    """The input and its beginning where a scan would take more memory than `--memory` allows, or than there is; None where it fits.

    Args:
        data: as for `scan`.
        options: `memory` and how to read.
        watch: told of what follows.
        room: takes the pixels of pictures that are decoded for a look; None for memory.

    Raises:
        UsageError: `--memory` is less than a scan needs whatever it does, or the input can only be read as a whole.
    """
    check_first(options)
    limit = options_module.n_bytes(options.memory)
    is_path = isinstance(data, str) or hasattr(data, "__fspath__")
    if not is_path or (limit is None and not is_vast(str(data))):
        return None
    from zcurate.config.model_config import plan
    from zcurate.data import preview, profile, source
    from zcurate.pipeline import cost_model

    where = dataclasses.replace(source.locate(str(data), options.input_format), room=room)
    if where.content is not None and limit is None:
        return None
    seen = preview.glimpse(where, options)
    what = plan(options, seen.data)
    shape = cost_model.shape_of(seen.data, what.spec)
    own = dataclasses.replace(shape, n_rows=ceil(shape.n_rows / startup.processes()))
    most, least = cost_model.peak_bytes(what, shape), cost_model.least_bytes(what, own)
    allowed = limit or cost_model.available_bytes() // startup.processes_here()
    if most <= allowed:
        return None
    asked = f"--memory {options.memory}" if limit else f"this machine has {cost_model.size(allowed)}"
    why = profile.reason_not_to(seen, where)
    if limit and (why or least > allowed):
        needed = f"the scan needs about {cost_model.size(most if why else least)}" + (f", as {why}" if why else " even piece by piece")
        raise UsageError(f"{asked}: {needed} — expected at least that much — try --memory {ceil((most if why else least) / 1e8) * 100}MB")
    if why:
        watch.warn(f"the scan needs about {cost_model.size(most)} of memory and {asked}; it cannot be read piece by piece, as {why}")
        return None
    if not limit:
        kept = "rows" if seen.data.pictures is None else "pictures"
        watch.note(f"the scan would need about {cost_model.size(most)} of memory and {asked}: {kept} are kept in files; --memory sets another limit")
    return where, seen


def is_vast(path: str) -> bool:
    """Whether a local input may not fit into memory: a fortieth of what there is, so that most inputs are not looked at twice."""
    from zcurate.pipeline import cost_model

    try:
        if os.path.isdir(path):
            size = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)
        else:
            size = sum(os.path.getsize(name) for name in glob.glob(path, recursive=True)) if not os.path.isfile(path) else os.path.getsize(path)
    except OSError:
        return False
    return size > cost_model.available_bytes() / 40


def in_pieces(where: Source, seen: Glimpse, options: ScanOptions, clock: Stopwatch, command: str | None, brief: bool, files: Cellar) -> Report:
    """A scan whose rows never lie in memory all at once: surveyed, stored in files in a random order, learned, judged and written piece by piece.

    Args:
        where: the input.
        seen: its beginning.
        options: every setting.
        clock: takes the time; its watch is told.
        command: what the user typed.
        brief: return only a glance.
        files: takes the rows and all that is seen of them.

    Raises:
        UsageError: an option, a column or a place to write cannot be used.
        InputError: the data are unreadable, or have fewer than two classes.
    """
    import pyarrow as pa

    from zcurate.config.model_config import plan
    from zcurate.data import partitions, profile
    from zcurate.data.readers import csv_stream
    from zcurate.report import parts, report
    from zcurate.report.run_card import pooled

    watch = clock.watch
    for asked, unable in (("--resume", options.resume), ("--device cuda", options.device == "cuda")):
        if unable:
            raise UsageError(f"{asked}: rows that do not fit into memory are kept in files — expected a CPU and a scan from start to end — leave {asked} out")
    n_processes = startup.processes()
    if options.output is not None:
        (report.check_output if n_processes == 1 else parts.check_either)(options.output, where.path, options.force)
    others: Any = None
    if n_processes > 1:
        clock.stage("loading torch")
        from zcurate.runtime import device, process_group

        others = process_group.join_apart(device.pick("cpu"))
    clock.stage("reading")
    startup.torch_beside(command is not None)
    if n_processes == 1 and where.format in ("csv", "tsv") and not where.base:
        where = csv_stream.spooled(where, seen.data.roles.named(), files.folder)
    found = profile.survey(where, seen, options, others)
    for text in found.data.warnings:
        watch.warn(text)
    what = plan(options, found.data)
    # Trees and naive Bayes learn from all rows at once.
    what = dataclasses.replace(what, spec=dataclasses.replace(what.spec, ensemble=()))
    clock.stage("loading torch")
    startup.load_torch(command is not None)
    from zcurate.encoding import encoder
    from zcurate.judge import blocks
    from zcurate.runtime import device, process_group
    from zcurate.runtime.progress import Costs
    from zcurate.training import rounds
    from zcurate.training.detectors import WITNESSES, neighbors
    from zcurate.training.models import builder

    place = device.pick("cpu")
    threads = device.use_threads()
    crowd = others or process_group.Alone()
    if n_processes > 1 and what.spec.z.z_scale == "mad":
        raise UsageError(NO_MEDIANS)
    startup.spare_memory()
    clock.stage("encoding")
    encoded = encoder.stored(found, what.spec, files, place)
    startup.spare_memory()
    clock.stage("training")
    limit, costs, clues = options_module.seconds(options.time_limit), Costs(), what.spec.judged_by
    observer = neighbors.observer(clues)
    model = builder(what.spec.name)
    with device.kept_memory():
        evidence, cut_short = rounds.train(
            encoded,
            what.spec,
            model,
            what.packed,
            what.n_epochs,
            options.seed,
            watch,
            limit,
            observer,
            costs,
            None,
            crowd,
            None if command is None else nothing,
        )
    clock.stage("judging")
    startup.spare_memory()
    extra: dict[str, np.ndarray] = {}
    for witness in what.spec.witnesses:
        with costs(witness):
            extra |= WITNESSES.load(witness)(encoded)
        files.release()
    short = too_short(len(evidence.rounds[0].error), cut_short)
    judged = blocks.judge_all(evidence, extra, files, cut_of(options), clues, short, costs, crowd, command is not None)
    card = run_card(found.data, options, what, judged.evidence, judged.of_first, encoded.row, device.describe(place), command, cut_short)
    card = blocks.exact(card, judged, evidence, files)
    for text in doubts(found.data, clues, card):
        watch.warn(text)
    card |= {"dtype": str(encoded.dtype).removeprefix("torch."), "threads": threads, "processes": n_processes, "seconds": clock.seconds()}
    card["costs"] = {name: round(spent, 3) for name, spent in costs.seconds.items()}
    if n_processes > 1:
        cards, n_rows = zip(*crowd.gathered((card, found.n_own)), strict=True)
        card = crowd.gathered(pooled(list(cards), list(n_rows)))[0]
    clock.stage("writing")
    startup.spare_memory()
    path = os.path.join(files.folder, "report.parquet") if options.output is None else options.output
    told = (found, encoded.row, evidence, extra, judged, card, what.spec.decision, encoded.target, files, crowd)
    if n_processes == 1:
        with report.whole_file(path) as temporary:
            blocks.write(lambda number, of: temporary, *told)
    else:
        with parts.filled_by_all(path, crowd) as folder:
            blocks.write(lambda number, of: os.path.join(folder, partitions.part_name(number, of)), *told)
    startup.spare_memory()
    if startup.rank() != 0:
        result = report.Report(pa.table({}), card)
    else:
        result = report.glance(path) if brief and options.output is not None else report.load(path)
    crowd.leave()
    return result


@dataclass(frozen=True)
class Scanned:
    """A data set once scanned, and all that its report is made from."""

    dataset: Dataset
    """N input rows."""
    evidence: Evidence
    """All that was seen of the M encoded rows."""
    row: np.ndarray
    """(M,) int64, position in the input of each encoded row."""
    verdicts: Verdicts
    """Of the M encoded rows."""
    card: dict[str, Any]
    """The run card."""
    decided: np.ndarray
    """(M,) predicted class, or standardised target."""
    target: Any
    """Regression's `TargetScale`, or None."""
    checkpoint: Checkpoint | None = None
    """What the scan kept on the way; None where it kept nothing."""

    @property
    def whole(self) -> bool:
        """Every input row is encoded, and they stand in the input's order."""
        import numpy

        return numpy.array_equal(self.row, numpy.arange(self.dataset.n_rows)) and self.dataset.pictures is None

    @cached_property
    def report(self) -> Report:
        """One row per input row."""
        from zcurate.report import build

        return build.build(self.dataset, self.row, self.evidence, self.verdicts, self.card, self.decided, self.target)


def opened(data: Any, options: ScanOptions, clock: Stopwatch, known: Dataset | None = None, ours: bool = False) -> Dataset:
    """The input as read, everything that can be refused before training refused, its warnings said.

    Args:
        data: as for `scan`, or a `Source`.
        options: every setting.
        clock: takes the time; its watch is told.
        known: the input, where it has been read.
        ours: as for `lean.load_torch`.

    Raises:
        UsageError: an option, a column or the output path cannot be used.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    from zcurate.config.model_config import LARGE_ROWS

    check_first(options)
    clock.stage("reading")
    load_torch_beside(data, (options.label, options.id, options.group), ours)
    dataset = known or read(data, options)
    if dataset.n_rows >= LARGE_ROWS:
        # Arrow keeps for later what it parsed the text in, more than the table takes.
        startup.spare_memory()
    if options.output is not None:
        from zcurate.report.report import check_output

        check_output(options.output, dataset.origin.path, options.force)
    for text in dataset.warnings:
        clock.watch.warn(text)
    return dataset


def load_torch_beside(data: Any, named: tuple[str | None, ...], ours: bool) -> None:
    """`lean.torch_beside` where a large file, or a folder of files, is going to be read: Arrow parses meanwhile. A small file's faults come first.

    Args:
        data: as for `scan`.
        named: columns that options name; where one is nowhere in the file's first and last bytes, the reading is likely to fail.
        ours: as for `lean.load_torch`.
    """
    with contextlib.suppress(OSError, TypeError, ValueError):
        if os.path.isdir(data):
            some = itertools.islice((entry for entry in os.scandir(data)), MANY_PARTS)
            if sum(LARGE_FILE // 10 if entry.is_dir() else entry.stat().st_size for entry in some) >= LARGE_FILE:
                startup.torch_beside(ours)
            return
        if not os.path.isfile(data) or os.path.getsize(data) < LARGE_FILE:
            return
        with open(data, "rb") as file:
            ends = file.read(ENDS)
            # Parquet names its columns at the end.
            file.seek(-ENDS, os.SEEK_END)
            ends += file.read()
        if all(name is None or name.encode() in ends for name in named):
            startup.torch_beside(ours)


def examine(dataset: Dataset, options: ScanOptions, clock: Stopwatch, command: str | None, room: Cellar | None = None, last: bool = False) -> Scanned:
    """Train on a data set in memory and judge every row.

    Args:
        dataset: N rows.
        options: every setting; nothing is read or written here.
        clock: takes the time; its watch is told.
        command: what the user typed.
        room: takes the pixels of pictures; None for memory.
        last: the program does nothing after this but write the report: of several processes, all but the first may leave when members have trained.

    Raises:
        UsageError: the model does not fit the data, or the device is not there.
        Over: `last`, and this process's part is over.
    """
    from zcurate.config.model_config import plan
    from zcurate.training.auxiliary import trees

    what = plan(options, dataset)
    # Their process loads its libraries while torch is loaded here.
    with trees.Grove(what.spec.ensemble) as grove:
        return learned(dataset, options, what, grove, clock, command, room, last)


def learned(
    dataset: Dataset, options: ScanOptions, what: Plan, grove: Grove, clock: Stopwatch, command: str | None, room: Cellar | None, last: bool
) -> Scanned:
    """`examine` once it is known what is trained: one readable page; arguments as there.

    Args:
        dataset: as there.
        options: as there.
        what: will be trained.
        grove: where trees grow.
        clock: as there.
        command: as there.
        room: as there.
        last: as there.
    """
    from zcurate.config.model_config import LARGE_ROWS

    watch = clock.watch
    clock.stage("loading torch")
    startup.load_torch(command is not None)
    from zcurate.encoding import encoder
    from zcurate.judge import judge, thresholds
    from zcurate.runtime import device, process_group
    from zcurate.runtime.progress import Costs
    from zcurate.training import rounds
    from zcurate.training.auxiliary import blend
    from zcurate.training.detectors import neighbors
    from zcurate.training.models import builder

    place = device.pick(options.device)
    threads = device.use_threads()
    crowd = process_group.Alone()
    if startup.processes() > 1:
        check_crowd(startup.processes(), options, what)
        if rounds.shared_out(what.spec, place):
            crowd = process_group.join(place, what.spec.folds)
        else:
            alone = "the first" if last else "every"
            watch.warn(f"torchrun: {dataset.n_rows} rows make steps too small to share out: {alone} process does the whole scan")
            part_over(last)
    clock.stage("encoding")
    encoded = encoder.encode(dataset, what.spec, place, room)
    clock.stage("training")
    limit = options_module.seconds(options.time_limit)
    costs = Costs()
    model = builder(what.spec.name)
    marks = footprint(dataset, options, what)
    kept = checkpoint_for(options, what, encoded.n_rows, marks, watch)
    # Inputs are looked at, and other models learn, while members do: those of small tables leave a core free. One thread waits for the trees;
    # where there are but two cores the other's turn comes after that, as three at work would keep the members waiting.
    with device.kept_memory(), device.beside(2 if grove.child and threads > 2 else 1) as start:
        asked = start(said_beside, grove, encoded, what.spec.ensemble, options.seed, limit, costs)
        looks: list[Any] = []
        look = partial(look_beside, looks, start, encoded, what.spec.witnesses, costs)
        if command is None:
            look()
        evidence, cut_short = rounds.train(
            encoded,
            what.spec,
            model,
            what.packed,
            what.n_epochs,
            options.seed,
            watch,
            limit,
            neighbors.observer(what.spec.judged_by),
            costs,
            kept,
            crowd,
            None if command is None else look,
        )
        said = asked.result()
    row, target, dtype = encoded.row, encoded.target, str(encoded.dtype).removeprefix("torch.")
    looked_at = [each.result() for each in looks]
    # What the members saw is needed no more; the judge wants the room.
    del encoded, looks, look, asked
    epochs = [len(one.error) for one in evidence.rounds]
    if cut_short:
        watch.warn(f"--time-limit: training was cut short, {epochs[0]} of {what.n_epochs} epochs in the first round — probabilities are less sure")
    crowd.leave()
    part_over(last)
    clock.stage("judging")
    if dataset.n_rows >= LARGE_ROWS:
        startup.spare_memory()
    for columns in looked_at:
        evidence = evidence.seen_by(columns)
    if grove.trouble:
        watch.warn(f"no trees beside the members: {grove.trouble} — the verdicts are less sure")
    evidence = judge.trusted(evidence)
    with costs("blend"):
        evidence, weights = blend.blended(evidence, said)
    verdicts = judge.judge(evidence, cut_of(options), what.spec.judged_by, too_short(epochs[0], cut_short), costs)
    if options.precision is not None and verdicts.threshold >= 1:
        watch.warn(f"--precision {options.precision:g}: out of reach — the surest row is wrong with p {surest(verdicts):.4f} — no row is called incorrect")
    decided = thresholds.decided(evidence, what.spec.decision)
    card = run_card(dataset, options, what, evidence, verdicts, row, device.describe(place), command, cut_short)
    for text in doubts(dataset, what.spec.judged_by, card):
        watch.warn(text)
    card["model"]["n_epochs"] = epochs
    card["print"], card["dtype"] = marks, dtype
    card["heldout"] = {name: round(weight, 3) for name, weight in weights.items()}
    card["threads"], card["processes"] = threads, crowd.size * crowd.n_teams
    card["seconds"] = clock.seconds()
    card["costs"] = {name: round(spent, 3) for name, spent in costs.seconds.items()}
    if dataset.n_rows >= LARGE_ROWS:
        startup.spare_memory()
    return Scanned(dataset, evidence, row, verdicts, card, decided, target, kept)


def nothing() -> None:
    """Nothing is to begin."""


def look_beside(looks: list[Any], start: Any, encoded: Encoded, names: tuple[str, ...], costs: Costs) -> None:
    """Have witnesses look at the inputs on another thread.

    Args:
        looks: takes what will be known of them.
        start: begins a call there.
        encoded: N rows.
        names: of the witnesses.
        costs: takes their seconds.
    """
    from zcurate.training.detectors import WITNESSES

    looks.extend(start(looked, WITNESSES.load(name), encoded, name, costs) for name in names)


def looked(witness: Any, encoded: Encoded, name: str, costs: Costs) -> dict[str, np.ndarray]:
    """What a witness sees, its seconds counted.

    Args:
        witness: from the shelf.
        encoded: N rows.
        name: of the witness.
        costs: takes the seconds.
    """
    with costs(name):
        return dict(witness(encoded))


def said_beside(grove: Grove, encoded: Encoded, wanted: tuple[str, ...], seed: int, limit: float | None, costs: Costs) -> dict[str, Held]:
    """What other kinds of models say of the rows, their seconds counted.

    Args:
        grove: where trees grow.
        encoded: N rows.
        wanted: `ModelSpec.ensemble`.
        seed: of the scan.
        limit: seconds to wait for trees at most.
        costs: takes the seconds.
    """
    from zcurate.training.rounds import for_trees, of_bayes

    said: dict[str, Held] = {}
    if grove.wanted:
        with costs("trees"):
            said |= grove.ask(for_trees(encoded, seed), limit)
    if "bayes" in wanted:
        with costs("bayes"):
            said |= of_bayes(encoded, seed)
    return said


def part_over(last: bool) -> None:
    """Of several processes all but the first are done, if nothing else is to come, and it takes over their cores.

    Args:
        last: nothing else is to come. In a user's own program each process goes on and gets the report, and in a trial another scan follows.

    Raises:
        Over: this is not the first.
    """
    if not last or startup.processes() == 1:
        return
    if startup.rank() > 0:
        raise Over
    startup.others_left()


def check_crowd(size: int, options: ScanOptions, what: Plan) -> None:
    """Refuse what several processes cannot do together.

    Args:
        size: processes.
        options: `resume`.
        what: will be trained.

    Raises:
        UsageError: naming it.
    """
    from zcurate.training.rounds import SHARDS

    if size > SHARDS * what.spec.folds:
        raise UsageError(f"torchrun: {size} processes — expected at most {SHARDS * what.spec.folds}: {SHARDS} shards of the rows for each member — start fewer")
    if what.spec.z.z_scale == "mad":
        raise UsageError(NO_MEDIANS)
    if options.resume:
        raise UsageError("torchrun: --resume — checkpoints are kept by one process only — leave out --resume")


def checkpoint_for(options: ScanOptions, what: Plan, n_rows: int, marks: dict[str, Any], watch: Watch) -> Checkpoint | None:
    """Where to keep what is learned: beside the report, if `--resume` asks for it or the training is a long one.

    Args:
        options: `output`, `resume`.
        what: will be trained.
        n_rows: N.
        marks: `footprint`.
        watch: told what is resumed.

    Raises:
        UsageError: the checkpoint that is there is of another scan.
    """
    visits = n_rows * what.spec.folds * what.spec.rounds * what.n_epochs
    if (
        startup.processes() > 1
        or options.output in (None, "-")
        or not (options.resume or visits >= (LONG_PICTURES if what.spec.name == "resnet" else LONG_VISITS))
    ):
        return None
    from zcurate.training import checkpoint

    found = checkpoint.Checkpoint(f"{options.output}{checkpoint.ENDING}", marks)
    if not options.resume:
        found.clear()
    elif found.there():
        watch.note(f"--resume: going on from the checkpoint {found.folder}")
    else:
        watch.note(f"--resume: no checkpoint {found.folder} — starting anew")
    return found


def doubts(dataset: Dataset, clues: tuple[str, ...], card: dict[str, Any]) -> list[str]:
    """What the user should know before trusting the verdicts: classes of few rows, clues that do not apply."""
    from zcurate.evidence.signals import CLASS_SIGNALS, TARGET_SIGNALS

    shelf = CLASS_SIGNALS if dataset.task.classes else TARGET_SIGNALS
    out = [] if set(clues) & set(shelf.names()) else [f"none of the clues asked for is for {dataset.task.kind}: the default ones are used"]
    rare = [entry["name"] for entry in card["classes"] if entry["rows"] < FEW_ROWS]
    if rare:
        out.append(f"too few rows to judge well (under {FEW_ROWS}): {listed(rare, 5)}")
    return out


def surest(verdicts: Verdicts) -> float:
    """The largest p_incorrect."""
    import numpy

    return float(numpy.nanmax(verdicts.p_incorrect))


def too_short(n_epochs: int, cut_short: bool) -> str:
    """Why a training that the time limit cut can carry no verdicts; empty when it can."""
    least = 3
    return f"--time-limit left {n_epochs} epochs, {least} needed" if cut_short and n_epochs < least else ""


def check_first(options: ScanOptions) -> None:
    """Refuse what can be refused before anything is read or any heavy library is loaded.

    Raises:
        UsageError: an option that cannot be meant, an unknown model, no GPU driver for `--device cuda`.
    """
    options.check()
    from zcurate.config.model_config import named

    named(options.model)
    if options.device == "cuda" and not has_cuda_driver():
        raise UsageError("--device cuda: this machine has no NVIDIA driver — expected a GPU that torch can use — try --device cpu")


def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver library can be loaded; takes a millisecond where torch takes two seconds."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def read(data: Any, options: ScanOptions) -> Dataset:
    """Any input as a `Dataset`."""
    from zcurate.data import readers, source, tables
    from zcurate.data.dataset import Origin

    if isinstance(data, source.Source):
        return readers.read(data, options)
    if isinstance(data, str) or hasattr(data, "__fspath__"):
        return readers.read(source.locate(str(data), options.input_format), options)
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return tables.dataset(data, Origin("memory", "arrow"), options)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return tables.dataset(tables.from_frame(data), Origin("memory", "pandas"), options)
    raise UsageError(f"scan: data of type {type(data).__name__} — expected a path, a pandas DataFrame or an Arrow table")


def foresee(data: Any, options: ScanOptions) -> Estimate:
    """What a scan would cost; of a large input only the beginning is read, nothing is written, torch is not loaded.

    Args:
        data: as for `scan`.
        options: every setting.

    Raises:
        UsageError: an option or a column cannot be used.
        InputError: the data are missing, unreadable, or have fewer than two classes.
    """
    check_first(options)
    from zcurate.config.model_config import plan
    from zcurate.data import preview, source
    from zcurate.pipeline import cost_model

    if isinstance(data, str) or hasattr(data, "__fspath__"):
        seen = preview.glimpse(source.locate(str(data), options.input_format), options)
    else:
        whole = read(data, options)
        seen = preview.Glimpse(whole, True, whole.n_rows)
    what = plan(options, seen.data)
    return cost_model.estimate(what, cost_model.shape_of(seen.data, what.spec), cost_model.machine(), seen.exact)


def cut_of(options: ScanOptions) -> Cut:
    """The judge's cut from the three options that set it."""
    from zcurate.judge.judge import Cut

    return Cut(options.threshold, options.precision, options.budget)


class Stopwatch:
    """Seconds by stage, for the run card; decides nothing."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.marks = watch, [("start", time.perf_counter())]

    def stage(self, name: str) -> None:
        """The next stage begins."""
        self.watch.stage(name)
        self.marks.append((name, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far."""
        ends = [at for _, at in self.marks[1:]] + [time.perf_counter()]
        spent = {name: round(end - begin, 3) for (name, begin), end in zip(self.marks[1:], ends[1:], strict=True)}
        return {**spent, "total": round(ends[-1] - self.marks[0][1], 3)}


def run_card(
    data: Dataset, options: ScanOptions, what: Plan, evidence: Evidence, verdicts: Verdicts, row: np.ndarray, device: str, command: str | None, cut_short: bool
) -> dict[str, Any]:
    """Everything that is needed to trust or repeat the scan, as plain JSON values."""
    import platform

    import numpy
    import pyarrow
    import torch

    from zcurate import __version__
    from zcurate.report import run_card as run_card_module
    from zcurate.report.report import SCHEMA_VERSION, full

    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__, "pyarrow": pyarrow.__version__}
    return {
        "schema_version": SCHEMA_VERSION,
        "zcurate": __version__,
        "command": command,
        "options": {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(options).items()},
        "seed": options.seed,
        "device": device,
        "versions": versions,
        "input": {**dataclasses.asdict(data.origin), "path": full(data.origin.path), "rows": data.n_rows, "root": data.root},
        **run_card_module.of_data(data),
        "model": {**dataclasses.asdict(what.spec), "n_epochs": [len(one.error) for one in evidence.rounds], "why": what.why},
        **run_card_module.of_verdicts(data, evidence, verdicts, row),
        "partial": cut_short,
        "warnings": list(data.warnings),
    }
