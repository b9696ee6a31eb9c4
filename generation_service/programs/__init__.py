"""Programs: batches of files, each a document of its own, and when those that failed are tried again."""

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
