"""The library of AI Orchestra against the real chat surface."""

import sys
from collections.abc import Awaitable, Callable
from textwrap import indent

import pytest

from tests.ledger import ledger
from tests.sdks.programs import run_python
from tests.sdks.proxy import Proxy
from tests.sdks.relay import relay

Keys = Callable[..., Awaitable[str]]

CLIENT = """
from ai_orchestra import Client

client = Client(api_key="YOUR_TOKEN")
"""
CHAT = """
# Synchronous chat
response = client.chat(
    message="Explain machine learning",
    optimization_mode="balanced"
)
"""
STREAM = """
# Async streaming
async for token in client.stream_chat(
    message="Write a Python function",
    session_id="session-123"
):
    print(token, end="")
"""


@ledger("A-030")
async def test_chat_as_printed(server: str, new_key: Keys) -> None:
    check = """
assert str(response) == response.response != ""
assert response.execution_mode == "research-team/balanced" and response.session_id and response.request_id
"""
    script = (CLIENT + CHAT).replace("YOUR_TOKEN", await new_key()) + check
    ended = await run_python(script, AI_ORCHESTRA_BASE_URL=server)
    assert ended.code == 0, ended.err


@ledger("A-031", "A-024")
async def test_tokens_as_printed(server: str, new_key: Keys) -> None:
    script = f"""{CLIENT.replace("YOUR_TOKEN", await new_key())}
import asyncio
async def main():
{indent(STREAM, "    ")}
asyncio.run(main())
print()
print("=====")
print(client.chat("And again", session_id="session-123", optimization_mode="lite").session_id)
"""
    ended = await run_python(script, AI_ORCHESTRA_BASE_URL=server)
    assert ended.code == 0, ended.err
    tokens, _, session = ended.out.partition("=====")
    assert "Python" in tokens
    assert session.strip() == "session-123"


@ledger("A-037")
async def test_a_stream_that_breaks_goes_on_without_loss_or_repetition(server: str, new_key: Keys) -> None:
    """The first connections are cut in the handshake, in the first tokens, and later on."""
    script = """
import asyncio
from ai_orchestra import Client
async def main():
    client = Client()
    client._config.backoff = 0.01
    stream = client.stream_chat("Write a long text about the sea", optimization_mode="lite")
    text = "".join([token async for token in stream])
    assert stream.response.response == text, (text, stream.response.response)
    assert text and stream.response.session_id == stream.session_id
asyncio.run(main())
"""
    async with relay(server, cut_after=[0, 40, 700]) as broken:
        ended = await run_python(script, AI_ORCHESTRA_BASE_URL=broken.url, AI_ORCHESTRA_API_KEY=await new_key())
    assert ended.code == 0, ended.err
    assert broken.connections == 4


@ledger("A-037")
async def test_a_message_whose_answer_was_lost_is_answered_once(server: str, new_key: Keys) -> None:
    script = """
import asyncio
from ai_orchestra import AsyncClient
async def main():
    async with AsyncClient() as client:
        client._config.backoff = 0.01
        print((await client.chat("Say it once", optimization_mode="lite")).metadata.job_id)
asyncio.run(main())
"""
    key = await new_key()
    async with Proxy(server, [{"on": "POST /chat/v2/chat", "do": "cut", "when": "after"}]) as proxy:
        ended = await run_python(script, AI_ORCHESTRA_BASE_URL=proxy.url, AI_ORCHESTRA_API_KEY=key)
        first, second = proxy.seen
    assert ended.code == 0, ended.err
    assert first.headers["x-request-id"] == second.headers["x-request-id"]
    assert first.body == second.body


@ledger("A-011", "A-034")
@pytest.mark.parametrize(
    ("call", "printed"),
    [
        ('client.chat(message="")', "InvalidRequestError VALIDATION_ERROR message True"),
        ('Client(api_key="wrong").chat("hello")', "AuthenticationError AUTHENTICATION_ERROR None True"),
        ('asyncio.run(read(client.stream_chat("")))', "InvalidRequestError VALIDATION_ERROR message False"),
        (
            'asyncio.run(read(Client(api_key="wrong").stream_chat("hello")))',
            "AuthenticationError AUTHENTICATION_ERROR None False",
        ),
    ],
)
async def test_errors_are_typed(call: str, printed: str, server: str, new_key: Keys) -> None:
    script = f"""
import asyncio
from ai_orchestra import Client, DevoraError
client = Client()
async def read(tokens):
    async for token in tokens:
        pass
try:
    {call}
except DevoraError as e:
    print(type(e).__name__, e.code, getattr(e, "field", None), bool(e.request_id))
"""
    ended = await run_python(script, AI_ORCHESTRA_BASE_URL=server, AI_ORCHESTRA_API_KEY=await new_key())
    assert ended.out.strip() == printed, ended.err or sys.version
