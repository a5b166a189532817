"""The examples that the documents print for Python, as they stand."""

from collections.abc import Awaitable, Callable
from textwrap import dedent

import pytest

from tests.ledger import ledger
from tests.sdks.programs import run_python
from tests.sdks.proxy import Proxy

# As printed, but for the key, the elided `[...]`, and in one test the description that the workflow needs (C-58).
CLIENT = """
import time
from devora import DevoraClient

# Initialize client
client = DevoraClient(api_key="YOUR_API_KEY")
"""
EXECUTE = """
# Execute agent (sync)
result = client.agents.execute(
    agent_id="product_manager",
    input={
        "task_type": "prd",
        "context": "Application de livraison"
    }
)

print(result.output)
print(f"Tokens: {result.metrics.total_tokens}")
"""
RUN = """
# Execute workflow (async)
job = client.workflows.run(
    workflow_id="api_development",
    input={
        "api_name": "TaskMaster API",
        "api_type": "rest",
        "requirements": [...]
    },
    async_mode=True
)

# Wait for completion
result = job.wait(timeout=600)

# Or poll status
while not job.is_complete():
    status = job.get_status()
    print(f"Progress: {status.progress}%")
    time.sleep(5)

result = job.get_result()
"""
ERRORS = """
import time
from devora import DevoraClient, DevoraError, RateLimitError

client = DevoraClient(api_key="YOUR_API_KEY")

try:
    result = client.agents.execute(...)
except RateLimitError as e:
    print(f"Rate limit exceeded. Retry after {e.retry_after}s")
    time.sleep(e.retry_after)
    # Retry
except DevoraError as e:
    print(f"Error: {e.code} - {e.message}")
    print(f"Request ID: {e.request_id}")
"""
INPUT = '"product_manager", {"task_type": "prd", "context": "Bikes"}'


def filled(example: str, key: str) -> str:
    return example.replace("YOUR_API_KEY", key).replace("[...]", '["CRUD utilisateurs", "CRUD tâches"]')


@ledger("D-072", "D-073", "D-074")
async def test_an_agent_is_executed_as_printed(server: str, new_key: Callable[..., Awaitable[str]]) -> None:
    check = 'assert result.job_id.startswith("job_") and result.metrics.cost > 0'
    script = filled(CLIENT + EXECUTE, await new_key()) + check
    ended = await run_python(script, DEVORA_BASE_URL=f"{server}/v1")
    assert ended.code == 0, ended.err
    *text, tokens = ended.out.splitlines()
    assert "livraison" in "\n".join(text)
    assert int(tokens.removeprefix("Tokens: ")) > 0


@ledger("D-073", "D-075")
async def test_positional_arguments_and_a_blocking_run(server: str, new_key: Callable[..., Awaitable[str]]) -> None:
    script = """
        from devora import DevoraClient
        client = DevoraClient(api_key="YOUR_API_KEY")
        input_data = {"task_type": "prd", "context": "Bikes"}
        assert client.agents.execute("product_manager", input_data).output.status == "success"
        result = client.workflows.run(workflow_id="t_three", input={}, async_mode=False)
        assert result.status == "completed" and result.deliverables and result.job_id.startswith("wf_job_")
    """
    ended = await run_python(filled(dedent(script), await new_key()), DEVORA_BASE_URL=f"{server}/v1")
    assert ended.code == 0, ended.err


@ledger("D-075", "D-076", "D-077", "D-078")
async def test_a_workflow_is_run_as_printed(server: str, new_key: Callable[..., Awaitable[str]]) -> None:
    described = RUN.replace('"api_type"', '"description": "Tasks",\n        "api_type"')
    check = """
assert job.id == result.job_id and job.get_status().progress == 100 and job.is_complete() is True
assert result.output.status == "success" and result.deliverables
"""
    ended = await run_python(filled(CLIENT + described, await new_key()) + check, DEVORA_BASE_URL=f"{server}/v1")
    assert ended.code == 0, ended.err


@ledger("D-077")
async def test_a_running_job_shows_its_progress(server: str, new_key: Callable[..., Awaitable[str]]) -> None:
    script = """
        from devora import DevoraClient
        client = DevoraClient(api_key="YOUR_API_KEY")
        job = client.agents.execute("t_slow", {"seconds": 600}, async_mode=True)
        assert job.is_complete() is False
        assert job.get_status().progress == 0
        job.cancel(reason="seen enough")
        assert job.is_complete() is True
    """
    ended = await run_python(filled(dedent(script), await new_key()), DEVORA_BASE_URL=f"{server}/v1")
    assert ended.code == 0, ended.err


@ledger("D-079", "C-58")
async def test_the_printed_input_without_a_description_is_refused_by_name(
    server: str, new_key: Callable[..., Awaitable[str]]
) -> None:
    caught = "from devora import errors\ntry:\n" + "\n".join(f"    {line}" for line in RUN.splitlines())
    caught += (
        '\nexcept errors.InvalidRequestError as e:\n    assert (e.status, e.field) == (400, "description"), e.field\n'
    )
    caught += 'else:\n    raise SystemExit("accepted")\n'
    ended = await run_python(filled(CLIENT + caught, await new_key()), DEVORA_BASE_URL=f"{server}/v1")
    assert ended.code == 0, ended.err


@ledger("D-080", "D-067")
@pytest.mark.parametrize(
    ("fault", "printed"),
    [
        (
            {
                "status": 429,
                "headers": {"Retry-After": "1"},
                "body": {"error": {"code": "rate_limit_exceeded", "message": "Rate limit exceeded.", "retry_after": 1}},
            },
            ["Rate limit exceeded. Retry after 1s"],
        ),
        (
            {
                "status": 500,
                "body": {"error": {"code": "internal_error", "message": "A fault", "request_id": "req_1234567890"}},
            },
            ["Error: internal_error - A fault", "Request ID: req_1234567890"],
        ),
    ],
)
async def test_errors_are_caught_as_printed(
    *, server: str, new_key: Callable[..., Awaitable[str]], fault: dict, printed: list[str]
) -> None:
    script = filled(ERRORS, await new_key()).replace("execute(...)", f"execute({INPUT})")
    async with Proxy(server, [{"on": "POST *", "times": 9, "do": "answer", **fault}]) as proxy:
        ended = await run_python(script, DEVORA_BASE_URL=f"{proxy.url}/v1")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == printed


@ledger("D-081", "D-003")
async def test_the_key_comes_from_the_environment(server: str, new_key: Callable[..., Awaitable[str]]) -> None:
    key = await new_key()
    script = (
        'from devora import DevoraClient; print(DevoraClient().me().tier); print(DevoraClient(base_url="").base_url)'
    )
    ended = await run_python(script, DEVORA_API_KEY=key, DEVORA_BASE_URL=server)
    assert ended.out.splitlines() == ["enterprise", f"{server}/v1"], ended.err
    default = await run_python('from devora import DevoraClient; print(DevoraClient("k").base_url)')
    assert default.out.strip() == "https://api.devora.ai/v1"
    missing = await run_python("from devora import DevoraClient; DevoraClient()")
    assert "set the environment variable DEVORA_API_KEY" in missing.err
