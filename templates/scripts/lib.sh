# shellcheck shell=sh
# What the scripts of this repository share. It is sourced, not run.

# The comment that opens the calling script is its help text.
usage() {
    awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$0"
}

# die CODE MESSAGE: the codes are those of sysexits(3).
die() {
    code=$1
    shift
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit "$code"
}

# In a subshell, so that its loop variable stays its own.
need() (
    for tool; do
        command -v "$tool" >/dev/null || die 69 "$tool is missing; run: scripts/tools install $tool"
    done
)

# files PATHSPEC...: what is in the repository or about to be, without links and without the pristine copies that template
# upgrades start from.
files() {
    git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while IFS= read -r path; do
        case $path in .factory/base/*) continue ;; esac
        if [ -f "$path" ] && [ ! -L "$path" ]; then
            printf '%s\n' "$path"
        fi
    done
}

# field FILE NAME: a value of the front matter, without quotes; nothing when it is not there.
field() {
    awk -v name="$2" '
        NR == 1 { if ($0 != "---") exit; next }
        /^---$/ { exit }
        index($0, name ":") == 1 {
            value = substr($0, length(name) + 2)
            gsub(/^[ \t]+|[ \t]+$/, "", value)
            gsub(/^"|"$/, "", value)
            print value
            exit
        }' "$1"
}

engine() {
    awk '$1 == "tofu" || $1 == "terraform" { print $1; exit }' toolchain.lock
}
