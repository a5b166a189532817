"""All services of one process, as the API receives them."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from orchestrator.domain import names
from orchestrator.services.access.audit import AuditLog
from orchestrator.services.access.authentication import Authenticator
from orchestrator.services.access.idempotency import IdempotentRequests
from orchestrator.services.access.keys import KeyIssuer
from orchestrator.services.access.page_sessions import PageSessions
from orchestrator.services.access.quotas import Quotas
from orchestrator.services.access.rate_limits import RequestLimits
from orchestrator.services.access.users import UserAccounts
from orchestrator.services.catalogue import CatalogueReader
from orchestrator.services.chat.conversations import Conversations
from orchestrator.services.jobs.changes import JobChanges
from orchestrator.services.jobs.controls import JobController
from orchestrator.services.jobs.decisions import DecisionMaker
from orchestrator.services.jobs.follower import JobFollower
from orchestrator.services.jobs.output import JobOutputs
from orchestrator.services.jobs.overview import JobOverview
from orchestrator.services.jobs.questions import JobQuestions
from orchestrator.services.jobs.reader import JobReader
from orchestrator.services.jobs.retry import JobRetrier
from orchestrator.services.jobs.retry_refusals import RetryRefusals
from orchestrator.services.jobs.start import JobStarter
from orchestrator.services.jobs.stream import JobWatcher
from orchestrator.services.reports.deployment import Deployment
from orchestrator.services.reports.figures import FiguresReader
from orchestrator.services.reports.metrics import MetricsReader
from orchestrator.services.reports.partnerships import PartnershipReader
from orchestrator.services.reports.readiness import Readiness
from orchestrator.services.reports.resources import ResourceMeter
from orchestrator.services.reports.workers import WorkerReader
from orchestrator.services.schedules.registry import Schedules
from orchestrator.services.user_agents.agents import UserAgents
from orchestrator.services.user_agents.configurations import Configurations
from orchestrator.services.user_agents.executions import Executions
from orchestrator.services.webhooks.account_events import AccountEvents
from orchestrator.services.webhooks.registry import WebhookRegistry


@dataclass(frozen=True, slots=True)
class Services:
    """One service for each group of use cases."""

    access: Authenticator
    keys: KeyIssuer
    users: UserAccounts
    page_sessions: PageSessions
    audit: AuditLog
    idempotency: IdempotentRequests
    catalogue: CatalogueReader
    starter: JobStarter
    retrier: JobRetrier
    retry_refusals: RetryRefusals
    reader: JobReader
    overview: JobOverview
    changes: JobChanges
    follower: JobFollower
    watcher: JobWatcher
    controller: JobController
    questions: JobQuestions
    outputs: JobOutputs
    metrics: MetricsReader
    figures: FiguresReader
    readiness: Readiness
    workers: WorkerReader
    limits: RequestLimits
    quotas: Quotas
    webhooks: WebhookRegistry
    account_events: AccountEvents
    schedules: Schedules
    partnerships: PartnershipReader
    decisions: DecisionMaker
    deployment: Deployment
    resources: ResourceMeter
    conversations: Conversations
    user_agents: UserAgents
    configurations: Configurations
    executions: Executions
    public_sessions: bool
    sync_timeout: float
    temporal_ui: str

    @property
    def jobs_page(self) -> str:
        """The page of the Temporal UI that lists the jobs, without workflows of the engine."""
        return f"{self.temporal_ui}/workflows?{urlencode({'query': f'{names.ATTRIBUTE_KIND} IS NOT NULL'})}"

    def run_page(self, job_id: str) -> str:
        """The page of the Temporal UI that shows a job."""
        return f"{self.temporal_ui}/workflows/{quote(job_id, safe=':')}"
