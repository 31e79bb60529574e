#!/bin/bash
# torchaudio: from its source to a checked wheel in /wheels, on the torch wheel in /deps.
. /build/common/component.sh
lock /opt/audio
/build/common/fetch.py /opt/audio "$AUDIO_PIN" $AUDIO_SOURCE
/build/common/patch_cmake.py /opt/audio /opt/audio/.arrstack-cmake.tsv
# Its CMakeLists.txt puts ccache where our launcher stands, which calls ccache itself.
sed -i 's/^find_program(CCACHE_PROGRAM ccache)$//' /opt/audio/CMakeLists.txt
touch --date=@"$SOURCE_DATE_EPOCH" /opt/audio/CMakeLists.txt
use_torch
use_compilers /build/audio /opt/audio /opt/audio/.arrstack
cd /opt/audio
export BUILD_VERSION=$AUDIO_VERSION PYTORCH_VERSION=$(torch_version) CMAKE_BUILD_PARALLEL_LEVEL=$MAX_JOBS
# Files are read and written by the soundfile package of the next tier; sox and FFmpeg would bring a hundred libraries.
export BUILD_SOX=0 USE_FFMPEG=0
[ "${USE_CUDA:-0}" = 0 ] || export FORCE_CUDA=1
mkdir -p /wheels
python3 setup.py --quiet bdist_wheel --dist-dir /wheels
chonk 100 "torchaudio MUHNCHED!"
check torchaudio /build/audio/check.py
