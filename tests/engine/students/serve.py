"""A small server that loads a model directory and speaks OpenAI's completions: `serve.py STUDENT PORT [fail | text]`.

One question at a time, by transformers. With `fail` it answers the first question and refuses the others; with
`text` it refuses prompts of token ids.
"""

from __future__ import annotations

import sys

import torch
from aiohttp import web
from transformers import AutoModelForCausalLM, AutoTokenizer

student, port, *rest = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(student)
model = AutoModelForCausalLM.from_pretrained(student, dtype="auto").eval()
answered = 0


async def models(_request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "another"}, {"id": student}]})


async def completions(request: web.Request) -> web.Response:
    global answered
    body = await request.json()
    if body["model"] != student or (rest == ["fail"] and answered):
        return web.json_response({"error": {"message": "no such model"}}, status=404)
    answered += 1
    sampled = {"do_sample": True, "temperature": body["temperature"]} if body["temperature"] else {}
    torch.manual_seed(body.get("seed", 0))
    prompt = body["prompt"]
    if rest == ["text"] and not isinstance(prompt, str):
        return web.json_response({"error": {"message": "prompt must be a string"}}, status=400)
    ids = tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
    with torch.inference_mode():
        output = model.generate(torch.tensor([ids]), max_new_tokens=body["max_tokens"], **sampled)
    text = tokenizer.decode(output[0, len(ids) :], skip_special_tokens=body.get("skip_special_tokens", True))
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    return web.json_response({"id": "c", "object": "text_completion", "model": student, "choices": [choice]})


app = web.Application()
app.add_routes([web.get("/v1/models", models), web.post("/v1/completions", completions)])
web.run_app(app, host="127.0.0.1", port=int(port), print=None)
