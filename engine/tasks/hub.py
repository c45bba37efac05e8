"""Reads rows of a data set from the Hugging Face hub, or from a local folder in the hub's layouts (`hf:./folder`).

The `datasets` library reads them; it is imported here, when a data set is opened. No code of a data set is executed: no
remote code, no loading scripts. Cache, mirror, token and offline mode are the library's own environment variables
(`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.faults import quoted
from engine.config.tasks import FieldsConfig
from engine.errors import ConfigError, TaskDataError
from engine.question import SPLIT_NAMES, Split
from engine.tasks.columns import CHATS, OTHER_COLUMNS, columns_of, needed_columns
from engine.tasks.known_datasets import KNOWN_DATASETS, KnownDataset, by_name, recognised
from engine.tasks.row_files import Row


@dataclass(frozen=True, slots=True)
class DatasetSplit:
    """One split of a data set: its name, which of our splits it is (None: to be assigned), and its rows from 1."""

    label: str
    split: Split | None
    rows: Iterator[tuple[int, Row]]


@dataclass(frozen=True, slots=True)
class HubData:
    """An open data set, with the mapping that reads it."""

    splits: tuple[DatasetSplit, ...]
    fields: FieldsConfig
    known: KnownDataset | None
    notes: tuple[str, ...]


def open_hub(
    where: str,
    source: str,
    *,
    folder: Path,
    revision: str | None,
    splits: Mapping[str, Split],
    fields: FieldsConfig | None,
) -> HubData:
    """Opens a data set.

    Args:
        where: the key in the configuration, `tasks.NAME`.
        source: `DATASET[:CONFIG]`, which follows `hf:`.
        folder: where relative paths start.
        revision: a revision of the hub; None for the newest.
        splits: the data set's splits to ours; empty: by their names.
        fields: the mapping in the configuration, if any.

    Raises:
        ConfigError: the library is not installed, or a name is wrong.
        TaskDataError: the data set cannot be read, or its columns are unknown.
    """
    dataset, colon, config = source.partition(":")
    local = dataset.startswith((".", "/", "~"))
    known = None if local else by_name(dataset)
    if local:
        path = str((folder / Path(dataset).expanduser()).resolve())
        if not Path(path).is_dir():
            raise TaskDataError(f"{where}.source: no such folder: {path}")
        if revision is not None:
            raise ConfigError(f"{where}.revision: a local folder has no revision")
    else:
        path = _hub_name(where, dataset, known)
    _require(where)
    loaded = _load(where, source, path, config if colon else known.config if known else None, revision)
    first = next(iter(loaded.values()))
    if known is None and fields is None:
        known = recognised(first.column_names, first[0] if len(first) else {})
    chosen = fields or (known.fields if known else _own_names(first.column_names))
    missing = [
        name for name in needed_columns(chosen, named=fields is not None) if name not in first.column_names
    ]
    if missing:
        raise TaskDataError(
            f"{where}.source: {quoted(source)} has no column {quoted(missing[0])} (columns: {', '.join(first.column_names)});"
            f" name the columns of question and answer in [{where}.fields]"
        )
    wanted = (*columns_of(chosen), *(OTHER_COLUMNS if fields is None and known is None else ()))
    usual = dict(known.splits) if known and by_name(dataset) is known else {}
    notes = []
    if not local and revision is None:
        notes.append(f"{dataset}: the newest revision of the hub was read; `revision` pins one")
    return HubData(
        splits=tuple(_splits(where, dataset, loaded, splits or usual, wanted)),
        fields=chosen,
        known=known,
        notes=tuple(notes),
    )


def _own_names(columns: Collection[str]) -> FieldsConfig:
    """The mapping of a data set that nobody described: our own names, or a column of chats."""
    chat = next((name for name in CHATS if name in columns), None)
    if chat is None or {"question", "answer"} & set(columns):
        return FieldsConfig()
    return FieldsConfig(question=chat, answer=chat)


def _require(where: str) -> None:
    if importlib.util.find_spec("datasets") is None:
        raise ConfigError(
            f"{where}.source: `hf:` sources need the `datasets` library, which is not installed. Install it with"
            " .venv/bin/pip install -c constraints.txt '.[data]'"
        )


def _hub_name(where: str, dataset: str, known: KnownDataset | None) -> str:
    if known is not None and not known.on_hub:
        columns = ", ".join(needed_columns(known.fields))
        raise ConfigError(
            f"{where}.source: {dataset} is published as a file, not on the hub. Put the file into a folder and set"
            f' `source = "hf:./FOLDER"`; its columns ({columns}) are recognised'
        )
    if known is not None:
        return known.names[0]
    if "/" not in dataset:
        names = ", ".join(name for name, each in KNOWN_DATASETS.items() if each.on_hub)
        raise ConfigError(
            f"{where}.source: unknown data set {quoted(dataset)}; expected a name on the hub (OWNER/NAME), a folder (./FOLDER) or"
            f" one of {names}"
        )
    return dataset


def _load(where: str, source: str, path: str, config: str | None, revision: str | None) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library and its imports; errors are raised
        import datasets

        datasets.disable_progress_bars()
        try:
            return dict(datasets.load_dataset(path, config, revision=revision))
        except Exception as error:  # the library and its file formats raise many types; all mean that the data cannot be read
            reason = " ".join(str(error).split()) or type(error).__name__
            raise TaskDataError(f"{where}.source: {quoted(source)} cannot be read: {reason[:400]}") from error


def _splits(
    where: str, dataset: str, loaded: dict[str, Any], splits: Mapping[str, Split], wanted: Collection[str]
) -> Iterator[DatasetSplit]:
    unknown = [name for name in splits if name not in loaded]
    if unknown:
        raise ConfigError(
            f"{where}.splits.{unknown[0]}: {dataset} has no such split (splits: {', '.join(loaded)})"
        )
    if not splits and len(loaded) > 1:
        splits = {name: SPLIT_NAMES[name] for name in loaded if name in SPLIT_NAMES}
        if not splits:
            raise ConfigError(
                f"{where}.splits: required, because the splits of {dataset} are called {', '.join(loaded)}; for example"
                f' `splits = {{ {next(iter(loaded))} = "train" }}`'
            )
    for name, table in loaded.items():
        if splits and name not in splits:
            continue
        own = table.select_columns([column for column in table.column_names if column in wanted])
        yield DatasetSplit(f"hf:{dataset} {name}", splits.get(name), enumerate(iter(own), start=1))
