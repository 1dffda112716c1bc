# shellcheck shell=sh
# The proof: what a host promises is tried on it. It changes nothing.

# connection: sets far and near, the two addresses of the login that this runs in. sudo hides them; the processes above it show them.
connection() {
    far=127.0.0.1
    near=127.0.0.1
    pid=$$
    while [ "${pid:-0}" -gt 1 ]; do
        found=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^SSH_CONNECTION=//p' | tr -cd '0-9A-Fa-f:.% ')
        case $found in
            *' '*' '*' '*)
                far=${found%% *}
                found=${found% *}
                near=${found##* }
                return
                ;;
        esac
        pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
    done
}

# daemons: "PID PORT" for each port that an sshd listens on. A session with a remote forwarding listens too; it is none.
daemons() {
    find /proc/[0-9]*/exe -maxdepth 0 \( -lname '*/sshd' -o -lname '*/sshd (deleted)' \) -printf '%h\n' |
        while IFS= read -r process; do
            case $(tr '\0' ' ' <"$process/cmdline") in
                *'[listener]'*) ;;
                'sshd: '*) continue ;;
            esac
            find "$process/fd" -lname 'socket:*' -printf '%l\n' | awk -v pid="${process#/proc/}" '
                function number(hex,   i, n) {
                    for (i = 1; i <= length(hex); i++) n = n * 16 + index("0123456789ABCDEF", toupper(substr(hex, i, 1))) - 1
                    return n
                }
                sub(/^socket:\[/, "") { sub(/\]$/, ""); mine[$0] = 1; next }
                $4 == "0A" && ($10 in mine) { split($2, at, ":"); print pid, number(at[2]) }
            ' - "$process/net/tcp" "$process/net/tcp6"
        done | sort -u
}

# arguments PID: those of a running sshd that decide its settings, one a line. Its title has them in one text, so a word without
# a dash belongs to the value before it: sshd takes no other.
arguments() {
    tr '\0' ' ' <"/proc/$1/cmdline" | awk '{
        sub(/^sshd: /, "")
        sub(/ \[listener\].*$/, "")
        for (i = 2; i <= NF; i++) {
            if ($i !~ /^-/) {
                value[n] = value[n] (value[n] == "" ? "" : " ") $i
                continue
            }
            for (rest = substr($i, 2); rest != "";) {
                letter = substr(rest, 1, 1)
                rest = substr(rest, 2)
                if (index("46", letter)) option[++n] = letter
                if (index("bCcEfghkopu", letter)) {
                    option[++n] = letter
                    value[n] = rest
                    rest = ""
                }
            }
        }
        for (i = 1; i <= n; i++) {
            if (index("46cfhop", option[i])) print "-" option[i] (value[i] == "" ? "" : "\n" value[i])
        }
    }'
}

# ask_rules USER WHERE SPEC: the settings of the sshd in $binary, $arguments, $config and $port for USER on a connection. WHERE names it.
ask_rules() {
    where=$2 who=$1 spec=$3
    set -- "$binary"
    while IFS= read -r word; do
        [ -z "$word" ] || set -- "$@" "$word"
    done <<WORDS
$arguments
WORDS
    timeout -k 1 5 "$@" -ddd -T -C "$spec" 2>&1 | tr -d '\r' | CONFIG=$config WHERE="$port	$who	$where	" awk '
        /^debug3: .*:[0-9]+ setting / {
            sub(/^debug3: /, "")
            sub(/^reprocess config:/, ENVIRON["CONFIG"] ":")
            place = $1
            sub(/^[^ ]+ setting /, "")
            print ENVIRON["WHERE"] "at\t" place "\t" $0
            next
        }
        /^debug3: checking match for / {
            text = $0
            sub(/^debug3: checking match for ./, "", text)
            sub(/. user .*$/, "", text)
            print ENVIRON["WHERE"] "match\t" text
            next
        }
        /^(permitrootlogin|passwordauthentication|kbdinteractiveauthentication|permitemptypasswords|authenticationmethods|allowgroups) / {
            print ENVIRON["WHERE"] "is\t" $1 "\t" substr($0, length($1) + 2)
        }
        !/^debug/ { last = $0; seen += /^port / }
        END { if (!seen) print ENVIRON["WHERE"] "error\t" last }
    '
}

# blocks: of "Match" lines, a connection that each is for: "USER|ADDR|LADDR|LPORT|HOST|RDOMAIN|LINE", a dash where it does not matter.
blocks() {
    awk '
        function one(list,   parts, i, n) {
            n = split(list, parts, ",")
            for (i = 1; i <= n; i++) {
                if (parts[i] ~ /^!/) continue
                sub(/\/.*$/, "", parts[i])
                return parts[i]
            }
            return "-"
        }
        function plain(pattern) { gsub(/[*?]/, "1", pattern); return pattern }
        {
            line = $0
            gsub(/[="|]/, " ")
            user = addr = laddr = lport = host = rdomain = "-"
            for (i = 1; i <= NF; i++) {
                key = tolower($i)
                if (key ~ /^(all|final|canonical|invalid-user)$/) continue
                value = one($(++i))
                if (key == "user" && value !~ /[][*?]/) user = value
                if (key == "group" && value !~ /[][*?]/) user = "%" value
                if (key == "address") addr = plain(value)
                if (key == "localaddress") laddr = plain(value)
                if (key == "localport") lport = plain(value)
                if (key == "host") host = plain(value)
                if (key == "rdomain") rdomain = plain(value)
            }
            gsub(/[|\t]/, " ", line)
            print user "|" addr "|" laddr "|" lport "|" host "|" rdomain "|" line
        }
    '
}

# or VALUE OTHER: OTHER in place of a dash.
or() {
    if [ "$1" = - ]; then echo "$2"; else echo "$1"; fi
}

# try_rules USER...: the settings of every sshd that listens, for each user on this connection, and on one for each Match block.
try_rules() {
    daemons | while read -r process port; do
        binary=$(readlink "/proc/$process/exe")
        binary=${binary% (deleted)}
        arguments=$(arguments "$process")
        config=$(printf '%s\n' "$arguments" | awk 'last == "-f" { print } { last = $0 }')
        config=${config:-/etc/ssh/sshd_config}
        lines=
        for user; do
            said=$(ask_rules "$user" here "user=$user,host=$far,addr=$far,laddr=$near,lport=$port,rdomain=")
            printf '%s\n' "$said"
            lines=${lines:-$(printf '%s\n' "$said" | awk -F '\t' '$4 == "match" { print $5 }' | sort -u)}
        done
        [ -n "$lines" ] || continue
        printf '%s\n' "$lines" | blocks | while IFS='|' read -r who addr laddr lport host rdomain line; do
            case $who in
                %*) who=$(getent group "${who#%}" | cut -d: -f4 | cut -d, -f1) ;;
            esac
            whom=$who
            case ${who:--} in
                -) whom=$* ;;
            esac
            # On this connection, these users were asked about already.
            case $addr$laddr$lport$host$rdomain" $* - " in
                -----*" ${who:--} "*) continue ;;
            esac
            for user in $whom; do
                spec=user=$user,host=$(or "$host" "$far"),addr=$(or "$addr" "$far"),laddr=$(or "$laddr" "$near")
                ask_rules "$user" "$line" "$spec,lport=$(or "$lport" "$port"),rdomain=$(or "$rdomain" '')"
            done
        done
    done
}

# try_methods USER...: what each sshd offers to each user: "PORT USER ANSWER", between tabs. It is asked from addresses of this
# machine: fail2ban and sshd's own penalties would count questions from the owner's address against it. Each user gets another one.
try_methods() {
    case $near in
        *:*) target=127.0.0.1 ;;
        *) target=$near ;;
    esac
    daemons | while read -r process port; do
        number=1
        for user; do
            number=$((number + 1))
            {
                said=$(timeout -k 1 8 ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
                    -o GlobalKnownHostsFile=/dev/null -o PreferredAuthentications=none -o ConnectTimeout=5 -o LogLevel=ERROR \
                    -b "127.0.0.$number" -p "$port" -- "$user@$target" true 2>&1 </dev/null)
                printf '%s\t%s\t%s\t%s\n' "$port" "$user" $? "$(printf '%s\n' "$said" | tail -n 1)"
            } &
        done
        wait
    done
}

# try_firewall: the table as the kernel has it.
try_firewall() {
    section firewall
    nft -j list table inet factoryup
}

# as_user USER TRY...: runs the program on standard input as USER, in the slice that the user's limits and rules are for.
as_user() {
    account "$1"
    # shellcheck disable=SC2154 # account sets them
    [ "$uid" != none ] || return 0
    shift
    # shellcheck disable=SC2154
    timeout -k 1 15 systemd-run --quiet --pipe --wait --collect --uid="$uid" --gid="$gid" --slice="user-$uid.slice" \
        --property=RuntimeMaxSec=12 python3 -I - "$@"
}

# gateway: the next machine on the way out, which is on a private network with many providers.
gateway() {
    ip -4 route show default | sed -n 's/^default via \([0-9.]*\) .*/\1/p' | head -n 1
}
