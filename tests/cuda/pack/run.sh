#!/bin/sh
# Runs the packed GPU tests: needs only Python 3, no network and no Deno. --help lists the options.
command -v python3 >/dev/null || { echo "run.sh: python3 is missing" >&2; exit 1; }
exec python3 -u "$(dirname "$0")/run_parts.py" "$@"
