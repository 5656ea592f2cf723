"""transformers reads a folder without a word of its own on the terminal.

Its log quotes files as they stand there, whole configurations with what would act on a display;
what matters of it is refused or noted by whoever reads the folder. Its progress bars would break
the run's own display.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which transformers logs nothing, and neither it nor torch warns."""
    from transformers.utils.logging import disable_progress_bar, get_verbosity, set_verbosity

    disable_progress_bar()
    verbosity = get_verbosity()
    set_verbosity(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        set_verbosity(verbosity)
