"""A declared workflow: data that the engine interprets, with two agents of ours and one of the product."""

from orchestrator.authoring import Approval, Plan, RetryPolicy, Step, Timeouts, WorkflowDefinition

from acme_agents.release_writer import NotesInput

RELEASE = WorkflowDefinition(
    id="acme_release",
    name="Acme Release",
    description="Writes release notes, reviews them, and publishes them after a person approves",
    complexity="low",
    estimated_time="1-3 minutes",
    estimated_cost="$0.02-$0.10",
    input_schema=NotesInput.model_json_schema(),
    plan=Plan(
        steps=(
            Step(id="notes", name="Release Notes", squad="documentation", agents=("acme_release_writer",)),
            Step(
                id="review",
                name="Review",
                squad="documentation",
                agents=("technical_writer",),
                needs=("notes",),
                instruction="Review the release notes: list every claim that no change in the input supports.",
            ),
            Step(
                id="publish",
                name="Publication",
                squad="release",
                agents=("acme_publisher",),
                needs=("notes", "review"),
                approval=Approval(message="Publish these release notes?", timeout=2 * 86_400),
                retry=RetryPolicy(initial_interval=2, maximum_interval=30, maximum_attempts=20),
                timeouts=Timeouts(start_to_close=30),
            ),
        )
    ),
)
