"""All genres of the synthetic world, by name."""

from collections.abc import Iterator

from dataselect.synthetic import same_words, world


def names() -> tuple[str, ...]:
    """Every genre's name."""
    return (*world.GENRES, *same_words.GENRES)


def documents(genre: str, seed: int) -> Iterator[str]:
    """Endless documents of one genre; the same genre and seed give the same stream.

    Raises KeyError for a name that is not in `names()`.
    """
    if genre in same_words.GENRES:
        return same_words.documents(genre, seed)
    return world.documents(genre, seed)


def version(genre: str) -> int:
    """Of the streams of a genre, part of the key of everything that is made from them."""
    return same_words.VERSION if genre in same_words.GENRES else world.VERSION
