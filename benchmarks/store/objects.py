"""One artifact on a server that speaks S3: kills, spoilt objects and a line that is cut.

python benchmarks/store/objects.py benchmarks/store/objects.json
"""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]

from object_server import BUCKET, served  # noqa: E402

from dataselect.errors import IncompleteError  # noqa: E402
from dataselect.store import Store, in_use  # noqa: E402
from dataselect.store.objects import Objects  # noqa: E402
from dataselect.store.sharing import Sharing  # noqa: E402

SPEC = {"n": 1}
LARGE = bytes(range(256)) * (9 << 12)


def host(work: Path, name: str, prefix: str) -> Store:
    """The store of a host with a folder of its own."""
    return Store(work / name, sharing=Sharing(work / name, f"s3://{BUCKET}/{prefix}"))


def build(store: Store) -> bool:
    """Make the artifact unless it is there; whether it was made."""
    made = []

    def fill(folder: Path) -> None:
        made.append(True)
        (folder / "facts.json").write_text("{}")
        (folder / "model.bin").write_bytes(LARGE)

    store.get_or_build("proxy", SPEC, fill)
    return bool(made)


def outcome(store: Store) -> str:
    """What a host gets: "read", "made", "one line, then made", or "WRONG"."""
    said = ""
    for _ in range(2):
        made = build(store)
        found = store.find("proxy", SPEC)
        try:
            right = found is not None and found.file("model.bin").read_bytes() == LARGE
        except IncompleteError:
            said = "one line, then "
            continue
        return said + ("made" if made else "read") if right else "WRONG"
    return "never"


def main() -> None:
    """All cases, in order."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary, served() as (line, client):
        work = Path(temporary)

        def objects(prefix: str) -> list[str]:
            listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/artifacts/")
            return [each["Key"] for each in listed.get("Contents", [])]

        def note(case: str, **facts: Any) -> None:
            rows.append({"case": case, **facts})
            print(json.dumps(rows[-1]), flush=True)
            Path(sys.argv[1]).write_text(json.dumps(rows, indent=1) + "\n")

        child = os.fork()
        if child == 0:
            setattr(Objects, "create", lambda *_: os.kill(os.getpid(), signal.SIGKILL))  # noqa: B010
            build(host(work, "killed", "kill"))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        left = len(objects("kill"))
        note(
            "killed before the manifest",
            exit=code,
            objects=left,
            other=outcome(host(work, "k", "kill")),
        )
        with in_use(host(work, "killed", "kill")):
            pass
        note("the killed host starts again", other=outcome(host(work, "k2", "kill")))

        for how in ("flipped", "truncated", "gone"):
            prefix = how
            build(host(work, f"{how}-first", prefix))
            for number in range(4):
                key = sorted(objects(prefix))[number]
                kept = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                if how == "gone":
                    client.delete_object(Bucket=BUCKET, Key=key)
                else:
                    data = bytearray(kept[: len(kept) // 2] if how == "truncated" else kept)
                    data[len(data) // 3] ^= 1 if how == "flipped" else 0
                    client.put_object(Bucket=BUCKET, Key=key, Body=bytes(data))
                name = key.rsplit("/", 1)[1]
                got = outcome(host(work, f"{how}{number}", prefix))
                later = outcome(host(work, f"{how}{number}-later", prefix))
                note(how, object=name, host=got, next_host=later)
                for each in objects(prefix):
                    client.delete_object(Bucket=BUCKET, Key=each)
                build(host(work, f"{how}{number}-again", prefix))

        build(host(work, "n0", "net"))
        line.cut()
        began = time.monotonic()
        got = outcome(host(work, "n2", "net"))
        note("no network", host=got, seconds=round(time.monotonic() - began, 1))
        line.mend()
        note("network again", host=outcome(host(work, "n3", "net")))


if __name__ == "__main__":
    main()
