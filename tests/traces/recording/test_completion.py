import json
import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.traces.alignment import AlignmentError, ServerToken
from dataselect.traces.recording.completion import (
    Form,
    MalformedAnswerError,
    messages,
    prompt_template,
    read_completion,
    trace_from_completion,
)

SHORT = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
LETTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/\b\f\n\r\t né日😀\u2028 ')
TEXT = st.text(LETTERS, min_size=1, max_size=30).filter(str.strip)
LOGPROB = st.floats(-20, 0) | st.sampled_from([None, -9999.0])
PLAIN = "<<<REASONING>>>\n{}\n<<<FINAL ANSWER>>>\n{}\n<<<END>>>"


def code_units(letter: str) -> str:
    r"""The \uXXXX escape of a letter, two for those beyond 16 bits."""
    data = letter.encode("utf-16-be")
    return "".join(f"\\u{data[i : i + 2].hex()}" for i in range(0, len(data), 2))


@st.composite
def spelt(draw: st.DrawFn, text: str) -> list[str]:
    """One JSON spelling of each letter; a short escape never makes a LaTeX command."""
    spellings = []
    for letter, after in zip(text, [*text[1:], ""], strict=True):
        forms = [code_units(letter), code_units(letter).upper().replace("\\U", "\\u")]
        if letter not in '"\\':
            forms.append(letter)
        is_command = letter in "\b\f\n\r\t" and after.isascii() and after.isalpha()
        if letter in SHORT and not is_command:
            forms.append(f"\\{SHORT[letter]}")
        spellings.append(draw(st.sampled_from(forms)))
    return spellings


@st.composite
def answers(draw: st.DrawFn, spellings: list[str]) -> tuple[str, int]:
    """A completion that holds the reasoning so spelt, and where its first letter is."""
    space = st.sampled_from(["", " ", "\n", "\r\n\t"])
    pairs = ['"final_answer": "é\\u00e9\\"4"', '"é\\"other": [{"reasoning": null}, "}", 1e5, true]']
    before, after = draw(st.sampled_from([([], pairs), (pairs, []), (pairs[:1], pairs[1:])]))
    opening = "".join(f"{pair}{draw(space)},{draw(space)}" for pair in before)
    closing = "".join(f"{draw(space)},{draw(space)}{pair}" for pair in after)
    head = f'{{{draw(space)}{opening}"reasoning"{draw(space)}:{draw(space)}"'
    tail = f'"{closing}{draw(space)}}}'
    fence = draw(st.sampled_from([("", ""), ("```json\n", "\n```"), ("```", "```")]))
    head = f"{draw(space)}{fence[0]}{head}"
    return f"{head}{''.join(spellings)}{tail}{fence[1]}{draw(space)}", len(head)


@st.composite
def emitted(draw: st.DrawFn, content: str) -> list[ServerToken]:
    """The completion cut into tokens at any bytes; an empty one would be a part of a letter."""
    data = content.encode()
    cuts = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=40)))
    pieces = [data[a:b] for a, b in pairwise([0, *cuts, len(data)])]
    logprobs = draw(st.lists(LOGPROB, min_size=len(pieces), max_size=len(pieces)))
    return [
        ServerToken(piece.decode("utf-8", "replace"), piece, logprob)
        for piece, logprob in zip(pieces, logprobs, strict=True)
    ]


def mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def slowly(
    content: str, start: int, spellings: list[str], tokens: list[ServerToken]
) -> list[float]:
    """Probability of each spelt letter from `start` on, byte by byte."""
    owner = [i for i, token in enumerate(tokens) for _ in token.data or b""]
    p_of_token = [
        math.nan if t.logprob is None or t.logprob <= -9999 else math.exp(t.logprob) for t in tokens
    ]
    found = []
    for spelling in spellings:
        characters = []
        for character in spelling:
            first = len(content[:start].encode())
            owners = {owner[first + i] for i in range(len(character.encode()))}
            characters.append(mean([p_of_token[i] for i in owners]))
            start += 1
        found.append(mean(characters))
    return found


def one_token_a_letter(content: str) -> list[ServerToken]:
    return [ServerToken(c, c.encode(), -i / 100) for i, c in enumerate(content)]


@given(st.data(), TEXT)
def test_any_text_in_any_spelling_and_token_split_gets_its_probabilities(
    data: st.DataObject, text: str
) -> None:
    spellings = data.draw(spelt(text))
    content, start = data.draw(answers(spellings))
    tokens = data.draw(emitted(content))
    wanted = slowly(content, start, spellings, tokens)
    first = len(text) - len(text.lstrip())
    wanted = wanted[first : first + len(text.strip())]
    if all(math.isnan(p) for p in wanted):
        with pytest.raises(AlignmentError, match="no letter"):
            trace_from_completion("q", content, tokens, "json")
        return
    trace = trace_from_completion("q", content, tokens, "json")
    assert (trace.item, trace.text, trace.answer) == ("q", text.strip(), 'éé"4')
    assert trace.letter_probs == pytest.approx(wanted, rel=1e-5, nan_ok=True)


@given(st.data(), TEXT)
def test_every_letter_has_the_span_that_spells_it(data: st.DataObject, text: str) -> None:
    spellings = data.draw(spelt(text))
    content, start = data.draw(answers(spellings))
    found = read_completion(content, "json")
    assert found.reasoning == text
    assert [content[a:b] for a, b in found.letters] == spellings
    assert found.letters[0][0] == start
    assert found.repaired == 0


@given(st.data(), TEXT)
def test_any_plain_text_gets_its_probabilities(data: st.DataObject, text: str) -> None:
    content = PLAIN.format(text, "4")
    tokens = data.draw(emitted(content))
    start = content.index("\n") + 1
    wanted = slowly(content, start, list(text), tokens)
    first = len(text) - len(text.lstrip())
    wanted = wanted[first : first + len(text.strip())]
    if all(math.isnan(p) for p in wanted):
        return
    trace = trace_from_completion("q", content, tokens, "plain")
    assert (trace.text, trace.answer) == (text.strip(), "4")
    assert trace.letter_probs == pytest.approx(wanted, rel=1e-5, nan_ok=True)


@given(TEXT)
def test_a_server_without_bytes_gives_the_same_probabilities(text: str) -> None:
    content = json.dumps({"reasoning": f"{text} ", "final_answer": None}, ensure_ascii=False)
    try:
        exact = trace_from_completion("q", content, one_token_a_letter(content), "json")
    except MalformedAnswerError as error:
        assert re.search(r"[\b\f\n\r\t][A-Za-z]", text), error  # noqa: PT017
        return
    bare = [ServerToken(t.text, None, t.logprob) for t in one_token_a_letter(content)]
    assert trace_from_completion("q", content, bare, "json") == exact


def test_tokens_that_straddle_both_quotes_count_for_the_letters_inside() -> None:
    tokens = [
        ServerToken(text, None, math.log(p))
        for text, p in [('{"reasoning', 0.9), ('": "a', 0.5), ("b", 0.25), ('c"}', 0.125)]
    ]
    trace = trace_from_completion("q", '{"reasoning": "abc"}', tokens, "json")
    assert (trace.text, trace.answer) == ("abc", None)
    assert trace.letter_probs == pytest.approx([0.5, 0.25, 0.125])


def test_an_escape_is_one_letter_with_the_mean_of_its_characters() -> None:
    content = '{"reasoning": "a\\n\\ud83d\\ude00b"}'
    probs = [1.0] * 15 + [0.5, 0.4, 0.2, *([0.1] * 6), *([0.3] * 6), 0.7, 1.0, 1.0]
    tokens = [ServerToken(c, c.encode(), math.log(p)) for c, p in zip(content, probs, strict=True)]
    trace = trace_from_completion("q", content, tokens, "json")
    assert trace.text == "a\n😀b"
    assert trace.letter_probs == pytest.approx([0.5, 0.3, 0.2, 0.7])


def test_missing_probabilities_are_left_out_of_a_letters_mean() -> None:
    content = '{"reasoning": "a\\n\\t"}'
    known = {17: math.log(0.5), 18: -9999.0}
    tokens = [ServerToken(c, None, known.get(i)) for i, c in enumerate(content)]
    trace = trace_from_completion(
        "q",
        f"{content[:18]}b{content[20:]}",
        [*tokens[:18], ServerToken('b"}', None, None)],
        "json",
    )
    assert trace.runs == ((1, None), (1, 0.5), (1, None))


def test_reasoning_without_any_probability_is_refused() -> None:
    content = '{"reasoning": "abc", "final_answer": 4}'
    tokens = [ServerToken(content[:19], None, None), ServerToken(content[19:], None, -0.5)]
    with pytest.raises(AlignmentError, match="no letter of its reasoning"):
        trace_from_completion("q", content, tokens, "json")


def test_tokens_of_another_answer_are_refused() -> None:
    with pytest.raises(AlignmentError, match="the tokens spell"):
        trace_from_completion("q", '{"reasoning": "a"}', one_token_a_letter("b"), "json")


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ('" 4 "', "4"),
        ("4.50", "4.50"),
        ("true", "true"),
        ("null", None),
        ('""', None),
        ('["A"]', '["A"]'),
        (None, None),
    ],
)
def test_an_answer_is_kept_as_text(value: str | None, answer: str | None) -> None:
    pair = "" if value is None else f', "final_answer": {value}'
    assert read_completion(f'{{"reasoning": "a"{pair}}}', "json").answer == answer


def test_raw_control_characters_are_letters() -> None:
    assert read_completion('{"reasoning": "a\nb\tc\0"}', "json").reasoning == "a\nb\tc\0"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the answer is empty"),
        (" \n", "the answer is empty"),
        ("The answer is 4.", "does not begin with a JSON object"),
        ('Sure! {"reasoning": "a"}', "does not begin with a JSON object"),
        ('["reasoning"]', "does not begin with a JSON object"),
        ("{", "cut short"),
        ('{"reasoning": "a', "cut short"),
        ('{"reasoning": "a\\', "cut short"),
        ('{"reasoning": "a\\u00', "cut short"),
        ('{"reasoning": "a"', "cut short"),
        ('{"reasoning": "a", "final_answer": 4', "cut short"),
        ('```json\n{"reasoning": "a"}', "cut short"),
        ('{"reasoning": "a", "final_answer": tr', "no value at letter 35"),
        ('{"reasoning": "a", "x": ' + "[" * 100_000, "no value at letter 24"),
        ('{"reasoning": "a",}', 'no " at letter 18'),
        ('{"reasoning": "a "quoted" b"}', "no , at letter 18"),
        ('{"reasoning" "a"}', "no : at letter 13"),
        ("{'reasoning': 'a'}", 'no " at letter 1'),
        ('{"reasoning": "a"} I hope', "text follows its JSON object at letter 18"),
        ('{"reasoning": "a"}{}', "text follows its JSON object"),
        ('{"reasoning": "a"}\n```', "text follows its JSON object"),
        ('```json\n{"reasoning": "a"}\n``` so', "text follows its JSON object"),
        ('{"reasoning": "a", "reasoning": "b"}', "the key 'reasoning' comes twice"),
        ('{"reasoning": "a", "r\\u0065asoning": "b"}', "the key 'reasoning' comes twice"),
        ('{"reasoning": "a", "final_answer": 1, "final_answer": 2}', "'final_answer' comes twice"),
        ("{}", "has no 'reasoning'"),
        ('{"Reasoning": "a"}', "has no 'reasoning'"),
        ('{"reasoning": ["a"]}', "'reasoning' is not text"),
        ('{"reasoning": null}', "'reasoning' is not text"),
        ('{"reasoning": " \\n"}', "reasoning is empty"),
        ('{"reasoning": "a\\ud83d b"}', "half of a surrogate pair"),
        ('{"reasoning": "a\\ude00\\ud83d"}', "half of a surrogate pair"),
        ('{"reasoning": "a\\ud83d\\ud83d\\ude00"}', "half of a surrogate pair"),
        ('{"reasoning": "a", "final_answer": "\\ud83d"}', "half of a surrogate pair"),
        ('{"reasoning": "don\\\'t"}', "not a JSON escape"),
    ],
)
def test_a_malformed_answer_is_refused_with_its_reason(content: str, reason: str) -> None:
    for repair in (False, True):
        with pytest.raises(MalformedAnswerError, match=re.escape(reason)):
            read_completion(content, "json", repair_latex=repair)


LATEX = [
    r"\frac{1}{2}",
    r"\boxed{4}",
    r"a \times b",
    r"\theta = 3",
    r"\text{if } x",
    r"\text { if } x",
    r"\textbf{so}",
    r"a \neq b",
    r"\nabla f",
    r"\neg p",
    r"\not= 2",
    r"\rho",
    r"\left( x \right)",
    r"x \to \infty",
    r"\sqrt{2}",
    r"\(x\)",
    r"\[x^2\]",
    r"\underline{x}",
    r"\ up",
    r"$\nu$",
    r"$$x$$ or $\nu_1$",
    r"E_{\nu}",
    r"p(\nu)",
    r"x \ne 0",
    r"x \ne \pi",
    r"50\%",
    r"\d+",
]


@pytest.mark.parametrize("latex", LATEX)
def test_latex_with_single_backslashes_is_refused_and_can_be_repaired(latex: str) -> None:
    content = f'{{"reasoning": "So {latex}.\\nNow 4.", "final_answer": "4"}}'
    with pytest.raises(MalformedAnswerError, match=r"single backslashes.*at letter \d+"):
        read_completion(content, "json")
    found = read_completion(content, "json", repair_latex=True)
    assert found.reasoning == f"So {latex}.\nNow 4."
    assert found.repaired == latex.count("\\")
    assert "".join(content[a:b] for a, b in found.letters) == f"So {latex}.\\nNow 4."


def test_a_repaired_backslash_has_its_own_probability() -> None:
    content = '{"reasoning": "\\times"}'
    tokens = one_token_a_letter(content)
    trace = trace_from_completion("q", content, tokens, "json", repair_latex=True)
    wanted = [math.exp(-i / 100) for i in range(15, 21)]
    assert trace.letter_probs == pytest.approx(wanted, rel=1e-5)


def test_the_reason_names_the_first_command() -> None:
    with pytest.raises(MalformedAnswerError, match=r"\(\\frac at letter 16\)"):
        read_completion('{"reasoning": "1\\frac12 \\sqrt 2"}', "json")


def test_latex_in_the_final_answer_is_refused_or_repaired_too() -> None:
    content = '{"reasoning": "a", "final_answer": "\\frac{1}{2}"}'
    with pytest.raises(MalformedAnswerError, match="single backslashes"):
        read_completion(content, "json")
    found = read_completion(content, "json", repair_latex=True)
    assert (found.answer, found.repaired) == ("\\frac{1}{2}", 1)


@pytest.mark.parametrize("latex", LATEX)
def test_latex_with_doubled_backslashes_is_kept(latex: str) -> None:
    for repair in (False, True):
        found = read_completion(json.dumps({"reasoning": latex}), "json", repair_latex=repair)
        assert (found.reasoning, found.repaired) == (latex, 0)


@pytest.mark.parametrize(
    "text",
    [
        "so\nNot one",
        "so\nequal parts",
        "so\none apple",
        "so\nu = 3, e = 2.7",
        "Let\nu_1 = 3\ne^x = 2\nu1 = 5",
        "options\ne) five\ni. first",
        "$$\nu = 3$$",
        "half\nless than\nmid = 3\nsim",
        "a\tAn apple",
        "for x:\n\treturn x\n\tif x:\n\ttext = 3",
        "ext:\text = 3",
        "one\r\ntwo\rNext",
        "\b \f.",
    ],
)
def test_real_line_ends_and_tabs_are_not_taken_for_latex(text: str) -> None:
    for repair in (False, True):
        found = read_completion(json.dumps({"reasoning": text}), "json", repair_latex=repair)
        assert (found.reasoning, found.repaired) == (text, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a", "it has no line <<<REASONING>>>"),
        ("<<<REASONING>>>\na", "it has no line <<<FINAL ANSWER>>>"),
        ("<<<REASONING>>>\na\n<<<FINAL ANSWER>>>\n4", "it has no line <<<END>>>"),
        ("<<<REASONING>>>\na <<<FINAL ANSWER>>>\n4\n<<<END>>>", "no line <<<FINAL ANSWER>>>"),
        (PLAIN.format("a\n<<<REASONING>>>\nb", 4), "<<<REASONING>>> comes twice"),
        ("<<<FINAL ANSWER>>>\n4\n<<<REASONING>>>\na\n<<<END>>>", "wrong order"),
        (f"Sure!\n{PLAIN.format('a', 4)}", "text comes before <<<REASONING>>>"),
        (f"{PLAIN.format('a', 4)}\nBye", "text follows <<<END>>>"),
        (PLAIN.format(" ", 4), "its reasoning is empty"),
        (PLAIN.format("a\ud83d", 4), "half of a surrogate pair"),
        ("", "the answer is empty"),
    ],
)
def test_a_malformed_plain_answer_is_refused_with_its_reason(content: str, reason: str) -> None:
    with pytest.raises(MalformedAnswerError, match=reason):
        read_completion(content, "plain")


def test_plain_reasoning_may_hold_markdown_latex_and_other_line_ends() -> None:
    text = "# Step\r\n```\n\\frac{1}{2} << 3\n---\n### END"
    content = PLAIN.format(text, " 4 ").replace(">>>\n", ">>> \r\n")
    found = read_completion(f"\n{content}\n", "plain")
    assert (found.reasoning.strip(), found.answer) == (text, "4")
    assert read_completion(PLAIN.format("a", ""), "plain").answer is None


def test_the_prompt_is_the_papers() -> None:
    system, user = messages("What is [task]?", "[question] maths", "json")
    assert system == {
        "role": "system",
        "content": "You are a helpful assistant that solves [question] maths problems.",
    }
    assert user["role"] == "user"
    question, _, rest = user["content"].partition("\n\n")
    assert question == "What is [task]?"
    asked, _, form = rest.partition(":\n")
    assert asked == "Respond ONLY with a JSON object in this exact format"
    assert json.loads(form) == {
        "reasoning": "your step by step reasoning",
        "final_answer": "your final answer",
    }


@pytest.mark.parametrize("form", ["json", "plain"])
def test_the_kept_prompt_is_what_is_sent(form: Form) -> None:
    system, user = messages("How many?", "arithmetic", form)
    template = prompt_template(form)
    filled = template.replace("[task]", "arithmetic").replace("[question]", "How many?")
    assert filled == f"System: {system['content']}\nUser: {user['content']}"


@pytest.mark.parametrize("form", ["json", "plain"])
def test_the_form_that_the_prompt_shows_can_be_read(form: Form) -> None:
    shown = messages("", "maths", form)[1]["content"].partition("format:\n")[2]
    found = read_completion(shown, form)
    assert found.reasoning.strip() == "your step by step reasoning"
    assert found.answer == "your final answer"
