"""`config.toml`, read into strict, frozen models.

The names are imported when they are first used: building all models takes a third of a second, which the built-in
teacher and other processes that need one of them do not spend.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.config.experiment import ExperimentConfig
    from engine.config.load import load_config, resolved
    from engine.config.plans import PlanConfig
    from engine.config.prompts import PromptsConfig
    from engine.config.root import Config, DaemonConfig, StateConfig, TuiConfig
    from engine.config.students import CurationConfig, EvaluationConfig, StudentConfig, TrainingConfig
    from engine.config.tasks import AnswerFormat, TaskConfig
    from engine.config.teachers import DialectName, TeacherConfig

_MODULES = {
    "experiment": ("ExperimentConfig",),
    "load": ("load_config", "resolved"),
    "plans": ("PlanConfig",),
    "prompts": ("PromptsConfig",),
    "root": ("Config", "DaemonConfig", "StateConfig", "TuiConfig"),
    "students": ("CurationConfig", "EvaluationConfig", "StudentConfig", "TrainingConfig"),
    "tasks": ("AnswerFormat", "TaskConfig"),
    "teachers": ("DialectName", "TeacherConfig"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AnswerFormat",
    "Config",
    "CurationConfig",
    "DaemonConfig",
    "DialectName",
    "EvaluationConfig",
    "ExperimentConfig",
    "PlanConfig",
    "PromptsConfig",
    "StateConfig",
    "StudentConfig",
    "TaskConfig",
    "TeacherConfig",
    "TrainingConfig",
    "TuiConfig",
    "load_config",
    "resolved",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return found
