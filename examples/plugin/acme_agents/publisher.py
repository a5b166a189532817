"""An agent that is a plain async function: posts a text to Acme's web site."""

import os

import httpx2
from orchestrator.authoring import Agent, AgentError, AgentOutput, FunctionCall
from pydantic import BaseModel


class PublishInput(BaseModel):
    """What is to be published. In a workflow the text is what the step `notes` wrote."""

    version: str
    text: str = ""


class Published(AgentOutput):
    """Where the text can be read."""

    url: str


async def publish(call: FunctionCall) -> Published:
    """Publish once, however often this is tried: the site knows the effect id of an earlier attempt."""
    version = call.input["version"]
    answer = await _post({"version": version, "text": _text(call)}, effect_id=call.effect_id)
    url = answer.json()["url"]
    return Published(summary=f"Published {version} at {url}", output=f"{version} can be read at {url}", url=url)


def _text(call: FunctionCall) -> str:
    written = [told.output for told in call.context if told.step == "notes" and told.output]
    text: str = written[0] if written else call.input.get("text", "")
    if not text:
        raise AgentError("There is no text to publish.", kind="nothing_to_publish", retryable=False)
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
        raise AgentError("The site asks us to wait.", kind="site_busy", retryable=True, retry_after=wait)
    if answer.is_error:
        kind = "site_failed" if answer.is_server_error else "site_refused"
        raise AgentError(f"The site answers {answer.status_code}.", kind=kind, retryable=answer.is_server_error)
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
