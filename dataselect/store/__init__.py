"""Storage for everything expensive: content-addressed artifacts, claims on them, a ledger, locks.

A step asks `Store.get_or_build` for the artifact of its spec, which is computed only if there is
none, so the same command run again resumes where it stopped, and two runs share what they have in
common, also at once. `store` explains the layout; `keys` defines when two specs are the same;
`claims` sees to it that of several processes one makes a key;
`sharing` puts an object store behind it.
"""

from dataselect.store.artifact import Artifact, FileRecord
from dataselect.store.claims import Claim, Work
from dataselect.store.files import write_atomic
from dataselect.store.keys import canonical_json, content_key
from dataselect.store.lock import lock
from dataselect.store.opened import in_use, open_store
from dataselect.store.owner import Lease
from dataselect.store.store import LostClaimError, OnWait, Store

__all__ = [
    "Artifact",
    "Claim",
    "FileRecord",
    "Lease",
    "LostClaimError",
    "OnWait",
    "Store",
    "Work",
    "canonical_json",
    "content_key",
    "in_use",
    "lock",
    "open_store",
    "write_atomic",
]
