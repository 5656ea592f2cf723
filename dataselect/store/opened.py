"""The store that a command names: a folder, or a folder in front of an object store.

`--store s3://bucket/team` keeps its local part in the folder that `DATASELECT_STORE_FOLDER` names,
else in `.dataselect`, where a store without a URL is too: whoever has computed something there
before shares it by naming the URL.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataselect.store.lock import lock
from dataselect.store.objects import is_url
from dataselect.store.sharing import Sharing
from dataselect.store.store import OnWait, Store

STORE_FOLDER_VARIABLE = "DATASELECT_STORE_FOLDER"
DEFAULT_STORE = ".dataselect"


def open_store(place: str | Path, on_wait: OnWait | None = None) -> Store:
    """The store in a folder or at a URL; nothing is read or written yet.

    Raises InputError for a URL that cannot work.
    """
    if not is_url(place):
        return Store(Path(place), on_wait)
    folder = Path(os.environ.get(STORE_FOLDER_VARIABLE) or DEFAULT_STORE).expanduser().absolute()
    return Store(folder, on_wait, sharing=Sharing(folder, str(place)))


@contextmanager
def in_use(store: Store, *, clean: bool = True) -> Iterator[None]:
    """A command's use of a store: locked against older versions, and cleaned first.

    With an object store behind it, that is tried first, and gets at the end what it lacks. Raises
    InputError where the store cannot be used, and LockedError.
    """
    with lock(store.root, "the store", shared=True):
        if store.sharing is not None:
            store.sharing.begin()
        if clean:
            store.clean()
        try:
            yield
        except Exception:
            if store.sharing is not None:
                store.sharing.finish()
            raise
        if store.sharing is not None:
            store.sharing.finish()
