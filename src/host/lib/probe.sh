# shellcheck shell=sh
# What the probe is made of. It only reads. Every line that a tool prints goes to the client as it is, with the name of the
# section it belongs to, so that all reading of formats happens there.

# What a line begins with that opens a section: new with each run, and told to no other program than the one that looks for it,
# so that no text on the host can hold it.
read -r MARK </proc/sys/kernel/random/uuid || exit 70

# section NAME: the lines that follow belong to it.
section() {
    printf '\036%s %s\n' "$MARK" "$1"
}

# Turns the lines of all sections into one JSON object each. Only control characters, quotes and backslashes need care. The mark
# comes in the environment, which only root can read; arguments are for all to see.
json_lines() {
    MARK=$MARK awk '
        BEGIN { mark = "\036" ENVIRON["MARK"] " " }
        function escape(s,   out, i, c) {
            if (s !~ /[\001-\037"\\]/) return s
            out = ""
            for (i = 1; i <= length(s); i++) {
                c = substr(s, i, 1)
                if (c == "\"" || c == "\\") c = "\\" c
                else if (c == "\t") c = "\\t"
                else if (c < " ") c = "?"
                out = out c
            }
            return out
        }
        index($0, mark) == 1 { name = substr($0, length(mark) + 1); next }
        { print "{\"section\":\"" name "\",\"line\":\"" escape($0) "\"}" }
    '
}

# supported: says what system this is, and whether the rest of the probe means anything on it.
supported() {
    section os
    grep -E '^(ID|VERSION_ID|PRETTY_NAME)=' /etc/os-release
    section fact
    [ -d /run/systemd/system ] && echo 'systemd yes'
    [ -e /run/docker.sock ] && echo 'docker yes'
    container=$(systemd-detect-virt --container) && echo "container $container"
    [ -e /etc/apparmor.d/abi/4.0 ] && echo 'apparmor 4'
    grep -qiE '^[[:space:]]*include[[:space:]]+"?(/etc/ssh/)?sshd_config\.d/\*\.conf' /etc/ssh/sshd_config && echo 'sshd-include yes'
    df -Pk / /usr /var /var/cache/apt/archives 2>/dev/null |
        awk 'NR > 1 && (least == "" || $4 < least) { least = $4 } END { if (least != "") print "free-kib " least }'
    holder=$(apt_holder)
    [ -z "$holder" ] || echo "apt-holder ${holder%% *}"
    [ -e "$STATE/lock" ] && ! flock -n -s "$STATE/lock" true && echo 'busy yes'
    if [ -e "$STATE/guard/armed" ] || [ -e "$STATE/guard/firing" ]; then
        if systemctl is-active --quiet factoryup-revert.timer factoryup-revert.service; then
            echo 'unsettled waits'
        else
            echo 'unsettled stuck'
        fi
    fi
    command -v dpkg-query >/dev/null
}

# Of a password only this is told: whether there is one. With it comes whether a way back ended the account.
password_states() {
    getent shadow "$@" | awk -F: '{
        state = "set"
        if ($2 == "") state = "empty"
        else if ($2 ~ /^[!*]/) state = "locked"
        print $1 "\t" state ($8 == 2 ? "\tended" : $8 != "" ? "\t" $8 : "")
    }'
}

lingering() {
    for user_file in /var/lib/systemd/linger/*; do
        [ -f "$user_file" ] && echo "${user_file##*/}"
    done
}

# One line each: "TYPE MODE OWNER GROUP PATH TARGET", between tabs; after the type of a link comes that of what it leads to. Where a link points is the word of whoever made it, and can
# hold lines of its own: control characters in it become "?".
paths() {
    find "$@" -maxdepth 0 -printf '%y%Y\t%m\t%u\t%g\t%p\t%l\0' | tr '\000\001-\010\012-\037\177' '\n?'
}

# as_self COMMAND...: runs it as the user that `account` found last, for at most 10 seconds.
as_self() {
    # shellcheck disable=SC2154 # account sets them
    timeout -k 1 10 setpriv --reuid="$uid" --regid="$gid" --init-groups "$@" </dev/null
}

# ask_home USER ASKED...: what lies in USER's home, read as that user, who could swap a link under root's eyes, or put there what
# is never read to its end. ASKED is a path after "path:", after "line:" if its text is wanted, "hash:" for its digest, or a
# digest and a colon for the text if it has another one. USER can make any answer up; so they are bounded in time and size, and
# have a section of their own, in which the client takes answers about these paths only. Of a text comes one byte more than the
# client takes, so that it knows of the rest.
ask_home() {
    account "$1"
    [ "$uid" != none ] || return 0
    section "home:$1"
    shift
    # shellcheck disable=SC2016 # the inner shell expands it
    as_self sh -c '
        for asked; do
            want=${asked%%:*} path=${asked#*:} target= digest=
            [ -e "$path" ] || [ -L "$path" ] || continue
            [ ! -L "$path" ] || target=$(readlink -n -- "$path" | tr "\001-\037\177" "?")
            find "$path" -maxdepth 0 -printf "path\t%y%Y\t%m\t%u\t%g\t%p\t"
            printf "%s\n" "$target"
            if [ "$want" = path ] || [ ! -f "$path" ] || [ ! -r "$path" ]; then continue; fi
            if [ "$want" != line ]; then
                digest=$(head -c 1048576 -- "$path" | sha256sum)
                digest=${digest%% *}
                printf "hash\t%s  %s\n" "$digest" "$path"
            fi
            case $want in
                hash | "$digest") ;;
                *) printf "text\t%s\t%s\n" "$path" "$(head -c 262147 -- "$path" | base64 -w0)" ;;
            esac
        done' sh "$@" | timeout -k 1 12 head -c 4194304
    # What was cut has no line ending.
    echo
}

# with_files COMMAND FILE...: runs it on those that are files.
with_files() {
    command=$1
    shift
    count=$#
    for file; do
        [ ! -f "$file" ] || set -- "$@" "$file"
    done
    shift "$count"
    # shellcheck disable=SC2086 # it has words
    [ $# -eq 0 ] || $command "$@"
}

# Short texts, all in one: "PATH:LINE".
lines() {
    with_files "grep -aH ^" "$@"
}

# "HASH  PATH" of each.
hashes() {
    with_files "sha256sum --" "$@"
}

# expect HASH PATH: the text of a file with this content is not wanted.
expected='
'
expect() {
    expected="$expected$1  $2
"
}

# Of the "HASH  PATH" lines on standard input, sends the text of each file whose content was not expected. Text beyond 64 KiB
# stays on the host: it is not something that a person compares.
texts() {
    while IFS= read -r line; do
        file=${line#*  }
        case $expected in
            *"
$line
"*) ;;
            *) [ "$(wc -c <"$file")" -le 65536 ] && printf '%s\t%s\n' "$file" "$(base64 -w0 <"$file")" ;;
        esac
    done
}

# Kernel settings by their path below /proc/sys, and which of them can be written here.
settings() {
    section setting
    grep '' "$@" /dev/null
    section writable
    for setting in "$@"; do
        [ -w "$setting" ] && echo "$setting"
    done
}

# proxies: HOST:PORT of each proxy in /etc/environment; a password in its address stays there.
proxies() {
    [ ! -f /etc/environment ] || sed -nE "s/^[[:blank:]]*(export[[:blank:]]+)?(https?|all|HTTPS?|ALL)_(proxy|PROXY)=[\"']?//
        t proxy
        d
        :proxy
        s~^([a-z0-9]+://)?([^/@]*@)?([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:]+\\]):([0-9]{1,5})([^0-9].*)?\$~\\3:\\4~p" /etc/environment
}

# addresses HOST:PORT...: "HOST:PORT<tab>ADDRESS" for all addresses of each, and of each proxy. While the resolver has no answer, those
# that the firewall's rules have.
addresses() {
    { printf '%s\n' "$@"; proxies; } | tr -d '[]' | sort -u | {
        while IFS= read -r place; do
            {
                timeout 3 getent ahosts "${place%:*}" | grep . ||
                    awk -v place="$place" 'NF > 1 && $(NF - 1) == "#" && $NF == place { print $3 }' /etc/factory/firewall.nft
            } | awk -v place="$place" '!seen[$1]++ { print place "\t" $1 }' &
        done
        wait
    }
}

units() {
    systemctl show --property=Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload -- "$@"
    # These started others, and stay active without them.
    for unit in "$@"; do
        case $unit in
        factory-postgres.service) systemctl is-active --quiet 'postgresql@*-factory.service' ;;
        factory-redis.service) redis_runs ;;
        esac || echo "ActiveState:$unit=stopped"
    done
}

# redis_runs: whether that of each application does which something that runs wants.
redis_runs() {
    for redis in /etc/systemd/system/app-*@redis.service; do
        redis=${redis##*/}
        wanted=$(systemctl show -P WantedBy "$redis")
        # shellcheck disable=SC2086 # names of units
        [ -z "$wanted" ] || ! systemctl is-active --quiet $wanted || systemctl is-active --quiet "$redis" || return 1
    done
}

packages() {
    # shellcheck disable=SC2016 # the format is dpkg-query's, not the shell's
    dpkg-query --show --showformat '${Package}\t${Version}\t${db:Status-Abbrev}\n' "$@"
}

# secure_shell [OPERATOR]: sshd's settings as they work out for everybody and for the operator, and the algorithms that it could use.
secure_shell() {
    command -v sshd >/dev/null || return 0
    section sshd
    # A block for a local port or address is for nobody here: without a word about them, sshd refuses to answer.
    sshd -T -C laddr=127.0.0.1,lport=1,rdomain=
    section sshd-operator
    [ -z "${1-}" ] || sshd -T -C "user=$1,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=1,rdomain="
    section ssh-socket
    ! systemctl is-active --quiet ssh.socket || systemctl show --property=Listen ssh.socket
    for kind in kex cipher mac HostKeyAlgorithms; do
        section "algorithms-$kind"
        ssh -Q "$kind"
    done
    section login
    logins
}

# logins: "USER HOW", between tabs, of every account: its keys as `ssh-keygen -l` lists them, read as that user, and `password` if it has one.
logins() {
    getent shadow | awk -F: '$2 !~ /^([!*]|$)/ { print $1 "\tpassword" }'
    look_up
    # shellcheck disable=SC2154 # look_up and account set them
    for user in $(printf '%s\n' "$accounts" | cut -d: -f1); do
        account "$user"
        for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
            [ ! -f "$file" ] || as_self ssh-keygen -lf "$file" | head -c 65536 | while IFS= read -r key; do
                printf '%s\t%s\n' "$user" "$key"
            done
        done
    done
}

# The table as it is, and as it was right after it was loaded: rules are listed in another form than they are written in.
firewall() {
    section firewall
    # A package with names of ports or protocols must not look like a change.
    command -v nft >/dev/null && nft --numeric --stateless --terse list table inet factoryup
    section firewall-loaded
    cat "$STATE/firewall.loaded"
    section firewall-fault
    [ ! -e /etc/factory/firewall.nft ] || nft -c -f /etc/factory/firewall.nft 2>&1 | grep -m 1 'Error'
    section firewall-own
    cat /etc/factory/firewall.d/input-*.nft
    in_use
}

# in_use: what a firewall could close: listening sockets, the work of other firewalls, networks between which packets are forwarded.
in_use() {
    section listening
    ss -H -tulpn
    section other-firewalls
    ! grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf || echo ufw
    ! systemctl is-active --quiet firewalld.service || echo firewalld
    # Only where its tables are loaded: to look would load them.
    if [ -s /proc/net/ip_tables_names ] && iptables-legacy-save | grep -qE '^(-A|:INPUT DROP)'; then echo 'iptables (legacy)'; fi
    section chains
    nft list chains
    section fact
    command -v ss >/dev/null || echo 'no-ss yes'
    echo "client-ports $(tr -s '[:blank:]' ' ' </proc/sys/net/ipv4/ip_local_port_range)"
    if grep -qs 1 /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding; then
        names=
        for interface in /sys/class/net/*; do
            # One end of a container's cable is a port of a bridge.
            if [ "${interface##*/}" = lo ] || [ -e "$interface/master" ]; then continue; fi
            flags=$(cat "$interface/flags") && [ $((flags & 1)) -eq 1 ] && names="$names ${interface##*/}"
        done
        echo "forwards$names"
    fi
}

# memory: how much there is, which swap is on, and what a file for more would need. The kernel says of `/` that it is no swap, or that it
# does not let swap be turned off.
memory() {
    section fact
    awk '$1 == "MemTotal:" { print "memory-kib " $2 }' /proc/meminfo
    [ ! -r /proc/swaps ] || awk 'NR > 1 { names = names $1 " " } END { print "swaps " names }' /proc/swaps
    awk '$1 !~ /^#/ && $3 == "swap" { print "swap-in-fstab " $1; exit }' /etc/fstab
    df --output=fstype,avail -k /var/lib | awk 'NR > 1 { print "swap-room " $1 " " $2 }'
    [ "$(readlink -f "$STATE")" = "$STATE" ] || echo "no-swap $STATE is reached by a link, where systemd does not know the file again"
    systemctl list-units --plain --no-legend --state=active,activating kubelet.service 'k3s*.service' 'rke2-*.service' |
        awk '{ print "no-swap the kubelet of " $1 " can refuse to start with swap"; exit }'
    ! swapoff / 2>&1 | grep -qiE 'not permitted|superuser' || echo 'no-swapon yes'
}

# audit_rules: whether the kernel takes any, factoryup's that are loaded, and how these were listed right after they were loaded.
audit_rules() {
    section fact
    [ -e /proc/self/loginuid ] || echo 'no-audit the kernel has none'
    ! grep -qwE 'audit=(0|off)' /proc/cmdline || echo 'no-audit the kernel was started with audit=0'
    command -v auditctl >/dev/null || return 0
    auditctl -s | sed -n 's/^enabled /audit /p'
    rules=$(auditctl -l)
    printf '%s\n' "$rules" | grep -E -m 1 '^-a (never,task|task,never)' | sed 's/^/audit-never /'
    section audit
    printf '%s\n' "$rules" | grep factoryup-
    section audit-loaded
    cat "$STATE/audit.loaded"
}

# backup_state: when the last backup of this host was made, and what became of the last try. A place that is mounted is not asked: it may
# not answer.
backup_state() {
    echo "now $(date +%s)"
    echo "done $(stat -c %Y "$STATE/host-backup/done")"
    echo "state $(systemctl show -P ActiveState factory-backup.service)"
    echo "said $(journalctl --no-pager --output cat --lines 100 --unit factory-backup.service | grep '^factory-backup: ' | tail -n 1)"
}

# last_run UNIT PROGRAM: how the last run of a service ended, and what its program said last.
last_run() {
    echo "result $(systemctl show -P Result "$1.service")"
    echo "said $(journalctl --no-pager --output cat --lines 100 --unit "$1.service" | grep "^$2: " | tail -n 1)"
}

# renewed USER NAME RECORD FILE SHA256: the token in USER's FILE, if the record of the renewals names this digest.
renewed() {
    account "$1"
    [ "$uid" != none ] || return 0
    section "secret:$2"
    # shellcheck disable=SC2016 # the inner shell expands it
    as_self sh -c '! grep -qxF -- "$3" "$1" || sed -n "s/^password=//p" -- "$2"' sh "$3" "$4" "$5" | timeout -k 1 12 head -c 1024
    echo
}

unfinished() {
    cat "$STATE/unfinished"
}

receipt() {
    cat "$STATE/receipt.json"
}

# later_settings: "FILE:LINE:TEXT" of what is read after factoryup's own files of kernel settings and of apt's settings, and so wins.
later_settings() {
    {
        find /etc/sysctl.d /run/sysctl.d /usr/local/lib/sysctl.d /usr/lib/sysctl.d /etc/apt/apt.conf.d -maxdepth 1 \
            ! -name 'zz-factoryup*' -printf '%f\t%p\n' | awk -F '\t' '$1 > "zz-factoryup" { print $2 }'
        echo /etc/apt/apt.conf
    } | while IFS= read -r file; do
        grep -nHvE '^[[:space:]]*([#;]|//|$)' "$file"
    done
}

# holdings USER...: the groups of each, and the programs that run as it, each name once.
holdings() {
    section holding
    for user; do
        uid=$(id -u "$user") || continue
        id -nG "$user" | tr ' ' '\n' | sed "s/^/$user	group	/"
        find /proc -maxdepth 1 -name '[1-9]*' -uid "$uid" | while IFS= read -r process; do
            IFS= read -r name <"$process/comm" && printf '%s\tprocess\t%s\n' "$user" "$name"
        done | sort -u
    done
}

# sudo_rights USER...: what sudo lets each do.
sudo_rights() {
    for user; do
        section "sudo:$user"
        sudo -n -l -U "$user"
    done
    section sudoers
    find /etc/sudoers /etc/sudoers.d -type f -exec grep -nHvE '^[[:space:]]*(#|$|@)' {} +
}
