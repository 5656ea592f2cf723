"""Whether the lowest versions that pyproject.toml allows work, and the newest that there are.

    python benchmarks/versions/versions.py [lowest|newest ...]     # needs uv; results.json

Each is installed by uv into an environment of its own (`--resolution lowest-direct`: the lowest of
what we ask for, the newest of what those ask for), and tests of what we take from other packages
run there. Gigabytes are downloaded for each where the index has torch with
CUDA alone. Ends with exit code 1 if a test fails.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
OUTCOME = re.compile(
    r"(?P<file>tests/\S+?\.py)::(?P<name>.+) (?P<word>PASSED|SKIPPED|FAILED|ERROR)"
)
# Where each package is used: what it gives is compared with what is expected there.
TESTS = [
    *("tests/scoring/test_loading.py", "tests/scoring/test_generation.py"),
    *("tests/proxies/test_train.py", "tests/corpus/test_saved_tokenizer.py"),
    *("tests/corpus/test_corpus_shards.py", "tests/corpus/test_corpus_splits.py"),
    *("tests/corpus/test_corpus_readers.py", "tests/corpus/test_remote_files.py"),
    *("tests/config/test_yamlfile.py", "tests/report/selection/test_files.py"),
    *("tests/traces/recording/test_client.py", "tests/mixture_search/test_sampler.py"),
    *("tests/decisions/test_ranking.py", "tests/decisions/test_agreement.py"),
    *("tests/transfer/test_protocols.py", "tests/mixture/test_surrogates.py"),
    *("tests/scoring/test_no_foreign_code.py", "tests/report/test_markdown.py"),
    *("tests/benchmarks/test_math_answers.py", "tests/cli/test_fit.py"),
]


def direct() -> list[str]:
    """The names of what the package needs, and of what its tests do."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    return [re.split(r"[\[<>=;! ]", each, maxsplit=1)[0] for each in wanted]


def installed(python: Path) -> dict[str, str]:
    listing = subprocess.run(
        ["uv", "pip", "list", "--format", "json", "--python", str(python)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    versions = {
        each["name"].lower().replace("_", "-"): each["version"] for each in json.loads(listing)
    }
    return {name: versions[name.lower().replace(".", "-")] for name in direct()}


def run_tests(python: Path) -> dict[str, dict[str, Any]]:
    """For each file the counts of its tests, and the names of those that failed."""
    command = [str(python), "-u", "-m", "pytest", "-vv", "-p", "no:cacheprovider", *TESTS]
    found = {test: {"passed": 0, "skipped": 0, "failed": list[str]()} for test in TESTS}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            sys.stderr.write(line)
            if outcome := OUTCOME.match(line):
                counts = found[outcome["file"]]
                if outcome["word"] in {"PASSED", "SKIPPED"}:
                    counts[outcome["word"].lower()] += 1
                else:
                    counts["failed"].append(outcome["name"])
    if running.returncode not in {0, 1}:
        sys.exit(f"pytest ended with exit code {running.returncode}")
    return found


def examine(name: str, folder: Path) -> dict[str, Any]:
    """Install one set and run the tests there."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(
            ["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], check=True
        )
    # Tools of the tests are the newest in both: what is asked of them here is not what users need.
    install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    resolution = ["--resolution", RESOLUTIONS[name], "--editable", str(ROOT)]
    subprocess.run([*install, *resolution, "pytest>=8.3", "hypothesis>=6.100"], check=True)
    versions = installed(python)
    return {"versions": versions, "tests": run_tests(python)}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    # argparse compares the whole list with choices where none is named.
    parser.add_argument("names", nargs="*", metavar="|".join(RESOLUTIONS))
    parser.add_argument("--folder", type=Path, help="keep the environments here")
    options = parser.parse_args()
    if unknown := set(options.names) - set(RESOLUTIONS):
        parser.error(f"there is no {sorted(unknown)[0]}; name {' or '.join(RESOLUTIONS)}")
    names = options.names or list(RESOLUTIONS)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            results[name] = examine(name, (options.folder or Path(temporary)) / name)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    failed = [
        each
        for name in names
        for found in results[name]["tests"].values()
        for each in found["failed"]
    ]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
