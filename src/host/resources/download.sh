# shellcheck shell=sh

# download root PATH {PLATFORM SHA256 URL}...: the download for this platform into PATH, whole and with that sum, or not at all.
download() {
    program=$2
    shift 2
    case $(uname -m) in
        x86_64) platform=linux-amd64 ;;
        aarch64) platform=linux-arm64 ;;
        *) platform=$(uname -m) ;;
    esac
    while [ $# -ge 3 ] && [ "$1" != "$platform" ]; do
        shift 3
    done
    if [ $# -lt 3 ]; then
        echo "toolchain.lock has no ${program##*/} for $platform"
        exit 69
    fi
    new=$program.factoryup-new
    if ! curl -fsSL --proto '=https' --connect-timeout 10 --speed-limit 1024 --speed-time 30 --max-time 600 --retry 3 --retry-max-time 600 \
        -o "$new" -- "$3" 2>"$WORK/said"; then
        rm -f "$new"
        echo "$3 cannot be fetched: $(grep '^curl: (' "$WORK/said" | tail -n 1)"
        exit 69
    fi
    if ! printf '%s  %s\n' "$2" "$new" | sha256sum -c --quiet --status -; then
        rm -f "$new"
        echo "$3 is not the file that toolchain.lock names"
        exit 65
    fi
    chmod 755 "$new"
    sync "$new"
    mv -fT "$new" "$program"
    sync "${program%/*}"
}
