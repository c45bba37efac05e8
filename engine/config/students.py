"""`[[students]]`: what to train, on what, and when."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from engine.config.base import Identity, Name, NonNegative, Positive, Section, Seed
from engine.config.faults import quoted
from state.triggers import KINDS, Trigger, check_triggers, parse_trigger


def _train_at(value: object) -> object:
    """A value of `train_at`, unchanged.

    Raises:
        ValueError: it is no trigger.
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
TrackerName = Literal["none", "tensorboard", "wandb", "trackio"]


class CurationConfig(Section):
    """How accepted samples become a training set."""

    keep: Annotated[Literal["correct", "all", "random"], Identity.ALWAYS] = "correct"
    """Which rationales: those with a correct answer, all of them, or as many at random as are correct (a control)."""

    drop_duplicates: Annotated[bool, Identity.ALWAYS] = True
    """Drop rationales of a question that are equal but for case and white space."""

    drop_truncated: Annotated[bool, Identity.ALWAYS] = True
    """Drop rationales that were cut at max_tokens."""

    max_characters: Annotated[Positive, Identity.ALWAYS] = 8000
    """Drop longer rationales."""

    drop_test_overlap: Annotated[bool, Identity.ALWAYS] = True
    """Drop training questions that also stand in a test split, exactly or by 8-gram overlap."""

    hinted: Annotated[bool, Identity.IF_SET] = False
    """Read rationales, too, that were made with the gold answer as a hint (strategy rationalize)."""

    labels: Annotated[Literal["gold", "majority"], Identity.IF_SET] = "gold"
    """What decides which answers are correct, and what the student learns as the answer: the gold answer, or without it the answer
    that most of a question's rationales gave (self-consistency). With majority, `train_at` counts stored samples."""

    votes: Annotated[int, Field(ge=1, le=100_000), Identity.IF_SET] = 2
    """Of `labels = "majority"`: questions on which fewer rationales agree are left out."""

    min_pass_rate: Annotated[float, Field(ge=0, le=1), Identity.IF_SET] = 0.0
    """Leave out questions of whose graded rationales a smaller share is correct: too hard for the teacher to be trusted."""

    max_pass_rate: Annotated[float, Field(ge=0, le=1), Identity.IF_SET] = 1.0
    """Leave out questions of whose graded rationales a larger share is correct: too easy to teach anything."""

    per_teacher: Annotated[Positive | None, Identity.IF_SET] = None
    """At most so many rationales a question of each teacher, where several teachers are mixed; unset: as they come."""

    mix_answers: Annotated[float, Field(ge=0, le=0.9), Identity.IF_SET] = 0.0
    """Share of the rows of fine-tune-cot that ask for the answer alone, with `(Answer only.)` after the question: drawn by `training.seed` from the questions that have a rationale, each at most once."""

    @model_validator(mode="after")
    def _band(self) -> Self:
        if self.min_pass_rate > self.max_pass_rate:
            raise ValueError("min_pass_rate is above max_pass_rate: no question is in between")
        if self.labels == "majority" and (self.min_pass_rate > 0 or self.max_pass_rate < 1):
            raise ValueError(
                'a pass rate counts correct answers, which labels = "majority" does not look at: remove min_pass_rate'
                " and max_pass_rate, or the labels"
            )
        return self


class TrainingConfig(Section):
    """How a student is trained."""

    zero_stage: Annotated[Literal[0, 1, 2, 3], Identity.ALWAYS] = 2
    """DeepSpeed ZeRO stage: 0 nothing, 1 optimizer states, 2 gradients as well, 3 weights as well are shared out over the ranks."""

    offload: Annotated[Literal["none", "optimizer", "all"], Identity.NO] = "none"
    """What a GPU keeps in the host's memory: nothing, the optimizer's states (zero_stage 1 to 3), or weights as well (zero_stage 3)."""

    devices: Annotated[Positive, Identity.NO] = 1
    """Ranks of a run: GPUs, or processes on a CPU; with a `hostfile` on all machines together."""

    hostfile: Annotated[str, Identity.NO] = ""
    """The machines that ranks are placed on, a line each: `NAME slots=N`; empty: this machine alone. The first one is the daemon's."""

    launcher: Annotated[Literal["pdsh", "slurm", "openmpi", "mpich", "impi", "no-ssh"], Identity.NO] = "pdsh"
    """Of a `hostfile`: how DeepSpeed starts ranks on its machines. pdsh: over ssh; slurm: srun; openmpi, mpich, impi: mpirun; no-ssh: each other machine runs `python -m engine.students.node RUNS --node-rank N`."""

    launcher_arguments: Annotated[str, Identity.NO] = ""
    """Of a `hostfile`: passed on to pdsh, srun or mpirun."""

    master_address: Annotated[str, Identity.NO] = ""
    """Of a `hostfile`: where the ranks meet; empty: the first machine's name in it."""

    master_port: Annotated[int, Field(ge=0, le=65535), Identity.NO] = 0
    """Of a `hostfile`: the port where they meet; 0: one that is free on the daemon's machine."""

    epochs: Annotated[Positive, Identity.ALWAYS] = 20
    """Passes over the training set."""

    steps: Annotated[Positive | None, Identity.ALWAYS] = None
    """Optimizer steps, in place of `epochs`."""

    learning_rate: Annotated[float, Field(gt=0), Identity.ALWAYS] = 3e-4
    """Peak learning rate."""

    warmup: Annotated[float, Field(ge=0, le=1), Identity.ALWAYS] = 0.02
    """Share of the steps over which the learning rate rises."""

    schedule: Annotated[Literal["cosine", "linear", "constant"], Identity.ALWAYS] = "cosine"
    """Course of the learning rate after warm-up."""

    final_learning_rate: Annotated[float, Field(ge=0, le=1), Identity.ALWAYS] = 0.05
    """Where the schedule ends, as a share of the peak."""

    weight_decay: Annotated[float, Field(ge=0), Identity.ALWAYS] = 0.05
    """AdamW weight decay, on matrices only."""

    beta1: Annotated[float, Field(ge=0, lt=1), Identity.ALWAYS] = 0.9
    """AdamW first moment."""

    beta2: Annotated[float, Field(ge=0, lt=1), Identity.ALWAYS] = 0.98
    """AdamW second moment."""

    clip: Annotated[float, Field(gt=0), Identity.ALWAYS] = 1.0
    """Gradient norm is clipped to this."""

    lora_rank: Annotated[NonNegative, Identity.ALWAYS] = 0
    """Rank of LoRA adapters on all linear layers; only they are trained, and merged at export. 0: train all weights."""

    lora_alpha: Annotated[Positive, Identity.ALWAYS] = 16
    """What adapters write is scaled by lora_alpha / lora_rank."""

    batch_tokens: Annotated[Positive, Identity.ALWAYS] = 512
    """Tokens (padding included) of one micro-batch on one rank; batches are grouped by length."""

    accumulation: Annotated[Positive, Identity.ALWAYS] = 1
    """Micro-batches an optimizer step."""

    packing: Annotated[Literal["auto"] | bool, Identity.IF_SET] = "auto"
    """Whether rows of a batch stand in one line without padding, each seeing itself alone. auto: on a GPU with flash attention, where the model is found to keep them apart; true: anywhere, and a model that mixes them is refused."""

    activation_checkpointing: Annotated[bool, Identity.NO] = False
    """Keep only each layer's input for the backward pass and compute the rest again: about a third slower, far less memory."""

    loss_chunk: Annotated[Positive, Identity.NO] = 2048
    """So many learned tokens have their logits in memory at a time; of a batch with more, they are made in parts, and once more in the backward pass."""

    attention: Annotated[Literal["auto", "flash", "sdpa", "eager"], Identity.NO] = "auto"
    """Implementation of attention. auto: flash where it is installed and the model has it, on a GPU in bf16; sdpa elsewhere."""

    compile: Annotated[bool, Identity.NO] = False
    """Compile the model with torch.compile: faster steps after minutes of compiling, for long runs. Not with zero_stage 3."""

    liger: Annotated[bool, Identity.NO] = False
    """Use the kernels of liger-kernel, which must be installed; on GPUs only."""

    max_length: Annotated[Positive, Identity.ALWAYS] = 1024
    """Longest row in tokens, question and completion together; longer rows are dropped and counted."""

    precision: Annotated[Literal["auto", "fp32", "bf16"], Identity.ALWAYS] = "auto"
    """auto: bf16 on a GPU that has it, fp32 on a CPU."""

    seed: Annotated[Seed, Identity.ALWAYS] = 0
    """Seed of initialisation and data order."""

    checkpoint_steps: Annotated[Positive, Identity.NO] = 200
    """Steps between checkpoints."""

    keep_checkpoints: Annotated[Positive, Identity.NO] = 2
    """How many complete checkpoints stay on disk."""

    tracker: Annotated[TrackerName, Identity.NO] = "none"
    """Also shows steps and accuracies in TensorBoard (`tensorboard/` of the run), Weights & Biases or trackio; its library must be installed. Keys are not passed on: log in once (`wandb login`)."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.offload == "all" and self.zero_stage != 3:
            raise ValueError(
                'offload = "all" needs zero_stage = 3: other stages keep whole weights on each device'
            )
        if self.offload == "optimizer" and self.zero_stage == 0:
            raise ValueError('offload = "optimizer" needs a zero_stage of 1, 2 or 3')
        if self.compile and self.zero_stage == 3:
            raise ValueError("compile needs a zero_stage of 0, 1 or 2: stage 3 moves weights in between")
        return self


class EvaluationConfig(Section):
    """How a student is evaluated."""

    every_epochs: Annotated[NonNegative, Identity.ALWAYS] = 0
    """Evaluate on dev every so many epochs during training; 0: `dev_evaluations` times, evenly."""

    dev_evaluations: Annotated[NonNegative, Identity.ALWAYS] = 4
    """How often dev is evaluated over the training when `every_epochs` is 0."""

    best: Annotated[bool, Identity.ALWAYS] = True
    """Export the weights of the best dev evaluation rather than the last ones."""

    patience: Annotated[NonNegative, Identity.ALWAYS] = 0
    """Stop after so many dev evaluations without a better one; 0: never."""

    max_new_tokens: Annotated[Positive, Identity.ALWAYS] = 256
    """Longest answer in tokens."""

    batch_size: Annotated[Positive, Identity.ALWAYS] = 64
    """Questions generated at a time."""

    grader: Annotated[Literal["careful", "paper"], Identity.ALWAYS] = "careful"
    """Which grader reads the student's answers."""

    samples: Annotated[int, Field(ge=0, le=1000), Identity.IF_SET] = 0
    """Of each test question so many sampled answers besides the greedy one; the accuracy of their majority is kept beside it. 0: none."""

    temperature: Annotated[float, Field(gt=0, le=5), Identity.IF_SET] = 0.7
    """Of `samples`."""

    batching: Annotated[Literal["static", "continuous"], Identity.NO] = "static"
    """How transformers generates. static: `batch_size` questions of like length from begin to end; continuous: a question that is answered makes room for the next (decoders, greedy answers)."""

    server_url: Annotated[str, Identity.NO] = ""
    """An OpenAI-compatible server, such as `http://127.0.0.1:8000/v1`, that writes the exported student's answers in place of transformers (decoders). It serves the student by the path of its directory, or is started by `server_command`."""

    server_command: Annotated[list[str], Identity.NO] = Field(default_factory=list)
    """Starts such a server for one evaluation, and it is ended afterwards: `{student}` is the exported student's directory, `{port}` a free port. For vLLM: `["vllm", "serve", "{student}", "--port", "{port}"]`."""

    server_concurrency: Annotated[Positive, Identity.NO] = 64
    """Questions asked of the server at a time."""

    @model_validator(mode="after")
    def _one_server(self) -> Self:
        if self.server_command and self.server_url:
            raise ValueError("server_command starts a server on a port of its own: leave server_url away")
        if self.server_command and not any("{student}" in word for word in self.server_command):
            raise ValueError("server_command needs {student}, the directory that the server is to load")
        return self


class StudentConfig(Section):
    """A student: base model, method, data and trigger."""

    name: Annotated[Name, Identity.NO]
    """The student's name."""

    base: Annotated[str, Identity.ALWAYS] = "builtin:nano"
    """`builtin:NAME` (nano, micro, mini; nano-t5, micro-t5, mini-t5), a local model directory, or a hub id: decoders and encoder-decoders (T5), told by their configuration."""

    start_from: Annotated[Literal["base", "previous"], Identity.IF_SET] = "base"
    """What a run starts from: the base, or what the latest finished run of this student on the same scope became (the base, where there is none)."""

    method: Annotated[Literal["fine-tune", "fine-tune-cot"], Identity.ALWAYS] = "fine-tune-cot"
    """fine-tune (question to answer) or fine-tune-cot (question to rationale and answer)."""

    tasks: Annotated[list[str], Identity.ALWAYS] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of tasks; `*` stands for all."""

    plans: Annotated[list[str], Identity.ALWAYS] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of the train plans whose samples it reads; `*` stands for all."""

    teachers: Annotated[list[str], Identity.IF_SET] = Field(default_factory=lambda: ["*"], min_length=1)
    """Names of the teachers whose rationales it reads; `*` stands for all. Only those that may be trained on are read, and `train_at` counts the samples of all."""

    rationales: Annotated[Positive, Identity.ALWAYS] = 8
    """At most so many accepted rationales a question (1: the paper's plain Fine-tune-CoT)."""

    questions: Annotated[Positive | None, Identity.IF_SET] = None
    """At most so many training questions of each task, drawn by `training.seed`; fewer are part of more. Unset: all."""

    scope: Annotated[Literal["per-task", "joint"], Identity.ALWAYS] = "per-task"
    """One run for each task, or one over all its tasks."""

    train_at: Annotated[list[TrainAt], Field(min_length=1), Identity.NO] = ["complete"]
    """When a run starts. A count: at that many correct samples of the task (0: at once). `"complete"`: when all its plans are done. `"every 6h"` (`30m`, `2d`, `1d12h`): at that interval from the student's last run on the task, at first from the creation of its first plan; only if its samples, data or settings changed since, and not while its last run is unfinished. `--until-idle` does not wait for an interval."""

    priority: Annotated[int, Field(ge=-1000, le=1000), Identity.NO] = 0
    """Runs with a higher priority start first."""

    curation: Annotated[CurationConfig, Identity.ALWAYS] = Field(default_factory=CurationConfig)
    """How samples are chosen."""

    training: Annotated[TrainingConfig, Identity.ALWAYS] = Field(default_factory=TrainingConfig)
    """How it is trained."""

    evaluation: Annotated[EvaluationConfig, Identity.ALWAYS] = Field(default_factory=EvaluationConfig)
    """How it is evaluated."""

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

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if self.method == "fine-tune" and self.curation.labels == "majority":
            raise ValueError(
                'fine-tune learns the data\'s answers and reads no samples: labels = "majority" is for fine-tune-cot'
            )
        return self
