# Shared by the scripts of ops/ that operate a service: the project's own commands, and the environment of the service.
# To be sourced by bash. Installs nothing and checks no package: these scripts are for bad nights, and start at once.

# shellcheck source=ops/lib/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# What the systemd units read too. A variable that this shell exports itself goes before it.
environment_file="${GENERATION_ENV_FILE:-/etc/generation-service.env}"
readonly environment_file

# wrong_use KOREAN ENGLISH: one line, then out with 2.
wrong_use() {
  say "$1" "$2"
  exit 2
}

# asks_for_help ARGUMENT...: whether any of them is -h or --help.
asks_for_help() {
  local argument
  for argument in "$@"; do
    case "$argument" in
      -h | --help) return 0 ;;
    esac
  done
  return 1
}

# takes_json ARGUMENT...: whether the answer is for a program.
takes_json() {
  case " $* " in
    *' --json '*) return 0 ;;
    *) return 1 ;;
  esac
}

# read_environment FILE: exports its NAME=value lines (as systemd reads them: one a line, perhaps quoted), but for
# names that are set already. A flag exported in this shell would reach nobody; the service's own settings must reach us.
read_environment() {
  local line name value
  while IFS= read -r line || [ -n "$line" ]; do
    line="${line#"${line%%[![:space:]]*}"}"
    [[ "$line" =~ ^([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] || continue
    name="${BASH_REMATCH[1]}" value="${BASH_REMATCH[2]}"
    value="${value%"${value##*[![:space:]]}"}"
    case "$value" in
      \"*\") value="${value#\"}" value="${value%\"}" ;;
      \'*\') value="${value#\'}" value="${value%\'}" ;;
    esac
    [ -n "${!name+set}" ] || export "$name=$value"
  done <"$1"
}

# enter: to the checkout, with the service's environment. Ends with 2 where the project is not installed.
enter() {
  cd "$root" || exit 2
  if [ ! -x "$venv/bin/generation-service" ]; then
    wrong_use "설치되어 있지 않습니다: 먼저 ops/dev-start.sh를 실행하거나 배포 절차대로 설치하세요 (.venv가 없음)." \
      "The project is not installed here (no .venv): run ops/dev-start.sh once, or install it as you deploy it."
  fi
  if [ -e "$environment_file" ]; then
    if [ ! -r "$environment_file" ]; then
      wrong_use "$environment_file 을(를) 읽을 수 없습니다: 읽을 수 있는 계정(sudo)으로 실행하세요." \
        "$environment_file cannot be read: run this as somebody who may (sudo)."
    fi
    read_environment "$environment_file"
  elif [ -n "${GENERATION_ENV_FILE:-}" ]; then
    wrong_use "GENERATION_ENV_FILE: $environment_file 파일이 없습니다." "GENERATION_ENV_FILE: there is no $environment_file."
  fi
}

# service_says: what the API says of the mode, in one line; the mode is a row, so it holds with the API down too.
service_says() {
  "$venv/bin/python" -m scripts.verification.mode_line
}
