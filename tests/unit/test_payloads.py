"""What a workflow returns and is given, as payloads."""

from orchestrator.domain.commands import JobResult
from orchestrator.engine.payloads import JobPayloadConverter


def test_half_an_emoji_in_a_result_is_made_sound() -> None:
    converter = JobPayloadConverter()
    payloads = converter.to_payloads([JobResult(output="\ud800 x", metadata={"a": ["\udc00"]})])
    [result] = converter.from_payloads(payloads, [JobResult])
    assert (result.output, result.metadata) == ("\ufffd x", {"a": ["\ufffd"]})
