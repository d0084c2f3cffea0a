#!/bin/sh
# Print the path of a Python 3.9-3.12 that can make virtual environments. Order: $PYTHON, the PATH, pyenv's versions.
# Prints nothing and exits 1 if there is none; what was looked at and why it does not do goes to stderr.
check='import sys
assert (3, 9) <= sys.version_info[:2] <= (3, 12), "is Python %d.%d" % sys.version_info[:2]
import ensurepip, venv
print(sys.executable)'

try() {
    found=$("$1" -c "$check" 2>&1) && { echo "$found"; exit 0; }
    reason=$(echo "$found" | tail -n 1)
    case $reason in
        *ensurepip*) reason="has no ensurepip (on Debian and Ubuntu: apt install python3-venv)" ;;
        *AssertionError:*) reason=${reason#*AssertionError: } ;;
    esac
    echo "  $1: $reason" >&2
}

if [ -n "$PYTHON" ]; then
    try "$PYTHON"
    exit 1
fi
for name in python3.11 python3.10 python3.9 python3.12 python3 python; do
    if command -v "$name" >/dev/null 2>&1; then try "$name"; fi
done
for path in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11.*/bin/python \
            "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python \
            "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.9.*/bin/python \
            "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.*/bin/python; do
    if [ -x "$path" ]; then try "$path"; fi
done
exit 1
