"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests import lazily

for name in (
    "COLUMNS",
    "LINES",
):  # set in parallel workers: programs would take them for their terminal's size
    os.environ.pop(name, None)

settings.register_profile("coterie", deadline=None)  # a busy machine is no fault
settings.load_profile("coterie")

DATA = Path(os.environ.get("COTERIE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

# Files run side by side: a second thread of torch would wait for a core, which costs ten times more than it gains.
os.environ.setdefault("OMP_NUM_THREADS", "1")

RUNTIME = tempfile.mkdtemp(prefix="coterie-tests-")
os.environ["COTERIE_LIMITS"] = os.path.join(
    RUNTIME, "limits"
)  # daemons of tests share limits with one another at most


_SHARING = "train", "answering", "chat_student", "objective", "evaluate", "kernels", "adapters", "packing"
SHARING = tuple(f"tests/engine/students/test_{name}.py" for name in _SHARING)
"""Files that share training processes and base models (`conftest.py` of their folder): one worker runs them."""


LONGEST = (
    *SHARING,
    *(
        f"tests/{name}.py"
        for name in (
            "daemon/training/test_training", "daemon/test_sampling", "daemon/batches/test_batches", "daemon/test_machine", "daemon/test_reload",
            "daemon/test_experiment", "daemon/test_choices", "engine/students/test_open_bases", "daemon/test_embedded_default",
            "bench/test_systems", "engine/students/test_operations", "engine/students/test_merge_and_prune", "engine/students/test_serve",
            "daemon/cli/test_check_measure", "daemon/training/test_untrained", "engine/students/test_vocabulary", "daemon/training/test_trainer",
            "daemon/serving/test_a_served_student", "tui/test_navigation_actions", "tui/test_key_bindings", "simulation/test_simulation",
            "daemon/test_run_with_tui", "daemon/test_version_0_1", "daemon/test_multiarith", "daemon/sampling/test_by_need",
            "daemon/test_builtin_dialects", "tui/test_screens", "engine/grading/test_second_opinion", "faults/test_secrets", "faults/test_answers",
            "engine/practice/test_official_clients", "tui/test_database_reader", "test_imports", "engine/report/test_figures",
        )
    ),
)  # fmt: skip
"""Files that take long, the longest first: begun last, one of them would run beside an idle core."""


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # by number of tests, which says little of their length


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


def pytest_collection_finish() -> None:
    lazily.note_collected()
    gc.freeze()  # what all test files imported stays: looking through it for garbage costs each test something


class Scheduling(LoadFileScheduling):
    """A file is run by one worker; so are all files that share fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        return SHARING[0] if nodeid.startswith(SHARING) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_unconfigure() -> None:
    shutil.rmtree(RUNTIME, ignore_errors=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of real teacher completions and task sets, kept beside the checkout."""
    if not DATA.is_dir():
        pytest.skip(f"recorded teacher data is not at {DATA}")
    return DATA
