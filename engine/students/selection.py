"""How much each row of a step counts: all, or those that a policy keeps (Yuan et al. 2020).

Batches stay a function of seed and step; selection is a weight of 0 or 1 in the loss. Whether a row is kept is drawn by seed, step and row from
the policy's probability. With `reinforce`, every fourth step is measured: by how much it lowered the student's loss on the gold answers of
its questions. A row whose question gained more than usual while it was kept, or less while it was not, is kept more often.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from engine.config.training import TrainingConfig
from engine.errors import JobFailed
from engine.forms import TokenForm
from engine.methods import TrainRow
from engine.policy import Policy
from engine.students.objective import Student
from engine.students.packing import on_device
from engine.students.ranks import Ranks
from engine.students.targets import Targets
from engine.students.token_rows import TokenRow, tokenize
from state.run_reports import WEIGHT

FILE = "selection.json"
"""In a checkpoint: the state of the policy."""
EVERY = 4
"""Steps between two that are measured."""
WIDTH = 64
"""Numbers that a question's mean embedding is projected to, if it has more."""


@dataclass(kw_only=True)
class Selection:
    """The weights of rows. The same on all ranks."""

    training: TrainingConfig
    teachers: tuple[str, ...]
    tasks: Sequence[str]
    """The task of each row."""
    arms: np.ndarray
    """[rows]: the teacher of each row; -1: it has none, and always counts."""
    features: np.ndarray
    """[rows, features] float64."""
    answers: Sequence[TokenRow]
    """Of each row: its question with the gold answer alone."""
    student: Student
    pad: int
    device: torch.device
    ranks: Ranks
    policy: Policy
    _before: Any = 0.0
    _kept: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def weigh(self, step: int, rows: np.ndarray) -> np.ndarray:
        """[rows] 1 for the rows of a step that count and 0 for the others. Before the step; all ranks call it together."""
        keep = np.ones(len(rows))
        chosen = self.arms[rows] >= 0
        keep[chosen] = self.policy.keep(self.arms[rows[chosen]], self.features[rows[chosen]])
        drawn = np.array([_draw(self.training.seed, step, int(row)) for row in rows])
        kept = (drawn < keep).astype(np.float64)
        if not kept.any():  # a step without rows would be one of weight decay alone
            kept[int(keep.argmax())] = 1.0
        self._kept = kept
        if self._measured(step) and self.training.select_reward == "change":
            self._before = self._losses(rows)
        return kept

    def learn(self, step: int, rows: np.ndarray) -> None:
        """After the step: what it did to the losses on the gold answers. All ranks call it together."""
        if not self._measured(step):
            return
        rewards = self.reward(self._before, self._losses(rows))
        chosen = self.arms[rows] >= 0
        self.policy.learn(
            self.arms[rows[chosen]], self.features[rows[chosen]], self._kept[chosen], rewards[chosen]
        )

    @staticmethod
    def reward(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """By how much the loss on each gold answer fell; where `before` is 0, how small it is."""
        return before - after

    def by_teacher(self) -> dict[str, float]:
        """The mean probability of keeping over each teacher's rows, in the present state."""
        own = self.arms >= 0
        keep = self.policy.keep(self.arms[own], self.features[own])
        return {
            f"{WEIGHT}{name}": round(float(keep[self.arms[own] == place].mean()), 6)
            for place, name in enumerate(self.teachers)
        }

    def figures(self) -> dict[str, float]:
        """The same for each teacher and task."""
        found: dict[str, list[float]] = {}
        keep = self.policy.keep(self.arms, self.features)
        for arm, task, value in zip(self.arms.tolist(), self.tasks, keep.tolist(), strict=True):
            if arm >= 0:
                found.setdefault(f"{WEIGHT}{self.teachers[arm]}@{task}", []).append(value)
        return {name: round(sum(values) / len(values), 6) for name, values in sorted(found.items())}

    def to_bytes(self) -> bytes:
        """The state of the policy, as it is in a checkpoint."""
        return json.dumps(self.policy.to_json()).encode()

    def read(self, data: bytes) -> None:
        """Takes on the state of a checkpoint.

        Raises:
            JobFailed: it is of other rows.
        """
        try:
            self.policy.read(json.loads(data))
        except (ValueError, KeyError) as error:
            raise JobFailed(f"the policy in a checkpoint ({FILE}) cannot be read: {error}") from error

    def _measured(self, step: int) -> bool:
        return self.training.select == "reinforce" and step % EVERY == 0

    def _losses(self, rows: np.ndarray) -> np.ndarray:
        """[rows]: the student's mean loss on the tokens of each gold answer. Each rank computes a share."""
        own = rows[self.ranks.rank :: self.ranks.world]
        found: list[float] = []
        was_training = self.student.training
        self.student.eval()
        try:
            with torch.no_grad():
                for part in np.array_split(own, max(1, -(-len(own) // self._together(own)))):
                    found += self._batch([self.answers[index] for index in part])
        finally:
            self.student.train(was_training)
        whole = np.zeros(len(rows))
        for rank, values in enumerate(self.ranks.gather(found)):
            whole[rank :: self.ranks.world] = values
        return whole

    def _together(self, rows: np.ndarray) -> int:
        """How many of these rows one forward pass may have."""
        longest = max((len(self.answers[index].ids) for index in rows), default=1)
        return max(1, self.training.batch_tokens // longest)

    def _batch(self, rows: Sequence[TokenRow]) -> list[float]:
        if not rows:
            return []
        architecture = self.student.architecture
        inputs, keep, targets, _, _ = on_device(architecture.collate(rows, self.pad), self.device)
        logits = self.student.logits(inputs, keep).float()
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        parts = losses.split([row.supervised for row in rows])
        return [float(part.mean()) for part in parts]


def select(
    student: Student,
    model: Any,
    form: TokenForm,
    rows: Sequence[TrainRow],
    training: TrainingConfig,
    *,
    targets: Targets | None,
    limit: int,
    pad: int,
    device: torch.device,
    ranks: Ranks,
) -> Selection | None:
    """The selection of a run; None: all rows count.

    Args:
        student: what is trained.
        model: it, with complete weights, as it is before the first step.
        form: the form of the student.
        rows: the training rows.
        training: the settings.
        targets: the teachers' log-probabilities, where they are known.
        limit: tokens of the longest row that is trained on.
        pad: the token for padding.
        device: where the student is.
        ranks: of the run.

    Raises:
        JobFailed: no row has a teacher.
    """
    if training.select == "none":
        return None
    lengths = [len(each.prompt) + len(each.completion) for each in form.rows(rows)]
    fitting = [row for row, length in zip(rows, lengths, strict=True) if length <= limit]
    written = np.array([length for length in lengths if length <= limit], dtype=np.float64)
    teachers = tuple(sorted({row.teacher for row in fitting if row.teacher}))
    if not teachers:
        raise JobFailed(f'training.select = "{training.select}": no training row has a teacher')
    places = {name: place for place, name in enumerate(teachers)} | {"": -1}
    known = [written]
    if targets is not None:
        known.append(np.array([targets.mean_logprob(row) for row in fitting]))
    features = question_features(model, form, [row.question for row in fitting], known)
    alone = [row.model_copy(update={"rationale": None, "answer": row.gold or row.answer}) for row in fitting]
    answers, _ = tokenize(form, alone, max_length=2**31)
    return Selection(
        training=training,
        teachers=teachers,
        tasks=[row.task for row in fitting],
        arms=np.array([places[row.teacher] for row in fitting]),
        features=features,
        answers=answers,
        student=student,
        pad=pad,
        device=device,
        ranks=ranks,
        policy=Policy.new(len(teachers), features.shape[1], training.select_floor),
    )


def question_features(
    model: Any, form: TokenForm, questions: Sequence[str], known: Sequence[np.ndarray]
) -> np.ndarray:
    """[rows, features]: a constant, the question's mean input embedding (projected, if it is wide) and what else is known, centred and in scale.

    Each row's features together have about the length 1 or 2, whatever the width of the model.

    Args:
        model: with complete weights.
        form: of the student.
        questions: of the rows.
        known: [rows] each, such as the row's length.
    """
    different = list(dict.fromkeys(questions))
    matrix = model.get_input_embeddings().weight.detach().float().cpu()
    means = np.array(
        [matrix[torch.tensor(ids)].mean(dim=0).double().numpy() for ids in form.prompt_ids(different)]
    )
    if means.shape[1] > WIDTH:
        means = means @ np.random.Generator(np.random.Philox(key=0)).normal(size=(means.shape[1], WIDTH))
    place = {question: number for number, question in enumerate(different)}
    found = np.column_stack([means[[place[each] for each in questions]], *known])
    found -= found.mean(axis=0)
    found /= np.maximum(found.std(axis=0), 1e-9) * np.sqrt(found.shape[1])
    return np.column_stack([np.ones(len(found)), found])


def _draw(seed: int, step: int, row: int) -> float:
    """A number in [0, 1) that is a function of its arguments."""
    return float(np.random.Generator(np.random.Philox(key=[seed, step * 2**32 + row])).random())
