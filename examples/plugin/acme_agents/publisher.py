"""An agent that is a plain async function: it posts a text to Acme's web site."""

import os

import httpx2
from orchestrator.authoring import Agent, AgentError, AgentOutput, FunctionCall
from pydantic import BaseModel


class PublishInput(BaseModel):
    """A text to publish. In a workflow the step `notes` writes the text."""

    version: str
    text: str = ""


class Published(AgentOutput):
    """The result: the URL of the text."""

    url: str


async def publish(call: FunctionCall) -> Published:
    """Publish once, even with several attempts: the site recognizes the effect id of an earlier attempt."""
    version = call.input["version"]
    answer = await _post({"version": version, "text": _text(call)}, effect_id=call.effect_id)
    url = answer.json()["url"]
    return Published(summary=f"Published {version} at {url}", output=f"{version} can be read at {url}", url=url)


def _text(call: FunctionCall) -> str:
    notes = [result.output for result in call.context if result.step == "notes" and result.output]
    text: str = notes[0] if notes else call.input.get("text", "")
    if not text:
        raise AgentError("No text to publish.", kind="nothing_to_publish", retryable=False)
    return text


async def _post(note: dict[str, str], effect_id: str) -> httpx2.Response:
    site = os.environ.get("ACME_SITE_URL", "http://127.0.0.1:8090")
    async with httpx2.AsyncClient(timeout=10) as http:
        try:
            answer = await http.post(f"{site}/notes", json=note, headers={"Idempotency-Key": effect_id})
        except httpx2.TransportError as fault:
            raise AgentError(f"{site} does not answer: {fault}", kind="site_unreachable", retryable=True) from fault
    if answer.status_code == 429:
        wait = float(answer.headers.get("Retry-After", "5"))
        raise AgentError("The site is busy.", kind="site_busy", retryable=True, retry_after=wait)
    if answer.is_error:
        kind = "site_failed" if answer.is_server_error else "site_refused"
        raise AgentError(
            f"The site answers with status {answer.status_code}.", kind=kind, retryable=answer.is_server_error
        )
    return answer


PUBLISHER = Agent(
    id="acme_publisher",
    name="Publisher",
    squad="release",
    description="Publishes a text on Acme's web site",
    capabilities=("publication",),
    input_model=PublishInput,
    output_model=Published,
    function=publish,
)
