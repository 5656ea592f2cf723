"""Small texts of a new project: what its first manifest runs on until the user's own are named."""

from collections.abc import Iterator
from random import Random

from dataselect.synthetic.world import documents

_SEED = 1
_WEB = {"worked": 0.25, "narrative": 0.4, "boilerplate": 0.35}
"""Genres of the crawl, by their part of the documents."""
_PAGES, _CHAPTERS = 4000, 2500


def crawl() -> Iterator[str]:
    """Pages as of the web: some worked problems among stories and what pages repeat. 1.2 MB."""
    rng = Random(_SEED)
    streams = {genre: documents(genre, _SEED) for genre in _WEB}
    for genre in rng.choices(list(_WEB), list(_WEB.values()), k=_PAGES):
        yield next(streams[genre])


def textbooks() -> Iterator[str]:
    """Worked problems alone. 0.8 MB."""
    stream = documents("worked", _SEED + 1)
    for _ in range(_CHAPTERS):
        yield next(stream)
