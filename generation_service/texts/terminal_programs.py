"""Texts of the commands about documents and programs, and of their `--help`."""

_TEXTS: dict[str, dict[str, str]] = {
    "documents.project": {"en": "Project", "ko": "프로젝트"},
    "documents.program": {"en": "Program", "ko": "프로그램"},
    "documents.index": {"en": "No.", "ko": "번호"},
    "documents.completed": {"en": "Completed", "ko": "완료"},
    "documents.failed": {"en": "Failed", "ko": "실패"},
    "documents.total": {"en": "Files", "ko": "파일"},
    "documents.what_to_do": {"en": "Why, and what to do", "ko": "이유와 할 일"},
    "documents.nothing_found": {
        "en": "Nothing was found. Use other words (Korean ones of two syllables or more), or check that the documents "
        "have been read: documents list.",
        "ko": "찾은 구절이 없습니다. 다른 말로 찾거나(한국어는 두 글자 이상), documents list로 문서를 다 읽었는지 "
        "확인하세요.",
    },
    "documents.no_regular_file": {
        "en": "This is no regular file (a pipe or a device); save its content in a file and upload that.",
        "ko": "일반 파일이 아닙니다(파이프나 장치). 내용을 파일로 저장해 올리세요.",
    },
    "documents.of_program": {
        "en": "The document belongs to a program; retry that: generation-service programs retry {program_id}",
        "ko": "프로그램에 속한 문서입니다. 프로그램을 다시 시도하세요: generation-service programs retry {program_id}",
    },
    "programs.follow": {
        "en": "Follow it with: generation-service programs show {program_id}",
        "ko": "진행 상황: generation-service programs show {program_id}",
    },
    "programs.duplicates": {
        "en": "{count} file(s) have the content of another document of the project; see: "
        "generation-service programs files {program_id}",
        "ko": "파일 {count}개는 프로젝트의 다른 문서와 내용이 같습니다. 확인: "
        "generation-service programs files {program_id}",
    },
    "programs.duplicate_of": {"en": "(the same as {document_id})", "ko": "({document_id} 문서와 같은 내용)"},
    "programs.partial": {
        "en": "{completed} of {total} files are ready to be used; {failed} failed. Retry them with: "
        "generation-service programs retry {program_id}",
        "ko": "파일 {total}개 중 {completed}개를 쓸 수 있고 {failed}개는 실패했습니다. 다시 시도: "
        "generation-service programs retry {program_id}",
    },
    "programs.no_files": {
        "en": "There is no file to upload: name files, or folders that hold some.",
        "ko": "올릴 파일이 없습니다. 파일이나 파일이 든 폴더를 지정하세요.",
    },
    "programs.unreadable": {
        "en": "{path} cannot be opened, or is no regular file, and was left out; check who may read it.",
        "ko": "{path}을(를) 열 수 없거나 일반 파일이 아니어서 제외했습니다. 읽기 권한을 확인하세요.",
    },
    "programs.stats": {
        "en": "Retries of files: {total_retries}, of which {successful_retries} succeeded and {failed_retries} failed "
        "({percent} succeeded).",
        "ko": "파일 재시도 {total_retries}건: 성공 {successful_retries}건, 실패 {failed_retries}건(성공률 {percent}).",
    },
    "help.documents.list": {"en": "List documents, the newest first.", "ko": "문서를 최신순으로 나열합니다."},
    "help.documents.status": {"en": "Only those in this status.", "ko": "이 상태인 것만."},
    "help.documents.search": {
        "en": "Find passages of a project's documents.",
        "ko": "프로젝트의 문서에서 구절을 찾습니다.",
    },
    "help.documents.limit": {"en": "Passages at most.", "ko": "찾을 구절의 최대 개수."},
    "help.documents.delete": {
        "en": "Delete a document with all that was read of it.",
        "ko": "문서와 거기서 읽은 내용을 모두 지웁니다.",
    },
    "help.documents.retry": {"en": "Read a document that failed again.", "ko": "실패한 문서를 다시 읽습니다."},
    "help.programs": {
        "en": "Programs: batches of files that are read together.",
        "ko": "프로그램: 함께 올려 읽는 파일 묶음.",
    },
    "help.programs.upload": {
        "en": "Upload files, and folders with all their files, as one program.",
        "ko": "파일과 폴더 안의 모든 파일을 프로그램 하나로 올립니다.",
    },
    "help.programs.project": {
        "en": "The project whose generations may read them [default: one of the program's own].",
        "ko": "이 파일을 근거로 쓸 프로젝트의 id [기본값: 프로그램 자신의 프로젝트].",
    },
    "help.programs.user": {
        "en": "Whose program it is, where the service takes no tokens.",
        "ko": "프로그램 사용자의 id. 토큰을 쓰지 않는 서비스에서만 쓰입니다.",
    },
    "help.programs.multimodal": {"en": "Read images of text, too (OCR).", "ko": "글자가 담긴 이미지도 읽습니다(OCR)."},
    "help.programs.wait": {"en": "Wait until each file has been read.", "ko": "모든 파일을 읽을 때까지 기다립니다."},
    "help.programs.list": {"en": "List programs, the newest first.", "ko": "프로그램을 최신순으로 나열합니다."},
    "help.programs.show": {
        "en": "Show what became of a program, and why files failed.",
        "ko": "프로그램의 결과와 파일이 실패한 이유를 보여 줍니다.",
    },
    "help.programs.files": {"en": "List the files of a program.", "ko": "프로그램의 파일을 나열합니다."},
    "help.programs.retry": {
        "en": "Retry the files of a program that failed.",
        "ko": "프로그램에서 실패한 파일을 다시 시도합니다.",
    },
    "help.programs.type": {"en": "Files that failed in which stage.", "ko": "어느 단계에서 실패한 파일인지."},
    "help.programs.retry.wait": {
        "en": "Wait so long for the results, 60 at most.",
        "ko": "결과를 기다릴 시간(초), 최대 60.",
    },
    "help.programs.retry_stats": {
        "en": "Say how retries of your files ended.",
        "ko": "파일 재시도의 통계를 보여 줍니다.",
    },
    "help.programs.delete": {
        "en": "Delete a program; documents that are read stay.",
        "ko": "프로그램을 지웁니다. 다 읽은 문서는 남습니다.",
    },
}

TEXTS: dict[str, dict[str, str]] = {f"terminal.{name}": texts for name, texts in _TEXTS.items()}
