"""torch and the GPUs, looked at in a process of its own: a broken build may end its process."""

import json
import subprocess
import sys
from typing import Any

_SECONDS = 180.0
"""A first import over a network file system may take minutes."""
_LOOK = """
import json, sys
import torch
gpus = []
facts = {
    "version": str(torch.__version__),
    "cuda": torch.version.cuda,
    "rocm": getattr(torch.version, "hip", None),
    "threads": torch.get_num_threads(),
    "gpus": gpus,
}
try:
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    torch.cuda.is_available() or torch.cuda.init() if torch.version.cuda else None
except Exception as error:
    seen, facts["error"] = 0, str(error)
for number in range(seen):
    each = {"number": number}
    gpus.append(each)
    try:
        known = torch.cuda.get_device_properties(number)
        each.update(name=known.name, memory=known.total_memory)
        each["capability"] = f"{known.major}.{known.minor}"
        each["free"] = torch.cuda.mem_get_info(number)[0]
        ones = torch.ones(64, 64, device=f"cuda:{number}")
        if float((ones @ ones).sum()) != 64.0**3:
            each["error"] = "it multiplies two matrices wrongly"
    except Exception as error:
        each["error"] = str(error)
print()
print(json.dumps(facts))
"""


def look_at_torch() -> dict[str, Any]:
    """Version, threads, and the GPUs that torch sees; `problem` alone where torch does not work."""
    try:
        ran = subprocess.run(  # noqa: S603 (this same interpreter)
            [sys.executable, "-c", _LOOK],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"it is not imported within {_SECONDS:.0f} seconds"}
    try:
        found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
        return found
    except (ValueError, IndexError):
        said = ran.stderr.strip().splitlines()
        ended = f"its process ended with {ran.returncode}"
        return {"problem": f"it cannot be imported ({said[-1] if said else ended})"}
