//! The evidence log's anchors in GitLab: written by the real program, kept by the rule for protected tags, and what they show of a
//! log that somebody changed who holds the state folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use factoryup::dialog::Dialog;
use factoryup::plan::{Event, Options, StateDir, TargetName, Watch};
use factoryup::secret::Secret;
use factoryup::workspace::{Keys, What, Workspace};
use factoryup::{Kind, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cutter::Cutter;
use super::situation::Situation;

impl Situation {
    pub(super) fn run_with(&self, token: &str, args: &[&str]) -> Output {
        self.command(token, args).output().unwrap()
    }

    /// Starts the program as the owner would.
    pub(super) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(self.plane.stand_in.owner_token(), args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(super) fn command(&self, token: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_factoryup"));
        command
            .arg("-C")
            .arg(&self.repo)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.directory())
            .env("XDG_STATE_HOME", self.directory().join("xdg"))
            .env("FACTORYUP_GITLAB_TOKEN", token)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program as the owner would, and sees its exit code. Returns what it said.
    #[track_caller]
    pub(super) fn run(&self, args: &[&str], code: i32) -> String {
        let output = self.run_with(self.plane.stand_in.owner_token(), args);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    }

    fn log(&self) -> PathBuf {
        self.directory().join("xdg/factoryup/acme/evidence/log.jsonl")
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.log()).unwrap().lines().map(str::to_owned).collect()
    }

    /// The anchors; tags with keys are beside them.
    fn tags(&self) -> Vec<Value> {
        let all = self.get("/repository/tags").as_array().unwrap().clone();
        all.into_iter().filter(|tag| !tag["name"].as_str().unwrap().starts_with("evidence/signer-")).collect()
    }

    fn tag_names(&self) -> Vec<String> {
        self.tags().iter().map(|tag| tag["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The object that `evidence verify --json` prints.
    #[track_caller]
    fn verified(&self, code: i32) -> Value {
        let said = self.run(&["--json", "evidence", "verify"], code);
        let line = said.lines().find(|line| line.contains("\"evidence\"")).unwrap_or_else(|| panic!("{said}"));
        serde_json::from_str(line).unwrap()
    }
}

pub fn sha256(line: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(line.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The lines as a chain, computed again, as somebody does who can write the file.
fn chained(lines: &[String]) -> String {
    let (mut prev, mut text) = ("0".repeat(64), String::new());
    for line in lines {
        let statement: Value = serde_json::from_str(line).unwrap();
        let line = line.replace(statement["prev"].as_str().unwrap(), &prev);
        prev = sha256(&line);
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[test]
fn each_apply_that_added_evidence_is_anchored_once() {
    let Some(situation) = Situation::new() else { return };
    let said = situation.run(&["apply", "--yes", "--no-wait"], 0);
    assert!(said.contains("anchored entry 3 of the log in GitLab's tag evidence/1"), "{said}");
    let tags = situation.tags();
    let lines = situation.lines();
    assert_eq!((tags.len(), &tags[0]["name"], &tags[0]["protected"]), (1, &"evidence/1".into(), &true.into()));
    let text = tags[0]["message"].as_str().unwrap();
    let head: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(head["schema"], 1);
    assert_eq!((&head["statements"], &head["sha256"]), (&lines.len().into(), &sha256(lines.last().unwrap()).into()));
    assert_eq!(head["log"], sha256(&lines[0]));

    // No job runs for such a tag.
    let pipelines = situation.get("/pipelines");
    assert!(pipelines.as_array().unwrap().iter().all(|pipeline| pipeline["ref"] != "evidence/1"), "{pipelines}");

    // What added nothing writes nothing.
    situation.plane.stand_in.clear_log();
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    situation.run(&["apply", "gitlab", "--yes"], 0);
    assert_eq!(situation.writes(), Vec::<String>::new());
    // A proof is evidence too.
    situation.run(&["apply", "gitlab", "--yes", "--prove"], 0);
    assert_eq!(situation.tag_names(), ["evidence/1", "evidence/2"]);

    let verified = situation.verified(0);
    assert_eq!((&verified["statements"], &verified["anchor"]["state"]), (&4.into(), &"holds".into()), "{verified}");
    assert_eq!((&verified["anchor"]["name"], &verified["anchor"]["statement"]), (&"evidence/2".into(), &4.into()));
    let said = situation.run(&["evidence", "verify"], 0);
    assert!(said.contains("GitLab's anchor evidence/2 of 20") && said.contains(": holds"), "{said}");
}

#[test]
fn a_log_that_somebody_changed_and_chained_again_is_found() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    for _ in 0..2 {
        situation.run(&["apply", "gitlab", "--yes", "--prove"], 0);
    }
    let lines = situation.lines();
    assert_eq!((lines.len(), situation.tag_names().len()), (5, 3));
    let whole = fs::read_to_string(situation.log()).unwrap();
    assert_eq!(chained(&lines), whole);
    let without = |index: usize| {
        let mut lines = lines.clone();
        lines.remove(index);
        lines
    };
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    let mut changed = lines.clone();
    changed[3] = changed[3].replacen("\"held\":true", "\"held\":false", 1);
    let alone = swapped.join("\n") + "\n";
    for (what, text, state, anchor) in [
        ("the last line is cut", chained(&lines[..4]), "missing", "evidence/3"),
        ("all lines but the first are cut", chained(&lines[..1]), "missing", "evidence/1"),
        ("a statement in the middle is gone", chained(&without(1)), "missing", "evidence/1"),
        ("the one before the last is gone", chained(&without(3)), "missing", "evidence/2"),
        ("two are swapped", chained(&swapped), "missing", "evidence/1"),
        ("one is changed", chained(&changed), "missing", "evidence/2"),
        ("the first is gone", chained(&without(0)), "another-log", "evidence/3"),
    ] {
        fs::write(situation.log(), &text).unwrap();
        let verified = situation.verified(2);
        assert_eq!(verified["anchor"]["state"], state, "{what}: {verified}");
        assert_eq!(verified["anchor"]["name"], anchor, "{what}: {verified}");
        // By itself it is a whole chain.
        situation.run(&["evidence", "verify", situation.log().to_str().unwrap()], 0);
        let said = situation.run(&["evidence", "verify"], 2);
        assert!(said.contains(anchor) && said.contains("is missing here"), "{what}: {said}");
        // An apply says so too, and does not anchor what was changed.
        let said = situation.run(&["apply", "gitlab", "--yes"], 2);
        assert!(said.contains(anchor) && said.contains("next: "), "{what}: {said}");
        assert_eq!(situation.tag_names().len(), 3, "{what}");
        assert_eq!(fs::read_to_string(situation.log()).unwrap(), text, "{what}");
    }
    // Without the chain computed again, the log itself shows it.
    fs::write(situation.log(), &alone).unwrap();
    situation.run(&["evidence", "verify"], 65);
    // Nor does a log that is gone pass for one that never was.
    fs::remove_file(situation.log()).unwrap();
    situation.run(&["evidence", "verify"], 65);
    let said = situation.run(&["apply", "gitlab", "--yes"], 2);
    assert!(said.contains("the log here is missing"), "{said}");
    fs::write(situation.log(), whole).unwrap();
    assert_eq!(situation.verified(0)["anchor"]["state"], "holds");
}

#[test]
fn what_cannot_be_told_is_said() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "repo", "--yes"], 0);
    situation.run(&["apply", "gitlab", "--yes"], 0);
    let without_token = situation.run_with("", &["evidence", "verify"]);
    let said = String::from_utf8_lossy(&without_token.stdout).into_owned();
    assert_eq!(without_token.status.code(), Some(0), "{said}");
    assert!(said.contains("The anchors in GitLab were not read. To rule out missing entries at the end,"), "{said}");
    let refused = situation.run_with("glpat-unknown", &["--json", "evidence", "verify"]);
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("\"not-asked\""), "{refused:?}");
    // What came after the last anchor is not covered by it.
    let last = situation.tag_names().pop().unwrap();
    situation.run(&["apply", "gitlab", "--yes", "--prove"], 0);
    let newest = situation.tag_names().pop().unwrap();
    let tag = |name: &str| situation.path(&format!("/repository/tags/{}", name.replace('/', "%2F")));
    assert_eq!(situation.plane.delete(&tag(&newest)).status, 204);
    let said = situation.run(&["evidence", "verify"], 0);
    assert!(said.contains(&last) && said.contains("holds; 1 entries follow it. To rule out missing"), "{said}");
    assert_eq!(situation.plane.delete(&tag(&last)).status, 204);
    let said = situation.run(&["evidence", "verify"], 0);
    assert!(said.contains("GitLab has no anchor yet; `factoryup apply gitlab` writes one"), "{said}");
    // Whoever could move an anchor could make it fit.
    situation.run(&["apply", "gitlab", "--yes"], 0);
    assert_eq!(situation.plane.delete(&situation.path("/protected_tags/evidence%2F%2A")).status, 204);
    assert_eq!(situation.verified(2)["anchor"]["state"], "not-protected");
    situation.run(&["apply", "gitlab", "--yes"], 0);
    assert_eq!(situation.verified(0)["anchor"]["state"], "holds");
}

#[test]
fn an_anchor_that_failed_is_reported_and_written_by_the_next_apply() {
    let Some(mut situation) = Situation::new() else { return };
    let cutter = Cutter::before(&situation.plane.url());
    situation.behind(&cutter.url());
    situation.run(&["apply", "repo", "--yes"], 0);
    situation.run(&["apply", "gitlab", "--yes"], 0);
    let count = situation.tags().len();
    // As after a crash between the apply and the anchor.
    let newest = situation.tag_names().pop().unwrap().replace('/', "%2F");
    assert_eq!(situation.plane.delete(&situation.path(&format!("/repository/tags/{newest}"))).status, 204);
    // GitLab makes the tag, and its answer is lost.
    cutter.cut_next();
    let said = situation.run(&["apply", "gitlab", "--yes"], 75);
    assert!(
        said.contains("the evidence log is not anchored in GitLab")
            && said.contains("run `factoryup apply gitlab` to anchor it"),
        "{said}"
    );
    assert_eq!(situation.tags().len(), count);
    situation.run(&["apply", "gitlab", "--yes"], 0);
    assert_eq!(situation.tags().len(), count);
    assert_eq!(situation.verified(0)["anchor"]["state"], "holds");
    // Rules that nobody can read are none: nothing is written without them.
    assert_eq!(situation.plane.delete(&situation.path(&format!("/repository/tags/{newest}"))).status, 204);
    cutter.hide("/protected_tags");
    let output = situation.run_with(situation.plane.stand_in.owner_token(), &["apply", "gitlab", "--yes"]);
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(situation.tags().len(), count - 1);
    cutter.hide("nothing at all");
    situation.run(&["apply", "gitlab", "--yes"], 0);
    assert_eq!(situation.tags().len(), count);
}

#[test]
fn the_agent_cannot_make_move_or_remove_an_anchor() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let token = fs::read_to_string(situation.directory().join("xdg/factoryup/acme/agent-token")).unwrap();
    let before = situation.tags();
    let theirs = situation.plane.clone("control", token.trim());
    theirs.commit("theirs", "mine\n");
    theirs.git(&["tag", "evidence/99"]);
    assert!(theirs.push(&["origin", "evidence/99"]).refused("not allowed to create this tag as it is protected"));
    theirs.git(&["tag", "--force", "evidence/1"]);
    assert!(theirs.push(&["--force", "origin", "evidence/1"]).refused("Protected tags cannot be updated"));
    assert!(theirs.push(&["origin", ":evidence/1"]).refused("not allowed to delete protected tags"));
    // Not by API either, and not with a token of its account that has the scope.
    let body = json!({ "name": "wide", "scopes": ["api"], "expires_at": super::plane::expires_in(1) });
    let tokens = situation.agent_tokens();
    let wide = situation.plane.post(&tokens, &body).body["token"].as_str().unwrap().to_owned();
    for token in [token.trim(), &wide] {
        let agent = situation.plane.as_token(token);
        let tag = json!({ "tag_name": "evidence/99", "ref": "main", "message": "x" });
        assert!(matches!(agent.post(&situation.path("/repository/tags"), &tag).status, 400 | 403));
        let one = situation.path("/repository/tags/evidence%2F1");
        assert_eq!(agent.send("DELETE", &one, None).status, 403);
    }
    assert_eq!(situation.tags(), before);
    // The proof tried it as well, and left nothing.
    let evidence = fs::read_to_string(situation.log()).unwrap();
    for deed in ["create", "move", "delete"] {
        let claim = format!("\"claim\":\"the agent cannot {deed} an anchor of the evidence log\"");
        assert!(evidence.contains(&claim), "{evidence}");
    }
    assert!(!evidence.contains("\"held\":false"), "{evidence}");
}

/// A person who answers each question the same way.
struct Person(bool);

impl Dialog for Person {
    fn is_interactive(&self) -> bool {
        true
    }
    fn confirm(&self, _question: &str, _default: bool) -> Result<bool> {
        Ok(self.0)
    }
    fn secret(&self, prompt: &str) -> Result<Secret> {
        Err(factoryup::Error::usage(prompt))
    }
    fn note(&self, _text: &str) {}
    fn warn(&self, _text: &str) {}
    fn busy(&self, _text: &str) {}
}

impl Watch for Person {
    fn event(&self, _event: &Event<'_>) {}
}

#[test]
fn a_new_log_is_anchored_after_a_yes_only() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let token = situation.directory().join("token");
    fs::write(&token, situation.plane.stand_in.owner_token()).unwrap();
    let apply = |folder: &str, answer: bool| {
        let state = StateDir::at(situation.directory().join(folder)).unwrap();
        let keys = Keys { gitlab_token_file: Some(token.clone()), ..Keys::default() };
        let person = Person(answer);
        let workspace = Workspace::of(situation.factory.clone(), &situation.repo, keys, state, &person).unwrap();
        let options = Options { yes: true, prove_again: true };
        workspace.apply(&What::Target(TargetName::Gitlab), options, &mut |_, _| Ok(()))
    };
    // Another state folder has no agent's token, so there is something to apply, and a log of its own.
    let error = apply("another", false).unwrap_err();
    assert_eq!((error.kind(), error.is_partial()), (Kind::Pending, true), "{error}");
    assert!(error.to_string().contains("GitLab has only anchors of another log: evidence/1 of 20"), "{error}");
    assert_eq!(situation.tag_names(), ["evidence/1"]);
    apply("another", true).unwrap();
    assert_eq!(situation.tag_names(), ["evidence/1", "evidence/2"]);
    // From then on it is known, and so is the first.
    apply("another", false).unwrap();
    assert_eq!(situation.tag_names().len(), 3);
    assert_eq!(situation.verified(0)["anchor"]["name"], "evidence/1");
}
