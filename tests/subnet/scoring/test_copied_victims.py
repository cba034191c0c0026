"""Whoever is copied loses nothing, and nobody else does: copies change no credit, no gate, no limit, no pay."""

import pytest
import torch

from clients.training import train
from subnet import draw as draws
from subnet.scoring import outliers
from subnet.scoring.geometry import midpoint_median
from subnet.scoring.history import History, PastCredit, PastRound
from subnet.scoring.path_credit import PathCredit
from subnet.scoring.payable import payable
from subnet.spec import ScoringSection
from tests.subnet.scoring.conftest import TRAINING

RULES = ScoringSection()
SCORER = PathCredit(RULES)
VICTIM = 3
COUNTS = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def honest(task, base):
    """`(10, n_params)` honest updates of clients that hold one label each; their norms differ by a quarter."""
    data = task.training_data()
    shards = [(data.targets == label).nonzero().flatten() for label in range(10)]
    return torch.stack(
        [
            train(task, base, data.take(shard), TRAINING, draw=torch.Generator().manual_seed(label))
            for label, shard in enumerate(shards)
        ]
    )


def copies_of(update, n_copies, noise):
    """So many copies of an update, each under Gaussian noise of its own of a norm relative to the update's."""
    draw = torch.Generator().manual_seed(n_copies)
    drawn = torch.randn(n_copies, len(update), generator=draw)
    return update + drawn * (noise * update.norm() / drawn.norm(dim=1, keepdim=True))


def look(field):
    """The appraisal of a field, and the credits on the way to the mean of its originals."""
    appraisal = SCORER.appraise(field, History())
    originals = field.without(appraisal.copy_of)
    assert not appraisal.gated.any()
    return appraisal, SCORER.credit(field, appraisal, field.updates[originals].mean(0))


def shares(field, appraisal, credits):
    """Each hotkey's part of the payable scores after this first round; copies count as 0, as settling has it."""
    counted = {}
    for row, hotkey in enumerate(field.hotkeys):
        kept = 0.0 if hotkey in appraisal.copy_of else 1.0
        counted[hotkey] = PastCredit(
            credit=kept * float(credits.credit[row]),
            standard_error=kept * float(credits.standard_error[row]),
            novel=kept * float(credits.novel[row]),
            novel_standard_error=kept * float(credits.novel_standard_error[row]),
        )
    past = History().then(PastRound(credits=counted))
    due = payable(past, field.hotkeys, set(field.hotkeys) - set(appraisal.copy_of), RULES)
    total = sum(pay.score for pay in due.values())
    return {hotkey: pay.score / total for hotkey, pay in due.items()}


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("n_copies", COUNTS)
def test_copies_that_come_later_change_nobodys_pay(make_field, honest, n_copies, noise):
    """With any number of copies, exact or under noise, every honest share is what it was without them."""
    alone = make_field(honest)
    before = look(alone)
    plain = shares(alone, *before)
    crowd = make_field(torch.cat([honest, copies_of(honest[VICTIM], n_copies, noise)]))
    after = look(crowd)
    assert after[0].copy_of == dict.fromkeys(crowd.hotkeys[10:], crowd.hotkeys[VICTIM])
    found = shares(crowd, *after)
    assert plain[alone.hotkeys[VICTIM]] > 0
    for hotkey in alone.hotkeys:
        assert found[hotkey] == pytest.approx(plain[hotkey], rel=1e-12)
    for name in ("credit", "standard_error", "novel"):
        torch.testing.assert_close(getattr(after[1], name)[:10], getattr(before[1], name), rtol=1e-12, atol=0.0)
    assert all(found[hotkey] == 0 for hotkey in crowd.hotkeys[10:])


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("n_copies", COUNTS)
def test_copies_that_come_first_take_the_pay_of_whoever_they_copied(make_field, honest, n_copies, noise):
    """The rule knows only the order: of copies that came before their victim the first is paid, once. Others' lose 0.

    What keeps a copy from coming first is that nobody sees an update before its round is closed.
    """
    copied = copies_of(honest[VICTIM], n_copies, noise)
    field = make_field(torch.cat([copied, honest]))
    appraisal, credits = look(field)
    first, victim = field.hotkeys[0], field.hotkeys[n_copies + VICTIM]
    assert set(appraisal.copy_of) == {victim, *field.hotkeys[1:n_copies]}
    found = shares(field, appraisal, credits)
    assert found[victim] == 0
    if noise:
        return
    alone = make_field(honest)
    plain = shares(alone, *look(alone))
    others = {field.hotkeys[n_copies + row]: hotkey for row, hotkey in enumerate(alone.hotkeys) if row != VICTIM}
    for hotkey, same in {first: alone.hotkeys[VICTIM], **others}.items():
        assert found[hotkey] == pytest.approx(plain[same], rel=1e-6)  # float32 sums in another order


def test_a_majority_of_exact_copies_is_not_the_field(make_field, honest):
    """Sixteen copies among four honest updates are found, though most pairs are alike by then."""
    field = make_field(torch.cat([honest[:4], honest[VICTIM : VICTIM + 1].expand(16, -1)]))
    appraisal, _ = look(field)
    assert appraisal.copy_of == dict.fromkeys(field.hotkeys[4:], field.hotkeys[VICTIM])
    alone, _ = look(make_field(honest[:4]))
    torch.testing.assert_close(appraisal.clip[:4], alone.clip, rtol=1e-12, atol=0.0)


def test_copies_dont_move_the_free_ride_gate(make_field, honest):
    """Copies of the most novel update would lift the median novelty; the gate stands where it stood."""
    public = honest.mean(0)
    mixed = torch.cat([honest[:5], honest[5:] + 1.2 * public * honest.norm(dim=1).mean() / public.norm()])
    alone = SCORER.appraise(make_field(mixed, deltas=public[None]), History())
    top = int(alone.geometry.novelty.argmax())
    crowd = torch.cat([mixed, mixed[top : top + 1].expand(8, -1)])
    with_all = 0.8 * float(midpoint_median(torch.cat([alone.geometry.novelty, alone.geometry.novelty[[top] * 8]])))
    found = SCORER.appraise(make_field(crowd, deltas=public[None]), History())
    assert found.gate == pytest.approx(alone.gate, rel=1e-12)
    assert found.gate < with_all
    assert found.gated[:10].tolist() == alone.gated.tolist()


def test_copies_dont_move_the_norm_ratio_that_strikes(make_field, honest):
    """Copies of a short update don't make others' norms look absurd."""
    updates = torch.cat([honest, 0.1 * honest[:1], 0.1 * honest[:1].expand(12, -1)])
    field = make_field(updates)
    appraisal = SCORER.appraise(field, History())
    originals = field.without(appraisal.copy_of)
    assert int(originals.sum()) == 10
    norms = appraisal.geometry.norms
    checks = outliers.check(field, appraisal.geometry, among=originals)
    expected = norms / midpoint_median(norms[:10])
    torch.testing.assert_close(checks["norm_ratio"], expected, rtol=1e-12, atol=0.0)
    assert float(outliers.check(field, appraisal.geometry)["norm_ratio"][:10].max()) > 5


@pytest.mark.parametrize("role", ["copycat", "copycat:0.5"])
def test_copies_in_a_whole_run_change_no_honest_reward(tmp_path, open_game, monkeypatch, role):
    """Three rounds with 0, 1, 2, 4 and 8 copies pay every honest participant the same, round by round.

    The draw hashes all contributions, so copies would be another draw of batches: it is held fixed here.
    """
    monkeypatch.setattr(draws, "seed", lambda *, round_number, nonce, contributions: nonce)
    paid = {}
    for n_copies in (0, *COUNTS):
        with open_game(tmp_path / str(n_copies), f"honest=5,{role}=8", strategy={"name": "mean"}) as game:
            copiers = game.of_kind("copycat")
            paid[n_copies] = []
            for _ in range(3):
                report = game.play(without=copiers[n_copies:])
                assert {one["reason"] for one in report.rejected} == ({"copy"} if n_copies else set())
                assert len(report.rejected) == n_copies
                paid[n_copies].append(report.rewards)
    assert all(paid[0])
    victim = game.of_kind("honest")[0]
    assert all(rewards[victim] > 0 for rewards in paid[0])
    for n_copies in COUNTS:
        for expected, rewards in zip(paid[0], paid[n_copies], strict=True):
            assert rewards == pytest.approx(expected, rel=1e-6)
