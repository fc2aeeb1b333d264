"""The schema of the run card as it is read: what every command may rely on in a report that somebody else wrote.

A report is data. Its card is decoded by msgspec, which refuses NaN, infinities, integers beyond 64 bits, lone surrogates, bytes that are not UTF-8, and
nesting too deep for the stack; the types below are then checked once, for every command alike. Names that are not listed here are kept and not interpreted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from zcurate.errors import ReportError
from zcurate.report.schema import READABLE_VERSIONS, SCHEMA_VERSION

MAX_BYTES = 1 << 24
"""Size of a run card at most [bytes]; those of scans have some thousands."""

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Curve = list[float]


class Input(msgspec.Struct):
    """What was scanned."""

    path: str
    format: str
    digest: str
    rows: Count
    root: str | None = None


class Column(msgspec.Struct):
    """A column of features."""

    name: str
    kind: str


class LeftOut(msgspec.Struct):
    """A column that was left out."""

    name: str
    why: str


class Columns(msgspec.Struct):
    """Roles of the input's columns."""

    label: str
    id: str | None
    group: str | None
    features: list[Column]
    left_out: list[LeftOut]
    pictures: list[Count] | None
    label_type: str | None = None
    spellings: dict[str, str] = {}


class Task(msgspec.Struct):
    """What the label is."""

    kind: Literal["binary", "multiclass", "regression"]
    why: str


class Skill(msgspec.Struct):
    """Held-out skill of the model against chance."""

    measure: str
    value: float
    chance: float


class Interval(msgspec.Struct):
    """An estimate with a 95 % interval."""

    estimate: float | None
    low: float | None
    high: float | None


class ClassEntry(msgspec.Struct):
    """A class and its rows."""

    name: str
    rows: Count
    incorrect: Count
    hard: Count
    noise_rate: float | None


class Pair(msgspec.Struct):
    """Rows of one class that look like another."""

    given: str
    suggested: str
    rows: Count


class SliceEntry(msgspec.Struct):
    """What was found in one slice."""

    name: str
    rows: Count
    noise: float | None
    noise_low: float | None
    noise_high: float | None
    flagged: float
    flagged_low: float
    flagged_high: float
    skill: float | None
    masked: float | None
    loss: float | None


class SliceTable(msgspec.Struct):
    """What was found in the slices of a column."""

    column: str
    slices: list[SliceEntry]


class AnnotatorEntry(msgspec.Struct):
    """An annotator and how far to rely on them."""

    name: str
    labels: Count
    reliability: float | None
    low: float | None
    high: float | None


class AnnotatorTable(msgspec.Struct):
    """The annotators, and rows that want one more label."""

    annotators: list[AnnotatorEntry]
    model_power: float
    want_label: Count


class ClassShare(msgspec.Struct):
    """Share of a class among the rows of an earlier scan, and among those judged by its model."""

    name: str
    before: float
    now: float


class Drift(msgspec.Struct):
    """How rows judged by the model of an earlier scan differ from its own."""

    rows_before: Count
    rows: Count
    labelled: Count
    classes: list[ClassShare]
    far_before: float
    far: float
    agreement_before: float | None
    agreement: float | None


class Thresholds(msgspec.Struct):
    """The cuts of the verdicts incorrect and suspect."""

    p_incorrect: float | None
    review: float | None = None


class Expected(msgspec.Struct):
    """Expected rates at the cut."""

    precision: float | None
    recall: float | None
    precision_cautious: float | None = None
    hard_cases: float | None = None
    hard_called: float | None = None


class CalibrationEntry(msgspec.Struct):
    """Planted errors found at one cut."""

    cut: float
    planted: float
    found: float
    recall: float | None


class Band(msgspec.Struct):
    """Quantiles of a curve at each epoch."""

    low: Curve
    middle: Curve
    high: Curve

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.middle) == len(self.high):
            raise ValueError("its three curves differ in length")


class Bands(msgspec.Struct):
    """Curves of the planted errors."""

    planted: Count = 0
    loss: Band | None = None
    margin: Band | None = None
    z: Band | None = None


class ScanJudgement(msgspec.Struct):
    """What an update changed in the card, as the scan wrote it."""

    thresholds: Thresholds
    noise_rate: Interval
    expected: Expected
    classes: list[ClassEntry]
    calibration: list[CalibrationEntry]
    schema_version: int


class AnswerFacts(msgspec.Struct):
    """The answers that an update rests on."""

    decisions: Count
    used: Count
    wrong: Count
    lost: Count = 0
    level: float = 0.0
    slope: float = 1.0
    clues: dict[str, float] = {}
    surprise: float = 0.0


class Versions(msgspec.Struct):
    """Of the packages that a scan's result depends on."""

    torch: str


class Model(msgspec.Struct):
    """What was trained."""

    name: str
    why: str
    n_epochs: list[Count]
    folds: Count


class Skipped(msgspec.Struct):
    """A row that could not be read."""

    row: Count
    reason: str
    path: str | None = None


class ReadOptions(msgspec.Struct):
    """Options of the scan that decide how the input is read; their values are checked like those of the command line when it is read again."""

    label: str | None = None
    id: str | None = None
    group: str | None = None
    image: str | None = None
    root: str | None = None
    input_format: str | None = None
    task: str = "auto"
    exclude: list[str] | None = None
    kind: list[str] | None = None
    missing: str | None = None
    keep_spelling: bool | None = False
    encoding: str | None = None
    features: str | None = "auto"
    probabilities: str | None = None


class RunCard(msgspec.Struct):
    """The run card; names with a default may be missing from reports of older versions."""

    zcurate: str
    device: str
    seed: int
    versions: Versions
    options: ReadOptions
    input: Input
    columns: Columns
    task: Task
    model: Model
    judged: bool
    why_unjudged: str
    skill: Skill
    noise_rate: Interval
    classes: list[ClassEntry]
    pairs: list[Pair]
    thresholds: Thresholds
    expected: Expected
    calibration: list[CalibrationEntry]
    clues: dict[str, float]
    partial: bool
    n_skipped: Count
    skipped: list[Skipped]
    seconds: dict[str, float]
    costs: dict[str, float] = {}
    command: str | None = None
    clue_names: list[str] = []
    bands: Bands | None = None
    passed_over: dict[str, Count] = {}
    warnings: list[str] = []
    n_copies_disagree: Count = 0
    heldout: dict[str, float] = {}
    trust: float = 1.0
    row_arrays: dict[str, str] = {}
    picture_findings: dict[str, Count] = {}
    slices: SliceTable | None = None
    annotators: AnnotatorTable | None = None
    drift: Drift | None = None
    scan_judgement: ScanJudgement | None = None
    answers: AnswerFacts | None = None

    def __post_init__(self) -> None:
        if self.judged and self.thresholds.p_incorrect is None:
            raise ValueError("rows are judged without a threshold")


def read_card(raw: bytes, path: str) -> dict[str, Any]:
    """Decode and check a run card.

    Args:
        raw: JSON as in the report's metadata.
        path: of the report, for messages.

    Returns:
        The card as plain JSON values, with the defaults of the names that it lacks.

    Raises:
        ReportError: it is too long, no JSON, or of another schema; says where.
    """
    if len(raw) > MAX_BYTES:
        raise ReportError(refusal(path, f"its run card has {len(raw) / 1e6:.0f} MB", f"at most {MAX_BYTES / 1e6:.0f} MB"))
    try:
        card = msgspec.json.decode(raw)
        version = card.get("schema_version") if isinstance(card, dict) else None
        if isinstance(card, dict) and (type(version) is not int or version not in READABLE_VERSIONS):
            raise ReportError(f"{path}: schema version {str(version)[:20]} — this zcurate reads up to {SCHEMA_VERSION} — update zcurate or scan again")
        msgspec.convert(card, RunCard)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ReportError(refusal(path, f"its run card cannot be read ({error})", "one as `zcurate scan` wrote it")) from error
    return defaults() | card


def defaults() -> dict[str, Any]:
    """Return the values of the names that a card of an older version may lack."""
    missing = [field for field in msgspec.structs.fields(RunCard) if not field.required]
    return {field.encode_name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default for field in missing}


def refusal(path: str, found: str, expected: str) -> str:
    """Write the message for a report that cannot be trusted to be one."""
    return f"{path}: {found} — expected {expected} — the report was changed or damaged: scan again, or ask for it again"
