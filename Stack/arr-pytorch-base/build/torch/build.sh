#!/bin/bash
# torch: from its source to a checked wheel in /wheels. Each step goes on where an interrupted build stopped.
. /build/common/component.sh
lock /opt/pytorch
/build/common/fetch.py /opt/pytorch "$TORCH_PIN" $TORCH_SOURCE
chonk 10 "Git clone complete"
/build/common/patch_cmake.py /opt/pytorch/third_party /opt/pytorch/.arrstack-cmake.tsv
[ "${TORCH_SOURCE%% *}" != debian ] || /build/torch/patch_debian.py /opt/pytorch
chonk 15 "CMake patches applied"
use_compilers /build/torch /opt/pytorch /opt/pytorch/.arrstack "groups/$TORCH_VERSION-${TORCH_SOURCE%% *}-$PLAN_CXX.tsv"
cd /opt/pytorch
export PYTORCH_BUILD_VERSION=$TORCH_VERSION PYTORCH_BUILD_NUMBER=0 MAX_JOBS
[ -e build/build.ninja ] || python3 setup.py build --cmake-only
ninja -C build build.ninja  # where CMake must run again it does so here: it would forget the order
order=
if [ -s /run/secrets/record ]; then
  /build/common/schedule.py build/build.ninja /run/secrets/record "$MAX_JOBS"
  order=arrstack-order
fi
ninja_all all $order
chonk 70 "PyTorch MUHNCHED!"
mkdir -p /wheels
python3 setup.py --quiet bdist_wheel --dist-dir /wheels
check torch /build/torch/check.py
ccache --cleanup >/dev/null # counts the parts of CUDA files too, which are beside its own entries, and keeps the limit
ccache --show-stats
