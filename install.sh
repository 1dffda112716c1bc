#!/bin/sh
{ # All of this is one command: a copy that was cut short runs nothing.

set -eu
if [ -n "${ZSH_VERSION-}" ]; then emulate sh; fi
export LC_ALL=C

# A release fills these in. None has been made so far.
BASE_URL=''
VERSION='0.1.0'
RELEASE_KEY=''

usage() {
	cat <<'HELP'
Installs factoryup for the current user: one file, no sudo, nothing started.

  --from-source DIR    build a source tree: needs cargo, a C compiler, make, perl
  --from FILE          a release archive on this machine
  --base-url URL       https server with URL/vVERSION/factoryup-VERSION-TARGET.tar.gz
                       and SHA256SUMS beside it (FACTORYUP_BASE_URL)
  --uninstall          take away what this script put there

No release has been published or signed so far: there is no default URL and no
release key. An archive without a matching checksum is never installed.

  --to DIR             default ~/.local/bin (FACTORYUP_INSTALL_DIR)
  --release VERSION    what to download (FACTORYUP_VERSION)
  --allow-http         http too, where archive and checksum can be swapped
  --sha256 HEX         else FILE.sha256 or SHA256SUMS beside the archive
  --signing-key FILE   OpenSSH public key that must have signed the checksums,
                       in FILE.sha256.sig or SHA256SUMS.sig (FACTORYUP_SIGNING_KEY)
  --require-signature  refuse what only has a checksum
  --modify-path        put DIR on PATH in your shell's start-up file
  --dry-run            only say what would be done
  --yes                do not ask (FACTORYUP_YES=1)
  --quiet              print only errors

curl's settings hold: HTTPS_PROXY, CURL_CA_BUNDLE, ~/.netrc.
Exit codes: 64 usage; 65 bad checksum, signature or archive; 69 not to be had
(network, platform, tool); 73 cannot write; 130 declined or interrupted.
HELP
}

die() { # CODE MESSAGE [HINT...]
	code=$1
	printf 'install.sh: error: %s\n' "$2" >&2
	shift 2
	[ -z "$stage" ] || set -- "$@" 'Nothing was installed.'
	for hint; do printf '  %s\n' "$hint" >&2; done
	exit "$code"
}
say() { [ -n "$quiet" ] || printf '%s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
absolute() { case $1 in /*) printf %s "$1" ;; *) printf %s "$PWD/$1" ;; esac }

ask() { # QUESTION ANSWER-TO-ENTER
	[ "$yes" != 1 ] || return 0
	(: </dev/tty) 2>/dev/null || die 64 'no terminal to ask on; to go ahead: --yes'
	printf '%s ' "$1" >/dev/tty
	read -r answer </dev/tty || answer=n
	case ${answer:-$2} in
	[yY] | [yY][eE][sS]) ;;
	*) die 130 declined ;;
	esac
}

# shellcheck disable=SC2317 # called by trap
cleanup() {
	[ -z "$stage" ] || rm -rf "$stage"
	# Folders made here that stayed empty go again.
	while [ "$made" != "$kept" ] && rmdir "$made" 2>/dev/null; do made=${made%/*}; done
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

verify() { # FILE NAME LIST
	want=$(printf %s "${sha256:-$(sum_of "$2" "$3")}" | tr A-F a-f)
	[ ${#want} = 64 ] || die 65 "no usable SHA-256 checksum for $2" "SHA256SUMS needs one line: HEX  $2"
	got=$(sha256 <"$1") || got=unknown
	[ "$got" = "$want" ] || die 65 "checksum of $2 does not match" "expected $want" "got      $got"
	if [ -z "$signed" ]; then
		say 'Checksum matches. No signature was checked.'
		return
	fi
	[ -f "$3.sig" ] || die 65 'the checksums are not signed'
	printf 'release namespaces="factoryup" %s\n' "$key" >"$stage/signers"
	ssh-keygen -Y verify -f "$stage/signers" -I release -n factoryup -s "$3.sig" <"$3" >/dev/null 2>&1 ||
		die 65 'the signature is not by that key'
	say 'Checksum and signature match.'
}

download() { # URL FILE
	curl --proto "$protocols" --tlsv1.2 -fsSL --netrc-optional --retry 2 --connect-timeout 20 \
		--max-filesize 200000000 -o "$2" -- "$1" || die 69 "cannot download $1"
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

# PATH is changed by one marked line, which --uninstall takes out of the files named in $edited.
modify_path() {
	case ${SHELL-} in
	*/zsh) rc=${ZDOTDIR:-$HOME}/.zshrc ;;
	*/bash) if [ "$(uname -s)" = Darwin ]; then rc=$HOME/.bash_profile; else rc=$HOME/.bashrc; fi ;;
	*/fish) die 64 'installed, but PATH in fish is yours to change' "type: fish_add_path '$dir'" ;;
	*) rc=$HOME/.profile ;;
	esac
	grep -qxF "$path_line" "$rc" 2>/dev/null && return
	add=$path_line
	# A last line without its newline must not swallow ours.
	[ -z "$(tail -c 1 "$rc" 2>/dev/null)" ] || add="
$add"
	{ mkdir -p "${edited%/*}" && printf '%s\n' "$rc" >>"$edited" && printf '%s\n' "$add" >>"$rc"; } 2>/dev/null ||
		die 73 "installed, but $rc or $edited cannot be written" "add it yourself: $path_line"
	say "Added $dir to PATH in $rc, for new shells."
}

uninstall() {
	[ -e "$dest" ] || [ -f "$edited" ] || {
		say "Nothing to do: there is no $dest."
		return
	}
	say "Removes $dest and its PATH line. Factories and their state stay."
	[ -z "$dry_run" ] || return 0
	ask 'Remove it? [y/N]' n
	rm -f "$dest" 2>/dev/null || die 73 "cannot remove $dest"
	others=
	[ ! -f "$edited" ] || while read -r rc; do
		if grep -qxF "$path_line" "$rc" 2>/dev/null; then
			# In place: it may be a link, with permissions of its own.
			grep -vxF "$path_line" "$rc" >"$rc.factoryup" || [ $? = 1 ] || die 73 "cannot write $rc.factoryup"
			cat "$rc.factoryup" >"$rc" || die 73 "cannot write $rc; its new text is in $rc.factoryup"
			rm "$rc.factoryup"
		fi
		if grep -q "$mark\$" "$rc" 2>/dev/null; then others=1; fi
	done <"$edited"
	[ -n "$others" ] || rm -f "$edited"
	say "Removed $dest."
}

trap 'exit 130' INT
trap 'exit 143' TERM
stage='' mark='# factoryup install.sh'
[ -n "${HOME-}" ] || die 64 'HOME is not set'
dir=${FACTORYUP_INSTALL_DIR:-$HOME/.local/bin}
base=${FACTORYUP_BASE_URL:-$BASE_URL}
version=${FACTORYUP_VERSION:-$VERSION}
key_file=${FACTORYUP_SIGNING_KEY-}
yes=${FACTORYUP_YES-}
key=$RELEASE_KEY protocols='=https'
from='' source='' sha256='' signed='' modify='' remove='' dry_run='' quiet=''

while [ $# -gt 0 ]; do
	case $1 in
	--to | --from | --from-source | --base-url | --release | --sha256 | --signing-key)
		[ -n "${2-}" ] || die 64 "$1 needs a value"
		case $1 in
		--to) dir=$2 ;;
		--from) from=$(absolute "$2") ;;
		--from-source) source=$(absolute "$2") ;;
		--base-url) base=$2 ;;
		--release) version=$2 ;;
		--sha256) sha256=$2 ;;
		*) key_file=$2 ;;
		esac
		shift
		;;
	--require-signature) signed=1 ;;
	--allow-http) protocols='=http,https' ;;
	--modify-path) modify=1 ;;
	--uninstall) remove=1 ;;
	--dry-run) dry_run=1 ;;
	--yes) yes=1 ;;
	--quiet) quiet=1 ;;
	--help | -h) usage && exit ;;
	*) die 64 "unknown argument: $1" 'see --help' ;;
	esac
	shift
done

dir=$(absolute "${dir%/}")
dest=$dir/factoryup
edited=${XDG_STATE_HOME:-$HOME/.local/state}/factoryup/path-edited
path_line="export PATH='$dir':\"\$PATH\" $mark"
case $dir in *[[:cntrl:]\':]*) die 64 'the folder has a quote, a colon or a control character in its name' ;; esac
if [ -n "$remove" ]; then
	uninstall
	exit
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
	[ -f "$source/Cargo.toml" ] || die 64 "no source tree: $source has no Cargo.toml"
	has cargo || die 69 'cargo is needed: https://rustup.rs'
	origin="built from $source"
else
	has sha256sum || has shasum || has openssl ||
		die 69 'nothing is installed unchecked, and no sha256sum, shasum or openssl is here'
	if [ -n "$from" ]; then
		[ -f "$from" ] || die 64 "there is no file $from"
		archive=${from##*/} origin="from $from" list=$from.sha256
		[ -f "$list" ] || list=${from%/*}/SHA256SUMS
		[ -n "$sha256" ] || [ -f "$list" ] || die 65 "no checksum for $archive" \
			"give --sha256 HEX, or put $archive.sha256 or SHA256SUMS beside it"
	else
		case $base in
		https://?*) ;;
		http://?*) [ "$protocols" != =https ] || die 64 "$base is not https; see --allow-http" ;;
		'') die 64 'no release of factoryup has been published yet, so there is nothing to download' \
			'from a source tree:   sh install.sh --from-source DIR' \
			'from an archive:      sh install.sh --from FILE' \
			'from your own server: sh install.sh --base-url https://...' ;;
		*) die 64 "$base is not an https URL" ;;
		esac
		case $version in *[!0-9A-Za-z.+-]*) die 64 "$version is not a version" ;; esac
		has curl || die 69 'curl is needed to download'
		platform
		archive=factoryup-$version-$target.tar.gz base=${base%/}/v$version
		origin="from $base/$archive"
	fi
fi

old=
[ ! -d "$dest" ] || die 73 "$dest is a folder"
[ ! -x "$dest" ] || old=$("$dest" --version 2>/dev/null) || old='another program'
say "Installs factoryup, $origin"
say "to $dest${old:+, replacing $old}"
if [ -n "$dry_run" ]; then
	say 'Nothing was changed (--dry-run).'
	exit
fi
ask 'Go ahead? [Y/n]' y

# Made ready beside the destination: the last step is one rename, and a noexec /tmp does not matter.
made=$dir kept=$dir
while [ ! -d "$kept/" ]; do kept=${kept%/*}; done
trap cleanup EXIT
work=$dir/.factoryup-install.$$
{ mkdir -p "$dir/" && (umask 077 && mkdir "$work"); } 2>/dev/null || die 73 "cannot write to $dir; choose another --to DIR"
stage=$work
new=$stage/factoryup

if [ -n "$source" ]; then
	built=${CARGO_TARGET_DIR:-$source/target}
	(cd "$source" && unset CARGO_BUILD_TARGET && cargo build --release --locked ${quiet:+--quiet} --target-dir "$built") ||
		die 69 'the build failed'
	cp "$built/release/factoryup" "$new" || die 69 'the build left no program'
else
	if [ -n "$from" ]; then
		cp "$from" "$stage/archive" || die 73 "cannot copy $from"
		[ ! -f "$list" ] || cp "$list" "$stage/list"
		[ ! -f "$list.sig" ] || cp "$list.sig" "$stage/list.sig"
	else
		[ -n "$sha256" ] || download "$base/SHA256SUMS" "$stage/list"
		[ -z "$signed" ] || download "$base/SHA256SUMS.sig" "$stage/list.sig"
		download "$base/$archive" "$stage/archive"
	fi
	verify "$stage/archive" "$archive" "$stage/list"
	# One member, through a pipe: no name inside the archive can choose where it lands.
	tar -xzOf "$stage/archive" factoryup >"$new" 2>/dev/null || tar -xzOf "$stage/archive" ./factoryup >"$new" 2>/dev/null || : >"$new"
	[ -s "$new" ] || die 65 "$archive has no factoryup at its top"
fi
chmod 755 "$new"
out=$("$new" --version 2>&1) || die 65 "that program does not run here" "it said: $(printf %s "$out" | tr -d '[:cntrl:]')"
case $out in
"factoryup $version") ;;
'factoryup '[0-9]*) [ -n "$source$from" ] || die 65 "that is $out, not $version" ;;
*) die 65 'that program is not factoryup' ;;
esac
mv -f "$new" "$dest" || die 73 "cannot write $dest"
rm -rf "$stage"
stage=
say "Installed $out."

next=factoryup
case :$PATH: in
*":$dir:"*)
	found=$(command -v factoryup) || :
	[ "$found" = "$dest" ] || say "But PATH finds $found first."
	;;
*)
	case $dest in *' '*) next="'$dest'" ;; *) next=$dest ;; esac
	[ -n "$modify" ] || say "To have it on PATH, see --modify-path, or type: ${path_line% "$mark"}"
	;;
esac
[ -z "$modify" ] || modify_path
say "Next: $next rehearse   (day one, without an account)"
exit 0
}
