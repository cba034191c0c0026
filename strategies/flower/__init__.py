"""Any rule of this package as a strategy of any Flower app: a drop-in for `flwr.serverapp.strategy.FedAvg`.

```python
import strategies
from strategies.flower import RobustStrategy

strategy = RobustStrategy(strategies.create("nnm", "trimmed_mean"), fraction_train=0.5, spool="/var/tmp")
strategy.start(grid, initial_arrays, num_rounds=10)
```

Flower's own strategies hold all replies at once, raise on the first malformed one, and weigh models and metrics by what
clients claim. This one pulls replies one by one, sets a bad one aside with its reason, and believes no claim.

`strategy` is what Flower calls, `streaming` gets the replies, `replies` takes them apart, `model` makes rows of them
and a model of the aggregate, `rows` keeps a round's rows, `metrics` is all about the clients' metrics.
"""

from strategies.flower.metrics import median_metrics
from strategies.flower.replies import Rejected
from strategies.flower.strategy import RobustStrategy, RoundReport

__all__ = ["Rejected", "RobustStrategy", "RoundReport", "median_metrics"]
