"""What the Python library decides without a network: pauses, deadlines, frames, models, signatures."""

import copy
import pickle
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devora import errors, models, webhooks
from devora._config import Config
from devora._cursor import JobCursor, is_permanent
from devora._responses import RawResponse
from devora._retries import Backoff, Deadline, is_retried, seconds_of_retry_after
from devora._sse import Frame, FrameDecoder
from devora._sync.transport import Request
from orchestrator.delivery import signing
from tests.ledger import ledger

SECRETS = ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "an own secret é"]


def test_pauses_double_up_to_the_longest_with_jitter() -> None:
    backoff = Backoff(0.5)
    for longest in (0.5, 1, 2, 4, 8, 8):
        assert longest / 2 <= backoff.next() <= longest
    backoff.reset()
    assert backoff.next() <= 0.5
    assert len({Backoff(0.5).next() for _ in range(20)}) > 1


@pytest.mark.parametrize(
    ("status", "headers", "again"),
    [
        *((status, {}, True) for status in (408, 429, 500, 502, 503, 504)),
        *((status, {}, False) for status in (400, 401, 403, 404, 409, 422, 501)),
        (503, {"x-should-retry": "false"}, False),
        (400, {"x-should-retry": "TRUE"}, True),
        (503, {"x-should-retry": "maybe"}, True),
    ],
)
def test_which_answers_are_retried(status: int, headers: dict[str, str], again: bool) -> None:
    assert is_retried(status, headers) is again


def test_retry_after_is_seconds_or_a_date() -> None:
    assert seconds_of_retry_after("60") == 60
    assert str(seconds_of_retry_after("60")) == "60"
    assert seconds_of_retry_after("0.5") == 0.5
    at = datetime.now(UTC) + timedelta(seconds=100)
    assert 95 < (seconds_of_retry_after(format_datetime(at, usegmt=True)) or 0) <= 100
    assert seconds_of_retry_after("Mon, 01 Jan 2001 00:00:00 GMT") == 0
    served = "Mon, 01 Jan 2001 00:00:00 GMT"  # by a clock that is wrong
    assert seconds_of_retry_after("Mon, 01 Jan 2001 00:01:30 GMT", served) == 90
    assert seconds_of_retry_after("Mon, 01 Jan 2001 00:01:30 GMT", "yesterday") == 0
    assert [seconds_of_retry_after(word) for word in (None, "soon", "-1", "nan", "inf", "")] == [None] * 6


def test_a_deadline_is_one_for_all() -> None:
    assert Deadline(None).remaining() is None
    assert Deadline(None).remaining(5) == 5
    assert Deadline(None).allows(10**9)
    deadline = Deadline(10)
    assert 9 < (deadline.remaining() or 0) <= 10
    assert deadline.remaining(1) == 1
    assert deadline.allows(5)
    assert not deadline.allows(11)
    assert Deadline(-1).remaining() == 0


STREAM = (
    '\ufeffevent: job_started\r\ndata: {"a":\ndata: "é🚲"}\rid: r:1\n\n'
    ": a comment\n\nunknown: x\nretry: 5\n\n"
    "data\n\nevent: empty\n\nid: r:2\ndata:no space\n\nid: bad\0id\ndata: last\n\nid: r:3\ndata: never ended\n"
)
FRAMES = [
    ("job_started", '{"a":\n"é🚲"}', "r:1"),
    ("message", "", None),
    ("message", "no space", "r:2"),
    ("message", "last", None),
]


@given(cuts=st.lists(st.integers(0, len(STREAM.encode())), max_size=12))
def test_frames_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    raw, decoder = STREAM.encode(), FrameDecoder()
    edges = [0, *sorted(cuts), len(raw)]
    frames = [frame for start, end in pairwise(edges) for frame in decoder.feed(raw[start:end])]
    assert [(frame.event, frame.data, frame.id) for frame in frames] == FRAMES


def test_a_long_frame_costs_its_length_and_not_its_square() -> None:
    decoder, piece = FrameDecoder(), b"x" * 4096
    started = time.process_time()
    for _ in range(4000):
        assert not list(decoder.feed(piece))
    assert [len(frame.data) for frame in decoder.feed(b"\n\ndata: 1\n\n")] == [1]
    assert time.process_time() - started < 5


def event(number: int, **more: Any) -> Frame:
    return Frame("job_progress", f'{{"type":"job_progress","name":"n{number}"}}', f"r:{number}")


def test_a_cursor_moves_on_also_for_what_is_dropped() -> None:
    cursor = JobCursor(None)
    assert cursor.take(Frame("snapshot", "{}", None)) is None
    first = cursor.take(event(1))
    assert first is not None
    assert first.id == "r:1"
    assert cursor.take(event(1)) is None
    with pytest.raises(errors.ServerError, match="not a JSON object") as refused:
        cursor.take(Frame("job_progress", "not json", "r:2"))
    assert is_permanent(refused.value)
    assert cursor.after == "r:2"
    assert cursor.take(Frame("agent_event", '{"name":"agent.delta"}', None)) is not None
    assert cursor.after == "r:2"
    assert not cursor.ended
    assert cursor.take(Frame("job_failed", '{"type":"job_failed","name":"job.failed"}', "r:3")) is not None
    assert cursor.ended


def test_a_cursor_remembers_a_window() -> None:
    cursor = JobCursor(None)
    assert all(cursor.take(event(number)) for number in range(6000))
    assert cursor.take(event(5999)) is None
    assert cursor.take(event(1001)) is None
    assert cursor.take(event(5)) is not None


JOB = {
    "job_id": "job_1",
    "status": "completed",
    "created_at": "2024-12-09T10:30:00Z",
    "links": {"self": "/v1/jobs/job_1"},
    "metrics": {"total_tokens": 3, "cost": None, "mood": "new"},
    "steps": [{"step": "a", "attempts": [{"number": 1}]}],
    "output": {"status": "success", "output": "text", "deliverables": [{"path": "a.md"}]},
    "later": {"x": 1},
}


def test_a_model_is_typed_frozen_and_keeps_what_it_does_not_know() -> None:
    job = models.JobDetail.from_wire(JOB)
    assert job.created_at == datetime(2024, 12, 9, 10, 30, tzinfo=UTC)
    assert job.links.self == "/v1/jobs/job_1"
    assert job.steps[0].attempts[0].number == 1
    assert job.metrics.extra == {"mood": "new"}
    assert job.extra == {"later": {"x": 1}}
    assert job.reason is None
    assert job.to_dict() is JOB
    assert str(job.output) == "text"
    assert job == models.JobDetail.from_wire(dict(JOB))
    assert job != models.JobDetail.from_wire({**JOB, "status": "failed"})
    assert "job_id='job_1'" in repr(job)
    with pytest.raises(AttributeError, match="read-only"):
        job.status = "failed"  # type: ignore[misc]
    assert copy.deepcopy(job) == job
    assert pickle.loads(pickle.dumps(job)) == job


def test_a_value_of_an_unexpected_type_stays_as_it_was_sent() -> None:
    job = models.JobDetail.from_wire({"job_id": 7, "created_at": "soon", "steps": "none", "metrics": [1]})
    assert (job.job_id, job.created_at, job.steps, job.metrics) == (7, "soon", "none", [1])


def test_a_model_can_be_made_for_tests() -> None:
    page = models.Links(self="/a", events="/b", output="/c", cancel="/d")
    assert page.self == "/a"
    with pytest.raises(TypeError, match="no field nothing"):
        models.Links(nothing=1)  # type: ignore[call-arg]


def answer(status: int, body: str, **headers: str) -> RawResponse:
    return RawResponse(status, headers, body.encode())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (422, errors.InvalidRequestError),
        (429, errors.RateLimitError),
        (500, errors.ServerError),
        (503, errors.ServiceUnavailableError),
        (599, errors.ServerError),
    ],
)
def test_an_answer_has_the_error_of_its_status(status: int, kind: type[errors.DevoraError]) -> None:
    error = errors.status_error(answer(status, "<html>", **{"X-Request-ID": "req_9"}))
    assert type(error) is kind
    assert (error.status, error.request_id, error.code, error.body) == (status, "req_9", None, "<html>")


def test_an_error_survives_the_way_to_another_process() -> None:
    body = '{"error":{"code":"rate_limit_exceeded","message":"Slow down","retry_after":7,"details":{"limit":"x"}}}'
    error = errors.status_error(answer(429, body))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.RateLimitError
    assert (again.code, again.retry_after, again.details, str(again)) == (error.code, 7, {"limit": "x"}, str(error))
    job = models.JobDetail.from_wire({**JOB, "status": "failed"})
    failed = pickle.loads(pickle.dumps(errors.JobFailed("it failed", job=job, error=None)))
    assert failed.job == job
    assert isinstance(errors.JobTimeoutError("late"), TimeoutError)
    assert isinstance(errors.APITimeoutError("late"), TimeoutError)


@ledger("D-101")
@pytest.mark.parametrize("secret", SECRETS)
def test_a_delivery_of_the_server_is_genuine(secret: str) -> None:
    body = {"event": "job.completed", "job_id": "job_1", "data": {"output": "é"}, "timestamp": "2024-12-09T10:35:00Z"}
    raw = signing.signed_body(body, [secret])
    sent = signing.headers("whd_1", datetime.now(UTC), raw, [secret, "an older one"], event="job.completed")
    received = webhooks.unwrap(raw, sent, secret)
    assert (received.id, received.event, received.data) == ("whd_1", "job.completed", {"output": "é"})
    assert webhooks.unwrap(raw.decode(), sent, "an older one").job_id == "job_1"
    assert webhooks.verify_webhook(raw, sent["X-Devora-Signature"], secret)
    assert not webhooks.verify_webhook(raw + b" ", sent["X-Devora-Signature"], secret)
    for wrong in ({**sent, "webhook-id": "whd_2"}, {}, {**sent, "webhook-timestamp": "9" * 4500}):
        with pytest.raises(errors.WebhookVerificationError):
            webhooks.unwrap(raw, wrong, secret)
    with pytest.raises(errors.WebhookVerificationError, match="No webhook secret"):
        webhooks.unwrap(raw, sent, "")
    assert not webhooks.verify_webhook(raw, sent["X-Devora-Signature"], "")


HEADERS = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,x"}


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("\ud800", HEADERS),
        (b"\xff\xfe", HEADERS),
        ("{}", {**HEADERS, "webhook-id": "\ud800"}),
        ("{}", {**HEADERS, "webhook-signature": "v1,\ud800 v1, ,v1, v1a,é " + "v1,x " * 10_000}),
        ("{}", {**HEADERS, "webhook-signature": ["v1,x"]}),
        ("{}", {**HEADERS, "webhook-timestamp": None}),
        ("{}", {b"webhook-id": b"a"}),
        *(("{}", {**HEADERS, "webhook-timestamp": text}) for text in ("-1", "+1", "1e3", "١", "0x1", "1 ", "9" * 400)),
    ],
)
def test_a_hostile_delivery_is_not_verified(body: str | bytes, sent: dict[str, str]) -> None:
    with pytest.raises(errors.WebhookVerificationError):
        webhooks.unwrap(body, sent, SECRETS[0], now=1)
    assert not webhooks.verify_webhook(body, "sha256=\ud800é", SECRETS[0])


@pytest.mark.parametrize("body", [b"[1]", b"nonsense", b"", b"[" * 100_000, b"9" * 5000])
def test_a_genuine_delivery_of_anything_else_is_not_an_event(body: bytes) -> None:
    sent = signing.headers("whd_1", datetime.now(UTC), body, [SECRETS[0]], event="x")
    with pytest.raises(errors.WebhookVerificationError, match="The body is not"):
        webhooks.unwrap(body, sent, SECRETS[0])


def test_a_body_that_was_parsed_already_is_refused_by_type() -> None:
    with pytest.raises(TypeError, match="raw body as it was received, not a dict"):
        webhooks.unwrap({}, HEADERS, SECRETS[0])  # type: ignore[arg-type]


def config(**more: Any) -> Config:
    values: dict[str, Any] = {"api_key": "k", "base_url": None, "timeout": 1, "max_retries": 0}
    return Config(**{**values, "default_headers": None, "on_retry": None, **more})


@pytest.mark.parametrize(
    ("given_url", "used"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("https://h/prefix/v1/", "https://h/prefix/v1"),
    ],
)
def test_a_base_url_has_the_version_once(given_url: str, used: str) -> None:
    assert config(base_url=given_url).base_url == used
    assert config(base_url=given_url).root_url == used.removesuffix("/v1")


@pytest.mark.parametrize(
    "url",
    [
        *("nonsense", "ftp://host/v1", "http://", "//host", "http://host:port", "http://host:0", "http://[::1"),
        *("https://user:secret@host/v1", "https://secret@host", "https://host/v1?a=b", "https://host/v1#x"),
        *("http://host /v1", "http://host\r\nX: y", "http://hôte"),
    ],
)
def test_a_base_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="expected something like") as refused:
        config(base_url=url)
    assert refused.value.code == "invalid_base_url"
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "  ", "clé", "a\nb", "a b"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="API key") as refused:
        config(api_key=key)
    assert refused.value.code == ("invalid_api_key" if key.strip() else "no_api_key")


@pytest.mark.parametrize(("name", "text"), [("X-A", "b\r\nX-C: d"), ("X-A", "é"), ("X A", "b"), ("X\n", "b"), ("X", 1)])
def test_a_header_that_would_become_two_is_refused(name: str, text: str) -> None:
    with pytest.raises(errors.InvalidRequestError, match="Invalid header"):
        config(default_headers={name: text})
    with pytest.raises(errors.InvalidRequestError, match="Invalid header"):
        Request(config(), "GET", "/agents", headers={name: text})
    with pytest.raises(errors.InvalidRequestError, match="Idempotency-Key"):
        Request(config(), "POST", "/agents", idempotency_key="a\r\nb")


def test_errors_of_the_library_itself_have_codes() -> None:
    job = models.JobDetail.from_wire({**JOB, "status": "failed"})
    made = [
        errors.APIConnectionError("x"),
        errors.APITimeoutError("x"),
        errors.JobTimeoutError("x"),
        errors.JobFailed("x", job=job, error=None),
        errors.JobCancelled("x", job=job, error=None),
        errors.WebhookVerificationError("x"),
    ]
    codes = ["connection_error", "timeout", "timeout", "job_failed", "job_cancelled", "webhook_verification_failed"]
    assert [error.code for error in made] == codes


def test_a_frame_without_an_end_is_not_collected() -> None:
    decoder, piece = FrameDecoder(), b"data: " + b"x" * 2**20 + b"\n"
    for _ in range(63):
        assert not list(decoder.feed(piece))
    with pytest.raises(errors.ServerError, match="larger than 64 MiB"):
        list(decoder.feed(piece))


def test_headers_say_who_asks_and_the_key_cannot_be_replaced() -> None:
    headers = config(default_headers={"X-Team": "a", "Authorization": "Bearer other"}).headers
    assert headers["User-Agent"].startswith("devora-python/1.0.0 python/3.")
    assert (headers["X-Team"], headers["Authorization"]) == ("a", "Bearer k")
