from __future__ import annotations

import string
from math import ceil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.config import Config, load_config
from engine.errors import ConfigError

GOOD = """
[teachers.practice]
builtin = true
model = "m"

[tasks.coin_flip]
source = "builtin:coin_flip"
answer = "yes_no"
"""


def messages(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with `text`, one line a fault, without the file's folder."""
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.exit_code == 2
    return caught.value.message.replace(f"{tmp_path}/", "").splitlines()


def test_the_students_of_the_embedded_default_train_to_a_plateau_and_share_a_ceiling() -> None:
    config = load_config(Path(__file__).parents[3] / "config.toml")
    students = {student.name: student for student in config.students}
    passes, steps = "fine-tune-cot-d8-equal-passes", "fine-tune-cot-d8-equal-steps"
    assert list(students) == ["fine-tune", "fine-tune-cot", steps, passes]
    one = students["fine-tune-cot"].training
    assert all(each.evaluation.patience for each in students.values())
    assert students[passes].training.epochs == students["fine-tune"].training.epochs == one.epochs
    assert one.batch_rows
    for task in config.tasks.values():
        assert task.train and students[steps].training.steps == one.epochs * ceil(task.train / one.batch_rows)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[state]\nurl = "sqlite:///data/s.db"\n', encoding="utf-8")
    config = load_config(file)
    assert config.database == tmp_path / "data" / "s.db"
    assert config.runs == tmp_path / "runs"


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"\xef\xbb\xbf[daemon]\r\nbudget_usd = 1.0\r")
    assert load_config(file).daemon.budget_usd == 1.0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param(
            "[daemon]\nbudget_us = 1.0\n",
            'config.toml:2: daemon.budget_us: unknown key; did you mean "budget_usd"?',
            id="unknown key",
        ),
        pytest.param(
            GOOD + '[[plans]]\nname = "p"\nrationales = 8\nmax_rationales = 4\n',
            "config.toml:9: plans.p: max_rationales = 4 must not be below rationales = 8",
            id="a ceiling below the base",
        ),
        pytest.param(
            GOOD + '[[plans]]\nname = "p"\nfallback_teachers = ["practise"]\n',
            'config.toml:11: plans.p.fallback_teachers[0]: unknown teacher "practise" (known: practice)',
            id="a fallback that is not there",
        ),
        pytest.param(
            GOOD + '[[plans]]\nname = "p"\nteachers = ["practice"]\nfallback_teachers = ["practice"]\n',
            "config.toml:9: plans.p: practice occurs twice in teachers and fallback_teachers",
            id="a fallback of its own",
        ),
        pytest.param(
            "[state]\nzzz = 1\n",
            "config.toml:2: state.zzz: unknown key; expected one of: url, runs",
            id="unknown key, nothing near",
        ),
        pytest.param(
            "[deamon]\nbudget_usd = 1.0\n",
            'config.toml:1: deamon: unknown key; did you mean "daemon"?',
            id="unknown table",
        ),
        pytest.param(
            GOOD + "concurrency = 1\n",
            "config.toml:9: tasks.coin_flip.concurrency: unknown key; expected one of: source, answer, labelled, train, dev, test, seed, split_by, paper_task, revision, splits, fields, options",
            id="key of another section",
        ),
        pytest.param(
            '[daemon]\n\nbudget_usd = "5"\n',
            'config.toml:3: daemon.budget_usd: expected a number (got "5")',
            id="text for a number",
        ),
        pytest.param(
            GOOD + "train = 1.5\n",
            "config.toml:9: tasks.coin_flip.train: expected a whole number (got 1.5)",
            id="fraction for a count",
        ),
        pytest.param(
            GOOD + "train = -1\n",
            "config.toml:9: tasks.coin_flip.train: expected a number of at least 0 (got -1)",
            id="negative count",
        ),
        pytest.param(
            '[teachers.a]\nmodel = "m"\nbuiltin = true\nrequests_per_minute = -5\n',
            "config.toml:4: teachers.a.requests_per_minute: expected a number above 0 (got -5)",
            id="negative limit",
        ),
        pytest.param(
            "[daemon]\ndrain_seconds = inf\n",
            "config.toml:2: daemon.drain_seconds: expected a finite number (got inf)",
            id="not finite",
        ),
        pytest.param(
            "daemon = 3\n", "config.toml:1: daemon: expected a table (got 3)", id="value for a table"
        ),
        pytest.param(
            "[daemon]\ndevices = []\n",
            "config.toml:2: daemon.devices: expected at least 1 item(s)",
            id="empty list",
        ),
        pytest.param(
            '[tasks.t]\nsource = "builtin:coin_flip"\n',
            "config.toml:1: tasks.t.answer: required (choice, date, interval, math, number, text, yes_no)",
            id="missing key",
        ),
        pytest.param(
            '[tasks.t]\nsource = "x"\nanswer = "yesno"\n',
            "config.toml:3: tasks.t.answer: expected"
            ' "choice", "date", "interval", "math", "number", "text" or "yes_no" (got "yesno"); did you mean "yes_no"?',
            id="wrong word",
        ),
        pytest.param(
            '[tasks.T]\nsource = "x"\nanswer = "text"\n',
            "config.toml:1: tasks.T: expected a name of 1 to 64 lower-case letters, digits, '.', '_' and '-',"
            ' starting with a letter or digit (got "T")',
            id="wrong name",
        ),
        pytest.param(
            '[state]\nurl = "postgres://x"\n',
            'config.toml:2: state.url: expected "sqlite:///PATH" (got "postgres://x")',
            id="wrong url",
        ),
        pytest.param(
            '[teachers.a]\nmodel = "m"\n',
            "config.toml:1: teachers.a: base_url is required (or set builtin = true for the built-in teacher)",
            id="fault of a section",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\ntrain_at = [400, "complet"]\n',
            "config.toml:11: students.s.train_at[1]:"
            ' expected a count, "complete" or "every 6h" (got "complet"); did you mean "complete"?',
            id="union, a word",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\ntrain_at = [\n  400,\n  -1,\n]\n',
            'config.toml:13: students.s.train_at[1]: expected a count, "complete" or "every 6h" (got -1)',
            id="union, a number, several lines",
        ),
        pytest.param(
            GOOD + "[tasks.coin_flip.options]\nint = [1]\n",
            "config.toml:10: tasks.coin_flip.options.int: expected a number or text in quotes or true or false",
            id="union under a key that is named like a type",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\ntraining = { epochs = 3, stepz = 1 }\n',
            'config.toml:11: students.s.training.stepz: unknown key; did you mean "steps"?',
            id="inline table",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\ntraining.zero_stage = 9\n',
            "config.toml:11: students.s.training.zero_stage: expected 0, 1, 2 or 3 (got 9)",
            id="dotted key",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\n[students.training]\noffload = "all"\n',
            'config.toml:11: students.s.training: offload = "all" needs zero_stage = 3: other stages keep all weights '
            "on each device",
            id="offload of weights",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\n[students.training]\noffload = "optimizer"\nzero_stage = 0\n',
            'config.toml:11: students.s.training: offload = "optimizer" needs a zero_stage of 1, 2 or 3',
            id="offload of nothing",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\n[students.training]\ncompile = true\nzero_stage = 3\n',
            "config.toml:11: students.s.training: compile needs a zero_stage of 0, 1 or 2: stage 3 moves weights during "
            "a step",
            id="compiled stage 3",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\n[students.training]\nstepz = 1\n',
            'config.toml:12: students.s.training.stepz: unknown key; did you mean "steps"?',
            id="table of an array's item",
        ),
        pytest.param(
            GOOD + '[[plans]]\nname = "one"\n[[plans]]\nname = "two"\nrationales = 0\n',
            "config.toml:13: plans.two.rationales: expected a number of at least 1 (got 0)",
            id="second plan",
        ),
        pytest.param(
            "[[plans]]\nrationales = 1\n",
            "config.toml:1: plans[0].name: required",
            id="plan without a name",
        ),
        pytest.param(
            GOOD + '[[plans]]\nname = "p"\n\n[[plans]]\nname = "p"\n',
            'config.toml:13: plans.p.name: the name "p" is used twice',
            id="name used twice",
        ),
        pytest.param(
            GOOD + '[[plans]]\nname = "p"\ntasks = ["coin_flip", "gsm8k"]\n',
            'config.toml:11: plans.p.tasks[1]: unknown task "gsm8k" (known: coin_flip)',
            id="unknown task",
        ),
        pytest.param(
            GOOD + '[[plans]]\nname = "p"\nteachers = ["gpt"]\n',
            'config.toml:11: plans.p.teachers[0]: unknown teacher "gpt" (known: practice)',
            id="unknown teacher",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\nplans = ["p"]\n',
            'config.toml:11: students.s.plans[0]: unknown plan "p" (known: none)',
            id="unknown plan",
        ),
        pytest.param(
            '[daemon]\nlog_file = """\n[daemon]\nhttp = 3\n"""\nhttp = 4\n',
            "config.toml:6: daemon.http: expected text in quotes (got 4)",
            id="a text that looks like keys",
        ),
        pytest.param(
            '[teachers."a"]\nmodel = "m" # "[x]\nbuiltin = "yes"\n',
            'config.toml:3: teachers.a.builtin: expected true or false (got "yes")',
            id="quoted name, comment",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\nbase = "a/b"\nform = { type = "chatt" }\n',
            'config.toml:12: students.s.form: type: unknown value "chatt"; did you mean "chat"?',
            id="unknown form",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\nbase = "a/b"\nform = { system = "x" }\n',
            "config.toml:12: students.s.form: type: required",
            id="no form",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\nbase = "a/b"\nform = { type = "chat", systm = "x" }\n',
            'config.toml:12: students.s.form.systm: unknown key; did you mean "system"?',
            id="unknown key of a form",
        ),
        pytest.param(
            GOOD + '[[students]]\nname = "s"\nform = { type = "chat" }\n',
            'config.toml:9: students.s: form: a built-in student cannot have the form "chat": choose another form, or a base'
            " with a chat template",
            id="a form that a base cannot have",
        ),
    ],
)
def test_a_fault_is_one_message(tmp_path: Path, text: str, wanted: str) -> None:
    assert messages(tmp_path, text) == [wanted]


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = messages(
        tmp_path,
        '[[plans]]\nname = "p"\ntasks = ["nothing"]\nrationales = "8"\n[daemon]\nhtpp = ""\n'
        '[[students]]\nname = "s"\ntrain_at = ["x", -1]\n',
    )
    assert found == [
        'config.toml:3: plans.p.tasks[0]: unknown task "nothing" (known: none)',
        'config.toml:4: plans.p.rationales: expected a whole number (got "8")',
        'config.toml:6: daemon.htpp: unknown key; did you mean "http"?',
        'config.toml:9: students.s.train_at[0]: expected a count, "complete" or "every 6h" (got "x")',
        'config.toml:9: students.s.train_at[1]: expected a count, "complete" or "every 6h" (got -1)',
    ]


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml: no such file. `coterie init` writes one"):
        load_config(tmp_path / "nowhere.toml")


def test_a_folder_or_bytes_that_are_no_text_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path}: cannot be read: Is a directory$"):
        load_config(tmp_path)
    file = tmp_path / "c.toml"
    for raw, said in (
        ("[daemon]\n".encode("utf-16"), "1: not UTF-8: invalid start byte"),
        ("[daemon]\r\n# caf\xe9\r\n".encode("latin-1"), "2: not UTF-8: invalid continuation byte"),
    ):
        file.write_bytes(raw)
        with pytest.raises(ConfigError, match=f"c.toml:{said}; save the file as UTF-8$"):
            load_config(file)


@pytest.mark.parametrize(
    "text", ["budget = \n", "a = 1\na = 2\n", f"a = {'9' * 5000}\n", "a = " + "[" * 5000, "\0"]
)
def test_what_is_no_toml_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    assert messages(tmp_path, text)[0].startswith("config.toml: not valid TOML: ")


def test_no_message_holds_control_characters(tmp_path: Path) -> None:
    found = messages(tmp_path, '[tasks."\\u001b[31m"]\nsource = 1\nanswer = "\\u0007"\n')
    assert len(found) == 3
    assert not any(character < " " or character == "\x7f" for line in found for character in line)


BARE = st.text(string.ascii_lowercase + "_-1", min_size=1, max_size=6)
KNOWN = st.sampled_from(
    [
        "state",
        "daemon",
        "teachers",
        "tasks",
        "plans",
        "students",
        "tui",
        "name",
        "training",
        "train_at",
        "options",
    ]
    + ["url", "devices", "curation", "headers", "seed", "model", "builtin", "source", "answer", "tasks", "*"]
)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
KEY = KNOWN | BARE | TEXT


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


SCALAR = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    (TEXT | KNOWN).map(quoted),
    TEXT.filter(lambda text: "'" not in text).map(lambda text: f"'{text}'"),
    st.sampled_from(
        ["1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "inf", "0x1F", '"""\n[a]\n"""', "''''x'''"]
    ),
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ", # ]\n".join(items) + "]"),
        st.dictionaries(KEY.map(quoted), inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key} = {value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)
LINE = st.one_of(
    st.lists(KEY.map(quoted) | BARE, min_size=1, max_size=3).map(lambda keys: f"[{'.'.join(keys)}]"),
    st.lists(KNOWN.filter(lambda key: key != "*"), min_size=1, max_size=2).map(
        lambda keys: f"[[{'.'.join(keys)}]]"
    ),
    st.tuples(KEY.map(quoted) | BARE, VALUE).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    st.text(max_size=12),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINE, max_size=8).map("\n".join))
@example('[[plans]]\nname = "p"\n[plans.tasks]\n')
@example("[tasks.'[key]']\n")
@example('plans = [{ name = "p", tasks = [1] }]\n')
def test_any_text_gives_a_configuration_or_a_configuration_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "any.toml"
    file.write_text(text, encoding="utf-8", errors="replace")
    try:
        assert isinstance(load_config(file), Config)
    except ConfigError as error:
        assert all(line.startswith(str(file)) for line in error.message.splitlines())
