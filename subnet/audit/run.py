"""A whole audit: the ledger first, then round by round what was recorded against what comes out again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clients.acknowledgements import read_acknowledgement
from clients.contribution import Signed, open_envelope
from clients.errors import ContributionError
from subnet.audit import layers, money
from subnet.audit.compare import Agreement
from subnet.audit.findings import Report
from subnet.audit.orders import check_orders
from subnet.audit.replay import replay, unreadable
from subnet.enrolments import Enrolments
from subnet.errors import RunError, StoreError
from subnet.receipts import Receipt
from subnet.reopen import reopened
from subnet.report import RoundReport, read_round
from subnet.rescore import first_state, state_after
from subnet.run_files import find_ledger
from subnet.scoring.course import last_updates
from subnet.scoring.history import past_round
from subnet.state import Fixture, State
from tokenomics.errors import TokenomicsError
from tokenomics.ledger import Checkpoint, RoundRow
from tokenomics.ledger.migrate import refuse_older
from tokenomics.note import VerifierKey

MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What a document of another form than a validator writes can raise where it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What an auditor knows from elsewhere, to hold the validator to.

    Attributes:
        key: the log's key as it was published.
        checkpoint: one that was kept.
        acknowledgements: the validator's signed words on what it received, as participants have them.
    """

    key: VerifierKey | None = None
    checkpoint: Checkpoint | None = None
    acknowledgements: Sequence[str] = ()


def audit(
    folder: Path,
    subnets: Sequence[Path],
    *,
    first: int = 1,
    last: int | None = None,
    claims: Claims | None = None,
    on_round: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Recompute a run from its bundle.

    The updates of one round are in memory at a time. Every round starts from what the records of the rounds before
    say, which were themselves checked, so one false value isn't found again in all rounds that follow.

    Args:
        folder: the run's folder, or a copy of it; nothing is written to it.
        subnets: where its task may be.
        first: the first round to be worked out again; what happened before is taken from the receipts.
        last: the last one; the last that is settled when None.
        claims: what the auditor knows from elsewhere.
        on_round: told how many of how many rounds are done; the first time before any is.

    Raises:
        RunError: there is no run, its rules or its held-out data aren't those that the ledger names, or it has no
            such round.
        LedgerError: the ledger is of an earlier revision, and has to be brought up before.
    """
    told = claims or Claims()
    path = find_ledger(folder)
    refuse_older(path)
    report = Report(rounds=(first, last or first))
    n_rounds = money.check_ledger(path, report, key=told.key)
    try:
        with reopened(folder, subnets) as fixture:
            _Audit(fixture, report, told).run(first, last, on_round)
    except TokenomicsError as error:  # the ledger can't even be opened, of which its verification mostly says why
        report.unchecked = list(range(first, max(first, n_rounds) + 1))
        if report.ok:
            report.check("log", 0, what="ledger", recorded=error, recomputed="opens", agreement=Agreement.FAR)
    return report


class _Audit:
    def __init__(self, fixture: Fixture, report: Report, claims: Claims) -> None:
        self._fixture = fixture
        self._report = report
        self._claims = claims
        self._named: set[str] = set()
        self._enrolled: dict[str, str] = {}
        self._roots: dict[int, str] = {}

    def run(self, first: int, last: int | None, on_round: Callable[[int, int], None]) -> None:
        """Audit all rounds from `first` to `last`."""
        rows = list(self._fixture.ledger.rounds())
        end = len(rows) if last is None else last
        if rows and not 1 <= first <= end <= len(rows):
            raise RunError(
                f"rounds {first} to {end} aren't all settled: the run has {len(rows)}",
                remedy="name rounds of the run with --from and --to",
            )
        self._report.rounds = (first, end)
        self._hold_to_claims(rows)
        self._read_enrolments()
        on_round(0, max(0, end - first + 1))
        if rows:
            self._play(rows[:end], first, on_round)
            self._look_for_dropped(first, end)

    def _hold_to_claims(self, rows: Sequence[RoundRow]) -> None:
        ledger, claims = self._fixture.ledger, self._claims
        self._roots = {0: ledger.checkpoint_of(0).tree.root} | {row.round: row.log_root for row in rows}
        if claims.key is not None:
            money.check_key(ledger, self._report, claims.key)
        if claims.checkpoint is not None:
            money.check_kept(ledger, self._report, claims.checkpoint, self._roots, key=claims.key)
        for number, word in enumerate(claims.acknowledgements, 1):
            self._hold_to_word(number, word)

    def _read_enrolments(self) -> None:
        try:
            self._enrolled = Enrolments(self._fixture.store.root).coldkeys()
        except StoreError as error:
            self._wrong("signatures", 0, "", "enrolment", "signed", error.message)

    def _play(self, rows: Sequence[RoundRow], first: int, on_round: Callable[[int, int], None]) -> None:
        """Go through all rounds, and work out again those from `first` on, until one can't be read."""
        state = self._first_state()
        supply, done = 0, 0
        for row in rows:
            settled = self._read(row)
            if settled is None:
                self._report.unchecked += [one.round for one in rows if one.round >= max(first, row.round)]
                return
            if row.round >= first:
                self._round(state, settled, supply)
                done += 1
                on_round(done, len(rows) - first + 1)
            try:
                state = self._next(state, settled)
            except (RunError, StoreError, *MALFORMED) as error:
                self._wrong("aggregate", row.round, "", "model", row.model_hash, str(error))
                self._report.unchecked += [one.round for one in rows if one.round > max(first - 1, row.round)]
                return
            supply = row.supply

    def _first_state(self) -> State:
        state = first_state(self._fixture)
        loss, accuracy = self._fixture.objective.evaluate(state.base, self._fixture.validation)
        return replace(state, val_loss=loss, val_accuracy=accuracy)

    def _next(self, state: State, settled: RoundReport) -> State:
        history = state.history.then(past_round(settled.record, settled.receipts), self._fixture.spec.scoring)
        return replace(
            state_after(self._fixture, state, settled),
            history=history,
            val_loss=settled.record["val_loss_after"],
            val_accuracy=settled.record["val_accuracy_after"],
            nonce_commitment=settled.record["next_nonce_commitment"],
        )

    def _read(self, row: RoundRow) -> RoundReport | None:
        try:
            return read_round(self._fixture.ledger, self._fixture.store, row)
        except (StoreError, *MALFORMED) as error:
            self._wrong("postings", row.round, "", "receipts and record", "as the ledger names them", str(error))
            return None

    def _round(self, state: State, settled: RoundReport, supply: int) -> None:
        try:
            self._named |= layers.named_contributions(settled.receipts.values())
            again = replay(self._fixture, state, settled, minted=supply)
            layers.check_signatures(self._fixture, self._report, settled, again, self._enrolled)
            check_orders(self._fixture.ledger, self._report, settled.row, self._enrolled)
            layers.compare_round(self._fixture, self._report, settled, again, minted=supply)
        except StoreError as error:
            self._report.unchecked.append(settled.row.round)
            lost = unreadable(self._fixture.store, settled, last_updates(state.history, self._fixture.spec.scoring))
            for hotkey, recorded, found in lost:
                self._wrong("signatures", settled.row.round, hotkey, "stored bytes", recorded, found)
            if not lost:
                self._wrong("aggregate", settled.row.round, "", "model", settled.row.model_hash, error.message)
        except (ContributionError, TokenomicsError, *MALFORMED) as error:
            self._report.unchecked.append(settled.row.round)
            self._wrong(
                "screening", settled.row.round, "", "form", "receipts and record", f"{type(error).__name__}: {error}"
            )

    def _look_for_dropped(self, first: int, last: int) -> None:
        """Find contributions that were received, and whose receipt says that nothing or something else was."""
        store = self._fixture.store
        for path in sorted(store.folder("contributions").glob("*.json")):
            if path.stem in self._named:
                continue
            try:
                envelope = open_envelope(Signed.from_bytes(store.get("contributions", path.stem)))
            except (ContributionError, StoreError, *MALFORMED):
                self._report.unnamed += first == 1  # nobody's signed word: it shows nothing
                continue
            if not first <= envelope.round <= last or envelope.round in self._report.unchecked:
                continue
            receipt = self._receipt(envelope.round, envelope.hotkey)
            if receipt is None or receipt["message_id"] != envelope.message_id:
                self._report.unnamed += 1
                continue
            self._wrong(
                "screening",
                envelope.round,
                envelope.hotkey,
                "contribution",
                f"{receipt['status']} ({receipt['reason'] or 'accepted'}), {receipt['contribution'] or 'none came'}",
                f"{path.stem} came in answer to the same message",
            )

    def _hold_to_word(self, number: int, word: str) -> None:
        """Check a receipt, and the log, against what the validator acknowledged to its participant."""
        ledger = self._fixture.ledger
        told = read_acknowledgement(word, ledger.genesis.validator)
        if told is None or told["log"] != ledger.key.name:
            raise RunError(
                f"acknowledgement {number} isn't signed by this run's validator for this run's log {ledger.key.name}",
                remedy="give the file that the participant kept of this log, unaltered",
            )
        of_log = told.pop("log"), told.pop("log_root")
        receipt = self._receipt(told["round"], told["hotkey"])
        if receipt is None:
            last = max(self._roots)
            found = "no receipt" if told["round"] <= last else f"the ledger ends at round {last}"
            differing = [("contribution", found, told["contribution"] or told["status"])]
        else:
            differing = [(name, receipt[name], said) for name, said in told.items() if receipt[name] != said]
        what, recorded, recomputed = differing[0] if differing else ("", None, None)
        self._report.check(
            "screening",
            told["round"],
            told["hotkey"],
            what=f"acknowledged {what}",
            recorded=recorded,
            recomputed=recomputed,
        )
        if told["round"] in self._roots:
            self._report.check(
                "log",
                told["round"],
                told["hotkey"],
                what="root at the acknowledgement",
                recorded=self._roots[told["round"]],
                recomputed=of_log[1],
            )

    def _receipt(self, number: int, hotkey: str) -> Receipt | None:
        entry = self._fixture.ledger.receipt(number, hotkey)
        try:
            return None if entry is None else self._fixture.store.get_json("receipts", entry.receipt_hash)
        except StoreError:
            return None  # found and told when its round was read

    def _wrong(self, layer: str, number: int, hotkey: str, what: str, recorded: Any, recomputed: Any) -> None:
        self._report.check(
            layer,
            number,
            hotkey,
            what=what,
            recorded=recorded,
            recomputed=recomputed,
            agreement=Agreement.FAR,
        )
