"""A real Slurm of two nodes on this machine: one is set down, and the driver is killed.

    apt-get install slurm-wlm munge && pip install 'dataselect[slurm]'
    python benchmarks/cluster/slurm_nodes.py          # as root

Starts munged, slurmctld and two slurmd with a configuration of their own in a temporary folder, and
ends them. Beside them nothing of the machine is changed.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scenario import (
    HERE,
    Driver,
    Log,
    attempts,
    finish,
    is_behind_its_save,
    job_name,
    kill_driver,
    local_ranking,
    saved_step,
    step_of,
    wait_for,
    write_plan,
)

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}
SlurmctldPort=17000
SlurmUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=5
MinJobAge=3600
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=4000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """slurmctld and two slurmd, for the context."""
    folder.mkdir()
    for name in ("state", "spool-n1", "spool-n2"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=socket.gethostname(), folder=folder))
    os.environ["SLURM_CONF"] = str(configuration)
    processes = []
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode:
        Path("/run/munge").mkdir(exist_ok=True)
        shutil.chown("/run/munge", "munge")
        munged = ["runuser", "-u", "munge", "--", "/usr/sbin/munged", "--foreground"]
        processes.append(subprocess.Popen(munged, **quiet))
        time.sleep(2)
    try:
        processes.append(subprocess.Popen(["/usr/sbin/slurmctld", "-D"], **quiet))
        time.sleep(2)
        for name in ("n1", "n2"):
            processes.append(subprocess.Popen(["/usr/sbin/slurmd", "-D", "-N", name], **quiet))
        wait_for("two idle nodes", lambda: "2 idle" in told("sinfo", "-h", "-o", "%D %t"), 120)
        yield
    finally:
        told("scancel", "--user", "root")
        time.sleep(2)
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait()


def told(*command: str) -> str:
    """What one of Slurm's commands prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    """Run it, and write results/slurm.json."""
    folder, log = Path(tempfile.mkdtemp(prefix="dataselect-slurm-")), Log()
    plan = write_plan(folder)
    local = local_ranking(folder, log, plan)
    driver = Driver(folder, "slurm", "slurm-1", plan)
    with slurm(folder / "slurm"):
        version = told("sinfo", "--version")
        log(f"{version}, nodes {told('sinfo', '-h', '-o', '%N %t')}")
        process = driver.start()

        def saved_on_n2() -> object:
            for each in attempts(driver.store):
                node = each.begun.get("scheduler", {}).get("SLURMD_NODENAME")
                if node == "n2" and is_behind_its_save(each, driver.store):
                    return each
            return None

        lost = wait_for("a saved training on n2", saved_on_n2)
        name = job_name(lost)
        told("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
        log(f"n2 set down while it trained {name}")
        time.sleep(3)
        came_to, saved = step_of(lost), saved_step(driver.store, name)
        log(f"{name}: attempt 1 came to step {came_to}, saved at step {saved}")
        log(f"squeue: {told('squeue', '-h', '-r', '-o', '%i %T %N %r').splitlines()}")
        told("scontrol", "update", "NodeName=n2", "State=RESUME")
        again = lost.path.with_name("attempt-2")

        def went_on() -> bool:
            return again.exists() and step_of(type(lost)(again), first=True) > 0

        wait_for("the second attempt", went_on)
        second = type(lost)(again)
        begun = second.begun["scheduler"]
        went = step_of(second, first=True)
        log(
            f"{name}: Slurm started it again on {begun.get('SLURMD_NODENAME')}, restart count"
            f" {begun.get('SLURM_RESTART_COUNT')}; first report at step {went}"
        )
        repeated = came_to - saved
        log(f"{name}: steps repeated: {repeated} of {came_to}")
        kill_driver(process, log)
        before = told("squeue", "-h", "-r", "-o", "%i %T %N")
        log(f"squeue: {before.splitlines()}")
        driver.name = "slurm-2"
        if driver.start().wait():
            raise SystemExit(driver.printed())
        found = [line for line in driver.printed().splitlines() if "found at" in line]
        log(f"the driver, started again: {found}")
        jobs = told("squeue", "-h", "-r", "--states=all", "-o", "%i %T")
        log(f"all jobs that Slurm had: {sorted(jobs.splitlines())}")
    more = {"slurm": version, "came_to": came_to, "saved": saved, "went_on_at": went}
    more |= {"found": found, "jobs": sorted(jobs.splitlines())}
    finish(folder, HERE / "results" / "slurm.json", log, local, driver, more)


if __name__ == "__main__":
    main()
