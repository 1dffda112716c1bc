#!/bin/sh
{ # All of this is one command: a copy that was cut short runs nothing.

if [ -n "${ZSH_VERSION-}" ]; then emulate sh; fi
# The caller may have set options, and variables that hold options of grep, gzip and tar.
set -eu +aCf
unset GREP_OPTIONS GZIP TAR_OPTIONS
# Who can write the record says by which key an update is signed.
umask go-w
export LC_ALL=C

# A release fills these in: scripts/release.
BASE_URL=''
VERSION='0.1.0'
RELEASE_KEY=''

usage() {
	cat <<'HELP'
Installs factoryup for the current user: one file, no sudo.

  --from-source DIR    build a source tree: needs cargo, a C compiler, make, perl
  --from FILE          install a release archive on this machine
  --base-url URL       https server with URL/vVERSION/factoryup-VERSION-TARGET.tar.gz
                       and SHA256SUMS in the same directory (FACTORYUP_BASE_URL)
  --update             install the newest release from where this one came
  --rollback           put back the program that the last update replaced
  --uninstall          remove what this script installed, if it is unchanged

HELP
	[ -n "$BASE_URL" ] || echo 'No release has been published or signed so far: there is no default URL and no
release key.'
	cat <<'HELP'
An archive without a matching checksum is never installed.

  --to DIR             default ~/.local/bin (FACTORYUP_INSTALL_DIR)
  --release VERSION    version to download (FACTORYUP_VERSION), or latest
  --newer-than VERSION with latest: do nothing if that is VERSION, refuse an older
  --check              with --update: exit with 2 if there is a newer release
  --allow-http         allow http, where archive and checksum can be swapped
  --sha256 HEX         else FILE.sha256 or SHA256SUMS next to the archive
  --signing-key FILE   OpenSSH public key that must have signed the checksums,
                       in FILE.sha256.sig or SHA256SUMS.sig (FACTORYUP_SIGNING_KEY)
  --require-signature  refuse an archive that only has a checksum
  --modify-path        add DIR to PATH in your shell's start-up file
  --no-run             do not offer to start factoryup afterwards
  --dry-run            show what would be done, run and change nothing
  --yes                do not ask (FACTORYUP_YES=1)
  --quiet              print only errors

curl reads HTTPS_PROXY, CURL_CA_BUNDLE and ~/.netrc, but not ~/.curlrc.
Exit codes: 2 --check found a newer release; 64 usage; 65 bad checksum, signature or archive, or a program that
is not the installed one; 69 network, platform or tool; 73 cannot write;
129 to 143 declined, interrupted, or the output was closed.
HELP
}

die() { # CODE MESSAGE [HINT...]
	code=$1
	printf 'install.sh: error: %s\n' "$2" >&2 || :
	shift 2
	[ -z "$stage" ] || set -- "$@" 'Nothing was installed.'
	for hint; do printf '  %s\n' "$hint" >&2 || :; done
	exit "$code"
}
# A signal to all of a terminal's programs can end the one that runs before it reaches this one.
by_signal() { case $1 in 129 | 130 | 131 | 141 | 143) exit "$1" ;; esac }
say() { [ -n "$quiet" ] || printf '%s\n' "$*" || exit 141; }
plain() { printf %s "$1" | tr -d '[:cntrl:]'; }
has() { command -v "$1" >/dev/null 2>&1; }
absolute() { case $1 in /*) printf %s "$1" ;; *) printf %s "${PWD%/}/$1" ;; esac }

terminal() { (: </dev/tty) 2>/dev/null; }
agrees() { # QUESTION ANSWER-TO-ENTER
	printf '%s ' "$1" >/dev/tty
	read -r answer </dev/tty || answer=n
	case ${answer:-$2} in
	[yY] | [yY][eE][sS]) ;;
	*) return 1 ;;
	esac
}
ask() { # QUESTION ANSWER-TO-ENTER
	[ "$yes" != 1 ] || return 0
	terminal || die 64 'no terminal to ask on; to go ahead: --yes'
	agrees "$@" || die 130 declined
}

existing() { # DIR: it, or the nearest folder above it that exists
	folder=$1
	while [ ! -d "$folder/" ]; do folder=${folder%/*}; done
	printf %s "$folder"
}
# shellcheck disable=SC2317
prune() { # DIR KEPT: removes the empty folders from DIR up to KEPT
	folder=$1
	while [ -n "$folder" ] && [ "$folder" != "$2" ]; do
		rmdir "$folder" 2>/dev/null || [ ! -e "$folder" ] || return 0
		folder=${folder%/*}
	done
}
# shellcheck disable=SC2317 # called by trap
cleanup() { # CODE: leaves with it, which the shells do not agree on otherwise
	trap - EXIT
	trap '' HUP INT QUIT PIPE TERM
	rm -rf "$stage" "$copy" 2>/dev/null || :
	[ -z "$fresh" ] || is_ours || rm -f "$fresh" 2>/dev/null || :
	prune "$made" "$kept"
	prune "${fresh%/*}" "$kept_records"
	exit "$1"
}

claim() { # PREFIX: sets $claimed for this run; removes what killed runs of this host left
	for old in "$1.$host".*; do
		case ${old##*.} in *[!0-9]* | '') continue ;; esac
		if [ "${old##*.}" = $$ ] || ! kill -0 "${old##*.}" 2>/dev/null; then rm -rf "$old" 2>/dev/null || :; fi
	done
	claimed=$1.$host.$$
}

rewrite() { # FILE OUT [IN]: FILE without the line OUT, then with the line IN; by one rename, through links, mode kept
	file=$1
	[ ! -h "$file" ] || file=$(readlink -f "$file") || return
	claim "$file.factoryup"
	copy=$claimed
	{
		if [ -e "$file" ]; then
			cp -p "$file" "$copy" && { grep -avxF -e "$2" "$file" >"$copy" || [ $? = 1 ]; }
		fi && { [ -z "${3-}" ] || printf '%s\n' "$3" >>"$copy"; } && mv -f "$copy" "$file"
	} 2>/dev/null
}

sha256() { # of standard input; flags differ between systems, the hex does not
	if has sha256sum; then
		out=$(sha256sum)
	elif has shasum; then
		out=$(shasum -a 256)
	else
		out=$(openssl dgst -sha256)
	fi || return
	out=${out##*= }
	printf %s "${out%% *}"
}

sum_of() { # NAME LIST: its checksum; nothing when LIST has none, or two that differ
	found=
	while read -r hex name || [ -n "$hex" ]; do
		[ -n "$hex" ] || continue
		name=${name#\*}
		case ${name##*/} in
		"$1" | '') [ "${found:-$hex}" = "$hex" ] || return 0 ;;
		*) continue ;;
		esac
		found=$hex
	done <"$2"
	printf %s "$found"
}

signature() { # LIST
	[ -f "$1.sig" ] || die 65 'the checksums are not signed'
	printf 'release namespaces="factoryup" %s\n' "$key" >"$stage/signers" || die 73 "cannot write $stage/signers"
	why=$(ssh-keygen -Y verify -f "$stage/signers" -I release -n factoryup -s "$1.sig" <"$1" 2>&1) && return
	case $why in *'unknown option'*) die 69 'this ssh-keygen checks no signatures: OpenSSH 8.1 or newer is needed' ;; esac
	die 65 'the signature is not by that key' "ssh-keygen says: $(plain "$why")"
}

wanted() { # NAME LIST: sets $want to its checksum
	[ -z "$signed" ] || signature "$2"
	want=$(printf %s "${sha256:-$(sum_of "$1" "$2")}" | tr A-F a-f)
	[ ${#want} = 64 ] || die 65 "no usable SHA-256 checksum for $1" "SHA256SUMS needs one line: HEX  $1"
}

verify() { # FILE NAME
	got=$(sha256 <"$1") || got=unknown
	[ "$got" = "$want" ] || die 65 "checksum of $2 does not match" "expected $want" "got      $got"
	if [ -n "$signed" ]; then say 'Checksum and signature match.'; else say 'Checksum matches. No signature was checked.'; fi
}

compare() { # A B, each MAJOR.MINOR.PATCH: prints older, same or newer, which A is
	set -- "$1." "$2."
	while [ -n "$1" ]; do
		if [ "${1%%.*}" -lt "${2%%.*}" ]; then echo older && return; fi
		if [ "${1%%.*}" -gt "${2%%.*}" ]; then echo newer && return; fi
		set -- "${1#*.}" "${2#*.}"
	done
	echo same
}

latest() { # sets $version to what is named as the newest release; the list of that release says whether it is one
	download "$base/latest/SHA256SUMS" "$stage/latest"
	version=
	while read -r _ name; do
		case $name in factoryup-*-"$target".tar.gz) version=${name#factoryup-} version=${version%"-$target.tar.gz"} ;; esac
	done <"$stage/latest"
	case $version in *[!0-9.]* | .* | *. | *..* | *.*.*.*) version= ;; *.*.*) ;; *) version= ;; esac
	[ -n "$version" ] || die 65 "$base/latest/SHA256SUMS names no release for $target"
	[ -n "$newer_than" ] || return 0
	case $(compare "$version" "${newer_than%%[!0-9.]*}") in
	same)
		case $newer_than in *-*) ;; *) say "factoryup $newer_than is the newest release." && exit ;; esac
		;;
	older) die 65 "the newest release there is $version, older than $newer_than" "if you want it: --release $version" ;;
	esac
}

download() { # URL FILE
	say "Downloading $1"
	# curl of Debian 12 counts no bytes of an answer that has no length. A block has 512 or 1024 bytes.
	tries=1 progress=-s blocks=2000 seconds=120
	case $2 in
	*/archive)
		blocks=400000 seconds=0
		[ -n "$quiet" ] || [ ! -t 2 ] || progress=-#
		;;
	esac
	# Less than 1000 bytes a second for 20 seconds is a stall. What a broken line or a stall left is continued.
	until (
		ulimit -f $blocks 2>/dev/null || :
		exec curl -q --proto "$protocols" --tlsv1.2 $progress -fSL --netrc-optional --retry 2 --retry-max-time 20 \
			--connect-timeout 20 --max-time $seconds --speed-limit 1000 --speed-time 20 --max-filesize 200000000 -C - -o "$2" -- "$1"
	); do
		code=$?
		by_signal $code
		case $code-$tries in
		23-*) die 73 "cannot write $2" ;;
		63-* | 153-* | 281-* | 409-*) die 69 "$1 is too long" ;; # curl, or the limit above as the shells count it
		18-[12] | 28-[12] | 56-[12] | 92-[12]) ;;
		33-[12]) rm -f "$2" ;; # That server cannot continue.
		*) die 69 "cannot download $1" ;;
		esac
		tries=$((tries + 1))
	done
}

unpack() { # ARCHIVE NAME: one member, through a pipe, so that no name inside can choose where it lands
	why=$(gzip -t <"$1" 2>&1) || die 65 "$2 is cut short or damaged" "gzip says: $(plain "$why")"
	names=$(gzip -dc <"$1" | tar -tf - 2>/dev/null) || die 65 "$2 is cut short or damaged: tar cannot read it"
	member=factoryup
	printf '%s\n' "$names" | grep -qxF $member || member=./factoryup
	printf '%s\n' "$names" | grep -qxF $member || die 65 "$2 has no factoryup at its top"
	why=$(gzip -dc <"$1" | tar -xOf - $member 2>&1 >"$new") || die 73 "cannot write $new" "tar says: $(plain "$why")"
	[ -s "$new" ] || die 65 "$2 has no factoryup at its top"
}

platform() {
	os=$(uname -s) cpu=$(uname -m)
	# Under Rosetta an Apple CPU says x86_64.
	if [ "$os" = Darwin ] && [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" = 1 ]; then cpu=arm64; fi
	case $os-$cpu in
	Linux-x86_64) target=x86_64-unknown-linux-musl ;;
	Linux-aarch64) target=aarch64-unknown-linux-musl ;;
	Darwin-x86_64) target=x86_64-apple-darwin ;;
	Darwin-arm64) target=aarch64-apple-darwin ;;
	*) die 69 "releases are for Linux and macOS on x86_64 and aarch64, not for $os on $cpu" \
		'build it there: --from-source DIR; on Windows, use WSL' ;;
	esac
}

is_ours() { { [ -f "$dest" ] && grep -qxF "program$tab$(sha256 <"$dest")$tab$dest" "$record"; } 2>/dev/null; }

modify_path() {
	shell=${SHELL-}
	case ${shell##*/} in
	zsh) rc=$(absolute "${ZDOTDIR:-$HOME}/.zshrc") ;;
	bash)
		rc=$HOME/.bashrc
		# Terminals there start a login shell, which reads only the first of these that exists.
		if [ "$(uname -s)" = Darwin ]; then
			rc=$HOME/.bash_profile
			[ -e "$rc" ] || rc=$HOME/.bash_login
			[ -e "$rc" ] || rc=$HOME/.profile
		fi
		;;
	fish) die 64 'installed, but PATH in fish is yours to change' "type: fish_add_path '$dir'" ;;
	sh | dash | ash | *ksh | '') rc=$HOME/.profile ;;
	*) die 64 "installed, but PATH in ${shell##*/} is yours to change" "add $dir" ;;
	esac
	line=$rc$tab$path_line
	if [ ! -e "$rc" ] && [ ! -h "$rc" ] || grep -qxF -e "file$tab$line" "$record"; then line=file$tab$line; else line=line$tab$line; fi
	grep -qxF -e "$path_line" "$rc" 2>/dev/null && there=1 || there=
	{ rewrite "$record" "$line" "$line" && { [ -n "$there" ] || rewrite "$rc" "$path_line" "$path_line"; }; } ||
		die 73 "installed, but $rc or $record cannot be written" "add it yourself: $path_line"
	[ -n "$there" ] || say "Added $dir to PATH in $rc, for new shells."
}

uninstall() {
	if [ ! -e "$record" ]; then
		[ -z "$there" ] || die 65 "this script did not install $dest" "to remove it yourself: rm '$dest'"
		say "Nothing to do: there is no $dest."
		return
	fi
	[ -z "$there" ] || is_ours || die 65 "$dest is not as this script installed it, so nothing was removed" \
		"to remove it yourself, before --uninstall removes the rest: rm '$dest'"
	say "Removes ${there:+$dest and }its lines in shell files. Factories and their state stay."
	[ -z "$dry_run" ] || return 0
	ask 'Remove it? [y/N]' n
	claim "$dir/.factoryup-install"
	if [ -n "$there" ]; then
		rm -f "$dest" 2>/dev/null || die 73 "cannot remove $dest"
		say "Removed $dest."
	fi
	kept=$dir kept_records=${records%/*/*}
	while IFS=$tab read -r kind file line; do
		# Nothing but such a line is removed from a file, whatever the record says.
		case $kind-$line in
		folders-*) kept=$file kept_records=$line ;;
		line-*"$mark" | file-*"$mark")
			if grep -qxF -e "$line" "$file" 2>/dev/null; then
				rewrite "$file" "$line" || die 73 "cannot write $file, which still has the line: $line"
				say "Removed the line for PATH from $file."
			elif [ -s "$file" ]; then
				say "The line for PATH in $file was changed or removed; that file stays as it is."
			fi
			[ "$kind" = line ] || [ -s "$file" ] || rm -f "$file"
			;;
		esac
	done <"$record"
	rm -f "$former" "$former.new" "$record" || die 73 "cannot remove $record"
	prune "$dir" "$kept"
	prune "$records" "$kept_records"
}

rollback() {
	is_ours || die 65 "$dest is not as this script installed it"
	# The last column is its version.
	is=$({ hex=$(sha256 <"$former") && grep -qxF "program$tab$hex$tab$dest" "$record" &&
		grep -F "version$tab$hex$tab" "$record"; } 2>/dev/null) ||
		die 65 'no former program is kept: the last update was none, or was taken back'
	say "Puts back factoryup $(plain "${is##*"$tab"}")."
	[ -z "$dry_run" ] || return 0
	ask 'Go ahead? [Y/n]' y
	claim "$dir/.factoryup-install"
	stage=$claimed
	{ (umask 077 && mkdir "$stage") && cp "$dest" "$stage/now" && cp -p "$former" "$stage/factoryup" &&
		mv -f "$stage/factoryup" "$dest"; } 2>/dev/null || die 73 "cannot write $dest"
	# Another rollback leads forward again.
	{ cp "$stage/now" "$former.new" && chmod 755 "$former.new" && mv -f "$former.new" "$former"; } 2>/dev/null || rm -f "$former"
	say "Installed $(plain "$("$dest" --version)")."
}

stage='' copy='' fresh='' made='' kept='' kept_records='' quiet=''
mark='# factoryup install.sh' tab='	' host=$(uname -n)
trap 'cleanup $?' EXIT
trap 'cleanup 129' HUP
trap 'cleanup 130' INT
trap 'cleanup 131' QUIT
trap 'cleanup 141' PIPE
trap 'cleanup 143' TERM
[ -n "${HOME-}" ] || die 64 'HOME is not set'
# Some systems' sudo keeps HOME: root's files there would be in the way of later updates.
[ "${SUDO_UID:-0}" = 0 ] || [ -O "$HOME/" ] || die 64 "$HOME is another user's" 'run it as that user, without sudo'
dir=${FACTORYUP_INSTALL_DIR:-$HOME/.local/bin}
base=${FACTORYUP_BASE_URL:-$BASE_URL}
version=${FACTORYUP_VERSION:-$VERSION}
key_file=${FACTORYUP_SIGNING_KEY-}
yes=${FACTORYUP_YES-}
key=$RELEASE_KEY protocols='=https' came_from='' folders=''
from='' source='' sha256='' signed='' modify='' remove='' dry_run='' update='' check='' back='' run=1 newer_than=''

while [ $# -gt 0 ]; do
	case $1 in
	--to | --from | --from-source | --base-url | --release | --newer-than | --sha256 | --signing-key)
		[ -n "${2-}" ] || die 64 "$1 needs a value"
		case $1 in
		--to) dir=$2 ;;
		--from) from=$(absolute "$2") ;;
		--from-source) source=$(absolute "$2") ;;
		--base-url) base=$2 ;;
		--release) version=$2 ;;
		--newer-than) newer_than=${2#v} ;;
		--sha256) sha256=$2 ;;
		*) key_file=$2 ;;
		esac
		shift
		;;
	--require-signature) signed=1 ;;
	--allow-http) protocols='=http,https' ;;
	--modify-path) modify=1 ;;
	--update) update=1 version=latest run='' ;;
	--check) check=1 ;;
	--no-run) run='' ;;
	--rollback) back=1 ;;
	--uninstall) remove=1 ;;
	--dry-run) dry_run=1 ;;
	--yes) yes=1 ;;
	--quiet) quiet=1 ;;
	--help | -h) usage && exit ;;
	*) die 64 "unknown argument: $1" 'see --help' ;;
	esac
	shift
done

[ -z "$check" ] || [ "$update$version$from$source" = 1latest ] || die 64 '--check goes with --update, and with the newest release'
version=${version#v}
has sha256sum || has shasum || has openssl ||
	die 69 'nothing is installed unchecked, and no sha256sum, shasum or openssl is here'
# One name for one folder, whatever . and .. it was given with.
dir=$(absolute "$dir")
dir=${dir%/}
kept=$(existing "$dir")
here=$( (cd -P -- "$kept/" && pwd -P) 2>/dev/null) || here=$kept
case ${dir#"$kept"}/ in */../*) die 64 "$dir has .. after a folder that is not there" ;; esac
dir=${here%/}${dir#"$kept"} kept=${here%/}
[ -n "$dir" ] || die 64 'the folder is /'
case $HOME${ZDOTDIR-}${XDG_STATE_HOME-}$dir in *[[:cntrl:]]*) die 64 'a folder has a control character in its name' ;; esac
case $dir in *[\':]*) die 64 'the folder has a quote or a colon in its name' ;; esac
dest=$dir/factoryup
path_line="export PATH='$dir':\"\$PATH\" $mark"
# The record of what was installed; docs/guide/install.md describes it.
case ${XDG_STATE_HOME-} in
/*) records=$XDG_STATE_HOME ;;
*) records=$(absolute "$HOME")/.local/state ;;
esac
records=${records%/}/factoryup/install.d
kept_records=$(existing "$records")
record=$records/$(printf %s "$dest" | sha256) || die 69 'SHA-256 checksums cannot be computed'
former=$record.former there=
if [ -e "$dest" ] || [ -h "$dest" ]; then there=1; fi
if [ -n "$remove" ]; then
	uninstall
	exit
fi
if [ -n "$back" ]; then
	rollback
	exit
fi
if [ -n "$update" ]; then
	is_ours || die 65 "$dest is not what this script installed" 'update it the way that you installed it'
	# The last one counts: it is where the program came from that is there now.
	while IFS=$tab read -r kind file line; do
		[ "$kind" != 'source' ] || from_there=${file#-} key=${RELEASE_KEY:-$line}
		# A mirror could offer an older release with a known hole.
		[ "$kind$tab$file" != "version$tab$(sha256 <"$dest")" ] || newer_than=${newer_than:-$line}
	done <"$record"
	base=${base:-${from_there-}}
	[ -n "$base" ] || die 64 'it is not recorded where this program came from: give --base-url URL and --signing-key FILE'
fi

if [ -n "$key_file" ]; then
	{ read -r key <"$key_file" || [ -n "$key" ]; } 2>/dev/null || die 64 "cannot read a key from $key_file"
	signed=1
elif [ -z "$sha256$source" ]; then
	signed=$signed$key
fi
if [ -n "$signed" ]; then
	[ -z "$sha256$source" ] || die 64 'only lists of checksums are signed: leave out --sha256 and --from-source'
	[ -n "$key" ] || die 64 'there is no release key yet: give --signing-key FILE'
	has ssh-keygen || die 69 'ssh-keygen is needed to check the signature'
fi

if [ -n "$source" ]; then
	[ -z "$from" ] || die 64 'either --from or --from-source'
	[ -f "$source/Cargo.toml" ] || die 64 "no source tree: $source has no Cargo.toml"
	has cargo || die 69 'cargo is needed: https://rustup.rs'
	origin="built from $source"
else
	for tool in gzip tar; do has $tool || die 69 "$tool is needed to unpack the archive"; done
	if [ -n "$from" ]; then
		[ -f "$from" ] || die 64 "there is no file $from"
		archive=${from##*/} origin="from $from" list=$from.sha256
		[ -z "$signed" ] || came_from=source$tab${base:--}$tab$key
		[ -f "$list" ] || list=${from%/*}/SHA256SUMS
		[ -n "$sha256" ] || [ -f "$list" ] || die 65 "no checksum for $archive" \
			"give --sha256 HEX, or put $archive.sha256 or SHA256SUMS beside it"
	else
		server=${base#*://}
		case ${server%%/*} in *@*) die 64 'the URL has a user or a password in it, which others would see' 'put them in ~/.netrc' ;; esac
		case $base in
		https://?*) ;;
		http://?*) [ "$protocols" != =https ] || die 64 "$base is not https; see --allow-http" ;;
		'') die 64 'no release of factoryup has been published yet, so there is nothing to download' \
			'from a source tree:   sh install.sh --from-source DIR' \
			'from an archive:      sh install.sh --from FILE' \
			'from your own server: sh install.sh --base-url https://...' ;;
		*) die 64 "$base is not an https URL" ;;
		esac
		case $version in latest) ;; [!0-9]* | *[!0-9A-Za-z.+-]* | '') die 64 "$version is not a version" ;; esac
		has curl || die 69 'curl is needed to download'
		platform
		base=${base%/} came_from=source$tab${base%/}$tab$key
		archive=factoryup-$version-$target.tar.gz origin="from $base/v$version/$archive"
		[ "$version" != latest ] || origin="the latest release, from $base"
	fi
fi

[ ! -d "$dest" ] || die 73 "$dest is a folder"
old=${there:+, replacing a file that this script did not install}
! is_ours || old=', replacing the one that it installed before'
say "Installs factoryup${check:+, if asked to}, $origin"
say "to $dest$old"
if [ -n "$dry_run" ]; then
	say 'Nothing was changed (--dry-run).'
	exit
fi
[ -n "$check" ] || ask 'Go ahead? [Y/n]' y

# Made ready beside the destination: the last step is one rename, and a noexec /tmp does not matter.
claim "$dir/.factoryup-install"
stage=$claimed made=$dir
{ mkdir -p "$dir/" && (umask 077 && mkdir "$stage"); } 2>/dev/null || die 73 "cannot write to $dir; choose another --to DIR"
new=$stage/factoryup

if [ -n "$source" ]; then
	built=$(absolute "${CARGO_TARGET_DIR:-$source/target}")
	(cd "$source" && unset CARGO_BUILD_TARGET && cargo build --release --locked ${quiet:+--quiet} --target-dir "$built") || {
		by_signal $?
		die 69 'the build failed'
	}
	[ -f "$built/release/factoryup" ] || die 69 'the build left no program'
	cp "$built/release/factoryup" "$new" || die 73 "cannot write $new"
else
	if [ -n "$from" ]; then
		cp "$from" "$stage/archive" || die 73 "cannot copy $from"
		[ ! -f "$list" ] || cp "$list" "$stage/list" || die 73 "cannot copy $list"
		[ ! -f "$list.sig" ] || cp "$list.sig" "$stage/list.sig" || die 73 "cannot copy $list.sig"
	else
		[ "$version" != latest ] || latest
		archive=factoryup-$version-$target.tar.gz base=$base/v$version
		[ -n "$sha256" ] || download "$base/SHA256SUMS" "$stage/list"
		[ -z "$signed" ] || download "$base/SHA256SUMS.sig" "$stage/list.sig"
	fi
	wanted "$archive" "$stage/list"
	[ -z "$check" ] || { say "factoryup $version has been released. To install it: factoryup self update" && exit 2; }
	[ -n "$from" ] || download "$base/$archive" "$stage/archive"
	verify "$stage/archive" "$archive"
	unpack "$stage/archive" "$archive"
fi
chmod 755 "$new"
out=$("$new" --version 2>&1) || {
	by_signal $?
	die 65 "that program does not run here" "it said: $(plain "$out")"
}
out=$(plain "$out")
case $out in
"factoryup $version") ;;
'factoryup '[0-9]*) [ -n "$source$from" ] || die 65 "that is $out, not $version" ;;
*) die 65 'that program is not factoryup' ;;
esac
[ -e "$record" ] || fresh=$record folders=folders$tab${kept:-/}$tab${kept_records:-/}
line=program$tab$(sha256 <"$new")$tab$dest
is=version$tab$(sha256 <"$new")$tab${out#factoryup }
{ mkdir -p "$records" 2>/dev/null && rewrite "$record" "$line" "$line" && rewrite "$record" "$is" "$is" &&
	{ [ -z "$folders" ] || rewrite "$record" "$folders" "$folders"; }; } ||
	die 73 "cannot write $record" 'set XDG_STATE_HOME to a folder that you can write'
[ -z "$came_from" ] || rewrite "$record" "$came_from" "$came_from" || die 73 "cannot write $record"
if is_ours && [ "$line" != "program$tab$(sha256 <"$dest")$tab$dest" ]; then
	{ cp -p "$dest" "$former.new" && mv -f "$former.new" "$former"; } 2>/dev/null || die 73 "cannot keep the former program as $former"
fi
mv -f "$new" "$dest" || die 73 "cannot write $dest"
rm -rf "$stage" || :
stage='' fresh=''
say "Installed $out."

case $dest in *' '*) next="'$dest'" ;; *) next=$dest ;; esac
found=$(command -v factoryup) || :
# PATH may have another name of that folder.
real=$(cd -P -- "${found%/*}/" 2>/dev/null && pwd -P) || real=
[ "${real%/}/factoryup" != "$dest" ] || found=$dest
case $found:$PATH: in
"$dest":*) next=factoryup ;;
*":$dir:"*) say "But PATH finds $found first." ;;
*) [ -n "$modify" ] || say "To have it on PATH, see --modify-path, or type: ${path_line% "$mark"}" ;;
esac
[ -z "$modify" ] || modify_path
[ -n "$update" ] || say "Next: $next rehearse   (day one, without an account)"
[ -n "$run" ] && [ -z "$quiet" ] && [ "$yes" != 1 ] && terminal || exit 0
place=$PWD/my-factory
agrees "Set up a factory now, in $place? [Y/n]" y || exit 0
trap - EXIT
exec "$dest" --dir "$place" </dev/tty
}
