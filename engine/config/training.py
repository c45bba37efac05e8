"""`[students.training]`: how a student is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from engine.config.adapters import ADAPTERS, LORA_RANK, PREFIX_TOKENS
from engine.config.base import Again, Identity, NonNegative, Positive, Section, Seed, default_of
from engine.methods import METHODS
from engine.students.objectives import OBJECTIVES, ObjectiveName

if TYPE_CHECKING:
    AdapterName = str
else:
    AdapterName = Literal[tuple(ADAPTERS)]

TrackerName = Literal["none", "tensorboard", "wandb", "trackio"]

SET_BY_US = frozenset(
    ("account", "constraint", "cpus-per-task", "error", "export", "gpus-per-node", "job-name", "mem", "nodes")
    + ("ntasks", "ntasks-per-node", "open-mode", "output", "partition", "qos", "requeue", "signal", "time")
    + ("array", "chdir", "wrap")
)
"""Options of sbatch that the other settings stand for, or that a run cannot do without."""


class SlurmConfig(Section):
    """A run as a job of a Slurm cluster."""

    partition: str = ""
    """The partition. Empty: the cluster's default."""

    account: str = ""
    """The account that is charged. Empty: your default."""

    qos: str = ""
    """The quality of service. Empty: your default."""

    constraint: str = ""
    """Features that nodes must have, such as "a100&nvlink". Empty: any node."""

    nodes: Positive = 1
    """Nodes of a job. `devices` is the number of ranks on all of them together, the same on each."""

    gpu: bool | Annotated[str, Field(min_length=1)] = True
    """Whether each rank gets a GPU; a name, such as "a100", asks for that type. false: ranks compute on CPUs."""

    cpus_per_rank: Positive = 4
    """CPUs for each rank."""

    memory: str = ""
    """Memory on each node, such as "64G". Empty: the cluster's default."""

    minutes: Positive = 240
    """The time limit of a job. A run that is not done by then writes a checkpoint, is queued again by Slurm, and resumes."""

    stop_before_s: Positive = 120
    """Seconds before the limit at which the run is asked for its checkpoint: longer than a step and a checkpoint take."""

    arguments: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")], str] = {}
    """Further options of sbatch without their dashes, such as `reservation = "night"`."""

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if self.stop_before_s >= self.minutes * 60:
            raise ValueError(
                f"stop_before_s = {self.stop_before_s} must be less than the time limit, which is {self.minutes * 60} s"
            )
        if taken := sorted(SET_BY_US & set(self.arguments)):
            raise ValueError(
                f"arguments must not have {', '.join(taken)}: other settings decide that, or the run needs its own value"
            )
        return self


class TrainingConfig(Section):
    """How a student is trained."""

    zero_stage: Annotated[Literal[0, 1, 2, 3], Identity.ALWAYS, Again.NOTHING] = 2
    """DeepSpeed ZeRO stage. Partitioned over the ranks: 0 nothing, 1 optimizer states, 2 also gradients, 3 also weights. One rank in fp32 has nothing to partition and trains at stage 0, which needs the least memory."""

    offload: Annotated[Literal["none", "optimizer", "all"], Identity.NO] = "none"
    """What a GPU keeps in host memory: nothing, the optimizer states (zero_stage 1 to 3), or weights as well (zero_stage 3)."""

    devices: Annotated[Positive, Identity.NO] = 1
    """Ranks of a run: GPUs, or processes on a CPU. With a `hostfile`: on all machines together."""

    executor: Annotated[Literal["local", "slurm"], Identity.NO] = "local"
    """Where runs are trained. local: processes of this machine, or of a `hostfile`; slurm: jobs of a Slurm cluster, set in `[students.training.slurm]` (`pip install '.[slurm]'`)."""

    slurm: Annotated[SlurmConfig, Identity.NO] = SlurmConfig()
    """With `executor = "slurm"`: what is asked of the cluster."""

    hostfile: Annotated[str, Identity.NO] = ""
    """The machines for the ranks, one per line: `NAME slots=N`. Empty: this machine alone. The daemon runs on the first one."""

    launcher: Annotated[Literal["pdsh", "slurm", "openmpi", "mpich", "impi", "no-ssh"], Identity.NO] = "pdsh"
    """With a `hostfile`: how DeepSpeed starts ranks on the machines. pdsh: over ssh; slurm: srun; openmpi, mpich, impi: mpirun; no-ssh: each other machine runs `python -m engine.students.node RUNS --node-rank N`."""

    launcher_arguments: Annotated[str, Identity.NO] = ""
    """With a `hostfile`: passed on to pdsh, srun or mpirun."""

    master_address: Annotated[str, Identity.NO] = ""
    """With a `hostfile`: where the ranks meet. Empty: the name of the first machine in it."""

    master_port: Annotated[int, Field(ge=0, le=65535), Identity.NO] = 0
    """With a `hostfile`: the port where they meet. 0: a free port of the daemon's machine."""

    epochs: Annotated[Positive, Identity.ALWAYS] = 20
    """Passes over the training set."""

    steps: Annotated[Positive | None, Identity.ALWAYS] = None
    """Optimizer steps, instead of `epochs`."""

    learning_rate: Annotated[float, Field(gt=0), Identity.ALWAYS] = 3e-4
    """Peak learning rate."""

    warmup: Annotated[float, Field(ge=0, le=1), Identity.ALWAYS] = 0.02
    """Share of the steps in which the learning rate rises."""

    schedule: Annotated[Literal["cosine", "linear", "constant"], Identity.ALWAYS] = "cosine"
    """Learning rate schedule after warm-up."""

    final_learning_rate: Annotated[float, Field(ge=0, le=1), Identity.ALWAYS] = 0.05
    """Final learning rate, as a share of the peak."""

    weight_decay: Annotated[float, Field(ge=0), Identity.ALWAYS] = 0.05
    """AdamW weight decay."""

    decay: Annotated[Literal["matrices", "all"], Identity.IF_SET] = "matrices"
    """Which weights decay: matrices only, or also vectors (biases and norms), as with PyTorch's defaults."""

    beta1: Annotated[float, Field(ge=0, lt=1), Identity.ALWAYS] = 0.9
    """AdamW first moment."""

    beta2: Annotated[float, Field(ge=0, lt=1), Identity.ALWAYS] = 0.98
    """AdamW second moment."""

    clip: Annotated[float, Field(ge=0), Identity.ALWAYS] = 1.0
    """Largest gradient norm. 0: gradients are not clipped."""

    objective: Annotated[ObjectiveName, Identity.IF_SET] = Field(
        default="tokens",
        description="What is minimised. "
        + "; ".join(f"{each.name}: {each.doc}" for each in OBJECTIVES.values())
        + ".",
    )

    tail: Annotated[bool, Identity.IF_SET] = True
    """With `objective = "distribution"`: tokens that are not among the teacher's likeliest keep their share of the probability, all together. false: the likeliest ones get it."""

    adapter: Annotated[AdapterName, Identity.IF_SET] = Field(
        default="full",
        description="What is trained. "
        + "; ".join(f"{each.name}: {each.documentation}" for each in ADAPTERS.values())
        + ". A `lora_rank` above 0 alone means lora, as it always did.",
    )

    lora_rank: Annotated[NonNegative, Identity.ALWAYS] = 0
    """Rank of LoRA adapters on all linear layers. Only they are trained; they are merged at export. 0: all weights are trained, or a prefix."""

    lora_alpha: Annotated[Positive, Identity.ALWAYS] = 16
    """The output of adapters is scaled by lora_alpha / lora_rank."""

    prefix_tokens: Annotated[int, Field(ge=1, le=1000), Identity.IF_SET] = PREFIX_TOKENS
    """With `adapter = "prefix"`: its length. Each token takes a position of the base's context."""

    keep_adapter: Annotated[bool, Identity.NO] = False
    """With lora_rank: also write the adapters as they are, to `adapter/` in the student's directory, as peft loads them on the base. For runs that finish from now on. Not for built-in students, whose base nobody else has."""

    batch_tokens: Annotated[Positive, Identity.ALWAYS, Again.SAME_STEPS] = 512
    """Tokens (with padding) per micro-batch on one rank. Batches are grouped by length."""

    batch_rows: Annotated[Positive | None, Identity.IF_SET, Again.SAME_STEPS] = None
    """Rows per micro-batch on one rank, instead of `batch_tokens`: rows in random order, as the paper's batches of 8, whatever their length. The last batch of an epoch may have fewer."""

    accumulation: Annotated[Positive, Identity.ALWAYS, Again.SAME_STEPS] = 1
    """Micro-batches per optimizer step and rank."""

    packing: Annotated[Literal["auto"] | bool, Identity.IF_SET] = "auto"
    """Whether rows of a batch are in one line without padding, each attending to itself only. auto: on a GPU with flash attention, if the model keeps the rows apart; true: always, and a model that mixes them is refused."""

    activation_checkpointing: Annotated[bool, Identity.NO] = False
    """Keep only the input of each layer for the backward pass and recompute the rest: about a third slower, far less memory."""

    loss_chunk: Annotated[Positive, Identity.NO] = 2048
    """The largest number of supervised tokens whose logits are in memory at a time. For a larger batch they are computed in chunks, and again in the backward pass."""

    attention: Annotated[Literal["auto", "flash", "sdpa", "eager"], Identity.NO] = "auto"
    """Implementation of attention. auto: flash if it is installed and the model supports it, on a GPU in bf16; otherwise sdpa."""

    compile: Annotated[bool, Identity.NO] = False
    """Compile the model with torch.compile: minutes of compiling, then faster steps, for long runs. Not with zero_stage 3."""

    liger: Annotated[bool, Identity.NO] = False
    """Use the kernels of liger-kernel, which must be installed. GPUs only."""

    max_length: Annotated[Positive, Identity.ALWAYS] = 1024
    """Longest row in tokens, question and completion together. Longer rows are dropped and counted."""

    precision: Annotated[Literal["auto", "fp32", "bf16"], Identity.ALWAYS] = "auto"
    """auto: bf16 on a GPU that supports it, and on a CPU with instructions for it (AMX, AVX512-BF16, Arm's) if a short trial finds it faster and the base is not small; otherwise fp32. A run keeps its first choice."""

    seed: Annotated[Seed, Identity.ALWAYS] = 0
    """Seed of initialisation and data order."""

    select: Annotated[Literal["none", "uniform", "reinforce"], Identity.IF_SET] = "none"
    """Which rows of a step count, where several teachers wrote them. none: all. reinforce: a policy keeps or leaves out each row, by its question and its teacher, and learns from what that does to the student (Yuan et al. 2020). uniform: each is kept with one half, the control."""

    select_reward: Annotated[Literal["change", "loss"], Identity.IF_SET] = "change"
    """With `select = "reinforce"`: what the policy is rewarded with. change: by how much a step lowered the student's loss on the gold answers of its questions, measured at every fourth step. loss: minus that loss after the step, as in the paper; half the work. In our check with two planted experts it found the right one for three questions of four, change for all."""

    select_floor: Annotated[float, Field(gt=0, lt=0.5), Identity.IF_SET] = 0.1
    """With `select = "reinforce"`: the least probability with which a row is kept, and left out, so that no teacher is given up."""

    checkpoint_steps: Annotated[Positive, Identity.NO] = 200
    """Steps between checkpoints."""

    keep_checkpoints: Annotated[Positive, Identity.NO] = 2
    """Number of complete checkpoints to keep on disk during training, besides the one with the best dev result."""

    keep_checkpoints_finished: Annotated[NonNegative, Identity.NO] = 0
    """Number of them to keep once the run is finished. 0: none; the exported student, its predictions and results stay. `coterie prune` removes those of runs that finished earlier."""

    tracker: Annotated[TrackerName, Identity.NO] = "none"
    """Also send steps and accuracies to TensorBoard (`tensorboard/` of the run), Weights & Biases or trackio; the library must be installed. Keys are not passed on: log in once (`wandb login`)."""

    @model_validator(mode="before")
    @classmethod
    def _lora(cls, data: Any) -> Any:
        """A rank alone means LoRA, and LoRA alone a rank."""
        if not isinstance(data, Mapping):
            return data
        if "adapter" not in data and data.get("lora_rank"):
            return {**data, "adapter": "lora"}
        if data.get("adapter") == "lora" and "lora_rank" not in data:
            return {**data, "lora_rank": LORA_RANK}
        return data

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.executor == "slurm" and self.hostfile:
            raise ValueError('executor = "slurm" needs no hostfile: Slurm chooses the nodes (slurm.nodes)')
        if self.executor == "slurm" and self.devices % self.slurm.nodes:
            raise ValueError(
                f"devices = {self.devices} ranks cannot be the same number on each of slurm.nodes = {self.slurm.nodes}"
            )
        if self.offload == "all" and self.zero_stage != 3:
            raise ValueError(
                'offload = "all" needs zero_stage = 3: other stages keep all weights on each device'
            )
        if self.offload == "optimizer" and self.zero_stage == 0:
            raise ValueError('offload = "optimizer" needs a zero_stage of 1, 2 or 3')
        if not self.tail and not OBJECTIVES[self.objective].reads_distributions:
            able = " or ".join(each.name for each in OBJECTIVES.values() if each.reads_distributions)
            raise ValueError(
                f"tail is for distributions, and objective = {self.objective} has none: it needs objective = {able}"
            )
        if wrong := ADAPTERS[self.adapter].misfit(self):
            raise ValueError(wrong)
        if self.prefix_tokens != PREFIX_TOKENS and not ADAPTERS[self.adapter].positions(self):
            raise ValueError(f'prefix_tokens needs adapter = "prefix" (this is "{self.adapter}")')
        for name in ("select_reward", "select_floor"):
            if getattr(self, name) != default_of(type(self), name) and self.select != "reinforce":
                raise ValueError(f'{name} needs select = "reinforce" (this is "{self.select}")')
        if self.select == "reinforce" and self.zero_stage == 3:
            raise ValueError(
                'select = "reinforce" asks the student between steps, for which each rank needs all its weights: take a zero_stage of 0, 1 or 2'
            )
        if self.compile and self.zero_stage == 3:
            raise ValueError("compile needs a zero_stage of 0, 1 or 2: stage 3 moves weights during a step")
        return self


def selection_misfit(name: str, select: str) -> str:
    """Why a student of a method cannot select rows by their teachers; empty if it can, or does not."""
    method = METHODS[name]
    if select == "none":
        return ""
    if not method.reads_samples or method.roles:
        able = " or ".join(each.name for each in METHODS.values() if each.reads_samples and not each.roles)
        return f'training.select = "{select}" chooses between rationales of teachers: it needs method = {able} (this is {method.name})'
    return ""
