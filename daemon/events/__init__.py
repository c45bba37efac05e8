"""Events: frozen dataclasses named in the past tense, one module per subject, and the bus that carries them.

Events with a `message` become rows of `event`; the others (thousands of `SampleStored`) only wake their listeners.
"""

from daemon.events.bus import Bus, Event
from daemon.events.daemon_events import (
    BudgetReached,
    BudgetSet,
    ConfigRefused,
    ConfigReloaded,
    DaemonStarted,
    DaemonStopping,
    Noted,
    RestartNeeded,
    SamplesRetried,
    StoodStill,
)
from daemon.events.run_events import (
    RunFailed,
    RunFinished,
    RunNoted,
    RunStarted,
    RunStopped,
    ThresholdReached,
)
from daemon.events.sample_events import (
    PlanCompleted,
    PlanContinued,
    PlanFellBack,
    PlanReturned,
    PlanSuperseded,
    SampleFailed,
    SampleStored,
    TargetMissed,
    TaskRead,
)
from daemon.events.teacher_events import (
    AskedOneByOne,
    LogprobsMissing,
    TeacherCooling,
    TeacherParked,
    TeacherRecovered,
    TeacherResumed,
)

__all__ = [
    "AskedOneByOne",
    "BudgetReached",
    "BudgetSet",
    "Bus",
    "ConfigRefused",
    "ConfigReloaded",
    "DaemonStarted",
    "DaemonStopping",
    "Event",
    "LogprobsMissing",
    "Noted",
    "PlanCompleted",
    "PlanContinued",
    "PlanFellBack",
    "PlanReturned",
    "PlanSuperseded",
    "RestartNeeded",
    "RunFailed",
    "RunFinished",
    "RunNoted",
    "RunStarted",
    "RunStopped",
    "SampleFailed",
    "SampleStored",
    "SamplesRetried",
    "StoodStill",
    "TargetMissed",
    "TaskRead",
    "TeacherCooling",
    "TeacherParked",
    "TeacherRecovered",
    "TeacherResumed",
    "ThresholdReached",
]
