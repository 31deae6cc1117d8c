# Functions of the scripts in this directory.
export CI_STARTED=${CI_STARTED:-$(date +%s)} # exported, so that all scripts count from the same start

say() { printf '[%4ds] %s\n' "$(($(date +%s) - CI_STARTED))" "$*"; }

# Install the Debian packages that are missing.
need() {
  local missing=()
  for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A python3 that can create environments: any version will do; without one, Debian's.
need_venv() { python3 -c 'import ensurepip' >/dev/null 2>&1 || need python3 python3-venv; }

# The Debian mirror of this machine, from sources in either format.
mirror() {
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null || true; } |
    sed -nE 's/^(deb +(\[[^]]*\] *)?|URIs: *)([^ ]+).*/\3/p' | sed -n '\|/debian/*$|{p;q}'
}

# The keyring that verifies it.
keyring() {
  local named
  named=$(grep -rhoiE 'signed-by[:=] *[^] ]*debian-archive[^] ]*' /etc/apt/sources.list* 2>/dev/null | sed -n '1s|^[^/]*||p') || true
  echo "${named:-/usr/share/keyrings/debian-archive-keyring.gpg}"
}
