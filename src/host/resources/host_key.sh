# shellcheck shell=sh

# host_key PATH BITS: makes a new RSA key. sshd finds the old one or the new one.
host_key() {
    undo_host_key "$1.factoryup-new"
    ssh-keygen -q -t rsa -b "$2" -N '' -C factoryup -f "$1.factoryup-new"
    chmod 0644 "$1.factoryup-new.pub"
    sync "$1.factoryup-new" "$1.factoryup-new.pub"
    mv -fT -- "$1.factoryup-new.pub" "$1.pub"
    mv -fT -- "$1.factoryup-new" "$1"
}

# undo_host_key PATH
undo_host_key() {
    rm -f -- "$1" "$1.pub"
}
