"""A sample's way as OpenTelemetry spans, with `[daemon] traces`: its claim, and each attempt with its request and its record.

All spans of a sample are in one trace, whose id follows from the database and the sample, so they belong together over
sessions. There is no text of a model in them. The request of a batch's row is the time from sending the batch to reading the row. OpenTelemetry is
an extra (`.[traces]`), imported only here, and configured by its own variables (`OTEL_…`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from daemon.sampling.context import Attribute, Attributes
from engine.config import Config
from engine.errors import ConfigError
from state.database import database_id, open_reader
from state.enums import Outcome
from state.outcomes import AttemptResult

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
NAME = "coterie"


def check_traces(config: Config) -> None:
    """Checks that traces can be written.

    Raises:
        ConfigError: a package is missing.
    """
    if config.daemon.traces and not all(map(_installed, NEEDED)):
        raise ConfigError(
            "daemon.traces needs opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http, which are not installed:"
            " pip install '.[traces]'"
        )


def open_traces(config: Config) -> Traces | None:
    """Traces that go to an OTLP receiver (`OTEL_EXPORTER_OTLP_ENDPOINT`), if they are asked for. A thread sends them.

    Raises:
        ConfigError: a package is missing.
    """
    if not config.daemon.traces:
        return None
    check_traces(config)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: NAME}
    provider = TracerProvider(resource=Resource.create(named))  # it sends what is left at exit
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    with closing(open_reader(config.database)) as connection:
        return Traces(provider.get_tracer(NAME), database_id(connection))


class Traces:
    """Writes the spans of samples."""

    def __init__(self, tracer: Tracer, database: str) -> None:
        self._tracer = tracer
        self._database = database

    def claimed(self, samples: Iterable[int], began: int, ended: int, attributes: Attributes) -> None:
        """A span for each sample of a claim. Times are Unix nanoseconds."""
        for sample in samples:
            context, known = self._sample(sample, attributes)
            self._tracer.start_span("claim", context, attributes=known, start_time=began).end(ended)

    def attempted(
        self, times: tuple[int, int, int], results: Sequence[AttemptResult], attributes: Attributes
    ) -> None:
        """An attempt: it was sent, its answer was received, and stored, at these times; in the trace of its first sample."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        sent, received, stored = times
        outcome = results[0].outcome
        context, known = self._sample(results[0].sample_id, attributes)
        known["coterie.outcome"] = outcome.value
        attempt = self._tracer.start_span("attempt", context, attributes=known, start_time=sent)
        inside = set_span_in_context(attempt, context)
        if outcome is not Outcome.RELEASED:
            self._tracer.start_span("request", inside, start_time=sent).end(received)
            if outcome is not Outcome.OK:
                attempt.set_status(Status(StatusCode.ERROR, results[0].reason or ""))
        self._tracer.start_span("record", inside, start_time=received).end(stored)
        attempt.end(stored)

    def _sample(self, sample: int, attributes: Attributes) -> tuple[Context, dict[str, Attribute]]:
        """The context of a sample's trace, and what is known of it."""
        from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

        digest = hashlib.blake2b(f"{self._database}:{sample}".encode(), digest_size=24).digest()
        parent = SpanContext(
            int.from_bytes(digest[:16]),
            int.from_bytes(digest[16:]),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
        known = {"coterie.sample_id": sample, **attributes}
        return set_span_in_context(NonRecordingSpan(parent)), known


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a parent package
        return False
