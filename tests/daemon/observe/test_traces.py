"""A daemon whose samples are followed by an OTLP receiver on loopback: which spans arrive, and what is in them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from daemon.observe import traces
from daemon.observe.traces import check_traces
from engine.config import load_config
from engine.errors import ConfigError
from tests.daemon.site import configure, query, run_to_end, teacher

service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
pytest.importorskip("opentelemetry.sdk")

BATCH = 'dialect = "openai-batch"\nbatch_poll_seconds = 0.1\nbatch_wait_seconds = 0.2'


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """An OTLP receiver and the spans that it got."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            for resource in service.ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("settings", ["", BATCH], ids=["requests", "batches"])
def test_each_sample_is_a_trace_of_its_claim_and_its_attempts(tmp_path: Path, settings: str) -> None:
    with teacher(tmp_path, "--latency-ms", "2", "--fault", "500=0.1") as school, receiver() as (url, spans):
        configure(tmp_path, school.url, train=8, teacher=settings)
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace("[daemon]", "[daemon]\ntraces = true", 1))
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
        code, output = run_to_end(tmp_path, env=env)
    assert code == 0, output
    by_trace: dict[bytes, list[Any]] = defaultdict(list)
    for span in spans:
        by_trace[span.trace_id].append(span)
    samples = query(tmp_path, "SELECT id FROM sample")
    assert len(by_trace) == len(samples), "one trace for each sample"
    for found in by_trace.values():
        names = [span.name for span in found]
        assert names.count("claim") == 1 and names.count("attempt") == names.count("request") >= 2
        known = {span.span_id: span for span in found}
        for span in found:
            if span.name in ("request", "record"):
                attempt = known[span.parent_span_id]
                assert attempt.name == "attempt"
                assert attempt.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
                assert span.end_time_unix_nano <= attempt.end_time_unix_nano
    told = [
        {each.key: each.value for each in span.attributes} | {"error": span.status.code == 2}
        for span in spans
        if span.name == "attempt"
    ]
    stored = {
        (request, outcome)
        for request, outcome in query(tmp_path, "SELECT request_id, outcome FROM attempt WHERE choice = 0")
    }
    assert {
        (each["coterie.request_id"].string_value, each["coterie.outcome"].string_value) for each in told
    } == stored
    assert {each["error"] for each in told if each["coterie.outcome"].string_value == "ok"} == {False}
    assert all(each["error"] for each in told if each["coterie.outcome"].string_value == "transient")
    cost = sum(each["coterie.cost_usd"].double_value for each in told)
    [(micros,)] = query(tmp_path, "SELECT sum(cost_micros) FROM attempt")
    assert cost == pytest.approx(micros / 1e6)
    rationale = query(tmp_path, "SELECT rationale FROM sample WHERE rationale <> ''")[0][0]
    assert rationale[:40] not in str(spans), "no text of a model"


def test_without_the_packages_the_setting_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text(
        "[daemon]\ntraces = true\n[teachers.a]\nbuiltin = true\nmodel = 'm'\n"
    )
    config = load_config(tmp_path / "config.toml")
    check_traces(config)
    monkeypatch.setattr(traces, "NEEDED", ("opentelemetry.no_such_part", "no_such_package.part"))
    with pytest.raises(ConfigError, match=r"pip install '\.\[traces\]'"):
        check_traces(config)
