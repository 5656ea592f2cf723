"""Facts of a model, whether it is one of transformers or scores by itself. No torch import."""

from typing import Any

from dataselect.scoring.likelihood.likelihoods import LikelihoodModel


def parameter_count(model: Any) -> int:
    """How many numbers it was trained with."""
    if isinstance(model, LikelihoodModel):
        return model.parameter_count
    return sum(each.numel() for each in model.parameters())


def vocabulary_size(model: Any) -> int:
    """Tokens that it has an embedding of."""
    if isinstance(model, LikelihoodModel):
        return model.vocabulary
    return int(model.get_input_embeddings().weight.shape[0])


def position_limit(model: Any) -> int | None:
    """The longest input in tokens that its configuration allows; None without a limit."""
    if isinstance(model, LikelihoodModel):
        return model.position_limit
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        limit = getattr(model.config, name, None)
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def model_name(model: Any) -> str:
    """What messages call it."""
    if isinstance(model, LikelihoodModel):
        return model.name
    return getattr(model.config, "name_or_path", "") or "model"
