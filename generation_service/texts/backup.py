"""Texts of backing up and restoring."""

TEXTS: dict[str, dict[str, str]] = {
    "backup.done": {"en": "Backed up to {path} ({megabytes} MB):", "ko": "백업 완료: {path} ({megabytes} MB)"},
    "backup.would": {"en": "Would be backed up to {path}:", "ko": "백업할 내용 ({path}):"},
    "backup.line": {"en": "  {label}: {value}", "ko": "  {label}: {value}"},
    "backup.label.jobs": {"en": "jobs", "ko": "작업"},
    "backup.label.documents": {"en": "documents", "ko": "문서"},
    "backup.label.program_files": {"en": "files of programs", "ko": "프로그램의 파일"},
    "backup.label.programs": {"en": "programs", "ko": "프로그램"},
    "backup.label.episodes": {"en": "episodes", "ko": "에피소드"},
    "backup.label.chunks": {"en": "passages", "ko": "검색 단락"},
    "backup.label.ledger": {"en": "ledger", "ko": "원장"},
    "backup.label.objects": {"en": "objects", "ko": "저장된 객체"},
    "backup.deleted": {
        "en": "deleted while the backup was made, so not in it: {object}",
        "ko": "백업하는 동안 삭제되어 포함되지 않음: {object}",
    },
    "backup.lost": {
        "en": "LOST: a document names this object, and the object store does not have it: {object}",
        "ko": "유실: 문서가 가리키는 객체가 저장소에 없습니다: {object}",
    },
    "backup.file_exists": {
        "en": "{path} is there already: name another file, or remove it.",
        "ko": "{path} 파일이 이미 있습니다. 다른 이름을 쓰거나 파일을 지우세요.",
    },
    "backup.no_room": {"en": "The file could not be written: {reason}.", "ko": "파일을 쓸 수 없습니다: {reason}."},
    "backup.no_tool": {
        "en": "{program} was not found: install PostgreSQL's client programs, or name their folder (PG_BIN).",
        "ko": "{program} 프로그램이 없습니다. PostgreSQL 클라이언트를 설치하거나 폴더를 PG_BIN으로 지정하세요.",
    },
    "backup.tool_too_old": {
        "en": "{program} is of version {version}, the server of {server}: install that version's client programs, or "
        "name their folder (PG_BIN).",
        "ko": "{program} 버전({version})이 서버({server})보다 낮습니다. 서버 버전의 클라이언트를 설치하거나 폴더를 "
        "PG_BIN으로 지정하세요.",
    },
    "backup.tool_too_new": {
        "en": "{program} is of version {version}, newer than the server ({server}), which may not know what it sends: "
        "install the server's version of the client programs, or name their folder (PG_BIN). Nothing was touched.",
        "ko": "{program} 버전({version})이 서버({server})보다 높아 서버가 명령을 이해하지 못할 수 있습니다. 서버와 "
        "같은 버전의 클라이언트를 설치하거나 폴더를 PG_BIN으로 지정하세요. 아무것도 바꾸지 않았습니다.",
    },
    "backup.tool_failed": {"en": "{program} failed: {reason}", "ko": "{program} 실패: {reason}"},
    "backup.help.about": {
        "en": "Saves the database and all objects (uploaded files, artefacts) in one archive, while the service runs. "
        "The archive holds everything that people wrote: keep it as you keep the database.",
        "ko": "서비스를 멈추지 않고 데이터베이스와 모든 객체(업로드 파일, 전처리 결과)를 하나의 파일로 저장합니다. "
        "사용자가 쓴 모든 내용이 들어 있으므로 데이터베이스처럼 보관하세요.",
    },
    "backup.help.exit_codes": {
        "en": "Exit codes: 0 done, 1 an object is lost or something could not be reached, 2 wrong use.",
        "ko": "종료 코드: 0 완료, 1 유실된 객체가 있거나 접근할 수 없음, 2 잘못된 사용.",
    },
    "backup.help.file": {
        "en": "the archive (var/backups/generation-<time>.tar); it must not be there yet",
        "ko": "백업 파일 (기본값 var/backups/generation-<시각>.tar). 없는 파일이어야 함",
    },
    "backup.help.pg_bin": {
        "en": "folder of pg_dump and pg_restore (PG_BIN; else PATH)",
        "ko": "pg_dump와 pg_restore가 있는 폴더 (PG_BIN, 없으면 PATH)",
    },
    "backup.help.dry_run": {"en": "only say what would be backed up", "ko": "백업할 내용만 출력"},
    "backup.help.json": {"en": "print one JSON object", "ko": "JSON 객체 하나로 출력"},
    "restore.done": {
        "en": "Restored the backup of {created_at} (schema {schema}). Found:",
        "ko": "{created_at} 백업을 복원했습니다 (스키마 {schema}). 확인된 내용:",
    },
    "restore.would": {
        "en": "The backup of {created_at} (schema {schema}) is whole and would be restored:",
        "ko": "{created_at} 백업(스키마 {schema})은 온전하며, 복원할 내용은 다음과 같습니다:",
    },
    "restore.equal": {
        "en": "All of it is what the backup says. Start the service: running jobs go on from their last step.",
        "ko": "백업에 적힌 내용과 모두 같습니다. 서비스를 시작하면 실행 중이던 작업은 마지막 단계부터 이어집니다.",
    },
    "restore.different": {
        "en": "NOT what the backup says: do not start the service before you know why.",
        "ko": "백업에 적힌 내용과 다릅니다. 원인을 알기 전에는 서비스를 시작하지 마세요.",
    },
    "restore.unowned": {
        "en": "Objects of {count} uploads came too late for this backup's database: nobody sees them, and they are "
        "deleted in a day.",
        "ko": "업로드 {count}건의 객체는 이 백업의 데이터베이스보다 늦게 저장되어 보이지 않으며, 하루 뒤 삭제됩니다.",
    },
    "restore.cut_off": {
        "en": "A restoration was cut off: what the database held lies in its schema {schema}. The next one, without "
        "--dry-run, puts it back first.",
        "ko": "이전 복원이 중간에 끊겼습니다. 데이터베이스의 원래 내용은 {schema} 스키마에 있으며, --dry-run 없이 다시 "
        "실행하면 먼저 제자리로 돌려놓습니다.",
    },
    "restore.brought_back": {
        "en": "A former restoration was cut off: what the database held before it is back in its place.",
        "ko": "이전 복원이 중간에 끊겨 있었습니다. 데이터베이스의 원래 내용을 제자리로 돌려놓았습니다.",
    },
    "restore.two_databases": {
        "en": "A restoration was cut off, and both are there: the tables in use, and in the schema {schema} those from "
        "before. Remove one of them: DROP SCHEMA {schema} CASCADE keeps those in use. Nothing was touched.",
        "ko": "이전 복원이 중간에 끊겨 사용 중인 테이블과 {schema} 스키마의 이전 테이블이 모두 있습니다. 하나를 "
        "지우세요(DROP SCHEMA {schema} CASCADE는 사용 중인 것을 남깁니다). 아무것도 바꾸지 않았습니다.",
    },
    "restore.database_refuses": {
        "en": "The database refuses: {reason}. What it held is still there.",
        "ko": "데이터베이스가 거부했습니다: {reason}. 원래 내용은 그대로입니다.",
    },
    "restore.no_file": {"en": "There is no such file.", "ko": "그런 파일이 없습니다."},
    "restore.no_backup": {
        "en": "This is no backup, or one that was cut off: nothing was touched.",
        "ko": "백업 파일이 아니거나 중간에 잘린 파일입니다. 아무것도 바꾸지 않았습니다.",
    },
    "restore.damaged": {
        "en": "The backup is damaged: its content is not what its manifest says. Nothing was touched.",
        "ko": "백업이 손상되었습니다. 내용이 목록과 다릅니다. 아무것도 바꾸지 않았습니다.",
    },
    "restore.newer": {
        "en": "The backup is of schema {schema}, this version of the service knows up to {newest}: install the newer "
        "version.",
        "ko": "백업의 스키마는 {schema}인데 이 버전의 서비스는 {newest}까지만 압니다. 더 새로운 버전을 설치하세요.",
    },
    "restore.other_engine": {
        "en": "The backup is of {engine}, DATABASE_URL names {wanted}: a backup goes back to the kind it came from.",
        "ko": "백업은 {engine}인데 DATABASE_URL은 {wanted}입니다. 백업은 같은 종류의 데이터베이스에만 복원됩니다.",
    },
    "restore.service_runs": {
        "en": "The service runs on this database: stop it first (and wait half a minute after a crash).",
        "ko": "이 데이터베이스로 서비스가 실행 중입니다. 먼저 멈추세요(비정상 종료 후에는 30초쯤 기다리세요).",
    },
    "restore.database_not_empty": {
        "en": "The database is not empty: --force puts the backup in its place.",
        "ko": "데이터베이스가 비어 있지 않습니다. --force를 쓰면 백업으로 바꿉니다.",
    },
    "restore.store_not_empty": {
        "en": "The object store holds {count} objects that are not of this backup: --force leaves them there.",
        "ko": "객체 저장소에 이 백업의 것이 아닌 객체가 {count}개 있습니다. --force를 쓰면 그대로 둡니다.",
    },
    "restore.help.about": {
        "en": "Puts a backup of ops/backup.sh back: into an empty database of the same kind and an empty object store. "
        "The whole archive is verified first.",
        "ko": "ops/backup.sh로 만든 백업을 비어 있는 같은 종류의 데이터베이스와 빈 객체 저장소에 복원합니다. 먼저 "
        "파일 전체를 검증합니다.",
    },
    "restore.help.exit_codes": {
        "en": "Exit codes: 0 restored and equal, 1 something differs or could not be reached, or --dry-run found an "
        "obstacle, 2 wrong use.",
        "ko": "종료 코드: 0 복원 완료, 1 내용이 다르거나 접근할 수 없음(--dry-run에서는 복원을 막는 것이 있음), "
        "2 잘못된 사용.",
    },
    "restore.help.file": {"en": "the archive", "ko": "백업 파일"},
    "restore.help.force": {
        "en": "replace a database that is not empty, and store beside other objects",
        "ko": "비어 있지 않은 데이터베이스를 바꾸고, 다른 객체가 있어도 저장",
    },
    "restore.help.dry_run": {
        "en": "only verify the archive and say what would be restored, and what is in the way",
        "ko": "파일을 검증하고 복원할 내용과 복원을 막는 것만 출력",
    },
}
