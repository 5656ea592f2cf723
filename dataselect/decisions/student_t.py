"""Student's t for central intervals."""


def half_width(freedom: float, confidence: float) -> float:
    """Half of the central interval that holds a variable with this probability, in its scales."""
    # Imported here: it takes a tenth of a second, and a cached run does without.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))
