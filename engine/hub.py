"""Uploads files to a repository of a model hub, through huggingface_hub, which comes with the extra `train`.

The token is that of the environment (HF_TOKEN) or of the hub's own login. It is never written anywhere. All files arrive in one
commit, and a repeated upload sends only what the hub does not have.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import JobFailed, UsageError

Kind = Literal["model", "dataset"]
MAIN = "main"
CARD = "README.md"
_REFUSALS = {
    401: "the hub does not accept the token: log in again with `hf auth login`, or set HF_TOKEN",
    403: "the token may not write there: it needs the permission to write in that namespace",
    404: "not found: check the name, and that the token may see it",
    409: "something else is changing the repository: run the command again",
    412: "something else is changing the repository: run the command again",
    413: "the hub takes no files of this size",
    429: "too many requests: wait and run the command again",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A repository: "NAMESPACE/NAME", or "NAME" in the namespace of the token."""

    repo: str
    kind: Kind
    branch: str = MAIN
    private: bool = False


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Where the files are, and the URL of the commit; None where the repository had all of them."""

    url: str
    commit: str | None


def upload(files: Mapping[str, Path], target: Target, message: str) -> Uploaded:
    """Uploads files, by their names in the repository, which is created if it does not exist.

    Args:
        files: with a card, README.md, whose metadata are checked before anything is sent.
        target: of the upload. A private one must not exist in public.
        message: of the commit.

    Raises:
        UsageError: no huggingface_hub, no token, no such name, or a card that hubs do not accept; nothing was sent.
        JobFailed: the hub refused it or could not be reached. The branch is as it was; another upload goes on.
    """
    try:
        import huggingface_hub.utils
        from huggingface_hub import HfApi, errors, get_token
    except ImportError:
        raise UsageError(
            "uploading needs huggingface_hub, which comes with the training libraries: pip install 'coterie[train]'"
        ) from None
    utils: Any = huggingface_hub.utils
    token = get_token()
    if not token:
        raise UsageError("there is no token for the hub: log in with `hf auth login`, or set HF_TOKEN")
    try:
        utils.validate_repo_id(target.repo)
    except errors.HFValidationError as error:
        raise UsageError(f"{target.repo!r} is not the name of a repository: {error}") from None
    utils.logging.set_verbosity_error()  # what it would warn of is said here
    _check_card(files[CARD], target.kind)
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    try:
        return _send(api, files, target, message)
    except (JobFailed, UsageError):
        raise
    except Exception as error:  # it passes on the errors of its HTTP client and wraps them in RuntimeError
        where = f"{target.repo} ({api.endpoint})"
        reason = _reason(error).replace(token, "[token]")
        raise JobFailed(f"{where}: {reason}; nothing was committed by this upload") from None


def _send(api: Any, files: Mapping[str, Path], target: Target, message: str) -> Uploaded:
    from huggingface_hub import CommitOperationAdd

    kind = {"repo_type": target.kind}
    repo = api.create_repo(target.repo, **kind, private=target.private or None, exist_ok=True).repo_id
    info = api.repo_info(repo, **kind)
    if target.private and info.private is False:
        raise JobFailed(
            f"{repo} exists and is public: nothing was sent. Without --private it is uploaded there"
        )
    if target.branch != MAIN:
        api.create_branch(repo, branch=target.branch, **kind, exist_ok=True)
        info = api.repo_info(repo, **kind, revision=target.branch)
    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    commit = api.create_commit(repo, operations, **kind, commit_message=message, revision=target.branch)
    folder = "datasets/" if target.kind == "dataset" else ""
    tree = "" if target.branch == MAIN else f"/tree/{target.branch}"
    return Uploaded(
        f"{api.endpoint}/{folder}{repo}{tree}", None if commit.oid == info.sha else commit.commit_url
    )


def _check_card(path: Path, kind: Kind) -> None:
    """Refuses a card whose metadata hubs do not read: the hub says more about them when it gets them."""
    from huggingface_hub import DatasetCard, ModelCard

    try:
        card: Any = ModelCard if kind == "model" else DatasetCard
        data: Any = card(path.read_text(encoding="utf-8")).data
        known = data.to_dict()
    except Exception as error:  # of its YAML parser, or of what it makes of the metadata
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{path}: the metadata of the card cannot be read, so nothing was sent: {reason}"
        ) from None
    if not known:
        raise UsageError(
            f"{path}: the card has no metadata (a block between two lines `---`), so nothing was sent"
        )


def _reason(error: BaseException) -> str:
    """The cause of an error, in a sentence."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    for each in causes:
        response = getattr(each, "response", None)
        if (status := getattr(response, "status_code", None)) is not None:
            said = getattr(each, "server_message", None)
            text = _REFUSALS.get(
                status, "the hub has a problem: run the command again" if status >= 500 else "refused"
            )
            return f"HTTP {status}: {text}" + (f" (it says: {' '.join(str(said).split())})" if said else "")
    last = causes[-1]
    text = " ".join(str(last).split()) or type(last).__name__
    network = isinstance(last, OSError) or type(last).__module__.startswith("http")
    return f"the hub cannot be reached: {text}" if network else text
