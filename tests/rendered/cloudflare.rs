//! A Cloudflare token is checked before it is stored: `scripts/cloudflare-token`. A tunnel gets its own: `scripts/tunnel`. Both against a server
//! that answers as Cloudflare does.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::control_repo::{ControlRepo, passed, text};
use crate::support;

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// What Cloudflare answers to a token that is named by what it may: `-NAME` without a permission, `+NAME` with one more.
fn answer(token: &str, method: &str, path: &str) -> (u16, Value) {
    let may = |word: &str, usual: bool| {
        if usual { !token.contains(&format!("-{word}")) } else { token.contains(&format!("+{word}")) }
    };
    let said = |may: bool, result: Value| {
        if may { (200, json!({ "success": true, "result": result })) } else { (403, json!({ "success": false })) }
    };
    let rest = path.replace(ACCOUNT, "A");
    if let Some(query) = rest.strip_prefix("/accounts/A/cfd_tunnel?is_deleted=false&name=") {
        // Like Cloudflare's, which finds a part of a name too.
        let all = [("1-a", "acme-staging-2"), ("2-b", "acme-staging"), ("3-c", "acme-staging")];
        let known = if token.contains("twice") { &all[..] } else { &all[..2] };
        let known = known.iter().filter(|(_, name)| name.starts_with(query));
        return said(may("account", true), known.map(|(id, name)| json!({ "id": id, "name": name })).collect());
    }
    let rest = rest.split('?').next().unwrap();
    let zone = rest.strip_prefix("/zones/").and_then(|rest| rest.split_once('/')).map(|(_, rest)| rest);
    match (method, rest, zone) {
        ("GET", "/accounts/A/tokens/verify", _) if token.contains("user") => said(false, Value::Null),
        ("GET", "/accounts/A/tokens/verify" | "/user/tokens/verify", _) => {
            let ends = if token.contains("forever") { Value::Null } else { json!("2999-01-01T00:00:00Z") };
            said(!token.contains("bad"), json!({ "status": "active", "expires_on": ends }))
        }
        ("POST", _, Some("dns_records")) => {
            if token.starts_with("apply") {
                (400, json!({}))
            } else {
                (403, json!({}))
            }
        }
        ("GET", "/zones", _) => {
            let other = json!({ "id": "other", "name": "other.example" });
            said(true, json!([other].into_iter().filter(|_| may("zones", false)).collect::<Vec<_>>()))
        }
        ("GET", _, Some("settings" | "dns_records")) => said(may("dns", true), json!([])),
        ("GET", _, Some("rulesets")) => said(true, json!([])),
        ("GET", "/accounts/A/cfd_tunnel" | "/accounts/A/access/apps", _) => said(may("account", true), json!([])),
        ("GET", "/accounts/A/cfd_tunnel/2-b/token", _) if token.contains("busy") => (503, Value::Null),
        ("GET", "/accounts/A/cfd_tunnel/2-b/token", _) if token.contains("odd") => said(true, json!(null)),
        ("GET", "/accounts/A/cfd_tunnel/2-b/token", _) => said(token.starts_with("apply"), json!("eyJh+/=")),
        ("GET", "/accounts/A/tokens", _) => said(may("tokens", false), json!([])),
        ("GET", "/accounts/A/members" | "/accounts/A/billing/profile", _) => said(false, Value::Null),
        ("GET", rest, None) if rest.starts_with("/zones/") => said(may("zone", true), json!({})),
        other => panic!("{other:?}"),
    }
}

fn serve() -> String {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.server_addr());
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let token = request.headers().iter().find(|header| header.field.equiv("Authorization")).unwrap();
            let token = token.value.as_str().strip_prefix("Bearer ").unwrap().to_owned();
            let (status, body) = answer(&token, &request.method().to_string(), request.url());
            let _ = request.respond(tiny_http::Response::from_string(body.to_string()).with_status_code(status));
        }
    });
    address
}

#[test]
fn a_token_that_reaches_too_little_or_too_much_is_not_stored() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let repo = ControlRepo::new("everything");
    let address = serve();
    let check = |purpose: &str, token: &str| -> Output {
        let script = repo.path().join("scripts/cloudflare-token");
        let mut command = repo.command(script.to_str().unwrap());
        command.args([purpose, "staging"]).env("CLOUDFLARE_BASE_URL", &address);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    for (purpose, token) in [("plan", "plan"), ("apply", "apply"), ("apply", "apply-of-a-user")] {
        let said = passed(&check(purpose, token));
        assert_eq!(said, format!("it ends on 2999-01-01\nit fits {purpose}:staging\n"), "{token}");
    }
    for (purpose, token, faults) in [
        ("plan", "bad", &["does not accept the token (status 403)"][..]),
        ("plan", "plan forever", &["it never ends"]),
        ("plan", "plan -zone", &["add the zone permission Zone: Read, for this zone"]),
        ("apply", "apply -dns", &["add the zone permission Zone Settings", "add the zone permission DNS"]),
        ("apply", "apply -account", &["Cloudflare Tunnel", "Access: Apps and Policies"]),
        ("plan", "apply", &["it can change DNS records"]),
        ("apply", "plan", &["it cannot change DNS records"]),
        (
            "plan",
            "plan +zones +tokens",
            &["it reaches other zones, too: other.example", "it can read the account's tokens"],
        ),
    ] {
        let output = check(purpose, &token.replace(' ', ""));
        let said = text(&output);
        assert_eq!(output.status.code(), Some(65), "{token}: {said}");
        for fault in faults {
            assert!(said.contains(fault), "{token}: {fault}: {said}");
        }
        let found = said.lines().filter(|line| line.starts_with("it ") && !line.starts_with("it ends on")).count();
        assert!(found == faults.len() || token == "bad", "{token}: {said}");
    }
    assert_eq!(check("plan", "").status.code(), Some(64));
}

#[test]
fn a_tunnel_gets_its_token_from_cloudflare() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let repo = ControlRepo::new("everything");
    let address = serve();
    let programs = tempfile::tempdir().unwrap();
    let program = programs.path().join("factory-tunnel");
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    support::make_program(&program, "#!/bin/sh\necho \"$*: $(cat)\"\n");
    let connect = |environment: &str, token: &str| {
        let mut command = repo.command("scripts/tunnel");
        command.arg(environment).env("PATH", &path);
        command.env("CLOUDFLARE_BASE_URL", &address).env("CLOUDFLARE_APPLY_TOKEN", token);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), text(&output))
    };
    let (code, said) = connect("staging", "apply");
    assert!(code == 0 && said.contains("connect staging: eyJh+/=\n"), "{said}");
    for (environment, token, code, words) in [
        ("", "apply", 64, "which environment? one of: production staging"),
        ("control-plane", "apply", 64, "which environment?"),
        ("../staging", "apply", 64, "which environment?"),
        ("staging", "", 78, "CLOUDFLARE_APPLY_TOKEN is not set"),
        ("production", "apply", 65, "Cloudflare has no tunnel acme-production, or more than one"),
        ("staging", "apply-twice", 65, "no tunnel acme-staging, or more than one: apply:staging"),
        (
            "staging",
            "apply-account",
            65,
            "answers 403 to /accounts/ACCOUNT/cfd_tunnel: does CLOUDFLARE_APPLY_TOKEN have",
        ),
        ("staging", "plan", 65, "answers 403 to /accounts/ACCOUNT/cfd_tunnel/2-b/token"),
        ("staging", "apply-odd", 65, "shows no token for acme-staging"),
        ("staging", "apply-busy", 69, "Cloudflare answers 503; run the job again later"),
    ] {
        let (ended, said) = connect(environment, token);
        assert!(ended == code && said.contains(words), "{environment} {token}: {ended}: {said}");
    }
    std::fs::remove_file(program).unwrap();
    let (code, said) = connect("staging", "apply");
    assert!(code == 69 && said.contains("factory-tunnel is missing on this host"), "{said}");
}
