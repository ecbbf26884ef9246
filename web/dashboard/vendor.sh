#!/bin/sh
# Fetches the release of uPlot that the dashboard uses, through npm.
set -eu
version=1.6.32
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --pack-destination "$work" "uplot@$version" >/dev/null
tar -xzf "$work/uplot-$version.tgz" -C "$work"
cp "$work/package/dist/uPlot.iife.min.js" files/uplot.js
cp "$work/package/dist/uPlot.min.css" files/uplot.css
cp "$work/package/LICENSE" files/uplot.LICENSE.txt
