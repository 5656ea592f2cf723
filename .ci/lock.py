"""Write the locks anew: `make lock`, or `python .ci/lock.py --upgrade` for newer versions.

    requirements.lock             what a user installs, with the extra fast, and what builds the
                                  package
    .ci/requirements-dev.lock     what the tests, the linters and the site need besides
    .ci/requirements-sbom.lock    the tools of `make sbom`, alone
    .ci/torch-cpu-PLATFORM.lock   PyTorch's CPU file for this platform, if the index offers it

uv resolves for every platform and every supported Python at once, and writes the hashes of all
files of each release. Versions stay as they are where they can; torch stays unless TORCH names
another. Needs uv.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from install import DEV, ROOT, RUNTIME, cpu_lock, locked, pinned_version

SBOM = ROOT / ".ci" / "requirements-sbom.lock"
HEADER = (
    "# Versions and SHA-256 of every file of each release{what}; written by `make lock`.\n# {how}\n"
)
# The oldest Python that each set is for; one tool of the dev set leaves out 3.11.0 to 3.11.4.
PYTHON = "3.11"
DEV_PYTHON = "3.11.5"


def resolve(
    wanted: Iterable[str], pins: Iterable[str], before: dict[str, str], *options: str
) -> dict[str, str]:
    """The locked entries of what is wanted, at the versions of `pins`, else near to `before`."""
    uv = shutil.which("uv") or sys.exit("make lock needs uv: pip install uv")
    with tempfile.TemporaryDirectory() as folder:
        out, asked, pinned = (Path(folder) / name for name in ("out.txt", "in.txt", "pins.txt"))
        out.write_text("".join(before.values()), encoding="utf-8")  # kept where they can be
        asked.write_text("\n".join(wanted), encoding="utf-8")
        pinned.write_text("\n".join(pins), encoding="utf-8")
        command = [uv, "pip", "compile", "--quiet", "--universal", "--fork-strategy", "fewest"]
        command += [
            "--generate-hashes",
            "--no-annotate",
            "--no-header",
            "--constraint",
            str(pinned),
        ]
        command += ["--output-file", str(out), *options, str(asked)]
        # Files of this machine alone (find-links) have no place in a lock for everyone.
        kept = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
        subprocess.run(command, cwd=ROOT, env=kept, check=True, stdout=subprocess.DEVNULL)
        return locked(out.read_text(encoding="utf-8"))


def read(path: Path) -> dict[str, str]:
    return locked(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(path: Path, entries: dict[str, str], what: str, how: str) -> None:
    path.write_text(HEADER.format(what=what, how=how) + "".join(entries.values()), "utf-8")


def lock_cpu_torch(torch: str) -> None:
    """The hash of PyTorch's CPU file for this platform, if this machine's index offers it."""
    path, version = cpu_lock(), f"{torch}+cpu"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--dest", folder, f"torch=={version}"]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode == 0:
            with next(Path(folder).iterdir()).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entry = f"torch=={version} \\\n    --hash=sha256:{digest}\n"
            write(path, {"torch": entry}, " of PyTorch for CPUs", "Read by .ci/install.py.")
            return
    if path.exists() and pinned_version(read(path)["torch"]) != version:
        path.unlink()
        sys.stdout.write(f"{path.name} is removed: no torch {version} is offered here\n")


def main() -> None:
    upgrade = [option for option in sys.argv[1:] if option == "--upgrade"]
    with (ROOT / "pyproject.toml").open("rb") as file:
        stated = tomllib.load(file)
    extras = stated["project"]["optional-dependencies"]
    # The demo and whoever installs the lock train on a CPU.
    wanted = stated["project"]["dependencies"] + extras["fast"] + stated["build-system"]["requires"]
    runtime_before, dev_before, sbom_before = read(RUNTIME), read(DEV), read(SBOM)
    torch = os.environ.get("TORCH") or pinned_version(runtime_before["torch"])

    options = ["--python-version", PYTHON, *upgrade]
    runtime = resolve(wanted, [f"torch=={torch}"], runtime_before, *options)
    write(RUNTIME, runtime, "", "pip install --require-hashes -r requirements.lock")

    wanted += extras["dev"] + extras["tokens"]
    pins = [f"{name}=={pinned_version(entry)}" for name, entry in runtime.items()]
    options = ["--python-version", DEV_PYTHON, *upgrade]
    everything = resolve(wanted, pins, runtime_before | dev_before, *options)
    more = {name: entry for name, entry in everything.items() if entry != runtime.get(name)}
    write(DEV, more, " that development needs besides", "Read by .ci/install.py --dev.")

    options = ["--python-version", PYTHON, *upgrade]
    tools = resolve(stated["dependency-groups"]["sbom"], [], sbom_before, *options)
    write(SBOM, tools, " that make sbom needs", f"pip install --require-hashes -r {SBOM.name}")
    lock_cpu_torch(torch)


if __name__ == "__main__":
    main()
