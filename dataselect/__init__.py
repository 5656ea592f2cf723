"""dataselect: decide which data to pretrain on next.

    import dataselect as ds

    selection = ds.run("candidates.yaml")        # screen, predict, rank
    selection.ranking                            # a pandas frame

The functions do what the commands of the same names do, and the commands call them. Each is
imported on first use, so that `import dataselect` takes milliseconds.
"""

from dataselect._version import __version__

TYPE_CHECKING = False  # not from typing, which takes longer to import than this module
if TYPE_CHECKING:
    from dataselect.api.agreement import Agreements as Agreements
    from dataselect.api.agreement import agree as agree
    from dataselect.api.calibrate import Calibration as Calibration
    from dataselect.api.calibrate import calibrate as calibrate
    from dataselect.api.design import Design as Design
    from dataselect.api.design import design as design
    from dataselect.api.doctor import Examination as Examination
    from dataselect.api.doctor import doctor as doctor
    from dataselect.api.mixture import MixtureFit as MixtureFit
    from dataselect.api.mixture import MixturePredictions as MixturePredictions
    from dataselect.api.mixture import fit_mixture as fit_mixture
    from dataselect.api.mixture import predict_mixtures as predict_mixtures
    from dataselect.api.mixture_proposal import MixtureProposal as MixtureProposal
    from dataselect.api.mixture_proposal import propose_mixture as propose_mixture
    from dataselect.api.mixture_search import MixtureSearch as MixtureSearch
    from dataselect.api.mixture_search import search_mixture as search_mixture
    from dataselect.api.mixture_swarm import MixtureSwarm as MixtureSwarm
    from dataselect.api.mixture_swarm import design_swarm as design_swarm
    from dataselect.api.project import init as init
    from dataselect.api.run import RunResult as RunResult
    from dataselect.api.run import run as run
    from dataselect.api.score import Scores as Scores
    from dataselect.api.score import score as score
    from dataselect.api.transfer import Predictions as Predictions
    from dataselect.api.transfer import TransferFit as TransferFit
    from dataselect.api.transfer import fit_transfer as fit_transfer
    from dataselect.api.transfer import predict as predict
    from dataselect.api.view import ItemsView as ItemsView
    from dataselect.api.view import view as view
    from dataselect.config.manifest import Manifest as Manifest
    from dataselect.config.manifest import load_manifest as load_manifest
    from dataselect.config.plan import Plan as Plan
    from dataselect.config.plan import load_plan as load_plan
    from dataselect.errors import DataselectError as DataselectError
    from dataselect.errors import InputError as InputError

_MODULES = {
    "Agreements": "dataselect.api.agreement",
    "Calibration": "dataselect.api.calibrate",
    "DataselectError": "dataselect.errors",
    "Design": "dataselect.api.design",
    "Examination": "dataselect.api.doctor",
    "InputError": "dataselect.errors",
    "ItemsView": "dataselect.api.view",
    "Manifest": "dataselect.config.manifest",
    "MixtureFit": "dataselect.api.mixture",
    "MixturePredictions": "dataselect.api.mixture",
    "MixtureProposal": "dataselect.api.mixture_proposal",
    "MixtureSearch": "dataselect.api.mixture_search",
    "MixtureSwarm": "dataselect.api.mixture_swarm",
    "Plan": "dataselect.config.plan",
    "Predictions": "dataselect.api.transfer",
    "RunResult": "dataselect.api.run",
    "Scores": "dataselect.api.score",
    "TransferFit": "dataselect.api.transfer",
    "agree": "dataselect.api.agreement",
    "calibrate": "dataselect.api.calibrate",
    "design": "dataselect.api.design",
    "design_swarm": "dataselect.api.mixture_swarm",
    "doctor": "dataselect.api.doctor",
    "fit_mixture": "dataselect.api.mixture",
    "fit_transfer": "dataselect.api.transfer",
    "init": "dataselect.api.project",
    "load_manifest": "dataselect.config.manifest",
    "load_plan": "dataselect.config.plan",
    "predict": "dataselect.api.transfer",
    "predict_mixtures": "dataselect.api.mixture",
    "propose_mixture": "dataselect.api.mixture_proposal",
    "run": "dataselect.api.run",
    "score": "dataselect.api.score",
    "search_mixture": "dataselect.api.mixture_search",
    "view": "dataselect.api.view",
}
"""Where each public name is defined."""

__all__ = [
    "Agreements",
    "Calibration",
    "DataselectError",
    "Design",
    "Examination",
    "InputError",
    "ItemsView",
    "Manifest",
    "MixtureFit",
    "MixturePredictions",
    "MixtureProposal",
    "MixtureSearch",
    "MixtureSwarm",
    "Plan",
    "Predictions",
    "RunResult",
    "Scores",
    "TransferFit",
    "__version__",
    "agree",
    "calibrate",
    "design",
    "design_swarm",
    "doctor",
    "fit_mixture",
    "fit_transfer",
    "init",
    "load_manifest",
    "load_plan",
    "predict",
    "predict_mixtures",
    "propose_mixture",
    "run",
    "score",
    "search_mixture",
    "view",
]


def __getattr__(name: str) -> object:
    """Import a public name on first access."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'dataselect' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
