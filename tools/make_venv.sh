#!/bin/sh
# Make the virtual environment in the folder $1, unless it is there: with a Python from find_python.sh, else through uv.
set -e
venv=$1
if [ -e "$venv/bin/python" ] || [ -L "$venv/bin/python" ]; then
    "$venv/bin/python" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && exit 0
    echo "$venv is not a working environment of Python 3.9 to 3.12: remove it (rm -r $venv) and run again" >&2
    exit 1
fi
looked=$(mktemp)
trap 'rm -f "$looked"' EXIT
if python=$(sh "$(dirname "$0")/find_python.sh" 2>"$looked"); then
    echo "Making $venv with $python"
    "$python" -m venv "$venv"
elif [ -z "$PYTHON" ] && command -v uv >/dev/null 2>&1; then
    echo "Making $venv with the Python 3.11 of uv"
    uv venv --quiet --seed --python 3.11 "$venv"
else
    echo "bort_mx needs Python 3.9 to 3.12, and none was found. Looked at:" >&2
    cat "$looked" >&2
    echo "Install one of them, or uv (it fetches one itself), or run: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
