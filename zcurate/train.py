"""The loop: rounds of members, each member blind to one fold, all of them watched.

Leaves: `Evidence`. Enters: `Encoded` and `ModelSpec`. A narrow model packs the members of a round into one batched product; a
wide one or a convolution runs them one after another. Both give, in one run, in-sample dynamics from the members that train on a
row and held-out predictions from the one that does not.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, cos, pi
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from zcurate import augment, confusion, device, noise
from zcurate.discrim import DiscrimLoss
from zcurate.encode import Encoded, Inputs
from zcurate.evidence import Evidence, Round, merge
from zcurate.ledger import Ledger
from zcurate.noise import Planted
from zcurate.spec import ModelSpec
from zcurate.watch import Costs, Watch
from zcurate.zerror import Statistics, gathered, masked_mean, score, terms


class Observer(Protocol):
    """Looks at what a member has learned."""

    def keys(self, n_taught: int, n_rows: int, device: torch.device) -> Tensor:
        """(M,) int64 which of a member's own rows to compare with."""

    def __call__(self, asked: Tensor, own: Tensor, taught: Tensor, labels: Tensor, n_classes: int) -> dict[str, Tensor]:
        """Columns (Q,) of rows that the member never saw: their features (Q, D) and classes, and those (M, D) of its own."""


Build = Callable[[ModelSpec, Encoded, int, torch.Generator], nn.Module]

PLANT_SHARE = 0.04
"""Share of the rows that each round is shown wrong."""
HARD_SHARE, MOST_HARD, HARD_BLEND = 0.1, 2000, 0.6
"""Share of the rows that hard cases are made of, how many at most, and what share of such a row is its own."""
HELDOUT_BATCH = 2048
SECOND_RATE = 0.5
"""Learning rate of the second split, as a share of the peak: high, so that what is not held fast is forgotten."""
FEWEST_EPOCHS = 3
"""A later round is not cut below this."""


@dataclass(frozen=True)
class Order:
    """One epoch's visits."""

    ids: Tensor
    """(K, n) int64 rows in the order of the visits."""
    weight: Tensor
    """(K, n) float32, 0 for padding."""

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of at most `size` rows per member, split evenly."""
        n_batches = max(1, ceil(self.ids.shape[1] / size))
        yield from zip(self.ids.tensor_split(n_batches, 1), self.weight.tensor_split(n_batches, 1), strict=True)


def folds(fold_key: np.ndarray, y: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) int64 fold of each row: rows of one key together, each class spread evenly where keys are single rows.

    Args:
        fold_key: (N,) int64.
        y: (N,) labels; ties in the spread are broken by them.
        n_folds: F.
        rng: source of the order.
    """
    keys, inverse = np.unique(fold_key, return_inverse=True)
    if len(keys) < len(fold_key):
        return rng.permutation(len(keys))[inverse] % n_folds
    shuffled = rng.permutation(len(y))
    by_label = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[by_label] = np.arange(len(y)) % n_folds
    return fold


def visits(chosen: Tensor, generator: torch.Generator) -> Order:
    """Shuffle each member's rows; members with fewer rows are padded with rows of weight 0.

    Args:
        chosen: (K, N) bool, rows that each member visits.
        generator: on the device of `chosen`.
    """
    n = int(chosen.sum(1).max())
    draw = torch.rand(chosen.shape, generator=generator, device=chosen.device)
    ids = torch.where(chosen, draw, 2.0).argsort(1)[:, :n]
    return Order(ids, chosen.gather(1, ids).float())


def in_order(chosen: Tensor) -> Order:
    """Each member's rows in row order, padded as in `visits`."""
    ids = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(chosen.sum(1).max())]
    return Order(ids, chosen.gather(1, ids).float())


def learning_rate(progress: float) -> float:
    """One cycle: up in the first tenth, then down along a cosine to a hundredth; as a share of the peak."""
    if progress < 0.1:
        return 0.1 + 9 * progress
    return 0.01 + 0.99 * 0.5 * (1 + cos(pi * (progress - 0.1) / 0.9))


def optimiser(spec: ModelSpec, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the spec names, fused where torch has it."""
    if spec.optimiser == "sgd":
        return torch.optim.SGD(model.parameters(), spec.learning_rate, momentum=0.9, nesterov=True, weight_decay=spec.weight_decay, fused=True)
    return torch.optim.AdamW(model.parameters(), spec.learning_rate, weight_decay=spec.weight_decay, betas=(0.9, 0.98), fused=True)


class Clock:
    """The user's time limit, shared out evenly among the trainings that are still to come. Without a limit it never looks."""

    def __init__(self, limit_seconds: float | None, n_parts: int) -> None:
        self.start, self.limit, self.n_parts, self.part, self.cut = time.monotonic(), limit_seconds, n_parts, 0, False

    def up(self) -> bool:
        """Whether this part's time is over; remembers that something was cut."""
        if self.limit is None or time.monotonic() - self.start < self.limit * (self.part + 1) / self.n_parts:
            return False
        self.cut = True
        return True

    def next(self) -> None:
        """The next part begins."""
        self.part += 1


class Trainer:
    """One round: K members side by side, or one after another, over one ledger."""

    def __init__(
        self,
        encoded: Encoded,
        spec: ModelSpec,
        build: Build,
        packed: bool,
        n_epochs: int,
        seed: int,
        watch: Watch,
        observer: Observer | None = None,
        costs: Costs | None = None,
    ) -> None:
        self.encoded, self.spec, self.build, self.packed = encoded, spec, build, packed
        self.n_epochs, self.seed, self.watch = n_epochs, seed, watch
        self.clock = Clock(None, 1)
        self.observer = None if encoded.regression else observer
        self.costs = costs or Costs()
        self.seen: dict[str, Tensor] = {}
        self.hard, self.hard_row = make_hard(encoded, device.generator(encoded.device, seed, 11))
        self.hard_heldout = torch.zeros(len(self.hard_row), encoded.n_outputs, device=encoded.device)
        self.leave_out: np.ndarray | None = None
        """(N,) bool rows that the next round must not train on."""

    def run(self, at: int, n_rounds: int, fold: np.ndarray, shown: np.ndarray, planted: Planted) -> Round:
        """Train the round's members and record them.

        Args:
            at: number of the round.
            n_rounds: R, for the progress bar.
            fold: (N,) int64.
            shown: (N,) labels to show, -1 or NaN for none.
            planted: which of them are wrong on purpose.
        """
        encoded, n_folds = self.encoded, self.spec.folds
        ledger = Ledger(encoded.n_rows, self.n_epochs, encoded.n_outputs, encoded.regression, encoded.device, self.spec.second_split)
        labels = torch.from_numpy(shown).to(encoded.device)
        # Unlabelled rows only ever stand as padding of weight 0, but must not index or poison anything.
        labels = labels.float().nan_to_num(0.0) if encoded.regression else labels.clamp_min(0)
        blind = torch.from_numpy(fold).to(encoded.device)[None] == torch.arange(n_folds, device=encoded.device)[:, None]
        teams = [range(n_folds)] if self.packed else [range(k, k + 1) for k in range(n_folds)]
        for number, team in enumerate(teams):
            seeds = (self.seed, at, number)
            done = (at * len(teams) + number) * self.n_epochs
            self.train(blind[team.start : team.stop], labels, ledger, seeds, done, n_rounds * len(teams) * self.n_epochs, at == n_rounds - 1)
        found = dataclasses.replace(ledger.freeze(shown, planted), left_out=0 if self.leave_out is None else int(self.leave_out.sum()))
        if at == n_rounds - 1 and self.hard is not None:
            found = dataclasses.replace(found, hard_row=self.hard_row.cpu().numpy(), hard_heldout=self.hard_heldout.cpu().numpy())
        found.columns.update({name: column.cpu().numpy() for name, column in self.seen.items()})
        self.seen = {}
        return found

    @torch.no_grad()
    def ask_hard(self, model: nn.Module, blind: Tensor) -> None:
        """Ask each member about the hard cases made of rows that it never saw.

        Args:
            model: K trained members.
            blind: (K, N) bool.
        """
        if self.hard is None:
            return
        model.eval()
        for ids, weight in in_order(blind[:, self.hard_row]).batches(HELDOUT_BATCH):
            with self.precision():
                p = model(self.hard.inputs(ids)).float().softmax(2)
            self.hard_heldout.index_add_(0, ids.reshape(-1), (p * weight[..., None]).reshape(-1, p.shape[2]))

    @torch.no_grad()
    def observe(self, model: nn.Module, blind: Tensor, taught: Tensor, labels: Tensor) -> None:
        """Ask what lies near the rows that each member never saw, in the space that it learned.

        Args:
            model: K trained members; one without `features` is passed over.
            blind: (K, N) bool.
            taught: (K, N) bool.
            labels: (N,) shown classes.
        """
        encoded, look = self.encoded, getattr(model, "features", None)
        sees = encoded.width or encoded.codes is not None or encoded.images is not None
        if self.observer is None or look is None or not sees or not bool(taught.any(1).all()):
            return
        model.eval()
        chosen = self.observer.keys(int(taught.sum(1).min()), encoded.n_rows, encoded.device)
        keys = torch.stack([torch.nonzero(mine)[:, 0][chosen] for mine in taught])
        taught_space = look(encoded.inputs(keys)).float()
        for ids, weight in in_order(blind).batches(HELDOUT_BATCH):
            space = look(encoded.inputs(ids)).float()
            for member, real in enumerate(weight > 0):
                rows = ids[member, real]
                columns = self.observer(space[member, real], labels[rows], taught_space[member], labels[keys[member]], encoded.n_outputs)
                for name, values in columns.items():
                    known = self.seen.setdefault(name, torch.full((encoded.n_rows,), float("nan"), device=encoded.device))
                    known[rows] = values

    def train(self, blind: Tensor, labels: Tensor, ledger: Ledger, seeds: tuple[int, ...], done: int, total: int, last: bool = True) -> None:
        """Train K members together.

        Args:
            blind: (K, N) bool, rows that each member never trains on.
            labels: (N,) shown labels.
            ledger: takes the record.
            seeds: what every random choice depends on.
            done: epochs finished before, of `total`.
            last: this is the last round, whose learned space is looked at.
        """
        encoded, spec = self.encoded, self.spec
        n_members = len(blind)
        generator = device.generator(encoded.device, *seeds)
        model = self.build(spec, encoded, n_members, device.generator(torch.device("cpu"), *seeds, 7)).to(encoded.device)
        steps = optimiser(spec, model)
        per_class = spec.z.z_per == "class" and not encoded.regression
        running = Statistics.new(n_members, encoded.n_outputs if per_class else 1, encoded.device)
        by_epoch, epoch_statistics = spec.z.z_stats == "epoch", running
        discrim = DiscrimLoss(n_members, encoded.n_rows, spec.discrim, encoded.device) if spec.loss == "discrim" else None
        taught = ~blind & encoded.labelled()[None]
        if self.leave_out is not None:
            taught &= ~torch.from_numpy(self.leave_out).to(encoded.device)
        asked = in_order(blind)
        for epoch in range(self.n_epochs):
            if epoch > 0 and self.clock.up():
                break
            model.train()
            batches = list(visits(taught, generator).batches(spec.batch))
            for number, (ids, weight) in enumerate(batches):
                progress = (epoch + number / len(batches)) / self.n_epochs
                for group in steps.param_groups:
                    group["lr"] = spec.learning_rate * learning_rate(progress)
                with self.precision():
                    output = model(self.inputs(ids, generator)).float()
                threshold = spec.z.threshold(progress) if spec.loss == "zerror" else float("inf")
                readmit = torch.rand(ids.shape, generator=generator, device=ids.device) < spec.z.readmit
                scored, updated = score(output, labels[ids], weight, running, spec.z, threshold, readmit)
                if by_epoch:
                    epoch_statistics = gathered(epoch_statistics, updated)
                else:
                    running = updated
                loss = scored.loss if discrim is None else discrim(scored.row_loss, ids, weight, progress)
                steps.zero_grad(set_to_none=True)
                loss.backward()
                steps.step()
                ledger.record(epoch, ids, scored, weight)
            if by_epoch:
                running, epoch_statistics = epoch_statistics, Statistics.new(n_members, running.centre.shape[1], encoded.device)
            self.ask(model, asked, ledger, epoch)
            self.watch.step(done + epoch + 1, total)
        if last:
            self.ask_hard(model, blind)
            with self.costs("learned neighbours"):
                self.observe(model, blind, taught, labels)
        if spec.second_split:
            with self.costs("second split"):
                self.second_split(model, steps, blind & encoded.labelled()[None], taught, labels, ledger, generator)
        self.clock.next()

    def second_split(
        self, model: nn.Module, steps: torch.optim.Optimizer, split: Tensor, taught: Tensor, labels: Tensor, ledger: Ledger, generator: torch.Generator
    ) -> None:
        """Go on with the rows each member never saw, and watch how fast it forgets the others (arXiv:2210.15031).

        Args:
            model: K trained members.
            steps: its optimiser.
            split: (K, N) bool, labelled rows that the member never saw.
            taught: (K, N) bool, rows it trained on.
            labels: (N,) shown labels.
            ledger: takes the record.
            generator: source of the order.
        """
        first = in_order(taught)
        for group in steps.param_groups:
            group["lr"] = self.spec.learning_rate * SECOND_RATE
        for epoch in range(self.spec.second_split):
            model.train()
            for ids, weight in visits(split, generator).batches(self.spec.batch):
                with self.precision():
                    output = model(self.inputs(ids, generator)).float()
                steps.zero_grad(set_to_none=True)
                masked_mean(terms(output, labels[ids])[0], weight > 0, weight).backward()
                steps.step()
            model.eval()
            for ids, weight in first.batches(HELDOUT_BATCH):
                with torch.no_grad(), self.precision():
                    output = model(self.encoded.inputs(ids)).float()
                ledger.record_second(epoch, ids, terms(output, labels[ids])[2], weight)

    def precision(self) -> torch.autocast:
        """bf16 for pictures on a GPU; on the CPU it gained at most 1.3 in this network and is left alone."""
        use = self.encoded.device.type == "cuda" and self.encoded.images is not None
        return torch.autocast(self.encoded.device.type, torch.bfloat16, enabled=use)

    def inputs(self, ids: Tensor, generator: torch.Generator) -> Inputs:
        """A training batch, pictures seen a little differently each time."""
        inputs = self.encoded.inputs(ids)
        if inputs.images is None or not self.spec.augment:
            return inputs
        most = max(1, inputs.images.shape[-1] // 12)
        images = augment.shifted(inputs.images.flatten(0, 1), most, generator)
        return inputs._replace(images=images.view(inputs.images.shape))

    @torch.no_grad()
    def ask(self, model: nn.Module, asked: Order, ledger: Ledger, epoch: int) -> None:
        """Record what each member says of the rows it never trains on."""
        model.eval()
        for ids, weight in asked.batches(HELDOUT_BATCH):
            with self.precision():
                output = model(self.encoded.inputs(ids)).float()
            ledger.record_heldout(epoch, ids, output, weight)


def make_hard(encoded: Encoded, generator: torch.Generator) -> tuple[Encoded | None, Tensor]:
    """Hard cases of `HARD_SHARE` of the labelled rows, each with a row of another class; and the (M,) rows they are made of.

    Args:
        encoded: N rows.
        generator: source of the choice, on their device.
    """
    nobody = torch.zeros(0, dtype=torch.int64, device=encoded.device)
    if encoded.regression:
        return None, nobody
    labelled = torch.nonzero(encoded.labelled())[:, 0]
    n = min(MOST_HARD, int(HARD_SHARE * len(labelled)))
    chosen = labelled[torch.rand(len(labelled), generator=generator, device=encoded.device).argsort()]
    mine, other = chosen[:n], chosen[n : 2 * n]
    differ = encoded.y[mine] != encoded.y[other]
    made = augment.hard_cases(encoded, mine[differ], other[differ], HARD_BLEND) if differ.any() else None
    return made, nobody if made is None else mine[differ]


def train(
    encoded: Encoded,
    spec: ModelSpec,
    build: Build,
    packed: bool,
    n_epochs: int,
    seed: int,
    watch: Watch,
    limit_seconds: float | None = None,
    observer: Observer | None = None,
    costs: Costs | None = None,
) -> tuple[Evidence, bool]:
    """All rounds. The first plants errors at random, each later one also where the earlier ones say that labels are confused.

    Args:
        encoded: N rows.
        spec: model, `folds`, `rounds` and loss settings.
        build: makes the members.
        packed: whether a round's members run as one.
        n_epochs: E.
        seed: what every random choice depends on.
        watch: told of progress.
        limit_seconds: end early after this long; each member still sees its rows once.
        observer: looks at what the members have learned; None for nobody.
        costs: takes the seconds of what is not plain training.

    Returns:
        What was seen; and whether the limit cut it short.
    """
    y = encoded.y.cpu().numpy().astype(np.float64) if encoded.regression else encoded.y.cpu().numpy()
    labelled = np.flatnonzero(encoded.labelled().cpu().numpy())
    trainer = Trainer(encoded, spec, build, packed, n_epochs, seed, watch, observer, costs)
    trainer.clock = Clock(limit_seconds, spec.rounds * (1 if packed else spec.folds))
    rounds: list[Round] = []
    free = np.zeros(len(y), bool)
    free[labelled] = True
    for at in range(spec.rounds):
        rng = np.random.default_rng([seed, at])
        fold = folds(encoded.fold_key, np.nan_to_num(y, nan=-1e30), spec.folds, rng)
        planted = plant(encoded, y, np.flatnonzero(free), len(labelled), rounds, rng)
        free[planted.row] = False
        shown = y.copy()
        shown[planted.row] = planted.shown
        trainer.leave_out = surely_wrong(rounds, y, spec.leave_out, planted) if rounds and not encoded.regression else None
        rounds.append(trainer.run(at, spec.rounds, fold, shown, planted))
        # Later rounds end their cycle where the first one predicted held-out rows best.
        trainer.n_epochs = max(FEWEST_EPOCHS, round(n_epochs * rounds[0].best)) if n_epochs > FEWEST_EPOCHS else n_epochs
    return merge(tuple(rounds), y), trainer.clock.cut


def surely_wrong(rounds: list[Round], y: np.ndarray, above: float, planted: Planted) -> np.ndarray | None:
    """(N,) bool rows that the rounds so far hold for wrong, but for those to be shown wrong on purpose; None where none may be left out.

    Args:
        rounds: so far.
        y: (N,) int64 given classes.
        above: probability; 1 leaves none out.
        planted: of the coming round.
    """
    if above >= 1:
        return None
    heldout = np.mean([one.heldout for one in rounds], 0)
    out = np.nan_to_num(confusion.probability(heldout, y, confusion.estimate(heldout, y))[0]) > above
    out[planted.row] = False
    return out


def plant(encoded: Encoded, y: np.ndarray, candidates: np.ndarray, n_labelled: int, rounds: list[Round], rng: np.random.Generator) -> Planted:
    """The errors that the next round is shown, in the encoded labels' unit."""
    n = min(max(round(PLANT_SHARE * n_labelled), 12), n_labelled // 8, len(candidates) // 2)
    if encoded.target is not None:
        targets = encoded.target.back(y)
        planted = noise.plant_targets(targets, candidates, n, rng)
        return Planted(planted.row, encoded.target.forward(planted.shown), planted.kind)
    p = np.mean([one.heldout for one in rounds], 0) if rounds else None
    kinds = noise.CLASS_KINDS if rounds else ("uniform",)
    return noise.plant_classes(y, candidates, encoded.n_outputs, n, kinds, p, rng)
