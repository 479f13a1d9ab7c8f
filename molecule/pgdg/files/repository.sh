#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# repository FOLDER KEY OTHER: a package source in FOLDER, suite bookworm-pgdg, signed by KEY; OTHER is a key that signs nothing.
# Its PostgreSQL and PgBouncer are Debian's under versions as the project's source has them, so that it is seen where a package
# came from.
set -eu

folder=$1 key=$2 other=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GNUPGHOME="$work/gnupg"
mkdir -m 0700 "$GNUPGHOME"

make_key() { gpg --batch --quiet --passphrase '' --quick-generate-key "$1" ed25519 sign never; }
make_key source
make_key other
gpg --armor --export source >"$key"

pool=$folder/pool
suite=$folder/dists/bookworm-pgdg
mkdir -p "$pool" "$suite/main/binary-amd64" "$suite/main/binary-arm64"
cd "$work"
chmod 0755 .
for package in postgresql-15=15.99 postgresql-client-15=15.99 pgbouncer=1.99.0; do
  name=${package%=*} version=${package#*=}-1.pgdg12+1
  apt-get download -q "$name" >/dev/null
  dpkg-deb -R "$name"_*.deb tree
  sed -i "s/^Version: .*/Version: $version/" tree/DEBIAN/control
  dpkg-deb -b -Znone tree "$pool/${name}_${version}_$(dpkg --print-architecture).deb" >/dev/null
  rm -r tree ./*.deb
done
# One that is newer than what the role knows, and must not be taken.
mkdir -p tree/DEBIAN
printf 'Package: postgresql-19\nVersion: 19.0-1.pgdg12+1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: too new\n' \
  >tree/DEBIAN/control
dpkg-deb -b tree "$pool/postgresql-19_19.0-1.pgdg12+1_all.deb" >/dev/null

cd "$folder"
for architecture in amd64 arm64; do
  apt-ftparchive --arch "$architecture" packages pool >"dists/bookworm-pgdg/main/binary-$architecture/Packages"
done
apt-ftparchive -o APT::FTPArchive::Release::Suite=bookworm-pgdg -o APT::FTPArchive::Release::Codename=bookworm-pgdg \
  -o APT::FTPArchive::Release::Components=main -o 'APT::FTPArchive::Release::Architectures=amd64 arm64' \
  release dists/bookworm-pgdg >"$work/Release"
gpg --batch --quiet --local-user source --clearsign --output dists/bookworm-pgdg/InRelease "$work/Release"
cp "$work/Release" dists/bookworm-pgdg/Release
gpg --armor --export other >"$other"
