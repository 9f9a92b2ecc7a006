#!/usr/bin/env bash
# Makes the base image of the example: a small OCI layout in the shape of
# registry.redhat.io/rhosp-rhel8/openstack-cinder-volume, with a real rpm database made by rpm
# itself. Nothing in it is Red Hat's; its shell and tools are Debian's static busybox.
# The same packages give the same layout, bit for bit.
#
# usage: make-base.sh DIRECTORY
# needs: root, rpm (rpmbuild), sqlite3, busybox-static, gzip, tar (see examples/run.sh)
set -euo pipefail
export SOURCE_DATE_EPOCH=1704067200 LC_ALL=C.UTF-8 TZ=UTC
umask 022

mkdir -p "${1:?usage: make-base.sh DIRECTORY}/blobs/sha256"
out=$(cd "$1" && pwd)
die() { printf 'make-base.sh: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "run as root: files of the image have owners of their own"
for tool in rpmbuild rpm sqlite3 gzip tar sha256sum; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
done
busybox=$(command -v busybox) || die "busybox is not installed (package busybox-static)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root" "$work/rpms"

# --- packages -------------------------------------------------------------------------------------
# build NAME VERSION RELEASE SUMMARY: the tree $work/tree/NAME and the file list $work/tree/NAME.files
# become a package
build() {
    local name=$1 version=$2 release=$3 summary=$4
    cat >"$work/$name.spec" <<SPEC
Name: $name
Version: $version
Release: $release
Summary: $summary
License: Apache-2.0
Vendor: Red Hat, Inc.
Packager: Example
AutoReqProv: no
BuildArch: x86_64
%description
$summary. A stand-in made for an example.
%install
cp -a $work/tree/$name/. %{buildroot}/
%files -f $work/tree/$name.files
SPEC
    rpmbuild -bb --quiet --nodeps \
        --define "_topdir $work/build" --define "_rpmdir $work/rpms" --define "_build_name_fmt %%{NAME}.rpm" \
        --define "_buildhost build.example.com" --define "use_source_date_epoch_as_buildtime 1" \
        --define "clamp_mtime_to_source_date_epoch 1" --define "source_date_epoch_from_changelog 0" \
        --define "_source_filedigest_algorithm 8" --define "_binary_filedigest_algorithm 8" \
        --define "_binary_payload w6.gzdio" --define "_build_id_links none" --define "debug_package %{nil}" \
        --define "__os_install_post %{nil}" --define "__brp_compress %{nil}" --define "__arch_install_post %{nil}" \
        --target x86_64-linux "$work/$name.spec" >"$work/$name.log" 2>&1 ||
        { cat "$work/$name.log" >&2; die "package $name could not be built"; }
}
tree() { mkdir -p "$work/tree/$1"; cd "$work/tree/$1"; }
files() { cat >"$work/tree/$1.files"; }

tree filesystem
mkdir -p etc usr/bin usr/sbin usr/lib usr/lib64 usr/share var/lib var/log root home tmp run opt srv proc sys dev
ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib; ln -s usr/lib64 lib64
files filesystem <<'F'
%dir %attr(0755,root,root) /etc
%dir %attr(0755,root,root) /usr
%dir %attr(0755,root,root) /usr/bin
%dir %attr(0755,root,root) /usr/sbin
%dir %attr(0755,root,root) /usr/lib
%dir %attr(0755,root,root) /usr/lib64
%dir %attr(0755,root,root) /usr/share
%dir %attr(0755,root,root) /var
%dir %attr(0755,root,root) /var/lib
%dir %attr(0755,root,root) /var/log
%dir %attr(0550,root,root) /root
%dir %attr(0755,root,root) /home
%dir %attr(1777,root,root) /tmp
%dir %attr(0755,root,root) /run
%dir %attr(0755,root,root) /opt
%dir %attr(0755,root,root) /srv
%dir %attr(0555,root,root) /proc
%dir %attr(0555,root,root) /sys
%dir %attr(0755,root,root) /dev
/bin
/sbin
/lib
/lib64
F
build filesystem 3.8 6.el8 "The basic directory layout"

tree setup
mkdir -p etc
cat >etc/passwd <<'F'
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin
cinder:x:42407:42407:OpenStack Cinder:/var/lib/cinder:/usr/sbin/nologin
F
printf 'root:x:0:\nnobody:x:65534:\ncinder:x:42407:\n' >etc/group
printf 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n' >etc/profile
files setup <<'F'
%config(noreplace) %attr(0644,root,root) /etc/passwd
%config(noreplace) %attr(0644,root,root) /etc/group
%config(noreplace) %attr(0644,root,root) /etc/profile
F
build setup 2.12.2 9.el8 "A set of system configuration and setup files"

tree redhat-release
mkdir -p etc usr/lib
cat >usr/lib/os-release <<'F'
NAME="Red Hat Enterprise Linux"
VERSION="8.4 (Ootpa)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="8.4"
PLATFORM_ID="platform:el8"
PRETTY_NAME="Red Hat Enterprise Linux 8.4 (Ootpa)"
CPE_NAME="cpe:/o:redhat:enterprise_linux:8.4:GA"
F
ln -s ../usr/lib/os-release etc/os-release
printf 'Red Hat Enterprise Linux release 8.4 (Ootpa)\n' >etc/redhat-release
files redhat-release <<'F'
%attr(0644,root,root) /usr/lib/os-release
/etc/os-release
%attr(0644,root,root) /etc/redhat-release
F
build redhat-release 8.4 0.6.el8 "Red Hat Enterprise Linux release files"

tree coreutils-single
mkdir -p usr/bin
cp "$busybox" usr/bin/coreutils
for applet in sh cat chmod chown cp cut echo env false grep head id install ln ls mkdir mv rm rmdir sed \
    sleep sort stat tail test touch tr true uname wc; do
    ln -s coreutils "usr/bin/$applet"
done
files coreutils-single <<'F'
%attr(0755,root,root) /usr/bin/*
F
build coreutils-single 8.30 8.el8 "coreutils multicall binary"

tree openstack-cinder
mkdir -p usr/bin etc/cinder var/lib/cinder var/log/cinder usr/lib/python3.6/site-packages/cinder/volume/drivers
printf '#!/bin/sh\nexec sleep "${1:-1}"\n' >usr/bin/cinder-volume
printf '[DEFAULT]\nenabled_backends =\n' >etc/cinder/cinder.conf
for package in cinder cinder/volume cinder/volume/drivers; do
    printf '"""%s (stand-in)."""\n' "$package" >"usr/lib/python3.6/site-packages/$package/__init__.py"
done
files openstack-cinder <<'F'
%attr(0755,root,root) /usr/bin/cinder-volume
%dir %attr(0750,root,cinder) /etc/cinder
%config(noreplace) %attr(0640,root,cinder) /etc/cinder/cinder.conf
%dir %attr(0755,cinder,cinder) /var/lib/cinder
%dir %attr(0750,cinder,root) /var/log/cinder
%attr(-,root,root) /usr/lib/python3.6
F
build openstack-cinder 15.4.0 1.el8ost "OpenStack Volume service"

# --- layers ---------------------------------------------------------------------------------------
in_root() { rpm --root "$root" --define "_dbpath /var/lib/rpm" "$@"; }
# owners by name are looked up inside the root, so setup goes in first
put() {
    local packages=()
    for name in "$@"; do packages+=("$work/rpms/$name.rpm"); done
    in_root --force-debian -U --nodeps --noscripts "${packages[@]}"
}
settle() {
    sqlite3 "$root/var/lib/rpm/rpmdb.sqlite" 'pragma wal_checkpoint(truncate);' >/dev/null
    rm -f "$root"/var/lib/rpm/{.rpm.lock,rpmdb.sqlite-shm,rpmdb.sqlite-wal}
}
# blob FILE: moves it into the layout, prints its hex digest
blob() {
    local hex
    hex=$(sha256sum "$1" | cut -d' ' -f1)
    mv "$1" "$out/blobs/sha256/$hex"
    echo "$hex"
}
# layer LIST-OF-PATHS: prints "diff-id blob-digest blob-size"
layer() {
    local diff hex
    tar -C "$root" --create --file "$work/layer.tar" --format=pax --pax-option=delete=atime,delete=ctime \
        --sort=name --no-recursion --mtime="@$SOURCE_DATE_EPOCH" --numeric-owner --null --files-from "$1"
    diff=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
    gzip -n -9 "$work/layer.tar"
    local size
    size=$(stat -c %s "$work/layer.tar.gz")
    hex=$(blob "$work/layer.tar.gz")
    echo "$diff $hex $size"
}

in_root --initdb
put setup filesystem
put redhat-release coreutils-single
settle
(cd "$root" && find . -mindepth 1 -print0 | sort -z) >"$work/list"
read -r diff1 hex1 size1 < <(layer "$work/list")
touch "$work/stamp"
put openstack-cinder
settle
(cd "$root" && find . -mindepth 1 -cnewer "$work/stamp" -print0 | sort -z) >"$work/list"
read -r diff2 hex2 size2 < <(layer "$work/list")

# --- configuration, manifest, index ---------------------------------------------------------------
created=2024-01-01T00:00:00Z
cat >"$work/config.json" <<C
{"created":"$created","architecture":"amd64","os":"linux","config":{"User":"cinder","Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"],"Cmd":["/usr/bin/cinder-volume"],"WorkingDir":"/","Labels":{"architecture":"x86_64","com.redhat.component":"openstack-cinder-volume-container","distribution-scope":"public","io.openshift.tags":"rhosp osp openstack osp-16.2"}},"rootfs":{"type":"layers","diff_ids":["sha256:$diff1","sha256:$diff2"]},"history":[{"created":"$created","created_by":"/bin/sh -c #(nop) ADD file:base in / "},{"created":"$created","created_by":"/bin/sh -c dnf -y install openstack-cinder"},{"created":"$created","created_by":"/bin/sh -c #(nop) USER cinder","empty_layer":true}]}
C
config_size=$(stat -c %s "$work/config.json")
config=$(blob "$work/config.json")
media=application/vnd.oci.image
cat >"$work/manifest.json" <<M
{"schemaVersion":2,"mediaType":"$media.manifest.v1+json","config":{"mediaType":"$media.config.v1+json","digest":"sha256:$config","size":$config_size},"layers":[{"mediaType":"$media.layer.v1.tar+gzip","digest":"sha256:$hex1","size":$size1},{"mediaType":"$media.layer.v1.tar+gzip","digest":"sha256:$hex2","size":$size2}]}
M
manifest_size=$(stat -c %s "$work/manifest.json")
manifest=$(blob "$work/manifest.json")
printf '{"imageLayoutVersion":"1.0.0"}\n' >"$out/oci-layout"
cat >"$out/index.json" <<I
{"schemaVersion":2,"mediaType":"$media.index.v1+json","manifests":[{"mediaType":"$media.manifest.v1+json","digest":"sha256:$manifest","size":$manifest_size,"annotations":{"org.opencontainers.image.ref.name":"16.2"}}]}
I
printf 'made %s (sha256:%s)\n' "$out" "$manifest" >&2
