"""Storage for everything expensive: content-addressed artifacts, a ledger, locks.

A step asks `Store.find` for the artifact of its spec and computes it only if there is none, so the
same command run again resumes where it stopped, and two runs share what they have in common.
`store` explains the layout; `keys` defines when two specs are the same.
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
