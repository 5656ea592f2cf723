"""The pages for people in a real browser: phone, laptop and paper, in light and in dark.

    pip install playwright axe-playwright-python      # and a Chromium, by its path
    python benchmarks/pages/browser.py benchmarks/pages/browser.json --chromium /usr/bin/chromium

Looks at the committed example, at reports of 2 and of 200 candidates whose titles, items and traces
hold what must not act, and at the pages of their items. For each page and size it counts what a
reader would suffer from: a page wider than the screen, a line in the console, a request to
anywhere, a script that ran, and what axe-core calls serious or critical.
"""

import argparse
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

SIZES = {"phone": (390, 844), "laptop": (1100, 800), "print": (794, 1123)}
HOSTILE = "<script>document.title='ran'</script><img src=x onerror=document.title='ran'>"


def make_report(folder: Path, candidates: int) -> Path:
    """A report of so many given checkpoints, with pages of its items."""
    from small_models import save_model
    from viewed_runs import ITEMS, TEXTS, _write

    import dataselect as ds
    from dataselect.compute import InlineCompute
    from dataselect.stages import engine

    # Starting a worker costs more than all that it has to do here.
    vars(engine)["default_compute"] = lambda *_: InlineCompute()
    folder.mkdir()
    (folder / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ITEMS))
    _write(folder / "odd.traces.jsonl", "odd", HOSTILE, TEXTS, 0.2)
    names = [f"c{number:03}" for number in range(candidates)]
    plan = {
        "benchmarks": [{"id": "odd", "items": "odd.jsonl", "traces": "odd.traces.jsonl"}],
        "screen": {"keep": 2},
        "compute": {"jobs": 1, "device": "cpu"},
    }
    rows = [
        {
            "id": name,
            "title": f"{name} {HOSTILE}",
            "proxies": {"screen": {"model": str(save_model(folder / name, seed)), "tokens": "1M"}},
        }
        for seed, name in enumerate(names, start=1)
    ]
    manifest = folder / "many.yaml"
    manifest.write_text(
        json.dumps({"target": {"size": "1B", "tokens": "1B"}, "plan": plan, "candidates": rows})
    )
    run = ds.run(manifest, store=folder / "store")
    run.write(folder / "out")
    ds.view(folder / "out", store=folder / "store", candidates=names[:8]).write()
    return folder / "out"


def look(browser: Browser, page: Path, size: str, scheme: str, shot: Path | None) -> dict[str, Any]:
    """What is wrong with a page at a size, in light or dark; `shot` is a picture of all of it."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=False
    )
    tab = context.new_page()
    console: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: console.append(message.text))
    tab.on("pageerror", lambda error: console.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    if size == "print":
        tab.emulate_media(media="print", color_scheme=scheme)
    tab.goto(page.as_uri())
    title, wide = tab.title(), tab.evaluate("document.documentElement.scrollWidth")
    outside = [url for url in requests if not url.startswith(("file:", "data:"))]
    others = [url for url in requests if url.startswith("file:") and url != page.as_uri()]
    found = {
        "page": page.name,
        "size": size,
        "scheme": scheme,
        "wider_by": max(0, int(wide) - width),
        "console": list(console),
        "requests": outside + others,
        "ran": title == "ran",
    }
    if shot is not None:
        tab.screenshot(path=shot, full_page=True)
    context.close()
    # axe-core is a script, which the page's own rules forbid, so it looks at a second visit.
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=True
    )
    tab = context.new_page()
    tab.goto(page.as_uri())
    response = Axe().run(tab).response
    context.close()
    found["axe_passed"] = len(response["passes"])
    found["axe"] = {
        each["id"]: {"impact": each["impact"], "nodes": len(each["nodes"])}
        for each in response["violations"]
    }
    return found


def main() -> None:
    """Look at all pages and write what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--shots", type=Path, help="folder for pictures of whole pages")
    arguments = parser.parse_args()
    if arguments.shots is not None:
        arguments.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        made = {n: make_report(Path(temporary) / f"of{n}", n) for n in (2, 200)}
        pages = {"example": [ROOT / "reports/example/report.html"]}
        for count, folder in made.items():
            pages[f"{count} candidates"] = [
                folder / "report.html",
                *sorted((folder / "items").glob("*.html")),
            ]
        browser = playwright.chromium.launch(executable_path=arguments.chromium)
        rows = []
        for what, files in pages.items():
            for page in files:
                for size in SIZES:
                    for scheme in ("light",) if size == "print" else ("light", "dark"):
                        name = f"{what.split()[0]}-{page.stem}-{size}-{scheme}.png"
                        shot = None if arguments.shots is None else arguments.shots / name
                        row = {"of": what, **look(browser, page, size, scheme, shot)}
                        rows.append(row | {"bytes": page.stat().st_size})
                        print(json.dumps(rows[-1]), flush=True)
        versions = {name: version(name) for name in ("playwright", "axe-playwright-python")}
        versions["chromium"] = browser.version
        browser.close()
    result = {"versions": versions, "pages": rows}
    arguments.result.write_text(json.dumps(result, indent=1) + "\n")
    bad = [
        row
        for row in rows
        if row["wider_by"]
        or row["console"]
        or row["requests"]
        or row["ran"]
        or any(each["impact"] in ("serious", "critical") for each in row["axe"].values())
    ]
    print(f"{len(rows)} looks, {len(bad)} with something wrong")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
