"""Programs: batches of files, each a document of its own, and when those that failed are tried again.

The life of a retry, each arrow one transaction; whoever dies in between, the upkeep of any process goes on:

    retrying             reopening            files, by the job's hooks     upkeep
    taken ------------->  reopened ---------->  outcome  ----------------->  over
    the file carries     its job waits        success or failed; the       every file has an outcome:
    the retry's id       to run again         id is off the file           `completed_at`, alerts
      |
      `--> skipped, where its job is gone or was cancelled: let go at once
"""

from generation_service.programs.intake import Intake
from generation_service.programs.kind import ProgramFileKind
from generation_service.programs.model import (
    Accepted,
    FileStatus,
    Program,
    ProgramFile,
    ProgramState,
    Retry,
    RetryStats,
    RetryType,
    Skipped,
    StageSummary,
)
from generation_service.programs.scheduled import ProgramRetriesKind, RetryRules
from generation_service.programs.service import Programs
from generation_service.programs.troubles import Thresholds
from generation_service.programs.upkeep import Upkeep

__all__ = [
    "Accepted",
    "FileStatus",
    "Intake",
    "Program",
    "ProgramFile",
    "ProgramFileKind",
    "ProgramRetriesKind",
    "ProgramState",
    "Programs",
    "Retry",
    "RetryRules",
    "RetryStats",
    "RetryType",
    "Skipped",
    "StageSummary",
    "Thresholds",
    "Upkeep",
]
