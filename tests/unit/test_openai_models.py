"""What reaches a provider with OpenAI's protocol: exactly what its own client would send."""

import json

import httpx2
import pytest
from openai import AsyncOpenAI
from pydantic_ai import ModelSettings
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

from orchestrator.runtime.openai_models import OpenAIModels

URL = "http://models.test/v1"
LOOK_UP = {"type": "object", "properties": {"name": {"type": "string", "enum": ["a", "b"]}}, "required": ["name"]}
MESSAGES = [
    ModelRequest(parts=[UserPromptPart("Find both.")], instructions="You find things."),
    ModelResponse(parts=[TextPart("First one."), ToolCallPart("look_up", {"name": "a"}, "call_1")]),
    ModelRequest(parts=[ToolReturnPart("look_up", {"found": [1, None]}, "call_1"), UserPromptPart("And now?")]),
]


async def body_sent(make_model, tools):
    bodies = []

    def answer(request):
        bodies.append(json.loads(request.content))
        message = {"role": "assistant", "content": "Done."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answered = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return httpx2.Response(200, json=answered)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        model = make_model(http)
        for _ in range(2):
            response = await model_request(
                model,
                MESSAGES,
                model_settings=ModelSettings(temperature=0.2, max_tokens=100, extra_body={"top_k": 4}),
                model_request_parameters=ModelRequestParameters(function_tools=tools),
            )
            assert response.parts == [TextPart("Done.")]
    assert bodies[0] == bodies[1]
    return bodies[0]


@pytest.mark.parametrize(
    "tools",
    [
        [],
        [
            ToolDefinition(name="look_up", description="Finds.", parameters_json_schema=LOOK_UP),
            ToolDefinition(name="look_again", description="Finds more.", parameters_json_schema=LOOK_UP),
            ToolDefinition(name="look_well", description="Finds all.", parameters_json_schema=LOOK_UP, strict=True),
            ToolDefinition(name="note", description="Notes.", parameters_json_schema={"type": "object"}),
        ],
    ],
)
async def test_the_body_of_a_request_is_that_of_the_providers_own_client(tools):
    own = await body_sent(lambda http: OpenAIModels.of_openai(URL, "k", http).model("m"), tools)

    def plain(http):
        client = AsyncOpenAI(base_url=URL, api_key="k", http_client=http, max_retries=0)
        return OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))

    assert own == await body_sent(plain, tools)
    assert [message["role"] for message in own["messages"]] == ["system", "user", "assistant", "tool", "user"]
    assert ("tools" in own) == bool(tools)
