"""`dataselect score --isft`: accuracy after fine-tuning, beside the other metrics."""

from typing import Any

import pytest

from dataselect.proxies.recipe import TuneRecipe
from dataselect.scoring import isft


def trainable(bench: Any) -> None:
    """The benchmark with a training set whose only answer is that of its last item."""
    rows = [{"id": f"t{n}", "question": f"Is it {n}?", "answer": "15"} for n in range(24)]
    bench.write_rows("shots.jsonl", rows)
    path = bench.folder / "sums.yaml"
    path.write_text(bench.yaml + "training_set: true\n")


def test_it_is_a_column_and_a_metric_of_its_own(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable(bench)
    bench.traces("traces/sums.oracle.jsonl.gz")
    recipe = TuneRecipe(learning_rate=1e-2, batch_size=8, epochs=8)
    monkeypatch.setattr(isft, "tune_recipe", lambda device: recipe)
    result = bench.score("--isft")
    assert result.exit_code == 0, result.output
    assert "fine-tuning on 24 examples of sums" in result.stderr
    table, content = bench.items(), bench.results()
    # The model has learnt to answer 15, which is right once.
    assert table["isft_accuracy"].to_dict() == {f"s{n}": float(n == 5) for n in range(6)}
    assert "correct" not in table.columns
    found = content["results"]["sums"]
    assert found["isft_accuracy,none"] == pytest.approx(1 / 6)
    assert content["higher_is_better"]["sums"]["isft_accuracy"] is True
    assert "iSFT" in result.stdout
    # The other metrics are those of the model before fine-tuning.
    plain = bench.score("--out", "plain")
    assert plain.exit_code == 0, plain.output
    assert table["rbridge"].equals(bench.items(out="plain")["rbridge"])


def test_a_benchmark_without_a_training_set_is_an_error_before_anything_is_measured(
    bench: Any,
) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    result = bench.score("--isft")
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: sums: it has no training set to fine-tune on; leave it out")
    assert not (bench.folder / ".dataselect" / "artifacts" / "scores").exists()


def test_the_paper_s_recipe_is_the_default() -> None:
    recipe = isft.tune_recipe("cpu")
    assert (recipe.epochs, recipe.learning_rate) == (1, 1e-5)
    assert (recipe.warmup_fraction, recipe.batch_size) == (0.1, 64)
    assert (recipe.precision, isft.tune_recipe("cuda").precision) == ("fp32", "bf16")
