"""The child's side of `sandbox`: isolate itself, run one program in a child, report the verdict.

A bare interpreter runs this file as a script, with the standard library only, because it starts
once per program. This process makes the namespaces; the judge is process 1 of the new process
namespace; the judge's child runs the program. When the judge ends, the kernel kills all that is
left.

The judge makes a nonce after the program's process has started, so that process has no copy in
memory. It reads the nonce from a pipe when the check has returned, and writes it back: exit codes,
printed text and early exits prove nothing. Only code written against this file could find the
pipe and cheat.
"""

import ctypes
import json
import math
import os
import resource
import select
import signal
import sys
import time
import types
from contextlib import suppress
from typing import Any, NoReturn

_ROOT = "/tmp"  # noqa: S108 (covered by a new file system that only the child sees)
_SCRATCH = "/scratch"
_SCRATCH_BYTES, _SCRATCH_FILES = 64 << 20, 1000
_PROCESSES, _OPEN_FILES, _FILE_BYTES = 32, 64, 16 << 20
_NOBODY = 65534
_REASON_BYTES = 1000

# Numbers of the Linux interface, from linux/sched.h, linux/mount.h, linux/prctl.h, capability.h.
_NEW_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_NO_SUID, _REMOUNT, _BIND, _REC, _PRIVATE = 2, 32, 4096, 16384, 1 << 18
_PR_DEATH_SIGNAL, _PR_NO_NEW_PRIVILEGES = 1, 38
_CAPABILITIES_VERSION = 0x20080522

_SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store")
_DEVICES = ("/dev/null", "/dev/urandom")


def main() -> None:
    """Read a job from stdin, write {"passed", "reason"} or {"set_up": problem} to stdout."""
    job = json.load(sys.stdin)
    # Process 1 of a namespace ignores signals without a handler, and Python installs this one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        _die_with(job["parent"])
    if not job["isolated"]:
        _report(_judge(job))
        # Kill what the program left behind in this process group, and this process.
        os.killpg(0, signal.SIGKILL)
    try:
        _isolate(job)
    except (OSError, AttributeError) as error:
        _report({"set_up": str(error)})


def _report(message: dict[str, object]) -> None:
    os.write(1, json.dumps(message).encode())


def _call(name: str, *arguments: object) -> None:
    """Call a C function that returns 0, or raise OSError."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _die_with(parent: int) -> None:
    _call("prctl", _PR_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _isolate(job: dict[str, Any]) -> None:
    """Judge the program in new namespaces, whose users this process maps from outside."""
    outside = os.getpid()
    ready_out, ready_in = os.pipe()
    mapped_out, mapped_in = os.pipe()
    inside = os.fork()
    if inside == 0:
        try:
            os.close(mapped_in)
            _die_with(outside)
            _call("unshare", _NEW_NAMESPACES)
            os.write(ready_in, b"1")
            os.read(mapped_out, 1)
            _enter_root()
            _judge_as_first_process(job)
        except (OSError, AttributeError) as error:
            _report({"set_up": str(error)})
        finally:
            os._exit(0)
    os.close(ready_in)
    try:
        # Nothing to read means that it has ended, and has written why.
        if os.read(ready_out, 1):
            _map_users(inside)
    except OSError:
        os.kill(inside, signal.SIGKILL)
        raise
    finally:
        os.close(mapped_in)
        os.waitpid(inside, 0)


def _map_users(process: int) -> None:
    """Map this user into the new namespace, and the user nobody too where that is permitted."""
    user, group = os.geteuid(), os.getegid()
    folder = f"/proc/{process}"
    if user == 0:
        with suppress(OSError):
            _write(f"{folder}/gid_map", f"{group} {group} 1\n{_NOBODY} {_NOBODY} 1\n")
            _write(f"{folder}/uid_map", f"0 0 1\n{_NOBODY} {_NOBODY} 1\n")
            return
    with suppress(OSError):
        _write(f"{folder}/setgroups", "deny")
        _write(f"{folder}/gid_map", f"{group} {group} 1\n")
    _write(f"{folder}/uid_map", f"{user} {user} 1\n")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _judge_as_first_process(job: dict[str, Any]) -> None:
    judge = os.fork()
    if judge == 0:
        try:
            # The parent is in another namespace, so its id cannot be checked as `_die_with` does.
            _call("prctl", _PR_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            _report(_judge(job))
        except OSError as error:
            _report({"set_up": str(error)})
        finally:
            os._exit(0)
    os.waitpid(judge, 0)


def _enter_root() -> None:
    """Change the root to the folders that Python needs, read-only, and a scratch folder.

    It has no /proc and none of the user's files, except a Python installation among them.
    """
    _mount("none", "/", None, _REC | _PRIVATE)
    folders = list(dict.fromkeys([*_SYSTEM_FOLDERS, sys.base_prefix, sys.base_exec_prefix]))
    # Opened before the new root covers some of them.
    sources = {
        path: os.open(path, os.O_PATH) for path in [*folders, *_DEVICES] if os.path.exists(path)
    }
    _mount("tmpfs", _ROOT, "tmpfs", _NO_SUID, "mode=0755,size=1m")
    os.mkdir(_ROOT + _SCRATCH)
    for path, source in sources.items():
        _bind_mount(path, source)
        os.close(source)
    for point in _mount_points(_ROOT):
        # The flags that a mount already has must not be removed.
        kept = os.statvfs(point).f_flag & 0xF
        _mount("none", point, None, _BIND | _REMOUNT | os.ST_RDONLY | _NO_SUID | kept)
    scratch = f"mode=0777,size={_SCRATCH_BYTES},nr_inodes={_SCRATCH_FILES}"
    _mount("tmpfs", _ROOT + _SCRATCH, "tmpfs", _NO_SUID, scratch)
    os.chroot(_ROOT)
    os.chdir(_SCRATCH)


def _bind_mount(path: str, source: int) -> None:
    target = _ROOT + path
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if path in _SYSTEM_FOLDERS and os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if path in _DEVICES:
        os.close(os.open(target, os.O_CREAT))
    else:
        os.mkdir(target)
    _mount(f"/proc/self/fd/{source}", target, None, _BIND | _REC)


def _mount(
    source: str, target: str, file_system: str | None, flags: int, options: str = ""
) -> None:
    try:
        _call(
            "mount",
            source.encode(),
            target.encode(),
            file_system.encode() if file_system else None,
            ctypes.c_ulong(flags),
            options.encode(),
        )
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} ({target})") from error


def _mount_points(root: str) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split()[4] for line in file]
    # Blanks in names are written as octal numbers.
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        points = [point.replace(code, letter) for point in points]
    return [point for point in points if point == root or point.startswith(root + "/")]


def _judge(job: dict[str, Any]) -> dict[str, object]:
    """Run the program in a child process; the verdict, after `seconds` at most."""
    deadline = time.monotonic() + job["seconds"]
    nonce_out, nonce_in = os.pipe()
    proof_out, proof_in = os.pipe()
    program = os.fork()
    if program == 0:
        try:
            _confine(job, {nonce_out, proof_in})
            _run(job, nonce_out, proof_in)
        finally:
            os._exit(1)
    os.close(nonce_out)
    os.close(proof_in)
    nonce = os.urandom(16).hex().encode()
    with suppress(BrokenPipeError):  # it may have ended already
        os.write(nonce_in, nonce)
    ready, _, _ = select.select([proof_out], [], [], max(0.0, deadline - time.monotonic()))
    if not ready:
        os.kill(program, signal.SIGKILL)
        return {"passed": False, "reason": f"it took longer than {job['seconds']:g} s"}
    proof = os.read(proof_out, _REASON_BYTES)
    if proof:
        passed = proof == nonce
        return {"passed": passed, "reason": "" if passed else proof.decode("utf-8", "replace")}
    os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return {"passed": False, "reason": f"it ended before its check had returned ({how})"}


def _confine(job: dict[str, Any], pipes: set[int]) -> None:
    """Close the program's streams, drop its privileges and set its limits."""
    for descriptor in set(range(3, _OPEN_FILES)) - pipes:
        with suppress(OSError):
            os.close(descriptor)
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    os.environ.clear()
    seconds = math.ceil(job["seconds"]) + 1
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_AS: job["memory_bytes"],
    }
    if job["isolated"]:
        # A new session, so that a signal to its group does not reach this one. Without
        # namespaces the program is killed by its group, and the limit on processes would count
        # the user's other ones.
        os.setsid()
        limits[resource.RLIMIT_NPROC] = _PROCESSES
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(limit, (lower, lower))
        except (OSError, ValueError):
            # Some systems other than Linux define the limit and refuse to set it.
            if job["isolated"]:
                raise
    if job["isolated"]:
        _become_nobody()
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
        _call("capset", header, (ctypes.c_uint32 * 6)())
        _call("prctl", _PR_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _become_nobody() -> None:
    """Change from root, whose processes no limit counts, to another user where there is one."""
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def _run(job: dict[str, Any], nonce_out: int, proof_in: int) -> NoReturn:
    # Bound now, because the program may replace them.
    read, write, leave = os.read, os.write, os._exit
    # A module, because dataclasses and others look up the module of a class.
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    names = module.__dict__
    try:
        for part in ("code", "test"):
            exec(compile(job[part], f"<{part}>", "exec", dont_inherit=True), names)  # noqa: S102
        names["check"](names[job["entry_point"]])
    # SystemExit is a failure like any other.
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        write(proof_in, reason.encode("utf-8", "replace")[:_REASON_BYTES])
        leave(1)
    write(proof_in, read(nonce_out, 64))
    leave(0)


if __name__ == "__main__":
    main()
