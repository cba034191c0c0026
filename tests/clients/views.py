"""What cheats see in their tests: a view on made-up vectors, where what isn't given can't be looked at."""

import torch

from clients.behaviour import View
from clients.task import Examples

BASE = torch.linspace(-1, 1, 50)
OWN = torch.linspace(0, 2, 50)
PEER = torch.linspace(3, 1, 50)
LAST = torch.linspace(-2, 5, 50)
DELTAS = [LAST, torch.linspace(4, 0, 50), torch.ones(50), torch.linspace(0, 1, 50).square(), -torch.ones(50), BASE]
TEN = Examples(inputs=BASE[:10, None], targets=torch.arange(10))


def view(*, own=None, peer=None, deltas=None, round_number=4, **known):
    """What a cheat sees; `own` and `peer` are updates, `deltas` the public ones."""
    if own is not None:
        known["own_update"] = lambda: own
    if peer is not None:
        known["peer_update"] = lambda: peer
    if deltas is not None:
        known["last_global_delta"] = lambda: deltas[0] if deltas else None
        known["global_deltas"] = lambda n: deltas[:n]
    return View(round=round_number, deadline_s=1, base=BASE, identity="me", **known)
