"""How each block of README.md and docs/*.md is tested, in the order of the pages.

A block that is not listed, and an entry without its block, fail `test_doc_blocks.py`. The ways:

- `run`: its commands, or its Python, are run one after another in one small project.
- `parse`: commands are parsed by the real command line, files that they name must be known, and
  Python is compiled and its calls of `dataselect` are bound to the signatures. Says why not more.
- `file PATH`: written to this file of the project, for what follows, and read by its loader.
- `as KIND`: read by the loader of its kind: a part of a plan, of a manifest, …
- `output`: must be what the block before it printed.
- `shown`: nothing to test: a layout, or an output that others test. Says why.
"""

HUB = "reads the Hub"
GPU = "wants models of billions of parameters"
PLACEHOLDERS = "has placeholders"
SYNOPSIS = "a synopsis"
CLUSTER = "wants a cluster"
HOURS = "takes minutes to hours"

WAYS: dict[str, list[tuple[str, str, str]]] = {
    "README.md": [
        ("make demo", "parse", "installs; the demo takes minutes"),
        (
            "two-styles comes first",
            "shown",
            "the quickstart's output, compared with its report below",
        ),
        ("dataselect/", "shown", "the tree, which test_layout.py reads"),
        ("dataselect init my-project", "run", ""),
        ("target: {size: 32B", "as manifest", ""),
        ("dataselect traces pull", "parse", HUB),
        ("dataselect agree PROXY.csv", "run", ""),
        ("import dataselect as ds", "parse", HUB),
    ],
    "docs/agreement.md": [
        ("dataselect agree PROXY.csv", "parse", SYNOPSIS),
        ("PROXY.csv      ", "shown", "two tables side by side"),
        ("import dataselect as ds", "parse", "`targets` is a frame of the reader's"),
        ("dataselect score ngram:mine.yaml", "parse", HUB),
    ],
    "docs/benchmarks.md": [
        ("benchmarks:", "as plan", ""),
        ("items: capitals.jsonl", "as benchmark", ""),
        ('{"ask": "What is', "as lines", ""),
    ],
    "docs/calibration.md": [
        ("dataselect calibrate SPEC.yaml", "parse", HUB),
        ("proxy:", "as calibration", ""),
        ("proxy: {model:", "as calibration", ""),
        ("target:", "as calibration", ""),
    ],
    "docs/cluster.md": [
        ("dataselect run candidates.yaml --on slurm", "parse", CLUSTER),
        ("compute:", "as plan", ""),
        ("screen:", "as plan", ""),
        ("compute: {on: ray", "as plan", ""),
        ("kubectl apply", "parse", CLUSTER),
    ],
    "docs/design.md": [("dataselect design candidates.yaml", "parse", "runs what it proposes")],
    "docs/doctor.md": [
        ("dataselect doctor", "parse", "asks a server"),
        ("import dataselect as ds", "parse", "the README's block runs the command"),
    ],
    "docs/evidence.md": [
        ("python benchmarks/desk_scale/all_metrics.py", "parse", HOURS),
        ("python benchmarks/same_words/study.py", "parse", HOURS),
    ],
    "docs/extending.md": [
        ("pip install pytest", "parse", "test_extending.py runs it"),
        ("import multiprocessing", "parse", "test_extending.py runs it"),
        ("from engine import", "parse", "test_extending.py runs it"),
        ("[project.entry-points", "as toml", ""),
        ("def make(settings)", "parse", "test_extending.py runs it"),
    ],
    "docs/isft.md": [
        ("dataselect score MODEL...", "parse", HUB),
        ("from dataselect.scoring.isft", "parse", "an outline: what it takes is the reader's"),
    ],
    "docs/leaks.md": [("leaks:", "as plan", "")],
    "docs/mixture.md": [
        ("dataselect mix fit", "parse", "the README's block runs `mix`"),
        ("import dataselect as ds", "parse", "the notebook on tables runs the same calls"),
        ("metrics: {arc: 2", "as objective", ""),
        ("target_tokens: 1T", "as constraints", ""),
        ("dataselect mix swarm", "parse", "the runs between its commands are the reader's"),
        ("mix:", "as plan", ""),
        ("mix:", "as plan", ""),
    ],
    "docs/proxies.md": [
        ("candidates:", "as manifest", ""),
        ("candidates:", "as manifest", ""),
        ("predict:", "as plan", ""),
        ("data.json  ", "shown", "the layout of a folder"),
    ],
    "docs/report.md": [("dataselect view reports/NAME", "parse", PLACEHOLDERS)],
    "docs/rungs.md": [("screen0:", "as plan", "")],
    "docs/scoring.md": [
        ("dataselect score MODEL...", "parse", HUB),
        ("import dataselect as ds", "parse", HUB),
        ("dataselect score ngram:crawl", "parse", HUB),
    ],
    "docs/stage1.md": [
        ("dataselect agree PROXY.csv", "run", ""),
        ("screen:", "as plan", ""),
        ("screen:", "as plan", ""),
        ("screen:", "as plan", ""),
    ],
    "docs/own_texts.md": [
        ("dataselect init my-project", "parse", "start.md runs it"),
        ("target:", "as manifest", ""),
        ('{"id": "Mercury', "as lines", ""),
        ("dataselect traces mark", "parse", "wants the benchmarks' items"),
        ("benchmarks:", "as plan", ""),
        ("dataselect validate", "parse", "wants the benchmarks' items"),
    ],
    "docs/start.md": [
        ("pip install .", "parse", "installs"),
        ("dataselect init my-project", "run", ""),
        ("dataselect validate", "run", ""),
        ("dataselect run", "run", ""),
        ("textbooks comes first", "shown", "of the plan as it is; docs_slow has the verdict"),
        ("dataselect status", "run", ""),
        ("import dataselect as ds", "run", ""),
    ],
    "docs/store.md": [
        ("pip install 'dataselect[s3]'", "parse", "wants an object store"),
        ("PREFIX/dataselect-store.json", "shown", "the layout of a bucket"),
        ("sources:", "as sources", ""),
    ],
    "docs/traces.md": [
        ("export OPENAI_API_KEY=...", "parse", "costs money"),
        ("dataselect traces mark", "parse", HUB),
        ("dataselect traces show", "parse", HUB),
    ],
    "docs/traces_without_key.md": [
        ("dataselect traces pull", "parse", HUB),
        ("dataselect traces pull --from", "parse", HUB),
        ("benchmarks:", "as plan", ""),
        ("dataselect traces weigh", "parse", HUB),
        ("pip install vllm", "parse", "wants a GPU"),
        ("dataselect doctor --base-url", "parse", "asks a server"),
        ('{"id": "Mercury', "as lines", ""),
        ("dataselect traces weigh", "parse", HUB),
        ("dataselect traces show", "parse", HUB),
    ],
    "docs/training.md": [
        ("predict:", "as plan", ""),
        ("pip install 'dataselect[fast]'", "parse", "installs"),
        ("srun torchrun", "parse", CLUSTER),
        ("{", "as lines", ""),
    ],
    "docs/transfer.md": [
        ("dataselect fit PAIRS.csv", "run", ""),
        ("import dataselect as ds", "parse", "the notebook on tables runs the same calls"),
        ("PAIRS.csv", "shown", "the layout of a table"),
        ('{"target_size":', "as lines", ""),
        ("dataselect predict --with", "parse", SYNOPSIS),
        ("SCORES.csv            or", "shown", "two tables side by side"),
    ],
    "docs/twelve_datasets.md": [
        ("target: {size: 7B", "file candidates/twelve.yaml", ""),
        ("tokenizer:", "file stages/eight-gpus.yaml", ""),
        ("dataselect design", "run", ""),
        ("Train 4M ×2", "output", ""),
        ("dataselect plan", "parse", HUB),
        ("dataselect traces pull", "parse", HUB),
        ("dataselect doctor", "parse", GPU),
        ("dataselect status twelve", "parse", "of a run that was not made"),
        ("mix:", "as plan", ""),
        ("dataselect mix", "parse", GPU),
        ("torchrun", "shown", "a trainer that is not ours"),
    ],
    "docs/watching.md": [
        ("dataselect status", "parse", "of a run of minutes"),
        ("quickstart: running", "shown", "an output"),
        ("[project.entry-points", "shown", "of a package of one's own"),
    ],
}

FILES = {
    *("PROXY.csv", "TARGET.csv", "PAIRS.csv", "SCORES.csv", "proxy.csv", "target.csv"),
    *("ratios.csv", "metrics.csv", "mixtures.csv", "limits.yaml"),
}
"""Files that `write_tables` of the test makes."""

YOURS = {
    *("SPEC.yaml", "FILE.json", "FILE.jsonl", "TRACES.jsonl.gz", "A.jsonl.gz", "B.jsonl.gz"),
    *("candidates.yaml", "candidates/mine.yaml", "mine.yaml", "candidates/web.yaml"),
    *("gsm8k.test.jsonl", "explanations.jsonl", "crawl.jsonl.gz", "stages/designed.yaml"),
    *("scores/scores_DATE.csv", "candidates/twelve.yaml", "candidates/example-local.yaml"),
    *("test_engine.py", "swarm/constraints.yaml", "items/gsm8k.test.jsonl"),
}
"""Files that a reader has, or that pages make of their text."""
