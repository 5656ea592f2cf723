"""Runs whose store and texts are on a server that speaks S3, with everything that can go wrong.

    pip install 'dataselect[s3]' 'moto[server]'
    python benchmarks/store/run.py benchmarks/store/result.json

Every run is a call of `ds.run` in a process of its own with a local folder of its own, as on
another host.
"""

import argparse
import hashlib
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path
from typing import Any, NoReturn

from object_server import BUCKET, CREDENTIALS, Line, served

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

MANIFEST = """
target: {size: 1M, tokens: 20M}
candidates:
  - {id: worked, path: json, data_files: "WHERE/*.jsonl.gz"}
  - {id: prose, path: WHERE/prose.parquet}
  - {id: web, path: WHERE/web}
  - {id: blend, mixture: {worked: 3, prose: 1}}
"""


def run_here(manifest: Path, store: str, folder: Path, kill_at: int) -> NoReturn:
    """`ds.run` in a process that was forked for it; its jobs run in that process too.

    `kill_at`: ends by SIGKILL before this manifest of a proxy is written, counted from 1.
    """
    import dataselect as ds
    from dataselect.compute import InlineCompute
    from dataselect.stages import engine
    from dataselect.store.objects import Objects

    file = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    logging.basicConfig(format="note: %(message)s", force=True)
    # Starting a worker costs more than all that it has to do here.
    vars(engine)["default_compute"] = lambda *_: InlineCompute()
    create, manifests = Objects.create, count(1)

    def create_or_die(objects: Objects, name: str, data: bytes) -> bool:
        if "/proxy/" in name and next(manifests) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return create(objects, name, data)

    setattr(Objects, "create", create_or_die)  # noqa: B010
    code = 1
    try:
        chosen = ds.run(manifest, manifest.with_name("plan.yaml"), store=store)
        chosen.ranking.to_csv(folder / "ranking.csv")
        code = 0 if chosen.complete else 3
    except Exception as error:
        print("error:", error)
    finally:
        sys.stdout.flush()
        os._exit(code)


def write_texts(folder: Path) -> None:
    """Texts of three genres: gzipped JSON lines, Parquet, and a folder of `save_to_disk`."""
    import gzip

    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dataselect.synthetic import genres

    folder.mkdir()
    names = {"worked": "worked", "prose": "narrative", "web": genres.names()[-1]}
    texts = {name: list(islice(genres.documents(genre, 0), 400)) for name, genre in names.items()}
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts["worked"])
    (folder / "worked.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.table({"text": texts["prose"]}), folder / "prose.parquet")
    datasets.Dataset.from_dict({"text": texts["web"]}).save_to_disk(str(folder / "web"))


class Hosts:
    """Runs on hosts, each with a local folder."""

    def __init__(self, work: Path, line: Line, client: Any, result: Path) -> None:
        self.work, self.line, self.client, self._result = work, line, client, result
        self.rows: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        self.reference = ""
        """SHA-256 of the ranking from local files and a local store."""

    def write(self) -> None:
        """Write what has come of it so far."""
        names = ("fsspec", "s3fs", "aiobotocore", "botocore", "moto", "pyarrow", "datasets")
        versions = {name: version(name) for name in names}
        result = {"versions": versions, "ranking": self.reference, "facts": self.facts}
        result |= {"runs": self.rows}
        self._result.write_text(json.dumps(result, indent=1) + "\n")

    def start(self, host: str, store: str, manifest: str = "s3.yaml", kill_at: int = 0) -> int:
        """The process of a run that goes on."""
        folder = self.work / host
        folder.mkdir(exist_ok=True)
        (folder / "ranking.csv").unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            os.environ["DATASELECT_STORE_FOLDER"] = str(folder / "store")
            run_here(self.work / manifest, store, folder, kill_at)
        return child

    def end(self, what: str, host: str, process: int, began: float) -> str:
        """Wait for a run and note what came of it; its output."""
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        output = (self.work / host / "output").read_text()
        ranking = self.work / host / "ranking.csv"
        sha256 = hashlib.sha256(ranking.read_bytes()).hexdigest() if ranking.exists() else ""
        self.reference = self.reference or sha256
        row = {
            "what": what,
            "host": host,
            "exit": code,
            "seconds": round(time.monotonic() - began, 1),
            "trained": len(self.trained(host)),
            "fetched_proxies": self.fetched(host),
            "ranking_equal": sha256 == self.reference if sha256 else None,
            "notes": [
                line for line in output.splitlines() if line.startswith("note:") and "s3://" in line
            ],
            "secret_shown": any(value in output for value in list(CREDENTIALS.values())[:2]),
        }
        self.rows.append(row)
        self.write()
        print(json.dumps(row), flush=True)
        if code not in (0, -9):
            print(output)
        return output

    def run(self, what: str, host: str, store: str, **options: Any) -> str:
        """A run from its start to its end."""
        began = time.monotonic()
        return self.end(what, host, self.start(host, store, **options), began)

    def store(self, host: str) -> Path:
        """The local folder of a host's store."""
        return self.work / ("own" if host == "local" else f"{host}/store")

    def fetched(self, host: str) -> int:
        """How many proxies a host has that it did not train."""
        there = list((self.store(host) / "artifacts" / "proxy").glob("*"))
        return len(there) - len(set(self.trained(host)))

    def trained(self, host: str) -> list[str]:
        """Keys of the proxies that a host trained."""
        ledger = self.store(host) / "ledger.jsonl"
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        records = [json.loads(line) for line in lines]
        return [r["key"] for r in records if r["kind"] == "proxy" and r["status"] == "done"]

    def objects(self, prefix: str) -> dict[str, int]:
        """Sizes of the objects below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}

    def spoil(self, prefix: str, rng: random.Random) -> dict[str, int]:
        """Flip a byte of, truncate or remove every file of an artifact there; how many of each."""
        done = {"flipped": 0, "truncated": 0, "removed": 0}
        for key in self.objects(f"{prefix}/artifacts/"):
            if key.endswith("manifest.json"):
                continue
            how = rng.choice(list(done))
            done[how] += 1
            if how == "removed":
                self.client.delete_object(Bucket=BUCKET, Key=key)
                continue
            data = bytearray(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
            at = rng.randrange(len(data))
            data = data[:at] if how == "truncated" else data
            if how == "flipped":
                data[at] ^= 1 << rng.randrange(8)
            self.client.put_object(Bucket=BUCKET, Key=key, Body=bytes(data))
        return done


def of_hosts(hosts: Hosts) -> None:
    """Hosts one after another, and two at once."""
    team, facts = f"s3://{BUCKET}/team", hosts.facts
    hosts.run("first host", "a", team)
    facts["objects"] = len(hosts.objects("team/"))
    facts["bytes"] = sum(hosts.objects("team/").values())
    hosts.run("second host", "b", team)
    pair, began = f"s3://{BUCKET}/pair", time.monotonic()
    both = [(name, hosts.start(name, pair)) for name in ("c1", "c2")]
    for name, process in both:
        hosts.end("two hosts at once", name, process, began)
    manifests = [k for k in hosts.objects("pair/artifacts/proxy/") if k.endswith("manifest.json")]
    facts["proxies_visible_of_two_hosts"] = len(manifests)


def of_kills(hosts: Hosts) -> None:
    """A kill between the upload of a proxy and its manifest."""
    killed = f"s3://{BUCKET}/killed"
    hosts.run("killed before the second manifest of a proxy", "d", killed, kill_at=2)
    names = hosts.objects("killed/artifacts/proxy/")
    files = [name for name in names if not name.endswith("manifest.json")]
    hosts.facts["killed"] = {
        "uploads": len({name.split("/")[4] for name in files}),
        "visible": sum(name.endswith("manifest.json") for name in names),
    }
    hosts.run("another host after the kill", "e", killed)
    hosts.run("the killed host again", "d", killed)


def of_damage(hosts: Hosts) -> None:
    """Every file of every artifact spoilt."""
    spoilt = f"s3://{BUCKET}/spoilt"
    hosts.run("a host before the damage", "f0", spoilt)
    hosts.facts["spoilt"] = hosts.spoil("spoilt", random.Random(0))
    hosts.run("every file of every artifact spoilt", "f", spoilt)
    hosts.run("next host after that", "g", spoilt)


def of_network(hosts: Hosts) -> None:
    """The network cut while a run trains."""
    cut, began = f"s3://{BUCKET}/cut", time.monotonic()
    process = hosts.start("h", cut)
    while not any("/proxy/" in name for name in hosts.objects("cut/")):
        time.sleep(0.2)
    hosts.line.cut()
    # The texts have been read by then.
    hosts.end("network cut after the first proxy", "h", process, began)
    visible = sum(key.endswith("manifest.json") for key in hosts.objects("cut/"))
    hosts.facts["visible_while_cut"] = visible
    hosts.line.mend()
    hosts.run("the cut host again, with network", "h", cut)


PARTS = {"hosts": of_hosts, "kills": of_kills, "damage": of_damage, "network": of_network}


def main() -> None:
    """Run the study and write its result."""
    # Before the forks, so that each run need not import it.
    import transformers  # noqa: F401
    from stage_world import write_world

    import dataselect.pipeline  # noqa: F401

    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="default: all")
    parser.add_argument("--ranking", default="", help="hash of the ranking, if known")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, served() as (line, client):
        work = Path(temporary)
        write_world(work, tokens=2000)
        plan = (work / "plan.yaml").read_text()
        # Little to compute: what is studied is the store.
        lines = [line for line in plan.splitlines() if "id: long" not in line]
        lines = [line for line in lines if "accuracy:" not in line]
        (work / "plan.yaml").write_text("\n".join(lines) + "\n")
        write_texts(work / "texts")
        for path in (work / "texts").rglob("*"):
            if path.is_file():
                key = path.relative_to(work).as_posix()
                client.upload_file(str(path), BUCKET, key)
        (work / "local.yaml").write_text(MANIFEST.replace("WHERE", "texts"))
        (work / "s3.yaml").write_text(MANIFEST.replace("WHERE", f"s3://{BUCKET}/texts"))
        hosts = Hosts(work, line, client, arguments.result)
        hosts.reference = arguments.ranking
        if not arguments.ranking:
            own = str(work / "own")
            hosts.run("local files, local store", "local", own, manifest="local.yaml")
        for part in arguments.part or PARTS:
            PARTS[part](hosts)
            hosts.write()


if __name__ == "__main__":
    main()
