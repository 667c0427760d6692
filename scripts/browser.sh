#!/bin/sh
# Makes sure that there is a Chromium for the tests of the pages in web/. Nothing is downloaded but a distribution's own
# package, and that only by root on Debian and Ubuntu; anywhere else it says what to install.
set -eu
for name in chromium chromium-browser google-chrome-stable google-chrome; do
    # Ubuntu's chromium-browser can be a script that only names a snap: what counts is one that runs.
    if command -v "$name" >/dev/null 2>&1 && "$name" --version >/dev/null 2>&1; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "browser: installing chromium for the tests of the pages (once)" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends chromium >&2 &&
        chromium --version >/dev/null && exit 0
fi
echo "browser: the tests of the pages need Chromium or Chrome, and none is installed." >&2
echo "Install the package chromium (Debian, Fedora, Arch: as root, apt-get, dnf or pacman) or Google Chrome." >&2
exit 1
