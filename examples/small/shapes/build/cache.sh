# The compiler cache: `launcher` stands before the compiler; report_cache says what it answered. sccache where the profile has it, else ccache.
settings=/opt/compiler-cache
if [ -e $settings/sccache ]; then
  . $settings/environment
  launcher=$settings/sccache
  $launcher --start-server >/dev/null # one: the first two compilers would each start their own
  # No process may be left when the build's step ends.
  trap '$launcher --stop-server >/dev/null 2>&1 || true; rm -f $SCCACHE_SERVER_UDS' EXIT
  report_cache() { python3 /build/sccache_stats.py $launcher; }
else
  launcher=ccache
  ccache --zero-stats >/dev/null
  report_cache() {
    ccache --print-stats | awk '/^(direct|preprocessed)_cache_hit/ { hits += $2 } /^cache_miss/ { misses = $2 }
      END { print "ARRSTACK cache: " hits + 0 " hits of " hits + misses }'
  }
fi
