from __future__ import annotations

from engine.config.lines import Lines

TEXT = """\
# [no.table]
top = 1
[a.b] # a comment
one = { two = [1, { three = "}]" }], four.five = 2 }
"quoted \\"key\\"" = '''
[not.a.table]
''''
list = [ # first
  "x", # ]
  [1,
   2],
]
[[a.c]]
name = "first"
[[a.c]]
[a.c.d]
e = 1979-05-27 07:32:00
"""


def test_every_kind_of_key_has_its_line() -> None:
    lines = Lines(TEXT)
    assert lines.of(("top",)) == 2
    assert lines.of(("a", "b")) == 3
    assert lines.of(("a", "b", "one", "two", 1, "three")) == 4
    assert lines.of(("a", "b", "one", "four", "five")) == 4
    assert lines.of(("a", "b", 'quoted "key"')) == 5
    assert lines.of(("a", "b", "list")) == 8
    assert lines.of(("a", "b", "list", 0)) == 9
    assert lines.of(("a", "b", "list", 1, 1)) == 11
    assert lines.of(("a", "c", 0, "name")) == 13 + 1
    assert lines.of(("a", "c", 1)) == 15
    assert lines.of(("a", "c", 1, "d", "e")) == 17


def test_what_has_no_line_has_that_of_the_table_around_it() -> None:
    lines = Lines(TEXT)
    assert lines.of(("a", "b", "missing", "deeper")) == 3
    assert lines.of(("nothing",)) is None
