"""Install what the lock names into a virtual environment, every file checked by its SHA-256.

    python .ci/install.py VENV [--dev]

uv does it where it is found (in seconds), else pip. Both read `requirements.lock`, which has the
hashes of all files of each release, so it holds on every platform.

torch is the exception, because one version of it is many files (CUDA, ROCm, CPU, …), and the hash
must not decide which. The file that the package index in force offers is looked up first, and is
checked where its hash can be known: the release for everyone, and PyTorch's CPU file for the
platforms of `.ci/torch-cpu-*.lock`. Another one is installed by its version alone, and a line
says so.

Environment: HASHES=all refuses such a file, and packages that would have to be built.
HASHES=no takes torch by its version in any case. INSTALLER=pip leaves uv aside.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNTIME = ROOT / "requirements.lock"
DEV = ROOT / ".ci" / "requirements-dev.lock"
CUDA = re.compile(r"(nvidia|cuda|triton)\b")
"""Packages that PyTorch's release for Linux needs and its other files do not."""


def locked(text: str) -> dict[str, str]:
    """The entries of a lock, with their hashes, by package."""
    entries: dict[str, str] = {}
    for entry in re.split(r"^(?=[A-Za-z])", text, flags=re.MULTILINE)[1:]:
        entries[re.split(r"[=\s]", entry, maxsplit=1)[0]] = entry
    return entries


def pinned_version(entry: str) -> str:
    """`2.13.0` of `torch==2.13.0 \\ ...`."""
    return re.split(r"[=;\s\\]+", entry, maxsplit=2)[1]


@dataclass(frozen=True)
class Choice:
    """What is installed by hash, and torch where it is installed by version alone."""

    entries: dict[str, str]
    torch_by_version: str | None = None


def choose(
    entries: Mapping[str, str], offered: str, cpu: Mapping[str, str], *, by_version: bool
) -> Choice:
    """What to install where the index offers torch as `offered` (2.13.0, 2.13.0+cpu, …).

    `cpu` has the entry of PyTorch's CPU file for this platform, if there is one.
    """
    plain = {name: entry for name, entry in entries.items() if not CUDA.match(name)}
    if not by_version and offered == pinned_version(entries["torch"]):
        return Choice(dict(entries))
    if not by_version and "torch" in cpu and offered == pinned_version(cpu["torch"]):
        return Choice(plain | cpu)
    del plain["torch"]
    return Choice(plain, offered)


def cpu_lock() -> Path:
    """The hash of PyTorch's CPU file for this Python and platform, if we know it."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return ROOT / ".ci" / f"torch-cpu-{tag}-{sys.platform}-{platform.machine()}.lock"


def uv_settings(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """uv's variables for what is set for pip, so that both see the same indexes.

    The best version of all indexes is taken, as pip does; the hashes say which files may be.
    """
    for of_pip, of_uv, separator in (
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", " "),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX", " "),
        ("PIP_FIND_LINKS", "UV_FIND_LINKS", ","),
        ("PIP_NO_INDEX", "UV_NO_INDEX", " "),
    ):
        if environment.get(of_pip) and not environment.get(of_uv):
            yield of_uv, separator.join(environment[of_pip].split())
    if environment.get("PIP_EXTRA_INDEX_URL") and not environment.get("UV_INDEX_STRATEGY"):
        yield "UV_INDEX_STRATEGY", "unsafe-best-match"


class Installer:
    """uv or pip, on one virtual environment."""

    def __init__(self, venv: Path) -> None:
        self.uv = None if os.environ.get("INSTALLER") == "pip" else shutil.which("uv")
        self.python = venv / "bin" / "python"
        # uv gives up on compiling after 60 s, which a busy machine may take.
        patient = {"UV_COMPILE_BYTECODE_TIMEOUT": "1800"}
        self.environment = {**patient, **os.environ, **dict(uv_settings(os.environ))}
        if self.python.exists():
            return
        make = [self.uv, "venv", "--quiet", "--python", sys.executable] if self.uv else []
        self._run(*(make or [sys.executable, "-m", "venv"]), str(venv))

    @property
    def name(self) -> str:
        return f"uv ({self.uv})" if self.uv else "pip; uv, where it is found, takes seconds"

    def __call__(self, command: str, *arguments: str) -> str:
        """What `pip COMMAND` or `uv pip COMMAND` prints. Ends the program where it fails."""
        if not self.uv:
            return self._run(str(self.python), "-m", "pip", command, *arguments)
        # Python compiles at the first start, and at each start where it may not keep the result.
        late = command == "install" and os.environ.get("PYTHONDONTWRITEBYTECODE")
        compiled = ["--compile-bytecode"] if late else []
        place = ["--python", str(self.python)]
        return self._run(self.uv, "pip", command, *place, *compiled, *arguments)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            text=True,
            stdout=subprocess.PIPE,
            stderr=None,
            env=self.environment,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(done.stdout)
            sys.exit(done.returncode)
        return done.stdout

    def offered_torch(self, version: str) -> str:
        """The newest form of this version that the index in force has: `2.13.0+cpu`."""
        if self.uv:
            wanted = ("--dry-run", "--reinstall", "--no-deps", f"torch=={version}")
            command = [self.uv, "pip", "install", "--python", str(self.python), *wanted]
        else:
            command = [str(self.python), "-m", "pip", "index", "versions", "torch"]
        done = subprocess.run(
            command, text=True, capture_output=True, env=self.environment, check=False
        )
        printed = done.stdout + done.stderr
        # uv prints "+ torch==2.13.0+cpu", pip a list that begins with the newest.
        found = re.search(rf"(?<![\d.]){re.escape(version)}(\+[\w.]+)?(?=[,\s])", printed)
        return found[0] if found else version


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("venv", type=Path)
    parser.add_argument("--dev", action="store_true")
    options = parser.parse_args()
    hashes = os.environ.get("HASHES", "")
    if hashes not in {"", "all", "no"}:
        sys.exit(f"HASHES={hashes}: choose all or no, or leave it out")
    install = Installer(options.venv)
    sys.stdout.write(f"Installing into {options.venv} with {install.name}\n")
    sys.stdout.flush()
    entries = locked(RUNTIME.read_text(encoding="utf-8"))
    cpu = locked(cpu_lock().read_text(encoding="utf-8")) if cpu_lock().exists() else {}
    offered = install.offered_torch(pinned_version(entries["torch"]))
    choice = choose(entries, offered, cpu, by_version=hashes == "no")
    if options.dev:
        choice.entries.update(locked(DEV.read_text(encoding="utf-8")))
    by_version = choice.torch_by_version
    if by_version and hashes == "all":
        sys.exit(
            f"HASHES=all: the lock has no hash for torch {by_version}, which the package index in "
            "force offers; choose another index, or leave HASHES out"
        )
    wheels_alone = ["--only-binary", ":all:"] if hashes == "all" else []
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "requirements.txt"
        chosen.write_text("".join(choice.entries.values()), encoding="utf-8")
        arguments = ["--quiet", "--require-hashes", "--no-deps", *wheels_alone, "-r", str(chosen)]
        install("install", *arguments)
    if by_version:
        sys.stdout.write(f"torch {by_version} is taken by its version, without a hash\n")
        install("install", "--quiet", f"torch=={by_version}")
    # hatchling is in the lock, so that building the package downloads nothing unchecked.
    install("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    install("check", *(["--quiet"] if install.uv else []))


if __name__ == "__main__":
    main()
