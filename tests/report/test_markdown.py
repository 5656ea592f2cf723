from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dataselect.report.markdown import code, escape, table
from dataselect.wording import one_line

PUNCTUATION = st.text(alphabet="\\`*_{}[]()<>#+-=.!|&~$@:;/'\"1ab w", max_size=30)


@given(PUNCTUATION | st.text(max_size=30))
def test_escaped_text_shows_as_it_is_wherever_it_stands(text: str) -> None:
    shown = " ".join(one_line(text).split())
    parser = MarkdownIt("commonmark").enable("table")
    line = unescape(parser.render(escape(text))).strip()
    assert line == (f"<p>{shown}</p>" if shown else "")
    bullet = unescape(parser.render(f"- x{escape(text)}"))
    assert f"<li>x{shown}</li>" in bullet
    cell = unescape(parser.render(table(["a", "b"], [[escape(text), "end"]])))
    assert f"<td>{shown}</td>" in cell.replace(' style="text-align:left"', "")


@given(st.text(alphabet="`` |!a[](:x)<b>", min_size=1, max_size=20))
def test_a_code_span_shows_any_name_as_it_is(text: str) -> None:
    shown = one_line(text) or "x"
    parser = MarkdownIt("commonmark").enable("table")
    assert (
        unescape(parser.render(f"- {code(shown)}"))
        == f"<ul>\n<li><code>{shown}</code></li>\n</ul>\n"
    )
    cell = unescape(parser.render(table(["a"], [[code(shown)]])))
    assert f"<code>{shown}</code></td>" in cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n b\tc", "a b c"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("na\u0308ive 数据 👩\u200d🔬", "na\u0308ive 数据 👩\u200d🔬"),
    ],
)
def test_foreign_text_is_one_harmless_line(text: str, shown: str) -> None:
    assert one_line(text) == shown
