"""Builds the workers of one process: for jobs, for webhook deliveries, and for the agents of one framework."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from temporalio.worker import Worker

from activities.agents import AgentActivities, ToolCalls
from activities.children import ChildActivities
from activities.conversations import ConversationActivities
from activities.records import RecordActivities
from activities.registry import activities
from activities.tools import ToolActivities
from activities.webhooks import WebhookActivities
from orchestrator.composition.backend import Backend, now
from orchestrator.composition.lazy_runtime import LazyAgents, LazyTools, import_runtime
from orchestrator.delivery.sender import HttpWebhookSender
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.ports import AgentRuntime
from orchestrator.engine.author_activities import AuthorActivities
from orchestrator.engine.plugin import codec_of
from orchestrator.engine.visibility import Visibility
from orchestrator.engine.worker import build_framework_worker, build_webhook_worker, build_worker
from orchestrator.frameworks import FrameworkAdapter
from orchestrator.frameworks.runtime import FrameworkRuntime
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.services.background import Background
from orchestrator.services.container import Services
from orchestrator.services.jobs.adoption import JobAdopter
from orchestrator.services.jobs.children import ChildOpener
from orchestrator.services.jobs.outcomes import EndWriter, OutcomeRecorder
from orchestrator.services.jobs.reconciler import IndexReconciler
from orchestrator.services.jobs.retention import IndexPruner
from orchestrator.services.jobs.values import JobValues
from orchestrator.services.schedules.credentials import ScheduleCredentials
from orchestrator.services.schedules.runs import ScheduledRuns
from orchestrator.services.webhooks.delivery import WebhookDeliverer
from orchestrator.services.webhooks.payloads import DeliveryBodies
from orchestrator.settings import Settings
from orchestrator.storage.pruning import PruningRepository
from orchestrator.storage.resets import ResetRepository
from orchestrator.storage.schedules import ScheduleRepository
from orchestrator.storage.users import UserRepository
from orchestrator.storage.webhooks import WebhookRepository
from workflows.lifecycle import EndReports
from workflows.questions import QuestionForms
from workflows.registry import WORKFLOWS

if TYPE_CHECKING:
    from orchestrator.composition.agent_runtime import OpenRuntime


@dataclass(slots=True)
class Workers:
    """Builds workers over one backend. An API process holds it too, and never asks for a worker.

    Not frozen: the sender and the runtime are opened by the first worker that needs them.
    """

    settings: Settings
    catalogue: Catalogue
    backend: Backend
    services: Services
    reconciler: IndexReconciler
    bulkhead: Bulkhead
    sender: HttpWebhookSender | None = None
    runtime: "OpenRuntime | None" = None
    end_writes: Background = field(default_factory=Background)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    def for_jobs(self) -> Worker:
        """A worker for all workflows and agents of the catalogue. Webhook deliveries run beside it.

        Needs a connected client, not a lazy one.
        """
        return build_worker(
            self.backend.client,
            task_queue=self.settings.task_queue,
            workflows=[*WORKFLOWS, *(entry.workflow for entry in self.catalogue.code_workflows)],
            activities=self.activities(),
            beside=self.for_deliveries(),
            concurrent_calls=self.settings.worker_concurrent_calls,
            drain=self.settings.worker_drain_seconds,
            interceptors=[
                AuthorActivities(self.catalogue.activities, self.bulkhead),
                QuestionForms(self.catalogue.form_model),
                EndReports(EndWriter(self._outcomes(), now, asyncio.get_running_loop(), self.end_writes).report),
            ],
        )

    def for_deliveries(self) -> Worker:
        """A worker for webhook deliveries alone."""
        return build_webhook_worker(
            self.backend.client, task_queue=self.settings.task_queue, deliver=self.delivery_activity()
        )

    def for_framework(self, adapter: FrameworkAdapter) -> Worker:
        """A worker for the agents of one framework alone. Needs a connected client, not a lazy one."""
        agents = self.agent_activities(FrameworkRuntime(adapter, self.native_runtime(), now, self.bulkhead))
        return build_framework_worker(
            self.backend.client,
            task_queue=self.backend.gateway.framework_queue(adapter.name),
            run_agent=agents.run_agent,
            drain=self.settings.worker_drain_seconds,
        )

    def activities(self) -> Sequence[Callable[..., Any]]:
        """Every activity of the worker for jobs."""
        return activities(
            self.agent_activities(self.native_runtime(), self.tool_activities()),
            self._record_activities(),
            ChildActivities(self.child_jobs()),
            ConversationActivities(self.backend.conversations),
            self.catalogue.activities,
        )

    def tool_activities(self) -> LazyTools:
        """The activity behind every tool call."""
        worker = self.backend.client.identity
        return LazyTools(self.opened, partial(ToolActivities, self.catalogue, worker=worker))

    def agent_activities(self, runtime: AgentRuntime, tools: ToolCalls | None = None) -> AgentActivities:
        """The activity behind every agent, which calls `runtime`."""
        backend = self.backend
        return AgentActivities(
            self.catalogue,
            runtime,
            backend.attempts,
            backend.artifacts,
            now,
            bus=backend.bus,
            results=codec_of(backend.client),
            tools=tools,
            worker=backend.client.identity,
        )

    def delivery_activity(self) -> Callable[..., Any]:
        """The activity that makes one attempt of a webhook delivery."""
        backend = self.backend
        if self.sender is None:
            allow_private = self.settings.webhook_allow_private
            self.sender = HttpWebhookSender(allow_private=allow_private, look_ups=backend.look_ups)
        deliverer = WebhookDeliverer(
            backend.deliveries,
            WebhookRepository(backend.database),
            backend.keys,
            DeliveryBodies(backend.reader, backend.follower, self.services.outputs),
            sender=self.sender,
            sealer=backend.sealer,
            dispatcher=backend.dispatcher,
            clock=now,
        )
        return WebhookActivities(deliverer).deliver_webhook

    def native_runtime(self) -> AgentRuntime:
        """The runtime that calls models, opened by the first call."""
        return LazyAgents(self.opened)

    async def opened(self) -> "OpenRuntime":
        """The runtime of agents and tools. Open it once the process serves, so that the first call need not wait.

        Its libraries cost a second and some 80 MB: a start does not wait for them, and an API process never loads them.
        """
        async with self._opening:
            if self.runtime is None:
                await import_runtime(self.settings)
                from orchestrator.composition.agent_runtime import open_runtime  # noqa: PLC0415

                self.runtime = open_runtime(self.settings, self.bulkhead, self.catalogue, self.backend)
            return self.runtime

    async def aclose(self) -> None:
        """Finish the pending writes, and close the connections to models and receivers."""
        self.bulkhead.close()
        await self.end_writes.settle()
        if self.runtime is not None:
            await self.runtime.aclose()
        if self.sender is not None:
            await self.sender.aclose()

    def child_jobs(self) -> ChildOpener:
        """What opens child jobs and reads their ends."""
        backend = self.backend
        return ChildOpener(self.services.starter, backend.gateway, backend.jobs, values=JobValues(backend.values))

    def _record_activities(self) -> RecordActivities:
        backend = self.backend
        adopter = JobAdopter(
            self.catalogue,
            self.services.starter,
            backend.gateway,
            backend.jobs,
            JobValues(backend.values),
            ScheduledRuns(
                ScheduleRepository(backend.database),
                ScheduleCredentials(backend.keys, UserRepository(backend.database), clock=now),
                backend.schedules,
                self.services.starter,
                backend.gateway,
                backend.jobs,
            ),
            worker=backend.client.identity,
        )
        return RecordActivities(self._outcomes(), adopter, self.reconciler, clock=now)

    def _outcomes(self) -> OutcomeRecorder:
        backend = self.backend
        return OutcomeRecorder(backend.jobs, backend.attempts, ResetRepository(backend.database))


def build_workers(settings: Settings, catalogue: Catalogue, backend: Backend, services: Services) -> Workers:
    """What builds the workers of this process. Opens no connection."""
    values = backend.values if settings.value_store_url else None
    reconciler = IndexReconciler(
        backend.gateway,
        Visibility(backend.client),
        backend.reader,
        backend.jobs,
        backend.attempts,
        resets=ResetRepository(backend.database),
        dispatcher=backend.dispatcher,
        pruner=IndexPruner(PruningRepository(backend.database, values), backend.trail, settings.retention()),
        values=JobValues(backend.values),
        clock=now,
    )
    return Workers(settings, catalogue, backend, services, reconciler, Bulkhead(settings.agent_block_seconds))
