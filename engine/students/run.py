"""A run as its process sees it: directory, spec, ranks, and its reports. Imports nothing heavy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from engine.errors import JobFailed
from engine.methods import METHODS, Method
from engine.students.progress_file import ProgressWriter
from engine.students.ranks import Ranks, StopFlag
from engine.students.spec import MANIFEST_VERSION, Spec, read_owner

if TYPE_CHECKING:
    from engine.students.evaluate import Judge

MakeJudge = Callable[[str], "Judge"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run in its process."""

    directory: Path
    spec: Spec
    ranks: Ranks
    stop: StopFlag
    progress: ProgressWriter | None
    """Of the first rank; the others report failures only."""
    make_judge: MakeJudge
    """Makes a judge from the name of a grader."""

    @property
    def checkpoints(self) -> Path:
        """The directory of the checkpoints."""
        return self.directory / "checkpoints"

    @property
    def method(self) -> Method:
        """The method of its student."""
        return METHODS[self.spec.method]

    def tell(self, event: str, **fields: Any) -> None:
        """Writes an event, if this is the first rank."""
        if self.progress is not None:
            self.progress.write(event, **fields)

    def note(self, message: str) -> None:
        """Reports a deviation from what was configured, if this is the first rank."""
        self.tell("note", message=message)


def read_spec(directory: Path) -> Spec:
    """The `spec.json` of the run.

    Raises:
        JobFailed: it is missing or invalid, or its manifest is newer than this program.
    """
    path = directory / "spec.json"
    try:
        spec = Spec.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise JobFailed(f"{path} is missing: this is not a run directory") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise JobFailed(f"{path}: {where}: {first['msg']}") from None
    if spec.manifest_version > MANIFEST_VERSION:
        raise JobFailed(
            f"{path}: the rows have version {spec.manifest_version}, and this program reads up to {MANIFEST_VERSION}:"
            " install the version of coterie that wrote them"
        )
    return spec


def check_owner(directory: Path, spec: Spec) -> None:
    """Checks that spec, rows and owner of a directory belong together. A directory of an older version has no owner.

    Raises:
        JobFailed: they do not.
    """
    owner = read_owner(directory)
    if owner is None:
        return
    digest = hashlib.sha256((directory / "manifest.jsonl").read_bytes()).hexdigest()
    said = (spec.run_id, spec.manifest_digest)
    if (owner.run_id, owner.manifest_digest) != said or digest != spec.manifest_digest:
        raise JobFailed(
            f"{directory}: spec.json, manifest.jsonl and owner.json are not of one run. Move the directory away:"
            " it is written anew when the run starts again"
        )
