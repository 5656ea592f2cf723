"""The frame of an HTML report: one file that loads nothing and runs nothing.

A policy in its head forbids both, whatever the text says. It is readable on a phone, in dark mode
and on paper: wide tables scroll in their own box, colours follow the reader's choice, and in print
all is light. It contains no time of writing, so the same report is the same file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dataselect.report.html_markup import escape

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_LIGHT = (
    "--ink:#222222;--soft:#5a5a5a;--card:#ffffff;--page:#f5f6f7;--line:#d5d8dc;--note:#e8f1f8;"
    "--blue:#0072b2;--orange:#d55e00;--green:#009e73;--grey:#767676;--pale:#bcdcee"
)
_DARK = (
    "--ink:#e8e8e8;--soft:#aeb2b8;--card:#1d2024;--page:#131518;--line:#3a3f46;--note:#1b2c3a;"
    "--blue:#56b4e9;--orange:#f08a3c;--green:#2fbf95;--grey:#9a9a9a;--pale:#274a60"
)
_STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--page);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}}
main{{max-width:52rem;margin:0 auto;padding:clamp(.4rem,2vw,1rem)}}
header,section,nav{{background:var(--card);border:1px solid var(--line);border-radius:.6rem;
padding:.9rem clamp(.7rem,2.5vw,1.2rem);margin:0 0 1rem}}
h1{{font-size:1.35rem;margin:0 0 .4rem}} h2{{font-size:1.15rem;margin:0 0 .6rem}}
h1 code{{background:none;padding:0}}
p{{margin:.6rem 0}} p,li,h1{{overflow-wrap:anywhere}} td{{overflow-wrap:break-word}}
header p strong{{font-size:1.15rem;line-height:1.4}}
.next{{background:var(--note);border-left:.3rem solid var(--blue);padding:.6rem .8rem}}
nav ul{{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;list-style:none;margin:0;padding:0}}
a{{color:var(--blue)}} nav a{{display:inline-block;padding:.15rem 0}}
code{{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.92em;
background:var(--page);border-radius:.25rem;padding:0 .2em}}
pre{{background:var(--page);padding:.6rem .8rem;border-radius:.4rem;white-space:pre-wrap}}
pre code{{padding:0;background:none}}
.scroll{{overflow-x:auto;margin:.7rem 0}}
table{{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}}
th,td{{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}}
th{{color:var(--soft);font-weight:600;vertical-align:bottom}}
td[style*=right]{{white-space:nowrap}}
tr.out td{{color:var(--soft)}} tr.out td:nth-child(3){{min-width:13rem}}
.plot{{margin:.8rem 0;max-width:36rem}}
.plot svg{{display:block;width:100%;height:auto}}
.plot text{{fill:var(--ink);font-family:inherit!important}}
ul{{padding-left:1.2rem}}
@media print{{
:root{{color-scheme:light;{_LIGHT};--page:#ffffff}}
body{{font-size:10pt}} main{{max-width:none;padding:0}} nav{{display:none}}
header,section{{border:0;padding:0;margin:0 0 1.2em}}
h2{{break-after:avoid}} figure,tr,pre{{break-inside:avoid}} .plot{{max-width:12cm}}
.scroll{{overflow:visible}} table{{font-size:7.5pt;max-width:100%}}
th,td{{padding:.15rem .3rem}} td[style*=right]{{white-space:normal}}
}}
"""


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading."""

    title: str
    """Its heading, as plain text."""

    body: str
    """HTML."""


def page(
    title: str,
    head: str,
    sections: Sequence[Section],
    language: str = "en",
    *,
    style: str = "",
    meta: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The whole file: `head` is the HTML before the first section, which must not be missed.

    `style`: more rules, for what this page alone has; `meta`: facts about it by name, for programs.
    """
    facts = "".join(
        f'<meta name="{escape(name)}" content="{escape(value)}">\n' for name, value in meta.items()
    )
    contents = "\n".join(
        f'<li><a href="#part-{i}">{escape(each.title)}</a></li>' for i, each in enumerate(sections)
    )
    body = "\n".join(
        f'<section aria-labelledby="part-{i}">\n<h2 id="part-{i}">{escape(each.title)}</h2>\n'
        f"{each.body}</section>"
        for i, each in enumerate(sections)
    )
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
{facts}<title>{escape(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
<main>
<header>
{head}</header>
<nav aria-label="Contents">
<ul>
{contents}
</ul>
</nav>
{body}
</main>
</body>
</html>
"""
