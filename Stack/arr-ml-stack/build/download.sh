#!/bin/bash
# The locked packages as files in /wheels, for the Python of the runtime's distribution; pip compares each with its hash.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1
[ ! -s /run/secrets/ca ] || export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=4 python3-pip ca-certificates
python3 -m pip download --quiet --no-cache-dir --no-deps --require-hashes --only-binary :all: --dest /wheels -r /build/requirements.txt
rm -rf /var/lib/apt/lists/* /var/cache/apt/*
