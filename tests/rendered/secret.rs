//! `scripts/secret` for every store that is not in the repo: the same commands, and no value is anybody's argument. The stores' own
//! programs cannot be had here; in their place stand programs that take the same arguments and keep values in a folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use crate::control_repo::{ControlRepo, passed, stdout, text};
use crate::support::{self, make_program};

/// Answers, the program, and what it does; `$store` is where values are, and every call is logged.
const STORES: [(&str, &str, &str); 4] = [
    (
        "no-host",
        "bao",
        r#"case "$*" in
"kv list -mount=secret acme") ls "$store" ;;
"kv get -mount=secret -field=value acme/"*) cat "$store/${5#acme/}" ;;
"kv put -mount=secret acme/"*" value=-") cat >"$store/${4#acme/}" ;;
"policy write acme-read -") cat >/dev/null ;;
"read -format=json identity/entity/name/ada") { cat "$store/../granted" 2>/dev/null || echo '["old"]'; } | jq '{data: {policies: .}}' ;;
"write identity/entity/name/ada -") new=$(jq -c .policies); echo "$new" >"$store/../granted" ;;
*) exit 9 ;;
esac"#,
    ),
    (
        "three-environments",
        "op",
        r#"case "$*" in
"item list --vault acme --format json") ls "$store" | jq -Rn '[inputs | {title: .}]' ;;
"read op://acme/"*"/password") name=${2#op://acme/}; cat "$store/${name%/password}" ;;
"item create --vault acme -") cat >"$store/../item"; jq -j '.fields[0].value' "$store/../item" >"$store/$(jq -r .title "$store/../item")" ;;
"item get "*" --vault acme --format json") jq -n --rawfile value "$store/$3" '{fields: [{id: "password", value: $value}]}' ;;
"item edit "*" --vault acme -") jq -j '.fields[0].value' >"$store/$3.new"; mv "$store/$3.new" "$store/$3" ;;
"vault user grant --vault acme --user ada --permissions view_items --no-input") echo '["old","acme-read"]' >"$store/../granted" ;;
"vault user revoke --vault acme --user ada --no-input") echo '["old"]' >"$store/../granted" ;;
*) exit 9 ;;
esac"#,
    ),
    (
        "infisical",
        "infisical",
        r#"case "$*" in
"secrets --env prod --output json --silent") ls "$store" | jq -Rn '[inputs | {secretKey: .}]' ;;
"secrets get "*" --env prod --plain --silent") cat "$store/$3" ;;
"secrets set "*" --env prod --silent") cat "${3#*=@}" >"$store/${3%%=*}" ;;
*) exit 9 ;;
esac"#,
    ),
    (
        "corporate",
        "glab",
        r#"case "$*" in
"api --paginate projects/:id/variables?per_page=100") ls "$store" | jq -Rn '[inputs | {key: ., environment_scope: "*"}] | _nwise(20)' ;;
"api --method POST projects/:id/variables --header Content-Type: application/json --input -")
    cat >"$store/../sent"
    [ "$(jq -c 'del(.key, .value)' "$store/../sent")" = '{"environment_scope":"*","protected":true,"masked_and_hidden":true,"raw":true}' ]
    key=$(jq -r .key "$store/../sent")
    [ ! -e "$store/$key" ] || { echo "($key) has already been taken" >&2; exit 1; }
    jq -j .value "$store/../sent" >"$store/$key" ;;
"api --method PUT projects/:id/variables/"*"?filter%5Benvironment_scope%5D="[*%]*" --header Content-Type: application/json --input -")
    key=${4#projects/:id/variables/}; key=${key%%\?*}
    [ -e "$store/$key" ]
    jq -j .value >"$store/$key" ;;
*) echo "no such call: $*" >&2; exit 9 ;;
esac"#,
    ),
];

struct Store {
    repo: ControlRepo,
    folder: PathBuf,
}

impl Store {
    fn new(answers: &str, program: &str, does: &str) -> Self {
        let repo = ControlRepo::new(answers);
        let folder = repo.path().join("../programs");
        fs::create_dir_all(folder.join("values")).unwrap();
        fs::create_dir_all(folder.join("run")).unwrap();
        let script = format!(
            "#!/bin/sh\nset -eu\nstore={}/values\nprintf '%s\\n' \"$*\" >>\"$store/../calls\"\n{does}\n",
            folder.display()
        );
        for (name, text) in [(program, script.as_str()), ("editor", "#!/bin/sh\nprintf 'edited value\\n' >\"$1\"\n")] {
            make_program(folder.join(name), text);
        }
        Self { repo, folder }
    }

    fn secret(&self, arguments: &[&str], input: &str) -> Output {
        use std::io::Write as _;
        let script = self.repo.path().join("scripts/secret");
        let mut child = self
            .repo
            .command(script.to_str().unwrap())
            .args(arguments)
            .env("PATH", format!("{}:{}", self.folder.display(), support::path()))
            .env("EDITOR", "editor")
            .env("XDG_RUNTIME_DIR", self.folder.join("run"))
            .env_remove("VISUAL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whoever needs no input may be gone before it comes.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn value(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join("values").join(name)).unwrap()
    }
}

#[test]
fn every_store_has_the_same_commands_and_no_value_is_an_argument() {
    if !support::available(&["git", "jq"]) {
        return;
    }
    for (answers, program, does) in STORES {
        let store = Store::new(answers, program, does);
        if program == "glab" {
            // More than one page of them, and what is set below comes last.
            for number in 10..50 {
                fs::write(store.folder.join(format!("values/A_{number}")), "x").unwrap();
            }
        }
        passed(&store.secret(&["set", "API_KEY"], "first \"value\" \\ $x\nof two lines\n"));
        assert_eq!(store.value("API_KEY"), "first \"value\" \\ $x\nof two lines", "{program}");
        passed(&store.secret(&["set", "API_KEY"], "second value\n"));
        assert!(stdout(&store.secret(&["list"], "")).contains("API_KEY"), "{program}");
        if program != "glab" {
            assert_eq!(passed(&store.secret(&["get", "API_KEY"], "")).trim_end(), "second value", "{program}");
        }
        if program != "glab" {
            passed(&store.secret(&["set", "QUOTED"], "a \"b\" \\ $c `d`\n"));
            let settings = passed(&store.secret(&["env", "API_KEY", "QUOTED"], ""));
            assert_eq!(settings, "API_KEY=\"second value\"\nQUOTED=\"a \\\"b\\\" \\\\ \\$c \\`d\\`\"\n", "{program}");
        }
        passed(&store.secret(&["edit", "API_KEY"], ""));
        assert_eq!(store.value("API_KEY"), "edited value", "{program}");
        passed(&store.secret(&["rotate", "API_KEY"], ""));
        let random = store.value("API_KEY");
        assert_eq!(random.len(), 32, "{program}: {random}");
        for wrong in [&["set", "1NAME"][..], &["get"], &["set", "A B"], &["rotate", "A\nB"]] {
            assert_eq!(store.secret(wrong, "x").status.code(), Some(64), "{program}: {wrong:?}");
        }
        let nothing = store.secret(&["set", "API_KEY"], "\n");
        assert_eq!(nothing.status.code(), Some(65), "{program}: {}", text(&nothing));
        assert_eq!(store.value("API_KEY"), random, "{program}: replaced by nothing");
        let grant = store.secret(&["add-recipient", "ada"], "");
        if ["bao", "op"].contains(&program) {
            passed(&grant);
            let granted = fs::read_to_string(store.folder.join("granted")).unwrap();
            assert!(granted.contains("acme-read") && granted.contains("old"), "{program}: {granted}");
            let said = passed(&store.secret(&["remove-recipient", "ada"], ""));
            assert!(said.contains("replace the values as well"), "{program}: {said}");
            let granted = fs::read_to_string(store.folder.join("granted")).unwrap();
            assert_eq!(granted.trim(), "[\"old\"]", "{program}");
        } else {
            assert_eq!(grant.status.code(), Some(69), "{program}: {}", text(&grant));
            assert_eq!(store.secret(&["remove-recipient", "ada"], "").status.code(), Some(69), "{program}");
        }
        let calls = fs::read_to_string(store.folder.join("calls")).unwrap();
        for value in ["value", &random] {
            let shown =
                calls.lines().find(|line| line.replace("-field=value", "").replace("value=-", "").contains(value));
            assert_eq!(shown, None, "{program}");
        }
        let left = fs::read_dir(store.folder.join("run")).unwrap().count();
        assert_eq!(left, 0, "{program}: an edited value was left behind");
    }
}

/// `OpenBao` itself, with its store in memory.
struct OpenBao {
    server: std::process::Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl OpenBao {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, server) = support::start_server(|port| {
            let listen = format!("-dev-listen-address=127.0.0.1:{port}");
            let mut bao = std::process::Command::new(support::tool("bao").unwrap());
            bao.args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=owners", &listen]);
            bao.env("HOME", folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        let bao = Self { server, address: format!("http://127.0.0.1:{port}"), _folder: folder };
        support::wait_until("OpenBao", || bao.call("owners", &["status"], "").status.success());
        bao
    }

    fn call(&self, token: &str, arguments: &[&str], input: &str) -> Output {
        let mut command = std::process::Command::new(support::tool("bao").unwrap());
        command.args(arguments).envs([("BAO_ADDR", self.address.as_str()), ("BAO_TOKEN", token)]);
        piped(&mut command, input)
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn piped(command: &mut std::process::Command, input: &str) -> Output {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn openbao_itself_keeps_what_the_script_tells_it() {
    if !support::available(&["bao", "git", "jq"]) {
        return;
    }
    let bao = OpenBao::start();
    let repo = ControlRepo::new("no-host");
    let secret = |token: &str, arguments: &[&str], input: &str| {
        let mut command = repo.command(repo.path().join("scripts/secret").to_str().unwrap());
        let bin = support::tool("bao").unwrap();
        command.env("PATH", format!("{}:{}", bin.parent().unwrap().display(), support::path()));
        command.args(arguments).envs([("BAO_ADDR", bao.address.as_str()), ("BAO_TOKEN", token)]);
        piped(&mut command, input)
    };
    let owners = |arguments: &[&str], input: &str| passed(&secret("owners", arguments, input));
    owners(&["set", "API_KEY"], "first \"value\" \\ $x\nof two lines\n");
    assert_eq!(owners(&["get", "API_KEY"], "").trim_end(), "first \"value\" \\ $x\nof two lines");
    owners(&["set", "API_KEY"], "second\n");
    assert!(owners(&["list"], "").lines().any(|line| line == "API_KEY"));
    assert_eq!(owners(&["env", "API_KEY"], ""), "API_KEY=\"second\"\n");
    owners(&["rotate", "API_KEY"], "");
    let value = owners(&["get", "API_KEY"], "");
    assert_eq!(value.trim_end().len(), 32, "{value}");

    // Somebody who logs in, and is an entity with a name.
    let by_hand = |arguments: &[&str]| passed(&bao.call("owners", arguments, ""));
    by_hand(&["auth", "enable", "userpass"]);
    by_hand(&["write", "auth/userpass/users/ada", "password=x"]);
    by_hand(&["write", "identity/entity", "name=ada"]);
    let id = by_hand(&["read", "-field=id", "identity/entity/name/ada"]);
    let mounts: serde_json::Value = serde_json::from_str(&by_hand(&["auth", "list", "-format=json"])).unwrap();
    let accessor = format!("mount_accessor={}", mounts["userpass/"]["accessor"].as_str().unwrap());
    by_hand(&["write", "identity/entity-alias", "name=ada", &format!("canonical_id={}", id.trim()), &accessor]);
    let ada = by_hand(&["write", "-field=token", "auth/userpass/login/ada", "password=x"]);
    let reads = || secret(ada.trim(), &["get", "API_KEY"], "").status.success();
    assert!(!reads(), "ada reads before she may");
    owners(&["add-recipient", "ada"], "");
    assert!(reads() && secret(ada.trim(), &["list"], "").status.success(), "ada does not read");
    assert!(!secret(ada.trim(), &["set", "API_KEY"], "hers").status.success(), "a reader writes");
    owners(&["remove-recipient", "ada"], "");
    assert!(!reads(), "ada still reads");
}
