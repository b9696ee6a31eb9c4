# Shared by the scripts of ops/: finds a Python, makes .venv, installs what the lock files name.
# To be sourced by bash. Sets `root`, the checkout. Says what is wrong in one line, in the language of LANG.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
venv="$root/.venv"
readonly root venv

# Compiled modules go below .venv, so that a run leaves nothing in the source tree. PYTHONDONTWRITEBYTECODE is there
# to keep one clean; this one is clean, and with it each process would compile the whole service anew.
export PYTHONPYCACHEPREFIX="$venv/pycache"
unset PYTHONDONTWRITEBYTECODE
# Nothing is left outside this checkout, so pip keeps no cache either.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1

# say KOREAN ENGLISH: one line to the terminal.
say() {
  case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in
    ko*) printf '%s\n' "$1" >&2 ;;
    *) printf '%s\n' "$2" >&2 ;;
  esac
}

# stop KOREAN ENGLISH: one line, then out.
stop() {
  say "$1" "$2"
  exit 1
}

# find_python: prints the first Python that will do: 3.11, which the tests are run on, before those that come after it.
# A name on PATH proves nothing (it may be another tool's stand-in), so each candidate is run.
find_python() {
  local candidate version bare='' old=''
  for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
    version="$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" || continue
    if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      old="$version"
    elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      bare="$version"
    else
      printf '%s\n' "$candidate"
      return
    fi
  done
  if [ -n "$bare" ]; then
    stop "Python $bare 에 venv 또는 pip이 없습니다: python$bare-venv 패키지를 설치한 뒤 다시 실행하세요." \
      "Python $bare has no venv or no pip: install the package python$bare-venv, then run this again."
  elif [ -n "$old" ]; then
    stop "Python $old 은(는) 너무 오래되었습니다: Python 3.11 이상을 설치한 뒤 다시 실행하세요." \
      "Python $old is too old: install Python 3.11 or later, then run this again."
  fi
  stop "Python을 찾지 못했습니다: Python 3.11 이상을 설치한 뒤 다시 실행하세요." \
    "No Python was found: install Python 3.11 or later, then run this again."
}

# fingerprint FILE...: one hash over the files and the place, because a virtual environment cannot be moved.
fingerprint() {
  (cd "$root" && { printf '%s\n' "$root"; cat -- "$@"; } | sha256sum | cut -d' ' -f1)
}

# make_venv: makes .venv, or makes it anew where its Python is gone or too old, it is half made, or from another place.
make_venv() {
  local python
  local usable='import sys, importlib.util as u; sys.exit(sys.version_info < (3, 11) or not u.find_spec("pip"))'
  if "$venv/bin/python" -c "$usable" 2>/dev/null && [ "$(cat "$venv/home-of-this" 2>/dev/null || echo "$root")" = "$root" ]; then
    return
  fi
  python="$(find_python)" || exit 1
  say "가상 환경을 만듭니다: .venv ($python)" "Making the virtual environment: .venv ($python)"
  "$python" -m venv --clear "$venv" || stop ".venv를 만들지 못했습니다." ".venv could not be made."
  printf '%s\n' "$root" >"$venv/home-of-this"
}

# install_locked STAMP LOCK: what the lock file names, by hash, then the project itself.
install_locked() {
  local stamp="$venv/installed-$1" wanted
  wanted="$(fingerprint "$2" requirements-build.lock pyproject.toml)"
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  say "설치합니다: $2 (처음에는 몇 분 걸립니다)" "Installing $2 (a minute or two the first time)"
  rm -f "$venv"/installed-*
  "$venv/bin/python" -m pip install --quiet --require-hashes -r "$root/requirements-build.lock" &&
    "$venv/bin/python" -m pip install --quiet --require-hashes --no-build-isolation -r "$root/$2" &&
    "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e "$root" ||
    stop "설치하지 못했습니다: 위의 pip 메시지를 보세요." "The installation failed: see what pip says above."
  printf '%s\n' "$wanted" >"$stamp"
}

# set_up runtime|dev: after this, .venv/bin holds everything. The second time it takes a moment.
set_up() {
  mkdir -p "$root/var/run"
  # Two first starts at once would install into each other; the lock goes with this process.
  if command -v flock >/dev/null; then
    exec 9>"$root/var/run/setup.lock"
    flock 9
  fi
  make_venv
  # What the tests need includes what the service needs, in the same versions.
  if [ "$1" = dev ]; then
    install_locked dev requirements-dev.lock
  elif [ "$(cat "$venv/installed-dev" 2>/dev/null)" != \
    "$(fingerprint requirements-dev.lock requirements-build.lock pyproject.toml)" ]; then
    install_locked runtime requirements.lock
  fi
  (cd "$root" && "$venv/bin/python" -m scripts.embedded.fetch) || exit 1
  exec 9>&-
}
