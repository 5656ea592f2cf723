"""The example in docs/extending.md passes the contract that it is an example of."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/extending.md"


def test_the_engine_of_the_page_passes_its_contract(tmp_path: Path) -> None:
    engine, test = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "engine.py").write_text(engine)
    (tmp_path / "test_engine.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "25 passed, 2 skipped" in done.stdout


def test_the_package_works_without_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "import dataselect.pipeline, dataselect.cli, dataselect.compute\n"
        "assert 'dataselect.testing' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_worker_that_runs_the_contracts_jobs_needs_no_pytest() -> None:
    code = "import sys\nimport dataselect.testing.jobs\nassert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
