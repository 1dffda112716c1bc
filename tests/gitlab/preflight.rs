//! What a GitLab setup cannot do without is looked for before the first write, and said in the same words each time.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::gitlab::GitlabTarget;
use factoryup::plan::{Target, converge};
use factoryup::secret::Secret;
use gitlab_stand_in::{Edition, Tier};
use serde_json::json;

use super::certificates::issue;
use super::plane::expires_in;
use super::situation::{QUIET, Situation};
use super::support;

/// An apply that ends before its first write: kind, words, and remedies.
#[track_caller]
fn refused(situation: &Situation, mut target: GitlabTarget) -> (Kind, String, String) {
    situation.plane.stand_in.clear_log();
    let error = converge(&mut target, &Silent, &situation.state, QUIET).unwrap_err();
    assert_eq!(situation.writes(), Vec::<String>::new(), "{error}");
    assert!(!situation.state.file("agent-token").exists(), "{error}");
    assert!(!error.hints().is_empty(), "{error}");
    (error.kind(), error.to_string(), error.hints().join("\n"))
}

fn of(edition: Edition, tier: Tier, version: &str) -> Option<Situation> {
    Situation::with(|options| {
        (options.edition, options.tier) = (edition, tier);
        version.clone_into(&mut options.version);
    })
}

/// Neither the Community Edition nor, before 18.11, one without a license has service accounts.
#[test]
fn an_edition_or_a_license_without_service_accounts_asks_for_a_user() {
    for (edition, tier, version) in [
        (Edition::Ce, Tier::Free, "18.11.0"),
        (Edition::Ce, Tier::Free, "19.1.0"),
        (Edition::Ee, Tier::Free, "18.10.0"),
    ] {
        let Some(situation) = of(edition, tier, version) else { return };
        let (kind, said, hints) = refused(&situation, situation.target());
        let url = situation.plane.url();
        let words = format!(
            "the user factory-agent does not exist yet; your token cannot create a service account or a user on {url}, so create the agent's account by hand"
        );
        assert_eq!((kind, said), (Kind::NotPermitted, words), "{edition:?} {version}");
        assert!(hints.contains(&format!("{url}/admin/users/new")), "{hints}");
    }
}

/// A license that `factory.toml` says and GitLab does not have stops nothing: the plan says it first.
#[test]
fn a_license_that_is_not_there_is_said_before_anything_is_changed() {
    let Some(mut situation) = of(Edition::Ee, Tier::Free, "19.2.0") else { return };
    situation.licensed();
    situation.plane.project("control");
    situation.plane.stand_in.clear_log();
    let note = format!(
        "gitlab.tier is \"premium\", but {} answers as GitLab Free; factoryup enforces only what Free supports",
        situation.plane.url()
    );
    let plan = situation.plan();
    assert!(plan.notes.contains(&note) && !plan.is_empty(), "{:?}", plan.notes);
    assert_eq!(situation.writes(), Vec::<String>::new());
}

#[test]
fn a_token_that_ends_during_the_run_is_said_before_it() {
    let Some(situation) = Situation::new() else { return };
    for (days, is_said) in [(1, true), (2, true), (3, false)] {
        let end = expires_in(days);
        let token = situation.plane.stand_in.issue_token("owner", &["api"], Some(end.parse().unwrap())).unwrap();
        let plan = situation.target_with(Secret::new(token)).observe(&Silent).unwrap();
        let note = format!("your GitLab token expires on {end}; if it expires during a run, resume with a new one");
        assert_eq!(plan.notes.contains(&note), is_said, "{days}: {:?}", plan.notes);
    }
    assert_eq!(situation.writes(), Vec::<String>::new());
}

#[test]
fn a_role_in_the_group_that_is_too_low_is_named() {
    let Some(mut situation) = Situation::new() else { return };
    let bob = situation.plane.stand_in.add_user("bob").unwrap();
    let token = situation.plane.token("bob", &["api"]);
    let body = json!({ "user_id": bob, "access_level": 10 });
    assert_eq!(situation.plane.post("/groups/factory/members", &body).status, 201);
    for (level, role) in [(10, "Guest"), (20, "Reporter"), (30, "Developer")] {
        let changed = situation.plane.put(&format!("/groups/factory/members/{bob}"), &json!({ "access_level": level }));
        assert_eq!(changed.status, 200);
        // Of a group that is to be made, the role in the one above it counts.
        for group in ["factory", "factory/lab/sub"] {
            group.clone_into(&mut situation.factory.gitlab.group);
            let (kind, said, hints) = refused(&situation, situation.target_with(Secret::new(&token)));
            let words = format!("your GitLab account is {role} on factory; the GitLab setup needs Maintainer or Owner");
            assert_eq!((kind, said), (Kind::NotPermitted, words), "{group}");
            assert!(hints.starts_with("ask an Owner of factory for the role Owner"), "{hints}");
        }
    }
}

/// A person's, or that of the agent of another factory in the same group.
#[test]
fn a_name_that_the_agent_cannot_have_is_named() {
    for (edition, makes) in [(Edition::Ee, "a person"), (Edition::Ce, "a person"), (Edition::Ee, "another factory")] {
        let Some(situation) = of(edition, Tier::Free, "19.1.0") else { return };
        let root = situation.plane.token("root", &["api"]);
        if makes == "a person" {
            situation.plane.stand_in.add_user("factory-agent").unwrap();
        } else {
            let body = json!({ "name": "The agent of another", "username": "factory-agent" });
            let made = situation.plane.post("/groups/factory/service_accounts", &body);
            assert_eq!(made.status, 201, "{}", made.body);
        }
        let url = situation.plane.url();
        let wanted = format!("the user name factory-agent already exists on {url}");
        // Then the plan has a project to look at.
        for is_there in [false, true] {
            if is_there {
                situation.plane.project("control");
            }
            let token = if edition == Edition::Ce { root.clone() } else { situation.plane.owner_token() };
            let (kind, said, hints) = refused(&situation, situation.target_with(Secret::new(token)));
            assert_eq!((kind, said), (Kind::Usage, wanted.clone()), "{edition:?}, {makes}, {is_there}");
            assert!(hints.starts_with("choose another in factory.toml, such as agent.username = "), "{hints}");
        }
    }
}

/// GitLab lets a Maintainer push the first commit in any case, and then makes a rule of its own, which is replaced.
#[test]
fn whatever_protects_default_branches_here_the_setup_ends_the_same() {
    for protection in [0, 1, 3, 4] {
        let Some(situation) = Situation::with(|options| options.default_branch_protection = protection) else { return };
        situation.apply(QUIET).unwrap();
        assert_eq!(situation.pending(), Vec::<String>::new());
        let rule = situation.get("/protected_branches/main");
        let levels = ["push_access_levels", "merge_access_levels"].map(|key| rule[key][0]["access_level"].clone());
        assert_eq!((levels, &rule["allow_force_push"]), ([0.into(), 40.into()], &false.into()), "{protection}");
    }
}

#[test]
fn a_runner_of_the_instance_with_the_factorys_tag_is_named() {
    let Some(mut situation) = Situation::new() else { return };
    situation.shared();
    situation.plane.project("control");
    let root = situation.plane.token("root", &["api"]);
    let body =
        json!({ "runner_type": "instance_type", "description": "lab", "tag_list": ["trusted"], "run_untagged": false });
    let made = situation.plane.as_token(&root).post("/user/runners", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    let (kind, said, hints) = refused(&situation, situation.target());
    let words = format!(
        "the instance has a runner of another owner, {} (lab): it runs jobs with the tag trusted",
        made.body["id"]
    );
    assert_eq!((kind, said), (Kind::Data, words));
    assert!(hints.starts_with("ask an administrator to change its tags"), "{hints}");
}

/// Ends TLS as gitlab.com, and passes on to the stand-in; says its port.
const AS_GITLAB_COM: &str = r"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('certificate.pem', 'key.pem')
def copy(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try: end.shutdown(socket.SHUT_RDWR)
        except OSError: pass
def serve(client):
    asked = b''
    while b'\r\n\r\n' not in asked:
        asked += client.recv(1)
    assert asked.startswith(b'CONNECT gitlab.com:443 '), asked
    client.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
    client = context.wrap_socket(client, server_side=True)
    server = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
    copy(client, server)
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

/// A program that ends when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// There a top-level group is made in the browser only.
#[test]
fn a_group_that_gitlab_com_does_not_have_sends_its_owner_there() {
    if !support::available(&["git", "openssl", "python3"]) {
        return;
    }
    let Some(mut situation) = Situation::new() else { return };
    issue(situation.directory(), "gitlab.com");
    let mut proxy = Command::new("python3");
    proxy.args(["-c", AS_GITLAB_COM, &situation.plane.stand_in.port().to_string()]).current_dir(situation.directory());
    let mut proxy = Running(proxy.stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    BufReader::new(proxy.0.stdout.take().unwrap()).read_line(&mut port).unwrap();

    situation.factory.gitlab.group = "acme/lab".into();
    situation.behind("https://gitlab.com");
    situation.plane.stand_in.clear_log();
    let token = situation.plane.owner_token();
    let mut command = situation.command(&token, &["apply", "gitlab", "--yes"]);
    command.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", port.trim()));
    let output = command.env("SSL_CERT_FILE", situation.directory().join("ca.pem")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for line in [
        "error: your account sees no group acme on https://gitlab.com, where a top-level group can only be created in the browser\n",
        "next: create a private group with the path acme at https://gitlab.com/groups/new, then run the command again\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(situation.plane.log().iter().any(|request| request.path.contains("/groups/acme")));
    assert_eq!(situation.writes(), Vec::<String>::new());
}
