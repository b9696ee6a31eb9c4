"""The settings: the only reader of the environment, each field with its default and its meaning."""

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from generation_service.errors import ConfigurationError
from generation_service.settings.documents import MIB, DocumentSettings, checked_cron
from generation_service.settings.telling import line_of, say_of_setting, terminal_locale, wrong

__all__ = ["MIB", "ResponseFormat", "Settings", "load_settings", "say_of_setting", "terminal_locale"]

ResponseFormat = Literal["none", "json_object"]

# As far as a setting can be read without asking anybody. What a client would guess at is refused: redis-py takes
# a database that is no number for database 0.
_REDIS_URL = re.compile(r"rediss?://[^/?#]*(/\d*/?)?(\?.*)?|unix://.+|redis\+sentinel://[^/]+/[^/]+(/\d+)?/?(\?.*)?")
# The drivers are those of `database.engine`: another that is named would not be the one that is used.
_DATABASE_URL = re.compile(r"(sqlite(\+pysqlite)?|postgresql(\+psycopg)?)://.*")
_STORAGE_URL = re.compile(r"s3://[^/]+(/.*)?|file:///.+|(?![A-Za-z][A-Za-z0-9+.-]*://).+")
_BASE_URL = re.compile(r"https?://[^/\s]+\S*")


class Settings(DocumentSettings):
    """All configuration. Field names, upper-cased, are the variables' names; `.env` is read too."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, allow_inf_nan=False
    )

    # The mode
    use_durable_worker: bool = Field(False, description="jobs go to RQ (true) or run in-process (false)")
    worker_system_enabled: bool = Field(True, description="master switch: false means that no RQ part is used at all")

    durable_worker_rollout_percent: int = Field(
        100, ge=0, le=100, description="how many of the projects go to RQ while the flag is true"
    )
    durable_worker_projects: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="project ids, separated by commas, that go to RQ whatever the percentage"
    )

    # Where things are
    database_url: str = Field(
        "sqlite:///var/generation.db", description="sqlite:///file or postgresql://...; no driver need be named"
    )
    redis_url: str | None = Field(None, description="RQ's Redis; unset: built from the three below")
    redis_host: str = Field("localhost", description="used when REDIS_URL is unset")
    redis_port: int = Field(6379, ge=1, le=65535, description="used when REDIS_URL is unset")
    redis_db: int = Field(5, ge=0, description="used when REDIS_URL is unset")
    redis_timeout_seconds: float = Field(1.0, gt=0, le=60, description="how long one call to Redis may take")
    storage_url: str = Field(
        "var/objects", description="uploaded files: a path, file:///absolute/path or s3://bucket/prefix"
    )
    s3_endpoint_url: str | None = Field(None, description="for an S3 server that is not Amazon's")
    database_pool_size: int = Field(
        8, ge=1, le=64, description="connections of one process to PostgreSQL, each for reading and writing"
    )

    # The API
    host: str = Field("127.0.0.1", description="where the API listens; a public address needs API_TOKENS")
    port: int = Field(8002, ge=0, le=65535, description="where the API listens")
    admin_token: SecretStr | None = Field(None, description="bearer token of the admin routes; unset: they answer 404")
    api_tokens: Annotated[dict[str, str] | None, NoDecode] = Field(
        None, description="JSON object, token -> user id; unset: loopback only"
    )
    max_body_bytes: int = Field(1 * MIB, ge=1024, description="largest JSON body")
    max_live_jobs: int = Field(100_000, ge=1, description="pending and running jobs in all; beyond it 503")
    max_live_jobs_per_user: int = Field(
        20_000, ge=1, description="pending and running jobs of one caller; beyond it 429"
    )
    max_streams: int = Field(2_000, ge=1, description="open event streams of one API process; beyond it 429")
    stream_ping_seconds: float = Field(15.0, gt=0, description="a comment keeps an idle stream alive this often")
    stream_send_timeout_seconds: float = Field(
        30.0, gt=0, description="a reader that takes nothing this long is dropped"
    )
    stream_max_age_seconds: float = Field(1800.0, gt=0, description="an older stream is ended; its reader resumes")
    idempotency_retention_hours: int = Field(24, ge=24, description="a key is kept this long after its job's end")

    # Running jobs
    background_max_concurrency: int = Field(16, ge=1, le=4096, description="jobs at once in one API process")
    worker_concurrency: int = Field(16, ge=1, le=4096, description="jobs at once in one worker process")
    job_lease_seconds: float = Field(
        30.0, ge=2, le=3600, description="a running job whose holder has been silent this long is rescued"
    )
    job_timeout_seconds: float = Field(
        7200.0, gt=0, description="a job's longest run, from each claim on: a retry, a rescue or a restart begins anew"
    )
    step_timeout_seconds: float = Field(1800.0, gt=0, description="a step's longest run")
    max_attempts: int = Field(4, ge=1, le=100, description="tries of a job that asks for no number of its own")
    retry_base_seconds: float = Field(
        2.0, ge=0, le=300, description="upper bound of the first delay; doubled each time, full jitter"
    )
    retry_max_seconds: float = Field(
        300.0, ge=0, description="upper bound of any delay, but for a longer one that a provider asks for (Retry-After)"
    )
    shutdown_grace_seconds: float = Field(
        20.0, ge=0, description="a stopping process lets jobs go on this long, then releases them"
    )
    recovery_interval_seconds: float = Field(
        1.0, gt=0, le=60, description="how often recovery looks for what to rescue, deliver and wake"
    )
    redelivery_seconds: float = Field(
        5.0, gt=0, description="a delivered job still pending after this long is looked for in Redis"
    )
    job_retention_days: int = Field(
        90, ge=1, description="ended jobs are pruned after this long; episodes and documents stay"
    )
    prune_cron: str = Field("0 3 * * *", description="when pruning runs (cron, in TIMEZONE)")
    timezone: str = Field("Asia/Seoul", description="time zone of the cron settings")

    # Language model and search
    llm_provider: Literal["offline", "openai"] = Field(
        "offline", description="offline: a deterministic drafter, no language model"
    )
    llm_base_url: str | None = Field(
        None, description="base URL of an OpenAI-compatible server, such as http://localhost:8000/v1"
    )
    llm_api_key: SecretStr | None = Field(None, description="its key")
    llm_model: str | None = Field(None, description="its model")
    llm_connect_timeout_seconds: float = Field(10.0, gt=0, description="to connect to the provider")
    llm_read_timeout_seconds: float = Field(
        120.0, gt=0, description="the longest silence of the provider within a call"
    )
    llm_max_output_tokens: int = Field(8192, ge=16, description="asked for in a call at most")
    llm_response_format: ResponseFormat = Field(
        "none", description="json_object: JSON is asked for by response_format too, not only by the prompt"
    )
    search_provider: Literal["none", "searxng", "model"] = Field(
        "none", description="the EXTERNAL step's search; model: the language model searches by itself"
    )
    search_base_url: str | None = Field(None, description="base URL of the SearXNG server")
    search_timeout_seconds: float = Field(10.0, gt=0, le=120, description="how long one search may take")

    # Watching a rollback
    rollback_baseline_seconds: float = Field(
        2.0, gt=0, description="mean time of an answer before a rollback: what rollback_performance_ratio compares with"
    )

    # Automatic rollback
    rollback_triggers: Literal["act", "dry_run", "off"] = Field(
        "act", description="dry_run: what would start a rollback by itself only says so; off: nothing is looked at"
    )
    rollback_dry_run: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="triggers, separated by commas, that only say what they would do: redis, crashes, ..."
    )
    rollback_on_redis_seconds: float = Field(
        300.0, ge=0, description="no process reaches Redis for longer than this; 0: off, as with each trigger"
    )
    rollback_on_crashes: int = Field(3, ge=0, description="more worker processes than this crash within the window")
    rollback_on_crashes_window_seconds: float = Field(600.0, gt=0, description="the window of ROLLBACK_ON_CRASHES")
    rollback_on_waiting_seconds: float = Field(
        600.0, ge=0, description="a job that is due waits for RQ longer than this"
    )
    rollback_on_memory_percent: float = Field(
        90.0, ge=0, le=100, description="more of the memory (the cgroup's where one limits it) is in use than this"
    )
    worker_memory_limit_bytes: int = Field(
        0, ge=0, description="a worker process holds more memory than this; 0: its host's memory is limit enough"
    )
    rollback_hold_seconds: float = Field(
        30.0, ge=0, description="memory must stay over its limit this long; the other triggers have a time of their own"
    )
    rollback_cooldown_seconds: float = Field(
        600.0, ge=0, description="after an automatic rollback none follows for this long"
    )
    rollback_webhook_url: str | None = Field(None, description="gets a POST with the report of an automatic rollback")
    rollback_command: str | None = Field(
        None, description="program (no shell) that is run with the report's id after an automatic rollback"
    )
    advise_on_response_seconds: float = Field(
        5.0, ge=0, description="advice only: mean time of the API's answers over the last minutes"
    )
    advise_on_slowdown_percent: float = Field(
        50.0, ge=0, description="advice only: so much slower than ROLLBACK_BASELINE_SECONDS"
    )
    advise_on_user_reports: int = Field(10, ge=0, description="advice only: more reports of users within an hour")
    rollforward_automatic: bool = Field(
        False, description="undo an automatic rollback by itself, through its gates, once its cause is gone"
    )
    rollforward_stable_seconds: float = Field(
        900.0, ge=0, description="how long no trigger may be over its threshold before that"
    )
    rollforward_gate_seconds: float = Field(
        30.0, gt=0, le=600, description="how long a roll-forward waits for workers, and for its canary job"
    )

    # The command line's own requests
    api_url: str | None = Field(None, description="base URL of the API to talk to; unset: built from HOST and PORT")
    api_token: SecretStr | None = Field(None, description="the token of API_TOKENS to present to it")

    # Saying what happens
    log_format: Literal["json", "text"] = Field("json", description="how log lines are written")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged")

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _decode_tokens(cls, value: object) -> object:
        if not isinstance(value, str) or not value.strip():
            return value or None
        try:
            tokens = json.loads(value)
        except ValueError:
            tokens = None
        if not isinstance(tokens, dict) or not all(map(_is_token_of_user, tokens.items())):
            raise wrong("api_tokens")
        return tokens

    @field_validator("durable_worker_projects", "rollback_dry_run", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(one.strip() for one in value.split(",") if one.strip()) if isinstance(value, str) else value

    @field_validator(
        "admin_token",
        "alert_webhook_url",
        "api_token",
        "api_url",
        "embedding_api_key",
        "embedding_base_url",
        "embedding_model",
        "llm_api_key",
        "llm_base_url",
        "llm_model",
        "redis_url",
        "rollback_command",
        "rollback_webhook_url",
        "s3_endpoint_url",
        "search_base_url",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("prune_cron")
    @classmethod
    def _check_cron(cls, value: str) -> str:
        return checked_cron(value)

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise wrong("time_zone") from error
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: str) -> str:
        if not _DATABASE_URL.fullmatch(value):
            raise wrong("database_url")
        return value

    @field_validator("host", "redis_host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        # Nothing means every address to a socket, and nowhere to a client; a space is in no name.
        if value.split() != [value]:
            raise wrong("host")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, value: str | None) -> str | None:
        if value is not None and not _REDIS_URL.fullmatch(value):
            raise wrong("redis_url")
        return value

    @field_validator("storage_url")
    @classmethod
    def _check_storage(cls, value: str) -> str:
        if not _STORAGE_URL.fullmatch(value):
            raise wrong("storage_url")
        return value

    @field_validator(
        "alert_webhook_url",
        "api_url",
        "embedding_base_url",
        "llm_base_url",
        "rollback_webhook_url",
        "s3_endpoint_url",
        "search_base_url",
    )
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is not None and not _BASE_URL.fullmatch(value):
            raise wrong("web_url")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.llm_provider == "openai" and not (self.llm_base_url and self.llm_model):
            raise wrong("model_server")
        if bool(self.embedding_base_url) != bool(self.embedding_model):
            raise wrong("embedding_pair")
        if self.search_provider == "searxng" and not self.search_base_url:
            raise wrong("search_server")
        return self

    @property
    def redis_address(self) -> str:
        """The URL of RQ's Redis, whichever way it was given."""
        return self.redis_url or f"redis://{quote(self.redis_host)}:{self.redis_port}/{self.redis_db}"

    @property
    def api_address(self) -> str:
        """The base URL that commands which talk to the API use, without a slash at its end."""
        if self.api_url:
            return self.api_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - where to ask, not where to bind
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def listens_publicly(self) -> bool:
        """Whether HOST is anything but a loopback address."""
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"


def load_settings(env_file: Path | str | None = ".env") -> Settings:
    """Read and check the environment (and `.env`).

    Raises ConfigurationError with one line a wrong variable: its name, what it got, what it takes.
    """
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        raise ConfigurationError("\n".join(line_of(dict(one)) for one in error.errors())) from error


def _is_token_of_user(pair: tuple[str, object]) -> bool:
    """A token that an Authorization header can hold, and a user id."""
    token, user = pair
    return token.split() == [token] and isinstance(user, str) and bool(user)
