#!/bin/sh
# The command `mien` of an installed device.
#
# `run`, `doctor`, `check-config` and `history` use the service's configuration, and as root the service's
# account: sudo mien doctor. For another camera: sudo mien doctor --config /etc/mien/door.yaml.
# Everything else, such as `mien classify`, runs as the caller.
release=/opt/mien/current
config=/etc/mien/config.yaml

case "$1" in
run | doctor | check-config | history)
    if [ "$(id -u)" != 0 ] && [ -e "$config" ] && [ ! -r "$config" ]; then
        echo "mien: only root and the service can read $config; fix: sudo mien $1" >&2
        exit 2
    fi
    command=$1
    shift
    set -- "$command" --config "$config" "$@"
    cd "$release" || exit 2
    if [ "$(id -u)" = 0 ]; then
        exec runuser -u mien -- "$release/venv/bin/python" -P -m edge_daemon "$@"
    fi
    ;;
esac
exec "$release/venv/bin/python" -P -m edge_daemon "$@"
