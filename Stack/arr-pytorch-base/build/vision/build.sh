#!/bin/bash
# torchvision: from its source to a checked wheel in /wheels, on the torch wheel in /deps.
. /build/common/component.sh
lock /opt/vision
/build/common/fetch.py /opt/vision "$VISION_PIN" $VISION_SOURCE
/build/common/patch_cmake.py /opt/vision /opt/vision/.arrstack-cmake.tsv
use_torch
use_compilers /build/vision /opt/vision /opt/vision/.arrstack
use_wrapper /opt/vision/.arrstack
cd /opt/vision
export BUILD_VERSION=$VISION_VERSION PYTORCH_VERSION=$(torch_version) MAX_JOBS
export CFLAGS=-g0 # Debian's Python would add debug information to every object
# A build machine has no GPU, and setup.py would leave out the CUDA code for that.
[ "${USE_CUDA:-0}" = 0 ] || export FORCE_CUDA=1
mkdir -p /wheels
python3 setup.py --quiet bdist_wheel --dist-dir /wheels
chonk 85 "torchvision MUHNCHED!"
check torchvision /build/vision/check.py
