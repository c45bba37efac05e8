"""A built-in student in llama.cpp's own server. Only where xllamacpp is installed: it is no dependency (`pip install xllamacpp`)."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.engine.students.runs import make_run, rows, run_ranks
from tests.lazily import Lazy

xllamacpp = pytest.importorskip("xllamacpp")
torch, transformers = Lazy("torch"), Lazy("transformers")
gguf_file = Lazy("engine.students.gguf_file")
MORE = ["Zoë (a né'st) flips 12 coins — é?", "  What's up\n\nwith 漢字 🎲?", '"Hi," don\'t 3.5%']
LENGTH = 40


def test_the_server_reads_and_answers_as_transformers_does(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", training={"steps": 60, "batch_tokens": 1000})
    [(code, _, log)] = run_ranks(run)
    assert code == 0, log
    student, file = run / "student", tmp_path / "student.gguf"
    gguf_file.write_gguf(student, file, "small")
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_parallel, settings.port = str(file), 512, 1, 0
    settings.cpuparams.n_threads = 1
    settings.warmup, settings.verbosity, settings.use_jinja = False, 0, True
    server = xllamacpp.Server(settings)

    def post(path: str, **body: object) -> Any:
        request = urllib.request.Request(
            server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    tokenizer = transformers.AutoTokenizer.from_pretrained(student)
    model = transformers.AutoModelForCausalLM.from_pretrained(student).eval()
    for question in [*(row.question for row in rows()[1]), *MORE]:
        messages = [{"role": "user", "content": question}]
        asked = {"add_generation_prompt": True, "tokenize": False}
        prompt = tokenizer.apply_chat_template(messages, **asked)
        ids = tokenizer(prompt)["input_ids"]
        seen = post("/tokenize", content=prompt, add_special=True, parse_special=True)["tokens"]
        assert [each if each < len(tokenizer) else tokenizer.unk_token_id for each in seen] == ids
        written = model.generate(torch.tensor([ids]), max_new_tokens=LENGTH)[0, len(ids) :]
        told = post("/v1/chat/completions", messages=messages, temperature=0, max_tokens=LENGTH)
        expected = tokenizer.decode(written, skip_special_tokens=True)
        assert told["choices"][0]["message"]["content"] == expected
