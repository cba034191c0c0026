"""Published libraries' inputs and outputs, case by case."""

import json
import os
from pathlib import Path

import pytest
import torch

import strategies

OTHER_FILE = os.environ.get("SUBNET_AGGREGATION_VECTORS")
PATH = Path(OTHER_FILE or Path(__file__).parents[1] / "vectors" / "aggregation.json")
VECTORS = json.loads(PATH.read_text())
RULES = {
    *("mean", "median", "median_lower", "trimmed_mean", "krum", "multi_krum", "weighted_mean"),
    *("aksel", "bulyan", "centered_clipping", "cge", "geometric_median", "geometric_median_weighted", "mda", "meamed"),
    *("medoid", "monna", "multi_krum_weighted"),
}
# run in test_mixing.py and tests/clients/test_attacks.py: a name nobody has heard of is noticed
ELSEWHERE = {
    *("alie", "arc", "arc+nnm+median", "ipm", "mimic", "nnm", "nnm+geometric_median", "nnm+trimmed_mean"),
    *("sign_flip", "static_clipping"),
}
CASES = [case for case in VECTORS["cases"] if case["rule"] in RULES and case["kind"] in {"aggregator", "selection"}]


def rule_of(case):
    """The case's rule, with its convention as settings."""
    params, name = case["params"], case["rule"]
    settings = {}
    if name == "weighted_mean":
        return strategies.create("fedavg")
    if name == "median_lower":
        return strategies.create("median", even="lower")
    if name.startswith("geometric_median"):
        return geometric_median(params)
    if name == "centered_clipping":
        return strategies.create(name, tau=params["tau"], iterations=params["L"], start=params["init"])
    if name == "aksel":
        settings["keep"] = "n-f"
    if name == "multi_krum_weighted":
        return strategies.create("multi_krum", n_byzantine=params["f"], m=params["m"], weighting="examples")
    if name in {"trimmed_mean", "krum", "multi_krum", "aksel", "bulyan", "cge", "mda", "meamed", "monna"}:
        settings["n_byzantine"] = params["f"] if "f" in params else float(params["beta"])
    if "num_neighbors" in params:
        settings["neighbours"] = params["num_neighbors"]
    if "m" in params:
        settings["m"] = params["m"].removeprefix("default ") if isinstance(params["m"], str) else params["m"]
    return strategies.create(name, **settings)


def geometric_median(params):
    """The geometric median under the settings' names of the libraries."""
    settings = {
        "nu": params.get("nu", params.get("eps")),
        "iterations": params.get("T", params.get("maxiter", params.get("max_iter"))),
        "start": {"lower median": "median"}.get(params.get("init"), params.get("init", "mean")),
        "tol": params.get("tol", 0.0),
        "ftol": params.get("ftol", 0.0),
        "weighting": "examples" if "weights" in params else "equal",
    }
    return strategies.create("geometric_median", **settings)


@pytest.mark.parametrize("case", CASES, ids=[f"{case['rule']}-{case['id']}" for case in CASES])
def test_published_case(case):
    """The result lies within the case's tolerance; a selection picks exactly the case's clients."""
    updates = torch.tensor(VECTORS["inputs"][case["input"]], dtype=getattr(torch, case["dtype"]))
    claimed = case["params"].get("num_examples", case["params"].get("weights"))
    root = updates[case["params"]["idx"]] if "idx" in case["params"] else None
    evidence = strategies.Evidence(n_examples=None if claimed is None else torch.tensor(claimed), root=root)
    result = rule_of(case).aggregate(updates, evidence=evidence)
    assert result.update.dtype == updates.dtype
    if case["kind"] == "selection":
        assert sorted(result.influence.nonzero().flatten().tolist()) == sorted(case["expected"])
    else:
        expected = torch.tensor(case["expected"], dtype=torch.float64)
        torch.testing.assert_close(result.update.double(), expected, rtol=0, atol=case["tol"])


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_has_a_case(rule):
    """No rule passes for want of cases, of those that are published with the project."""
    assert OTHER_FILE or any(case["rule"] == rule for case in CASES)


def test_every_case_is_accounted_for():
    """A published case is run here or elsewhere."""
    assert OTHER_FILE or {case["rule"] for case in VECTORS["cases"]} <= RULES | ELSEWHERE
