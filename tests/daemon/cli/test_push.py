"""`coterie push` against a stand-in of the hub on loopback: what arrives, what is refused, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.__main__ import main
from daemon.cli.finished_student import finished_student
from engine.config import load_config
from state.database import open_reader
from state.enums import RunState
from state.runs import RunEnd, RunSettings, create_run, end_run
from tests.daemon.cli.hub_server import SMALL, TOKEN, Hub, hub_server
from tests.daemon.cli.test_export import CONFIG, answer
from tests.daemon.parts import owned
from tests.daemon.training.test_manifest import OLD_SPEC
from tests.lazily import Lazy
from tests.state.test_runs import NEW
from tests.state.world import World, make, question_row

constants = Lazy("huggingface_hub.constants")
cards = Lazy("huggingface_hub")
pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"
)  # of huggingface_hub's own call
Push = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # plain HTTP, which the stand-in speaks
        yield found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Runs: 1 and 2 are done, 2 with a rationale of `b`, whose terms forbid training; 3 started from 2; 4 is queued; 5 is a base."""
    (tmp_path / "config.toml").write_text(CONFIG)
    found = make(tmp_path / "state.db", questions=0)
    found.task("t", [question_row(f"key/{text}", f"{text}?", split="train") for text in ("red", "blue")])
    plan = found.plan(recipe="x")
    answer(found, plan)
    answer(found, plan, teacher="b")
    mine, theirs = (row[0] for row in found.connection.execute("SELECT id FROM sample ORDER BY id"))
    base = RunSettings(student={"method": "base"})
    create_run(
        found.connection,
        [
            replace(NEW, sample_ids=(mine,), trigger="1"),
            replace(NEW, sample_ids=(mine, theirs), trigger="2"),
            replace(NEW, sample_ids=(mine,), trigger="3"),
            replace(NEW, sample_ids=(), trigger="4"),
            replace(NEW, sample_ids=(), trigger="5", method="base", settings=base),
        ],
    )
    end_run(found.connection, [RunEnd(run_id=run, state=RunState.DONE) for run in (1, 2, 3, 5)])
    for run in (1, 2, 3):
        student = tmp_path / "runs" / str(run) / "student"
        (student / "adapter").mkdir(parents=True)
        (student / "README.md").write_text("---\nlibrary_name: transformers\n---\n# A student\n")
        (student / "config.json").write_text("{}")
        (student / "model.safetensors").write_bytes(bytes(range(256)) * 40)
        (student / "adapter" / "adapter_model.safetensors").write_bytes(b"a" * SMALL)
        started = {"started_from": 2} if run == 3 else {}
        (owned(found.connection, student.parent) / "spec.json").write_text(json.dumps(OLD_SPEC | started))
    yield found
    found.connection.close()


@pytest.fixture
def push(world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Push:
    def run(*argv: str) -> tuple[int, str, str]:
        code = main(["push", *argv, "-c", str(tmp_path / "config.toml")])
        said = capfd.readouterr()
        assert TOKEN not in said.out + said.err
        return code, said.out, said.err

    return run


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_student_arrives_byte_for_byte_once(hub: Hub, push: Push, tmp_path: Path) -> None:
    code, out, err = push("1", "org/flips", "--private", "--message", "First one")
    assert (code, out) == (0, f"{hub.url}/org/flips\n"), err
    found = hub.repositories["model", "org/flips"]
    assert found.branches["main"] == files_of(tmp_path / "runs" / "1" / "student")
    assert found.private and found.messages == ["First one"]
    assert hub.tokens == {f"Bearer {TOKEN}"} and len(hub.blobs) == 2
    sent = len(hub.calls)
    code, out, err = push("1", "org/flips", "--private")
    assert code == 0 and "nothing to send" in err and len(found.messages) == 1
    assert not any(call.startswith("PUT") for call in hub.calls[sent:])
    code, out, err = push("1", "org/flips", "--branch", "seed-0")
    assert code == 0 and out == f"{hub.url}/org/flips/tree/seed-0\n" and "seed-0" in found.branches
    (tmp_path / "runs" / "1" / "student" / "config.json").write_text('{"new": 1}')
    assert push("1", "org/flips")[0] == 0
    assert found.messages[-1] == "s on t" and found.branches["main"]["config.json"] == b'{"new": 1}'
    assert found.branches["seed-0"]["config.json"] == b"{}"
    assert TOKEN.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))


def test_an_interrupted_upload_goes_on(hub: Hub, push: Push, tmp_path: Path) -> None:
    hub.answer = lambda call: 403 if "/commit/" in call else None
    code, _, err = push("1", "org/flips")
    assert code == 1 and "HTTP 403: the token may not write there" in err
    assert hub.repositories["model", "org/flips"].branches["main"] == {} and len(hub.blobs) == 2
    hub.answer, sent = (lambda call: None), len(hub.calls)
    assert push("1", "org/flips")[0] == 0
    assert not any(call.startswith("PUT") for call in hub.calls[sent:]), "large files are there already"
    assert hub.repositories["model", "org/flips"].branches["main"] == files_of(
        tmp_path / "runs" / "1" / "student"
    )


@pytest.mark.parametrize(
    ("status", "at", "words"),
    [
        (401, "create", "HTTP 401: the hub does not accept the token"),
        (403, "create", "HTTP 403: the token may not write there"),
        (404, "preupload", "HTTP 404: not found: check the name"),
        (409, "commit", "HTTP 409: something else is changing the repository: run the command again"),
        (500, "commit", "HTTP 500: the hub has a problem: run the command again"),
    ],
)
def test_each_refusal_is_one_message(hub: Hub, push: Push, status: int, at: str, words: str) -> None:
    hub.answer = lambda call: status if at in call or (at == "create" and call.startswith("GET")) else None
    code, out, err = push("1", "org/flips")
    assert (code, out) == (1, "") and words in err and len(err.splitlines()) == 1, err
    assert f"org/flips ({hub.url})" in err and "nothing was committed" in err


def test_a_network_that_is_gone_is_told(hub: Hub, push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    code, out, err = push("1", "org/flips")
    assert (code, out) == (1, "") and "org/flips (http://127.0.0.1:1): the hub cannot be reached" in err


def test_nothing_is_sent_of_what_may_not_be_uploaded(
    hub: Hub, push: Push, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*argv: str) -> str:
        code, out, err = push(*argv)
        assert (code, out, hub.calls) == (2, "", []) and err.startswith("coterie: "), err
        return err

    assert "run 2 has read rationales of b, whose terms forbid training" in refused("2", "org/x")
    assert "run 3 has read rationales of b" in refused("3", "org/x")  # through the student it started from
    assert "run 4 is queued: it has no student" in refused("4", "org/x")
    assert "run 5 measured an untrained base" in refused("5", "org/x")
    assert "there is no run 9" in refused("9", "org/x")
    assert "'seven' is neither the number of a run nor `dataset`" in refused("seven", "org/x")
    assert "--task is for data sets" in refused("1", "org/x", "--task", "t")
    assert "'a/b/c' is not the name of a repository" in refused("1", "a/b/c")
    card = tmp_path / "runs" / "1" / "student" / "README.md"
    card.write_text("---\na: [\n---\n")
    assert "the metadata of the card cannot be read, so nothing was sent" in refused("1", "org/x")
    card.write_text("# No metadata\n")
    assert "the card has no metadata" in refused("1", "org/x")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    assert "there is no token for the hub" in refused("1", "org/x")


def test_a_public_repository_is_not_taken_for_a_private_one(hub: Hub, push: Push) -> None:
    assert push("1", "org/flips")[0] == 0
    sent = len(hub.calls)
    code, _, err = push("1", "org/flips", "--private")
    assert code == 1 and "org/flips exists and is public: nothing was sent" in err
    assert not any("commit" in call or "preupload" in call for call in hub.calls[sent:])


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "chat"])
def test_a_training_set_arrives_as_it_is_exported(hub: Hub, push: Push, tmp_path: Path, form: str) -> None:
    code, out, err = push("dataset", "flips-data", "--student", "reasons", "--format", form)
    assert (code, out) == (0, f"{hub.url}/datasets/me/flips-data\n"), err
    suffix = "jsonl" if form == "chat" else form
    folder = tmp_path / "exported"
    export = ["export", "dataset", "--student", "reasons", "--format", form, "--hub"]
    assert main([*export, "-o", str(folder), "-c", str(tmp_path / "config.toml")]) == 0
    found = hub.repositories["dataset", "me/flips-data"]
    assert found.branches["main"] == files_of(folder) and found.messages == ["Training sets of 1 rows"]
    assert set(found.branches["main"]) == {"README.md", f"reasons.t/train.{suffix}"}


def test_a_training_set_has_a_configuration_for_each_student_and_its_questions_by_split(
    hub: Hub, push: Push, world: World
) -> None:
    train = [question_row(f"key/{text}", f"{text}?", split="train") for text in ("red", "blue")]
    held_out = [
        question_row(f"{split}/{n}", f"{split} {n}?", split=split)
        for split in ("dev", "test")
        for n in (1, 2)
    ]
    world.task("t", [*train, *held_out])
    code, _, err = push("dataset", "flips-data", "--questions")
    assert code == 0, err
    files = hub.repositories["dataset", "me/flips-data"].branches["main"]
    card = cards.DatasetCard(files["README.md"].decode())
    configs = {
        each["config_name"]: {each["split"]: each["path"] for each in each["data_files"]}
        for each in card.data.configs
    }
    assert card.data.configs[0]["default"] is True
    assert {path for found in configs.values() for path in found.values()} | {"README.md"} == set(files)
    assert configs["questions.t"] == {
        "train": "questions.t/train.jsonl",
        "validation": "questions.t/validation.jsonl",
        "test": "questions.t/test.jsonl",
    }
    assert len(configs) > 2 and all(
        set(configs[name]) == {"train"} for name in configs if name != "questions.t"
    )
    dev = [json.loads(line) for line in files["questions.t/validation.jsonl"].splitlines()]
    assert [row["question"] for row in dev] == ["dev 1?", "dev 2?"] and all(row["answer"] for row in dev)


def test_the_samples_of_a_plan_are_configurations_of_their_own(hub: Hub, push: Push, world: World) -> None:
    code, _, err = push("dataset", "flips-data", "--samples", "*", "--student", "reasons")
    assert code == 0, err
    assert "left out: 1 samples of p: by teachers whose terms forbid training" in err
    files = hub.repositories["dataset", "me/flips-data"].branches["main"]
    rows = [json.loads(line) for line in files["samples.p/train.jsonl"].splitlines()]
    assert [row["teacher"] for row in rows] == ["a"] and {"correct", "rationale", "cost_usd"} <= set(rows[0])
    card = files["README.md"].decode()
    configs = {each["config_name"]: each["data_files"] for each in cards.DatasetCard(card).data.configs}
    assert configs["samples.p"] == [{"split": "train", "path": "samples.p/train.jsonl"}]
    assert "`samples.…` has 1 samples as they are stored" in card
    code, _, err = push("dataset", "flips-data", "--samples", "cat")
    assert code == 2 and "--samples: there is no plan 'cat'; there are: p" in err
    assert "--samples is for data sets" in push("1", "org/x", "--samples", "p")[2]
    world.connection.execute("UPDATE sample SET verdict = 0")
    world.connection.commit()
    code, _, err = push("dataset", "org/x", "--samples", "p", "--student", "reasons")
    assert code == 0 and "1 rows" in err, "also where a student would read nothing"


def test_an_empty_training_set_is_not_uploaded(hub: Hub, push: Push, world: World) -> None:
    world.connection.execute("UPDATE sample SET verdict = 0")
    world.connection.commit()
    code, _, err = push("dataset", "org/x", "--student", "reasons")
    assert code == 2 and "the training set has no rows: nothing was sent" in err and not hub.calls


def test_a_student_is_written_as_a_gguf_file_or_the_reason_is_told(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file itself: tests/engine/students/test_gguf_file.py."""
    out = tmp_path / "student.gguf"
    config = ["-c", str(tmp_path / "config.toml")]

    def told(*argv: str) -> tuple[int, str]:
        code = main(["export", *argv, *config])
        return code, capsys.readouterr().err

    gguf = ["--format", "gguf", "-o", str(out)]
    code, err = told("student", "1", *gguf)
    assert code == 1 and "written for LlamaForCausalLM, and this student is unknown" in err
    code, err = told("student", "4", *gguf)
    assert code == 2 and "run 4 is queued: it has no student until it is done" in err
    for argv in (["student", "1", "-o", str(out)], ["student", *gguf], ["student", "1", "--format", "gguf"]):
        code, err = told(*argv)
        assert code == 2 and "`coterie export student RUN --format gguf -o FILE`" in err
    assert told("samples", *gguf)[0] == told("dataset", "1")[0] == 2 and not out.exists()
    tiny_llama(tmp_path / "runs" / "1" / "student")
    code, err = told("student", "1", *gguf)
    assert code == 0 and err == f"{out.stat().st_size:,} bytes\n" and out.read_bytes()[:4] == b"GGUF"
    code, err = told("student", "1", "--format", "gguf", "-o", str(tmp_path / "no" / "x.gguf"))
    assert code == 2 and "x.gguf.partial: cannot be written: No such file" in err


def tiny_llama(folder: Path) -> None:
    """The files of a Llama without layers, made without torch."""
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 0,
    }
    config |= {"num_attention_heads": 2, "max_position_embeddings": 16, "rms_norm_eps": 1e-6}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {
        "model.embed_tokens.weight": np.ones((3, 8), "float32"),
        "model.norm.weight": np.ones(8, "float32"),
    }
    save_file(tensors, folder / "model.safetensors")


def test_a_prefix_goes_with_its_base_and_is_no_gguf_file(
    hub: Hub, push: Push, world: World, tmp_path: Path
) -> None:
    """Its own directory has no model: what describes it is in `base/`, for every command that passes students on."""
    student = tmp_path / "runs" / "1" / "student"
    (student / "base").mkdir()
    (student / "config.json").rename(student / "base" / "config.json")
    (student / "adapter_config.json").write_text("{}")
    with closing(open_reader(tmp_path / "state.db")) as connection:
        assert (
            finished_student(connection, load_config(tmp_path / "config.toml"), 1, members=True)[1] == student
        )
    code, _, err = push("1", "org/prefix")
    assert code == 0, err
    assert "base/config.json" in hub.repositories["model", "org/prefix"].branches["main"]
    asked = ["export", "student", "1", "--format", "gguf", "-o", str(tmp_path / "x.gguf")]
    assert main([*asked, "-c", str(tmp_path / "config.toml")]) == 2
    (student / "base" / "config.json").unlink()
    assert "its student is gone" in push("1", "org/prefix")[2]
