"""A small swarm whose truth is known, and a model fitted to it once."""

import numpy as np
import pytest
from small_swarms import made

from dataselect.mixture.model import MixtureModel, fit_model
from dataselect.mixture.objective import Objective
from dataselect.mixture.swarm import Swarm


@pytest.fixture(scope="session")
def swarm() -> Swarm:
    return made(40, 0.01)


@pytest.fixture(scope="session")
def model(swarm: Swarm) -> MixtureModel:
    return fit_model(swarm, Objective(np.array([0.5, 0.5]), False), True, 0)
