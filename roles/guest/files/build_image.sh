#!/bin/sh
# Build the guest's base image with mmdebstrap, from the package sources this machine itself uses.
#   build_image.sh OUTPUT.tar.zst SUITE PACKAGE,PACKAGE,…
# The output appears whole or not at all. Progress goes to OUTPUT.log.
set -eu
output=$1 suite=$2 packages=$3
partial="$output.partial.tar.zst"
exec 9>"$output.lock"
flock 9 # two guests that begin at once build one image
[ -s "$output" ] && exit 0
scratch=$(mktemp -d)
sources="$scratch/debian.list"
trap 'rm -rf "$scratch" "$partial"' EXIT INT TERM

# apt's own reading of its sources: whatever mirror is set up here serves the guest too. Third parties are left out.
apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)' 'Created-By: Packages' |
    sort -u | while IFS='|' read -r uri release component origin; do
    case "$release" in "$suite" | "$suite-updates" | "$suite-security") ;; *) continue ;; esac
    case "$component" in main) ;; *) continue ;; esac
    case "$origin" in Debian | '$(ORIGIN)' | '') ;; *) continue ;; esac
    echo "deb $uri $release main"
done >"$sources"

# Proxy and TLS settings of this machine's apt hold inside the image as well.
set --
apt-config dump | grep -iE '^Acquire::(https?::(Proxy|CaInfo|Verify-)|ForceIPv)' >"$scratch/settings" || true
while IFS= read -r setting; do set -- "$@" "--aptopt=$setting"; done <"$scratch/settings"

# On a host that is no Debian of this release mmdebstrap's own default mirror is used.
[ -s "$sources" ] && set -- "$@" "$suite" "$partial" "$sources" || set -- "$@" "$suite" "$partial"

# Each guest makes its own host keys and machine id; debugfs cannot be mounted in a user namespace.
mmdebstrap --mode=root --variant=minbase --format=tar --skip=output/dev --include="$packages" \
    --aptopt='Apt::Install-Recommends "false"' \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_*' \
    --customize-hook='echo uninitialized >"$1/etc/machine-id"; rm -f "$1/var/lib/dbus/machine-id"' \
    --customize-hook='ln -sf /dev/null "$1/etc/systemd/system/sys-kernel-debug.mount"' \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"' \
    "$@" >"$output.log" 2>&1 || {
    echo "mmdebstrap could not build the base image; the end of $output.log says:" >&2
    tail -n 15 "$output.log" >&2
    exit 1
}
mv "$partial" "$output"
