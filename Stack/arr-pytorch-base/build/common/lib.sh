# Sourced by every script of the recipe: strict mode, the profile, the network's certificates, apt and its traces.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1735689600} # 2025-01-01: the date of everything that asks for one
export ARRSTACK_BEGAN=${ARRSTACK_BEGAN:-$(date +%s)} # what chonk counts its seconds from
set -a
for settings in /build/packages.env /build/profile.env; do [ ! -e $settings ] || . $settings; done
set +a
PATH=/build/common:/build:$PATH
FASTER_COMPILER=/opt/compiler # what faster_compiler.sh makes of the compiler's libraries

# A network that inspects TLS has an authority of its own; its bundle is mounted, empty where there is none.
if [ -s /run/secrets/ca ]; then
  export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca REQUESTS_CA_BUNDLE=/run/secrets/ca
  export CURL_CA_BUNDLE=/run/secrets/ca GIT_SSL_CAINFO=/run/secrets/ca
fi

die() { echo "error: $*" >&2; exit 1; }

# apt_install PACKAGE...: installs without recommendations and leaves nothing that holds a date.
apt_install() {
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=4 "$@"
  forget_dates
}

# Logs, caches and lists: they differ from build to build and nobody needs them in an image.
forget_dates() {
  rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache \
    /var/log/* /var/lib/dpkg/*-old /root/.cache /tmp/* /var/tmp/*
  find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} + 
}
