# Unpacks a source package beside its .dsc file, and writes the .changes file of its upload. Run as `bash -x -e`.
#
# Arguments: the .dsc file, the .changes file to write, the version after which the changelog counts, the distribution;
# the last two may be empty.
dsc=$1 changes=$2 since=$3 distribution=$4

cd "$(dirname "$dsc")"
dpkg-source --extract "$dsc" package
cd package
# A .changes file that is there is whole.
dpkg-genchanges -S -sa ${since:+"-v$since"} ${distribution:+"-DDistribution=$distribution"} >"$changes.part"
mv "$changes.part" "$changes"
