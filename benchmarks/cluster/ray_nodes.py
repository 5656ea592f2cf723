"""A Ray cluster of two nodes on this machine: one is killed, and so is the driver.

pip install 'dataselect[ray]'
python benchmarks/cluster/ray_nodes.py
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

# A node's daemon that has not come up by then is dead, and is started anew.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "90")
# Jobs are nicer than their node by as much as that is ahead of other programs (`_AHEAD`). By Ray's
# own 15 they stand still on a busy machine.
os.environ.setdefault("RAY_worker_niceness", "10")

import ray
from ray.cluster_utils import Cluster
from scenario import (
    HERE,
    Driver,
    Log,
    attempts,
    finish,
    is_behind_its_save,
    is_training,
    job_name,
    kill_driver,
    local_ranking,
    saved_step,
    step_of,
    wait_for,
    write_plan,
)

Started = TypeVar("Started")
_STARTS, _AHEAD = 5, 10


def _started(start: Callable[[], Started]) -> Started:
    """What starts a node, tried again, and where that is allowed at a higher priority: on a busy
    machine a node ends itself whose agent has not come up within seconds."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before - _AHEAD)
    try:
        for _ in range(_STARTS - 1):
            # Ray raises nothing more precise.
            with suppress(Exception):
                return start()
        return start()
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def main() -> None:
    """Run it, and write results/ray.json."""
    folder, log = Path(tempfile.mkdtemp(prefix="dataselect-ray-")), Log()
    plan = write_plan(folder)
    local = local_ranking(folder, log, plan)
    cluster = _started(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 1}))
    second = _started(lambda: cluster.add_node(num_cpus=1))
    cluster.wait_for_nodes()
    driver = Driver(folder, "ray", "ray-1", plan, {"RAY_ADDRESS": cluster.address})
    log(f"Ray {ray.__version__}, two nodes")
    process = driver.start()

    def saved_on_second() -> object:
        for each in attempts(driver.store):
            node = each.begun.get("scheduler", {}).get("RAY_NODE_ID")
            if node == second.node_id and is_behind_its_save(each, driver.store):
                return each
        return None

    lost = wait_for("a saved training on the second node", saved_on_second)
    name = job_name(lost)
    cluster.remove_node(second, allow_graceful=False)
    log(f"the second node killed while it trained {name}")
    time.sleep(3)
    came_to, saved = step_of(lost), saved_step(driver.store, name)
    log(f"{name}: attempt 1 came to step {came_to}, saved at step {saved}")
    _started(lambda: cluster.add_node(num_cpus=1))
    log("a third node joined")
    again = type(lost)(lost.path.with_name("attempt-2"))
    wait_for("the second attempt", lambda: step_of(again, first=True) > 0)
    went = step_of(again, first=True)
    log(f"{name}: Ray started it again; first report at step {went}")
    log(f"{name}: steps repeated: {came_to - saved} of {came_to}")
    kill_driver(process, log)
    time.sleep(5)
    going_on = sorted({job_name(each) for each in attempts(driver.store) if is_training(each)})
    log(f"trainings that go on: {going_on}")
    driver.name = "ray-2"
    if driver.start().wait():
        raise SystemExit(driver.printed())
    found = [line for line in driver.printed().splitlines() if "found at" in line]
    log(f"the driver, started again: {found}")
    cluster.shutdown()
    more = {"came_to": came_to, "saved": saved, "went_on_at": went, "found": found}
    finish(folder, HERE / "results" / "ray.json", log, local, driver, more)


if __name__ == "__main__":
    main()
