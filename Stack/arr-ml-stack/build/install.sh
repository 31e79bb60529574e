#!/bin/bash
# Security updates, then the locked packages, from the files in /wheels and without their dependencies: the lock is
# complete, and pip has nothing to decide. The guard looks at torch before anything and after everything.
. /build/lib.sh
export PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
cd /build/ml-stack
python3 guard.py snapshot /build/trio.json

apt-get update -qq
apt-get upgrade -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=4
chonk 30 "Security updates are in"

python3 -m pip install --no-cache-dir --no-compile --no-deps --no-index --find-links /wheels --require-hashes -r requirements.txt
chonk 80 "ML packages installed"

# awscli's examples are the text of its help pages: 25 MB that no program reads.
python3 /build/slim.py awscli/examples
python3 -m pip check
python3 /build/installed.py
python3 guard.py compare /build/trio.json
forget_dates
chonk 100 "The ML stack stands"
