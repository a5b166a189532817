"""Every setting of the product, from the environment, secret files, the file `.env` or defaults."""

import logging
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from orchestrator.domain.limits import SURFACE_LIMITS, SurfaceLimit, Tier, TierLimits, Window, tier_limits
from orchestrator.domain.model_choice import Providers
from orchestrator.domain.names import DEFAULT_TASK_QUEUE
from orchestrator.domain.retention import Retention
from orchestrator.settings.secrets import refuse_short
from orchestrator.settings.sources import SourcedSettings
from orchestrator.settings.urls import refuse_wrong_database, refuse_wrong_url

_MAX_DAYS: Final = 36_500  # A hundred years: today minus this must be a valid date.
_Days = Annotated[int, Field(ge=0, le=_MAX_DAYS)]
_OWN_PACKAGES: Final = ("orchestrator", "activities", "workflows", "api")
SURFACE_NAMES: Final = ("devora", "orchestrator", "ai_orchestra", "devskyy", "agentorchestra", "page")
_MONTH_DAYS: Final = 32  # A calendar month, plus the day on which its last tokens are counted.


class Settings(SourcedSettings):
    """`ORCHESTRATOR_*` variables, a `.env` file, or alternative names such as `DATABASE_URL`.

    An empty variable counts as unset. Whitespace around a value is removed, because keys often come from files.
    """

    model_config = SettingsConfigDict(
        env_prefix="ORCHESTRATOR_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Field(default=Path(".orchestrator"), description="Directory for the files of embedded mode.")
    secrets_dir: Path | None = Field(
        default=None, description="A folder with one file per secret, named like its variable in lower case."
    )
    database_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("ORCHESTRATOR_DATABASE_URL", "DATABASE_URL"),
        description="Index database; SQLite in the data directory by default.",
    )
    database_pool_size: int = Field(
        default=3, ge=1, le=200, description="Connections to PostgreSQL that a process keeps open."
    )
    database_max_overflow: int = Field(
        default=2, ge=0, le=200, description="More connections that it opens while it is busy."
    )
    task_queue: str = Field(default=DEFAULT_TASK_QUEUE, description="Temporal task queue of workflows and agents.")
    admin_api_key: SecretStr | None = Field(
        default=None,
        description="Bootstrap key with scope admin:*, at least 16 bytes; `orchestrator dev` creates one if unset.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Digests API keys and seals webhook secrets; all processes of an installation need the same value. "
        "If unset, it is created in the data directory.",
    )
    secret_key_fallback: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="The next or the previous secret key during an exchange: opens existing secrets, seals none.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("ORCHESTRATOR_REDIS_URL", "REDIS_URL"),
        description="Shares request limits and token streams between processes.",
    )
    tiers: dict[Tier, TierLimits] = Field(
        default_factory=dict, description="JSON: limits of tiers that differ from the documented limits."
    )
    most_rows: int = Field(
        default=200, ge=1, description="Maximum of agents, and of configurations, that an account may create."
    )
    public_sessions: bool | None = Field(
        default=None,
        description="Whether sessions start without a credential; if unset, only in `dev` on loopback without proxies.",
    )
    surfaces: str = Field(
        default="",
        description="Names of the surfaces to serve, comma-separated; all if unset.",
    )
    surface_limits: dict[SurfaceLimit, Window] = Field(
        default_factory=dict,
        description="JSON: request limits of the other surfaces that differ from the documented limits.",
    )
    jwt_secret_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("ORCHESTRATOR_JWT_SECRET_KEY", "JWT_SECRET_KEY"),
        description="Signs the tokens of users (HS256), at least 32 bytes; derived from the secret key if unset.",
    )
    jwt_issuer: str | None = Field(
        default=None, max_length=200, description="The claim iss of every token of a user; if unset, tokens have none."
    )
    jwt_audience: str | None = Field(
        default=None, max_length=200, description="The claim aud of every token of a user; if unset, tokens have none."
    )
    jwt_longest_life: int = Field(
        default=86_400,
        ge=60,
        le=315_360_000,
        description="Maximum lifetime in seconds of tokens of other issuers; longer-lived tokens are refused.",
    )
    admin_username: str | None = Field(default=None, description="Bootstrap user with role admin.")
    admin_password: SecretStr | None = Field(default=None, description="Password of that user, at least 8 characters.")
    webhook_allow_private: bool = Field(default=False, description="Allow webhooks to private addresses.")
    webhook_retry_schedule: str = Field(
        default="0,5,300,1800,7200,18000,36000,50400,72000,86400",
        pattern=r"^\d+(\.\d+)?(,\d+(\.\d+)?)*$",
        description="Seconds before each attempt of a delivery, comma-separated; jitter is added.",
    )
    cors_origins: str = Field(
        default="",
        pattern=r"^\s*(\*|(https?://[^\s,/*]+\s*(,\s*|$))*)\s*$",
        description="Browser origins that may call the API, comma-separated, or `*`.",
    )
    trusted_hosts: str = Field(
        default="*",
        pattern=r"^\s*(\*|(((\*\.)?[^\s,/*:]+|\[[0-9a-fA-F:.]+\])\s*(,\s*|$))*)\s*$",
        description="Accepted host names, comma-separated; by default `dev` accepts this machine's own names.",
    )
    trusted_proxies: str = Field(
        default="",
        validation_alias=AliasChoices("ORCHESTRATOR_TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS"),
        description="Addresses and networks of proxies whose `X-Forwarded-*` headers are accepted, comma-separated.",
    )
    root_path: str = Field(
        default="",
        max_length=200,
        pattern=r"^((/[A-Za-z0-9._~\-]+)+/?)?$",
        description="Path prefix under which a proxy serves the API, such as `/orchestrator`.",
    )
    http_keep_alive: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="Seconds that an idle HTTP connection stays open; set it higher than the idle timeout of a proxy.",
    )
    plugins: str = Field(default="", description="Modules to load, comma-separated.")
    llm_base_url: str | None = Field(default=None, description="Any OpenAI-compatible endpoint.")
    llm_api_key: SecretStr | None = Field(default=None, description="Key for that endpoint.")
    always_stream: bool = Field(
        default=False, description="Ask models for streams even if nobody reads: for gateways that cut silent requests."
    )
    default_model: str | None = Field(default=None, description="`provider:model` for every agent without a model.")
    drafted_models: str = Field(
        default="anthropic/claude-3.5-sonnet,gpt-4",
        description="Models in requests that are drafted while no provider is configured; `*` for all, `none`.",
    )
    decision_model: str | None = Field(
        default=None, description="`provider:model` of strategic decisions; callers wait for it, so use a fast one."
    )
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    max_input_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Maximum size of a job's input as JSON; a request may be twice as large.",
    )
    value_store_url: str | None = Field(
        default=None,
        pattern=r"^s3://[^/]+",
        description="Store for large values: s3://BUCKET/PREFIX; the job index if unset.",
    )
    sync_timeout: float = Field(default=120.0, gt=0, description="Seconds that a synchronous call waits (D-044).")
    conversation_idle: float = Field(
        default=1800.0, gt=0, description="Seconds without a message after which a chat session ends."
    )
    job_timeout: float | None = Field(default=None, gt=0, description="Seconds after which any job ends as TIMEOUT.")
    agent_block_seconds: float = Field(
        default=5.0,
        ge=0.1,
        le=3600,
        description="Seconds that an agent's code may block its event loop before its call fails.",
    )
    retention_days: int = Field(default=30, ge=1, le=_MAX_DAYS, description="Days that Temporal keeps closed jobs.")
    keep_jobs_days: _Days = Field(
        default=0, description="Days that the index keeps ended jobs and their data; 0: for ever."
    )
    keep_events_days: _Days = Field(
        default=0, description="Days that the index keeps the events of ended jobs; 0: as long as the jobs."
    )
    keep_attempts_days: _Days = Field(
        default=90, description="Days that the index keeps attempts of agent calls; 0: as long as the jobs."
    )
    keep_deliveries_days: _Days = Field(
        default=90,
        description="Days that the index keeps deliveries and account events; 0: as long as the jobs.",
    )
    keep_audit_days: _Days = Field(default=400, description="Days that the index keeps the audit trail; 0: for ever.")
    reconcile_interval: float = Field(default=10.0, gt=0, description="Seconds between reconciler passes.")
    worker_drain_seconds: float = Field(
        default=25.0,
        ge=0,
        le=3600,
        description="Seconds that a stopping worker gives its running calls to end; 5 for `dev` by default.",
    )
    worker_concurrent_calls: int = Field(default=100, ge=1, le=1000, description="Calls that a worker runs at once.")
    worker_metrics_host: str = Field(default="127.0.0.1", description="Network interface of the worker's SDK metrics.")
    worker_metrics_port: int | None = Field(default=None, description="Port of the worker's SDK metrics.")
    temporal_ui_url: str = Field(default="http://127.0.0.1:8233", description="Address of the Temporal UI.")
    metrics_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Bearer token for Prometheus: reads the metrics of all owners at /metrics.",
    )
    api_url: str = Field(default="http://127.0.0.1:8000", description="Address of the API for commands.")
    api_key: SecretStr | None = Field(default=None, description="API key for commands.")
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    log_format: str = Field(default="auto", pattern="^(auto|json|pretty)$", description="pretty only on a terminal.")

    @model_validator(mode="before")
    @classmethod
    def _without_whitespace(cls, values: dict[str, Any]) -> dict[str, Any]:
        stripped = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in stripped.items() if value != ""}

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        """The absolute path, so that the files stay in place if code changes the working directory."""
        try:
            str(folder).encode()  # it becomes a part of the index's URL, which must be UTF-8
            return folder.expanduser().absolute()
        except RuntimeError:
            raise ValueError(f"{folder} names an unknown home directory: use an absolute path") from None
        except UnicodeEncodeError:
            raise ValueError("the name of the directory must be UTF-8") from None

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, url: str | None) -> str | None:
        if url is not None:
            refuse_wrong_database(url)
        return url

    @field_validator("redis_url")
    @classmethod
    def _names_a_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            refuse_wrong_url(url.get_secret_value(), "redis://:PASSWORD@HOST:PORT/0", ("redis", "rediss", "unix"))
        return url

    @field_validator("llm_base_url", "temporal_ui_url", "api_url")
    @classmethod
    def _names_a_server(cls, url: str | None) -> str | None:
        if url is not None:
            refuse_wrong_url(url, "http://HOST:PORT or https://HOST", ("http", "https"))
        return url

    @field_validator("admin_api_key", "metrics_key", "api_key", "llm_api_key", "openai_api_key", "anthropic_api_key")
    @classmethod
    def _is_one_word(cls, key: SecretStr | None) -> SecretStr | None:
        text = key.get_secret_value() if key else ""
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ValueError("the key contains a space, a line break or another invalid character; was it truncated?")
        return key

    @field_validator("jwt_secret_key", "admin_api_key", "admin_password")
    @classmethod
    def _is_long_enough(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is not None and info.field_name is not None:
            refuse_short(info.field_name, secret.get_secret_value())
        return secret

    @field_validator("admin_password")
    @classmethod
    def _belongs_to_a_user(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if password is None and info.data.get("admin_username"):
            raise ValueError("ORCHESTRATOR_ADMIN_USERNAME is set: set ORCHESTRATOR_ADMIN_PASSWORD too")
        return password

    @field_validator("plugins")
    @classmethod
    def _are_not_ours(cls, plugins: str) -> str:
        for name in plugins.split(","):
            package = name.strip().partition(".")[0]
            if package in _OWN_PACKAGES:
                raise ValueError(
                    f"{name.strip()}: the package name `{package}` is reserved by orchestrator: rename your package"
                )
        return plugins

    @field_validator("trusted_proxies")
    @classmethod
    def _names_proxies(cls, names: str) -> str:
        for name in _names(names) if names != "*" else []:
            try:
                ip_network(name, strict=False)
            except ValueError:
                raise ValueError(
                    f"invalid address {name!r}: expected for example 10.0.0.5,172.16.0.0/12, or *"
                ) from None
        return names

    @field_validator("surfaces")
    @classmethod
    def _names_surfaces(cls, names: str) -> str:
        for name in _names(names):
            if name not in SURFACE_NAMES:
                raise ValueError(f"unknown surface {name!r}: expected some of {', '.join(SURFACE_NAMES)}")
        return names

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, level: str) -> str:
        if level.upper() not in logging.getLevelNamesMapping():
            raise ValueError("expected DEBUG, INFO, WARNING, ERROR or CRITICAL")
        return level

    @field_validator("root_path")
    @classmethod
    def _is_no_path_of_the_api(cls, path: str) -> str:
        if path.split("/")[1:2] in (["api"], ["v1"], ["chat"]):
            raise ValueError("paths of the API begin with this prefix: choose another one for the proxy")
        return path.rstrip("/")

    @field_validator("keep_jobs_days", "keep_attempts_days")
    @classmethod
    def _covers_a_month(cls, days: int) -> int:
        if 0 < days < _MONTH_DAYS:
            raise ValueError(f"monthly token limits need at least {_MONTH_DAYS} days, or 0 to keep the rows for ever")
        return days

    @field_validator("keep_jobs_days")
    @classmethod
    def _outlives_temporal(cls, days: int, info: ValidationInfo) -> int:
        # If Temporal kept a job longer than the index, a repeated Idempotency-Key would return the deleted job.
        retention = info.data.get("retention_days", 0)
        if 0 < days <= retention:
            raise ValueError(
                f"expected more than ORCHESTRATOR_RETENTION_DAYS ({retention}), or 0 to keep jobs for ever"
            )
        return days

    def retention(self) -> Retention:
        """The retention of the index's rows."""
        return Retention(
            jobs=_days(self.keep_jobs_days),
            events=_days(self.keep_events_days),
            attempts=_days(self.keep_attempts_days),
            deliveries=_days(self.keep_deliveries_days),
            audit=_days(self.keep_audit_days),
        )

    def index_url(self) -> str:
        """The SQLAlchemy URL of the job index, always with our database drivers."""
        if self.database_url is None:
            return f"sqlite:///{quote(str(self.data_dir / 'index.sqlite3'))}"
        scheme, _, rest = self.database_url.partition("://")
        return f"{'sqlite' if scheme.startswith('sqlite') else 'postgresql+psycopg'}://{rest}"

    def tier_limits(self) -> dict[Tier, TierLimits]:
        """The limits of every tier."""
        return tier_limits(self.tiers)

    def surface_windows(self) -> dict[SurfaceLimit, Window]:
        """The request limits of every surface except the native one."""
        return {**SURFACE_LIMITS, **self.surface_limits}

    def served_surfaces(self) -> frozenset[str] | None:
        """The names of the surfaces to serve; None for all."""
        return frozenset(_names(self.surfaces)) or None

    def retry_schedule(self) -> list[float]:
        """The seconds before each attempt of a webhook delivery."""
        return [float(seconds) for seconds in self.webhook_retry_schedule.split(",")]

    def model_providers(self) -> Providers:
        """The configured model providers, without their keys."""
        return Providers(
            openai=bool(self.openai_api_key),
            anthropic=bool(self.anthropic_api_key),
            base_url=bool(self.llm_base_url),
            default_model=self.default_model,
            drafted=frozenset(_names(self.drafted_models)),
        )

    def plugin_modules(self) -> list[str]:
        """The modules named by `ORCHESTRATOR_PLUGINS`."""
        return _names(self.plugins)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _days(days: int) -> timedelta | None:
    return timedelta(days=days) if days else None
