#!/bin/sh
# Starts the app, as often as asked.
set -eu
for i in $(seq "${1:-1}"); do python /opt/app.py; done
