"""`[students.curation]`: how samples become a training set."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from engine.config.base import Identity, Positive, Section
from engine.methods import LabelSource
from engine.methods.formats import FORMATS, PLAIN, FormatName


class CurationConfig(Section):
    """How samples become a training set."""

    keep: Annotated[Literal["correct", "all", "random"], Identity.ALWAYS] = "correct"
    """Which rationales to keep: correct ones, all (the paper's arm without a filter), or as many at random as are correct (a control). Under a wrong rationale the student learns the answer of `labels`."""

    draw: Annotated[Positive | None, Identity.IF_SET] = None
    """The largest number of rationales of a run, drawn by `training.seed` from those that are kept. The paper's control for a smaller set of better rationales is as many at random from the correct ones. Unset: all."""

    drop_duplicates: Annotated[bool, Identity.ALWAYS] = True
    """Drop rationales of a question that differ only in case and white space."""

    drop_truncated: Annotated[bool, Identity.ALWAYS] = True
    """Drop rationales that were truncated at max_tokens."""

    max_characters: Annotated[Positive, Identity.ALWAYS] = 8000
    """Drop longer rationales."""

    drop_test_overlap: Annotated[bool, Identity.ALWAYS] = True
    """Drop training questions that are also a dev or test question of the student's tasks, however they are written: case, spaces, punctuation and the order of options do not count."""

    drop_test_alike: Annotated[bool, Identity.IF_SET] = False
    """Also drop training questions that are alike: they share four fifths of their distinctive word 8-grams with a dev or test question. On tasks made from templates these are many, and different questions."""

    leave_out_flagged: Annotated[bool, Identity.IF_SET] = False
    """Leave out what you flagged when the run is made: all rationales of a question whose gold answer is wrong or that is bad, and bad rationales (`coterie note`, or `m` in the monitor). Notes without a flag change nothing, and dev and test keep all their questions."""

    hinted: Annotated[bool, Identity.IF_SET] = False
    """Also read rationales that were made with the gold answer as a hint (strategy rationalize)."""

    labels: Annotated[LabelSource, Identity.IF_SET] = "gold"
    """The answer that the student learns under a rationale. gold: the gold answer, as in the paper also under a wrong rationale. teacher: a wrong rationale keeps the answer it led to, for `keep = "all"` and `"random"`. majority: the answer of most of a question's rationales (self-consistency), which also decides what is correct; `train_at` then counts stored samples."""

    votes: Annotated[int, Field(ge=1, le=100_000), Identity.IF_SET] = 2
    """With `labels = "majority"`: drop questions on which fewer rationales agree."""

    min_pass_rate: Annotated[float, Field(ge=0, le=1), Identity.IF_SET] = 0.0
    """Drop questions with a smaller share of correct rationales: too hard for the teacher to be trusted."""

    max_pass_rate: Annotated[float, Field(ge=0, le=1), Identity.IF_SET] = 1.0
    """Drop questions with a larger share of correct rationales: too easy to teach anything."""

    per_teacher: Annotated[Positive | None, Identity.IF_SET] = None
    """The largest number of rationales per question and teacher, if several teachers are mixed. Unset: no limit."""

    mix_answers: Annotated[float, Field(ge=0, le=0.9), Identity.IF_SET] = 0.0
    """Share of rows that ask for the answer alone, with `(Answer only.)` after the question, in methods with rationales. Drawn by `training.seed` from the questions that have a rationale, each at most once."""

    formats: Annotated[dict[FormatName, Annotated[float, Field(gt=0, le=1)]], Identity.IF_SET] = Field(
        default_factory=dict
    )
    """A mixture of formats, in place of `mix_answers`: rows per rationale, by format. cot (always 1.0): the question, then rationale and answer; answer: the question with `(Answer only.)`, then the answer, each question at most once; shots-cot, shots-answer: the same after worked examples (`Q: …`, `A: …`). Drawn by `training.seed`. Test questions are also answered in each of them, which the report shows. Rows with examples are longer: see `training.max_length`."""

    shots: Annotated[int, Field(ge=1, le=64), Identity.IF_SET] = 4
    """Worked examples in the formats that have some: other training questions with their first rationale, drawn anew for each row by `training.seed`."""

    @model_validator(mode="after")
    def _band(self) -> Self:
        if self.min_pass_rate > self.max_pass_rate:
            raise ValueError("min_pass_rate must not exceed max_pass_rate")
        if self.labels == "majority" and (self.min_pass_rate > 0 or self.max_pass_rate < 1):
            raise ValueError(
                'a pass rate counts correct answers, which labels = "majority" does not use: remove min_pass_rate and'
                " max_pass_rate, or the labels"
            )
        return self

    @model_validator(mode="after")
    def _mixed(self) -> Self:
        if not self.formats:
            return self
        if self.mix_answers:
            raise ValueError(
                "formats takes the place of mix_answers: write formats = { cot = 1.0, answer = 0.25 }"
            )
        if self.formats.get(PLAIN.name) != 1.0:
            raise ValueError(
                f"formats needs {PLAIN.name} = 1.0: each rationale is learned once, and by that format the weights are chosen"
            )
        return self

    @model_validator(mode="after")
    def _shown(self) -> Self:
        if (
            "shots" in self.model_fields_set
            and self.shots != 4
            and not any(FORMATS[name].shown for name in self.formats)
        ):
            able = " or ".join(each.name for each in FORMATS.values() if each.shown)
            raise ValueError(f"shots is for formats with worked examples: it needs {able} in formats")
        return self
