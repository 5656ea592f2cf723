"""All genres of the synthetic world, by name."""

from collections.abc import Iterator

from dataselect.synthetic import same_words, world

NAMES = (*world.GENRES, *same_words.GENRES)
"""Every genre's name."""


def documents(genre: str, seed: int) -> Iterator[str]:
    """Endless documents of one genre; the same genre and seed give the same stream.

    Raises KeyError for a name that is not in `NAMES`.
    """
    if genre in same_words.GENRES:
        return same_words.documents(genre, seed)
    return world.documents(genre, seed)


def version(genre: str) -> int:
    """Of the streams of a genre, part of the key of everything that is made from them."""
    return same_words.VERSION if genre in same_words.GENRES else world.VERSION
