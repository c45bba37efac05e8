"""The report as one HTML file that loads nothing and runs nothing.

Made from the Markdown, with its images replaced by the figures. Raw HTML is shown as text, suspicious links are not made
into links, and the policy of the page (`default-src 'none'`) keeps a browser from loading or running anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it.token import Token


POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --page: light-dark(#fff, #16181c); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem; background: var(--page);
  color: light-dark(#1b1d21, #e4e6ea); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } p, li { max-width: 60rem; }
.wide { overflow-x: auto; max-width: 100%; }
.wide, figure div { background: linear-gradient(to left, var(--page) 40%, transparent) right / 2.4rem 100% no-repeat local,
  linear-gradient(to left, var(--line), transparent) right / 1.2rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .65rem; border-bottom: 1px solid var(--line); }
th { text-align: left; font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--page); padding-left: 0; }
td { white-space: nowrap; } td.long { white-space: normal; min-width: 14rem; }
.many { font-size: .87em; } .many th, .many td { padding: .2rem .45rem; } .many th:first-child, .many td:first-child { padding-left: 0; }
.n { white-space: nowrap; } td em { font-style: normal; color: light-dark(#767b85, #9197a3); }
p, li { overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: start; }
figure { margin: 0; max-width: 100%; }
figure div { overflow-x: auto; border-radius: 6px; border: 1px solid var(--line); }
figure svg { display: block; max-width: min(100%, 76rem); height: auto; padding: .6rem; box-sizing: border-box; }
.figures figure:only-child svg { min-width: min(100%, 34rem); }
figcaption { font-size: .9em; margin-top: .4rem; opacity: .8; width: 0; min-width: 100%; }
pre { overflow-x: auto; padding: 1rem; background: color-mix(in srgb, currentColor 6%, transparent); }
summary { cursor: pointer; }
@media (max-width: 44rem) {
  body { margin-top: 1rem; }
  h1 { font-size: 1.25rem; } body { padding: 0 .6rem; } .figures { gap: 1rem; }
  table { font-size: .85em; } th, td { padding: .25rem .4rem; }
  th:first-child, td:first-child { white-space: normal; min-width: 6.5rem; max-width: 9.5rem; overflow-wrap: anywhere; }
  figure svg { max-width: none; } .figures figure:only-child svg { min-width: 0; }
}
@media (prefers-color-scheme: dark) { figure svg { filter: invert(.9) hue-rotate(180deg); } }
@media print { pre { display: none; } }
"""
LONG = 60
"""Characters of a cell beyond which it may wrap."""
MANY = 9
"""Number of columns from which a table has a smaller font."""
ALONE = re.compile("<p>(<figure>.*?</figure>)</p>", re.DOTALL)
"""A figure is not part of a paragraph."""
INTERVAL = re.compile(r"\d+\.\d \(\d+\.\d–\d+\.\d\)")
"""Kept on one line."""
SEVERAL = re.compile("(?:<figure>.*?</figure>\\s*)+", re.DOTALL)


def page(markdown: str, title: str, figures: Mapping[str, str] | None = None) -> str:
    """The HTML page of a Markdown text.

    Args:
        markdown: the text.
        title: the title of the page.
        figures: SVG by the address of an image in the text. An image with another address shows its words.
    """
    from markdown_it import MarkdownIt  # slow to import, and only a report needs it

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    drawn = figures or {}

    def image(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        token = tokens[index]
        svg, words = drawn.get(str(token.attrs.get("src"))), escape(token.content)
        return f"<figure><div>{svg}</div><figcaption>{words}</figcaption></figure>" if svg else words

    def cell(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        if len(tokens[index + 1].content) > LONG:
            tokens[index].attrJoin("class", "long")
        return str(self.renderToken(tokens, index, options, env))

    def table(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        end = next(place for place in range(index, len(tokens)) if tokens[place].type == "thead_close")
        columns = sum(token.type == "th_open" for token in tokens[index:end])
        small = ' class="many"' if columns >= MANY else ""
        return f'<div class="wide"><table{small}>\n'

    def folded(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        text = tokens[index].content
        return f"<details><summary>{text.count(chr(10)):,} lines</summary><pre><code>{escape(text)}</code></pre></details>\n"

    rules = {"image": image, "td_open": cell, "table_open": table, "fence": folded}
    for name, rule in rules.items():
        reader.add_render_rule(name, rule)
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    body = ALONE.sub(r"\1", reader.render(markdown))
    body = INTERVAL.sub(r'<span class="n">\g<0></span>', body)
    body = SEVERAL.sub(r'<div class="figures">\g<0></div>\n', body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
