"""`ds.view` and `dataselect view`: what a run scored of an item, looked at token by token."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result
from viewed_runs import HOSTILE, TEXTS, make_run, save_models

import dataselect as ds
from dataselect.cli import app
from dataselect.errors import InputError
from dataselect.scoring.token_nlls import TokenNlls, TokenReader
from dataselect.store.sealed import unsealed

BAD = f"bad {HOSTILE}"
TABLE = "rbridge"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run's report `out`, its `store` and its `models`."""
    folder = tmp_path_factory.mktemp("viewed")
    make_run(folder, save_models(folder / "models", "abc"))
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A report that the test may change, with a store of its own; models are shared."""
    shutil.copytree(made / "out", tmp_path / "out")
    shutil.copytree(made / "store", tmp_path / "store")
    shutil.copytree(made / "data", tmp_path / "data")
    return tmp_path / "out"


def stored(store: Path) -> dict[str, list[pd.DataFrame]]:
    """The tables of scores in the store, by the ids of their items."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(store.glob("artifacts/scores/*/scores.parquet")):
        table = pd.read_parquet(path).set_index("item")
        tables.setdefault(",".join(table.index), []).append(table)
    return tables


class Page(HTMLParser):
    """What a page has: its tags with attributes, its texts, and its tables as rows of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["view", *map(str, arguments)])


def test_scores_are_the_stored_ones_and_tokens_give_them_again(made: Path) -> None:
    shown = ds.view(made / "out")
    assert shown.stage == "stage1"
    assert shown.notes == ()
    (odd,) = [tables for items, tables in stored(made / "store").items() if "," in items]
    items = shown.items.set_index(["benchmark", "item"])
    for item in TEXTS:
        of_store = sorted(float(table.loc[item, TABLE]) for table in odd)
        of_view = sorted(float(items.loc[("odd", item), name]) for name in "abc")
        assert of_view == of_store
    tokens = shown.tokens
    for (benchmark, item), rows in tokens.groupby(["benchmark", "item"]):
        by_frontier = [each.dropna(subset="weight") for _, each in rows.groupby("frontier")]
        assert len(by_frontier) == (2 if benchmark == "small" else 1)
        for name in "abc":
            # Of several frontier models the score is the mean of their traces'.
            means = [float((each[name] * each["weight"]).mean()) for each in by_frontier]
            score = float(items.loc[(benchmark, item), name])
            assert sum(means) / len(means) == pytest.approx(score, abs=1e-4)


def test_the_tokens_are_the_letters_of_the_trace(made: Path) -> None:
    tokens = ds.view(made / "out").tokens
    for item, text in TEXTS.items():
        rows = tokens[(tokens["benchmark"] == "odd") & (tokens["item"] == item)]
        assert "".join(rows["text"]) == text.strip()


def test_items_come_by_falling_spread_and_as_many_as_asked_for(made: Path) -> None:
    every = ds.view(made / "out", benchmarks="odd").items
    spreads = every[["a", "b", "c"]].std(axis=1, ddof=0)
    assert every["spread"].tolist() == pytest.approx(sorted(spreads, reverse=True))
    two = ds.view(made / "out", benchmarks="odd", items=2).items
    assert two["item"].tolist() == every["item"].tolist()[:2]
    pair = ds.view(made / "out", benchmarks="odd", candidates=["a", "c"], items=3).items
    distance = (every["a"] - every["c"]).abs()
    wanted = every.assign(distance=distance).sort_values("distance", ascending=False)
    assert pair["item"].tolist() == wanted["item"].tolist()[:3]
    assert pair["spread"].tolist() == pytest.approx(wanted["distance"].tolist()[:3])


def test_the_effect_of_leaving_an_item_out_is_that_of_leaving_it_out(made: Path) -> None:
    shown = ds.view(made / "out", benchmarks="odd", candidates=["b", "a"])
    items = shown.items.set_index("item")
    difference = items["a"] - items["b"]
    assert items["difference"].tolist() == pytest.approx(difference.tolist())
    for item in items.index:
        assert items.loc[item, "without"] == pytest.approx(difference.drop(item).mean())
    (view,) = shown.benchmarks
    assert view.pair is not None
    moved = (difference.mean() - items["without"]).abs()
    assert view.pair.most_influential == moved.idxmax()
    turning = view.pair.turning
    assert turning
    assert difference.mean() * difference.drop(turning).mean() < 0
    for kept in turning:
        assert difference.mean() * difference.drop([t for t in turning if t != kept]).mean() >= 0


def test_a_second_look_loads_no_model(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ds.view(made / "out", items=2)

    def refuse(*_: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("dataselect.scoring.loading.load_model", refuse)
    again = ds.view(made / "out", items=2)
    pd.testing.assert_frame_equal(again.tokens, first.tokens)
    assert again.notes == ()


def test_the_page_says_the_scores_and_nothing_in_it_acts(run: Path) -> None:
    result = invoke(run, "--candidates", "a,b,c", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "\x1b[31m" not in result.output
    assert "\u202e" not in result.output
    shown = ds.view(run, candidates=["a", "b", "c"])
    text = (run / "items/odd.html").read_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    page = Page(text)
    assert {"script", "img", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.tags)
    assert not [name for _, each in page.tags for name in each if name.startswith("on")]
    links = [str(each["href"]) for each in page.named("a")]
    assert {link for link in links if not link.startswith("#")} == {"../report.html", "small.html"}
    assert all(each.startswith("default-src 'none'") for each in _policies(page))
    assert '<script>alert("x")</script>\\x1b[31m\\u202eabc' in "".join(page.texts)
    for row in shown.items[shown.items["benchmark"] == "odd"].to_dict("records"):
        for name in "abc":
            cells = [cells for cells in page.rows if name in cells and f"{row[name]:.4f}" in cells]
            assert cells, (row["item"], name)
    # Every token's numbers are told in words.
    titles = [str(each["title"]) for each in page.named("span") if "title" in each]
    tokens = shown.tokens[shown.tokens["benchmark"] == "odd"]
    assert len(titles) == len(tokens)
    first = tokens[tokens["item"] == shown.items["item"][0]].iloc[3]
    nlls = ", ".join(f"{name} {first[name]:.3f}" for name in "abc")
    weight = "no weight" if pd.isna(first["weight"]) else f"weight {first['weight']:.3f}"
    assert f"token 4, {weight}: {nlls}" in titles


@pytest.fixture(autouse=True)
def unrendered() -> None:
    """The folder of these tests was made once, with pictures, and is written again."""


def _policies(page: Page) -> list[str]:
    found = [e for e in page.named("meta") if e.get("http-equiv") == "Content-Security-Policy"]
    return [str(each["content"]) for each in found] or ["none"]


def test_the_report_leads_to_the_pages_as_long_as_they_are_of_its_scores(run: Path) -> None:
    assert "items/" not in (run / "README.md").read_text()
    assert invoke(run, "--device", "cpu").exit_code == 0
    for name in ("README.md", "report.html"):
        assert "items/odd.html" in (run / name).read_text()
        assert "items/small.html" in (run / name).read_text()
    (run / "items/mine.html").write_text("<p>a page of the user's own</p>")
    assert invoke(run, "--benchmarks", "odd", "--device", "cpu").exit_code == 0
    assert {path.name for path in (run / "items").iterdir()} == {"odd.html", "mine.html"}
    assert "mine.html" not in (run / "report.html").read_text()
    assert "items/small.html" not in (run / "report.html").read_text()
    before = (run / "report.html").read_bytes()
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0
    assert (run / "report.html").read_bytes() == before
    content = unsealed(json.loads((run / "report.json").read_bytes()))
    content["provenance"]["benchmarks"]["odd"]["traces_hash"] = "other"
    (run / "report.json").write_text(json.dumps(content))
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0
    assert "items/odd.html" not in (run / "report.html").read_text()


def test_one_item_and_one_that_is_left_out(run: Path) -> None:
    result = invoke(run, "--item", BAD, "--item", "untold", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (run / "items").iterdir()] == ["odd.html"]
    page = Page((run / "items/odd.html").read_text())
    said = " ".join("".join(page.texts).split())
    assert "Left out for all candidates: it has no trace." in said
    broken = invoke(run, "--item", "broken", "--device", "cpu")
    assert broken.exit_code == 0, broken.output
    text = (run / "items/odd.html").read_text()
    assert "its question is missing or not text" in text


def test_leaked_items_are_marked(run: Path) -> None:
    content = unsealed(json.loads((run / "report.json").read_bytes()))
    leak = {"items": {"items": 1, "ids": ["plain"], "first": ["plain"]}}
    content["leaks"] = {"candidates": {"b": {"odd": leak}}}
    shown = ds.view(run, item="plain", benchmarks="odd")
    (item,) = shown.benchmarks[0].items
    assert item.leaked == ()
    (run / "report.json").write_text(json.dumps(content))
    (item,) = ds.view(run, item="plain", benchmarks="odd").benchmarks[0].items
    assert item.leaked == ("b",)


def test_without_a_checkpoint_its_items_have_scores_alone(
    made: Path, run: Path, tmp_path: Path
) -> None:
    # The report's manifest names the models by absolute paths.
    manifest = run / "resolved.yaml"
    manifest.write_text(manifest.read_text().replace(str(made / "models"), str(tmp_path / "m")))
    shutil.copytree(made / "models", tmp_path / "m")
    (tmp_path / "m/a/config.json").write_text("{}")
    shutil.rmtree(tmp_path / "m/b")
    result = invoke(run, "--items", "1", "--device", "cpu")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert (
        "a has scores alone, without tokens: a (a): its files are not those that were scored"
        in (said)
    )
    assert "b has scores alone, without tokens" in said
    shown = ds.view(run, items=1)
    assert {"a", "b", "c"} <= set(shown.items)
    assert set("abc") & set(shown.tokens) == {"c"}
    text = (run / "items/odd.html").read_text()
    assert "has scores alone, without tokens" in text


def test_a_checkpoint_that_does_not_give_its_score_again_is_told(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = TokenReader._measure

    def shifted(self: TokenReader, *arguments: Any) -> dict[str, TokenNlls]:
        found = measure(self, *arguments)
        return {name: replace(each, nll=each.nll + 0.01) for name, each in found.items()}

    monkeypatch.setattr(TokenReader, "_measure", shifted)
    shown = ds.view(run, item="plain", benchmarks="odd", candidates="a")
    (note,) = shown.notes
    assert re.search(r"a \(a\) is not what was scored: its tokens give item plain \d", note)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--item", "plainly"], "--item: there is no item 'plainly'; did you mean 'plain'?"),
        (["--benchmarks", "even"], "--benchmarks: there is no 'even'"),
        (["--candidates", "a,d"], "--candidates: there is no 'd'"),
        (["--stage", "2"], "--stage: the run has no scores of stage 2; give 1"),
        (["--store", "elsewhere"], "there is no store here; name the run's store with --store"),
        (["--items", "0"], "--items"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    made: Path, arguments: list[str], message: str
) -> None:
    result = invoke(made / "out", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_other_traces_and_other_stores_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no scores of \w on odd"):
        ds.view(run, store=tmp_path / "empty")
    rows = (tmp_path / "data/odd.jsonl").read_text()
    (tmp_path / "data/odd.jsonl").write_text(rows.replace("3 apples", "4 apples"))
    with pytest.raises(InputError, match="'odd' have changed since the run"):
        ds.view(run)
    with pytest.raises(InputError, match="cannot be read"):
        ds.view(tmp_path)


def test_a_report_that_holds_something_else_is_told_in_one_line(run: Path) -> None:
    path = run / "report.json"
    content = unsealed(json.loads(path.read_text()))
    whole = content["provenance"]["proxies"]["stage1"]
    of_a = whole["a"]["checkpoints"][0]
    for odd in (None, [], [{}], [{**of_a, "identity": 3}], [{**of_a, "identity": {"proxy": "x"}}]):
        changed = {**whole, "a": {**whole["a"], "checkpoints": odd}}
        content["provenance"]["proxies"]["stage1"] = changed
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match="is no report of this version"):
            ds.view(run)
    content["provenance"]["proxies"]["stage1"] = whole
    path.write_text(json.dumps({key: each for key, each in content.items() if key != "run"}))
    with pytest.raises(InputError, match="is no report of this version"):
        ds.view(run)
    path.write_text(json.dumps(content))
    resolved = run / "resolved.yaml"
    resolved.write_text(re.sub(r'"?id"?: "?odd"?', "id: other", resolved.read_text()))
    with pytest.raises(InputError, match=r"it has no benchmark 'odd', which report\.json names"):
        ds.view(run)


def test_a_run_is_found_by_its_name(made: Path) -> None:
    shown = ds.view("odd-run", store=made / "store", items=1)
    assert shown.folder == made / "out"
    assert "nats per token ahead of" in shown.verdict
    assert shown.verdict in repr(shown)
    assert "<table" in shown._repr_html_()
