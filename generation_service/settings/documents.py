"""The settings of documents and programs: what is taken, how it is read, found, tried again and told of."""

import shlex
from typing import Annotated

from croniter import croniter
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from generation_service.settings.telling import wrong

MIB = 1024 * 1024
_GIB = 1024 * MIB


class DocumentSettings(BaseSettings):
    """A part of `Settings`, which reads it from the environment."""

    # Taking documents and programs
    max_upload_bytes: int = Field(200 * MIB, ge=1024, description="largest uploaded file")
    max_user_bytes: int = Field(50 * _GIB, ge=1024, description="all documents of one user together; beyond it 413")
    max_user_documents: int = Field(100_000, ge=1, description="documents of one user; beyond it 413")
    max_program_files: int = Field(2_000, ge=1, le=10_000, description="files of one program; beyond it 413")
    max_program_bytes: int = Field(8 * _GIB, ge=1024, description="all files of one program together; beyond it 413")

    # Reading documents
    parse_memory_bytes: int = Field(
        1024 * MIB, ge=64 * MIB, description="address space of the child that reads one document"
    )
    parse_cpu_seconds: int = Field(20, ge=1, description="its processor time")
    parse_wall_seconds: float = Field(30.0, gt=0, description="its longest run")
    parse_max_characters: int = Field(2_000_000, ge=1000, description="text taken from one document")
    parse_max_pages: int = Field(5_000, ge=1, description="pages, slides or sheets read of one document")
    parse_concurrency: int = Field(2, ge=1, le=64, description="such children at once in one process")
    ocr_command: str = Field("tesseract", description="program that reads images of text, where use_multimodal asks it")
    ocr_languages: str = Field("kor+eng", description="languages that it is told to look for")
    ocr_max_pages: int = Field(100, ge=1, description="pages of one document that it reads; a longer one is refused")
    ocr_wall_seconds: float = Field(
        300.0,
        gt=0,
        description="its longest run over one document; with 1,200 of waiting for a turn it must fit a step",
    )

    # Finding passages
    embedding_base_url: str | None = Field(
        None, description="base URL of a server with /embeddings, such as http://localhost:8000/v1; unset: words only"
    )
    embedding_api_key: SecretStr | None = Field(None, description="its key")
    embedding_model: str | None = Field(None, description="its model; another one means to index everything anew")
    embedding_batch: int = Field(32, ge=1, le=2048, description="texts in one call")
    embedding_concurrency: int = Field(4, ge=1, le=64, description="calls at once in one process")
    embedding_timeout_seconds: float = Field(30.0, gt=0, description="how long one call may take")

    # Trying files of programs again
    program_retry_at_once_seconds: float = Field(
        5.0, ge=0, description="files that failed for a passing reason are tried again so long after the others ended"
    )
    program_retry_delays_seconds: Annotated[tuple[float, ...], NoDecode] = Field(
        (60, 300, 900, 3600), description="a scheduled retry comes no sooner after the first, second, ... failure"
    )
    program_retry_max: int = Field(3, ge=0, le=100, description="scheduled retries of one file; then it is quarantined")
    program_retry_cron: str = Field("0 * * * *", description="when scheduled retries run (cron, in TIMEZONE)")
    program_retry_daily_cron: str = Field(
        "0 2 * * *", description="when the daily run takes the place of that hour's (cron, in TIMEZONE)"
    )

    # Alerts
    alert_webhook_url: str | None = Field(
        None, description="gets a POST when a document or a job has failed for good, or retries keep failing"
    )
    alert_retry_failure_percent: float = Field(
        50.0, ge=0, le=100, description="more of the last day's retries of files fail than this; 0: never told"
    )
    alert_retry_failure_count: int = Field(10, ge=1, description="but not before so many of them were made")
    alert_program_retries: int = Field(3, ge=1, description="retries of one program in a row without one success")

    @field_validator("ocr_command")
    @classmethod
    def _check_command(cls, value: str) -> str:
        try:
            shlex.split(value)
        except ValueError as error:
            raise wrong("command") from error
        return value

    @field_validator("program_retry_cron", "program_retry_daily_cron")
    @classmethod
    def _check_retry_cron(cls, value: str) -> str:
        return checked_cron(value)

    @field_validator("program_retry_delays_seconds", mode="before")
    @classmethod
    def _split_delays(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            delays = tuple(float(one) for one in value.split(",") if one.strip())
        except ValueError:
            delays = ()
        if not delays or min(delays) < 0:
            raise wrong("delays")
        return delays


def checked_cron(value: str) -> str:
    """A cron expression as it was given. Raises the error that says what it takes."""
    if not croniter.is_valid(value):
        raise wrong("cron")
    return value
