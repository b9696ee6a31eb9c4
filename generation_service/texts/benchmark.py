"""Texts of the benchmark: its options, its table, what it says while it measures."""

TEXTS: dict[str, dict[str, str]] = {
    "benchmark.help.about": {
        "en": "Measure how fast the service is, each row against its peer in the same run, on servers of its own in a "
        "temporary folder. A whole run takes many minutes; let nothing else run meanwhile.",
        "ko": "서비스의 속도를 측정합니다. 각 항목은 같은 실행에서 비교 대상과 함께 재며, "
        "서버는 임시 폴더에 따로 띄웁니다. 전체 실행에는 수십 분이 걸리므로 그동안 다른 작업을 돌리지 마세요.",
    },
    "benchmark.help.exit_codes": {
        "en": "Exit codes: 0 every goal met (--small: every row measured), 1 something is left, 2 wrong use.",
        "ko": "종료 코드: 0 모든 목표 달성(--small: 모든 항목 측정), 1 남은 것 있음, 2 잘못된 사용.",
    },
    "benchmark.help.only": {
        "en": "measure these rows only: {rows}",
        "ko": "이 항목만 측정합니다: {rows}",
    },
    "benchmark.help.engine": {
        "en": "on these databases only: sqlite, postgresql",
        "ko": "이 데이터베이스에서만 측정합니다: sqlite, postgresql",
    },
    "benchmark.help.rounds": {
        "en": "measure each figure this often, the median counts ({full}; --small: {small})",
        "ko": "각 수치를 재는 횟수. 중앙값을 씁니다({full}, --small이면 {small})",
    },
    "benchmark.help.output": {
        "en": "where results.json and plot.svg are written (var/benchmark)",
        "ko": "results.json과 plot.svg를 쓸 폴더(var/benchmark)",
    },
    "benchmark.help.small": {
        "en": "a small version, in a minute or two: it shows that everything can be measured, and judges no time",
        "ko": "1~2분짜리 작은 측정: 모든 항목을 잴 수 있는지만 보고 시간은 판정하지 않습니다",
    },
    "benchmark.help.keep": {
        "en": "keep the rows that are not measured now, from the last run on this machine with these versions",
        "ko": "지금 재지 않는 항목은 같은 기계, 같은 버전의 지난 결과를 그대로 둡니다",
    },
    "benchmark.help.write_table": {
        "en": "put the table into ops/BENCHMARKS.md, in place of the one that is there",
        "ko": "ops/BENCHMARKS.md의 표를 이번 결과로 바꿉니다",
    },
    "benchmark.help.dry_run": {
        "en": "measure nothing, and say what would be measured, and which peers are not there",
        "ko": "아무것도 재지 않고, 무엇을 잴지와 없는 비교 대상만 보여 줍니다",
    },
    "benchmark.not_installed": {
        "en": "The benchmark is not installed: pip install --require-hashes -r requirements-bench.lock",
        "ko": "벤치마크가 설치되지 않았습니다: pip install --require-hashes -r requirements-bench.lock",
    },
    "benchmark.measuring": {"en": "Measuring {name} ...", "ko": "측정 중: {name} ..."},
    "benchmark.failed": {"en": "{name} could not be measured: {error}", "ko": "{name} 측정 실패: {error}"},
    "benchmark.written": {
        "en": "Written to {folder}: results.json, plot.svg.",
        "ko": "결과 파일({folder}): results.json, plot.svg.",
    },
    "benchmark.would_measure": {
        "en": "Would measure on {engines}, and write to {folder}:",
        "ko": "{engines}에서 다음을 측정하고 {folder}에 씁니다:",
    },
    "benchmark.not_there": {
        "en": "Not there, so not compared with: {name}",
        "ko": "없어서 비교하지 않음: {name}",
    },
    "benchmark.title_full": {"en": "Benchmark (medians)", "ko": "벤치마크(중앙값)"},
    "benchmark.title_small": {
        "en": "Benchmark, small: times are not judged",
        "ko": "작은 벤치마크: 시간은 판정하지 않음",
    },
    "benchmark.column.figure": {"en": "figure", "ko": "수치"},
    "benchmark.column.ours": {"en": "ours", "ko": "결과"},
    "benchmark.column.peer": {"en": "peer", "ko": "비교 대상"},
    "benchmark.column.ratio": {"en": "ratio", "ko": "비율"},
    "benchmark.column.goal": {"en": "goal", "ko": "목표"},
    "benchmark.met": {"en": "met", "ko": "달성"},
    "benchmark.not_met": {"en": "NOT met", "ko": "미달"},
    "benchmark.not_judged": {"en": "not judged", "ko": "판정 안 함"},
    "benchmark.row.throughput": {
        "en": "whole jobs a second, durable, one worker process",
        "ko": "초당 완료 작업(모든 단계 저장, 워커 프로세스 하나)",
    },
    "benchmark.row.slots": {
        "en": "200 jobs at once on 200 slots, three model calls of 333 ms each",
        "ko": "슬롯 200개에서 작업 200개 동시 실행(333ms 모델 호출 3회씩)",
    },
    "benchmark.row.submission": {"en": "accepting jobs: POST /api/generation", "ko": "작업 접수: POST /api/generation"},
    "benchmark.row.streams": {"en": "1,000 open event streams", "ko": "열린 이벤트 스트림 1,000개"},
    "benchmark.row.switch": {"en": "a switch of 10,000 waiting jobs", "ko": "대기 작업 10,000개의 전환"},
    "benchmark.row.tables": {"en": "large tables", "ko": "큰 테이블"},
    "benchmark.row.startup": {"en": "start, idle, memory", "ko": "시작, 유휴, 메모리"},
}
