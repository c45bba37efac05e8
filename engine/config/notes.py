"""Notes on settings that fit together and yet have no effect, or cost more than they need to."""

from __future__ import annotations

from collections.abc import Iterator

from engine.config.base import Change, default_of, fields_marked
from engine.config.faults import listed
from engine.config.named import served, teachers_of
from engine.config.root import Config
from engine.config.teachers import TeacherConfig
from engine.strategies import STRATEGIES
from engine.teachers.dialects import dialect


def left_out(config: Config) -> Iterator[str]:
    """Notes on what has no effect.

    A configuration without work, built-in teachers that `*` leaves out of a plan, and settings of their server elsewhere.
    """
    if not (config.plans or config.students):
        yield "there is nothing to do without [[plans]] and [[students]]: `coterie init` writes a whole configuration"
    for name, teacher in config.teachers.items():
        settings = fields_marked(TeacherConfig, Change.SERVER) if not teacher.builtin else ()
        ignored = [each for each in settings if getattr(teacher, each) != default_of(TeacherConfig, each)]
        if ignored:
            yield (
                f"teachers.{name}: {listed(ignored, 'and')} {'have' if len(ignored) > 1 else 'has'} no effect, because only the"
                " built-in teacher's server has such settings: remove them, or set builtin = true"
            )
    built_in = {name: teacher.builtin for name, teacher in config.teachers.items() if not teacher.student}
    for plan in config.plans:
        used, unused = served(plan.teachers, plan.fallback_teachers, built_in)
        for name in unused:
            yield (
                f'plans.{plan.name}: teachers = ["*"] leaves out the built-in teacher {name}, because there is'
                f' {", ".join(used)}; to ask it too, name it: teachers = ["*", "{name}"]'
            )


def two_step_chats(config: Config) -> Iterator[str]:
    """Notes on plans that let chat models continue a text, in two steps, where one would do."""
    for plan in config.plans:
        better = STRATEGIES[plan.strategy].for_chat
        asked = [*teachers_of(plan, config.teachers), *plan.fallback_teachers]
        chats = [name for name in asked if _chats(config.teachers[name])]
        if better and chats:
            yield (
                f"plans.{plan.name}: strategy {plan.strategy} sends two requests for each sample, the second with the rationale in the"
                f" question, as for models that continue a text; {', '.join(chats)} {'are' if len(chats) > 1 else 'is'} asked by messages:"
                f' strategy = "{better}" needs one request (another strategy begins the plan anew)'
            )


def _chats(teacher: TeacherConfig) -> bool:
    return not teacher.local and dialect(teacher.dialect).chat
