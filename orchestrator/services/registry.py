"""The services that the API layer is given, in one value."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from orchestrator.domain import names
from orchestrator.services.access import Authenticator
from orchestrator.services.auditing import AuditLog
from orchestrator.services.catalogue import CatalogueReader
from orchestrator.services.controlling import JobController
from orchestrator.services.conversing import Conversations
from orchestrator.services.deciding import DecisionMaker
from orchestrator.services.deployment import Deployment
from orchestrator.services.figures import FiguresReader
from orchestrator.services.following import JobFollower
from orchestrator.services.keys import KeyIssuer
from orchestrator.services.limiting import RequestLimits
from orchestrator.services.metrics import MetricsReader
from orchestrator.services.output import JobOutputs
from orchestrator.services.own import OwnWork
from orchestrator.services.partnerships import PartnershipReader
from orchestrator.services.quotas import Quotas
from orchestrator.services.readiness import Readiness
from orchestrator.services.reading import JobReader
from orchestrator.services.resources import ResourceMeter
from orchestrator.services.retrying import JobRetrier
from orchestrator.services.starting import JobStarter
from orchestrator.services.users import UserAccounts
from orchestrator.services.watching import JobWatcher
from orchestrator.services.webhooks import WebhookRegistry


@dataclass(frozen=True, slots=True)
class Services:
    """One of each use-case group."""

    access: Authenticator
    keys: KeyIssuer
    users: UserAccounts
    audit: AuditLog
    catalogue: CatalogueReader
    starter: JobStarter
    retrier: JobRetrier
    reader: JobReader
    follower: JobFollower
    watcher: JobWatcher
    controller: JobController
    outputs: JobOutputs
    metrics: MetricsReader
    figures: FiguresReader
    readiness: Readiness
    limits: RequestLimits
    quotas: Quotas
    webhooks: WebhookRegistry
    partnerships: PartnershipReader
    decisions: DecisionMaker
    deployment: Deployment
    resources: ResourceMeter
    conversations: Conversations
    own: OwnWork
    public_sessions: bool
    sync_timeout: float
    temporal_ui: str

    @property
    def jobs_page(self) -> str:
        """Where the Temporal UI lists the jobs, without the engine's own workflows."""
        return f"{self.temporal_ui}/workflows?{urlencode({'query': f'{names.ATTRIBUTE_KIND} IS NOT NULL'})}"

    def run_page(self, job_id: str) -> str:
        """Where the Temporal UI shows the job to operators."""
        return f"{self.temporal_ui}/workflows/{quote(job_id, safe=':')}"
