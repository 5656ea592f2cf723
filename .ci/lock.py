"""Write the locks anew: `make lock`, or `python .ci/lock.py --upgrade` for newer versions.

    requirements.lock             what a user installs, and what builds the package
    .ci/requirements-dev.lock     what the tests, the linters and the site need besides
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
from pathlib import Path

from install import DEV, ROOT, RUNTIME, cpu_lock, locked, pinned_version

HEADER = (
    "# Versions and SHA-256 of every file of each release{what}; written by `make lock`.\n# {how}\n"
)
# The oldest Python that each set is for; one tool of the dev set leaves out 3.11.0 to 3.11.4.
PYTHON = "3.11"
DEV_PYTHON = "3.11.5"


def resolve(requirements: str, pins: str, before: str, *options: str) -> dict[str, str]:
    """The locked entries of pyproject.toml and `requirements`, near to the versions of `before`."""
    uv = shutil.which("uv") or sys.exit("make lock needs uv: pip install uv")
    with tempfile.TemporaryDirectory() as folder:
        out, more, pin = (Path(folder) / name for name in ("out.txt", "more.in", "pin.txt"))
        out.write_text(before, encoding="utf-8")  # the versions that are kept where they can be
        more.write_text(requirements, encoding="utf-8")
        pin.write_text(pins, encoding="utf-8")
        command = [uv, "pip", "compile", "--quiet", "--universal", "--fork-strategy", "fewest"]
        command += ["--generate-hashes", "--no-annotate", "--no-header", "--constraint", str(pin)]
        command += ["--output-file", str(out), *options, str(ROOT / "pyproject.toml"), str(more)]
        # Files of this machine alone (find-links) have no place in a lock for everyone.
        kept = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
        subprocess.run(command, cwd=ROOT, env=kept, check=True, stdout=subprocess.DEVNULL)
        return locked(out.read_text(encoding="utf-8"))


def write(path: Path, entries: dict[str, str], what: str, how: str) -> None:
    path.write_text(HEADER.format(what=what, how=how) + "".join(entries.values()), "utf-8")


def lock_cpu_torch(torch: str) -> None:
    """The hash of PyTorch's CPU file for this platform, if this machine's index offers it."""
    path, version = cpu_lock(), f"{torch}+cpu"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
        ]
        done = subprocess.run([*command, f"torch=={version}"], capture_output=True, check=False)
        if done.returncode == 0:
            with next(Path(folder).iterdir()).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entry = f"torch=={version} \\\n    --hash=sha256:{digest}\n"
            write(path, {"torch": entry}, " of PyTorch for CPUs", "Read by .ci/install.py.")
            return
    if path.exists() and pinned_version(locked(path.read_text("utf-8"))["torch"]) != version:
        path.unlink()
        sys.stdout.write(f"{path.name} is removed: no torch {version} is offered here\n")


def main() -> None:
    before = RUNTIME.read_text(encoding="utf-8") if RUNTIME.exists() else ""
    dev_before = DEV.read_text(encoding="utf-8") if DEV.exists() else ""
    torch = os.environ.get("TORCH") or pinned_version(locked(before)["torch"])
    upgrade = [option for option in sys.argv[1:] if option == "--upgrade"]
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    builds = "\n".join(project["build-system"]["requires"]) + "\n"
    options = ["--python-version", PYTHON, *upgrade]
    runtime = resolve(builds, f"torch=={torch}\n", before, *options)
    write(RUNTIME, runtime, "", "pip install --require-hashes -r requirements.lock")
    pins = "".join(f"{name}=={pinned_version(entry)}\n" for name, entry in runtime.items())
    options = ["--extra", "dev", "--python-version", DEV_PYTHON, *upgrade]
    everything = resolve(builds, pins, before + dev_before, *options)
    more = {name: entry for name, entry in everything.items() if entry != runtime.get(name)}
    write(DEV, more, " that development needs besides", "Read by .ci/install.py --dev.")
    lock_cpu_torch(torch)


if __name__ == "__main__":
    main()
