"""Only plain YAML 1.2 gets through, and the first fault in the file is named with its place."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.config import yamlfile
from dataselect.config.schema import Document, FieldError, Section, read, validate
from dataselect.config.yamlfile import Positions, dotted, load
from dataselect.errors import InputError
from dataselect.wording import nearest, quoted, slug


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "f.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def fault(folder: Path, text: str | bytes) -> str:
    """The message for `text`, from the line number on."""
    file = write(folder, text)
    with pytest.raises(InputError) as error:
        load(file)
    message = str(error.value)
    assert message.startswith(str(file))
    assert message.isprintable()
    return message.removeprefix(f"{file}:")


def test_scalars_are_read_by_the_core_schema(tmp_path: Path) -> None:
    text = """
    answer: no
    other: yes
    flag: True
    nothing: ~
    empty:
    count: 1e9
    small: 1e-3
    size: 6T
    underscored: 3_750
    octal: 0o17
    leading: 017
    hex: 0x1F
    time: 1:20
    date: 2024-01-01
    version: '1.10'
    tagged: !!str 1.10
    infinite: -.inf
    """
    values, _ = load(write(tmp_path, text))
    assert values == {
        "answer": "no",
        "other": "yes",
        "flag": True,
        "nothing": None,
        "empty": None,
        "count": 1e9,
        "small": 1e-3,
        "size": "6T",
        "underscored": 3750,
        "octal": 15,
        "leading": 17,
        "hex": 31,
        "time": "1:20",
        "date": "2024-01-01",
        "version": "1.10",
        "tagged": "1.10",
        "infinite": float("-inf"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty"),
        ("# nothing\n", "1:1: the file is empty"),
        ("- a\n", "1:1: the file holds no keys"),
        ("word", "1:1: the file holds no keys"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "4:3: the key 'c' is given twice (first in line 3)"),
        ("a: !!python/object:os.system x\n", "1:4: the tag '!!python/object:os.system'"),
        ("a: !mine [1]\n", "1:4: the tag '!mine' is not supported"),
        ("a: !!set {b}\n", "1:4: the tag '!!set' is not supported"),
        ("a: !!int x\n", "1:4: 'x' cannot be read as int"),
        ("a: 1\n<<: {b: 1}\n", "2:1: merge keys"),
        ("? [a]\n: 1\n", "1:3: a key must be plain text"),
        (": 1\n", "1:1: a key must be plain text"),
        ("a: &x [*x]\n", " the values are nested too deeply"),
        ("a: " + "[" * 5000, " the values are nested too deeply"),
        ("%YAML 1.1\n---\na: no\n", "1:1: asks for an older YAML"),
        ("a: 1\n---\nb: 1\n", "2:1: but found another document; keep one"),
        ("a:\n\tb: 1\n", "2:1: found character '\\t' that cannot start any token; indent"),
        ("a: @b\n", "1:4: found character '@' that cannot start any token; put text"),
        ("a: b: c\n", "1:5: mapping values are not allowed here; put text"),
        ("a: *b\n", "1:4: found undefined alias 'b'; put text"),
        ("a:\n  - b: [1\n", "3:1: expected ',' or ']'"),
        ("a: 1\nb: x\x07\n", "2:5: a control character in the text; remove it"),
        ('a: "\\x1b[31m"\n', "1:4: the control character '\\x1b' in '\\x1b[31m'; remove it"),
        ('a: "\\0"\n', "1:4: the control character '\\x00'"),
        ('"\\x1b": 1\n', "1:1: the control character '\\x1b'"),
        ('a: "\\ud800"\n', "1:4: the control character '\\ud800'"),
        (b"a: 1\nb: \xff\n", "2:4: the text is not UTF-8; save the file as UTF-8"),
        ("a: é\n".encode("utf-16"), "1:1: the text is not UTF-8"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert fault(tmp_path, text).startswith(message)


def test_aliases_work_but_may_not_explode(tmp_path: Path) -> None:
    values, _ = load(write(tmp_path, "a: &x {b: [1, 2]}\nc: *x\n"))
    assert values["c"] == {"b": [1, 2]}
    row = "[" + ", ".join(["*a{}"] * 50) + "]"
    bomb = "a0: &a0 [1]\n" + "".join(
        f"a{i}: &a{i} {row.replace('{}', str(i - 1))}\n" for i in range(1, 6)
    )
    assert "expands to more than 100,000 values" in fault(tmp_path, bomb)


@pytest.mark.parametrize("line", ["- x\n", "- {a: 1}\n", "- [1, 2]\n"])
def test_a_file_with_too_many_values_is_refused_where_it_has_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(yamlfile, "_MOST_VALUES", 300)
    # What follows is not read: it is not even YAML.
    text = "a:\n" + line * 301 + "%%% not: : yaml\n" * 1000
    message = fault(tmp_path, text)
    assert "the file has more than 100,000 values; name a manifest or plan" in message
    assert int(message.partition(":")[0]) <= 302


def test_what_has_no_end_is_read_as_far_as_a_file_may_go() -> None:
    with pytest.raises(InputError, match="zero: the file has 5 MiB, a YAML file here at most 4"):
        load(Path("/dev/zero"))


def test_a_byte_order_mark_and_windows_line_ends_are_harmless(tmp_path: Path) -> None:
    values, positions = load(write(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: two\r\n"))
    assert values == {"a": 1, "b": "two"}
    assert positions.mark(("b",)) == (2, 1)


def test_a_file_that_cannot_be_read_is_named_with_a_fix(tmp_path: Path) -> None:
    file = write(tmp_path, "a: 1\n")
    with pytest.raises(InputError, match=r"there is no such file; did you mean 'f\.yaml'\?"):
        load(file.with_name("ff.yaml"))
    with pytest.raises(InputError, match="there is no such file; check the name"):
        load(tmp_path / "none" / "f.yaml")
    with pytest.raises(InputError, match="this is a folder"):
        load(tmp_path)
    with file.open("wb") as stream:
        stream.truncate(9 * 2**20)
    with pytest.raises(InputError, match="the file has 9 MiB"):
        load(file)


def test_positions_are_those_of_keys_and_fall_back_to_the_nearest_parent(tmp_path: Path) -> None:
    file = write(tmp_path, "a: 1\nlist:\n  - id: x\n    path: y\n  - {id: z}\n")
    _, positions = load(file)
    assert positions.of(("list", 0, "path")) == f"{file}:4:5"
    assert positions.of(("list", 1, "id")) == f"{file}:5:6"
    assert positions.of(("list", 1, "path")) == f"{file}:5:5"
    assert positions.of(("none", "of", "these")) == f"{file}:1:1"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc-_.", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text("abcd", min_size=1, max_size=5), PLAIN, min_size=1, max_size=5))
def test_json_is_read_as_the_yaml_that_it_is(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    file = tmp_path_factory.mktemp("yaml") / "f.yaml"
    file.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    assert load(file)[0] == values


@given(st.text(max_size=60) | st.text("a:-[]{}&*!|>'\"#%@ \n\t,?1.<~", max_size=60))
def test_any_text_is_either_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.mktemp("yaml") / "f.yaml"
    file.write_text(text, encoding="utf-8", errors="replace", newline="")
    try:
        outcome: object = load(file)[0]
    except InputError as error:
        outcome = str(error)
    assert isinstance(outcome, dict) or (isinstance(outcome, str) and outcome.isprintable())


class Leaf(Section):
    id: str
    title: str | None = None
    files: str | list[str] | None = None
    share: float = 1.0
    flag: bool = False


class Tree(Document):
    leaves: list[Leaf] = []  # noqa: RUF012
    shares: dict[str, float] = {}  # noqa: RUF012


def tree_fault(folder: Path, text: str) -> str:
    file = write(folder, text)
    with pytest.raises(InputError) as error:
        read(Tree, file)
    return str(error.value).removeprefix(f"{file}:")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leafs: []", "1:1: unknown key 'leafs'; did you mean 'leaves'? (keys: name, leaves, "),
        (
            "leaves:\n- id: a\n  titel: x",
            "3:3: unknown key 'titel' in leaves[0]; did you mean 'title'? (keys: id, title, ",
        ),
        ("leaves:\n- id: a\n  zzz: x", "3:3: unknown key 'zzz' in leaves[0]; remove it or"),
        ("leaves:\n- id: a\n- title: b", "3:3: leaves[1] has no 'id'; add 'id:'"),
        ("leaves:\n- id: 1.10", "2:3: leaves[0].id: 1.10 means a number here; put text in quotes"),
        ("leaves:\n- id: true", "2:3: leaves[0].id: true means true or false here; put text"),
        ("leaves:\n- id:", "2:3: leaves[0].id: an empty value does not fit; write text"),
        ("leaves:\n- id: [a]", "2:3: leaves[0].id: a list of 1 does not fit; write text"),
        ("leaves:\n- {id: a, files: {}}", "2:11: leaves[0].files: a mapping does not fit; write "),
        ("leaves:\n- {id: a, files: [b, 5]}", "2:22: leaves[0].files[1]: 5 means a number"),
        ("leaves:\n- {id: a, share: x}", "2:11: leaves[0].share: 'x' does not fit; write a numb"),
        ("leaves:\n- {id: a, flag: x}", "2:11: leaves[0].flag: 'x' does not fit; write true or f"),
        ("leaves:\n- 5", "2:3: leaves[0]: 5 does not fit; write a mapping"),
        ("leaves: 5", "1:1: leaves: 5 does not fit; write a list"),
        ("shares: [a]", "1:1: shares: a list of 1 does not fit; write a mapping"),
        ('shares: {"a\\nb": x}', "1:10: shares.'a\\nb': 'x' does not fit; write a number"),
        ("name: a/b", "1:1: name: 'a/b' is not an id; use 1 to 64 of"),
    ],
)
def test_a_fault_of_the_model_names_place_key_and_fix(
    tmp_path: Path, text: str, message: str
) -> None:
    assert tree_fault(tmp_path, text).startswith(message)


def test_the_first_fault_in_the_file_is_the_one_raised(tmp_path: Path) -> None:
    text = "leaves:\n- {id: a, share: x}\n- {id: b, zzz: 1}\nzzz: 1\n"
    assert tree_fault(tmp_path, text).startswith("2:11:")


def test_a_misspelt_key_is_named_rather_than_the_key_that_is_missing_for_it(
    tmp_path: Path,
) -> None:
    message = tree_fault(tmp_path, "leaves:\n- title: x\n  idd: a\n")
    assert message.startswith("3:3: unknown key 'idd' in leaves[0]; did you mean 'id'?")


def test_a_validator_may_point_at_a_key_inside_its_section() -> None:
    from pydantic import model_validator

    class Pair(Section):
        values: list[int]

        @model_validator(mode="after")
        def _differ(self) -> "Pair":
            raise FieldError("the same again", "change it", "values", 1)

    positions = Positions(Path("f.yaml"))
    positions.record(("values", 1), 7, 3, "2")
    with pytest.raises(InputError) as error:
        validate(Pair, {"values": [2, 2]}, positions)
    assert str(error.value) == "f.yaml:7:3: values[1]: the same again; change it"


def test_a_document_knows_its_folder_its_name_and_its_places(tmp_path: Path) -> None:
    file = tmp_path / "My First.yaml"
    file.write_text("leaves:\n  - id: a\n")
    tree = read(Tree, file)
    assert (tree.name, tree.base) == ("my-first", tmp_path)
    assert tree.where("leaves", 0, "id") == f"{file}:2:5"


def test_names_are_matched_in_any_case_and_only_when_they_are_alike() -> None:
    assert nearest("4m", ["4M", "60M"]) == "did you mean '4M'?"
    assert nearest("zebra", ["4M", "60M"]) == ""


def test_messages_show_values_on_one_line_and_cut() -> None:
    assert quoted("a\n\x1b\u202eb") == r"'a\n\x1b\u202eb'"
    assert len(quoted("x" * 1000)) < 70
    assert dotted(("a", 0, "b", "x y")) == "a[0].b.'x y'"


@given(st.text(max_size=100))
def test_a_slug_is_an_id_or_nothing(text: str) -> None:
    made = slug(text)
    if made:
        positions = Positions(Path("f"))
        assert validate(Tree, {"name": made}, positions).name == made


def test_the_inputs_load_without_the_heavy_libraries() -> None:
    code = (
        "import sys, dataselect.config.manifest, dataselect.config.plan;"
        "print({'torch','transformers','datasets','pandas','scipy','pyarrow','numpy'}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("text", ["2_5", "0_5", "1_0.5", "1_00", "0x1_0"])
def test_underscores_that_part_no_thousands_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as refused:
        load(write(tmp_path, f"weight: {text}"))
    assert f"'{text}' is not a number; write {text.replace('_', '')}, or put" in str(refused.value)
    assert load(write(tmp_path, f"weight: '{text}'"))[0] == {"weight": text}
