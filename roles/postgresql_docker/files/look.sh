# SPDX-License-Identifier: GPL-3.0-or-later
# Says what is in the image and, below /volume, in the volume. Only reads; runs in a container without a network.
printf 'uid %s\n' "$(id -u postgres)"
cd /volume 2>/dev/null || exit 0
for entry in * .[!.]*; do
  [ -e "$entry" ] && [ "$entry" != lost+found ] && printf 'entry %s\n' "$entry"
done
for file in PG_VERSION */docker/PG_VERSION; do
  [ -s "$file" ] && printf 'version %s\n' "$(cat "$file")"
done
for file in .pg-cutover-initialized */docker/.pg-cutover-initialized; do
  [ -e "$file" ] && printf 'initialized %s\n' "$file"
done
exit 0
