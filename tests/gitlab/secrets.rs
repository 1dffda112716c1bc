//! No secret is anywhere but where it belongs.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factoryup::dialog::Silent;
use factoryup::plan::{Target, converge};
use factoryup::secret::Secret;
use gitlab_stand_in::Fault;

use super::parrot::{self, Attack, Does, Parrot};
use super::situation::{PROVE, Recorder, Situation};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The files of the state folder that hold a secret, each with it.
fn kept_secrets(situation: &Situation) -> Vec<(String, String)> {
    let passphrase = super::passphrases::passphrase_file(situation, "control-plane");
    let names = ["agent-token", "runner-trusted-token", "runner-untrusted-token", passphrase.as_str()];
    names.map(|name| (name.to_owned(), situation.kept(name))).to_vec()
}

#[test]
fn secrets_are_in_their_files_and_nowhere_else() {
    let Some(situation) = Situation::new() else { return };
    let recorder = Recorder::default();
    let mut target = situation.target();
    converge(&mut target, &recorder, &situation.state, PROVE).unwrap();
    let owner = situation.plane.owner_token();
    let kept = kept_secrets(&situation);
    let told = format!("{} {target:?} {:?}", recorder.told.borrow().join("\n"), situation.plane.log());
    let mut all = Vec::new();
    files(situation.directory(), &mut all);
    assert!(all.len() > 20);
    // CI's tokens and keys have no place here at all.
    let keys = ["CONTROL_PLANE_PLAN_TOKEN", "CONTROL_PLANE_APPLY_TOKEN", "REPORT_TOKEN", "EVIDENCE_SIGNING_KEY"];
    let of_ci =
        keys.map(|key| situation.plane.stand_in.variable_value("factory/control", key, "control-plane").unwrap());
    let of_ci = of_ci.iter().inspect(|text| assert!(text.len() > 20)).map(|text| (None, text.as_str()));
    for (home, secret) in of_ci
        .chain([(None, owner.as_str())])
        .chain(kept.iter().map(|(home, text)| (Some(home.as_str()), text.as_str())))
    {
        assert!(!told.contains(secret), "said aloud: {home:?}");
        for path in &all {
            if home.is_some_and(|home| path.ends_with(home)) {
                continue;
            }
            let bytes = fs::read(path).unwrap();
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{home:?} is in {}", path.display());
        }
    }
}

#[test]
fn errors_never_repeat_a_secret() {
    let Some(situation) = Situation::new() else { return };
    let owner = situation.plane.owner_token();
    let mut texts = Vec::new();
    for fault in [Fault::ServerError, Fault::Drop] {
        situation.plane.stand_in.fail_next(6, fault);
        let error = situation.target().observe(&Silent).unwrap_err();
        texts.push(format!("{error} {error:?} {:?}", error.causes()));
    }
    situation.plane.stand_in.clear_log();
    // Faults that were not played are still waiting; a wrong token uses them up.
    let _ = situation.target_with(Secret::new("glpat-canary")).observe(&Silent);
    let _ = situation.target_with(Secret::new("glpat-canary")).observe(&Silent);
    let error = situation.target_with(Secret::new("glpat-canary")).observe(&Silent).unwrap_err();
    texts.push(format!("{error} {error:?}"));
    for text in texts {
        assert!(!text.contains(&owner) && !text.contains("canary"), "{text}");
    }
}

const EVERYWHERE: &[&str] = &[
    "name",
    "description",
    "title",
    "access_level_description",
    "visibility",
    "merge_method",
    "ci_config_path",
    "tier",
    "key",
    "created_at",
    "web_url",
];

/// Every place where a GitLab, a proxy before it, or a git server can put text into an answer. Those before the first `Repeats` stop the
/// hand-off, each a little later than the one before; the last ones are for its policy checks.
const ATTACKS: &[Attack] = &[
    Attack { on: "GET /api/v4/metadata", does: Does::Refuses(500, "message") },
    Attack { on: "GET /api/v4/metadata", does: Does::Refuses(403, "message") },
    Attack { on: "GET /api/v4/metadata", does: Does::Refuses(401, "error") },
    Attack { on: "GET /api/v4/metadata", does: Does::Refuses(403, "scope") },
    Attack { on: "GET /api/v4/metadata", does: Does::Refuses(422, "error_description") },
    Attack { on: "GET /api/v4/metadata", does: Does::Heads(302, "Location") },
    Attack { on: "GET /api/v4/metadata", does: Does::IsNoJson },
    Attack { on: "GET /api/v4/metadata", does: Does::Breaks },
    Attack { on: "GET /api/v4/metadata", does: Does::Says(200) },
    Attack { on: "POST /api/v4/projects", does: Does::Refuses(400, "message") },
    Attack { on: "POST /api/v4/projects", does: Does::Breaks },
    Attack { on: "GET /factory/control.git/info/refs", does: Does::Says(401) },
    Attack { on: "GET /factory/control.git/info/refs", does: Does::Says(403) },
    Attack { on: "GET /factory/control.git/info/refs", does: Does::Says(500) },
    Attack { on: "GET /factory/control.git/info/refs", does: Does::Heads(401, "WWW-Authenticate") },
    Attack { on: "GET /factory/control.git/info/refs", does: Does::Heads(302, "Location") },
    Attack { on: "GET /factory/control.git/info/refs", does: Does::IsNoJson },
    Attack { on: "GET /factory/control.git/info/refs", does: Does::GitError },
    Attack { on: "POST /factory/control.git/git-receive-pack", does: Does::Says(403) },
    Attack { on: "POST /factory/control.git/git-receive-pack", does: Does::Says(500) },
    Attack { on: "PUT /api/v4/projects/", does: Does::Refuses(422, "message") },
    Attack { on: "POST /api/v4/", does: Does::Refuses(409, "message") },
    Attack { on: "GET /api/v4/metadata", does: Does::Repeats(&["version"]) },
    Attack { on: "GET /api/v4/personal_access_tokens/self", does: Does::Repeats(&["name"]) },
    Attack { on: "GET /api/v4/personal_access_tokens/self", does: Does::Repeats(&["expires_at"]) },
    Attack { on: "GET /api/v4/", does: Does::Repeats(EVERYWHERE) },
    Attack { on: "", does: Does::Repeats(EVERYWHERE) },
    Attack { on: "GET /protected_branches", does: Does::Adds("name") },
    Attack { on: "GET /protected_tags", does: Does::Adds("name") },
    Attack { on: "GET /control.git/info/refs", does: Does::GitError },
    Attack { on: "POST /control.git/git-receive-pack", does: Does::Says(403) },
    Attack { on: "POST /pipeline_schedules", does: Does::Refuses(403, "message") },
];

/// Where a secret is, in any form in which a person or a program could read it.
fn found(secret: &str, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let plain: String = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
    let encoded = (0..3).flat_map(|before| {
        let all = STANDARD.encode(format!("{}{secret}", "x".repeat(before)));
        let core = all.trim_end_matches('=')[(before * 8_usize).div_ceil(6)..].to_owned();
        let core = core[..core.len() - 1].to_owned();
        [core.replace('+', "-").replace('/', "_"), core]
    });
    let mut forms = encoded.chain([secret.to_owned()]);
    forms.any(|form| text.contains(&form) || plain.contains(&form))
}

#[test]
fn what_a_hostile_gitlab_repeats_is_put_out_nowhere() {
    let Some(mut situation) = Situation::new() else { return };
    let parrot = Parrot::before(&situation.plane.url());
    situation.behind(&parrot.url());
    let home = situation.directory().join("home");
    fs::create_dir(&home).unwrap();
    let owner = situation.plane.owner_token();
    let factoryup = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_factoryup"))
            .args(args)
            .current_dir(&situation.repo)
            .env("HOME", &home)
            .env("XDG_STATE_HOME", home.join("state"))
            .env("FACTORYUP_GITLAB_TOKEN", &owner)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        [output.stdout, output.stderr].concat()
    };
    let places = ["agent-token", "runner-trusted-token", "runner-untrusted-token"];
    let (mut heard, mut quiet) = (0, Vec::new());
    let look = |said: &[(String, Vec<u8>)]| {
        let mut secrets = vec![(None, owner.clone())];
        let kept = |name: &str| fs::read_to_string(home.join("state/factoryup/acme").join(name)).ok();
        // CI's tokens have no file.
        let of_ci = ["CONTROL_PLANE_PLAN_TOKEN", "CONTROL_PLANE_APPLY_TOKEN", "REPORT_TOKEN"];
        let value = |key: &str| situation.plane.stand_in.variable_value("factory/control", key, "control-plane");
        secrets.extend(of_ci.iter().filter_map(|key| Some((None, value(key)?))));
        secrets.extend(places.iter().filter_map(|name| Some((Some(*name), kept(name)?.trim_end().to_owned()))));
        let mut all = Vec::new();
        files(&home, &mut all);
        files(&situation.repo, &mut all);
        let all = all.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap()));
        for (place, bytes) in all.chain(said.iter().cloned()) {
            for (home, secret) in secrets.iter().filter(|(home, _)| home.is_none_or(|home| !place.ends_with(home))) {
                assert!(!found(secret, &bytes), "{home:?} is in {place}: {}", String::from_utf8_lossy(&bytes));
            }
        }
    };
    for attack in ATTACKS {
        parrot.attack(Some(*attack));
        let said: Vec<_> = [&["plan", "gitlab", "--diff"][..], &["apply", "gitlab", "--yes", "--prove", "--json"]]
            .iter()
            .map(|args| (format!("{attack:?} {args:?}"), factoryup(args)))
            .collect();
        look(&said);
        heard += parrot.said();
        if parrot.said() == 0 {
            quiet.push((attack, String::from_utf8_lossy(&said[1].1).into_owned()));
        }
    }
    assert!(quiet.is_empty(), "never asked: {quiet:?}");
    parrot.attack(None);
    look(&[("apply".into(), factoryup(&["apply", "gitlab", "--yes"]))]);
    // The check finds what it looks for.
    for form in parrot::forms(&owner) {
        assert!(found(&owner, format!("x {form} y").as_bytes()), "{form}");
    }
    eprintln!("{} attacks, credentials repeated {heard} times", ATTACKS.len());
}
