#!/bin/sh
# Installs the service on this machine, without a network: sudo ./install
# KEY= is the publisher's public key, with which the bundle must be signed. It is kept in
# /etc/mien/release.key, so that bundles without this signature are refused from then on.
# PYTHON=python3.11 names another Python; DESTDIR=folder installs into a folder.
LC_ALL=C
export LC_ALL

refuse() {
    echo "install: $1" >&2
    exit "${2:-1}"
}

for word in "$@"; do
    case "$word" in
        PYTHON=*) PYTHON=${word#*=} ;;
        DESTDIR=*) DESTDIR=${word#*=} ;;
        KEY=*) KEY=${word#*=} ;;
        *) refuse "unknown argument $word; it takes PYTHON=, DESTDIR= and KEY=" 2 ;;
    esac
done
PYTHON=${PYTHON:-python3}
command -v "$PYTHON" >/dev/null ||
    refuse "PYTHON=$PYTHON cannot be run; name the Python that this bundle is for" 2
cd "$(dirname "$0")" || exit 1

# Nothing else of the bundle is run before its files are as listed, and the list is as signed.
listed=$(sed -n 's/^[0-9a-f]\{64\}  //p' SHA256SUMS | sort)
found=$(find . ! -type d ! -path ./SHA256SUMS ! -path ./SHA256SUMS.sig | sed 's|^\./||' | sort)
if [ "$listed" != "$found" ] || ! sha256sum --check --strict --quiet SHA256SUMS; then
    refuse "the bundle is damaged, or files were changed, added or removed; unpack it again"
fi
kept=${DESTDIR%/}/etc/mien/release.key
if [ -z "$KEY" ] && [ -f "$kept" ]; then
    KEY=$(cat "$kept")
fi
if [ -n "$KEY" ]; then
    command -v openssl >/dev/null ||
        refuse "the signature cannot be checked without openssl; fix: sudo apt install openssl"
    # A public key in PEM form: the fixed beginning of an Ed25519 key (RFC 8410), and the key.
    printf -- '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA%s\n-----END PUBLIC KEY-----\n' "$KEY" |
        openssl pkeyutl -verify -pubin -inkey /dev/stdin -rawin \
            -in SHA256SUMS -sigfile SHA256SUMS.sig >/dev/null 2>&1 &&
        head -n 1 SHA256SUMS | grep -q '^# mien release 1: ' ||
        refuse "the bundle is not signed with the key $KEY; get it from its publisher"
elif [ -f SHA256SUMS.sig ]; then
    echo "install: the signature is not checked; name the publisher's public key: KEY=…" >&2
fi

"$PYTHON" -B -m deploy --destdir "${DESTDIR:-/}" install || exit
if [ -n "$KEY" ]; then
    printf '%s\n' "$KEY" >"$kept"
fi
