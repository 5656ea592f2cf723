"""Where everything expensive is kept: content-addressed artifacts, a ledger, locks.

A step asks `Store.find` for what its spec determines and computes it only when that is absent,
so the same command run again goes on where it was stopped, and two runs share what they have in
common. `store` argues the layout; `keys` defines when two specs are the same.
"""

from dataselect.store.artifact import Artifact, FileRecord
from dataselect.store.files import write_atomic
from dataselect.store.keys import canonical_json, content_key
from dataselect.store.lock import lock
from dataselect.store.store import Store

__all__ = [
    "Artifact",
    "FileRecord",
    "Store",
    "canonical_json",
    "content_key",
    "lock",
    "write_atomic",
]
