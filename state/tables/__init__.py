"""The tables of `state.db`: the single definition, from which `schema.sql` is generated.

    daemon     sessions, heartbeat, events, commands
    catalog    tasks, questions, teachers, plans
    sampling   samples, attempts, batches, completions, verdicts, notes
    training   runs, their training data, metrics, evaluations, predictions

Conventions: STRICT tables; integer keys; times are UTC milliseconds (`*_at`); money is integer
micro-dollars (`*_micros`); anything nested is JSON text. Foreign keys are enforced.

No row is written for work that has not begun: a plan has counters and a cursor, and a sample's row
appears when it is claimed. The writer keeps counters in the transaction that changes what they
count; they are recounted when a daemon starts.

SQLModel is slow to import, so only the modules that write through it import this package;
whatever only reads takes its states from `state/enums.py`.
"""

from state.tables.catalog import Need, Plan, Question, Task, Teacher
from state.tables.daemon import Command, DaemonSession, Event, Heartbeat, Identity
from state.tables.sampling import Attempt, Batch, BatchAttempt, Completion, Grade, Logprob, Note, Sample
from state.tables.training import Evaluation, Metric, Prediction, Run, RunLabel, RunSample, RunSource

__all__ = [
    "Attempt",
    "Batch",
    "BatchAttempt",
    "Command",
    "Completion",
    "DaemonSession",
    "Evaluation",
    "Event",
    "Grade",
    "Heartbeat",
    "Identity",
    "Logprob",
    "Metric",
    "Need",
    "Note",
    "Plan",
    "Prediction",
    "Question",
    "Run",
    "RunLabel",
    "RunSample",
    "RunSource",
    "Sample",
    "Task",
    "Teacher",
]
