#!/bin/sh
# gpu-check from a bundle: needs a driver and nothing else, or with --emulate not even that.
#
#   sh gpu-check.sh [--minutes 8] [--out DIR] [--python NAME] [--emulate] [--dry-run]
#
# The first line of bundle.txt says what it was made from. gpu-check --help lists all options.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
program=$here/bin/gpu-check

if [ ! -f "$program" ]; then
    echo "gpu-check.sh: $program is not there (hint: cargo xtask gpu-bundle)" >&2
    exit 2
fi
# A copy by way of an archive or another system may have lost the marks of programs.
for file in "$program" "$here"/tests/*; do
    [ ! -f "$file" ] || [ -x "$file" ] || chmod +x "$file"
done

emulate=no
for word in "$@"; do
    [ "$word" = --emulate ] && emulate=yes
done
if [ "$emulate" = yes ]; then
    LD_LIBRARY_PATH=$here/emulator${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
else
    # Where containers mount the driver, and where profilers are put: behind what is set already.
    for folder in /usr/local/nvidia/lib64 /usr/local/nvidia/lib /usr/lib/wsl/lib; do
        [ ! -d "$folder" ] || LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
    done
    for folder in /usr/local/nvidia/bin /usr/local/cuda/bin /opt/nvidia/nsight-compute/*; do
        [ ! -d "$folder" ] || PATH=$PATH:$folder
    done
    export LD_LIBRARY_PATH="${LD_LIBRARY_PATH-}" PATH
fi
exec "$program" --bundle "$here" "$@"
