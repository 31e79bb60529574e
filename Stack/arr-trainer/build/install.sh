#!/bin/bash
# ARR_COC as a package, from its own pyproject.toml. It stays where it was copied to (an editable install), so that there
# is one copy, and a checkout mounted over /workspace/ARR_COC takes its place.
. /build/lib.sh
export PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
chonk 20 "Training code copied"
python3 -m pip install --no-cache-dir --no-compile --no-deps --no-index --no-build-isolation --editable /workspace/ARR_COC
rm -rf /workspace/ARR_COC/*.egg-info
install -m 0755 /build/trainer/arr-train /build/trainer/arr-secret /usr/local/bin/
python3 -m pip check
python3 /build/installed.py
python3 /build/ml-stack/guard.py compare /build/trio.json
forget_dates
chonk 100 "The trainer is ready"
