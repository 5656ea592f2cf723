"""The document of a proposal from a small swarm, for pages and pictures."""

from typing import Any

import numpy as np

from dataselect.mixture.constraints import no_limits
from dataselect.mixture.design import design
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.objective import Objective
from dataselect.mixture.propose import propose
from dataselect.mixture.response_map import response_map
from dataselect.mixture.single_share import compare_rankings
from dataselect.mixture.stack import fit_stack
from dataselect.mixture.surrogates import surrogates
from dataselect.mixture.swarm import Swarm
from dataselect.report.mixture.proposal import proposal_document

SEARCH: dict[str, Any] = {
    "trials": 12,
    "designed": 8,
    "standardised": True,
    "diverged": 0,
    "failed": 1,
    "flops": 3e12,
    "share_of_target": 0.01,
    "spent_in_this_store": {
        "cpu_seconds": 60.0,
        "gpu_seconds": 0.0,
        "wall_seconds": 90.0,
        "jobs": 40,
        "failed_jobs": 1,
    },
    "steps": [
        {"trial": i, "round": 0, "role": role, "objective": 2.5 - 0.1 * i}
        for i, role in enumerate(
            ["prior", "designed", "proposed", "confirms proposal", "confirms prior"]
        )
    ],
}
CONFIRMED: dict[str, Any] = {
    "seeds": 3,
    "over": "prior",
    "objective": {"value": 0.2, "low": 0.1, "high": 0.3},
    "benchmarks": {"sums": {"value": 0.4, "low": 0.3, "high": 0.5}},
    "accuracy": None,
}


def made_model(names: tuple[str, ...]) -> MixtureModel:
    """A model of 12 runs; the first source helps most, the last not at all."""
    count = len(names)
    shares = design(np.full(count, 1 / count), 12, 0)
    worth = np.linspace(2.0, 0.0, count)
    noise = 0.01 * np.random.default_rng(0).standard_normal(12)
    losses = 2 + (0.05 + shares**0.5 @ worth) ** -0.5 + noise
    runs = tuple(f"r{i}" for i in range(12))
    swarm = Swarm(runs, names, ("loss",), shares, losses[:, None])
    quick = {"ridge": surrogates(0)["ridge"]}
    stack = fit_stack(shares, losses[:, None], quick, 0)
    return MixtureModel(swarm, True, Objective(np.ones(1), False), stack, 0)


def made_document(model: MixtureModel, **facts: Any) -> dict[str, Any]:
    """The document of `mix propose`; `facts` are added, like those of a search."""
    limits = no_limits(model.swarm.sources)
    found = propose(model, limits, 0.9, 0)
    rankings, grid = compare_rankings(model), response_map(model, 0.9)
    given = {"confidence": 0.9, "command": "dataselect mix propose --model m.json", **facts}
    return proposal_document(model, limits, found, [], rankings, grid, given)
