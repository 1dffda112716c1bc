//! The agent's tokens renew themselves on the host, by the program that the host's timer starts, and leave an apply nothing to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use factoryup::hand_over::{HandOver, Token};
use factoryup::secret::{Secret, redact};
use serde_json::{Value, json};

use super::anchor::sha256;
use super::control_repo::{passed, text};
use super::plane::expires_in;
use super::situation::{QUIET, Situation};
use super::support;

/// What a proxy answers to whoever renews a token: an error page that says it went well.
const PROXY: &str = r#"case "$*" in *self/rotate*) ;; *) exec "$TOOL" "$@" ;; esac
echo '<html>Sign in</html>'
printf 200 >&2
"#;

/// The same for everything that GitLab is asked.
const PAGE: &str = "echo 'PAGE'
printf 200 >&2
";

/// A token that works until what takes its place was written, and that must not be renewed then.
const REFUSED: &str = r#"case "$*" in *self/rotate*) : >"$HOME/rotated" ;; esac
for file in "$HOME"/.config/factory/renewal/*/replaced; do
    [ ! -e "$file" ] || { printf 401 >&2 && exit; }
done
exec "$TOOL" "$@"
"#;

/// Renews nothing, and says so unless the answer goes to a file that has its room.
const ROOM: &str = r#"case "$*" in *self/rotate*) ;; *) exec "$TOOL" "$@" ;; esac
for own in "$HOME"/.config/factory/renewal/*/own; do
    [ ! "$own" -ef /proc/self/fd/1 ] || [ "$(wc -c <"$own")" -lt 16384 ] || { printf 200 >&2 && exit; }
done
printf 500 >&2
"#;

/// The agent's home on a host, with the program.
struct Home<'s> {
    situation: &'s Situation,
    directory: tempfile::TempDir,
}

const FILES: [(&str, &str); 2] = [("agent-token", "gitlab-credential"), ("desk-token", "desk-credential")];

impl<'s> Home<'s> {
    /// With the tokens that are stored here, as an apply would have brought them.
    fn new(situation: &'s Situation) -> Self {
        let home = Self { situation, directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(home.path(".config/factory")).unwrap();
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/scripts");
        for program in ["token.sh", "host/factory-renew"] {
            let name = Path::new(program).file_name().unwrap();
            std::fs::copy(templates.join(program), home.directory.path().join(name)).unwrap();
        }
        // What the agent set for its own use of curl.
        std::fs::write(home.path(".curlrc"), "include\nverbose\nfail-early\nwrite-out = \"200\"\n").unwrap();
        for (kept, file) in FILES {
            home.put(file, &situation.kept(kept));
        }
        home
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn put(&self, file: &str, token: &str) {
        std::fs::write(self.path(&format!(".config/factory/{file}")), format!("first=1\npassword={token}\n")).unwrap();
    }

    fn file(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(&format!(".config/factory/{file}"))).unwrap()
    }

    fn tokens(&self) -> [String; 2] {
        FILES.map(|(_, file)| self.file(file).lines().last().unwrap().strip_prefix("password=").unwrap().to_owned())
    }

    /// Gives both tokens so many days of the 30 that they had.
    fn end_in(&self, days: i64) {
        for (kept, file) in FILES {
            let made = self.ask(&self.situation.kept(kept), "POST", &json!({ "expires_at": expires_in(days) }));
            let token = made["token"].as_str().unwrap();
            std::fs::write(self.situation.state.file(kept), format!("{token}\n")).unwrap();
            self.put(file, token);
        }
        self.situation.plane.stand_in.age_tokens(30 - days);
    }

    fn ask(&self, token: &str, method: &str, body: &Value) -> Value {
        let token = self.situation.plane.as_token(token);
        match method {
            "POST" => token.post("/personal_access_tokens/self/rotate", body).body,
            _ => token.get("/personal_access_tokens/self").body,
        }
    }

    /// Runs it, with a shell script in the place of one of the tools.
    fn renew_with(&self, tool: &str, script: &str) -> Output {
        let place = self.path("bin").join(tool);
        if !script.is_empty() {
            std::fs::create_dir_all(self.path("bin")).unwrap();
            support::make_program(&place, format!("#!/bin/sh\n{script}"));
        }
        let before = self.tokens();
        let output = Command::new("sh")
            .arg(self.path("factory-renew"))
            .args([format!("{}/api/v4", self.situation.plane.url()), "30".into()])
            .env_clear()
            .env("HOME", self.directory.path())
            .env("TOOL", support::tool("curl").unwrap())
            .env("PATH", format!("{}:{}", self.path("bin").display(), support::path()))
            .output()
            .unwrap();
        let _ = std::fs::remove_file(place);
        for token in self.tokens().into_iter().chain(before) {
            assert!(!text(&output).contains(&token), "{}", text(&output));
        }
        output
    }

    fn renew(&self) -> Output {
        self.renew_with("curl", "")
    }

    /// The files that are there, below the directory of the credentials.
    fn files(&self) -> Vec<String> {
        let mut found: Vec<_> = walk(&self.path(".config/factory")).collect();
        found.sort();
        found
    }

    /// What `factoryup` gets from the host.
    fn handed_back(&self) -> HandOver {
        let [agent, desk] = self.tokens().map(|token| Token::Known(Secret::new(token)));
        HandOver { agent, desk, ..HandOver::default() }
    }
}

fn ready() -> Option<Situation> {
    if support::available(&["curl", "flock", "jq"]) { Situation::handed_off() } else { None }
}

fn walk(directory: &Path) -> Box<dyn Iterator<Item = String>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    Box::new(entries.flat_map(|path| {
        if path.is_dir() {
            walk(&path)
        } else {
            Box::new(std::iter::once(path.file_name().unwrap().to_string_lossy().into_owned()))
        }
    }))
}

#[test]
fn the_agents_tokens_renew_themselves_and_leave_an_apply_nothing_to_do() {
    let Some(situation) = ready() else { return };
    let home = Home::new(&situation);
    home.end_in(8);
    let first = home.tokens();
    assert_eq!(passed(&home.renew()), "gitlab-credential: 8 days left\ndesk-credential: 8 days left\n");
    assert_eq!((home.tokens(), situation.pending()), (first, vec![]));

    home.end_in(7);
    let (first, before) = (home.tokens(), FILES.map(|(_, file)| home.file(file)));
    assert_eq!(situation.pending(), ["agent-token:factory-agent", "ci-token:desk"], "by the rule of an apply");
    let wanted = FILES.map(|(_, file)| format!("{file}: renewed, ends on {}\n", expires_in(30))).concat();
    assert_eq!(passed(&home.renew()), wanted);
    let second = home.tokens();
    for (old, new) in first.iter().zip(&second) {
        assert!(situation.plane.as_token(old).get("/personal_access_tokens/self").status == 401 && old != new);
    }
    // Each keeps what it may do, and its file all other lines.
    assert_eq!(
        home.ask(&second[0], "GET", &json!({}))["scopes"],
        json!(["read_api", "write_repository", "self_rotate"])
    );
    assert!(home.file("gitlab-credential").starts_with("first=1\n"));
    assert_eq!(home.files(), ["desk-credential", "gitlab-credential", "lock", "replaced"]);
    // By the record, the host target knows that its text is over.
    let record = home.file("renewal/replaced");
    assert_eq!(record.lines().collect::<Vec<_>>(), before.map(|text| sha256(&text)));

    // What is stored here is refused now, and the tokens of the host take its place.
    let target = situation.target();
    assert!(target.refused().unwrap().is(&stored(&situation)));
    target.take_back(&home.handed_back()).unwrap();
    assert!(target.refused().unwrap().is(&HandOver::default()) && stored(&situation).is(&home.handed_back()));
    assert_eq!(situation.pending(), [""; 0]);
    assert!(situation.kept("gitlab.json").contains(&format!("\"ends\": \"{}\"", expires_in(30))));
    assert_eq!(passed(&home.renew()), "gitlab-credential: 30 days left\ndesk-credential: 30 days left\n");
}

fn stored(situation: &Situation) -> HandOver {
    let [agent, desk] = FILES.map(|(kept, _)| Token::Known(Secret::new(situation.kept(kept))));
    HandOver { agent, desk, ..HandOver::default() }
}

#[test]
fn what_cannot_be_renewed_keeps_its_token_or_says_that_it_is_lost() {
    let Some(situation) = ready() else { return };
    let home = Home::new(&situation);
    home.end_in(7);
    let first = home.tokens();
    let fails = |output: &Output, said: &str| {
        assert_eq!(output.status.code(), Some(1), "{}", text(output));
        for (_, file) in FILES {
            assert!(text(output).contains(&format!("{file}: {said}")), "{}", text(output));
        }
    };
    // A disk without room is found before the old text ends.
    for tool in ["cp", "sync"] {
        assert_eq!(home.renew_with(tool, "exit 1\n").status.code(), Some(1), "{tool}");
        assert!(home.tokens() == first && home.ask(&first[0], "GET", &json!({}))["active"] == true, "{tool}");
    }
    // The answer has its room before GitLab is asked for it.
    fails(&home.renew_with("curl", ROOM), "GitLab's answer has no token, and may have ended the old one");
    // Just before it is renewed, GitLab is asked once more: here it refuses the token by then.
    let refused = home.renew_with("curl", REFUSED);
    fails(&refused, "GitLab answers 401");
    assert!(!home.path("rotated").exists() && home.tokens() == first, "{}", text(&refused));
    fails(
        &home.renew_with("curl", PROXY),
        "GitLab's answer has no token, and may have ended the old one; run: factoryup apply\n",
    );
    assert_eq!(home.tokens(), first);
    fails(&home.renew_with("curl", "printf 200200 >&2\n"), "GitLab answers 000; if it goes on, run: factoryup apply\n");
    fails(&home.renew_with("curl", "exit 7\n"), "GitLab answers 000; if it goes on, run: factoryup apply\n");

    // A host that stopped between GitLab's answer and the token's file.
    let answer = home.ask(&first[0], "POST", &json!({ "expires_at": expires_in(30) }));
    std::fs::write(home.path(".config/factory/renewal/gitlab-credential/own"), answer.to_string()).unwrap();
    let unreachable = home.renew_with("curl", "exit 7\n");
    fails(&unreachable, "GitLab answers 000");
    // No page of a proxy costs the answer, whatever it looks like.
    for page in ["<html>Sign in</html>", "{}", ""] {
        fails(&home.renew_with("curl", &PAGE.replace("PAGE", page)), "GitLab's answer is about no token\n");
    }
    passed(&home.renew());
    let second = home.tokens();
    assert!(second[0] == answer["token"] && second[1] != first[1], "{}", answer);
    assert_eq!(home.files(), ["desk-credential", "gitlab-credential", "lock", "replaced"]);
    situation.target().take_back(&home.handed_back()).unwrap();
    assert_eq!(situation.pending(), [""; 0]);

    // One that was renewed by another is lost, and an apply brings the next.
    home.ask(&second[0], "POST", &json!({}));
    let lost = home.renew();
    assert_eq!(lost.status.code(), Some(1), "{}", text(&lost));
    assert!(
        text(&lost)
            .contains("factory-renew: gitlab-credential: GitLab answers 401; if it goes on, run: factoryup apply\n")
    );
    situation.target().take_back(&home.handed_back()).unwrap();
    assert_eq!(situation.pending(), ["agent-token:factory-agent"]);
    situation.apply(QUIET).unwrap();
    home.put("gitlab-credential", &situation.kept("agent-token"));
    passed(&home.renew());
}

/// The agent's word is not taken for whose token it is.
#[test]
fn no_token_of_another_account_is_taken_back() {
    let Some(situation) = ready() else { return };
    let owner = Token::Known(Secret::new(situation.plane.owner_token()));
    let before = situation.kept("agent-token");
    let handed = HandOver { agent: owner, ..HandOver::default() };
    situation.target().take_back(&handed).unwrap();
    assert_eq!(situation.kept("agent-token"), before);

    // Nor that it is one: its words would be missing from the plan and the records.
    for words in ["protected-environment", "merge_requests_author_approval"] {
        let claimed = || Token::Known(Secret::claimed(words));
        let handed = HandOver { agent: claimed(), desk: claimed(), ..HandOver::default() };
        situation.target().take_back(&handed).unwrap();
        assert_eq!(redact(words), words);
    }
    assert_eq!(situation.kept("agent-token"), before);
}
