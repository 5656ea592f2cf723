"""Runs whose store and texts are on a server that speaks S3, with everything that can go wrong.

    pip install 'dataselect[s3]' 'moto[server]'
    python benchmarks/store/run.py benchmarks/store/result.json

Every run is a `dataselect run` of its own, with a local folder of its own, as on another host.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from object_server import BUCKET, CREDENTIALS, Line, served

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

GENRES = {"worked": "worked.jsonl.gz", "prose": "prose.parquet", "web": "web"}
MANIFEST = """
target: {size: 1M, tokens: 20M}
candidates:
  - {id: worked, path: json, data_files: "WHERE/*.jsonl.gz"}
  - {id: prose, path: WHERE/prose.parquet}
  - {id: web, path: WHERE/web}
  - {id: blend, mixture: {worked: 3, prose: 1}}
"""
KILLING = """
import os, signal, sys
from dataselect.store.objects import Objects
create, left = Objects.create, [int(sys.argv.pop(1))]
def killed(self, name, data):
    if "/proxy/" in name:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return create(self, name, data)
Objects.create = killed
from dataselect.cli import app
app()
"""


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

    def __init__(self, work: Path, line: Line, client: Any) -> None:
        self.work, self.line, self.client = work, line, client
        self.rows: list[dict[str, Any]] = []

    def start(
        self, host: str, store: str, manifest: str = "s3.yaml", kill_at: int = 0
    ) -> subprocess.Popen[str]:
        """A run that goes on."""
        program = ["-m", "dataselect"] if not kill_at else ["-c", KILLING, str(kill_at)]
        arguments = ["run", str(self.work / manifest), "--plan", str(self.work / "plan.yaml")]
        arguments += ["--store", store, "--out", str(self.work / host / "report")]
        environment = {
            **os.environ,
            "DATASELECT_STORE_FOLDER": str(self.work / host / "store"),
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, what: str, host: str, process: subprocess.Popen[str], began: float) -> str:
        """Wait for a run and note what came of it; its output."""
        output = process.communicate()[0]
        ranking = self.work / host / "report" / "ranking.csv"
        reference = self.work / "local" / "report" / "ranking.csv"
        equal = ranking.read_bytes() == reference.read_bytes() if ranking.exists() else None
        row = {
            "what": what,
            "host": host,
            "exit": process.returncode,
            "seconds": round(time.monotonic() - began, 1),
            "trained": len(self.trained(host)),
            "fetched_proxies": len(list((self.work / host / "store/artifacts/proxy").glob("*")))
            - len(set(self.trained(host))),
            "ranking_equal": equal,
            "notes": [
                line.strip() for line in output.splitlines() if "s3://" in line and "note" in line
            ],
            "secret_shown": any(value in output for value in list(CREDENTIALS.values())[:2]),
        }
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        if process.returncode not in (0, -9):
            print(output)
        return output

    def run(self, what: str, host: str, store: str, **options: Any) -> str:
        """A run from its start to its end."""
        began = time.monotonic()
        return self.end(what, host, self.start(host, store, **options), began)

    def trained(self, host: str) -> list[str]:
        """Keys of the proxies that a host trained."""
        ledger = self.work / host / "store" / "ledger.jsonl"
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


def study(hosts: Hosts) -> dict[str, Any]:
    """All runs, in order."""
    team, facts = f"s3://{BUCKET}/team", dict[str, Any]()
    hosts.run(
        "local files, local store", "local", str(hosts.work / "local/store"), manifest="local.yaml"
    )
    hosts.run("first host", "a", team)
    facts["objects"] = len(hosts.objects("team/"))
    facts["bytes"] = sum(hosts.objects("team/").values())
    hosts.run("second host", "b", team)
    hosts.run("second host again", "b", team)

    pair, began = f"s3://{BUCKET}/pair", time.monotonic()
    both = [(name, hosts.start(name, pair)) for name in ("c1", "c2")]
    for name, process in both:
        hosts.end("two hosts at once", name, process, began)
    manifests = [k for k in hosts.objects("pair/artifacts/proxy/") if k.endswith("manifest.json")]
    facts["proxies_visible_of_two_hosts"] = len(manifests)

    killed = f"s3://{BUCKET}/killed"
    hosts.run("killed before the second manifest of a proxy", "d", killed, kill_at=2)
    names = hosts.objects("killed/artifacts/proxy/")
    facts["killed"] = {
        "uploads": len(
            {name.split("/")[4] for name in names if not name.endswith("manifest.json")}
        ),
        "visible": sum(name.endswith("manifest.json") for name in names),
    }
    hosts.run("another host after the kill", "e", killed)
    hosts.run("the killed host again", "d", killed)

    facts["spoilt"] = hosts.spoil("team", random.Random(0))
    hosts.run("every object spoilt", "f", team)
    hosts.run("next host after that", "g", team)

    cut, began = f"s3://{BUCKET}/cut", time.monotonic()
    process = hosts.start("h", cut)
    while not any("/proxy/" in name for name in hosts.objects("cut/")) and process.poll() is None:
        time.sleep(0.2)
    hosts.line.cut()
    # The texts have been read by then.
    hosts.end("network cut after the first proxy", "h", process, began)
    facts["visible_while_cut"] = sum(k.endswith("manifest.json") for k in hosts.objects("cut/"))
    hosts.run("no network at all, another host with local texts", "i", cut, manifest="local.yaml")
    hosts.line.mend()
    hosts.run("the cut host again, with network", "h", cut)
    hosts.run("another host after that", "j", cut)
    return facts


def main() -> None:
    """Run the study and write its result."""
    from stage_world import write_world

    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, served() as (line, client):
        work = Path(temporary)
        write_world(work)
        write_texts(work / "texts")
        for path in (work / "texts").rglob("*"):
            if path.is_file():
                key = path.relative_to(work).as_posix()
                client.upload_file(str(path), BUCKET, key)
        (work / "local.yaml").write_text(MANIFEST.replace("WHERE", "texts"))
        (work / "s3.yaml").write_text(MANIFEST.replace("WHERE", f"s3://{BUCKET}/texts"))
        hosts = Hosts(work, line, client)
        facts = study(hosts)
    names = ("fsspec", "s3fs", "aiobotocore", "botocore", "moto", "pyarrow", "datasets")
    result = {"versions": {n: version(n) for n in names}, "facts": facts, "runs": hosts.rows}
    arguments.result.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
