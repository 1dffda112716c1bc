# shellcheck shell=sh
# The one command that runs on the host by name; all else comes on standard input. It says nothing about what it will run.
# The first line is the password for sudo, or empty. The lines after it reach nobody but root's shell: with a password, they
# are sent only when sudo has shown that it is right, so that no line of a program is ever tried as a password; and they are
# set off by a line of their own, so that the password is no line of the program in case sudo then does not ask for it.
# No program ends with 1, so that this code means sudo, which refuses before it reads anything.
IFS= read -r password
state() { printf '{"root":"%s"}\n' "$1"; exit 77; }
refused() {
    case $1 in
        *"must have a tty"*) state needs-tty ;;
        *"not allowed"* | *"not in the sudoers"* | *"may not run"*) state not-allowed ;;
    esac
    state "$2"
}
if [ "$(id -u)" = 0 ]; then exec sh -s; fi
if ! command -v sudo >/dev/null; then
    command -v doas >/dev/null || state no-sudo
    # It asks for a password at a terminal only.
    doas -n sh -c : 2>/dev/null || state no-doas
    exec doas -n sh -s
fi
LC_ALL=C
export LC_ALL
if [ -z "$password" ]; then
    sudo -n sh -s
    code=$?
    [ "$code" = 1 ] || exit "$code"
    refused "$(sudo -k -n sh -c : 2>&1)" needs-password
fi
said=$(printf '%s\n' "$password" | sudo -k -S -p '' sh -c : 2>&1) || refused "$said" wrong-password
{ printf '%s\n# factoryup\n' "$password"; exec cat; } |
    sudo -k -S -p '' sh -c 'while IFS= read -r line; do [ "$line" = "# factoryup" ] && exec sh -s; done'
