"""`[[students]]`: what to train, on what, and when."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from engine.config.adapters import adapter_misfit
from engine.config.base import Again, Identity, Name, NonNegative, Positive, Section, fields_marked
from engine.config.curation import CurationConfig
from engine.config.faults import nearest, quoted
from engine.config.generation_items import GenerationConfig
from engine.config.lineage import STUDENT, is_name, no_turns, source_name
from engine.config.presets import PAPER, PresetName, for_student, sets
from engine.config.secret_places import shown_url
from engine.config.training import TrackerName, TrainingConfig, selection_misfit
from engine.forms import FormConfig, form_of
from engine.methods import METHODS, Guidance, MethodName
from engine.methods.formats import FORMATS
from engine.strategies import BASELINES, STRATEGIES
from engine.students.objectives import OBJECTIVES
from engine.students.sizes import BUILTIN, SIZES
from state.triggers import KINDS, Trigger, check_triggers, parse_trigger


def _train_at(value: object) -> object:
    """A value of `train_at`, unchanged.

    Raises:
        ValueError: it is not a trigger.
    """
    try:
        parse_trigger(value)
    except ValueError as error:
        message = str(error)
        if isinstance(value, str | int | float):
            message += f" (got {quoted(value)})"
        if isinstance(value, str) and (near := difflib.get_close_matches(value, ("complete",), n=1)):
            message += f"; did you mean {quoted(near[0])}?"
        raise ValueError(message) from None
    return value


TrainAt = Annotated[
    int | str,
    BeforeValidator(_train_at),
    WithJsonSchema({"anyOf": [dict(kind.schema) for kind in KINDS]}),
]

__all__ = [
    "UNTRAINED_STRATEGY",
    "BaselineName",
    "CurationConfig",
    "EvaluationConfig",
    "StudentConfig",
    "TrackerName",
    "TrainAt",
    "TrainingConfig",
]

UNTRAINED_STRATEGY = "zero-shot-cot"
"""How an untrained base is asked if nothing else is configured."""

if TYPE_CHECKING:
    BaselineName = str
else:
    BaselineName = Literal[BASELINES]


_OPTION_FOR_A_SECRET = re.compile(
    r"--?(?:api|hf|auth|access)?[-_]?(?:key|token|secret|password)s?(?:=|$)", re.IGNORECASE
)


class EvaluationConfig(Section):
    """How a student is evaluated."""

    every_epochs: Annotated[NonNegative, Identity.ALWAYS] = 0
    """Evaluate on dev every this many epochs during training. 0: `dev_evaluations` times, evenly spaced."""

    dev_evaluations: Annotated[NonNegative, Identity.ALWAYS] = 4
    """Number of dev evaluations during training if `every_epochs` is 0."""

    best: Annotated[bool, Identity.ALWAYS] = True
    """Export the weights of the best dev evaluation instead of the last ones."""

    patience: Annotated[NonNegative, Identity.ALWAYS] = 0
    """Stop after this many dev evaluations without a better one, or when all dev answers are correct. 0: never."""

    max_new_tokens: Annotated[Positive, Identity.ALWAYS, Again.EVALUATES] = 256
    """Longest answer in tokens."""

    batch_size: Annotated[Positive, Identity.ALWAYS, Again.NOTHING] = 64
    """Questions per batch."""

    grader: Annotated[Literal["careful", "paper", "published"], Identity.ALWAYS, Again.EVALUATES] = "careful"
    """The grader of the student's answers. careful: reads what models really write; paper: the first candidate after the arrow, by the published regular expressions; published: the same, and in a text without the arrow the last candidate, as the paper's evaluator does."""

    samples: Annotated[int, Field(ge=0, le=1000), Identity.IF_SET, Again.EVALUATES] = 0
    """Number of sampled answers per test question, besides the greedy one. The accuracy of their majority is reported as well. 0: none."""

    temperature: Annotated[float, Field(gt=0, le=5), Identity.IF_SET, Again.EVALUATES] = 0.7
    """Temperature of `samples`."""

    batching: Annotated[Literal["static", "continuous"], Identity.NO] = "static"
    """How transformers generates. static: `batch_size` questions of similar length at a time; continuous: a finished answer makes room for the next question (decoders, greedy answers)."""

    server_url: Annotated[str, Identity.NO] = ""
    """An OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`, that writes the answers of the exported student instead of transformers (decoders). It serves the student under the path of its directory, or is started by `server_command`."""

    server_command: Annotated[list[str], Identity.NO] = Field(default_factory=list)
    """Starts such a server for one evaluation and stops it afterwards. `{student}` is the directory of the exported student, `{port}` a free port. For vLLM: `["vllm", "serve", "{student}", "--port", "{port}"]`."""

    server_concurrency: Annotated[Positive, Identity.NO] = 64
    """Concurrent requests to the server."""

    @model_validator(mode="after")
    def _one_server(self) -> Self:
        if self.server_command and self.server_url:
            raise ValueError("server_command starts a server on its own port: remove server_url")
        if self.server_url and urlsplit(self.server_url).scheme not in ("http", "https"):
            raise ValueError("server_url: expected a URL such as http://127.0.0.1:8000/v1")
        if self.server_url and shown_url(self.server_url) != self.server_url:
            raise ValueError(
                "server_url contains a secret, and it is stored: use a server on this machine without a key"
            )
        if any(_OPTION_FOR_A_SECRET.match(word) for word in self.server_command):
            raise ValueError(
                "server_command contains a key, and it is stored: remove it; the server is asked on this machine, without a key"
            )
        if self.server_command and not any("{student}" in word for word in self.server_command):
            raise ValueError("server_command needs {student}, the directory that the server loads")
        return self


ASKED_AGAIN = fields_marked(EvaluationConfig, Again.EVALUATES)
"""The settings of an evaluation that a finished student can be evaluated again with."""
OF_TRAINING = tuple(
    name
    for name in fields_marked(EvaluationConfig, Identity.ALWAYS, Identity.IF_SET)
    if name not in fields_marked(EvaluationConfig, Again.EVALUATES, Again.NOTHING)
)
"""The settings of an evaluation that decide what is trained and exported."""


class StudentConfig(Section):
    """A student: base model, method, data and trigger."""

    name: Annotated[Name, Identity.NO]
    """The student's name."""

    preset: Annotated[PresetName | None, Identity.NO] = Field(
        default=None,
        description="Defaults by name; keys written beside it win, also in the tables below. paper: "
        f'{sets(PAPER.student)}; for `method = "base"` {sets(PAPER.untrained)}.',
    )

    base: Annotated[str, Identity.ALWAYS] = "builtin:nano"
    """`builtin:NAME` (nano, micro, mini; nano-t5, micro-t5, mini-t5), a local model directory, a GGUF file (`models/name.gguf`, of an architecture that transformers reads from GGUF), a hub id, or `student:NAME`: decoders and encoder-decoders (T5), detected from their configuration. `student:NAME` is the student of NAME's newest finished run on the same task (its joint one, if NAME is trained on all tasks together): its weights, tokenizer and form. So students of one built-in base can share a tokenizer. This student waits for that run, and is trained again when there is a newer one."""

    start_from: Annotated[Literal["base", "previous"], Identity.IF_SET] = "base"
    """What a run starts from: the base (which may be another student), or the exported student of the latest finished run of this student on the same scope (the base if there is none)."""

    method: Annotated[MethodName, Identity.ALWAYS] = Field(
        default="fine-tune-cot",
        description="; ".join(f"{each.name}: {each.doc}" for each in METHODS.values()) + ".",
    )

    guidance: Annotated[Guidance, Identity.IF_SET] = "none"
    """With `method = "socratic"`: what the student writes before its first sub-question. steps: how many there will be; equations: those of all solutions; none: nothing, our default."""

    part: Annotated[str, Identity.IF_SET] = ""
    """With `method = "socratic"`: the turns that this student learns. ask: sub-questions; solve: solutions and the answer. Such a student is tested in a pair with the other one. Empty: one student learns all turns."""

    strategy: Annotated[BaselineName | None, Identity.IF_SET] = None
    """How the untrained base is asked (`method = "base"`): a strategy of the table below that is a baseline. In the form of the student, so in the chat template of the base if it has one. Unset: zero-shot-cot."""

    exemplars: Annotated[str | None, Identity.IF_SET] = None
    """With `strategy = "few-shot-cot"`: worked examples, as in `[[plans]]`."""

    prompts: Annotated[Name | None, Identity.IF_SET] = None
    """With `method = "base"`: templates in place of the strategy's own, as in `[[plans]]`."""

    tasks: Annotated[list[str], Identity.ALWAYS, Again.NOTHING] = Field(
        default_factory=lambda: ["*"], min_length=1
    )
    """Names of tasks; `*`: all."""

    plans: Annotated[list[str], Identity.ALWAYS, Again.NOTHING] = Field(
        default_factory=lambda: ["*"], min_length=1
    )
    """Names of the train plans whose samples it reads; `*`: all, except those that ask a student or score another plan."""

    teachers: Annotated[list[str], Identity.IF_SET] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of the teachers whose rationales it reads; `*`: all. Teachers whose terms forbid training are left out, but `train_at` counts the samples of all."""

    rationales: Annotated[Positive, Identity.ALWAYS] = 8
    """The largest number of correct rationales per question (1: the paper's plain Fine-tune-CoT)."""

    questions: Annotated[Positive | None, Identity.IF_SET] = None
    """The largest number of training questions per task, drawn by `training.seed`; a smaller set is part of a larger one. Unset: all."""

    scope: Annotated[Literal["per-task", "joint"], Identity.ALWAYS] = "per-task"
    """One run per task, or one run over all its tasks."""

    train_at: Annotated[list[TrainAt], Field(min_length=1), Identity.NO] = ["complete"]
    """When a run starts. A count: at that many correct samples of the task (0: at once). `"complete"`: when all its plans are done. `"every 6h"` (`30m`, `2d`, `1d12h`): at that interval from the student's last run on the task, at first from the creation of its first plan; only if its samples, data or settings changed since, and not while its last run is unfinished. `--until-idle` does not wait for an interval."""

    priority: Annotated[int, Field(ge=-1000, le=1000), Identity.NO] = 0
    """Runs with a higher priority start first."""

    form: Annotated[FormConfig | None, Identity.IF_SET] = None
    """The text around question and answer. Unset: the chat template of the base where its tokenizer has one, the paper's form elsewhere; built-in students and encoder-decoders have the paper's."""

    curation: Annotated[CurationConfig, Identity.ALWAYS] = Field(default_factory=CurationConfig)
    """How samples are selected."""

    training: Annotated[TrainingConfig, Identity.ALWAYS] = Field(default_factory=TrainingConfig)
    """How it is trained."""

    evaluation: Annotated[EvaluationConfig, Identity.ALWAYS] = Field(default_factory=EvaluationConfig)
    """How it is evaluated."""

    generations: Annotated[Annotated[int, Field(ge=1, le=1000)] | None, Identity.NO] = None
    """N: N students in place of this one. NAME.g1 learns as it is configured here; each further one, from the same base, from what the one before writes: the plan NAME.g2 asks the teacher NAME.g1. Rejection sampling, and with `hinted` STaR."""

    generation: Annotated[GenerationConfig, Identity.NO] = Field(default_factory=GenerationConfig)
    """What generations after the first learn from."""

    @model_validator(mode="before")
    @classmethod
    def _measured_at_once(cls, data: Any) -> Any:
        """The defaults of its preset. A student that is not trained waits for nothing."""
        data = for_student(data)
        method = METHODS.get(str(data.get("method"))) if isinstance(data, Mapping) else None
        if method is None or method.trains:
            return data
        return {"train_at": list(method.train_at), "strategy": UNTRAINED_STRATEGY} | {
            name: value for name, value in data.items() if value is not None
        }

    @model_validator(mode="after")
    def _untrained(self) -> Self:
        method = METHODS[self.method]
        if method.trains:
            for name in ("strategy", "exemplars", "prompts"):
                if getattr(self, name) is not None:
                    able = " or ".join(each.name for each in METHODS.values() if not each.trains)
                    raise ValueError(
                        f'{name} says how an untrained base is asked: it needs method = "{able}"'
                    )
            return self
        if self.base.startswith("builtin:"):
            raise ValueError(
                f'method = "{method.name}" measures what a base knows, and {self.base} knows nothing before it is trained:'
                " remove the student, or name a pretrained base"
            )
        if self.exemplars is not None and not STRATEGIES[self.strategy or ""].needs_exemplars:
            fitting = ", ".join(each.name for each in STRATEGIES.values() if each.needs_exemplars)
            raise ValueError(f"exemplars belong to the strategy {fitting} (this is {self.strategy})")
        without = {
            "start_from": self.start_from == "previous",
            "train_at": tuple(self.train_at) != method.train_at,
            "questions": self.questions is not None,
            "generations": self.generations is not None,
            "curation": self.curation != CurationConfig(),
            "training.lora_rank": self.training.lora_rank > 0,
            "training.adapter": self.training.adapter != "full",
        }
        for name, given in without.items():
            if given:
                raise ValueError(f'method = "{method.name}" trains nothing, at once: remove {name}')
        return self

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """`train_at` as triggers."""
        return tuple(parse_trigger(value) for value in self.train_at)

    @model_validator(mode="after")
    def _one_interval(self) -> Self:
        try:
            check_triggers(self.triggers)
        except ValueError as error:
            raise ValueError(f"train_at: {error}") from None
        return self

    @field_validator("base")
    @classmethod
    def _known_size(cls, value: str) -> str:
        name = value.removeprefix(BUILTIN)
        if value.startswith(BUILTIN) and name not in SIZES:
            raise ValueError(f"unknown built-in student {quoted(name)}; {nearest(name, list(SIZES))}")
        if (source := source_name(value)) is not None and not is_name(source):
            raise ValueError(f"expected {STUDENT}NAME, the name of another student, got {quoted(value)}")
        return value

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        served = next((key for key in ("server_url", "server_command") if getattr(self.evaluation, key)), "")
        wrong = adapter_misfit(
            self.training.adapter,
            self.base,
            self.start_from,
            served_by=served,
            batching=self.evaluation.batching,
        )
        if wrong := wrong or selection_misfit(self.method, self.training.select):
            raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _built_in(self) -> Self:
        if self.training.keep_adapter and self.base.startswith("builtin:"):
            raise ValueError(
                f"training.keep_adapter: an adapter needs its base, and that of {self.base} is made anew for each run: remove"
                " it, or name a pretrained base"
            )
        if self.form and self.base.startswith("builtin:") and not form_of(self.form).builtin:
            raise ValueError(
                f'form: a built-in student cannot have the form "{self.form.type}": choose another form, or a base'
                " with a chat template"
            )
        return self

    @model_validator(mode="after")
    def _turns(self) -> Self:
        method = METHODS[self.method]
        if self.guidance not in method.guides:
            able = " or ".join(each.name for each in METHODS.values() if self.guidance in each.guides)
            raise ValueError(f'guidance = "{self.guidance}" needs method = {able} (this is {method.name})')
        if self.part and not method.parts:
            able = " or ".join(each.name for each in METHODS.values() if each.parts)
            raise ValueError(f"part: {method.name} is one model; method = {able} has parts")
        if self.part and self.part not in method.parts:
            raise ValueError(
                f"part: {method.name} has no part {quoted(self.part)}; {nearest(self.part, [*method.parts])}"
            )
        if why := no_turns({"method": self.method}, self.base):
            raise ValueError(why)
        return self

    @model_validator(mode="after")
    def _distributions(self) -> Self:
        objective, method = OBJECTIVES[self.training.objective], METHODS[self.method]
        if objective.reads_distributions and (not method.reads_samples or method.roles):
            able = " or ".join(
                each.name for each in METHODS.values() if each.reads_samples and not each.roles
            )
            does = "learns turns" if method.roles else "learns no text of a teacher"
            raise ValueError(
                f"training.objective: {objective.name} is for texts as a teacher wrote them, and {method.name} {does}: it needs"
                f" method = {able}"
            )
        return self

    @model_validator(mode="after")
    def _formats(self) -> Self:
        method, formats = METHODS[self.method], self.curation.formats
        if formats and (method.roles or not (method.reads_samples or method.reads_rationales)):
            able = " or ".join(
                each.name
                for each in METHODS.values()
                if not each.roles and (each.reads_samples or each.reads_rationales)
            )
            raise ValueError(
                f"curation.formats mixes rows with and without rationales: it needs method = {able}"
            )
        if self.scope == "joint" and any(FORMATS[name].shown for name in formats):
            raise ValueError(
                'curation.formats: worked examples are of the same task: scope = "joint" cannot have them'
            )
        return self

    @model_validator(mode="after")
    def _unrolled(self) -> Self:
        if self.generations is None and self.generation != GenerationConfig():
            raise ValueError("generation has no effect without generations: set it, or remove generation")
        if self.generations and self.part:
            raise ValueError("generations: a part of a pair answers nothing by itself: remove it")
        if self.generations and not METHODS[self.method].reads_samples:
            able = " or ".join(each.name for each in METHODS.values() if each.reads_samples)
            raise ValueError(
                f"generations learn from rationales: they need method = {able} (this is {self.method})"
            )
        return self

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        labels = self.curation.labels
        if labels not in METHODS[self.method].labels:
            able = " or ".join(each.name for each in METHODS.values() if labels in each.labels)
            raise ValueError(
                f'{self.method} learns the answers in the data: labels = "{labels}" needs method = {able}'
            )
        return self
