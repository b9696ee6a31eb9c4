"""What the API documentation shows of programs: 300 files, 5 of them unreadable, 5 not stored at first."""

from typing import Any

_PROGRAM = "019a0000-0000-7000-8000-000000000000"
_RETRY = "019a0000-0000-7000-8000-000000000001"
_NOTHING = {"retried": 0, "success": 0, "failed": 0}
_RESULTS = {"preprocessing": _NOTHING, "document": {"retried": 5, "success": 3, "failed": 2}}
_FAILED = {
    "quarantined": False,
    "retry_count": 1,
    "attempts": 2,
    "seconds": 0.8,
    "tokens": 0,
    "timestamp": "2026-01-31T09:00:00Z",
}

METADATA: dict[str, Any] = {
    "preprocessing": {
        "summary": {"total": 300, "success": 295, "failed": 5},
        "failed_files": [
            {
                "file_path": "scripts/episode-7.pdf",
                "index": 6,
                "error": "The document is protected by a password. Remove the password and upload it again.",
                "code": "encrypted",
                "error_class": "permanent",
                **_FAILED,
            }
        ],
    },
    "document_storage": {
        "summary": {"total": 295, "success": 293, "failed": 2},
        "failed_files": [
            {
                "json_key": "json_file_9",
                "filename": f"preprocessed-{_RETRY}-1.json",
                "s3_path": f"s3://bucket/programs/{_PROGRAM}/documents/{_RETRY}/preprocessed-{_RETRY}-1.json",
                "source_file_path": "scripts/episode-10.docx",
                "source_index": 9,
                "error": "The file storage did not answer. It is tried again by itself; you can retry it, too.",
                "code": "storage_unavailable",
                "error_class": "transient",
                **_FAILED,
            }
        ],
    },
    "total_expected": 300,
    "total_successful_documents": 293,
    "has_partial_failure": True,
    "retry_history": [
        {
            "retry_id": _RETRY,
            "retry_type": "document",
            "source": "at_once",
            "timestamp": "2026-01-31T09:00:00Z",
            "completed_at": "2026-01-31T09:00:02Z",
            "results": _RESULTS,
        }
    ],
}
RETRIED: dict[str, Any] = {
    "retry_id": _RETRY,
    "program_id": _PROGRAM,
    "retry_type": "document",
    "source": "user",
    "status": "completed",
    "results": _RESULTS,
    "waiting": 0,
    "skipped": [
        {
            "index": 4,
            "file_path": "scripts/episode-5.txt",
            "reason": "under_retry",
            "message": "it is under another retry; wait for that one",
        }
    ],
    "failed": [],
    "message": "The retry is complete: 3 of 5 files are ready now. 1 were skipped.",
    "created_at": "2026-01-31T09:05:00Z",
    "completed_at": "2026-01-31T09:05:02Z",
    "urls": {"self": f"/v1/programs/{_PROGRAM}/retries/{_RETRY}", "program": f"/v1/programs/{_PROGRAM}"},
}
