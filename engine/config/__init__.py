"""`config.toml`, read into strict, frozen models."""

from engine.config.experiment import ExperimentConfig
from engine.config.load import load_config, resolved
from engine.config.plans import PlanConfig
from engine.config.prompts import PromptsConfig
from engine.config.root import Config, DaemonConfig, StateConfig, TuiConfig
from engine.config.students import CurationConfig, EvaluationConfig, StudentConfig, TrainingConfig
from engine.config.tasks import AnswerFormat, TaskConfig
from engine.config.teachers import DialectName, TeacherConfig

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
