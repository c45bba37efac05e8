"""The metadata at the head of a student's card, in the form that model hubs read. For training processes: huggingface_hub makes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.students.base_names import is_path
from engine.students.sizes import BUILTIN
from engine.students.spec import Spec

TAGS = ("fine-tune-cot", "distillation")


def metadata(spec: Spec, pipeline_tag: str, results: Sequence[dict[str, Any]]) -> str:
    """The YAML block of a card: library, pipeline, base model, its licence where it is known, and the results.

    Args:
        spec: of the run.
        pipeline_tag: what the student does, in the words of the hub.
        results: rows of accuracies by split and task, as in evaluation.json.
    """
    from huggingface_hub import EvalResult, ModelCardData

    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=pipeline_tag,
        tags=list(TAGS),
        base_model=_base_model(spec),
        license=license_of(Path(spec.base)) if is_path(spec.base) else None,
        model_name=f"{spec.student} on {spec.scope}",
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type=row["task"],
                dataset_name=row["task"],
                dataset_split=row["split"],
                metric_type="accuracy",
                metric_value=row["accuracy"],
            )
            for row in results
        ]
        or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _base_model(spec: Spec) -> str | list[str] | None:
    """The model of the hub that a student comes from, also by way of other students; of several students there may be several."""
    if spec.sources or spec.started_from:
        places = [Path(source.directory) for source in spec.sources] or [Path(spec.base)]
        said = (_stated(place, "base_model") for place in places)
        found = dict.fromkeys(
            name for each in said for name in ([each] if isinstance(each, str) else each or ())
        )
        return [*found] if len(found) > 1 else next(iter(found), None)
    return None if spec.base.startswith(BUILTIN) or is_path(spec.base) else spec.base


def license_of(directory: Path) -> str | None:
    """The licence that the card of a base in a directory states; None without a card or a licence."""
    found = _stated(directory, "license")
    return found if isinstance(found, str) and found else None


def _stated(directory: Path, key: str) -> Any:
    """What the metadata of a card say; None without a card, or where it does not say it."""
    from huggingface_hub import ModelCard

    card = directory / "README.md"
    if not card.is_file():
        return None
    try:
        return ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.get(key)
    except Exception:  # somebody else's card: whatever is wrong with it, the student has its own
        return None
