#!/bin/bash
# The image itself: Python, the shared libraries that the wheels' records name, torch's own dependencies by lock, and
# the three wheels. What stays in /build (lib.sh, chonk, slim.py, installed.py, headers.py, the profile) is there for the tiers above.
. /build/lib.sh
export PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

# absent PACKAGE...: those that are not installed. Asking apt for one that is there could move it to a newer version.
absent() {
  local package
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# What no program here can load, of packages that others depend on: the LLVM of OpenMP's offloading; ROCm with its own, for plugins of UCX, which
# comes with Open MPI, which gloo links. dpkg leaves the files out and knows the packages, so that apt stays content: CHANGES.md.
slim=()
for pattern in 'llvm-19/lib/libomptarget*' '*/libLLVM*.so*' 'x86_64-linux-gnu/libz3.so*' 'x86_64-linux-gnu/libamd_comgr.so*' \
  'x86_64-linux-gnu/libamdhip64.so*' 'x86_64-linux-gnu/libhsa-runtime64.so*' 'x86_64-linux-gnu/ucx/*_rocm.so*'; do
  slim+=(-o "Dpkg::Options::=--path-exclude=/usr/lib/$pattern")
done

apt_install "${slim[@]}" $RUNTIME_PACKAGES
wanted=$(python3 -c '
import glob, json
records = [json.load(open(path)) for path in glob.glob("/wheels/*/*.json")]
print(*sorted({package for record in records for package in record["runtime_packages"]}))')
[ -n "$wanted" ] || die "no build record in /wheels names a shared library: these wheels were not built by this recipe"
missing=$(absent $wanted)
[ -z "$missing" ] || apt_install "${slim[@]}" $missing

# Who installs what loads them has to be told: apt takes them for complete.
asked=('libllvm*' libz3-4 libamd-comgr2 libamdhip64-5 libhsa-runtime64-1 libucx0 libomp5-19)
left_out=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${asked[@]}" 2>/dev/null || true; } |
  awk '$1 == "installed" { printf " %s", $2 }')
[ -z "$left_out" ] || echo "APT::Update::Post-Invoke-Success { \"echo 'note: files of$left_out were left out of this image;" \
  "apt-get install --reinstall brings them back'\"; };" >/etc/apt/apt.conf.d/90left-out

[ -z "${CUDNN_WHEEL:-}" ] || /build/cudnn.py "$CUDNN_WHEEL"

# The distribution protects its Python from pip. This one is ours; a diversion holds when the package is upgraded.
for marker in /usr/lib/python3*/EXTERNALLY-MANAGED; do
  [ ! -e "$marker" ] || dpkg-divert --quiet --rename --add "$marker"
done

# The distribution's pip is there to install the locked one, and goes: what it needs (packaging, wheel) could otherwise
# not be replaced by a tier above ("installed by debian").
python3 -m pip install --no-cache-dir --no-compile --no-deps --ignore-installed --require-hashes --only-binary :all: -r /build/requirements.txt
apt-get purge -y -qq --auto-remove -o Dpkg::Use-Pty=0 python3-pip
# By name, not by path: a path would be remembered in the image (direct_url.json).
python3 -m pip install --no-cache-dir --no-compile --no-deps --no-index \
  --find-links /wheels/torch --find-links /wheels/vision --find-links /wheels/audio torch torchvision torchaudio
python3 /build/slim.py
apt_install binutils
python3 /build/symbols.py
apt-get purge -y -qq --auto-remove -o Dpkg::Use-Pty=0 binutils
python3 /build/headers.py pack
python3 /build/linkage.py
python3 -m pip check
python3 /build/installed.py
[ "$(command -v python)" ] || die "there is no 'python' on the PATH: RUNTIME_PACKAGES lacks python-is-python3"
forget_dates
